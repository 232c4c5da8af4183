#include "probe/heap_exact.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/heap_keeper.h"
#include "probe/usdt.h"

#include <string.h>

enum {
    // What each thread may keep back of the total: this part of it; and where that is less, so many
    // bytes, fewer when there are many threads, and of a lone thread no more than this part of the
    // peak. Two that told each block would wait for each other's cache line.
    UNTOLD_PART = 4096,
    UNTOLD_BYTES = 512,
    UNTOLD_THREADS = 8,
    UNTOLD_PEAK_PART = 16,
    SIZE_SHIFT = 3, // sizes[0] is up to 8 bytes
};

_Atomic bool hone_exact_on;
static _Atomic int64_t untold_most; // by each thread, of the bytes

bool hone_exact_turn_on(void)
{
    static _Atomic bool refused; // for good: it is asked for with every block
    if (atomic_load_explicit(&refused, memory_order_relaxed))
        return false;
    if (!hone_blocks_begin()) {
        atomic_store_explicit(&refused, true, memory_order_relaxed);
        return false;
    }
    // From here on, every release is told.
    memset((void *)hone_heap_filter, UINT8_MAX, sizeof hone_heap_filter);
    atomic_store_explicit(&hone_exact_on, true, memory_order_release);
    return true;
}

// --- numbers of a site ---------------------------------------------------------------------------

// Of who alone writes it.
static inline void add(_Atomic uint64_t *number, uint64_t amount)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static inline uint64_t load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static int64_t live(const struct hone_heap_site *site)
{
    return (int64_t)(load(&site->allocated) - load(&site->freed) - load(&site->freed_elsewhere));
}

static int64_t live_bytes(const struct hone_heap_site *site)
{
    return (int64_t)(load(&site->allocated_bytes) - load(&site->freed_bytes) -
                     load(&site->freed_elsewhere_bytes));
}

// What a site has before its first change after a mark. Of the threads that come at once, one.
static void keep_mark(struct hone_heap_site *site, uint32_t marks)
{
    uint32_t since = atomic_load_explicit(&site->mark, memory_order_relaxed);
    int64_t objects = live(site), bytes = live_bytes(site);
    if (since == marks ||
        !atomic_compare_exchange_strong_explicit(&site->mark, &since, marks, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    struct hone_record_heap_kept *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record) {
        hone_count(&hone_counters()->heap_kept_lost, 1);
        return;
    }
    record->site = hone_site_number(site);
    record->stack = atomic_load_explicit(&site->stack, memory_order_relaxed);
    record->since = since;
    record->mark = marks;
    record->live = objects;
    record->live_bytes = bytes;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_HEAP_KEPT);
}

static __attribute__((noinline)) void keep_moments(struct hone_heap_site *site, uint32_t fall,
                                                   uint32_t marks)
{
    if (fall & 1 && atomic_load_explicit(&site->fall, memory_order_relaxed) != fall) {
        atomic_store_explicit(&site->peak, (uint64_t)live(site), memory_order_relaxed);
        atomic_store_explicit(&site->peak_bytes, (uint64_t)live_bytes(site), memory_order_relaxed);
        atomic_store_explicit(&site->fall, fall, memory_order_relaxed);
    }
    keep_mark(site, marks);
}

// Before a site changes: what it has now is what it had at the peak, if the total has fallen from
// it since and this is the site's first change after; and so with the last mark.
static inline void keep(struct hone_heap_site *site)
{
    uint32_t fall =
        atomic_load_explicit(&hone_probe.writer.process->heap_fall, memory_order_relaxed);
    uint32_t marks =
        atomic_load_explicit(&hone_probe.writer.header->mark_count, memory_order_relaxed);
    bool peak_is_kept =
        !(fall & 1) || atomic_load_explicit(&site->fall, memory_order_relaxed) == fall;
    if (HONE_UNLIKELY(!peak_is_kept ||
                      atomic_load_explicit(&site->mark, memory_order_relaxed) != marks))
        keep_moments(site, fall, marks);
}

static int64_t may_keep_back(int64_t peak)
{
    int64_t threads = hone_keeper_count(), part = peak / UNTOLD_PEAK_PART;
    if (threads == 1)
        return part < UNTOLD_BYTES ? part : UNTOLD_BYTES;
    return threads > UNTOLD_THREADS ? UNTOLD_BYTES * UNTOLD_THREADS / threads : UNTOLD_BYTES;
}

// The total is so much now.
static void reach(struct hone_process *process, int64_t total)
{
    int64_t peak = atomic_load_explicit(&process->heap_peak_bytes, memory_order_relaxed);
    uint32_t fall = atomic_load_explicit(&process->heap_fall, memory_order_relaxed);
    if (total > peak) {
        while (total > peak &&
               !atomic_compare_exchange_weak_explicit(&process->heap_peak_bytes, &peak, total,
                                                      memory_order_relaxed, memory_order_relaxed))
            ;
        atomic_store_explicit(&process->heap_peak_ns, hone_now_ns(), memory_order_relaxed);
    }
    int64_t most = may_keep_back(peak > total ? peak : total);
    if (most != atomic_load_explicit(&untold_most, memory_order_relaxed))
        atomic_store_explicit(&untold_most, most, memory_order_relaxed);
    bool falls = total < peak;
    if ((fall & 1) != falls)
        (void)atomic_compare_exchange_strong_explicit(&process->heap_fall, &fall, fall + 1,
                                                      memory_order_relaxed, memory_order_relaxed);
}

void hone_keeper_tell(struct hone_keeper *keeper)
{
    struct hone_process *process = hone_probe.writer.process;
    int64_t told = keeper->untold, total;
    if (keeper->is_first) {
        int64_t first =
            atomic_load_explicit(&process->heap_first_bytes, memory_order_relaxed) + told;
        atomic_store_explicit(&process->heap_first_bytes, first, memory_order_relaxed);
        total = first + atomic_load_explicit(&process->heap_live_bytes, memory_order_relaxed);
    } else {
        total = atomic_fetch_add_explicit(&process->heap_live_bytes, told, memory_order_relaxed) +
                told + atomic_load_explicit(&process->heap_first_bytes, memory_order_relaxed);
    }
    keeper->untold = 0;
    reach(process, total);
}

void hone_keeper_tell_last(int64_t untold)
{
    struct hone_process *process = hone_probe.writer.process;
    int64_t total = atomic_load_explicit(&process->heap_first_bytes, memory_order_relaxed) +
                    atomic_load_explicit(&process->heap_live_bytes, memory_order_relaxed) + untold;
    if (total > atomic_load_explicit(&process->heap_peak_bytes, memory_order_relaxed))
        reach(process, total);
}

static inline void change_total(struct hone_keeper *keeper, int64_t bytes)
{
    const struct hone_process *process = hone_probe.writer.process;
    keeper->untold += bytes;
    int64_t untold = keeper->untold < 0 ? -keeper->untold : keeper->untold;
    if (untold > atomic_load_explicit(&untold_most, memory_order_relaxed) &&
        untold * UNTOLD_PART >=
            atomic_load_explicit(&process->heap_live_bytes, memory_order_relaxed) +
                atomic_load_explicit(&process->heap_first_bytes, memory_order_relaxed))
        hone_keeper_tell(keeper);
}

static uint32_t ticks_now(void)
{
    return (uint32_t)(hone_ticks() >> HONE_TICK_SHIFT);
}

static uint32_t bits_of(uint64_t number)
{
    return number ? 64 - (uint32_t)__builtin_clzll(number) : 0;
}

// --- blocks --------------------------------------------------------------------------------------

// An entry that is still there: its block went without a release that we saw.
static void forget_missed(struct hone_keeper *keeper, const struct hone_block *entry)
{
    if (entry->epoch != (keeper->epoch & ((1u << HONE_BLOCK_EPOCH_BITS) - 1)))
        return; // it is a parent's
    hone_count(&hone_counters()->heap_missed, 1);
    hone_exact_ended(entry, false);
}

// With what the allocator gave beyond what was asked for. 0: it does not tell.
static inline size_t usable_bytes(const void *block, size_t size)
{
    const struct hone_heap_thread *self = &hone_heap_self;
    size_t (*usable)(void *) = self->other ? self->usable : hone_allocator.malloc_usable_size;
    return HONE_UNLIKELY(self->whole) ? size : usable ? usable((void *)block) : 0;
}

void hone_exact_allocated(struct hone_keeper *keeper, const void *block, size_t size,
                          uint32_t number)
{
    struct hone_block *entry = hone_block_at((uintptr_t)block, true);
    if (HONE_UNLIKELY(!number || !entry)) {
        hone_count(&hone_counters()->heap_no_site, 1);
        return;
    }
    if (HONE_UNLIKELY(entry->site))
        forget_missed(keeper, entry);
    struct hone_heap_site *site = hone_site_at(number - 1);
    keep(site);
    add(&site->allocated, 1);
    add(&site->allocated_bytes, size);
    add(&site->usable_bytes, usable_bytes(block, size));
    uint32_t bits = bits_of(size ? size - 1 : 0);
    uint32_t bin = bits > SIZE_SHIFT ? bits - SIZE_SHIFT : 0;
    add(&site->sizes[bin < HONE_HEAP_SIZES ? bin : HONE_HEAP_SIZES - 1], 1);
    keeper->operation++;
    *entry = (struct hone_block){
        .size = size,
        .site = number,
        .epoch = keeper->epoch,
        .odd = (uintptr_t)block >> 3 & 1,
        .ticks = ticks_now(),
        .operation = keeper->operation,
    };
    change_total(keeper, (int64_t)size);
}

bool hone_exact_take(const void *block, struct hone_block *ret)
{
    struct hone_block *entry = hone_block_at((uintptr_t)block, false);
    if (!entry || !entry->site || entry->odd != ((uintptr_t)block >> 3 & 1))
        return false;
    *ret = *entry;
    entry->site = 0;
    return true;
}

void hone_exact_put_back(const void *block, const struct hone_block *taken)
{
    struct hone_block *entry = hone_block_at((uintptr_t)block, false);
    if (entry)
        *entry = *taken;
}

void hone_exact_ended(const struct hone_block *taken, bool moved)
{
    struct hone_keeper *keeper = hone_keeper_self();
    if (!keeper) {
        hone_count(&hone_counters()->heap_frees_lost, 1);
        return;
    }
    if (taken->epoch != (keeper->epoch & ((1u << HONE_BLOCK_EPOCH_BITS) - 1)))
        return; // a parent's
    struct hone_heap_site *site = hone_site_at(taken->site - 1);
    uint32_t life = (bits_of(ticks_now() - taken->ticks) + 2) / 3;
    life = life < HONE_HEAP_LIVES ? life : HONE_HEAP_LIVES - 1;
    // The total first: where that falls from its peak, the site has what it had there until now.
    change_total(keeper, -(int64_t)taken->size);
    keep(site);
    if (site->keeper == keeper->number) {
        add(&site->freed, 1);
        add(&site->freed_bytes, taken->size);
        add(&site->lives[life], 1);
        if (taken->operation == keeper->operation && !moved) {
            add(&site->temporary, 1);
            add(&site->temporary_bytes, taken->size);
        }
    } else {
        (void)atomic_fetch_add_explicit(&site->freed_elsewhere, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&site->freed_elsewhere_bytes, taken->size,
                                        memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&site->lives_elsewhere[life], 1, memory_order_relaxed);
    }
    if (moved)
        (void)atomic_fetch_add_explicit(&site->moved, 1, memory_order_relaxed);
}

bool hone_exact_freed(const void *block)
{
    struct hone_block taken;
    if (!hone_exact_take(block, &taken))
        return false;
    hone_usdt_free(block);
    hone_exact_ended(&taken, false);
    return true;
}
