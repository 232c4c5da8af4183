#include "session/reader.h"

#include "core/clock.h"
#include "session/reader_facts.h"
#include "session/reader_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What a processor cannot do in a second, whatever runs on it: more samples than that, or more
// frames in one than fit. And how much longer than we do a program may have run: it may have been
// there before.
enum { SAMPLES_PER_SECOND = 100000, EARLIER_SECONDS = 3600 };

// One process whose stream is being read.
//
//     chunk      the chunk that is read now, sequence its number, at the next record in it
//     finished   chunks that were read to the end and may still be held by a late writer
struct stream {
    uint32_t first_chunk;
    uint32_t pid; // as it said first
    bool overwritten;
    uint32_t chunk;
    uint64_t sequence;
    uint32_t at;
    bool dead;
    bool ended;
    uint32_t *finished;
    uint32_t finished_count;
    uint32_t finished_room;
};

// A chunk of records or sites found by a scan, sorted by owner and sequence.
struct found {
    uint32_t owner;
    uint32_t chunk;
    uint64_t sequence;
};

// What a chunk of sites said of itself when it was found first: it stays one until it is given
// back. Of a process with many, a scan need not fetch each into the processor's cache.
struct sites_chunk {
    bool known;
    uint32_t owner;
};

struct hone_reader {
    struct hone_session_header *header;
    _Atomic uint64_t *bitmap;
    unsigned char *chunks;
    uint32_t chunk_count; // checked against the size of the memory
    uint32_t *stream_of;  // by first chunk: stream index plus one, 0 for none
    struct stream *streams;
    uint32_t stream_count;
    uint32_t stream_room;
    uint32_t first_live; // streams before this have ended
    bool all_dead;       // also those that are yet to be found
    struct found *found;
    uint32_t found_count;
    struct sites_chunk *sites; // by chunk
    struct hone_reader_losses losses;
    uint32_t marks_told;
    uint64_t opened_ns;
    uint64_t processors;
    uint64_t most_ns;    // CPU time that a process may have used by now
    uint64_t most_count; // things that may have happened in it
};

static struct hone_chunk *chunk_at(const struct hone_reader *reader, uint32_t index)
{
    return (struct hone_chunk *)(reader->chunks + (size_t)index * HONE_CHUNK_BYTES);
}

static struct hone_process *process_of(const struct hone_reader *reader,
                                       const struct stream *stream)
{
    return (struct hone_process *)(chunk_at(reader, stream->first_chunk) + 1);
}

static void set_limits(struct hone_reader *reader)
{
    uint64_t seconds = (hone_now_ns() - reader->opened_ns) / 1000000000u + EARLIER_SECONDS;
    reader->most_ns = seconds * reader->processors * 1000000000u;
    reader->most_count = seconds * reader->processors * SAMPLES_PER_SECOND;
}

int hone_reader_open(void *memory, size_t bytes, struct hone_reader **ret)
{
    struct hone_session_header header;
    if (bytes < HONE_HEADER_BYTES)
        return -EPROTO;
    memcpy(&header, memory, sizeof header);
    if (header.magic != HONE_SESSION_MAGIC || header.version != HONE_SESSION_VERSION ||
        header.chunk_bytes != HONE_CHUNK_BYTES)
        return -EPROTO;
    uint64_t count = header.chunk_count;
    uint64_t bitmap_end = (uint64_t)header.header_bytes + (count + 63) / 64 * 8;
    if (count == 0 || count > HONE_CHUNKS_MAX || header.header_bytes < sizeof header ||
        header.header_bytes % 8 || bitmap_end > header.chunks_at || header.chunks_at % 64 ||
        header.chunks_at > bytes || (bytes - header.chunks_at) / HONE_CHUNK_BYTES < count)
        return -EINVAL;

    struct hone_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    reader->header = memory;
    reader->bitmap = (_Atomic uint64_t *)((char *)memory + header.header_bytes);
    reader->chunks = (unsigned char *)memory + header.chunks_at;
    reader->chunk_count = (uint32_t)count;
    reader->stream_of = calloc(count, sizeof *reader->stream_of);
    reader->found = calloc(count, sizeof *reader->found);
    reader->sites = calloc(count, sizeof *reader->sites);
    if (!reader->stream_of || !reader->found || !reader->sites) {
        hone_reader_close(reader);
        return -ENOMEM;
    }
    long processors = sysconf(_SC_NPROCESSORS_CONF);
    reader->processors = processors > 0 ? (uint64_t)processors : 1;
    reader->opened_ns = hone_now_ns();
    set_limits(reader);
    *ret = reader;
    return 0;
}

void hone_reader_close(struct hone_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i < reader->stream_count; i++)
        free(reader->streams[i].finished);
    free(reader->streams);
    free(reader->stream_of);
    free(reader->found);
    free(reader->sites);
    free(reader);
}

// Also of a process that has written noise over what it said of itself: then without numbers.
static void copy_facts(struct hone_reader *reader, struct stream *stream,
                       struct hone_process_facts *ret)
{
    struct hone_process_facts facts;
    hone_facts_copy(process_of(reader, stream), &facts);
    if (stream->pid == facts.pid &&
        hone_facts_plausible(&facts, reader->most_count, reader->most_ns)) {
        *ret = facts;
        return;
    }
    if (!stream->overwritten)
        reader->losses.broken++;
    stream->overwritten = true;
    *ret = (struct hone_process_facts){
        .pid = stream->pid, .engine = facts.engine, .state = facts.state, .broken = true};
    memcpy(ret->path, facts.path, sizeof ret->path);
    memcpy(ret->name, facts.name, sizeof ret->name);
}

// A process that was not there before. Its chunk state was read with acquire order.
static int add_stream(struct hone_reader *reader, uint32_t chunk)
{
    if (reader->stream_count == reader->stream_room) {
        uint32_t room = reader->stream_room ? reader->stream_room * 2 : 16;
        struct stream *streams = realloc(reader->streams, room * sizeof *streams);
        if (!streams)
            return -ENOMEM;
        reader->streams = streams;
        reader->stream_room = room;
    }
    reader->streams[reader->stream_count++] = (struct stream){
        .first_chunk = chunk,
        .pid = ((const struct hone_process *)(chunk_at(reader, chunk) + 1))->pid,
        .chunk = chunk,
        .at = sizeof(struct hone_chunk) + sizeof(struct hone_process),
        .dead = reader->all_dead,
    };
    reader->stream_of[chunk] = reader->stream_count;
    return 0;
}

static int by_owner_and_sequence(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->owner != y->owner)
        return x->owner < y->owner ? -1 : 1;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    return x->chunk < y->chunk ? -1 : 1;
}

// Looks at every taken chunk: new processes become streams, chunks of records are listed.
static int scan(struct hone_reader *reader, const struct hone_reader_events *events, void *context)
{
    reader->found_count = 0;
    for (uint32_t word = 0; word * 64 < reader->chunk_count; word++) {
        uint64_t taken = atomic_load_explicit(&reader->bitmap[word], memory_order_acquire);
        for (; taken; taken &= taken - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(taken);
            if (index >= reader->chunk_count)
                break;
            struct sites_chunk *sites = &reader->sites[index];
            if (sites->known) {
                reader->found[reader->found_count++] =
                    (struct found){sites->owner, index, UINT64_MAX};
                continue;
            }
            struct hone_chunk *chunk = chunk_at(reader, index);
            uint32_t state = atomic_load_explicit(&chunk->state, memory_order_acquire);
            if (state == HONE_CHUNK_HEAP_SITES) {
                *sites = (struct sites_chunk){true, chunk->owner};
                reader->found[reader->found_count++] =
                    (struct found){sites->owner, index, UINT64_MAX};
            } else if (state == HONE_CHUNK_RECORDS) {
                reader->found[reader->found_count++] =
                    (struct found){chunk->owner, index, chunk->sequence};
            } else if (state == HONE_CHUNK_PROCESS && !reader->stream_of[index]) {
                int r = add_stream(reader, index);
                if (r)
                    return r;
                if (events->process) {
                    struct hone_process_facts facts;
                    uint32_t number = reader->stream_count - 1;
                    copy_facts(reader, &reader->streams[number], &facts);
                    events->process(context, number, &facts);
                }
            }
        }
    }
    qsort(reader->found, reader->found_count, sizeof *reader->found, by_owner_and_sequence);
    return 0;
}

static bool find_chunk(const struct hone_reader *reader, uint32_t owner, uint64_t sequence,
                       uint32_t *ret)
{
    uint32_t low = 0, high = reader->found_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct found *at = &reader->found[middle];
        if (at->owner < owner || (at->owner == owner && at->sequence < sequence))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == reader->found_count || reader->found[low].owner != owner ||
        reader->found[low].sequence != sequence)
        return false;
    *ret = reader->found[low].chunk;
    return true;
}

static void give_back(struct hone_reader *reader, uint32_t index)
{
    uint64_t bit = (uint64_t)1 << index % 64;
    if (!(atomic_load_explicit(&reader->bitmap[index / 64], memory_order_relaxed) & bit))
        return;
    memset(chunk_at(reader, index), 0, HONE_CHUNK_BYTES);
    reader->sites[index].known = false;
    atomic_fetch_sub_explicit(&reader->header->chunks_used, 1, memory_order_relaxed);
    // Release: the zeros before the cleared bit. Pairs with the acquire in the writer's take.
    atomic_fetch_and_explicit(&reader->bitmap[index / 64], ~bit, memory_order_release);
}

// Chunks that were read to the end go back as soon as no writer can hold them any more: a writer
// raises `writing` before it loads `current`, and we look in the other order.
static void give_back_finished(struct hone_reader *reader, struct stream *stream)
{
    if (!stream->finished_count)
        return;
    struct hone_process *process = process_of(reader, stream);
    uint32_t current = atomic_load(&process->current);
    if (!stream->dead && atomic_load(&process->writing))
        return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stream->finished_count; i++) {
        if (stream->finished[i] == current && !stream->dead)
            stream->finished[kept++] = stream->finished[i];
        else
            give_back(reader, stream->finished[i]);
    }
    stream->finished_count = kept;
}

static int finish_chunk(struct stream *stream)
{
    if (stream->chunk == stream->first_chunk) // describes the process: stays until its end
        return 0;
    if (stream->finished_count == stream->finished_room) {
        uint32_t room = stream->finished_room ? stream->finished_room * 2 : 4;
        uint32_t *finished = realloc(stream->finished, room * sizeof *finished);
        if (!finished)
            return -ENOMEM;
        stream->finished = finished;
        stream->finished_room = room;
    }
    stream->finished[stream->finished_count++] = stream->chunk;
    return 0;
}

// Marks that were made since the last time. One that is being described ends the list for now, and
// at the end is left without a name.
static void tell_marks(struct hone_reader *reader, const struct hone_reader_events *events,
                       void *context)
{
    uint32_t count = atomic_load_explicit(&reader->header->mark_count, memory_order_acquire);
    if (count > HONE_MARKS_MAX)
        count = HONE_MARKS_MAX;
    for (; reader->marks_told < count; reader->marks_told++) {
        const struct hone_session_mark *mark = &reader->header->marks[reader->marks_told];
        struct hone_reader_mark copy = {
            .time_ns = atomic_load_explicit(&mark->time_ns, memory_order_acquire)};
        if (!copy.time_ns && !reader->all_dead)
            return;
        copy.pid = mark->pid;
        hone_facts_text(copy.name, mark->name, sizeof copy.name);
        if (events->mark)
            events->mark(context, reader->marks_told, &copy);
    }
}

// Reads the current chunk as far as it is committed. Returns true when it was read to its end.
static bool read_chunk(struct hone_reader *reader, const struct hone_reader_events *events,
                       void *context, uint32_t number)
{
    struct stream *stream = &reader->streams[number];
    unsigned char *chunk = (unsigned char *)chunk_at(reader, stream->chunk);
    while (stream->at + sizeof(struct hone_record) <= HONE_CHUNK_BYTES) {
        struct hone_record *record = (struct hone_record *)(chunk + stream->at);
        uint32_t head = atomic_load_explicit(&record->head, memory_order_acquire);
        if (head == 0) {
            if (!stream->dead)
                return false;
            // A writer died between claiming and describing its space; what follows in this chunk
            // cannot be found. Behind the last record nothing was lost.
            struct hone_chunk *header = (struct hone_chunk *)chunk;
            if (atomic_load_explicit(&header->used, memory_order_relaxed) > stream->at)
                reader->losses.unfinished++;
            break;
        }
        uint32_t kind = HONE_RECORD_KIND(head);
        uint32_t len = HONE_RECORD_LENGTH(head);
        if (kind == HONE_RECORD_PENDING && !stream->dead)
            return false;
        if (len < sizeof *record || len > HONE_CHUNK_BYTES - stream->at) {
            reader->losses.broken++;
            break;
        }
        if (kind == HONE_RECORD_PENDING) {
            reader->losses.unfinished++;
        } else if (kind != HONE_RECORD_PADDING) {
            alignas(8) unsigned char copy[HONE_RECORD_BYTES_MAX];
            bool told = false;
            if (len <= sizeof copy) {
                memcpy(copy, record, len);
                // The marks before it, for what it changes belongs behind them.
                if (kind == HONE_RECORD_HEAP_ALLOC || kind == HONE_RECORD_HEAP_FREE ||
                    kind == HONE_RECORD_HEAP_KEPT)
                    tell_marks(reader, events, context);
                told =
                    hone_record_tell(&(struct hone_record_copy){kind, len, copy, reader->most_ns},
                                     events, context, number);
            }
            if (!told)
                reader->losses.broken++;
        }
        stream->at += len;
    }
    return true;
}

static void give_back_all(struct hone_reader *reader, struct stream *stream)
{
    give_back_finished(reader, stream);
    for (uint32_t i = 0; i < reader->found_count; i++)
        if (reader->found[i].owner == stream->first_chunk)
            give_back(reader, reader->found[i].chunk);
    give_back(reader, stream->first_chunk);
}

// The first of a process's chunks of sites, which come behind all of its records.
static uint32_t first_sites(const struct hone_reader *reader, uint32_t owner)
{
    uint32_t low = 0, high = reader->found_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct found *at = &reader->found[middle];
        if (at->owner < owner || (at->owner == owner && at->sequence < UINT64_MAX))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Sites are read as they are: a thread that still counts may be in the middle of one.
static void read_sites(struct hone_reader *reader, const struct hone_reader_events *events,
                       void *context, uint32_t number, bool last)
{
    uint32_t owner = reader->streams[number].first_chunk;
    struct hone_process_facts facts;
    bool copied = false;
    for (uint32_t i = first_sites(reader, owner);
         events->heap_site && i < reader->found_count && reader->found[i].owner == owner; i++) {
        struct hone_chunk *chunk = chunk_at(reader, reader->found[i].chunk);
        if (atomic_load_explicit(&chunk->state, memory_order_acquire) != HONE_CHUNK_HEAP_SITES ||
            chunk->owner != owner)
            continue;
        if (!copied)
            hone_facts_copy(process_of(reader, &reader->streams[number]), &facts);
        copied = true;
        const struct hone_heap_site *sites = (const struct hone_heap_site *)(chunk + 1);
        for (uint32_t at = 0; at < HONE_HEAP_SITES; at++) {
            if (!atomic_load_explicit(&sites[at].stack, memory_order_acquire))
                continue;
            const struct hone_heap_site *site = &sites[at];
            struct hone_heap_site copy;
            if (last && reader->all_dead) { // it may live on, and what is told of it has to agree
                memcpy(&copy, site, sizeof copy);
                site = &copy;
            }
            events->heap_site(context, number, &facts,
                              reader->found[i].chunk * HONE_HEAP_SITES_STRIDE + at, site, last);
        }
    }
}

static void end_stream(struct hone_reader *reader, const struct hone_reader_events *events,
                       void *context, uint32_t number)
{
    struct stream *stream = &reader->streams[number];
    read_sites(reader, events, context, number, true);
    if (events->process_end) {
        struct hone_process_facts facts;
        copy_facts(reader, stream, &facts);
        events->process_end(context, number, &facts);
    }
    // At the end of a recording all are taken for dead, but some live on and write where they
    // always did: what they hold stays theirs.
    if (!reader->all_dead)
        give_back_all(reader, stream);
    reader->stream_of[stream->first_chunk] = 0;
    free(stream->finished);
    stream->finished = NULL;
    stream->ended = true;
}

static int read_stream(struct hone_reader *reader, const struct hone_reader_events *events,
                       void *context, uint32_t number)
{
    while (read_chunk(reader, events, context, number)) {
        struct stream *stream = &reader->streams[number];
        uint32_t next;
        if (!find_chunk(reader, stream->first_chunk, stream->sequence + 1, &next)) {
            stream->at = HONE_CHUNK_BYTES; // read to the end; wait for the next chunk
            break;
        }
        int r = finish_chunk(stream);
        if (r)
            return r;
        stream->chunk = next;
        stream->sequence++;
        stream->at = sizeof(struct hone_chunk);
    }
    if (reader->streams[number].dead)
        end_stream(reader, events, context, number);
    else
        give_back_finished(reader, &reader->streams[number]);
    return 0;
}

int hone_reader_poll(struct hone_reader *reader, const struct hone_reader_events *events,
                     void *context)
{
    set_limits(reader);
    tell_marks(reader, events, context);
    int r = scan(reader, events, context);
    for (uint32_t i = reader->first_live; i < reader->stream_count && !r; i++)
        if (!reader->streams[i].ended)
            r = read_stream(reader, events, context, i);
    while (reader->first_live < reader->stream_count && reader->streams[reader->first_live].ended)
        reader->first_live++;
    return r;
}

void hone_reader_look(struct hone_reader *reader, const struct hone_reader_events *events,
                      void *context)
{
    tell_marks(reader, events, context);
    for (uint32_t i = reader->first_live; i < reader->stream_count; i++)
        if (!reader->streams[i].ended)
            read_sites(reader, events, context, i, false);
}

void hone_reader_dead(struct hone_reader *reader, uint32_t process)
{
    if (process < reader->stream_count)
        reader->streams[process].dead = true;
}

void hone_reader_all_dead(struct hone_reader *reader)
{
    reader->all_dead = true;
    for (uint32_t i = reader->first_live; i < reader->stream_count; i++)
        reader->streams[i].dead = true;
}

bool hone_reader_facts(struct hone_reader *reader, uint32_t process, struct hone_process_facts *ret)
{
    if (process >= reader->stream_count || reader->streams[process].ended)
        return false;
    copy_facts(reader, &reader->streams[process], ret);
    return true;
}

uint64_t hone_reader_refused(struct hone_reader *reader)
{
    uint64_t refused =
        atomic_load_explicit(&reader->header->processes_refused, memory_order_relaxed);
    set_limits(reader);
    if (refused <= reader->most_count)
        return refused;
    reader->losses.broken++;
    return 0;
}

uint32_t hone_reader_marks_refused(const struct hone_reader *reader)
{
    return atomic_load_explicit(&reader->header->marks_refused, memory_order_relaxed);
}

struct hone_reader_losses hone_reader_losses(const struct hone_reader *reader)
{
    return reader->losses;
}
