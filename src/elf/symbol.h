// Between the symbol readers of this room: symbols collected before they are sorted into functions.
#ifndef HONE_ELF_SYMBOL_H
#define HONE_ELF_SYMBOL_H

#include "elf/file.h"
#include "elf/function.h"

struct hone_elf_symbol {
    uint64_t start;
    uint64_t size;  // 0: up to limit, at most
    uint64_t limit; // the end of its section
    const char *name;
    uint8_t rank; // aliases: the lowest wins, see function.h
    uint8_t source;
};

struct hone_elf_symbols {
    struct hone_elf_symbol *at; // heap
    size_t count;
    size_t capacity;
    bool failed; // memory ran out
};

void hone_elf_symbols_add(struct hone_elf_symbols *symbols, const struct hone_elf_symbol *symbol);
void hone_elf_symbols_done(struct hone_elf_symbols *symbols);

// Functions in one table (SHT_SYMTAB or SHT_DYNSYM); false when there is no such table.
bool hone_elf_read_table(struct hone_elf *elf, uint32_t type, enum hone_elf_symbol_source source,
                         struct hone_arena *arena, struct hone_elf_symbols *symbols);

// The same of variables that have a size.
bool hone_elf_read_data(struct hone_elf *elf, uint32_t type, struct hone_arena *arena,
                        struct hone_elf_symbols *symbols);

// Functions in the small ELF file that .gnu_debugdata holds, xz-compressed.
bool hone_elf_read_mini_debug(struct hone_elf *elf, struct hone_arena *arena,
                              struct hone_elf_symbols *symbols);

// Entries of procedure linkage tables, named by the slot they jump through.
void hone_elf_read_plt(struct hone_elf *elf, struct hone_arena *arena,
                       struct hone_elf_symbols *symbols);

#endif
