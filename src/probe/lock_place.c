#include "probe/lock_place.h"

#include "core/clock.h"
#include "core/hash.h"
#include "probe/heap.h"
#include "probe/heap_exact.h"
#include "probe/heap_keeper.h"

enum {
    GRANULE = 16,
    REACH = 64 << 10,        // bytes from a block's start to a lock, where every block is counted
    SAMPLED_REACH = 2 << 10, // and where they are sampled
    TOLD = 1024,
};

// A block; `stamp` tells it from others at the same address, before and after. 0: none is there.
struct place {
    uint64_t base, size, stamp;
    uint64_t stack; // id; 0: of a sampled block
    uint64_t block; // its number; 0: of a counted one
};

// What was told last of a lock. Another thread's words may be between ours: what is read is looked
// at again, and at worst it is told once more.
static struct told {
    _Atomic uint64_t lock, base, stamp; // base 0: it is in no block that we know
} tellings[TOLD];

static struct told *told_of(uint64_t lock)
{
    return &tellings[hone_hash_fold(lock, 0xa0761d6478bd642fu) >> 32 & (TOLD - 1)];
}

static uint64_t epoch(void)
{
    return atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
}

// --- blocks --------------------------------------------------------------------------------------

// The block that begins there. False: none does, or it is a parent's, whose stacks are not ours.
static bool counted_at(uint64_t base, struct place *ret)
{
    const struct hone_block *entry = hone_block_at(base, false);
    struct hone_block block = entry ? *entry : (struct hone_block){0};
    if (!hone_block_site(block) || !hone_block_is_of(block, epoch()))
        return false;
    const struct hone_heap_site *site = hone_site_at(hone_block_site(block) - 1);
    *ret = (struct place){
        .base = base,
        .size = hone_block_size(block),
        .stamp = block.when + 1,
        .stack = atomic_load_explicit(&site->stack, memory_order_relaxed),
    };
    return true;
}

static bool sampled_at(uint64_t base, struct place *ret)
{
    const void *block = (const void *)(uintptr_t)base; // NOLINT(performance-no-int-to-ptr)
    uint64_t size = 0;
    uint64_t tracked = hone_heap_may_be_tracked(block) ? hone_heap_live_find(block, &size) : 0;
    if (!tracked || tracked >> HONE_SCAN_EPOCH_SHIFT != epoch())
        return false;
    uint64_t number = tracked & (((uint64_t)1 << HONE_SCAN_EPOCH_SHIFT) - 1);
    *ret = (struct place){.base = base, .size = size, .stamp = tracked, .block = number};
    return true;
}

static bool block_at(uint64_t base, struct place *ret)
{
    return hone_exact_is_on() ? counted_at(base, ret) : sampled_at(base, ret);
}

// One block lies in another where an allocator hands out what it has from one that we count, and
// where an end was missed: which is meant is not known then.
static void find(uint64_t lock, struct place *ret)
{
    bool exact = hone_exact_is_on();
    uint64_t reach = exact ? REACH : SAMPLED_REACH, at = lock & ~(uint64_t)(GRANULE - 1);
    uint32_t blocks = 0;
    if (!exact && !hone_heap_live_any())
        return;
    for (uint64_t back = 0; back < reach && back <= at; back += GRANULE)
        for (uint64_t odd = 0; odd <= 8; odd += 8) {
            struct place place;
            uint64_t base = (at - back) | odd;
            if (base > lock || !block_at(base, &place) || lock - base >= place.size)
                continue;
            *ret = place;
            blocks++;
        }
    if (blocks != 1)
        *ret = (struct place){0};
}

// Whether what was told of it is still so.
static bool is_told(const struct told *told, uint64_t lock)
{
    uint64_t base = atomic_load_explicit(&told->base, memory_order_relaxed);
    uint64_t stamp = atomic_load_explicit(&told->stamp, memory_order_relaxed);
    struct place place;
    if (atomic_load_explicit(&told->lock, memory_order_relaxed) != lock)
        return false;
    return !base || (block_at(base, &place) && place.stamp == stamp && lock >= base &&
                     lock - base < place.size);
}

// --- telling -------------------------------------------------------------------------------------

void hone_lock_tell_place(uint64_t lock, enum hone_lock_kind kind)
{
    const struct hone_session_header *header = hone_probe.writer.header;
    struct told *told = told_of(lock);
    if (!header || !header->config.heap_rate || is_told(told, lock))
        return;
    bool before = atomic_load_explicit(&told->lock, memory_order_relaxed) == lock;
    struct place place = {0};
    find(lock, &place);
    atomic_store_explicit(&told->lock, lock, memory_order_relaxed);
    atomic_store_explicit(&told->base, place.base, memory_order_relaxed);
    atomic_store_explicit(&told->stamp, place.stamp, memory_order_relaxed);
    // That it lies in no block any more is told, too; that it never did is not.
    if (!place.base && !before)
        return;
    struct hone_record_lock_block *record = hone_writer_claim(&hone_probe.writer, sizeof *record);
    if (!record) {
        hone_count(&hone_counters()->lock_lost, 1);
        return;
    }
    record->record.small = kind;
    record->time_ns = hone_now_ns();
    record->lock = lock;
    record->stack = place.stack;
    record->block = place.block;
    record->offset = place.base ? lock - place.base : 0;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_BLOCK);
}
