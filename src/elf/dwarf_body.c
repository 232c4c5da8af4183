// Reads a unit's functions and, one by one when asked for, the calls inlined into them.
//
//     unit      function ──► body: ranges of code, where its children are
//               │  inlined call ──► call ◄── read with the first address inside the function
//               │    inlined call ──► call
//               type, variable, declaration: passed over
//               function …
//
// Entries of fixed size are passed over by one addition; the children of types and functions by
// the sibling reference, where the compiler gives one. GNU's nested functions can hide below those,
// so when an address in the unit's code finds no function the unit is read once more, whole.
#include "elf/dwarf_internal.h"

#include <errno.h>
#include <stdlib.h>

struct walk {
    struct hone_dwarf_unit *unit;
    const struct hone_dwarf_abbrevs *abbrevs;
    const unsigned char *base; // of .debug_info
    struct hone_cursor at;
    bool whole;
    size_t body_capacity;
    uint32_t *levels; // of each open level: its body, or the call that encloses it; heap
    size_t depth;
    size_t level_capacity;
};

static void walk_done(struct walk *walk)
{
    free(walk->levels);
}

static int walk_init(struct walk *walk, uint64_t from, uint64_t to)
{
    walk->abbrevs = hone_dwarf_abbrevs_get(walk->unit);
    if (!walk->abbrevs)
        return -EBADMSG;
    walk->base = walk->unit->file->info.at;
    walk->at = hone_cursor(walk->base + from, to - from);
    return 0;
}

static int push(struct walk *walk, uint32_t level)
{
    if (walk->depth == walk->level_capacity) {
        size_t capacity = walk->level_capacity ? walk->level_capacity * 2 : 64;
        uint32_t *grown = reallocarray(walk->levels, capacity, sizeof *walk->levels);
        if (!grown)
            return -ENOMEM;
        walk->levels = grown;
        walk->level_capacity = capacity;
    }
    walk->levels[walk->depth++] = level;
    return 0;
}

static uint64_t offset_of(const struct walk *walk)
{
    return (uint64_t)(walk->at.at - walk->base);
}

// ---- Entries

// Whose form is 0, that field is absent; the rest of it is not set.
union entry {
    struct hone_dwarf_value at[HONE_DWARF_FIELDS];
    struct {
        struct hone_dwarf_value none, low, high, ranges, origin, sibling, file, line, column;
    };
};

static void skip_value(struct walk *walk, const struct hone_dwarf_attribute *attribute)
{
    if (attribute->size >= 0)
        (void)hone_read_bytes(&walk->at, (uint64_t)attribute->size);
    else
        hone_dwarf_skip(walk->unit, &walk->at, attribute->form);
}

// Clearing entries as a whole took longer than reading them.
static void forget(union entry *entry)
{
    for (int i = 0; i < HONE_DWARF_FIELDS; i++)
        entry->at[i].form = 0;
}

static void read_entry(struct walk *walk, const struct hone_dwarf_abbrev *abbrev,
                       union entry *entry)
{
    const struct hone_dwarf_attribute *attribute = &walk->abbrevs->attributes[abbrev->first];
    forget(entry);
    for (uint32_t i = 0; i < abbrev->count; i++, attribute++) {
        struct hone_dwarf_value *value = &entry->at[attribute->field];
        int8_t size = attribute->size;
        if (!attribute->field) {
            skip_value(walk, attribute);
        } else if (size == 1 || size == 2 || size == 4 || size == 8) { // nearly all
            value->form = attribute->form;
            value->number = hone_read_sized(&walk->at, (unsigned)size);
        } else {
            *value = hone_dwarf_read(walk->unit, &walk->at, attribute->form, attribute->constant);
        }
    }
}

static void skip_entry(struct walk *walk, const struct hone_dwarf_abbrev *abbrev)
{
    if (abbrev->fixed != UINT32_MAX) {
        (void)hone_read_bytes(&walk->at, abbrev->fixed);
        return;
    }
    const struct hone_dwarf_attribute *attribute = &walk->abbrevs->attributes[abbrev->first];
    for (uint32_t i = 0; i < abbrev->count; i++, attribute++)
        skip_value(walk, attribute);
}

// Only forward, so that a broken reference cannot make us run in circles.
static bool skip_children(struct walk *walk, struct hone_dwarf_value sibling)
{
    uint64_t target;
    bool alternate;
    if (!sibling.form || !hone_dwarf_reference(walk->unit, sibling, &target, &alternate) ||
        alternate || target < offset_of(walk) || target > walk->unit->end)
        return false;
    walk->at.at = walk->base + target;
    return true;
}

// ---- Functions

static int add_body(struct walk *walk, uint64_t die, const union entry *entry, uint32_t *ret)
{
    struct hone_dwarf_unit *unit = walk->unit;
    if (unit->body_count == walk->body_capacity) {
        size_t capacity = walk->body_capacity ? walk->body_capacity * 2 : 64;
        struct hone_dwarf_body *grown = reallocarray(unit->bodies, capacity, sizeof *unit->bodies);
        if (!grown || capacity >= HONE_DWARF_NONE_SUCH) {
            unit->bodies = grown ? grown : unit->bodies;
            return -ENOMEM;
        }
        unit->bodies = grown;
        walk->body_capacity = capacity;
    }
    uint32_t index = (uint32_t)unit->body_count++;
    struct hone_dwarf_body *body = &unit->bodies[index];
    *body = (struct hone_dwarf_body){.die = die, .end = unit->end};
    // A damaged unit may name one long list of ranges from each entry. Sound ones stay far below
    // one range for each byte.
    body->entry = hone_dwarf_ranges_add(unit, entry->low, entry->high, entry->ranges,
                                        4096 + (unit->end - unit->offset), index, &unit->functions);
    *ret = index;
    return 0;
}

// Most entries are types and declarations: where these end is one number at a known place.
static bool pass_by(struct walk *walk, const struct hone_dwarf_abbrev *abbrev)
{
    if (walk->whole || !abbrev->children || abbrev->placed || abbrev->sibling_at == UINT16_MAX ||
        (abbrev->role != HONE_DWARF_TYPE && abbrev->role != HONE_DWARF_FUNCTION))
        return false;
    struct hone_cursor at = walk->at;
    (void)hone_read_bytes(&at, abbrev->sibling_at);
    struct hone_dwarf_value sibling = {.form = DW_FORM_ref4, .number = hone_read_u32(&at)};
    return !at.failed && skip_children(walk, sibling);
}

static int visit(struct walk *walk, uint64_t die, const struct hone_dwarf_abbrev *abbrev)
{
    if (pass_by(walk, abbrev))
        return 0;
    union entry entry;
    uint32_t body = HONE_DWARF_NONE_SUCH;
    bool skips =
        abbrev->role == HONE_DWARF_FUNCTION || (abbrev->role == HONE_DWARF_TYPE && abbrev->sibling);
    if (skips)
        read_entry(walk, abbrev, &entry);
    else
        skip_entry(walk, abbrev);
    if (abbrev->role == HONE_DWARF_FUNCTION && (entry.low.form || entry.ranges.form)) {
        int r = add_body(walk, die, &entry, &body);
        if (r)
            return r;
    }
    bool passed =
        !abbrev->children || (skips && !walk->whole && skip_children(walk, entry.sibling));
    if (!passed)
        return push(walk, body);
    if (body != HONE_DWARF_NONE_SUCH)
        walk->unit->bodies[body].end = offset_of(walk);
    return 0;
}

static void pop(struct walk *walk)
{
    // Compilers pad units with zero bytes, so a surplus one is no damage.
    if (!walk->depth)
        return;
    uint32_t body = walk->levels[--walk->depth];
    if (body != HONE_DWARF_NONE_SUCH)
        walk->unit->bodies[body].end = offset_of(walk);
}

static int walk_unit(struct walk *walk)
{
    while (hone_cursor_left(&walk->at)) {
        uint64_t die = offset_of(walk);
        uint64_t code = hone_read_uleb(&walk->at);
        if (!code) {
            pop(walk);
            continue;
        }
        const struct hone_dwarf_abbrev *abbrev = hone_dwarf_abbrev_find(walk->abbrevs, code);
        int r = abbrev ? visit(walk, die, abbrev) : -EBADMSG;
        if (r)
            return r;
    }
    return walk->at.failed ? -EBADMSG : 0;
}

int hone_dwarf_bodies_read(struct hone_dwarf_unit *unit, bool whole)
{
    HONE_CLEANUP(walk_done) struct walk walk = {.unit = unit, .whole = whole};
    hone_dwarf_bodies_done(unit);
    int r = walk_init(&walk, unit->first, unit->end);
    if (!r)
        r = walk_unit(&walk);
    if (r == -ENOMEM || hone_ranges_settle(&unit->functions))
        return -ENOMEM;
    return r;
}

void hone_dwarf_bodies_done(struct hone_dwarf_unit *unit)
{
    for (size_t i = 0; i < unit->body_count; i++)
        hone_ranges_done(&unit->bodies[i].inlined);
    free(unit->bodies);
    free(unit->calls);
    hone_ranges_done(&unit->functions);
    unit->bodies = NULL;
    unit->calls = NULL;
    unit->body_count = unit->call_count = unit->call_capacity = 0;
}

// ---- Inlined calls

static uint32_t number_of(struct hone_dwarf_value value)
{
    return !value.form || value.number > UINT32_MAX ? 0 : (uint32_t)value.number;
}

static int add_call(struct walk *walk, struct hone_dwarf_body *body, uint64_t die,
                    const union entry *entry, uint32_t *ret)
{
    struct hone_dwarf_unit *unit = walk->unit;
    if (unit->call_count == unit->call_capacity) {
        size_t capacity = unit->call_capacity ? unit->call_capacity * 2 : 64;
        struct hone_dwarf_call *grown = reallocarray(unit->calls, capacity, sizeof *unit->calls);
        if (!grown || capacity >= HONE_DWARF_NONE_SUCH) {
            unit->calls = grown ? grown : unit->calls;
            return -ENOMEM;
        }
        unit->calls = grown;
        unit->call_capacity = capacity;
    }
    struct hone_dwarf_call call = {
        .parent = walk->levels[walk->depth - 1],
        .body = (uint32_t)(body - unit->bodies),
        .file = number_of(entry->file),
        .line = number_of(entry->line),
        .column = number_of(entry->column),
    };
    if (!hone_dwarf_reference(unit, entry->origin, &call.die, &call.alternate))
        call.die = die;
    uint32_t index = (uint32_t)unit->call_count;
    (void)hone_dwarf_ranges_add(unit, entry->low, entry->high, entry->ranges,
                                4096 + (body->end - body->die), index, &body->inlined);
    unit->calls[unit->call_count++] = call;
    *ret = index;
    return 0;
}

static int visit_inside(struct walk *walk, struct hone_dwarf_body *body, uint64_t die,
                        const struct hone_dwarf_abbrev *abbrev)
{
    union entry entry;
    uint32_t level = walk->depth ? walk->levels[walk->depth - 1] : HONE_DWARF_NONE_SUCH;
    bool nested = walk->depth && abbrev->role == HONE_DWARF_FUNCTION;
    bool skips = nested || (abbrev->role == HONE_DWARF_TYPE && abbrev->sibling);
    if (skips || abbrev->role == HONE_DWARF_INLINED)
        read_entry(walk, abbrev, &entry);
    else
        skip_entry(walk, abbrev);
    if (abbrev->role == HONE_DWARF_INLINED && walk->depth &&
        (entry.low.form || entry.ranges.form)) {
        int r = add_call(walk, body, die, &entry, &level);
        if (r)
            return r;
    }
    if (!abbrev->children || (skips && skip_children(walk, entry.sibling)))
        return 0;
    return push(walk, level);
}

static int walk_body(struct walk *walk, struct hone_dwarf_body *body)
{
    do {
        uint64_t die = offset_of(walk);
        uint64_t code = hone_read_uleb(&walk->at);
        if (!code) {
            walk->depth -= walk->depth > 0;
            continue;
        }
        const struct hone_dwarf_abbrev *abbrev = hone_dwarf_abbrev_find(walk->abbrevs, code);
        int r = abbrev ? visit_inside(walk, body, die, abbrev) : -EBADMSG;
        if (r)
            return r;
    } while (walk->depth && hone_cursor_left(&walk->at));
    return walk->at.failed ? -EBADMSG : 0;
}

int hone_dwarf_calls_read(struct hone_dwarf_unit *unit, struct hone_dwarf_body *body)
{
    HONE_CLEANUP(walk_done) struct walk walk = {.unit = unit};
    body->read = true;
    int r = walk_init(&walk, body->die, body->end);
    if (!r)
        r = walk_body(&walk, body);
    if (r == -ENOMEM || hone_ranges_settle(&body->inlined))
        return -ENOMEM;
    return r;
}
