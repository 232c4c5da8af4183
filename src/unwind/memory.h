// Memory as a walk sees it: a window of words known to be readable, and someone to ask about the
// rest. `shift` is where the window's bytes are minus the address they are of: zero in the walked
// process, and what lets another process walk a copy. Code may lie in another process as well.
#ifndef HONE_UNWIND_MEMORY_H
#define HONE_UNWIND_MEMORY_H

#include "core/load.h"

struct hone_memory {
    uint64_t low, words_end; // a word may be read at low <= address < words_end
    uint64_t shift;
    bool (*outside)(struct hone_memory *memory, uint64_t address, uint64_t *ret);
    // Copies code, which may not be there; NULL: it is in our own process.
    bool (*code)(struct hone_memory *memory, void *to, uint64_t from, size_t size);
};

static inline bool hone_memory_inside(const struct hone_memory *memory, uint64_t address)
{
    return address - memory->low < memory->words_end - memory->low;
}

// Whether a part of what a process can read is not there for us: a register that was saved there is
// then unknown, and not a sign of a broken stack.
static inline bool hone_memory_is_partial(const struct hone_memory *memory)
{
    return memory->code != NULL;
}

// Code at any address; false: some of it is not there.
static inline bool hone_memory_code(struct hone_memory *memory, void *to, uint64_t from,
                                    size_t size)
{
    return memory->code ? memory->code(memory, to, from, size) : hone_safe_copy(to, from, size);
}

// Whether there is memory at an address that was jumped to.
static inline bool hone_memory_probe(struct hone_memory *memory, uint64_t address)
{
    uint8_t byte;
    return memory->code ? memory->code(memory, &byte, address, 1) : hone_safe_probe(address);
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
