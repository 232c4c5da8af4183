// Every live block of the program, by address: 16 bytes for each 16 bytes of heap, in tables that
// are reserved for 32 MiB of addresses at a time and get memory as they are touched. Neighbouring
// blocks are neighbours here, nothing is searched for, and there is no lock: a block has one owner
// when it is made and when it is freed.
#ifndef HONE_PROBE_HEAP_BLOCKS_H
#define HONE_PROBE_HEAP_BLOCKS_H

#include "core/core.h"
#include "session/layout.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Two words, each written and read as a whole: a load of what several stores have just written has
// to wait for them.
//
//   63    62        56 55                    32 31                              0
//  +-----+------------+------------------------+---------------------------------+
//  | odd |   epoch    |   site plus one        |   size                          |  what
//  +-----+------------+------------------------+---------------------------------+
//  |drawn|   operation                         |   ticks                         |  when
//  +-------------------------------------------+---------------------------------+
//
// size: asked for; from 4095 MiB on, whole MiB above that are counted on. site: 0: no block. odd:
// its address is 8 above a multiple of 16. ticks: the clock when it was made, hone_ticks() >>
// HONE_TICK_SHIFT; 0: how long it lives is not looked at. drawn: it is for others, too.
// operation: the number of its allocation in its thread, lower bits.
struct hone_block {
    uint64_t what, when;
};

enum {
    HONE_BLOCK_SIZE_BITS = 32,
    HONE_BLOCK_SITE_BITS = 24,
    HONE_BLOCK_EPOCH_BITS = 7,
    HONE_BLOCK_EPOCH_SHIFT = HONE_BLOCK_SIZE_BITS + HONE_BLOCK_SITE_BITS,
    HONE_BLOCK_ODD_SHIFT = HONE_BLOCK_EPOCH_SHIFT + HONE_BLOCK_EPOCH_BITS,
};

#define HONE_BLOCK_DRAWN ((uint64_t)1 << 63)

// Sizes from here on are in MiB: up to a TiB, where an error of one is little.
#define HONE_BLOCK_LARGE ((uint64_t)4095 << 20)
#define HONE_BLOCK_LARGEST (HONE_BLOCK_LARGE + ((uint64_t)0xfffff << 20))

// As a block's size is written down, which is what it is counted with.
static inline uint64_t hone_block_whole_size(uint64_t size)
{
    return size < HONE_BLOCK_LARGE ? size : size & ~(((uint64_t)1 << 20) - 1);
}

static inline uint64_t hone_block_size(struct hone_block block)
{
    uint64_t size = (uint32_t)block.what;
    return HONE_LIKELY(size < HONE_BLOCK_LARGE)
               ? size
               : HONE_BLOCK_LARGE + ((size - HONE_BLOCK_LARGE) << 20);
}

static inline uint32_t hone_block_site(struct hone_block block)
{
    return block.what >> HONE_BLOCK_SIZE_BITS & ((1u << HONE_BLOCK_SITE_BITS) - 1);
}

static inline uint32_t hone_block_ticks(struct hone_block block)
{
    return (uint32_t)block.when;
}

static inline bool hone_block_is_drawn(struct hone_block block)
{
    return block.when & HONE_BLOCK_DRAWN;
}

static inline bool hone_block_is_of_operation(struct hone_block block, uint32_t operation)
{
    return (((uint32_t)(block.when >> 32) ^ operation) & UINT32_MAX >> 1) == 0;
}

// Whether the life of a site's block of that number is looked at for HONE_HEAP_LIVES_PART blocks.
// Drawn by a hash, which follows no order of the program; at each site anew, so that what many of
// them, or many threads, do alike is not missed alike.
static inline bool hone_block_draw(uint64_t number, uint32_t site)
{
    uint32_t draw = ((uint32_t)number + site * 0xc2b2ae35u) * 0x9e3779b1u;
    draw = (draw ^ draw >> 15) * 0x85ebca6bu;
    return draw >> 16 < 0x10000 / HONE_HEAP_LIVES_PART;
}

// Whether it is of this process, not a parent's.
static inline bool hone_block_is_of(struct hone_block block, uint32_t epoch)
{
    const uint64_t mask = (1u << HONE_BLOCK_EPOCH_BITS) - 1;
    return ((block.what >> HONE_BLOCK_EPOCH_SHIFT ^ epoch) & mask) == 0;
}

static inline uint64_t hone_block_is_odd(struct hone_block block)
{
    return block.what >> HONE_BLOCK_ODD_SHIFT;
}

// Whether there is one, and at this address.
static inline bool hone_block_is_at(struct hone_block block, uint64_t address)
{
    return hone_block_site(block) && hone_block_is_odd(block) == (address >> 3 & 1);
}

// At most HONE_BLOCK_LARGEST bytes. life: its ticks, and whether it is drawn.
static inline struct hone_block hone_block_of(uint64_t address, uint64_t size, uint32_t site,
                                              uint32_t epoch, uint64_t life, uint32_t operation)
{
    const uint64_t mask = (1u << HONE_BLOCK_EPOCH_BITS) - 1;
    if (HONE_UNLIKELY(size >= HONE_BLOCK_LARGE))
        size = HONE_BLOCK_LARGE + ((size - HONE_BLOCK_LARGE) >> 20);
    return (struct hone_block){
        .what = size | (uint64_t)site << HONE_BLOCK_SIZE_BITS |
                (epoch & mask) << HONE_BLOCK_EPOCH_SHIFT |
                (address >> 3 & 1) << HONE_BLOCK_ODD_SHIFT,
        .when = life | (uint64_t)(operation & UINT32_MAX >> 1) << 32,
    };
}

_Static_assert(sizeof(struct hone_block) == 16, "as large as the smallest block");

enum { HONE_BLOCK_REGION_SHIFT = 25, HONE_BLOCK_ADDRESS_BITS = 47, HONE_BLOCK_GRANULE_SHIFT = 4 };
#define HONE_BLOCK_REGIONS ((size_t)1 << (HONE_BLOCK_ADDRESS_BITS - HONE_BLOCK_REGION_SHIFT))
#define HONE_BLOCK_REGION_BLOCKS ((size_t)1 << (HONE_BLOCK_REGION_SHIFT - HONE_BLOCK_GRANULE_SHIFT))

// One slot for 32 MiB of addresses, touched where there is heap. The second half is for blocks that
// lie 8 above a multiple of 16: most allocators have none, others put two of 8 bytes side by side.
extern _Atomic(struct hone_block *) *hone_block_directory __attribute__((visibility("hidden")));
struct hone_block *hone_block_make_region(_Atomic(struct hone_block *) *slot);

// The entry of an address; NULL when there is no memory for it, or, where `make` is false, when no
// block was ever so near.
static inline struct hone_block *hone_block_at(uint64_t address, bool make)
{
    if (HONE_UNLIKELY(address >> HONE_BLOCK_ADDRESS_BITS))
        return NULL;
    size_t half = address & 8 ? HONE_BLOCK_REGIONS : 0;
    _Atomic(struct hone_block *) *slot =
        &hone_block_directory[half + (address >> HONE_BLOCK_REGION_SHIFT)];
    struct hone_block *region = atomic_load_explicit(slot, memory_order_acquire);
    if (HONE_UNLIKELY(!region) && !(make && (region = hone_block_make_region(slot))))
        return NULL;
    return &region[(address >> HONE_BLOCK_GRANULE_SHIFT) & (HONE_BLOCK_REGION_BLOCKS - 1)];
}

// Reserves the directory. False when the address space is limited.
bool hone_blocks_begin(void);

// Memory of ours, zero, that gets pages as it is touched; NULL when there is none. Marked, so that
// who looks from outside does not take it for the program's.
void *hone_heap_reserve(size_t bytes);
void hone_heap_unreserve(void *memory, size_t bytes);
// Where the tables lie, for who looks at them from outside; nothing where there are none.
struct hone_scan_places;
void hone_blocks_tell(struct hone_scan_places *ret);

#endif
