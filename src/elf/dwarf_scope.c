// Reads a unit once into scopes (functions with code and calls inlined into them) and flat ranges
// that lead from an address to its innermost scope.
//
// Most entries of a unit describe types, variables and functions without code. Entries of fixed
// size are passed over by one addition; the children of types and of functions without code by the
// sibling reference. GNU's nested functions can hide below those, so when an address in the unit's
// code finds no function the unit is read once more, whole.
#include "elf/dwarf_internal.h"

#include <errno.h>
#include <stdlib.h>

struct walk {
    struct hone_dwarf_unit *unit;
    const struct hone_dwarf_abbrevs *abbrevs;
    const unsigned char *base; // of .debug_info
    struct hone_cursor at;
    bool whole;
    size_t scope_capacity;
    size_t range_limit;
    uint32_t *parents; // scope that encloses each open level, heap
    size_t depth;
    size_t depth_capacity;
};

static void walk_done(struct walk *walk)
{
    free(walk->parents);
}

struct entry {
    struct hone_dwarf_value low, high, ranges, origin, sibling;
    uint32_t call_file, call_line, call_column;
};

static uint32_t clamp(uint64_t number)
{
    return number > UINT32_MAX ? 0 : (uint32_t)number;
}

static void read_entry(struct walk *walk, const struct hone_dwarf_abbrev *abbrev,
                       struct entry *entry)
{
    const struct hone_dwarf_attribute *attribute = &walk->abbrevs->attributes[abbrev->first];
    for (uint32_t i = 0; i < abbrev->count; i++, attribute++) {
        struct hone_dwarf_value *wanted;
        struct hone_dwarf_value number;
        switch (attribute->name) {
        case DW_AT_low_pc:
            wanted = &entry->low;
            break;
        case DW_AT_high_pc:
            wanted = &entry->high;
            break;
        case DW_AT_ranges:
            wanted = &entry->ranges;
            break;
        case DW_AT_abstract_origin:
            wanted = &entry->origin;
            break;
        case DW_AT_sibling:
            wanted = &entry->sibling;
            break;
        case DW_AT_call_file:
        case DW_AT_call_line:
        case DW_AT_call_column:
            wanted = &number;
            break;
        default:
            hone_dwarf_skip(walk->unit, &walk->at, attribute->form);
            continue;
        }
        *wanted = hone_dwarf_read(walk->unit, &walk->at, attribute->form, attribute->constant);
        if (attribute->name == DW_AT_call_file)
            entry->call_file = clamp(number.number);
        else if (attribute->name == DW_AT_call_line)
            entry->call_line = clamp(number.number);
        else if (attribute->name == DW_AT_call_column)
            entry->call_column = clamp(number.number);
    }
}

static void skip_entry(struct walk *walk, const struct hone_dwarf_abbrev *abbrev,
                       struct entry *entry)
{
    if (abbrev->fixed != UINT32_MAX && !(abbrev->sibling && abbrev->role == HONE_DWARF_TYPE)) {
        (void)hone_read_bytes(&walk->at, abbrev->fixed);
        return;
    }
    const struct hone_dwarf_attribute *attribute = &walk->abbrevs->attributes[abbrev->first];
    for (uint32_t i = 0; i < abbrev->count; i++, attribute++) {
        if (attribute->name == DW_AT_sibling)
            entry->sibling =
                hone_dwarf_read(walk->unit, &walk->at, attribute->form, attribute->constant);
        else
            hone_dwarf_skip(walk->unit, &walk->at, attribute->form);
    }
}

static uint32_t enclosing(const struct walk *walk)
{
    return walk->depth ? walk->parents[walk->depth - 1] : HONE_DWARF_NO_SCOPE;
}

static int add_scope(struct walk *walk, uint64_t die, const struct entry *entry, bool inlined,
                     uint32_t *ret)
{
    struct hone_dwarf_unit *unit = walk->unit;
    if (unit->scope_count == walk->scope_capacity) {
        size_t capacity = walk->scope_capacity ? walk->scope_capacity * 2 : 64;
        struct hone_dwarf_scope *grown = reallocarray(unit->scopes, capacity, sizeof *unit->scopes);
        if (!grown || capacity >= HONE_DWARF_NO_SCOPE)
            return -ENOMEM;
        unit->scopes = grown;
        walk->scope_capacity = capacity;
    }
    uint32_t index = (uint32_t)unit->scope_count;
    struct hone_dwarf_scope scope = {
        .die = die,
        .inlined = inlined,
        .parent = inlined ? enclosing(walk) : HONE_DWARF_NO_SCOPE,
        .call_file = entry->call_file,
        .call_line = entry->call_line,
        .call_column = entry->call_column,
    };
    // Many calls share one origin; a function's own entry may add a linkage name to its origin's.
    if (inlined && entry->origin.form &&
        !hone_dwarf_reference(unit, entry->origin, &scope.die, &scope.alternate))
        scope.die = die;
    scope.entry = hone_dwarf_ranges_add(unit, entry->low, entry->high, entry->ranges,
                                        walk->range_limit, index, &unit->functions);
    unit->scopes[unit->scope_count++] = scope;
    *ret = index;
    return 0;
}

static int push(struct walk *walk, uint32_t scope)
{
    if (walk->depth == walk->depth_capacity) {
        size_t capacity = walk->depth_capacity ? walk->depth_capacity * 2 : 64;
        uint32_t *grown = reallocarray(walk->parents, capacity, sizeof *walk->parents);
        if (!grown)
            return -ENOMEM;
        walk->parents = grown;
        walk->depth_capacity = capacity;
    }
    walk->parents[walk->depth++] = scope;
    return 0;
}

// Moves past the entry's children when they are known to hold no code. Only forward, so that a
// broken reference cannot make us run in circles.
static bool skip_children(struct walk *walk, struct hone_dwarf_value sibling)
{
    uint64_t target;
    bool alternate;
    if (walk->whole || !sibling.form ||
        !hone_dwarf_reference(walk->unit, sibling, &target, &alternate) || alternate ||
        target < (uint64_t)(walk->at.at - walk->base) || target > walk->unit->end)
        return false;
    walk->at.at = walk->base + target;
    return true;
}

static int visit(struct walk *walk, uint64_t die, const struct hone_dwarf_abbrev *abbrev)
{
    struct entry entry = {0};
    uint32_t scope = enclosing(walk);
    bool dull = false;
    if (abbrev->role == HONE_DWARF_FUNCTION || abbrev->role == HONE_DWARF_INLINED) {
        read_entry(walk, abbrev, &entry);
        if (entry.low.form || entry.ranges.form) {
            int r = add_scope(walk, die, &entry, abbrev->role == HONE_DWARF_INLINED, &scope);
            if (r)
                return r;
        } else {
            dull = abbrev->role == HONE_DWARF_FUNCTION;
        }
    } else {
        skip_entry(walk, abbrev, &entry);
        dull = abbrev->role == HONE_DWARF_TYPE;
    }
    if (!abbrev->children || (dull && skip_children(walk, entry.sibling)))
        return 0;
    return push(walk, scope);
}

static int walk_unit(struct walk *walk)
{
    while (hone_cursor_left(&walk->at)) {
        uint64_t die = (uint64_t)(walk->at.at - walk->base);
        uint64_t code = hone_read_uleb(&walk->at);
        if (!code) {
            // Compilers pad units with zero bytes, so a surplus one is no damage.
            walk->depth -= walk->depth > 0;
            continue;
        }
        const struct hone_dwarf_abbrev *abbrev = hone_dwarf_abbrev_find(walk->abbrevs, code);
        if (!abbrev)
            return -EBADMSG;
        int r = visit(walk, die, abbrev);
        if (r)
            return r;
    }
    return walk->at.failed ? -EBADMSG : 0;
}

int hone_dwarf_scopes_read(struct hone_dwarf_unit *unit, bool whole)
{
    HONE_CLEANUP(walk_done) struct walk walk = {.unit = unit, .whole = whole};
    free(unit->scopes);
    unit->scopes = NULL;
    unit->scope_count = 0;
    hone_ranges_done(&unit->functions);
    walk.abbrevs = hone_dwarf_abbrevs_get(unit);
    if (!walk.abbrevs)
        return -EBADMSG;
    walk.base = unit->file->info.at;
    walk.at = hone_cursor(walk.base + unit->first, unit->end - unit->first);
    // A damaged unit may name one long list of ranges from each entry. Sound ones stay far below
    // one range for each byte.
    walk.range_limit = 4096 + (unit->end - unit->offset);
    int r = walk_unit(&walk);
    if (r == -ENOMEM || hone_ranges_settle(&unit->functions))
        return -ENOMEM;
    return r;
}
