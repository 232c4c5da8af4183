// DWARF 2 to 5: which function an address belongs to, which calls were inlined there, which line.
//
//     HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = NULL;
//     int r = hone_dwarf_open(elf, alternate, &dwarf);
//     …
//     struct hone_dwarf_frames frames;
//     r = hone_dwarf_lookup(dwarf, vaddr, &frames);
//
// Our own reader and not elfutils', because a profiler asks for thousands of addresses at once:
// opening reads only the first entry of each compilation unit; the first address inside a unit
// reads that unit once, passing over types by their sibling references, into flat sorted ranges;
// every further address is three binary searches. symbol_bench has the figures beside libdw.
//
// Read: separate and compressed files, dwz's partial units and alternate files, split DWARF (.dwo).
// Not read: .dwp packages, type units (they hold no code), 16-bit and big-endian files.
//
// Threads  one at a time.
#ifndef HONE_ELF_DWARF_H
#define HONE_ELF_DWARF_H

#include "elf/elf.h"

struct hone_dwarf;

enum { HONE_DWARF_NONE = 1 };

// elf holds .debug_info; alternate is what its .gnu_debugaltlink names, or NULL. Both must outlive
// the result. Returns HONE_DWARF_NONE when there is no readable unit; -ENOMEM.
int hone_dwarf_open(struct hone_elf *elf, struct hone_elf *alternate, struct hone_dwarf **ret);
void hone_dwarf_close(struct hone_dwarf *dwarf);

static inline void hone_dwarf_closep(struct hone_dwarf **dwarf)
{
    hone_dwarf_close(*dwarf);
}

// A function as its entry tells: a key by pointer for as long as the file is open.
struct hone_dwarf_function {
    const char *name;         // as in the source, NULL when it has none
    const char *linkage_name; // mangled, NULL in C
    uint32_t line;            // of its declaration, 0 when unknown
};

struct hone_dwarf_frame {
    const struct hone_dwarf_function *function; // NULL: code without a function, only a line
    const char *file; // full path, NULL when unknown; the pointer serves as a key
    uint32_t line;    // innermost: of the address; others: of the inlined call
    uint32_t column;
};

struct hone_dwarf_frames {
    const struct hone_dwarf_frame *at; // innermost first; valid until the next lookup
    size_t count;
    uint64_t entry; // where the outermost function begins, 0 when there is none
};

enum { HONE_DWARF_UNKNOWN = 1 };

// Returns 0; HONE_DWARF_UNKNOWN when no unit covers vaddr or nothing is known there; -ENOMEM.
int hone_dwarf_lookup(struct hone_dwarf *dwarf, uint64_t vaddr, struct hone_dwarf_frames *ret);

// The number of the unit that covers vaddr, below stats.units: readers that work side by side, each
// with a struct hone_dwarf of its own, share out units. HONE_DWARF_UNKNOWN as above; -ENOMEM.
int hone_dwarf_unit_of(struct hone_dwarf *dwarf, uint64_t vaddr, uint32_t *ret);

// All that a unit says about its code, made flat: what hone_dwarf_lookup() finds at an address is
// the last piece that begins at or before it in the segment around it.
struct hone_dwarf_piece {
    uint64_t low;
    uint32_t node; // innermost call or function; HONE_DWARF_NO_NODE: a line at most
    uint32_t file; // index into paths; HONE_DWARF_NO_NODE: unknown
    uint32_t line;
    uint32_t column;
};

// A function, or a call inlined into the node that it names as its parent, which comes before it.
struct hone_dwarf_node {
    const struct hone_dwarf_function *function; // NULL: no piece needs it
    uint64_t entry;                             // of a function: where it begins
    uint32_t parent;                            // HONE_DWARF_NO_NODE: it is a function
    uint32_t file, line, column;                // of the call
};

#define HONE_DWARF_NO_NODE UINT32_MAX

struct hone_dwarf_segment {
    uint64_t low;
    uint64_t high;
    uint32_t first; // piece
    uint32_t count;
};

struct hone_dwarf_flat {
    struct hone_dwarf_segment *segments; // heap, in the order of addresses
    struct hone_dwarf_piece *pieces;     // heap
    struct hone_dwarf_node *nodes;       // heap
    const char **paths;                  // heap; NULL: unknown. The texts are the reader's
    uint32_t segment_count, piece_count, node_count, path_count;
};

// Returns 0; HONE_DWARF_UNKNOWN when the unit is damaged or lacks its .dwo file, and then nothing
// is in *ret; -ENOMEM.
int hone_dwarf_flatten(struct hone_dwarf *dwarf, uint32_t unit, struct hone_dwarf_flat *ret);
void hone_dwarf_flat_done(struct hone_dwarf_flat *flat);

struct hone_dwarf_stats {
    uint64_t units;
    uint64_t units_read;    // because an address was inside
    uint64_t units_broken;  // damaged: what they hold is missing
    uint64_t roots_broken;  // of these, those whose first entry is
    uint64_t split_missing; // split units whose .dwo file could not be had
};
struct hone_dwarf_stats hone_dwarf_stats(const struct hone_dwarf *dwarf);

#endif
