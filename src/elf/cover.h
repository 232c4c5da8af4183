// How much of a file's code something is known of: rules for unwinding, source lines. A file that
// has some may have them of its start files alone, as programs of musl that are linked statically.
//
// Code is what executable sections hold (without any: executable segments), without what no
// compiler has written: the linker's stubs, what fills up between functions, and as many bytes as
// the start files have, of which nothing is ever known.
#ifndef HONE_ELF_COVER_H
#define HONE_ELF_COVER_H

#include "elf/dwarf.h"
#include "elf/elf.h"
#include "unwind/cfi.h"

struct hone_elf_cover {
    uint64_t code_bytes;    // 0: nothing there to be known
    uint64_t covered_bytes; // of these
};

// Of rules for unwinding, which are the file's. Returns 0 or -ENOMEM.
int hone_elf_cover_rules(const struct hone_elf *elf, const struct hone_cfi *cfi,
                         struct hone_elf_cover *ret);

// Of units of DWARF, which may be in another file. Returns 0 or -ENOMEM.
int hone_elf_cover_units(const struct hone_elf *elf, struct hone_dwarf *dwarf,
                         struct hone_elf_cover *ret);

// In percent, rounded down; 100 where there is nothing to be known.
unsigned hone_elf_cover_share(const struct hone_elf_cover *cover);

#endif
