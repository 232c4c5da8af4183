// Which functions of a module are an allocator's, and which of them nothing jumps into. Private to
// entries.c.
//
// A program may have a million symbols, or 200 MB of code and none: both are looked through once,
// for all functions together, in one row.
#ifndef HONE_PROBE_ENTRIES_FIND_H
#define HONE_PROBE_ENTRIES_FIND_H

#include "probe/entries.h"
#include "probe/image.h"
#include "probe/others.h"

enum { HONE_ENTRIES_MAX = 192, HONE_ENTRY_PARTS_MAX = 256 };

// One function, while they are looked for.
struct hone_entry_function {
    uint64_t address, size;
    const char *name;
    enum hone_other_kind kind;
    bool handed_on; // by an operator to a function that is hooked, or handed on itself:
    size_t handed_to;
    struct hone_entry_plan plan;
    bool left;    // as it is: what is lost is told otherwise
    bool entered; // something jumps between the instructions that are overwritten, or may do so
};

struct hone_entry_search {
    const struct hone_image *image;
    struct hone_entry_function functions[HONE_ENTRIES_MAX];
    size_t count;
    const char *allocates; // the first that does; NULL: none
    uint64_t usable;       // malloc_usable_size() of the module; 0: it has none
    bool too_many;
    const char *clone; // a copy of such a function, with other parameters
    // What the compiler has split off from one of them (`malloc.cold`) may jump back into it.
    struct hone_entry_part {
        uint64_t address, size;
        const char *name;
        size_t length; // of the function's name, with which it begins
    } parts[HONE_ENTRY_PARTS_MAX];
    size_t part_count;
    // The file's own table of symbols, of the program's; NULL: only what it exports is known.
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *strings;
    size_t string_bytes;
    // The file, and where in it its code is (0: not known), for what is read there costs no pages
    // of the program's.
    int fd;
    uint64_t text_at;
};

// By the program's file, open as search->fd and mapped, `size` bytes, if it is that of `info`.
void hone_entries_find_in_file(struct hone_entry_search *search, const uint8_t *file, uint64_t size,
                               const struct dl_phdr_info *info);
// By what the module exports.
void hone_entries_find_exports(struct hone_entry_search *search);
// The module's malloc_usable_size(), where all of its functions are of the allocator that has it:
// to ask one of another's block may end the program. 0: there is none, or nobody knows.
uint64_t hone_entries_usable(const struct hone_entry_search *search);
// Sets `handed_on`: an operator that calls malloc(), or another operator, is seen there.
void hone_entries_find_handed_on(struct hone_entry_search *search);
// Sets `entered` of those that have a plan and are not handed on.
void hone_entries_find_entered(struct hone_entry_search *search);

#endif
