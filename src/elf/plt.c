// Procedure linkage tables have no symbols. Each entry jumps through a slot of the global offset
// table, and a relocation says whose address the slot gets, so an entry is named by decoding its
// jump. That covers .plt, .plt.sec and .plt.got of every linker without knowing their layout:
//
//     entry: endbr64; jmp *slot(%rip)     slot ← relocation ← symbol "puts"     → "puts@plt"
#include "elf/cursor.h"
#include "elf/symbol.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t vaddr;
    const char *name;
};

struct slots {
    struct slot *at; // heap
    size_t count;
    size_t capacity;
    bool failed;
};

static void slots_done(struct slots *slots)
{
    free(slots->at);
}

static void slots_add(struct slots *slots, uint64_t vaddr, const char *name)
{
    if (slots->count == slots->capacity) {
        size_t capacity = slots->capacity ? slots->capacity * 2 : 256;
        struct slot *grown = reallocarray(slots->at, capacity, sizeof *slots->at);
        if (!grown) {
            slots->failed = true;
            return;
        }
        slots->at = grown;
        slots->capacity = capacity;
    }
    slots->at[slots->count++] = (struct slot){vaddr, name};
}

static int by_vaddr(const void *left, const void *right)
{
    const struct slot *a = left, *b = right;
    return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

static const char *symbol_name(struct hone_elf *elf, size_t table_index, uint32_t index)
{
    struct hone_elf_bytes table = hone_elf_section_bytes(elf, table_index);
    if (!table.at || index >= table.len / sizeof(Elf64_Sym))
        return NULL;
    Elf64_Sym symbol;
    memcpy(&symbol, table.at + index * sizeof symbol, sizeof symbol);
    struct hone_elf_bytes strings =
        hone_elf_section_bytes(elf, elf->sections[table_index].header.sh_link);
    struct hone_cursor at = hone_cursor_from(strings.at, strings.len, symbol.st_name);
    const char *name = hone_read_text(&at);
    return name && name[0] ? name : NULL;
}

static bool is_irelative(uint16_t machine, uint32_t type)
{
    return machine == EM_X86_64 ? type == R_X86_64_IRELATIVE : type == R_AARCH64_IRELATIVE;
}

static bool is_slot(uint16_t machine, uint32_t type)
{
    if (machine == EM_X86_64)
        return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT;
    return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT;
}

// A slot that an ifunc's resolver fills has no symbol, only the resolver's address.
static const char *resolver_name(const struct hone_elf_symbols *symbols, uint64_t vaddr)
{
    const struct hone_elf_symbol *best = NULL;
    for (size_t i = 0; i < symbols->count; i++) {
        const struct hone_elf_symbol *symbol = &symbols->at[i];
        if (symbol->start == vaddr && (!best || symbol->rank < best->rank))
            best = symbol;
    }
    return best ? best->name : NULL;
}

static void read_slots(struct hone_elf *elf, const struct hone_elf_symbols *symbols,
                       struct slots *slots)
{
    // Resolvers are searched one by one: programs have a few dozen at most.
    unsigned resolvers_left = 4096;
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *header = &elf->sections[i].header;
        if (header->sh_type != SHT_RELA || !(header->sh_flags & SHF_ALLOC))
            continue;
        struct hone_elf_bytes bytes = hone_elf_section_bytes(elf, i);
        for (size_t at = 0; bytes.at && at + sizeof(Elf64_Rela) <= bytes.len;
             at += sizeof(Elf64_Rela)) {
            Elf64_Rela rela;
            memcpy(&rela, bytes.at + at, sizeof rela);
            uint32_t type = (uint32_t)ELF64_R_TYPE(rela.r_info);
            const char *name = NULL;
            if (is_slot(elf->facts.machine, type))
                name = symbol_name(elf, header->sh_link, (uint32_t)ELF64_R_SYM(rela.r_info));
            else if (is_irelative(elf->facts.machine, type) && resolvers_left-- > 0)
                name = resolver_name(symbols, (uint64_t)rela.r_addend);
            if (name)
                slots_add(slots, rela.r_offset, name);
        }
    }
}

// The slot that an entry of 16 bytes (or what is left) at vaddr jumps through. Returns false when
// it is something else, such as the table's first entry.
static bool x86_64_slot(const unsigned char *at, size_t len, uint64_t vaddr, uint64_t *ret)
{
    static const unsigned char endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    size_t i = 0;
    if (len >= 4 && memcmp(at, endbr64, 4) == 0)
        i = 4;
    if (i < len && at[i] == 0xf2) // bnd
        i++;
    if (i + 6 > len || at[i] != 0xff || at[i + 1] != 0x25) // jmp *disp32(%rip)
        return false;
    int32_t displacement;
    memcpy(&displacement, at + i + 2, 4);
    *ret = vaddr + i + 6 + (uint64_t)(int64_t)displacement;
    return true;
}

// [bti c]; adrp x16, page; ldr x17, [x16, offset]; add …; br x17
static bool aarch64_slot(const unsigned char *at, size_t len, uint64_t vaddr, uint64_t *ret)
{
    uint32_t code[3] = {0};
    memcpy(code, at, len < sizeof code ? len : sizeof code);
    size_t i = code[0] == 0xd503245fU; // bti c
    uint32_t adrp = code[i], ldr = code[i + 1];
    if ((adrp & 0x9f00001fU) != 0x90000010U || (ldr & 0xffc003ffU) != 0xf9400211U)
        return false;
    uint64_t pages = (uint64_t)((adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3));
    if (pages & 1 << 20)
        pages |= ~(uint64_t)0 << 21; // signed, 21 bits
    uint64_t page = ((vaddr + 4 * i) & ~(uint64_t)0xfff) + (pages << 12);
    *ret = page + (ldr >> 10 & 0xfff) * 8;
    return true;
}

static void read_entries(struct hone_elf *elf, size_t index, const struct slots *slots,
                         struct hone_arena *arena, struct hone_elf_symbols *symbols)
{
    struct hone_elf_bytes bytes = hone_elf_section_bytes(elf, index);
    bool arm = elf->facts.machine == EM_AARCH64;
    // .plt.got of GNU ld has entries of 8 bytes when there is no endbr64.
    uint64_t step = arm ? 4 : 8;
    for (uint64_t at = 0; bytes.at && at + step <= bytes.len;) {
        uint64_t target, vaddr = bytes.vaddr + at;
        bool jumps = arm ? aarch64_slot(bytes.at + at, bytes.len - at, vaddr, &target)
                         : x86_64_slot(bytes.at + at, bytes.len - at, vaddr, &target);
        const struct slot *slot = jumps ? bsearch(&(struct slot){target, NULL}, slots->at,
                                                  slots->count, sizeof *slots->at, by_vaddr)
                                        : NULL;
        if (!slot) {
            at += step;
            continue;
        }
        const char *name = hone_arena_format(arena, "%s@plt", slot->name);
        uint64_t left = bytes.len - at;
        if (!name) {
            symbols->failed = true;
            return;
        }
        hone_elf_symbols_add(symbols, &(struct hone_elf_symbol){
                                          .start = vaddr,
                                          .size = left < 16 ? left : 16,
                                          .limit = vaddr + left,
                                          .name = name,
                                          .source = HONE_ELF_FROM_PLT,
                                      });
        at += arm ? 16 : step;
    }
}

void hone_elf_read_plt(struct hone_elf *elf, struct hone_arena *arena,
                       struct hone_elf_symbols *symbols)
{
    if (elf->facts.machine != EM_X86_64 && elf->facts.machine != EM_AARCH64)
        return;
    HONE_CLEANUP(slots_done) struct slots slots = {0};
    read_slots(elf, symbols, &slots);
    if (slots.failed)
        symbols->failed = true;
    if (!slots.count)
        return;
    qsort(slots.at, slots.count, sizeof *slots.at, by_vaddr);
    for (size_t i = 0; i < elf->section_count; i++) {
        if (strncmp(elf->sections[i].name, ".plt", 4) == 0 ||
            strcmp(elf->sections[i].name, ".iplt") == 0)
            read_entries(elf, i, &slots, arena, symbols);
    }
}
