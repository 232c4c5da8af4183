// Functions as symbol tables tell them: sorted ranges that do not overlap.
//
// Which name an address gets is settled once, here, and never depends on the order in a file:
//   - inside nested ranges the innermost, as in assembly with several entries;
//   - among aliases: sized before size 0; a function before an ifunc's resolver before untyped;
//     fewer leading underscores ("read", not "__GI___libc_read"); global before weak before local;
//     shorter; alphabetical.
// No range is longer than its symbol says. A symbol of size 0 ends at the next symbol or its
// section's end and counts only in full tables (.symtab), where hand-written assembly has them; in
// a table of exports it would swallow all local functions that follow it.
#ifndef HONE_ELF_FUNCTION_H
#define HONE_ELF_FUNCTION_H

#include "base/arena.h"
#include "elf/elf.h"

enum hone_elf_symbol_source {
    HONE_ELF_FROM_SYMTAB,
    HONE_ELF_FROM_MINI_DEBUG, // .gnu_debugdata: local functions of stripped Fedora binaries
    HONE_ELF_FROM_DYNSYM,
    HONE_ELF_FROM_PLT, // "name@plt"
};

struct hone_elf_function {
    uint64_t start;
    uint64_t end;     // just past its last byte
    uint64_t entry;   // where the symbol itself begins: start, or before when split by a nested one
    const char *name; // without a version
    enum hone_elf_symbol_source source;
};

struct hone_elf_functions {
    const struct hone_elf_function *at;
    size_t count;
    bool full; // from .symtab or .gnu_debugdata: local functions are there too
};

enum { HONE_ELF_STRIPPED = 1, HONE_ELF_NO_SYMBOLS = 2 };

// Reads the functions of elf and of its separate debug file (may be NULL) into the arena, which
// must not outlive either.
//
// Returns  0; HONE_ELF_STRIPPED when only exports and PLT entries are known; HONE_ELF_NO_SYMBOLS
//          when there is nothing; all three fill *ret. -ENOMEM.
int hone_elf_functions(struct hone_arena *arena, struct hone_elf *elf, struct hone_elf *debug,
                       struct hone_elf_functions *ret);

// The same of variables: `entry` is where one begins. None that belongs to threads.
int hone_elf_variables(struct hone_arena *arena, struct hone_elf *elf, struct hone_elf *debug,
                       struct hone_elf_functions *ret);

// The function, or variable, that covers vaddr, or NULL.
const struct hone_elf_function *hone_elf_function_at(const struct hone_elf_functions *functions,
                                                     uint64_t vaddr);

#endif
