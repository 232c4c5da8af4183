#include "elf/dwarf_internal.h"

#include <string.h>

int hone_dwarf_form_size(uint16_t form, unsigned address_size, unsigned offset_size,
                         unsigned version)
{
    switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
        return 0;
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
        return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
        return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
        return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
    case DW_FORM_ref_sup4:
        return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
        return 8;
    case DW_FORM_data16:
        return 16;
    case DW_FORM_addr:
        return (int)address_size;
    case DW_FORM_ref_addr: // an offset since DWARF 3
        return (int)(version <= 2 ? address_size : offset_size);
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
        return (int)offset_size;
    default:
        return -1;
    }
}

static uint64_t block_len(struct hone_cursor *at, uint16_t form)
{
    switch (form) {
    case DW_FORM_block1:
        return hone_read_u8(at);
    case DW_FORM_block2:
        return hone_read_u16(at);
    case DW_FORM_block4:
        return hone_read_u32(at);
    default: // block, exprloc
        return hone_read_uleb(at);
    }
}

static struct hone_dwarf_value read_variable(const struct hone_dwarf_unit *unit,
                                             struct hone_cursor *at, uint16_t form)
{
    struct hone_dwarf_value value = {.form = form};
    switch (form) {
    case DW_FORM_string:
        value.bytes = (const unsigned char *)hone_read_text(at);
        break;
    case DW_FORM_block:
    case DW_FORM_block1:
    case DW_FORM_block2:
    case DW_FORM_block4:
    case DW_FORM_exprloc:
        value.number = block_len(at, form);
        value.bytes = hone_read_bytes(at, value.number);
        break;
    case DW_FORM_sdata:
        value.number = (uint64_t)hone_read_sleb(at);
        break;
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
        value.number = hone_read_uleb(at);
        break;
    case DW_FORM_indirect: {
        uint64_t real = hone_read_uleb(at);
        // An indirect form must not name another one: each step would cost the caller's stack.
        if (real == DW_FORM_indirect || real == DW_FORM_implicit_const || real > UINT16_MAX)
            hone_cursor_fail(at);
        else
            return hone_dwarf_read(unit, at, (uint16_t)real, 0);
        break;
    }
    default:
        hone_cursor_fail(at);
    }
    return value;
}

struct hone_dwarf_value hone_dwarf_read(const struct hone_dwarf_unit *unit, struct hone_cursor *at,
                                        uint16_t form, int64_t implicit)
{
    struct hone_dwarf_value value = {.form = form};
    int size = hone_dwarf_form_size(form, unit->address_size, unit->offset_size, unit->version);
    switch (size) {
    case -1:
        return read_variable(unit, at, form);
    case 0:
        value.number = form == DW_FORM_implicit_const ? (uint64_t)implicit : 1;
        break;
    case 3:
        value.number = hone_read_u24(at);
        break;
    case 16:
        value.bytes = hone_read_bytes(at, 16);
        break;
    default:
        value.number = hone_read_sized(at, (unsigned)size);
    }
    return value;
}

void hone_dwarf_skip(const struct hone_dwarf_unit *unit, struct hone_cursor *at, uint16_t form)
{
    int size = hone_dwarf_form_size(form, unit->address_size, unit->offset_size, unit->version);
    if (size >= 0)
        (void)hone_read_bytes(at, (uint64_t)size);
    else
        (void)read_variable(unit, at, form);
}

static const char *text_in(struct hone_elf_bytes section, uint64_t offset)
{
    struct hone_cursor at = hone_cursor_from(section.at, section.len, offset);
    return hone_read_text(&at);
}

// Entry index of a table of offsets or addresses that begins at base.
static bool indexed(struct hone_elf_bytes table, uint64_t base, uint64_t index, unsigned size,
                    uint64_t *ret)
{
    uint64_t offset;
    if (__builtin_mul_overflow(index, size, &offset) ||
        __builtin_add_overflow(offset, base, &offset))
        return false;
    struct hone_cursor at = hone_cursor_from(table.at, table.len, offset);
    *ret = hone_read_sized(&at, size);
    return !at.failed;
}

const char *hone_dwarf_text(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value)
{
    const struct hone_dwarf_file *file = unit->file;
    uint64_t offset;
    switch (value.form) {
    case DW_FORM_string:
        return (const char *)value.bytes;
    case DW_FORM_strp:
        return text_in(file->str, value.number);
    case DW_FORM_line_strp:
        return text_in(file->line_str, value.number);
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_strp_alt:
        return text_in(file->dwarf->alternate.str, value.number);
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4:
    case DW_FORM_GNU_str_index:
        if (!indexed(file->str_offsets, unit->str_offsets_base, value.number, unit->offset_size,
                     &offset))
            return NULL;
        return text_in(file->str, offset);
    default:
        return NULL;
    }
}

bool hone_dwarf_address(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value,
                        uint64_t *ret)
{
    switch (value.form) {
    case DW_FORM_addr:
        *ret = value.number;
        return true;
    case DW_FORM_addrx:
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
    case DW_FORM_GNU_addr_index:
        // A .dwo file has no addresses of its own.
        return indexed(unit->file->dwarf->main.addr, unit->addr_base, value.number,
                       unit->address_size, ret);
    default:
        return false;
    }
}

bool hone_dwarf_reference(const struct hone_dwarf_unit *unit, struct hone_dwarf_value value,
                          uint64_t *ret, bool *ret_alternate)
{
    *ret_alternate = false;
    switch (value.form) {
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
    case DW_FORM_ref_udata:
        if (value.number >= unit->end - unit->offset)
            return false;
        *ret = unit->offset + value.number;
        return true;
    case DW_FORM_ref_addr:
        *ret = value.number;
        return true;
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_ref_sup4:
    case DW_FORM_ref_sup8:
        *ret = value.number;
        *ret_alternate = true;
        return true;
    default: // DW_FORM_ref_sig8 leads to a type, which names no function
        return false;
    }
}
