#include "session/writer.h"

#include "core/syscall.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

// A claim that keeps losing races for a new chunk gives up; four is more than was ever seen.
enum { CLAIM_TRIES = 8 };

// A window that was mapped for a chunk may be used up by other threads at once.
enum { TAKE_TRIES = 64, PATIENCE_MS = 100 };

static _Atomic int32_t patience_ms; // that the process may still wait for room

// What a thread has claimed and not committed yet, the outermost first: a handler may interrupt one
// claim by another. Further ones than these are counted only.
enum { CLAIMS = 4 };

static __thread struct {
    uint32_t count;
    struct claim {
        struct hone_chunk *chunk; // NULL: there is none yet
        uint32_t at, len;         // of the record in it that is claimed, or is to be
        uint64_t sp;              // of who claims it, or a little below
    } at[CLAIMS];
} mine;

// After `writing` was raised, and before it is lowered: whoever is left by a jump in between leaves
// it too high, never too low.
static struct claim *begin_claim(uint64_t sp)
{
    struct claim *claim = mine.count < CLAIMS ? &mine.at[mine.count] : NULL;
    if (claim)
        claim->sp = sp;
    atomic_signal_fence(memory_order_release);
    mine.count++;
    return claim;
}

static void end_claim(void)
{
    if (mine.count && mine.count <= CLAIMS)
        mine.at[mine.count - 1].chunk = NULL; // the next one has none yet
    atomic_signal_fence(memory_order_release);
    if (mine.count)
        mine.count--;
    atomic_signal_fence(memory_order_release);
}

static _Atomic uint64_t *bitmap(const struct hone_writer *writer)
{
    return (_Atomic uint64_t *)((char *)writer->header + writer->header->header_bytes);
}

static struct hone_chunk *chunk_at(const struct hone_writer *writer, uint32_t index)
{
    return hone_window_chunk(&writer->windows, index);
}

// Whether the chunk is mapped, now.
static bool chunk_is_there(struct hone_writer *writer, uint32_t index)
{
    uint32_t window = index / HONE_WINDOW_CHUNKS;
    return HONE_LIKELY(hone_window_at(&writer->windows, window) != NULL) ||
           (!writer->silent && hone_window_map(&writer->windows, window));
}

int hone_writer_attach(struct hone_writer *writer, void *memory, size_t bytes)
{
    struct hone_session_header *header = memory;
    if (bytes < HONE_HEADER_BYTES || header->magic != HONE_SESSION_MAGIC ||
        header->version != HONE_SESSION_VERSION || header->chunk_bytes != HONE_CHUNK_BYTES)
        return -EPROTO;
    uint32_t count = header->chunk_count;
    uint64_t bitmap_end = (uint64_t)header->header_bytes + (count + 63) / 64 * 8;
    uint64_t chunks_at = header->chunks_at;
    if (header->header_bytes < sizeof *header || count == 0 || count > HONE_CHUNKS_MAX ||
        chunks_at < bitmap_end || chunks_at % 64 || chunks_at > bytes)
        return -EINVAL;
    if (!hone_windows_begin(&writer->windows, (unsigned char *)memory + chunks_at,
                            bytes - chunks_at, count))
        return -EINVAL;
    writer->header = header;
    writer->process_chunk = 0;
    writer->process = NULL;
    writer->silent = false;
    return 0;
}

// Whoever keeps room looks after it only every now and then, unless he is told.
static void ring(const struct hone_writer *writer, uint32_t used)
{
    struct hone_session_header *header = writer->header;
    uint32_t low = atomic_load_explicit(&header->room_low, memory_order_relaxed);
    if (HONE_LIKELY(!low || used < low) || writer->silent ||
        !atomic_compare_exchange_strong_explicit(&header->room_low, &low, 0, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    atomic_fetch_add_explicit(&header->room_bell, 1, memory_order_release);
    (void)hone_syscall6(SYS_futex, (long)&header->room_bell, FUTEX_WAKE, 1, 0, 0, 0);
}

// Takes the first free one of the chunks that `of` has bits for, in a word of the bitmap.
static bool take_of(const struct hone_writer *writer, uint32_t word, uint64_t of, uint32_t *ret)
{
    _Atomic uint64_t *bits = &bitmap(writer)[word];
    uint64_t taken = atomic_load_explicit(bits, memory_order_relaxed);
    while (of & ~taken) {
        uint32_t bit = (uint32_t)__builtin_ctzll(of & ~taken);
        // Acquire: pairs with the release in the reader's give-back, so the zeros are seen.
        if (atomic_compare_exchange_weak_explicit(bits, &taken, taken | (uint64_t)1 << bit,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *ret = word * 64 + bit;
            return true;
        }
    }
    return false;
}

// The chunks of a word whose windows are mapped.
static uint64_t mapped_of(const struct hone_writer *writer, uint32_t word)
{
    enum { WINDOWS = 64 / HONE_WINDOW_CHUNKS };
    uint64_t of = 0;
    for (uint32_t i = 0; i < WINDOWS; i++)
        if (hone_window_at(&writer->windows, word * WINDOWS + i))
            of |= (((uint64_t)1 << HONE_WINDOW_CHUNKS) - 1) << i * HONE_WINDOW_CHUNKS;
    return of;
}

// Chunks that have memory.
static uint32_t backed(const struct hone_writer *writer)
{
    uint32_t count = atomic_load_explicit(&writer->header->backed_chunks, memory_order_acquire);
    return count < writer->windows.chunk_count ? count : writer->windows.chunk_count;
}

// Those of a word.
static uint64_t backed_of(uint32_t count, uint32_t word)
{
    return count - word * 64 < 64 ? ((uint64_t)1 << (count - word * 64)) - 1 : UINT64_MAX;
}

static bool take_mapped(const struct hone_writer *writer, uint32_t *ret)
{
    uint32_t count = backed(writer);
    for (uint32_t word = 0; word * 64 < count; word++)
        if (take_of(writer, word, mapped_of(writer, word) & backed_of(count, word), ret))
            return true;
    return false;
}

// The first that nobody has, for now.
static bool find_free(const struct hone_writer *writer, uint32_t *ret)
{
    uint32_t count = backed(writer);
    for (uint32_t word = 0; word * 64 < count; word++) {
        uint64_t of = backed_of(count, word) &
                      ~atomic_load_explicit(&bitmap(writer)[word], memory_order_relaxed);
        if (of) {
            *ret = word * 64 + (uint32_t)__builtin_ctzll(of);
            return true;
        }
    }
    return false;
}

// Takes a free chunk: sets its bit. Chunks beyond what the reader has backed are not touched. One
// of a window that is mapped, if there is one, and always the first: so windows are few. None is
// taken before its window is mapped: that may last, and of hundreds of threads that come at once
// each would have one meanwhile.
static bool try_chunk(struct hone_writer *writer, uint32_t *ret)
{
    uint32_t index;
    bool taken = take_mapped(writer, &index);
    for (int i = 0; !taken && i < TAKE_TRIES && find_free(writer, &index); i++) {
        if (!chunk_is_there(writer, index))
            break;
        taken = take_mapped(writer, &index);
    }
    if (!taken)
        return false;
    ring(writer,
         atomic_fetch_add_explicit(&writer->header->chunks_used, 1, memory_order_relaxed) + 1);
    *ret = index;
    return true;
}

static bool chunk_take(struct hone_writer *writer, uint32_t *ret)
{
    bool taken = try_chunk(writer, ret);
    if (!taken)
        atomic_fetch_add_explicit(&writer->header->chunks_refused, 1, memory_order_relaxed);
    return taken;
}

// What a process would not be known without is worth a wait, where many come at once and whoever
// makes room has no processor yet; but no process waits longer than that in all its life.
static bool chunk_take_patiently(struct hone_writer *writer, uint32_t *ret)
{
    struct hone_session_header *header = writer->header;
    const struct timespec step = {.tv_nsec = 1000000};
    for (;;) {
        uint32_t count = atomic_load_explicit(&header->backed_chunks, memory_order_acquire);
        if (try_chunk(writer, ret))
            return true;
        if (writer->silent || count >= header->chunk_count ||
            atomic_load_explicit(&header->stop, memory_order_relaxed) ||
            atomic_fetch_sub_explicit(&patience_ms, 1, memory_order_relaxed) <= 0)
            return chunk_take(writer, ret);
        (void)hone_syscall6(SYS_futex, (long)&header->backed_chunks, FUTEX_WAIT, count, (long)&step,
                            0, 0);
    }
}

// Gives back a chunk that was taken and never written to.
static void chunk_untake(struct hone_writer *writer, uint32_t index)
{
    struct hone_chunk *chunk = chunk_at(writer, index);
    atomic_store_explicit(&chunk->state, HONE_CHUNK_FREE, memory_order_relaxed);
    chunk->owner = 0;
    chunk->sequence = 0;
    chunk->process_start = 0;
    atomic_store_explicit(&chunk->used, 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&writer->header->chunks_used, 1, memory_order_relaxed);
    // Release: the cleared head before the cleared bit. Pairs with the acquire in chunk_take().
    atomic_fetch_and_explicit(&bitmap(writer)[index / 64], ~((uint64_t)1 << index % 64),
                              memory_order_release);
}

int hone_writer_begin(struct hone_writer *writer, uint32_t pid, uint32_t parent_pid,
                      uint64_t now_ns)
{
    uint32_t index;
    writer->process = NULL;
    atomic_store_explicit(&patience_ms, PATIENCE_MS, memory_order_relaxed);
    if (!chunk_take_patiently(writer, &index)) {
        atomic_fetch_add_explicit(&writer->header->processes_refused, 1, memory_order_relaxed);
        return -ENOSPC;
    }
    struct hone_chunk *chunk = chunk_at(writer, index);
    struct hone_process *process = (struct hone_process *)(chunk + 1);
    chunk->owner = index;
    chunk->sequence = 0;
    chunk->process_start = (uint32_t)(now_ns / 1000000);
    process->pid = pid;
    process->parent_pid = parent_pid;
    process->started_ns = now_ns;
    atomic_store_explicit(&process->current, index, memory_order_relaxed);
    atomic_store_explicit(&chunk->used, (uint32_t)(sizeof *chunk + sizeof *process),
                          memory_order_relaxed);
    // Release: the description before the state. Pairs with the reader's acquire.
    atomic_store_explicit(&chunk->state, HONE_CHUNK_PROCESS, memory_order_release);
    writer->process_chunk = index;
    writer->process = process;
    mine.count = 0; // a parent's
    return 0;
}

// The reader finds a chunk when its state says that it has records. Only the current one's may: one
// that lost the race has the same owner and sequence.
static void publish(struct hone_chunk *chunk)
{
    // Release: whose it is before what it is. Pairs with the reader's acquire.
    if (HONE_UNLIKELY(atomic_load_explicit(&chunk->state, memory_order_relaxed) == HONE_CHUNK_FREE))
        atomic_store_explicit(&chunk->state, HONE_CHUNK_RECORDS, memory_order_release);
}

// Makes a new chunk the current one unless somebody else was faster.
static bool next_chunk(struct hone_writer *writer, uint32_t full)
{
    struct hone_process *process = writer->process;
    uint32_t index;
    if (!chunk_take(writer, &index))
        return false;
    struct hone_chunk *chunk = chunk_at(writer, index);
    struct hone_chunk *before = chunk_at(writer, full);
    chunk->owner = writer->process_chunk;
    chunk->sequence = before->sequence + 1;
    chunk->process_start = before->process_start;
    atomic_store_explicit(&chunk->used, (uint32_t)sizeof *chunk, memory_order_relaxed);
    // Sequential: ordered against process->writing, which the reader looks at after this.
    if (atomic_compare_exchange_strong(&process->current, &full, index))
        publish(chunk);
    else
        chunk_untake(writer, index);
    return true;
}

static void pad(struct hone_chunk *chunk, uint32_t at)
{
    if (at >= HONE_CHUNK_BYTES)
        return;
    struct hone_record *rest = (struct hone_record *)((char *)chunk + at);
    uint32_t head = HONE_RECORD_HEAD(HONE_RECORD_PADDING, HONE_CHUNK_BYTES - at);
    atomic_store_explicit(&rest->head, head, memory_order_release);
}

void *hone_writer_claim(struct hone_writer *writer, size_t bytes)
{
    struct hone_process *process = writer->process;
    if (!process || bytes > HONE_RECORD_BYTES_MAX)
        return NULL;
    uint32_t len = (uint32_t)(bytes + 7) & ~7u;
    // Sequential: before the load of current, so that the reader, who reads them in the other
    // order, cannot give back a chunk that a late writer still holds.
    atomic_fetch_add(&process->writing, 1);
    struct claim *claim = begin_claim((uintptr_t)__builtin_frame_address(0));
    for (int i = 0; i < CLAIM_TRIES; i++) {
        uint32_t index = atomic_load(&process->current);
        if (!chunk_is_there(writer, index)) // in a child that was forked unseen: its parent's
            break;
        struct hone_chunk *chunk = chunk_at(writer, index);
        publish(chunk); // who made it current may not have come to that yet, or never will
        uint32_t at = atomic_load_explicit(&chunk->used, memory_order_relaxed);
        while (at < HONE_CHUNK_BYTES) {
            // What is to be claimed is known before it is.
            if (claim) {
                claim->at = at;
                claim->len = len;
                atomic_signal_fence(memory_order_release);
                claim->chunk = chunk;
                atomic_signal_fence(memory_order_release);
            }
            if (!atomic_compare_exchange_weak_explicit(&chunk->used, &at, at + len,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            if (at + len <= HONE_CHUNK_BYTES) {
                struct hone_record *record = (struct hone_record *)((char *)chunk + at);
                atomic_store_explicit(&record->head, HONE_RECORD_HEAD(HONE_RECORD_PENDING, len),
                                      memory_order_release);
                return record;
            }
            pad(chunk, at); // only one claim crosses the end
            break;
        }
        if (!next_chunk(writer, index))
            break;
    }
    end_claim();
    atomic_fetch_sub(&process->writing, 1);
    return NULL;
}

void hone_writer_commit(struct hone_writer *writer, void *record, enum hone_record_kind kind)
{
    struct hone_record *r = record;
    uint32_t pending = atomic_load_explicit(&r->head, memory_order_relaxed);
    // Release: the record before its kind. Pairs with the reader's acquire.
    atomic_store_explicit(&r->head, HONE_RECORD_HEAD(kind, HONE_RECORD_LENGTH(pending)),
                          memory_order_release);
    end_claim();
    atomic_fetch_sub(&writer->process->writing, 1);
}

// Nobody finishes it. Where it is not even begun, another thread may have been faster, and then
// begins it at once.
static void finish(struct hone_chunk *chunk, uint32_t at, uint32_t len)
{
    enum { LOOKS = 1000 };
    struct hone_record *record = (struct hone_record *)((char *)chunk + at);
    if (atomic_load_explicit(&chunk->used, memory_order_relaxed) <= at)
        return; // nor claimed
    uint32_t head = 0;
    for (int i = 0; !head && i < LOOKS; i++)
        head = atomic_load_explicit(&record->head, memory_order_acquire);
    if (at + len > HONE_CHUNK_BYTES)
        len = HONE_CHUNK_BYTES - at;
    if (!head || head == HONE_RECORD_HEAD(HONE_RECORD_PENDING, len))
        (void)atomic_compare_exchange_strong_explicit(&record->head, &head,
                                                      HONE_RECORD_HEAD(HONE_RECORD_PADDING, len),
                                                      memory_order_release, memory_order_relaxed);
}

void hone_writer_abandon(struct hone_writer *writer, uint64_t sp)
{
    while (mine.count && mine.count <= CLAIMS && mine.at[mine.count - 1].sp < sp) {
        const struct claim *claim = &mine.at[mine.count - 1];
        if (claim->chunk)
            finish(claim->chunk, claim->at, claim->len);
        end_claim();
        if (writer->process)
            atomic_fetch_sub(&writer->process->writing, 1);
    }
}

bool hone_writer_take_sites(struct hone_writer *writer, uint32_t *ret)
{
    uint32_t index;
    if (!writer->process || !chunk_take_patiently(writer, &index))
        return false;
    struct hone_chunk *chunk = chunk_at(writer, index);
    chunk->owner = writer->process_chunk;
    chunk->sequence = UINT64_MAX; // no part of the stream of records
    chunk->process_start = chunk_at(writer, writer->process_chunk)->process_start;
    // Release: whose it is before what it is.
    atomic_store_explicit(&chunk->state, HONE_CHUNK_HEAP_SITES, memory_order_release);
    *ret = index * HONE_HEAP_SITES_STRIDE;
    return true;
}

bool hone_writer_mark(struct hone_session_header *header, uint32_t pid, uint64_t time_ns,
                      const char *name)
{
    uint32_t count = atomic_load_explicit(&header->mark_count, memory_order_relaxed);
    do
        if (count >= HONE_MARKS_MAX) {
            atomic_fetch_add_explicit(&header->marks_refused, 1, memory_order_relaxed);
            return false;
        }
    while (!atomic_compare_exchange_weak_explicit(&header->mark_count, &count, count + 1,
                                                  memory_order_acq_rel, memory_order_relaxed));
    struct hone_session_mark *mark = &header->marks[count];
    mark->pid = pid;
    size_t len = strnlen(name, HONE_MARK_NAME);
    if (len == HONE_MARK_NAME) // is cut, before a character
        while (--len && ((unsigned char)name[len] & 0xc0) == 0x80)
            continue;
    memcpy(mark->name, name, len);
    // Release: what it is called before the time. Pairs with the reader's acquire.
    atomic_store_explicit(&mark->time_ns, time_ns, memory_order_release);
    return true;
}
