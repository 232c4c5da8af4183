// The file in blocks, each handled in three steps: filled with whole messages (in order: unpacking
// cannot be shared out), its samples decoded (any block, any thread), collected into the profile
// (in order). Whoever is free takes a step: collecting first, which makes a block free, filling
// last. So with two threads one unpacks while the other decodes, and neither waits for long; with
// one, the same steps follow each other. Errors count when their block would be collected: the
// first in the file is reported, whoever finds one first.
//
//     fill ──► filled ──► decode ──► decoded ──► collect ──► free ──► fill …
#include "profile/decode.h"

#include "base/cleanup.h"
#include "base/crew.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BLOCK_BYTES = 1 << 18, // with its frames in the second-level cache
    BLOCKS = 4,            // at work at a time
    THREADS_MAX = 3,       // unpacking keeps one busy; decoding takes as long
    HEAD_MAX = 20,         // longest tag and length
};

enum state { FREE, FILLED, DECODED };

struct stream {
    struct hone_decoder *d;
    size_t block_bytes;
    unsigned char *tail; // the beginning of a message that the last block was too small for
    size_t tail_len;
    size_t tail_room;
    uint64_t offset; // of the next plain byte
    bool at_end;     // of the input

    pthread_mutex_t lock; // for what follows
    pthread_cond_t changed;
    struct hone_decode_block blocks[BLOCKS]; // number n at n % BLOCKS
    enum state states[BLOCKS];
    unsigned filled; // blocks so far, as those below
    unsigned taken;
    unsigned collected;
    bool filling;
    bool collecting;
    bool ended; // there is nothing more to fill
    bool stopped;
    int status;
};

// --- filling -------------------------------------------------------------------------------------

// A message of the outermost level.
struct message {
    struct hone_wire_field field;
    const unsigned char *end;
};

enum found { MESSAGE, MORE, BAD };

// Finds the message at this place. MORE: it goes on behind the end.
static enum found find_message(const struct stream *s, const unsigned char *at,
                               const unsigned char *end, struct message *ret,
                               hone_wire_fault *ret_fault)
{
    struct hone_wire bytes = {at, end};
    hone_wire_fault fault = hone_wire_next(&bytes, &ret->field);
    if (!fault) {
        ret->end = bytes.at;
        return MESSAGE;
    }
    *ret_fault = fault;
    if (s->at_end)
        return BAD;
    if (end - at < HEAD_MAX)
        return MORE;
    struct hone_wire head = {at, end};
    uint64_t tag;
    uint64_t len;
    bool is_long = hone_wire_varint(&head, &tag) && (tag & 7) == HONE_WIRE_BYTES &&
                   hone_wire_varint(&head, &len) && len <= UINT32_MAX;
    return is_long ? MORE : BAD;
}

// Keeps a run of messages that are no samples for the time when all are known.
static bool keep(struct hone_decoder *d, const unsigned char *at, size_t len, uint64_t offset)
{
    if (!len)
        return true;
    const struct hone_decode_piece *last = d->pieces ? &d->pieces[d->piece_count - 1] : NULL;
    if (!last || last->offset + (d->rest.len - last->start) != offset) {
        if (!hone_decode_room(&d->pieces, &d->piece_room, d->piece_count, sizeof *d->pieces))
            return false;
        d->pieces[d->piece_count++] =
            (struct hone_decode_piece){.offset = offset, .start = d->rest.len};
    }
    hone_buffer_add(&d->rest, at, len);
    return !d->rest.failed;
}

static int out_of_memory(const struct stream *s, struct hone_decode_block *b)
{
    return hone_error_set(&b->err, -ENOMEM, "cannot read '%s'", hone_unpack_name(s->d->input));
}

// Counts the block's samples and keeps the rest; sets *ret_len to where whole messages end.
static int sort_messages(struct stream *s, struct hone_decode_block *b, size_t len, size_t *ret_len)
{
    struct hone_decoder *d = s->d;
    const unsigned char *at = b->bytes;
    const unsigned char *end = b->bytes + len;
    const unsigned char *run = at; // of other messages
    bool kept = true;
    b->sample_count = 0;
    while (kept && at != end) {
        struct message message;
        hone_wire_fault fault;
        enum found found = find_message(s, at, end, &message, &fault);
        if (found == MORE)
            break;
        if (found == BAD)
            return hone_decode_bad_byte(d, b->offset + (uint64_t)(at - b->bytes), &b->err, "%s",
                                        fault);
        uint64_t number = message.field.number;
        if (number < HONE_DECODE_FIELDS)
            d->count[number]++;
        if (number == 2) {
            if (d->count[2] == 1) {
                d->first_sample = b->offset + (uint64_t)(at - b->bytes);
                d->value_count = hone_decode_count_values(message.field.body);
                if (d->value_count > HONE_PROFILE_TYPES_MAX)
                    return hone_decode_bad_byte(d, d->first_sample, &b->err,
                                                "sample with more than %d values",
                                                HONE_PROFILE_TYPES_MAX);
            }
            b->sample_count++;
        }
        if (number == 2 || number >= HONE_DECODE_FIELDS) {
            kept = keep(d, run, (size_t)(at - run), b->offset + (uint64_t)(run - b->bytes));
            run = message.end;
        }
        at = message.end;
    }
    kept = kept && keep(d, run, (size_t)(at - run), b->offset + (uint64_t)(run - b->bytes));
    *ret_len = (size_t)(at - b->bytes);
    return kept ? 0 : out_of_memory(s, b);
}

static bool make_larger(struct hone_decode_block *b, size_t room)
{
    unsigned char *bytes = room > b->room ? realloc(b->bytes, room) : b->bytes;
    if (!bytes)
        return false;
    b->bytes = bytes;
    if (room > b->room)
        b->room = room;
    return true;
}

static bool set_tail(struct stream *s, const unsigned char *at, size_t len)
{
    if (len > s->tail_room) {
        free(s->tail);
        s->tail_room = len + len / 2;
        s->tail = malloc(s->tail_room);
        if (!s->tail)
            s->tail_room = 0;
        if (!s->tail)
            return false;
    }
    if (len)
        memcpy(s->tail, at, len);
    s->tail_len = len;
    return true;
}

static int fill(struct stream *s, struct hone_decode_block *b)
{
    b->offset = s->offset - s->tail_len;
    b->len = 0;
    b->sample_count = 0;
    size_t room = s->block_bytes;
    while (room < s->tail_len * 2)
        room *= 2;
    if (!make_larger(b, room))
        return out_of_memory(s, b);
    if (s->tail_len)
        memcpy(b->bytes, s->tail, s->tail_len);
    size_t len = s->tail_len;
    size_t got;
    int r = hone_unpack_next(s->d->input, b->bytes + len, b->room - len, &got, &b->err);
    if (r)
        return r;
    s->at_end = got < b->room - len;
    s->offset += got;
    len += got;
    b->share = hone_unpack_share(s->d->input);
    r = sort_messages(s, b, len, &b->len);
    if (r)
        return r;
    return set_tail(s, b->bytes + b->len, len - b->len) ? 0 : out_of_memory(s, b);
}

// --- who does what -------------------------------------------------------------------------------

static bool collect_one(struct stream *s)
{
    unsigned place = s->collected % BLOCKS;
    if (s->collecting || s->collected == s->taken || s->states[place] != DECODED)
        return false;
    s->collecting = true;
    (void)pthread_mutex_unlock(&s->lock);
    int r = hone_decode_collect(s->d, &s->blocks[place]);
    (void)pthread_mutex_lock(&s->lock);
    s->collecting = false;
    s->states[place] = FREE;
    s->collected++;
    if (r) {
        s->status = r;
        s->stopped = true;
    }
    return true;
}

static bool decode_one(struct stream *s)
{
    if (s->taken == s->filled)
        return false;
    unsigned place = s->taken++ % BLOCKS;
    (void)pthread_mutex_unlock(&s->lock);
    if (!s->blocks[place].status)
        hone_decode_samples(s->d, &s->blocks[place]);
    (void)pthread_mutex_lock(&s->lock);
    s->states[place] = DECODED;
    return true;
}

static bool fill_one(struct stream *s)
{
    if (s->filling || s->ended || s->filled - s->collected == BLOCKS)
        return false;
    unsigned place = s->filled % BLOCKS;
    s->filling = true;
    (void)pthread_mutex_unlock(&s->lock);
    struct hone_decode_block *b = &s->blocks[place];
    b->status = fill(s, b);
    (void)pthread_mutex_lock(&s->lock);
    s->filling = false;
    s->ended = b->status || s->at_end;
    s->states[place] = FILLED;
    s->filled++;
    return true;
}

static bool is_over(const struct stream *s)
{
    return s->stopped || (s->ended && s->collected == s->filled);
}

static void work(void *context, unsigned number)
{
    (void)number;
    struct stream *s = context;
    (void)pthread_mutex_lock(&s->lock);
    while (!is_over(s)) {
        if (collect_one(s) || decode_one(s) || fill_one(s))
            (void)pthread_cond_broadcast(&s->changed);
        else
            (void)pthread_cond_wait(&s->changed, &s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static void stream_done(struct stream *s)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        hone_decode_block_done(&s->blocks[i]);
    free(s->tail);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->changed);
}

static unsigned thread_count(const struct hone_decode_ways *ways)
{
    if (ways->threads)
        return ways->threads;
    unsigned count = hone_crew_size();
    return count < THREADS_MAX ? count : THREADS_MAX;
}

int hone_decode_stream(struct hone_decoder *d, const struct hone_decode_ways *ways)
{
    HONE_CLEANUP(stream_done)
    struct stream s = {.d = d,
                       .block_bytes = ways->block_bytes ? ways->block_bytes : BLOCK_BYTES,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER};
    // A file that fits one block needs no help.
    s.blocks[0].status = fill(&s, &s.blocks[0]);
    s.ended = s.blocks[0].status || s.at_end;
    s.states[0] = FILLED;
    s.filled = 1;
    if (s.ended)
        work(&s, 0);
    else
        hone_crew_run(thread_count(ways), work, &s);
    return s.status;
}
