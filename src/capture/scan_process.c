// One process looked through: its threads are stopped, roots read, and what is not reached is
// counted by stack.
//
// Roots are, as for LeakSanitizer, the data of programs and libraries, stacks from the stack
// pointer on, registers and thread-local storage. Other private memory without blocks of the heap
// in it, which the program or its allocator mapped, is looked at last: what only that points to is
// told apart. Stacks of threads that have ended are no roots.
//
// Where only sampled blocks are known everything else is a root.
#include "capture/scan.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "capture/living.h"
#include "capture/scan_memory.h"
#include "capture/scan_threads.h"
#include "core/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PAGE = 4096,
    RED_ZONE = 128,             // below the stack pointer, in use
    TLS_SURPLUS = PAGE,         // what glibc keeps for libraries to come, and its own account
    STACK_TOP_BYTES = 2 * PAGE, // where the account of a thread lies
    ACCOUNT_WORDS = 512,        // of a thread, at most
    TRIES = 3,                  // until all threads have stood still
};

struct scan {
    const struct hone_scan_target *target;
    struct hone_scan_result *result;
    struct hone_scan_process process;
    struct hone_scan_threads threads;
    struct hone_scan_found found;
    struct hone_scan_heap heap;
};

static void scan_done(struct scan *scan)
{
    hone_scan_resume(&scan->threads);
    hone_scan_heap_done(&scan->heap);
    hone_scan_found_done(&scan->found);
    hone_scan_process_done(&scan->process);
}

static int mark_range(struct scan *scan, uint64_t from, uint64_t to, enum hone_reach reach)
{
    return hone_scan_mark_range(&scan->heap, &scan->process.memory, from, to, reach);
}

static struct hone_scan_area *area_of(struct scan *scan, uint64_t address)
{
    for (uint32_t i = 0; i < scan->process.area_count; i++) {
        struct hone_scan_area *area = &scan->process.areas[i];
        if (address >= area->start && address < area->end)
            return area;
    }
    return NULL;
}

// Whether blocks have begun in [from, to).
static bool has_heap(const struct scan *scan, uint64_t from, uint64_t to)
{
    uint32_t low = 0, high = scan->found.heap_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (scan->found.heap[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < scan->found.heap_count && scan->found.heap[low].from < to;
}

// --- roots ---------------------------------------------------------------------------------------

static int mark_modules(struct scan *scan)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < scan->process.area_count; i++) {
        const struct hone_scan_area *area = &scan->process.areas[i];
        if (!area->module)
            continue;
        scan->heap.skip_tails = area->allocator;
        r = mark_range(scan, area->start, area->end, HONE_REACH_REACHABLE);
        scan->heap.skip_tails = false;
    }
    return r;
}

// Where the thread's stack ends, in the area that holds its stack pointer. The control block, as
// glibc places it, is its end; what lies behind may be anything.
static uint64_t stack_end(const struct scan *scan, const struct hone_scan_area *area,
                          const struct hone_scan_thread *thread)
{
    uint64_t account = hone_scan_thread_bytes();
    uint64_t end = area->end;
    if (account && thread->pointer >= thread->sp && thread->pointer < area->end) {
        uint64_t bound = (thread->pointer + account + PAGE - 1) & ~(uint64_t)(PAGE - 1);
        end = bound < end ? bound : end;
    }
    // A stack that is itself a block.
    uint32_t block = hone_scan_heap_find(&scan->heap, thread->sp);
    if (block != UINT32_MAX) {
        uint64_t bound = scan->found.blocks[block].address + scan->found.blocks[block].size;
        end = bound < end ? bound : end;
    }
    return end;
}

static int mark_stack(struct scan *scan, const struct hone_scan_thread *thread)
{
    const struct hone_scan_area *area = area_of(scan, thread->sp);
    return area ? mark_range(scan, thread->sp - RED_ZONE, stack_end(scan, area, thread),
                             HONE_REACH_REACHABLE)
                : 0;
}

// Where the stack of the thread with that pointer, which `end` lies behind, begins in [from, sp].
static uint64_t stack_start(struct scan *scan, uint64_t pointer, uint64_t end, uint64_t from,
                            uint64_t sp)
{
    uint64_t words[ACCOUNT_WORDS], bytes = hone_scan_thread_bytes();
    bytes = bytes < sizeof words ? bytes : sizeof words;
    bytes = bytes < end - pointer ? bytes : end - pointer; // musl's is smaller
    return hone_scan_read(&scan->process, pointer, words, bytes)
               ? hone_scan_stack_start(words, bytes / sizeof words[0], pointer, from, sp)
               : from;
}

// What is below in a thread's own stack is over; elsewhere other stacks may be. After all of them
// were read, for several may lie in one mapping.
static int leave_stack(struct scan *scan, const struct hone_scan_thread *thread)
{
    const struct hone_scan_area *area = area_of(scan, thread->sp);
    if (!area)
        return 0;
    uint64_t start = area->start, end = stack_end(scan, area, thread);
    uint32_t block = hone_scan_heap_find(&scan->heap, thread->sp);
    if (block != UINT32_MAX) // a stack that is itself one
        start = scan->found.blocks[block].address;
    bool has_account = thread->pointer >= thread->sp && thread->pointer < end;
    if (has_account)
        start = stack_start(scan, thread->pointer, end, start, thread->sp);
    bool own = area->stack || has_account;
    return own ? hone_scan_process_leave_out(&scan->process, start, end) : 0;
}

// Of threads whose storage is not at the end of their stack, such as the first one.
static int mark_storage(struct scan *scan, const struct hone_scan_thread *thread)
{
    const struct hone_scan_area *area = thread->pointer ? area_of(scan, thread->pointer) : NULL;
    if (!area || area->module)
        return 0;
    // On either side, for machines differ; what else is mapped there is not its own. Behind the
    // first thread's account, a static program has its heap.
    uint64_t around = scan->process.tls_bytes + TLS_SURPLUS, account = hone_scan_thread_bytes();
    uint64_t behind = account ? account : around;
    uint64_t from = thread->pointer - around > area->start ? thread->pointer - around : area->start;
    uint64_t to = thread->pointer + behind < area->end ? thread->pointer + behind : area->end;
    int r = mark_range(scan, from, to, HONE_REACH_REACHABLE);
    return r ? r : hone_scan_process_leave_out(&scan->process, from, to);
}

static int mark_threads(struct scan *scan)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < scan->threads.count; i++) {
        const struct hone_scan_thread *thread = &scan->threads.at[i];
        hone_scan_mark_words(&scan->heap, &scan->process.memory, thread->words, thread->word_count,
                             HONE_REACH_REACHABLE);
        if (thread->sp)
            r = mark_stack(scan, thread);
    }
    for (uint32_t i = 0; !r && i < scan->threads.count; i++)
        if (scan->threads.at[i].sp)
            r = leave_stack(scan, &scan->threads.at[i]);
    for (uint32_t i = 0; !r && i < scan->threads.count; i++)
        r = mark_storage(scan, &scan->threads.at[i]);
    return r;
}

// Blocks that were made before anybody counted: those in whose place no other one is by now.
static int mark_early(struct scan *scan)
{
    const struct hone_scan_places *places = &scan->found.places;
    size_t bytes = places->early_count * sizeof(struct hone_scan_range);
    HONE_CLEANUP(hone_freep) struct hone_scan_range *early = malloc(bytes + 1);
    if (!early)
        return -ENOMEM;
    if (bytes && !hone_scan_read(&scan->process, places->early, early, bytes))
        return -EBADMSG;
    int r = 0;
    for (uint32_t i = 0; !r && i < places->early_count; i++) {
        uint64_t from = early[i].address, to = from + early[i].size;
        if (from && to > from && hone_scan_heap_find(&scan->heap, from) == UINT32_MAX)
            r = mark_range(scan, from, to, HONE_REACH_REACHABLE);
    }
    return r;
}

static bool is_of_the_living(const struct scan *scan, uint64_t pointer)
{
    for (uint32_t i = 0; i < scan->threads.count; i++)
        if (scan->threads.at[i].pointer == pointer)
            return true;
    return false;
}

// The C library keeps stacks of threads that have ended for the next ones, and tables of their
// storage, which the second word of a thread's account points to. A stack of the program's own may
// be a part of what it mapped: then that ends the area. Returns 1, or an error, or 0: none is
// there.
static int look_for_one_dead(struct scan *scan, struct hone_scan_area *area)
{
    uint64_t words[STACK_TOP_BYTES / sizeof(uint64_t)];
    uint64_t at = area->end - sizeof words;
    if (area->start >= area->end || area->module || area->end - area->start < sizeof words ||
        has_heap(scan, area->start, area->end) ||
        !hone_scan_read(&scan->process, at, words, sizeof words))
        return 0;
    uint64_t pointer = hone_scan_thread_in(words, HONE_ARRAY_LENGTH(words), at);
    if (!pointer || is_of_the_living(scan, pointer))
        return 0;
    hone_scan_mark_words(&scan->heap, &scan->process.memory, &words[(pointer - at) / sizeof *words],
                         2, HONE_REACH_REACHABLE);
    uint64_t start = stack_start(scan, pointer, area->end, area->start, pointer);
    area->dead = start == area->start;
    int r = area->dead ? 0 : hone_scan_process_leave_out(&scan->process, start, area->end);
    return r ? r : 1;
}

static int look_for_the_dead(struct scan *scan)
{
    int r = 0;
    for (uint32_t i = 0; r >= 0 && i < scan->process.area_count; i++) {
        do
            r = look_for_one_dead(scan, &scan->process.areas[i]);
        while (r == 1 && !scan->process.areas[i].dead);
    }
    return r < 0 ? r : 0;
}

static int mark_mapped(struct scan *scan)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < scan->process.area_count; i++) {
        const struct hone_scan_area *area = &scan->process.areas[i];
        if (area->start < area->end && !area->module && !area->dead &&
            !has_heap(scan, area->start, area->end))
            r = mark_range(scan, area->start, area->end, HONE_REACH_MAPPED);
    }
    return r;
}

// The first block that does not begin before the address.
static uint32_t first_block(const struct scan *scan, uint64_t address)
{
    uint32_t low = 0, high = scan->found.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (scan->found.blocks[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Everything but the blocks themselves.
static int mark_all_else(struct scan *scan)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < scan->process.area_count; i++) {
        const struct hone_scan_area *area = &scan->process.areas[i];
        if (area->start >= area->end || area->module || area->dead)
            continue;
        uint64_t from = area->start;
        for (uint32_t b = first_block(scan, from); !r && b < scan->found.count; b++) {
            const struct hone_scan_block *block = &scan->found.blocks[b];
            if (block->address >= area->end)
                break;
            r = mark_range(scan, from, block->address, HONE_REACH_REACHABLE);
            from = block->address + block->size;
        }
        if (!r)
            r = mark_range(scan, from, area->end, HONE_REACH_REACHABLE);
    }
    return r;
}

// Whether every block is known, so that memory in none of them is nobody's.
static bool knows_all(const struct scan *scan)
{
    return scan->found.places.exact && !scan->target->some_uncounted;
}

static int mark_all(struct scan *scan)
{
    bool exact = knows_all(scan);
    int r = mark_modules(scan);
    if (!r)
        r = mark_threads(scan);
    if (!r)
        r = mark_early(scan);
    if (!r)
        r = look_for_the_dead(scan);
    if (!r && !exact)
        r = mark_all_else(scan);
    if (!r)
        r = hone_scan_mark_follow(&scan->heap, &scan->process.memory, HONE_REACH_REACHABLE);
    if (!r && exact) {
        hone_scan_heap_seek(&scan->heap);
        r = mark_mapped(scan);
    }
    if (!r && exact)
        r = hone_scan_mark_follow(&scan->heap, &scan->process.memory, HONE_REACH_MAPPED);
    return r ? r : hone_scan_mark_indirect(&scan->heap, &scan->process.memory);
}

// --- the result ----------------------------------------------------------------------------------

// The id of the stack of a site, which is in the session; 0: there is none.
static uint32_t stack_of(const struct hone_scan_chunks *chunks, uint64_t site)
{
    const unsigned char *chunk = hone_scan_chunk(chunks, site / HONE_HEAP_SITES_STRIDE);
    if (!chunk)
        return 0;
    uint64_t at = site % HONE_HEAP_SITES_STRIDE;
    if (at >= HONE_HEAP_SITES)
        return 0;
    const struct hone_heap_site *sites =
        (const struct hone_heap_site *)(const void *)(chunk + sizeof(struct hone_chunk));
    return atomic_load_explicit(&sites[at].stack, memory_order_acquire);
}

static int add_row(struct hone_scan_result *result, struct hone_table *table,
                   const struct hone_scan_row *row)
{
    uint64_t key = row->stack ? (uint64_t)row->stack << 2 | row->reach : row->block;
    uint64_t hash = hone_hash_fold(key ^ 0x9e3779b97f4a7c15u, 0xe7037ed1a0b428dbu);
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_scan_row *other = &result->rows[at];
        if (other->stack == row->stack && other->reach == row->reach &&
            other->block == row->block) {
            other->objects += row->objects;
            other->bytes += row->bytes;
            return 0;
        }
    }
    if (!hone_array_reserve(&result->rows, &result->row_room, (uint64_t)result->row_count + 1,
                            sizeof *result->rows) ||
        hone_table_add(table, hash, result->row_count))
        return -ENOMEM;
    result->rows[result->row_count++] = *row;
    return 0;
}

static int add_rows(struct scan *scan)
{
    struct hone_table table = {0};
    int r = 0;
    for (uint32_t i = 0; !r && i < scan->found.count; i++) {
        const struct hone_scan_block *block = &scan->found.blocks[i];
        if (block->what & HONE_SCAN_PARENTS)
            continue;
        struct hone_scan_row row = {
            .reach = (enum hone_reach)scan->heap.reach[i], .objects = 1, .bytes = block->size};
        if (scan->found.places.exact)
            row.stack = stack_of(&scan->target->chunks, block->what);
        else
            row.block = block->what;
        if (row.stack || row.block)
            r = add_row(scan->result, &table, &row);
    }
    hone_table_done(&table);
    return r;
}

// Whether it is the process that asked: before anything is stopped, for what the session says may
// be wrong.
static bool is_the_one(struct scan *scan)
{
    struct hone_scan_places places;
    return hone_scan_read(&scan->process, scan->target->places, &places, sizeof places) &&
           places.magic == HONE_SCAN_MAGIC && places.started_ns == scan->target->started_ns;
}

static int look_through(struct scan *scan, uint64_t until_ns)
{
    const struct hone_scan_target *target = scan->target;
    // The first thread may have ended while others go on: its memory is theirs.
    int r = hone_scan_process_open(hone_living_thread(target->pid), until_ns, target->beat,
                                   &scan->process);
    if (!r)
        r = is_the_one(scan) ? hone_scan_stop(target->pid, until_ns, &scan->threads) : -EPERM;
    if (!r)
        r = hone_scan_process_areas(&scan->process, target->allocator);
    if (!r)
        r = hone_scan_find_blocks(&scan->process, target, &scan->found);
    if (!r)
        r = hone_scan_heap_init(&scan->heap, scan->found.blocks, scan->found.count);
    if (!r)
        r = mark_all(scan);
    if (!r && !hone_scan_stood(&scan->threads))
        r = -EAGAIN;
    scan->result->threads = scan->threads.count;
    scan->result->threads_left = scan->threads.left;
    scan->result->blocks = scan->found.count;
    scan->result->bytes_read = scan->process.memory.bytes_read;
    scan->result->exact = knows_all(scan);
    // From here on nothing is read of the process.
    hone_scan_resume(&scan->threads);
    return r ? r : add_rows(scan);
}

static void tell_why(struct hone_scan_result *result, int r)
{
    switch (r) {
    case 0:
        return;
    case -ETIME:
        (void)snprintf(result->reason, sizeof result->reason,
                       "not finished within %d s, %.0f MB were read", HONE_SCAN_SECONDS,
                       (double)result->bytes_read / 1e6);
        return;
    case -E2BIG:
        (void)snprintf(result->reason, sizeof result->reason,
                       "more live blocks than are looked at, %d million",
                       HONE_SCAN_BLOCKS_MAX >> 20);
        return;
    case -EPERM:
    case -EACCES:
        (void)snprintf(result->reason, sizeof result->reason,
                       "its threads may not be stopped and read: a debugger has it, or the kernel "
                       "forbids it");
        return;
    case -EAGAIN:
        (void)snprintf(result->reason, sizeof result->reason, "its threads did not stand still");
        return;
    default:
        (void)snprintf(result->reason, sizeof result->reason, "it could not be read: %s",
                       strerror(-r));
    }
}

struct errand {
    const struct hone_scan_target *target;
    struct hone_scan_result *result;
};

static void *run(void *argument)
{
    const struct hone_scan_target *target = ((struct errand *)argument)->target;
    struct hone_scan_result *result = ((struct errand *)argument)->result;
    uint64_t began_ns = hone_now_ns(), until_ns = began_ns + HONE_SCAN_SECONDS * 1000000000ull;
    int r = -EAGAIN;
    for (int try = 0; r == -EAGAIN && try < TRIES; try++) {
        struct scan scan = {.target = target, .result = result, .process = {.pages_fd = -1}};
        r = look_through(&scan, until_ns);
        scan_done(&scan);
    }
    if (r)
        result->row_count = 0;
    result->time_ns = hone_now_ns() - began_ns;
    tell_why(result, r);
    return NULL;
}

// In a thread of its own: at its end the kernel lets go of all that it traced, be it not stopped
// yet or dead by now, and tells the parents of the dead.
void hone_scan_run(const struct hone_scan_target *target, struct hone_scan_result *result)
{
    struct errand errand = {target, result};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run, &errand);
    if (r)
        tell_why(result, -r);
    else
        (void)pthread_join(thread, NULL);
}
