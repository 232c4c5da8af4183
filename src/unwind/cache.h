// Rows by address, for any number of threads and signal handlers at a time, without waiting.
//
// A set is one cache line of four slots. A slot keeps key ^ row beside row, each written by one
// plain store: a reader that meets half of one entry and half of another finds that they do not
// match, and misses. The newest row of a set goes first and pushes the others down.
#ifndef HONE_UNWIND_CACHE_H
#define HONE_UNWIND_CACHE_H

#include "core/core.h"
#include "unwind/unwind.h"

#include <stdatomic.h>

enum { HONE_ROW_WAYS = 4 };

struct hone_row_slot {
    _Atomic uint64_t check; // key ^ row
    _Atomic uint64_t row;
};

// Addresses of user space leave the upper 16 bits to the module table's generation, so what was
// cached for a module that is gone is not found again. Before these bits come to the same value all
// rows are forgotten, and once more half way there: who puts a row of an older generation is not
// held up for so many modules that go away.
static inline uint64_t hone_cache_key(uint64_t address, uint32_t generation)
{
    return address ^ (uint64_t)generation << 48;
}

// The low bits of code addresses are as good as a hash, and take no time.
static inline struct hone_row_slot *hone_cache_set(const struct hone_unwinder *unwinder,
                                                   uint64_t address)
{
    return unwinder->rows + (address & unwinder->set_mask) * HONE_ROW_WAYS;
}

// The row of a key in its set; 0 (HONE_ROW_NONE) when it is not there.
static inline uint64_t hone_cache_get(struct hone_row_slot *set, uint64_t key)
{
    // Relaxed: the check proves that the two words belong together.
    for (unsigned way = 0; way < HONE_ROW_WAYS; way++) {
        uint64_t row = atomic_load_explicit(&set[way].row, memory_order_relaxed);
        uint64_t check = atomic_load_explicit(&set[way].check, memory_order_relaxed);
        if (HONE_LIKELY((row ^ check) == key))
            return row;
    }
    return 0;
}

static inline void hone_cache_put(struct hone_row_slot *set, uint64_t key, uint64_t row)
{
    for (unsigned way = HONE_ROW_WAYS - 1; way > 0; way--) {
        uint64_t older = atomic_load_explicit(&set[way - 1].row, memory_order_relaxed);
        uint64_t check = atomic_load_explicit(&set[way - 1].check, memory_order_relaxed);
        atomic_store_explicit(&set[way].row, older, memory_order_relaxed);
        atomic_store_explicit(&set[way].check, check, memory_order_relaxed);
    }
    atomic_store_explicit(&set[0].row, row, memory_order_relaxed);
    atomic_store_explicit(&set[0].check, key ^ row, memory_order_relaxed);
}

#endif
