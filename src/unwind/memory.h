// Memory as a walk sees it: a window of words known to be readable, and someone to ask about the
// rest. `shift` is where the window's bytes are minus the address they are of: zero in the walked
// process, and what lets another process walk a copy.
#ifndef HONE_UNWIND_MEMORY_H
#define HONE_UNWIND_MEMORY_H

#include "core/load.h"

struct hone_memory {
    uint64_t low, words_end; // a word may be read at low <= address < words_end
    uint64_t shift;
    bool (*outside)(struct hone_memory *memory, uint64_t address, uint64_t *ret);
};

static inline bool hone_memory_inside(const struct hone_memory *memory, uint64_t address)
{
    return address - memory->low < memory->words_end - memory->low;
}

// A word at any address; false: there is none.
__attribute__((no_sanitize("address"))) static inline bool
hone_memory_load(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    if (HONE_UNLIKELY(!hone_memory_inside(memory, address)))
        return memory->outside(memory, address, ret);
    *ret = HONE_LOAD(address + memory->shift);
    return true;
}

#endif
