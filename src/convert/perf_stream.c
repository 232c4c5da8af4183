#include "convert/perf_stream.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "convert/perf_order.h"
#include "convert/perf_unpack.h"
#include "elf/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER_BYTES = sizeof(struct perf_event_header),
    BLOCKS_BYTES_MAX = 256 << 20,
    AHEAD_BYTES = 16 << 20,     // of a mapped file, that are mapped at once
    PART_AHEAD_BYTES = 1 << 20, // of each of many
    BATCH_BYTES = 256 << 10,    // of one part, before others have their turn
};

// Records one behind the other: those of the file, or of a part.
struct source {
    const uint8_t *bytes, *at, *end;
    const uint8_t *until; // those that begin there or later wait for the next turn
    uint64_t newest_ns;
    size_t mapped; // bytes from the beginning
    size_t ahead;
    struct hone_perfdata_unpacker unpacker;
    enum hone_perfdata_damage damage;
    uint64_t damaged_at;
    bool is_over;
};

struct reader {
    struct hone_perfdata_stream *stream;
    struct hone_perfdata_order order;
    struct source *sources; // the file and its parts
    uint32_t source_count;
    struct source *source; // at hand
    uint64_t round_ns;     // the newest record of the round before
    size_t block_bytes;    // unpacked, of all sources
};

static void reader_done(struct reader *reader)
{
    hone_perfdata_order_done(&reader->order);
    for (uint32_t i = 0; i < reader->source_count; i++)
        hone_perfdata_unpacker_done(&reader->sources[i].unpacker);
    free(reader->sources);
}

// --- order ---------------------------------------------------------------------------------------

static void count_blocks(struct reader *reader)
{
    reader->block_bytes = 0;
    for (uint32_t i = 0; i < reader->source_count; i++)
        reader->block_bytes += hone_perfdata_unpacker_bytes(&reader->sources[i].unpacker);
}

static int hand_out_until(struct reader *reader, uint64_t until_ns, uint32_t most)
{
    int r = hone_perfdata_order_hand_out(&reader->order, until_ns, most);
    bool idle = false;
    for (uint32_t i = 0; i < reader->source_count && reader->block_bytes; i++)
        idle |= hone_perfdata_unpacker_has_idle(&reader->sources[i].unpacker);
    if (r || !idle)
        return r;
    r = reader->order.handler->settle(reader->order.handler->context);
    for (uint32_t i = 0; i < reader->source_count; i++)
        hone_perfdata_unpacker_free_idle(&reader->sources[i].unpacker);
    count_blocks(reader);
    return r;
}

// Among several files, rounds of one say nothing of the others.
static int finish_round(struct reader *reader)
{
    if (reader->source_count > 1)
        return 0;
    int r = hand_out_until(reader, reader->round_ns, UINT32_MAX);
    reader->round_ns = reader->order.newest_ns;
    return r;
}

static int wait_for_older(struct reader *reader, const struct hone_perfdata_waiting *waiting)
{
    int r = hone_perfdata_order_add(&reader->order, waiting);
    if (waiting->time_ns > reader->source->newest_ns)
        reader->source->newest_ns = waiting->time_ns;
    // No end of a round for so long: the older half goes.
    if (!r && (reader->order.count == HONE_PERFDATA_WAITING_MAX ||
               reader->block_bytes > BLOCKS_BYTES_MAX))
        return hand_out_until(reader, UINT64_MAX, reader->order.count / 2 + 1);
    return r;
}

// --- records -------------------------------------------------------------------------------------

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static uint64_t time_of(const struct hone_perfdata_event *event, const uint8_t *record, size_t size,
                        bool is_sample)
{
    if (!event)
        return 0;
    size_t at = is_sample ? event->sample_time : event->trailer_time;
    if (!at || at > size - HEADER_BYTES || (is_sample && at > size - sizeof(uint64_t)))
        return 0;
    return word_at(is_sample ? record + at : record + size - at);
}

static int on_kernel_record(struct reader *reader, const uint8_t *record, uint16_t size,
                            bool is_sample, struct hone_perfdata_block *block)
{
    struct hone_perfdata_info *info = &reader->stream->info;
    const struct hone_perfdata_event *event = hone_perfdata_event_of(info, record, size);
    const struct hone_perfdata_waiting waiting = {
        .time_ns = time_of(event, record, size, is_sample),
        .at = record,
        .size = size,
        .event = event ? (uint32_t)(event - info->events) + 1 : 0,
        .block = block,
    };
    // What perf itself found at the beginning has no time, and comes before everything.
    if (waiting.time_ns == 0 || waiting.time_ns == UINT64_MAX)
        return hone_perfdata_order_pass(&reader->order, &waiting);
    return wait_for_older(reader, &waiting);
}

static int on_attr(struct reader *reader, const uint8_t *record, uint16_t size)
{
    struct hone_cursor at = hone_cursor_from(record, size, HEADER_BYTES);
    const uint8_t *attr = at.at;
    (void)hone_read_u32(&at); // its type
    uint32_t attr_bytes = hone_read_u32(&at);
    if (at.failed || attr_bytes > (size_t)size - HEADER_BYTES)
        return 0;
    int r = hone_perfdata_add_event(&reader->stream->info, attr, attr_bytes, attr + attr_bytes,
                                    (size_t)size - HEADER_BYTES - attr_bytes);
    return r == -ENOMEM ? r : 0;
}

// Data that follows a record and is not counted in its size; false: there is less.
static bool skip_payload(const uint8_t *record, const struct perf_event_header *header,
                         const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    if (header->type != HONE_PERFDATA_AUXTRACE && header->type != HONE_PERFDATA_TRACING_DATA)
        return true;
    struct hone_cursor at = hone_cursor_from(record, header->size, HEADER_BYTES);
    *ret = header->type == HONE_PERFDATA_AUXTRACE ? hone_read_u64(&at)
                                                  : ((uint64_t)hone_read_u32(&at) + 7) / 8 * 8;
    return !at.failed && *ret <= (uint64_t)(end - record) - header->size;
}

static int scan_unpacked(struct reader *reader, const uint8_t *record, uint16_t size,
                         uint16_t type);

// `block` is NULL for what lies in the file itself.
static int on_record(struct reader *reader, const uint8_t *record,
                     const struct perf_event_header *header, struct hone_perfdata_block *block)
{
    struct hone_perfdata_info *info = &reader->stream->info;
    if (header->type < HONE_PERFDATA_HEADER_ATTR)
        return on_kernel_record(reader, record, header->size, header->type == PERF_RECORD_SAMPLE,
                                block);
    switch (header->type) {
    case HONE_PERFDATA_FINISHED_ROUND:
        return finish_round(reader);
    case HONE_PERFDATA_HEADER_ATTR:
        return on_attr(reader, record, header->size);
    case HONE_PERFDATA_EVENT_UPDATE:
        hone_perfdata_update_event(info, record, header->size);
        return 0;
    case HONE_PERFDATA_HEADER_BUILD_ID:
        hone_perfdata_add_build_id(info, record, header->size);
        return 0;
    case HONE_PERFDATA_HEADER_FEATURE:
        if (header->size >= HEADER_BYTES + sizeof(uint64_t))
            hone_perfdata_add_feature(info, (uint32_t)word_at(record + HEADER_BYTES),
                                      record + HEADER_BYTES + sizeof(uint64_t),
                                      header->size - HEADER_BYTES - sizeof(uint64_t));
        return 0;
    case HONE_PERFDATA_COMPRESSED:
    case HONE_PERFDATA_COMPRESSED2:
        return block ? 0 : scan_unpacked(reader, record, header->size, (uint16_t)header->type);
    default:
        return 0;
    }
}

// Faults one by one cost more than all the rest.
static void map_ahead(struct reader *reader, const uint8_t *at)
{
    struct source *source = reader->source;
    size_t read = (size_t)(at - source->bytes);
    if (!reader->stream->is_mapped || read < source->mapped)
        return;
    size_t len = (size_t)(source->end - source->bytes);
    size_t from = read & ~(source->ahead - 1);
    size_t size = len - from < source->ahead ? len - from : source->ahead;
    source->mapped = from + size;
#ifdef MADV_POPULATE_READ
    // Where the kernel is older they come one by one.
    (void)madvise((void *)(source->bytes + from), size, MADV_POPULATE_READ);
#endif
}

static void damaged(struct source *source, enum hone_perfdata_damage damage, const uint8_t *record)
{
    source->damage = damage;
    source->damaged_at = (uint64_t)(record - source->bytes);
}

// Records from `at` on, until the source has had its turn. *ret_rest is where the first begins that
// is not whole, makes no sense, or waits for the next turn.
static int scan(struct reader *reader, const uint8_t *at, const uint8_t *end,
                struct hone_perfdata_block *block, const uint8_t **ret_rest)
{
    struct source *source = reader->source;
    int r = 0;
    while (end - at >= HEADER_BYTES && !r && (block || at < source->until)) {
        if (!block)
            map_ahead(reader, at);
        struct perf_event_header header;
        memcpy(&header, at, sizeof header);
        uint64_t payload;
        if (header.size < HEADER_BYTES || header.size > end - at ||
            !skip_payload(at, &header, end, &payload))
            break;
        if (header.type == HONE_PERFDATA_AUXTRACE)
            reader->stream->losses.auxtrace_bytes += payload;
        r = on_record(reader, at, &header, block);
        at += header.size + payload;
        // What a damaged stream of compressed records leaves is where reading ends.
        if (source->damage)
            break;
    }
    *ret_rest = at;
    return r;
}

static int scan_unpacked(struct reader *reader, const uint8_t *record, uint16_t size, uint16_t type)
{
    struct source *source = reader->source;
    struct hone_cursor at = hone_cursor_from(record, size, HEADER_BYTES);
    size_t packed = hone_cursor_left(&at);
    if (type == HONE_PERFDATA_COMPRESSED2) { // padded: it tells its true size
        uint64_t told = hone_read_u64(&at);
        packed = hone_cursor_left(&at);
        packed = told < packed ? told : packed;
    }
    struct hone_perfdata_block *block = NULL;
    int r = hone_perfdata_unpack(&source->unpacker, at.at, packed, &block);
    if (r == -ENOMEM)
        return r;
    if (r) {
        damaged(source, HONE_PERFDATA_NOT_PACKED, record);
        return 0;
    }
    count_blocks(reader);
    const uint8_t *rest;
    block->waiting++; // while it is read
    r = scan(reader, block->bytes, block->bytes + block->size, block, &rest);
    block->waiting--;
    size_t left = block->size - (size_t)(rest - block->bytes);
    if (!r)
        r = hone_perfdata_unpacker_carry(&source->unpacker, rest, left);
    if (r == -EBADMSG) {
        damaged(source, HONE_PERFDATA_NO_RECORD, record);
        r = 0;
    }
    return r;
}

// --- files ---------------------------------------------------------------------------------------

// A source ended. The first damage is told of.
static void note_damage(struct hone_perfdata_stream *stream, struct source *source, uint32_t number)
{
    struct hone_perfdata_losses *losses = &stream->losses;
    struct perf_event_header header = {0};
    bool has_header = source->end - source->at >= HEADER_BYTES;
    if (has_header)
        memcpy(&header, source->at, sizeof header);
    if (!source->damage && source->at != source->end)
        damaged(source,
                has_header && header.size < HEADER_BYTES ? HONE_PERFDATA_NO_RECORD
                                                         : HONE_PERFDATA_CUT,
                source->at);
    if (losses->damage || !source->damage)
        return;
    losses->damage = source->damage;
    losses->damaged_at = source->damaged_at;
    losses->damaged_part = number ? &stream->parts[number - 1] : NULL;
}

// Reads from a source up to `until`.
static int read_source(struct reader *reader, uint32_t number, const uint8_t *until)
{
    struct source *source = reader->source = &reader->sources[number];
    source->until = until;
    const uint8_t *rest;
    int r = scan(reader, source->at, source->end, NULL, &rest);
    source->is_over = rest < until || rest == source->end || source->damage;
    source->at = rest;
    if (source->is_over && !r)
        note_damage(reader->stream, source, number);
    return r;
}

struct turn {
    uint64_t newest_ns;
    uint32_t source;
};

static int compare_turns(const void *left, const void *right)
{
    const struct turn *a = left;
    const struct turn *b = right;
    if (a->newest_ns != b->newest_ns)
        return a->newest_ns < b->newest_ns ? -1 : 1;
    return a->source < b->source ? -1 : a->source > b->source;
}

// Those parts that are not over, the one that is furthest behind first.
static uint32_t take_turns(const struct reader *reader, struct turn *turns)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < reader->source_count; i++)
        if (!reader->sources[i].is_over)
            turns[count++] = (struct turn){reader->sources[i].newest_ns, i};
    if (count)
        qsort(turns, count, sizeof *turns, compare_turns);
    return count;
}

// Each part is in order, or nearly: so whatever is not younger than what all of them have reached
// is handed out. Those that are behind are read on, so that little waits.
static int read_parts(struct reader *reader)
{
    HONE_CLEANUP(hone_freep)
    struct turn *turns = calloc(reader->source_count, sizeof *turns);
    if (!turns)
        return -ENOMEM;
    int r = 0;
    for (uint32_t count; !r && (count = take_turns(reader, turns)) > 0;) {
        for (uint32_t i = 0; !r && i < (count + 1) / 2; i++) {
            const struct source *source = &reader->sources[turns[i].source];
            size_t left = (size_t)(source->end - source->at);
            r = read_source(reader, turns[i].source,
                            source->at + (left < BATCH_BYTES ? left : BATCH_BYTES));
        }
        if (!r && take_turns(reader, turns))
            r = hand_out_until(reader, turns[0].newest_ns, UINT32_MAX);
    }
    return r;
}

static struct source source_of(const uint8_t *bytes, size_t from, size_t end, size_t ahead)
{
    return (struct source){.bytes = bytes, .at = bytes + from, .end = bytes + end, .ahead = ahead};
}

int hone_perfdata_run(struct hone_perfdata_stream *stream,
                      const struct hone_perfdata_handler *handler)
{
    HONE_CLEANUP(reader_done)
    struct reader reader = {.stream = stream, .order = {.stream = stream, .handler = handler}};
    reader.sources = calloc((size_t)stream->part_count + 1, sizeof *reader.sources);
    if (!reader.sources)
        return -ENOMEM;
    reader.source_count = stream->part_count + 1;
    reader.sources[0] = source_of(stream->bytes, stream->data_at, stream->data_end, AHEAD_BYTES);
    for (uint32_t i = 0; i < stream->part_count; i++)
        reader.sources[i + 1] =
            source_of(stream->parts[i].bytes, 0, stream->parts[i].len, PART_AHEAD_BYTES);
    // The file itself tells what was there before, without a time, so it comes first.
    int r = read_source(&reader, 0, reader.sources[0].end);
    if (!r)
        r = read_parts(&reader);
    if (!r)
        r = hand_out_until(&reader, UINT64_MAX, UINT32_MAX);
    return r ? r : handler->settle(handler->context);
}

static void give_back(const uint8_t *bytes, size_t len)
{
    if (len)
        (void)madvise((void *)bytes, len, MADV_DONTNEED);
}

void hone_perfdata_give_back(const struct hone_perfdata_stream *stream)
{
    if (!stream->is_mapped)
        return;
    give_back(stream->bytes, stream->len);
    for (uint32_t i = 0; i < stream->part_count; i++)
        give_back(stream->parts[i].bytes, stream->parts[i].len);
}
