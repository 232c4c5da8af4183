// What a block changes where every block is counted, and the short way there, which nearly all of
// them take: inlined into malloc() and free(). That looks at everything that could be in its way
// before it changes anything. Where something is, it has done nothing, and heap.c goes the long
// way. Private to the heap's exact mode and the hooks.
#ifndef HONE_PROBE_HEAP_COUNT_H
#define HONE_PROBE_HEAP_COUNT_H

#include "core/ticks.h"
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/heap_exact.h"
#include "probe/heap_keeper.h"
#include "probe/usdt.h"

#define HONE_HEAP_INLINE static inline __attribute__((always_inline))

// --- numbers of a site ---------------------------------------------------------------------------

// Of who alone writes it.
HONE_HEAP_INLINE void hone_site_add(_Atomic uint64_t *number, uint64_t amount)
{
    atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

// What a site has at the peak and with the last mark, before its first change after them.
void hone_site_keep_moments(uint32_t number, uint32_t fall, uint32_t marks);

HONE_HEAP_INLINE void hone_site_keep(const struct hone_heap_site *site, uint32_t number)
{
    uint32_t fall =
        atomic_load_explicit(&hone_probe.writer.process->heap_fall, memory_order_relaxed);
    uint32_t marks =
        atomic_load_explicit(&hone_probe.writer.header->mark_count, memory_order_relaxed);
    bool peak_is_kept =
        !(fall & 1) || atomic_load_explicit(&site->fall, memory_order_relaxed) == fall;
    if (HONE_UNLIKELY(!peak_is_kept ||
                      atomic_load_explicit(&site->mark, memory_order_relaxed) != marks))
        hone_site_keep_moments(number, fall, marks);
}

// So many live bytes may a thread keep back of the process's total.
extern _Atomic int64_t hone_untold_most __attribute__((visibility("hidden")));

HONE_HEAP_INLINE void hone_keeper_change(struct hone_keeper *keeper, int64_t bytes)
{
    keeper->untold += bytes;
    int64_t untold = keeper->untold < 0 ? -keeper->untold : keeper->untold;
    if (HONE_UNLIKELY(untold > atomic_load_explicit(&hone_untold_most, memory_order_relaxed)))
        hone_keeper_tell(keeper);
}

HONE_HEAP_INLINE uint32_t hone_ticks_now(void)
{
    return (uint32_t)(hone_ticks() >> HONE_TICK_SHIFT);
}

// What a site's block of that number, from 0 on, knows of its life. To look at the clock when it is
// made and when it is freed takes half as long as all else (rdtsc: 10 to 16 ns each time), so
// of a site with many blocks only some do.
HONE_HEAP_INLINE uint64_t hone_block_life(uint64_t number, uint32_t site)
{
    bool first = number < HONE_HEAP_LIVES_ALL;
    if (HONE_LIKELY(!first && !hone_block_draw(number, site)))
        return 0;
    uint32_t ticks = hone_ticks_now();
    return (ticks ? ticks : 1) | (first ? 0 : HONE_BLOCK_DRAWN);
}

HONE_HEAP_INLINE uint32_t hone_bits_of(uint64_t number)
{
    return number ? 64 - (uint32_t)__builtin_clzll(number) : 0;
}

// --- a block's numbers ---------------------------------------------------------------------------

// Its entry is empty or of a block whose end was missed, which is told before.
HONE_HEAP_INLINE void hone_count_made(struct hone_keeper *keeper, struct hone_block *entry,
                                      uint32_t number, uint64_t address, size_t size, size_t usable)
{
    enum { SIZE_SHIFT = 3 }; // sizes[0] is up to 8 bytes
    struct hone_heap_site *site = hone_site_at(number - 1);
    hone_site_keep(site, number - 1);
    const uint64_t before = atomic_load_explicit(&site->allocated, memory_order_relaxed);
    hone_site_add(&site->allocated, 1);
    hone_site_add(&site->allocated_bytes, size);
    hone_site_add(&site->usable_bytes, usable);
    uint32_t bits = hone_bits_of(size ? size - 1 : 0);
    uint32_t bin = bits > SIZE_SHIFT ? bits - SIZE_SHIFT : 0;
    hone_site_add(&site->sizes[bin < HONE_HEAP_SIZES ? bin : HONE_HEAP_SIZES - 1], 1);
    keeper->operation++;
    keeper->last = number;
    __builtin_prefetch(&keeper->next[number % HONE_KEEPER_NEXT], 1);
    *entry = hone_block_of(address, size, number, keeper->epoch, hone_block_life(before, number),
                           keeper->operation);
    hone_keeper_change(keeper, (int64_t)size);
}

// Its life is over, where that is looked at.
HONE_HEAP_INLINE void hone_site_add_life(struct hone_heap_site *site, struct hone_block taken,
                                         bool elsewhere)
{
    if (HONE_LIKELY(!hone_block_ticks(taken)))
        return;
    uint32_t life = (hone_bits_of(hone_ticks_now() - hone_block_ticks(taken)) + 2) / 3;
    life = life < HONE_HEAP_LIVES ? life : HONE_HEAP_LIVES - 1;
    const uint64_t one = hone_block_is_drawn(taken) ? 1 << HONE_HEAP_LIVES_DRAWN_SHIFT : 1;
    if (HONE_UNLIKELY(elsewhere))
        (void)atomic_fetch_add_explicit(&site->lives_elsewhere[life], one, memory_order_relaxed);
    else
        hone_site_add(&site->lives[life], one);
}

// Its entry is empty by now.
HONE_HEAP_INLINE void hone_count_ended(struct hone_keeper *keeper, struct hone_block taken,
                                       bool moved)
{
    struct hone_heap_site *site = hone_site_at(hone_block_site(taken) - 1);
    const uint64_t size = hone_block_size(taken);
    // The total first: where that falls from its peak, the site has what it had there until now.
    hone_keeper_change(keeper, -(int64_t)size);
    hone_site_keep(site, hone_block_site(taken) - 1);
    if (HONE_LIKELY(site->keeper == keeper->number)) {
        hone_site_add(&site->freed, 1);
        hone_site_add(&site->freed_bytes, size);
        hone_site_add_life(site, taken, false);
        if (hone_block_is_of_operation(taken, keeper->operation) && !moved) {
            hone_site_add(&site->temporary, 1);
            hone_site_add(&site->temporary_bytes, size);
        }
    } else {
        (void)atomic_fetch_add_explicit(&site->freed_elsewhere, 1, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&site->freed_elsewhere_bytes, size, memory_order_relaxed);
        hone_site_add_life(site, taken, true);
    }
    if (moved)
        (void)atomic_fetch_add_explicit(&site->moved, 1, memory_order_relaxed);
}

// --- the short way -------------------------------------------------------------------------------

// As hone_heap_enter(), from where the long way would: both begin with a jump out of the hook, so
// that whoever comes after another jump out of one of them is not further down, on either way.
enum { HONE_HEAP_LONG_WAY_BYTES = 48 };

HONE_HEAP_INLINE void hone_heap_enter_at(const uint64_t *frame)
{
    hone_heap_self.inside = (uintptr_t)frame - HONE_HEAP_LONG_WAY_BYTES;
    atomic_signal_fence(memory_order_seq_cst);
}

// The calling thread's, where it has one for this process: then every block is counted, or was.
HONE_HEAP_INLINE struct hone_keeper *hone_keeper_at_hand(void)
{
    struct hone_keeper *keeper = hone_keeper_mine;
    return keeper && keeper->epoch == atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed)
               ? keeper
               : NULL;
}

// A block that was just made, in a function that the program called and that has its frame.
HONE_HEAP_INLINE bool hone_heap_counts(const void *block, size_t size)
{
    struct hone_heap_thread *self = &hone_heap_self;
    const uint64_t *frame = __builtin_frame_address(0);
    struct hone_keeper *keeper = hone_keeper_at_hand();
    size_t (*usable)(void *) = hone_allocator.malloc_usable_size;
    // Of the walk's frames, the innermost are that of who makes it and this one.
    const struct hone_caller caller = {frame[1] - 1, (uintptr_t)(frame + 2), frame[0], 2};
    if (HONE_UNLIKELY(!HONE_HOOKS_KEEP_FRAMES || !block || !keeper ||
                      size >> (HONE_BLOCK_SIZE_BITS - 1) || self->quiet || self->own ||
                      self->inside || self->other || self->whole || self->rate != 1 ||
                      hone_heap_rate() != 1 || !usable || hone_usdt_alloc_semaphore ||
                      hone_heap_is_hook(caller.address)))
        return false;
    hone_heap_enter_at(frame);
    // Wanted behind the search or the walk, and seldom in the processor's cache.
    struct hone_block *entry = hone_block_at((uintptr_t)block, false);
    __builtin_prefetch(entry, 1);
    uint32_t site = hone_keeper_recall(keeper, &caller);
    if (!site) {
        bool counted = hone_heap_counts_by_walk(keeper, &caller, block, size);
        hone_heap_leave();
        return counted;
    }
    bool counts = entry && !hone_block_site(*entry);
    if (HONE_LIKELY(counts)) {
        self->told++;
        self->countdown = -1;
        hone_count_made(keeper, entry, site, (uintptr_t)block, size, usable((void *)block));
    }
    hone_heap_leave();
    return counts;
}

// A block that is about to be freed, in such a function.
HONE_HEAP_INLINE bool hone_heap_counts_end(const void *block)
{
    struct hone_heap_thread *self = &hone_heap_self;
    struct hone_keeper *keeper = hone_keeper_at_hand();
    if (HONE_UNLIKELY(!HONE_HOOKS_KEEP_FRAMES || !keeper || self->inside || hone_probe.locked_in ||
                      !hone_probe.writer.process || hone_usdt_free_semaphore))
        return false;
    hone_heap_enter_at(__builtin_frame_address(0));
    struct hone_block *entry = hone_block_at((uintptr_t)block, false);
    bool counts = false;
    if (HONE_LIKELY(entry)) {
        const struct hone_block taken = *entry;
        counts =
            hone_block_is_at(taken, (uintptr_t)block) && hone_block_is_of(taken, keeper->epoch);
        if (HONE_LIKELY(counts)) {
            entry->what = 0;
            hone_count_ended(keeper, taken, false);
        }
    }
    hone_heap_leave();
    return counts;
}

#endif
