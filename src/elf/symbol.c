#include "elf/symbol.h"

#include "elf/cursor.h"

#include <stdlib.h>
#include <string.h>

void hone_elf_symbols_add(struct hone_elf_symbols *symbols, const struct hone_elf_symbol *symbol)
{
    if (symbols->count == symbols->capacity) {
        size_t capacity = symbols->capacity ? symbols->capacity * 2 : 1024;
        struct hone_elf_symbol *grown = reallocarray(symbols->at, capacity, sizeof *symbols->at);
        if (!grown) {
            symbols->failed = true;
            return;
        }
        symbols->at = grown;
        symbols->capacity = capacity;
    }
    symbols->at[symbols->count++] = *symbol;
}

void hone_elf_symbols_done(struct hone_elf_symbols *symbols)
{
    free(symbols->at);
    *symbols = (struct hone_elf_symbols){0};
}

static bool is_code(uint8_t type)
{
    return type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
}

static uint8_t rank_of(const Elf64_Sym *symbol, const char *name)
{
    unsigned underscores = (unsigned)strspn(name, "_");
    if (underscores > 2)
        underscores = 2;
    // glibc's hidden aliases for its own calls.
    if (strncmp(name, "__GI_", 5) == 0)
        underscores = 3;
    // A mangled name's underscore is no hint at a private alias.
    if (underscores == 1 && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D'))
        underscores = 0;
    uint8_t type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
    unsigned kind = type == STT_FUNC ? 0 : type == STT_GNU_IFUNC ? 1 : 2;
    unsigned reach = binding == STB_LOCAL ? 2 : binding == STB_WEAK ? 1 : 0;
    return (uint8_t)((symbol->st_size == 0) << 7 | kind << 5 | underscores << 3 | reach);
}

// "name@@VERSION" and "name@VERSION" occur in .symtab, where old assemblers put versions.
static const char *without_version(struct hone_arena *arena, const char *name)
{
    const char *at = strchr(name, '@');
    if (!at || at == name)
        return name;
    return hone_arena_format(arena, "%.*s", (int)(at - name), name);
}

// Whether a symbol is of what is wanted, in a section that can hold it. Variables of threads are
// nowhere: each thread has its own.
static bool is_wanted(const Elf64_Sym *symbol, const Elf64_Shdr *section,
                      enum hone_elf_symbol_source source, bool data)
{
    uint8_t type = ELF64_ST_TYPE(symbol->st_info);
    if (data)
        return type == STT_OBJECT && symbol->st_size &&
               (section->sh_flags & (SHF_ALLOC | SHF_EXECINSTR | SHF_TLS)) == SHF_ALLOC;
    return is_code(type) && section->sh_flags & SHF_EXECINSTR &&
           (symbol->st_size || source != HONE_ELF_FROM_DYNSYM);
}

static bool read_table(struct hone_elf *elf, uint32_t type, enum hone_elf_symbol_source source,
                       bool data, struct hone_arena *arena, struct hone_elf_symbols *symbols)
{
    struct hone_elf_bytes table = {0}, strings = {0};
    for (size_t i = 0; i < elf->section_count && !table.at; i++) {
        if (elf->sections[i].header.sh_type != type)
            continue;
        table = hone_elf_section_bytes(elf, i);
        strings = hone_elf_section_bytes(elf, elf->sections[i].header.sh_link);
    }
    if (!table.at || !strings.at)
        return false;

    for (size_t i = 1; i < table.len / sizeof(Elf64_Sym); i++) {
        Elf64_Sym symbol;
        memcpy(&symbol, table.at + i * sizeof symbol, sizeof symbol);
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= elf->section_count)
            continue;
        const Elf64_Shdr *section = &elf->sections[symbol.st_shndx].header;
        if (!is_wanted(&symbol, section, source, data) || symbol.st_value < section->sh_addr ||
            symbol.st_value - section->sh_addr >= section->sh_size)
            continue;
        struct hone_cursor at = hone_cursor_from(strings.at, strings.len, symbol.st_name);
        const char *name = hone_read_text(&at);
        // "$x" marks code among data on Arm; it names nothing.
        if (!name || !name[0] || name[0] == '$')
            continue;
        name = without_version(arena, name);
        if (!name) {
            symbols->failed = true;
            return true;
        }
        uint64_t left = section->sh_size - (symbol.st_value - section->sh_addr);
        hone_elf_symbols_add(symbols, &(struct hone_elf_symbol){
                                          .start = symbol.st_value,
                                          .size = symbol.st_size < left ? symbol.st_size : left,
                                          .limit = symbol.st_value + left,
                                          .name = name,
                                          .rank = rank_of(&symbol, name),
                                          .source = (uint8_t)source,
                                      });
    }
    return true;
}

bool hone_elf_read_table(struct hone_elf *elf, uint32_t type, enum hone_elf_symbol_source source,
                         struct hone_arena *arena, struct hone_elf_symbols *symbols)
{
    return read_table(elf, type, source, false, arena, symbols);
}

bool hone_elf_read_data(struct hone_elf *elf, uint32_t type, struct hone_arena *arena,
                        struct hone_elf_symbols *symbols)
{
    return read_table(elf, type, HONE_ELF_FROM_SYMTAB, true, arena, symbols);
}
