#include "convert/perf_stream.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "convert/perf_unpack.h"
#include "elf/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER_BYTES = sizeof(struct perf_event_header),
    WAITING_MAX = 4 << 20, // records: 160 MB of memory here, some GB of the file
    BLOCKS_BYTES_MAX = 256 << 20,
    AHEAD_BYTES = 16 << 20, // of a mapped file, that are mapped at once
};

// A record that waits for those that are older.
struct waiting {
    uint64_t time_ns;
    const uint8_t *at;
    uint32_t size, event; // event: plus one; 0: of none
    struct hone_perfdata_block *block;
};

struct reader {
    struct hone_perfdata_stream *stream;
    const struct hone_perfdata_handler *handler;
    struct waiting *waiting, *spare; // two of `room`
    uint32_t count, room;
    uint64_t newest_ns; // of all records so far
    uint64_t round_ns;  // the newest one of the round before
    uint64_t handed_ns; // what was handed out is not younger
    size_t mapped;      // bytes of the file
    struct hone_perfdata_unpacker unpacker;
};

static void reader_done(struct reader *reader)
{
    free(reader->waiting);
    free(reader->spare);
    hone_perfdata_unpacker_done(&reader->unpacker);
}

// --- order ---------------------------------------------------------------------------------------

// One CPU's records are in order already: so runs are merged, two at a time, until one is left.
static uint32_t merge_pass(const struct waiting *from, struct waiting *to, uint32_t count)
{
    uint32_t runs = 0;
    for (uint32_t at = 0; at < count; runs++) {
        uint32_t a = at, middle = at + 1;
        while (middle < count && from[middle].time_ns >= from[middle - 1].time_ns)
            middle++;
        uint32_t b = middle, end = middle < count ? middle + 1 : middle;
        while (end < count && from[end].time_ns >= from[end - 1].time_ns)
            end++;
        for (uint32_t k = at; k < end; k++)
            to[k] = b == end || (a < middle && from[a].time_ns <= from[b].time_ns) ? from[a++]
                                                                                   : from[b++];
        at = end;
    }
    return runs;
}

static void sort(struct reader *reader)
{
    bool sorted = true;
    for (uint32_t i = 1; i < reader->count && sorted; i++)
        sorted = reader->waiting[i - 1].time_ns <= reader->waiting[i].time_ns;
    for (uint32_t runs = sorted ? 1 : 2; runs > 1;) {
        runs = merge_pass(reader->waiting, reader->spare, reader->count);
        struct waiting *swap = reader->waiting;
        reader->waiting = reader->spare;
        reader->spare = swap;
    }
}

static int hand_out(struct reader *reader, const struct waiting *waiting)
{
    const struct hone_perfdata_record record = {
        .time_ns = waiting->time_ns,
        .at = waiting->at,
        .size = waiting->size,
        .event = waiting->event ? &reader->stream->info.events[waiting->event - 1] : NULL,
    };
    return reader->handler->record(reader->handler->context, &record);
}

// Hands out what is not younger than `until_ns`, and not more than `most` records.
static int hand_out_until(struct reader *reader, uint64_t until_ns, uint32_t most)
{
    sort(reader);
    uint32_t done = 0;
    int r = 0;
    for (; done < reader->count && done < most && reader->waiting[done].time_ns <= until_ns && !r;
         done++) {
        r = hand_out(reader, &reader->waiting[done]);
        reader->handed_ns = reader->waiting[done].time_ns;
        if (reader->waiting[done].block)
            reader->waiting[done].block->waiting--;
    }
    reader->count -= done;
    if (reader->count)
        memmove(reader->waiting, reader->waiting + done, reader->count * sizeof *reader->waiting);
    if (!r && hone_perfdata_unpacker_has_idle(&reader->unpacker)) {
        r = reader->handler->settle(reader->handler->context);
        hone_perfdata_unpacker_free_idle(&reader->unpacker);
    }
    return r;
}

static int finish_round(struct reader *reader)
{
    int r = hand_out_until(reader, reader->round_ns, UINT32_MAX);
    reader->round_ns = reader->newest_ns;
    return r;
}

static bool grow(struct reader *reader)
{
    uint32_t room = reader->room;
    if (!hone_array_reserve(&reader->spare, &room, (uint64_t)reader->count + 1,
                            sizeof *reader->spare))
        return false;
    return hone_array_reserve(&reader->waiting, &reader->room, (uint64_t)reader->count + 1,
                              sizeof *reader->waiting);
}

static int wait_for_older(struct reader *reader, const struct waiting *waiting)
{
    reader->stream->losses.late += waiting->time_ns < reader->handed_ns;
    if (waiting->time_ns > reader->newest_ns)
        reader->newest_ns = waiting->time_ns;
    if (!grow(reader))
        return -ENOMEM;
    reader->waiting[reader->count++] = *waiting;
    if (waiting->block)
        waiting->block->waiting++;
    // No end of a round for so long: the older half goes.
    if (reader->count == WAITING_MAX ||
        hone_perfdata_unpacker_bytes(&reader->unpacker) > BLOCKS_BYTES_MAX)
        return hand_out_until(reader, UINT64_MAX, reader->count / 2 + 1);
    return 0;
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
    const struct waiting waiting = {
        .time_ns = time_of(event, record, size, is_sample),
        .at = record,
        .size = size,
        .event = event ? (uint32_t)(event - info->events) + 1 : 0,
        .block = block,
    };
    // What perf itself found at the beginning has no time, and comes before everything.
    if (waiting.time_ns == 0 || waiting.time_ns == UINT64_MAX)
        return hand_out(reader, &waiting);
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
    const struct hone_perfdata_stream *stream = reader->stream;
    size_t read = (size_t)(at - stream->bytes);
    if (!stream->is_mapped || read < reader->mapped)
        return;
    size_t from = read & ~(size_t)(AHEAD_BYTES - 1);
    size_t size = stream->len - from < AHEAD_BYTES ? stream->len - from : AHEAD_BYTES;
    reader->mapped = from + size;
#ifdef MADV_POPULATE_READ
    // Where the kernel is older they come one by one.
    (void)madvise((void *)(stream->bytes + from), size, MADV_POPULATE_READ);
#endif
}

// Records from `at` on. *ret_rest is where the first begins that is not whole, or makes no sense.
static int scan(struct reader *reader, const uint8_t *at, const uint8_t *end,
                struct hone_perfdata_block *block, const uint8_t **ret_rest)
{
    struct hone_perfdata_losses *losses = &reader->stream->losses;
    int r = 0;
    while (end - at >= HEADER_BYTES && !r) {
        if (!block)
            map_ahead(reader, at);
        struct perf_event_header header;
        memcpy(&header, at, sizeof header);
        uint64_t payload;
        if (header.size < HEADER_BYTES || header.size > end - at ||
            !skip_payload(at, &header, end, &payload))
            break;
        if (header.type == HONE_PERFDATA_AUXTRACE)
            losses->auxtrace_bytes += payload;
        r = on_record(reader, at, &header, block);
        at += header.size + payload;
        // What a damaged stream of compressed records leaves is where reading ends.
        if (losses->bad_at)
            break;
    }
    *ret_rest = at;
    return r;
}

static int scan_unpacked(struct reader *reader, const uint8_t *record, uint16_t size, uint16_t type)
{
    struct hone_cursor at = hone_cursor_from(record, size, HEADER_BYTES);
    size_t packed = hone_cursor_left(&at);
    if (type == HONE_PERFDATA_COMPRESSED2) { // padded: it tells its true size
        uint64_t told = hone_read_u64(&at);
        packed = hone_cursor_left(&at);
        packed = told < packed ? told : packed;
    }
    struct hone_perfdata_block *block = NULL;
    int r = hone_perfdata_unpack(&reader->unpacker, at.at, packed, &block);
    if (r == -ENOMEM)
        return r;
    if (r) {
        reader->stream->losses.bad_at = (uint64_t)(record - reader->stream->bytes);
        reader->stream->losses.unpacking = true;
        return 0;
    }
    const uint8_t *rest;
    block->waiting++; // while it is read
    r = scan(reader, block->bytes, block->bytes + block->size, block, &rest);
    block->waiting--;
    size_t left = block->size - (size_t)(rest - block->bytes);
    if (!r)
        r = hone_perfdata_unpacker_carry(&reader->unpacker, rest, left);
    if (r == -EBADMSG) {
        reader->stream->losses.bad_at = (uint64_t)(record - reader->stream->bytes);
        r = 0;
    }
    return r;
}

int hone_perfdata_run(struct hone_perfdata_stream *stream,
                      const struct hone_perfdata_handler *handler)
{
    HONE_CLEANUP(reader_done) struct reader reader = {.stream = stream, .handler = handler};
    const uint8_t *end = stream->bytes + stream->data_end, *rest;
    int r = scan(&reader, stream->bytes + stream->data_at, end, NULL, &rest);
    if (!r)
        r = hand_out_until(&reader, UINT64_MAX, UINT32_MAX);
    if (!r)
        r = handler->settle(handler->context);
    if (r || stream->losses.bad_at || rest == end)
        return r;
    struct perf_event_header header = {0};
    if (end - rest >= HEADER_BYTES)
        memcpy(&header, rest, sizeof header);
    uint64_t at = (uint64_t)(rest - stream->bytes);
    if (end - rest >= HEADER_BYTES && header.size < HEADER_BYTES)
        stream->losses.bad_at = at;
    else
        stream->losses.cut_at = at;
    return 0;
}

void hone_perfdata_give_back(const struct hone_perfdata_stream *stream)
{
    if (stream->is_mapped && stream->len)
        (void)madvise((void *)stream->bytes, stream->len, MADV_DONTNEED);
}
