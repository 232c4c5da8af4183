#include "elf/dwarf_internal.h"

struct adding {
    const struct hone_dwarf_unit *unit;
    struct hone_ranges *ranges;
    size_t limit;
    uint32_t value;
    uint64_t first;
};

static void add(struct adding *adding, uint64_t low, uint64_t high)
{
    const struct hone_dwarf *dwarf = adding->unit->file->dwarf;
    // What the linker discards it leaves at 0, 1 or the highest address: outside all code.
    if (low < dwarf->text_low || high > dwarf->text_high || low >= high)
        return;
    if (adding->ranges->count >= adding->limit)
        return;
    if (!adding->first)
        adding->first = low;
    hone_ranges_add(adding->ranges, low, high, adding->value);
}

// .debug_ranges, until DWARF 4: pairs; an all-ones begin sets the base.
static void add_pairs(struct adding *adding, uint64_t offset)
{
    const struct hone_dwarf_unit *unit = adding->unit;
    // A .dwo file of GNU's DWARF 4 keeps its ranges in the program.
    struct hone_elf_bytes section = unit->file->dwarf->main.ranges;
    if (!unit->file->split)
        section = unit->file->ranges;
    struct hone_cursor at = hone_cursor_from(section.at, section.len, offset);
    uint64_t ones = unit->address_size == 8 ? UINT64_MAX : UINT32_MAX, base = unit->low_pc;
    while (adding->ranges->count < adding->limit) {
        uint64_t low = hone_read_sized(&at, unit->address_size);
        uint64_t high = hone_read_sized(&at, unit->address_size);
        if (at.failed || (!low && !high))
            return;
        if (low == ones)
            base = high;
        else
            add(adding, base + low, base + high);
    }
}

static uint64_t address_at(struct adding *adding, struct hone_cursor *at)
{
    uint64_t address = 0;
    struct hone_dwarf_value index = {.form = DW_FORM_addrx, .number = hone_read_uleb(at)};
    if (!hone_dwarf_address(adding->unit, index, &address))
        hone_cursor_fail(at);
    return address;
}

// .debug_rnglists, since DWARF 5.
static void add_list(struct adding *adding, uint64_t offset)
{
    const struct hone_dwarf_unit *unit = adding->unit;
    struct hone_elf_bytes section = unit->file->rnglists;
    struct hone_cursor at = hone_cursor_from(section.at, section.len, offset);
    uint64_t base = unit->low_pc;
    while (!at.failed && adding->ranges->count < adding->limit) {
        uint64_t low, high;
        switch (hone_read_u8(&at)) {
        case DW_RLE_end_of_list:
            return;
        case DW_RLE_base_addressx:
            base = address_at(adding, &at);
            continue;
        case DW_RLE_base_address:
            base = hone_read_sized(&at, unit->address_size);
            continue;
        case DW_RLE_startx_endx:
            low = address_at(adding, &at);
            high = address_at(adding, &at);
            break;
        case DW_RLE_startx_length:
            low = address_at(adding, &at);
            high = low + hone_read_uleb(&at);
            break;
        case DW_RLE_offset_pair:
            low = base + hone_read_uleb(&at);
            high = base + hone_read_uleb(&at);
            break;
        case DW_RLE_start_end:
            low = hone_read_sized(&at, unit->address_size);
            high = hone_read_sized(&at, unit->address_size);
            break;
        case DW_RLE_start_length:
            low = hone_read_sized(&at, unit->address_size);
            high = low + hone_read_uleb(&at);
            break;
        default:
            return;
        }
        if (!at.failed)
            add(adding, low, high);
    }
}

static void add_ranges_attribute(struct adding *adding, struct hone_dwarf_value list)
{
    const struct hone_dwarf_unit *unit = adding->unit;
    uint64_t offset = list.number;
    if (list.form == DW_FORM_rnglistx) {
        struct hone_elf_bytes section = unit->file->rnglists;
        uint64_t slot;
        if (__builtin_mul_overflow(list.number, unit->offset_size, &slot) ||
            __builtin_add_overflow(slot, unit->rnglists_base, &slot))
            return;
        struct hone_cursor at = hone_cursor_from(section.at, section.len, slot);
        offset = unit->rnglists_base + hone_read_sized(&at, unit->offset_size);
        if (at.failed)
            return;
    }
    if (unit->version >= 5)
        add_list(adding, offset);
    else
        add_pairs(adding, unit->file->split ? offset + unit->ranges_base : offset);
}

uint64_t hone_dwarf_ranges_add(const struct hone_dwarf_unit *unit, struct hone_dwarf_value low,
                               struct hone_dwarf_value high, struct hone_dwarf_value list,
                               size_t limit, uint32_t value, struct hone_ranges *ranges)
{
    struct adding adding = {unit, ranges, limit, value, 0};
    uint64_t from, to;
    if (list.form) {
        add_ranges_attribute(&adding, list);
    } else if (low.form && high.form && hone_dwarf_address(unit, low, &from)) {
        if (!hone_dwarf_address(unit, high, &to))
            to = from + high.number; // a constant: the length
        add(&adding, from, to);
    }
    return adding.first;
}
