// What the files of generated code share: entries in the order in which they were read.
#ifndef HONE_SYMBOL_JIT_INTERNAL_H
#define HONE_SYMBOL_JIT_INTERNAL_H

#include "base/base.h"
#include "symbol/jit.h"
#include "symbol/table.h"

struct hone_jit_line {
    uint64_t address;
    const char *file;
    uint32_t line;
};

struct hone_jit_code {
    uint64_t start;
    uint64_t end;
    uint64_t time_ns;                  // when it was loaded; 0: unknown, before all others
    uint32_t order;                    // in which it was read
    const char *name;                  // NULL: code was taken away here
    const struct hone_jit_line *lines; // sorted; arena
    uint32_t line_count;
};

struct hone_jit {
    struct hone_arena arena;
    struct hone_symbol_pool texts;
    struct hone_jit_code *codes; // heap, in the order of loading once settled
    size_t count, room;

    // A tree over the intervals between bounds (jit.c).
    uint64_t *bounds; // heap, sorted
    size_t bound_count;
    uint32_t *first; // heap: by node, its first code in covering
    uint32_t *covering;
    bool settled;
};

// Adds code; texts are copied, lines are kept. Returns 0, also when there are too many or it is
// empty; -ENOMEM.
int hone_jit_add(struct hone_jit *jit, const struct hone_jit_code *code);

#endif
