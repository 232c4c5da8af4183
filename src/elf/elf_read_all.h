// Reads all there is in a file of unknown health, for the fuzzer and the test that damages files.
#ifndef HONE_ELF_ELF_READ_ALL_H
#define HONE_ELF_ELF_READ_ALL_H

#include "base/base.h"
#include "elf/cover.h"
#include "elf/dwarf.h"
#include "elf/elf.h"
#include "elf/function.h"

// Asks for every step-th address of the executable segments, up to a few thousand, and at the ends
// of all functions. Returns how many had a name, so that nothing is optimised away.
static inline size_t hone_elf_read_all(const void *bytes, size_t len)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = NULL;
    if (hone_elf_open_memory(bytes, len, "damaged", &elf, NULL))
        return 0;
    size_t named = 0;
    struct hone_elf_functions functions;
    if (hone_elf_functions(&arena, elf, NULL, &functions) < 0)
        return 0;
    bool dwarfs = hone_dwarf_open(elf, elf, &dwarf) == 0; // its own alternate, to follow more paths
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    for (size_t i = 0; i < facts->segment_count && i < 16; i++) {
        const struct hone_elf_segment *segment = &facts->segments[i];
        uint64_t step = segment->memory_size / 1000 + 1;
        for (uint64_t n = 0; n < 1000 && n * step < segment->memory_size; n++) {
            struct hone_dwarf_frames frames;
            uint64_t vaddr = segment->vaddr + n * step;
            named += hone_elf_function_at(&functions, vaddr) != NULL;
            if (dwarfs && hone_dwarf_lookup(dwarf, vaddr, &frames) == 0)
                named += frames.count;
        }
    }
    struct hone_elf_bytes rules = hone_elf_section(elf, ".eh_frame");
    const struct hone_cfi cfi = {.frames = {rules.at, rules.vaddr, rules.len},
                                 .eh_frame = rules.at ? rules.vaddr : 0};
    struct hone_elf_cover cover;
    if (hone_elf_cover_rules(elf, &cfi, &cover) == 0)
        named += cover.covered_bytes > 0;
    if (dwarfs && hone_elf_cover_units(elf, dwarf, &cover) == 0)
        named += cover.covered_bytes > 0;
    for (size_t i = 0; i < functions.count; i++)
        named += strlen(functions.at[i].name) > 0;
    return named;
}

#endif
