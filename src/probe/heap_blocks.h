// Every live block of the program, by address: 16 bytes for each 16 bytes of heap, in tables that
// are reserved for 32 MiB of addresses at a time and get memory as they are touched. Neighbouring
// blocks are neighbours here, nothing is searched for, and there is no lock: a block has one owner
// when it is made and when it is freed.
#ifndef HONE_PROBE_HEAP_BLOCKS_H
#define HONE_PROBE_HEAP_BLOCKS_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_BLOCK_SIZE_BITS = 32,
    HONE_BLOCK_SITE_BITS = 24,
    HONE_BLOCK_EPOCH_BITS = 7,
};

struct hone_block {
    uint64_t size : HONE_BLOCK_SIZE_BITS; // asked for
    uint64_t site : HONE_BLOCK_SITE_BITS; // plus one; 0: no block
    uint64_t epoch : HONE_BLOCK_EPOCH_BITS;
    uint64_t odd : 1;   // its address is 8 above a multiple of 16
    uint32_t ticks;     // hone_ticks() >> HONE_TICK_SHIFT when it was made
    uint32_t operation; // number of its allocation in its thread
};

_Static_assert(sizeof(struct hone_block) == 16, "as large as the smallest block");

// The entry of an address; NULL when there is no memory for it, or, where `make` is false, when no
// block was ever so near.
struct hone_block *hone_block_at(uint64_t address, bool make);

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
