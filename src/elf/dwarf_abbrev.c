#include "elf/dwarf_internal.h"

#include <stdlib.h>

static uint8_t role_of(uint64_t tag)
{
    switch (tag) {
    case DW_TAG_subprogram:
        return HONE_DWARF_FUNCTION;
    case DW_TAG_inlined_subroutine:
        return HONE_DWARF_INLINED;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
    case DW_TAG_array_type:
    case DW_TAG_subroutine_type:
    case DW_TAG_interface_type:
        return HONE_DWARF_TYPE;
    default:
        return HONE_DWARF_OTHER;
    }
}

// Reads name, form and constant; false at the end of the list.
static bool next_attribute(struct hone_cursor *at, struct hone_dwarf_attribute *ret)
{
    uint64_t name = hone_read_uleb(at), form = hone_read_uleb(at);
    ret->constant = form == DW_FORM_implicit_const ? hone_read_sleb(at) : 0;
    ret->name = name <= UINT16_MAX ? (uint16_t)name : UINT16_MAX;
    ret->form = form <= UINT16_MAX ? (uint16_t)form : UINT16_MAX;
    return (name || form) && !at->failed;
}

bool hone_dwarf_abbrev_first(struct hone_dwarf_unit *unit, uint64_t code,
                             struct hone_cursor *ret_attributes, uint16_t *ret_tag)
{
    struct hone_elf_bytes table = unit->file->abbrev;
    struct hone_cursor at = hone_cursor_from(table.at, table.len, unit->abbrev_offset);
    while (!at.failed) {
        uint64_t found = hone_read_uleb(&at);
        if (!found)
            return false;
        uint64_t tag = hone_read_uleb(&at);
        (void)hone_read_u8(&at);
        if (found == code) {
            *ret_attributes = at;
            *ret_tag = (uint16_t)tag;
            return !at.failed;
        }
        struct hone_dwarf_attribute attribute;
        while (next_attribute(&at, &attribute))
            ;
    }
    return false;
}

static unsigned key_of(const struct hone_dwarf_unit *unit)
{
    return unit->version | (unsigned)unit->address_size << 8 | (unsigned)unit->offset_size << 16;
}

static uint8_t field_of(uint16_t name)
{
    switch (name) {
    case DW_AT_low_pc:
        return HONE_DWARF_FIELD_LOW;
    case DW_AT_high_pc:
        return HONE_DWARF_FIELD_HIGH;
    case DW_AT_ranges:
        return HONE_DWARF_FIELD_RANGES;
    case DW_AT_abstract_origin:
        return HONE_DWARF_FIELD_ORIGIN;
    case DW_AT_sibling:
        return HONE_DWARF_FIELD_SIBLING;
    case DW_AT_call_file:
        return HONE_DWARF_FIELD_FILE;
    case DW_AT_call_line:
        return HONE_DWARF_FIELD_LINE;
    case DW_AT_call_column:
        return HONE_DWARF_FIELD_COLUMN;
    default:
        return HONE_DWARF_FIELD_NONE;
    }
}

static uint16_t sibling_at(const struct hone_dwarf_attribute *attributes, size_t count)
{
    uint32_t total = 0;
    for (size_t i = 0; i < count && total < UINT16_MAX; i++) {
        if (attributes[i].name == DW_AT_sibling)
            return attributes[i].form == DW_FORM_ref4 ? (uint16_t)total : UINT16_MAX;
        if (attributes[i].size < 0)
            break;
        total += (uint32_t)attributes[i].size;
    }
    return UINT16_MAX;
}

static uint32_t fixed_size(const struct hone_dwarf_attribute *attributes, size_t count)
{
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (attributes[i].size < 0)
            return UINT32_MAX;
        total += (uint32_t)attributes[i].size;
    }
    return total;
}

struct builder {
    struct hone_dwarf_abbrev *at; // heap
    size_t count, capacity;
    struct hone_dwarf_attribute *attributes; // heap
    size_t attribute_count, attribute_capacity;
};

static void builder_done(struct builder *builder)
{
    free(builder->at);
    free(builder->attributes);
}

static bool grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 128;
    void *grown = reallocarray(*(void **)array, wanted, size);
    if (!grown)
        return false;
    *(void **)array = grown;
    *capacity = wanted;
    return true;
}

static bool build(const struct hone_dwarf_unit *unit, struct builder *builder)
{
    struct hone_elf_bytes table = unit->file->abbrev;
    struct hone_cursor at = hone_cursor_from(table.at, table.len, unit->abbrev_offset);
    uint64_t code;
    while (!at.failed && (code = hone_read_uleb(&at)) != 0) {
        if (!grow(&builder->at, builder->count, &builder->capacity, sizeof *builder->at))
            return false;
        uint64_t tag = hone_read_uleb(&at);
        struct hone_dwarf_abbrev abbrev = {
            .code = code,
            .first = (uint32_t)builder->attribute_count,
            .tag = tag <= UINT16_MAX ? (uint16_t)tag : 0,
            .role = role_of(tag),
            .children = hone_read_u8(&at),
        };
        struct hone_dwarf_attribute attribute;
        while (next_attribute(&at, &attribute)) {
            if (!grow(&builder->attributes, builder->attribute_count, &builder->attribute_capacity,
                      sizeof *builder->attributes))
                return false;
            attribute.size = (int8_t)hone_dwarf_form_size(attribute.form, unit->address_size,
                                                          unit->offset_size, unit->version);
            attribute.field = field_of(attribute.name);
            builder->attributes[builder->attribute_count++] = attribute;
            abbrev.sibling |= attribute.name == DW_AT_sibling;
            abbrev.placed |= attribute.name == DW_AT_low_pc || attribute.name == DW_AT_ranges;
            abbrev.count++;
        }
        abbrev.sibling_at = UINT16_MAX;
        if (abbrev.count) {
            abbrev.fixed = fixed_size(builder->attributes + abbrev.first, abbrev.count);
            abbrev.sibling_at = sibling_at(builder->attributes + abbrev.first, abbrev.count);
        }
        builder->at[builder->count++] = abbrev;
    }
    return !at.failed;
}

static int by_code(const void *left, const void *right)
{
    const struct hone_dwarf_abbrev *a = left, *b = right;
    return a->code < b->code ? -1 : a->code > b->code;
}

struct hone_dwarf_abbrevs *hone_dwarf_abbrevs_get(struct hone_dwarf_unit *unit)
{
    if (unit->abbrevs)
        return unit->abbrevs;
    struct hone_dwarf_file *file = unit->file;
    struct hone_dwarf_abbrevs **bucket =
        &file->abbrevs[(unit->abbrev_offset * 0x9e3779b97f4a7c15U) >> 58];
    for (struct hone_dwarf_abbrevs *known = *bucket; known; known = known->next) {
        if (known->offset == unit->abbrev_offset && known->key == key_of(unit))
            return unit->abbrevs = known;
    }

    HONE_CLEANUP(builder_done) struct builder builder = {0};
    struct hone_arena *arena = &file->dwarf->arena;
    struct hone_dwarf_abbrevs *made = hone_arena_new(arena, struct hone_dwarf_abbrevs);
    if (!made || !build(unit, &builder))
        return NULL;
    for (size_t i = 1; i < builder.count; i++) {
        if (builder.at[i - 1].code > builder.at[i].code) {
            qsort(builder.at, builder.count, sizeof *builder.at, by_code);
            break;
        }
    }
    made->offset = unit->abbrev_offset;
    made->key = key_of(unit);
    made->count = builder.count;
    made->at = hone_take(builder.at);
    made->attributes = hone_take(builder.attributes);
    made->next = *bucket;
    *bucket = made;
    return unit->abbrevs = made;
}
