#include "probe/heap_exact.h"

#include "core/clock.h"
#include "probe/heap_count.h"

#include <string.h>

enum {
    // What each thread may keep back of the total: this part of its peak; and where that is less,
    // so
    // many bytes, fewer when there are many threads, and of a lone thread no more than this part of
    // the peak. Two that told each block would wait for each other's cache line.
    UNTOLD_PART = 4096,
    UNTOLD_BYTES = 512,
    UNTOLD_THREADS = 8,
    UNTOLD_PEAK_PART = 16,
};

_Atomic bool hone_exact_on;
_Atomic int64_t hone_untold_most;

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
static void keep_mark(struct hone_heap_site *site, uint32_t number, uint32_t marks)
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
    record->site = number;
    record->stack = atomic_load_explicit(&site->stack, memory_order_relaxed);
    record->since = since;
    record->mark = marks;
    record->live = objects;
    record->live_bytes = bytes;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_HEAP_KEPT);
}

void hone_site_keep_moments(uint32_t number, uint32_t fall, uint32_t marks)
{
    struct hone_heap_site *site = hone_site_at(number);
    if (fall & 1 && atomic_load_explicit(&site->fall, memory_order_relaxed) != fall) {
        atomic_store_explicit(&site->peak, (uint64_t)live(site), memory_order_relaxed);
        atomic_store_explicit(&site->peak_bytes, (uint64_t)live_bytes(site), memory_order_relaxed);
        atomic_store_explicit(&site->fall, fall, memory_order_relaxed);
    }
    keep_mark(site, number, marks);
}

// From the peak, which seldom rises: all threads look at this with each block.
void hone_exact_keep_back(void)
{
    const struct hone_process *process = hone_probe.writer.process;
    int64_t peak = atomic_load_explicit(&process->heap_peak_bytes, memory_order_relaxed);
    int64_t threads = hone_keeper_count(), most = UNTOLD_BYTES;
    if (threads > UNTOLD_THREADS)
        most = UNTOLD_BYTES * UNTOLD_THREADS / threads;
    else if (threads == 1 && peak / UNTOLD_PEAK_PART < most)
        most = peak / UNTOLD_PEAK_PART;
    most = peak / UNTOLD_PART > most ? peak / UNTOLD_PART : most;
    if (most != atomic_load_explicit(&hone_untold_most, memory_order_relaxed))
        atomic_store_explicit(&hone_untold_most, most, memory_order_relaxed);
}

// Returns the peak that others may have reached meanwhile.
static __attribute__((noinline)) int64_t raise_peak(struct hone_process *process, int64_t peak,
                                                    int64_t total)
{
    while (total > peak &&
           !atomic_compare_exchange_weak_explicit(&process->heap_peak_bytes, &peak, total,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    atomic_store_explicit(&process->heap_peak_ns, hone_now_ns(), memory_order_relaxed);
    hone_exact_keep_back();
    return peak;
}

// The total is so much now.
static inline void reach(struct hone_process *process, int64_t total)
{
    int64_t peak = atomic_load_explicit(&process->heap_peak_bytes, memory_order_relaxed);
    uint32_t fall = atomic_load_explicit(&process->heap_fall, memory_order_relaxed);
    if (HONE_UNLIKELY(total > peak))
        peak = raise_peak(process, peak, total);
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

// --- blocks --------------------------------------------------------------------------------------

// An entry that is still there: its block went without a release that we saw.
static void forget_missed(struct hone_keeper *keeper, const struct hone_block *entry)
{
    if (!hone_block_is_of(*entry, keeper->epoch))
        return; // it is a parent's
    hone_count(&hone_counters()->heap_missed, 1);
    hone_exact_ended(entry, false);
}

// With what the allocator gave beyond what was asked for. 0: it does not tell.
static size_t usable_bytes(const void *block, size_t size)
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
    if (HONE_UNLIKELY(hone_block_site(*entry)))
        forget_missed(keeper, entry);
    hone_count_made(keeper, entry, number, (uintptr_t)block, hone_block_whole_size(size),
                    usable_bytes(block, size));
}

bool hone_exact_take(const void *block, struct hone_block *ret)
{
    struct hone_block *entry = hone_block_at((uintptr_t)block, false);
    if (!entry || !hone_block_is_at(*entry, (uintptr_t)block))
        return false;
    *ret = *entry;
    entry->what = 0;
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
    if (hone_block_is_of(*taken, keeper->epoch)) // else a parent's
        hone_count_ended(keeper, *taken, moved);
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
