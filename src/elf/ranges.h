// Ranges of addresses that may nest and overlap, made flat: after hone_ranges_settle() each address
// belongs to at most one, the innermost.
//
//     outer   ├──────────────────────────┤
//     inner         ├───────┤
//     flat    ├outer┤├inner─┤├──outer────┤
//
// Among equal ranges the one that was added last is innermost. Functions and their inlined calls,
// symbols and compilation units are all kept this way.
#ifndef HONE_ELF_RANGES_H
#define HONE_ELF_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_range {
    uint64_t low;
    uint64_t high; // just past the last byte
    uint32_t value;
    uint32_t order; // when it was added
};

struct hone_ranges {
    struct hone_range *at; // heap
    size_t count;
    size_t capacity;
    bool failed; // memory ran out
};

// Empty ranges are left out.
void hone_ranges_add(struct hone_ranges *ranges, uint64_t low, uint64_t high, uint32_t value);

// Sorts and flattens; once. Returns 0 or -ENOMEM.
int hone_ranges_settle(struct hone_ranges *ranges);

// The range that covers address, or NULL.
const struct hone_range *hone_ranges_find(const struct hone_ranges *ranges, uint64_t address);
void hone_ranges_done(struct hone_ranges *ranges);

#endif
