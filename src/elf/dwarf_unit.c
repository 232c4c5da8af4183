#include "elf/dwarf_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hone_elf_bytes section(struct hone_elf *elf, const char *name, bool split)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", name, split ? ".dwo" : "");
    return hone_elf_section(elf, full);
}

// Reads one unit's header; at is left behind its last byte. False: no more units can be found.
static bool read_header(struct hone_dwarf_file *file, struct hone_cursor *at,
                        struct hone_dwarf_unit *unit)
{
    *unit = (struct hone_dwarf_unit){.file = file, .type = DW_UT_compile, .offset_size = 4};
    unit->offset = (uint64_t)(at->at - file->info.at);
    uint64_t len = hone_read_u32(at);
    if (len == 0xffffffff) {
        unit->offset_size = 8;
        len = hone_read_u64(at);
    }
    const unsigned char *begin = hone_read_bytes(at, len);
    if (!begin)
        return false;
    struct hone_cursor inside = hone_cursor(begin, len);
    unit->end = (uint64_t)(inside.end - file->info.at);
    unit->version = hone_read_u16(&inside);
    if (unit->version >= 5) {
        unit->type = hone_read_u8(&inside);
        unit->address_size = hone_read_u8(&inside);
        unit->abbrev_offset = hone_read_sized(&inside, unit->offset_size);
        if (unit->type == DW_UT_skeleton || unit->type == DW_UT_split_compile)
            unit->split_id = hone_read_u64(&inside);
    } else {
        unit->abbrev_offset = hone_read_sized(&inside, unit->offset_size);
        unit->address_size = hone_read_u8(&inside);
    }
    unit->first = (uint64_t)(inside.at - file->info.at);
    if (inside.failed || unit->version < 2 || unit->version > 5 ||
        (unit->address_size != 8 && unit->address_size != 4))
        unit->state = unit->lines_state = HONE_DWARF_BROKEN;
    // Where bases point when the unit does not say: behind their section's header.
    if (file->split && unit->version >= 5) {
        unit->str_offsets_base = unit->offset_size == 8 ? 16 : 8;
        unit->rnglists_base = unit->offset_size == 8 ? 20 : 12;
    }
    return true;
}

int hone_dwarf_file_init(struct hone_dwarf_file *file, struct hone_dwarf *dwarf,
                         struct hone_elf *elf, bool split)
{
    *file = (struct hone_dwarf_file){.dwarf = dwarf, .elf = elf, .split = split};
    file->info = section(elf, ".debug_info", split);
    file->abbrev = section(elf, ".debug_abbrev", split);
    file->str = section(elf, ".debug_str", split);
    file->str_offsets = section(elf, ".debug_str_offsets", split);
    file->rnglists = section(elf, ".debug_rnglists", split);
    file->line = section(elf, ".debug_line", split);
    file->line_str = hone_elf_section(elf, ".debug_line_str");
    file->ranges = hone_elf_section(elf, ".debug_ranges");
    file->addr = hone_elf_section(elf, ".debug_addr");

    size_t capacity = 0;
    struct hone_cursor at = hone_cursor(file->info.at, file->info.len);
    while (hone_cursor_left(&at)) {
        struct hone_dwarf_unit unit;
        if (!read_header(file, &at, &unit))
            break;
        if (file->unit_count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            struct hone_dwarf_unit *grown =
                reallocarray(file->units, capacity, sizeof *file->units);
            if (!grown)
                return -ENOMEM;
            file->units = grown;
        }
        file->units[file->unit_count++] = unit;
    }
    return 0;
}

void hone_dwarf_file_done(struct hone_dwarf_file *file)
{
    for (size_t i = 0; i < file->unit_count; i++) {
        hone_dwarf_bodies_done(&file->units[i]);
        hone_dwarf_lines_done(&file->units[i].lines);
    }
    free(file->units);
    for (size_t i = 0; i < sizeof file->abbrevs / sizeof file->abbrevs[0]; i++) {
        for (struct hone_dwarf_abbrevs *known = file->abbrevs[i]; known; known = known->next) {
            free(known->at);
            free(known->attributes);
        }
    }
    hone_elf_close(file->owned);
    *file = (struct hone_dwarf_file){0};
}

// Values whose meaning hangs on a base that may follow them in the entry.
struct late {
    struct hone_dwarf_value low, name, directory, split_name;
};

static void take_attribute(struct hone_dwarf_unit *unit, uint16_t name,
                           struct hone_dwarf_value value, struct late *late,
                           struct hone_dwarf_root *root)
{
    switch (name) {
    case DW_AT_low_pc:
        late->low = value;
        break;
    case DW_AT_high_pc:
        root->high = value;
        break;
    case DW_AT_ranges:
        root->ranges = value;
        break;
    case DW_AT_name:
        late->name = value;
        break;
    case DW_AT_comp_dir:
        late->directory = value;
        break;
    case DW_AT_dwo_name:
    case DW_AT_GNU_dwo_name:
        late->split_name = value;
        break;
    case DW_AT_GNU_dwo_id:
        unit->split_id = value.number;
        break;
    case DW_AT_stmt_list:
        unit->stmt_list = value.number;
        unit->has_lines = true;
        break;
    case DW_AT_str_offsets_base:
        unit->str_offsets_base = value.number;
        break;
    case DW_AT_addr_base:
    case DW_AT_GNU_addr_base:
        unit->addr_base = value.number;
        break;
    case DW_AT_rnglists_base:
        unit->rnglists_base = value.number;
        break;
    case DW_AT_GNU_ranges_base:
        unit->ranges_base = value.number;
        break;
    default:
        break;
    }
}

bool hone_dwarf_unit_root(struct hone_dwarf_unit *unit, struct hone_dwarf_root *ret)
{
    if (unit->state == HONE_DWARF_BROKEN)
        return false;
    struct hone_dwarf_file *file = unit->file;
    struct hone_cursor at = hone_cursor(file->info.at + unit->first, unit->end - unit->first);
    struct hone_cursor attributes;
    uint16_t tag;
    uint64_t code = hone_read_uleb(&at);
    if (!code || !hone_dwarf_abbrev_first(unit, code, &attributes, &tag))
        return false;

    struct hone_dwarf_root root = {0};
    struct late late = {0};
    for (;;) {
        uint64_t name = hone_read_uleb(&attributes), form = hone_read_uleb(&attributes);
        int64_t constant = form == DW_FORM_implicit_const ? hone_read_sleb(&attributes) : 0;
        if (attributes.failed || form > UINT16_MAX)
            return false;
        if (!name && !form)
            break;
        struct hone_dwarf_value value = hone_dwarf_read(unit, &at, (uint16_t)form, constant);
        if (at.failed)
            return false;
        take_attribute(unit, (uint16_t)name, value, &late, &root);
    }
    root.low = late.low;
    unit->name = hone_dwarf_text(unit, late.name);
    unit->directory = hone_dwarf_text(unit, late.directory);
    unit->split_name = hone_dwarf_text(unit, late.split_name);
    (void)hone_dwarf_address(unit, late.low, &unit->low_pc);
    unit->root_read = true;
    *ret = root;
    return true;
}

struct hone_dwarf_unit *hone_dwarf_unit_at(struct hone_dwarf_file *file, uint64_t offset)
{
    size_t low = 0, high = file->unit_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (file->units[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == file->unit_count || offset < file->units[low].first)
        return NULL;
    struct hone_dwarf_unit *unit = &file->units[low];
    struct hone_dwarf_root root;
    if (!unit->root_read && !hone_dwarf_unit_root(unit, &root))
        return NULL;
    return unit;
}
