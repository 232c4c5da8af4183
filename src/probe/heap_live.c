// The blocks whose release is waited for: open addressing in shards with a lock each, which is held
// for some ten instructions. Only sampled blocks come here, a few thousand a second at most.
#include "probe/heap.h"

#include "core/hash.h"
#include "core/syscall.h"
#include "probe/heap_blocks.h"

#include <stdalign.h>

enum {
    SHARDS = 64,
    FEW = 32,      // slots that each begins with
    MANY = 4096,   // and that it gets when these do not do: 6 MiB for all
    SPINS = 1000,  // then the processor is offered to whoever holds the lock
    YIELDS = 1000, // and then it is given up
};

static struct shard {
    alignas(64) _Atomic(const void *) lock; // the thread that has it; NULL: nobody
    uint32_t used;
    struct hone_scan_sampled *many; // NULL: few will do
    struct hone_scan_sampled few[FEW];
} shards[SHARDS];

static _Atomic uint32_t live; // in all shards

bool hone_heap_live_any(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed) != 0;
}

_Atomic uint8_t hone_heap_filter[HONE_HEAP_FILTER_SLOTS];

static bool lock(struct shard *shard)
{
    const void *self = &hone_heap_self;
    for (unsigned tries = 0; tries < SPINS + YIELDS; tries++) {
        const void *nobody = NULL;
        if (!atomic_load_explicit(&shard->lock, memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&shard->lock, &nobody, self,
                                                    memory_order_acquire, memory_order_relaxed))
            return true;
        if (tries >= SPINS)
            (void)hone_syscall0(SYS_sched_yield);
    }
    return false;
}

static void unlock(struct shard *shard)
{
    atomic_store_explicit(&shard->lock, NULL, memory_order_release);
}

static uint64_t hash_of(const void *block)
{
    return hone_hash_fold((uintptr_t)block, 0xa0761d6478bd642fu);
}

static struct hone_scan_sampled *entries_of(struct shard *shard)
{
    return shard->many ? shard->many : shard->few;
}

static uint32_t mask_of(const struct shard *shard)
{
    return (shard->many ? MANY : FEW) - 1;
}

static uint32_t home_of(uint64_t address, uint32_t mask)
{
    return (uint32_t)(hash_of((const void *)(uintptr_t)address) >> 32) & mask;
}

// The slot of an address, or the empty one where it would be.
static struct hone_scan_sampled *find_in(struct hone_scan_sampled *entries, uint32_t mask,
                                         uint64_t address)
{
    uint32_t at = home_of(address, mask);
    while (entries[at].address && entries[at].address != address)
        at = (at + 1) & mask;
    return &entries[at];
}

static struct hone_scan_sampled *find(struct shard *shard, uint64_t address)
{
    return find_in(entries_of(shard), mask_of(shard), address);
}

// Room for one more: from few slots on to many, once. A quarter stays empty.
static bool make_room(struct shard *shard)
{
    if (shard->used < (mask_of(shard) + 1) / 4 * 3)
        return true;
    struct hone_scan_sampled *many = shard->many ? NULL : hone_heap_reserve(MANY * sizeof *many);
    if (!many)
        return false;
    for (uint32_t at = 0; at < FEW; at++)
        if (shard->few[at].address)
            *find_in(many, MANY - 1, shard->few[at].address) = shard->few[at];
    // In one step, whenever a handler jumps away.
    atomic_signal_fence(memory_order_seq_cst);
    shard->many = many;
    return true;
}

static void filter_add(const void *block)
{
    _Atomic uint8_t *filter = hone_heap_filter_of(block);
    uint8_t count = atomic_load_explicit(filter, memory_order_relaxed);
    while (count < UINT8_MAX &&
           !atomic_compare_exchange_weak_explicit(filter, &count, (uint8_t)(count + 1),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

// What has reached the most stays there: how many they are is not known any more.
static void filter_remove(const void *block)
{
    _Atomic uint8_t *filter = hone_heap_filter_of(block);
    uint8_t count = atomic_load_explicit(filter, memory_order_relaxed);
    while (count > 0 && count < UINT8_MAX &&
           !atomic_compare_exchange_weak_explicit(filter, &count, (uint8_t)(count - 1),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

bool hone_heap_live_add(const void *block, uint64_t tracked, uint64_t size)
{
    struct shard *shard = &shards[hash_of(block) % SHARDS];
    if (!lock(shard))
        return false;
    bool room = make_room(shard);
    if (room) {
        uint64_t address = (uintptr_t)block;
        // An entry of the same address is of a block whose end we missed.
        struct hone_scan_sampled *entry = find(shard, address);
        if (entry->address == 0) {
            shard->used++;
            atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
            filter_add(block);
        }
        *entry = (struct hone_scan_sampled){address, tracked, size};
    }
    unlock(shard);
    return room;
}

// Moves back whatever would not be found any more from its first slot.
static void close_gap(struct shard *shard, uint32_t gap)
{
    struct hone_scan_sampled *entries = entries_of(shard);
    const uint32_t mask = mask_of(shard);
    for (uint32_t at = (gap + 1) & mask; entries[at].address; at = (at + 1) & mask) {
        uint32_t home = home_of(entries[at].address, mask);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            entries[gap] = entries[at];
            gap = at;
        }
    }
    entries[gap] = (struct hone_scan_sampled){0};
}

uint64_t hone_heap_live_find(const void *block, uint64_t *ret_size)
{
    struct shard *shard = &shards[hash_of(block) % SHARDS];
    if (!lock(shard))
        return 0;
    const struct hone_scan_sampled *entry = find(shard, (uintptr_t)block);
    uint64_t tracked = entry->address ? entry->tracked : 0;
    *ret_size = entry->size;
    unlock(shard);
    return tracked;
}

uint64_t hone_heap_live_take(const void *block, uint64_t *ret_size)
{
    struct shard *shard = &shards[hash_of(block) % SHARDS];
    if (!lock(shard))
        return 0;
    uint64_t tracked = 0;
    const struct hone_scan_sampled *entry = find(shard, (uintptr_t)block);
    if (entry->address) {
        tracked = entry->tracked;
        *ret_size = entry->size;
        close_gap(shard, (uint32_t)(entry - entries_of(shard)));
        shard->used--;
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
        filter_remove(block);
    }
    unlock(shard);
    return tracked;
}

void hone_heap_live_after_fork(void)
{
    for (unsigned i = 0; i < SHARDS; i++)
        atomic_store_explicit(&shards[i].lock, NULL, memory_order_relaxed);
}

// After a change that was left in the middle: each entry once, where it is found. In one pass from
// the first slot on, each moves to the first gap behind its home; the second is for those whose way
// leads over the end.
static void repair(struct shard *shard)
{
    enum { PASSES = 2 };
    struct hone_scan_sampled *entries = entries_of(shard);
    const uint32_t mask = mask_of(shard);
    uint32_t found = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        found = 0;
        for (uint32_t at = 0; at <= mask; at++) {
            struct hone_scan_sampled entry = entries[at];
            if (!entry.address)
                continue;
            entries[at] = (struct hone_scan_sampled){0};
            *find(shard, entry.address) = entry;
        }
        for (uint32_t at = 0; at <= mask; at++)
            found += entries[at].address != 0;
    }
    if (shard->used > found) {
        hone_count(&hone_counters()->heap_untracked, shard->used - found);
        atomic_fetch_sub_explicit(&live, shard->used - found, memory_order_relaxed);
    }
    shard->used = found;
}

void hone_heap_live_abandon(void)
{
    for (unsigned i = 0; i < SHARDS; i++)
        if (atomic_load_explicit(&shards[i].lock, memory_order_relaxed) == &hone_heap_self) {
            repair(&shards[i]);
            unlock(&shards[i]);
        }
}

void hone_heap_live_tell(struct hone_scan_places *ret)
{
    ret->shards = (uintptr_t)shards;
    ret->shard_count = SHARDS;
    ret->shard_bytes = sizeof shards[0];
    ret->few_at = offsetof(struct shard, few);
    ret->few = FEW;
    ret->many_at = offsetof(struct shard, many);
    ret->many = MANY;
    hone_heap_tell_own(ret, shards, sizeof shards);
}
