// Names of functions: an entry often only points at another one that has the name.
#include "elf/dwarf_internal.h"

#include <stdlib.h>

// Origin, specification, and once more each through an alternate file: sound chains are shorter.
enum { CHAIN_MAX = 16 };

struct link {
    struct hone_dwarf_file *file;
    uint64_t die;
};

// Takes from one entry what is still missing, and where to look on.
static bool read_link(struct link *link, struct hone_dwarf_function *function)
{
    struct hone_dwarf_unit *unit = hone_dwarf_unit_at(link->file, link->die);
    const struct hone_dwarf_abbrevs *abbrevs = unit ? hone_dwarf_abbrevs_get(unit) : NULL;
    if (!abbrevs)
        return false;
    struct hone_cursor at = hone_cursor(link->file->info.at + link->die, unit->end - link->die);
    const struct hone_dwarf_abbrev *abbrev = hone_dwarf_abbrev_find(abbrevs, hone_read_uleb(&at));
    if (!abbrev)
        return false;

    struct hone_dwarf_value next = {0};
    uint64_t line = 0;
    for (uint32_t i = 0; i < abbrev->count && !at.failed; i++) {
        const struct hone_dwarf_attribute *attribute = &abbrevs->attributes[abbrev->first + i];
        struct hone_dwarf_value value =
            hone_dwarf_read(unit, &at, attribute->form, attribute->constant);
        if (at.failed)
            break;
        switch (attribute->name) {
        case DW_AT_name:
            if (!function->name)
                function->name = hone_dwarf_text(unit, value);
            break;
        case DW_AT_linkage_name:
        case DW_AT_MIPS_linkage_name:
            if (!function->linkage_name)
                function->linkage_name = hone_dwarf_text(unit, value);
            break;
        case DW_AT_decl_line:
            line = value.number;
            break;
        case DW_AT_abstract_origin:
        case DW_AT_specification:
            next = value;
            break;
        default:
            break;
        }
    }
    if (!function->line && line <= UINT32_MAX)
        function->line = (uint32_t)line;
    bool alternate = false;
    if (!next.form || !hone_dwarf_reference(unit, next, &link->die, &alternate))
        return false;
    if (alternate)
        link->file = &link->file->dwarf->alternate;
    return true;
}

static size_t hash(const struct hone_dwarf_file *file, uint64_t die)
{
    return (size_t)((die ^ (uintptr_t)file) * 0x9e3779b97f4a7c15U >> 20);
}

static struct hone_dwarf_named *slot_of(struct hone_dwarf *dwarf,
                                        const struct hone_dwarf_file *file, uint64_t die)
{
    size_t mask = dwarf->named_capacity - 1, i = hash(file, die) & mask;
    while (dwarf->named[i].function && (dwarf->named[i].die != die || dwarf->named[i].file != file))
        i = (i + 1) & mask;
    return &dwarf->named[i];
}

static bool make_room(struct hone_dwarf *dwarf)
{
    if (dwarf->named_count * 2 < dwarf->named_capacity)
        return true;
    struct hone_dwarf old = {.named = dwarf->named, .named_capacity = dwarf->named_capacity};
    size_t capacity = old.named_capacity ? old.named_capacity * 2 : 1024;
    struct hone_dwarf_named *grown = calloc(capacity, sizeof *grown);
    if (!grown)
        return false;
    dwarf->named = grown;
    dwarf->named_capacity = capacity;
    for (size_t i = 0; i < old.named_capacity; i++) {
        if (old.named[i].function)
            *slot_of(dwarf, old.named[i].file, old.named[i].die) = old.named[i];
    }
    free(old.named);
    return true;
}

const struct hone_dwarf_function *hone_dwarf_function(struct hone_dwarf_file *file, uint64_t die)
{
    struct hone_dwarf *dwarf = file->dwarf;
    if (!make_room(dwarf))
        return NULL;
    struct hone_dwarf_named *slot = slot_of(dwarf, file, die);
    if (slot->function)
        return slot->function;
    struct hone_dwarf_function *function =
        hone_arena_new(&dwarf->arena, struct hone_dwarf_function);
    if (!function)
        return NULL;
    struct link link = {file, die};
    for (int i = 0; i < CHAIN_MAX && read_link(&link, function); i++)
        ;
    *slot = (struct hone_dwarf_named){file, die, function};
    dwarf->named_count++;
    return function;
}
