#include "elf/cover.h"

#include "base/base.h"
#include "elf/dwarf_internal.h"
#include "elf/file.h"
#include "elf/ranges.h"

enum {
    // Functions begin at multiples of 64 at most, but for some loops of hand-written assembly.
    FILLING_MAX = 64,
    // crtbegin.o has functions without rules, 0xb6 bytes on x86-64 and 0xe0 on aarch64.
    START_FILES_MAX = 256,
};

static bool is_linkers(const char *name)
{
    return strncmp(name, ".plt", 4) == 0 || strcmp(name, ".iplt") == 0 ||
           strcmp(name, ".init") == 0 || strcmp(name, ".fini") == 0;
}

static void add_code(struct hone_ranges *code, uint64_t start, uint64_t size)
{
    uint64_t end;
    if (!__builtin_add_overflow(start, size, &end))
        hone_ranges_add(code, start, end, 0);
}

static int find_code(const struct hone_elf *elf, struct hone_ranges *ret)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *header = &elf->sections[i].header;
        if (header->sh_flags & SHF_EXECINSTR && header->sh_flags & SHF_ALLOC &&
            header->sh_type == SHT_PROGBITS && !is_linkers(elf->sections[i].name))
            add_code(ret, header->sh_addr, header->sh_size);
    }
    for (size_t i = 0; !elf->section_count && i < elf->facts.segment_count; i++) {
        const struct hone_elf_segment *segment = &elf->facts.segments[i];
        if (segment->executable)
            add_code(ret, segment->vaddr, segment->file_size);
    }
    return hone_ranges_settle(ret);
}

// Both are settled.
static struct hone_elf_cover measure(const struct hone_ranges *code,
                                     const struct hone_ranges *known)
{
    struct hone_elf_cover cover = {0};
    size_t next = 0;
    for (size_t i = 0; i < code->count; i++) {
        const struct hone_range *part = &code->at[i];
        uint64_t at = part->low; // up to here it is counted
        while (next < known->count && known->at[next].high <= part->low)
            next++;
        for (; next < known->count && known->at[next].low < part->high; next++) {
            uint64_t low = known->at[next].low < at ? at : known->at[next].low;
            uint64_t high = known->at[next].high > part->high ? part->high : known->at[next].high;
            if (at == part->low || low - at >= FILLING_MAX)
                cover.code_bytes += low - at;
            cover.code_bytes += high - low;
            cover.covered_bytes += high - low;
            at = high;
            if (known->at[next].high > part->high)
                break; // it goes on in the next one
        }
        if (at == part->low || part->high - at >= FILLING_MAX)
            cover.code_bytes += part->high - at;
    }
    uint64_t unknown = cover.code_bytes - cover.covered_bytes;
    cover.code_bytes -= unknown < START_FILES_MAX ? unknown : START_FILES_MAX;
    return cover;
}

int hone_elf_cover_rules(const struct hone_elf *elf, const struct hone_cfi *cfi,
                         struct hone_elf_cover *ret)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges code = {0};
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges known = {0};
    for (uint64_t next = cfi->eh_frame; next;) {
        struct hone_fde fde;
        if (hone_cfi_read(cfi, next, &fde, &next) == 0)
            hone_ranges_add(&known, fde.start, fde.end, 0);
    }
    int r = find_code(elf, &code);
    if (!r)
        r = hone_ranges_settle(&known);
    if (!r)
        *ret = measure(&code, &known);
    return r;
}

int hone_elf_cover_units(const struct hone_elf *elf, struct hone_dwarf *dwarf,
                         struct hone_elf_cover *ret)
{
    HONE_CLEANUP(hone_ranges_done) struct hone_ranges code = {0};
    int r = find_code(elf, &code);
    if (!r)
        r = hone_dwarf_units_complete(dwarf);
    if (!r)
        *ret = measure(&code, &dwarf->units);
    return r;
}

unsigned hone_elf_cover_share(const struct hone_elf_cover *cover)
{
    return cover->code_bytes
               ? (unsigned)((double)cover->covered_bytes / (double)cover->code_bytes * 100)
               : 100;
}
