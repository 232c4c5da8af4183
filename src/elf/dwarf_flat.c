// A unit made flat: its segments cut into pieces, each with one innermost call and one line.
//
//     segment   ├─────────────────────────────────────────────┤
//     function  ├──────────── f ──────────────┤  ├──── g ──────┤
//     inlined         ├── h ───┤
//     lines     ├─ 7 ────┼─ 3 ─┼─ 9 ──────────────┼─ 20 ───────┤
//     pieces    ├─ f ─┼h┼─ h ──┼─ f ──────────┼──┼┼─ g ────────┤
//
// All four are sorted, so one walk from left to right is enough.
#include "elf/dwarf_internal.h"

#include <errno.h>
#include <stdlib.h>

// A place in sorted ranges that only moves on.
struct finger {
    const struct hone_ranges *ranges;
    size_t at;
};

static struct finger finger(const struct hone_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->at[middle].high <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct finger){ranges, low};
}

// The range that covers address, or NULL. What is found holds until *end at least, which is
// lowered.
static const struct hone_range *advance(struct finger *finger, uint64_t address, uint64_t *end)
{
    const struct hone_ranges *ranges = finger->ranges;
    while (finger->at < ranges->count && ranges->at[finger->at].high <= address)
        finger->at++;
    if (finger->at == ranges->count)
        return NULL;
    const struct hone_range *range = &ranges->at[finger->at];
    bool covers = range->low <= address;
    uint64_t until = covers ? range->high : range->low;
    if (until < *end)
        *end = until;
    return covers ? range : NULL;
}

struct flattening {
    struct hone_dwarf *dwarf;
    struct hone_dwarf_unit *unit, *entries;
    struct hone_dwarf_flat *flat;
    uint32_t piece_room, segment_room;
    struct finger functions, inlined, sequences;
    const struct hone_dwarf_body *body; // that inlined belongs to
    uint32_t sequence, row;             // row of sequence: a finger, too
};

static bool room_for(void *array, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return true;
    uint32_t wanted = *room ? *room * 2 : 64;
    void *grown = wanted > *room ? reallocarray(*(void **)array, wanted, size) : NULL;
    if (!grown)
        return false;
    *(void **)array = grown;
    *room = wanted;
    return true;
}

// The row at address, as hone_dwarf_line_find() gives it.
static const struct hone_dwarf_row *row_at(struct flattening *flattening, uint64_t address,
                                           uint64_t *end)
{
    const struct hone_dwarf_lines *lines = &flattening->unit->lines;
    const struct hone_range *range = advance(&flattening->sequences, address, end);
    if (!range)
        return NULL;
    const struct hone_dwarf_sequence *sequence = &lines->firsts[range->value];
    const struct hone_dwarf_row *rows = &lines->rows[sequence->first];
    if (flattening->sequence != range->value ||
        rows[flattening->row].offset > address - sequence->low) {
        flattening->sequence = range->value;
        flattening->row = (uint32_t)(hone_dwarf_line_find(lines, address) - rows);
    }
    while (flattening->row + 1 < sequence->count &&
           rows[flattening->row + 1].offset <= address - sequence->low)
        flattening->row++;
    if (flattening->row + 1 < sequence->count) {
        uint64_t next = sequence->low + rows[flattening->row + 1].offset;
        if (next < *end)
            *end = next;
    }
    return &rows[flattening->row];
}

// The innermost node at address.
static uint32_t node_at(struct flattening *flattening, uint64_t address, uint64_t *end)
{
    const struct hone_dwarf_unit *entries = flattening->entries;
    const struct hone_range *range = advance(&flattening->functions, address, end);
    if (!range)
        return HONE_DWARF_NO_NODE;
    const struct hone_dwarf_body *body = &entries->bodies[range->value];
    if (flattening->body != body) {
        flattening->body = body;
        flattening->inlined = finger(&body->inlined, address);
    }
    const struct hone_range *call = advance(&flattening->inlined, address, end);
    return call ? (uint32_t)entries->body_count + call->value : range->value;
}

static int add_piece(struct flattening *flattening, const struct hone_dwarf_segment *segment,
                     const struct hone_dwarf_piece *piece)
{
    struct hone_dwarf_flat *flat = flattening->flat;
    if (flat->piece_count > segment->first) {
        const struct hone_dwarf_piece *last = &flat->pieces[flat->piece_count - 1];
        if (last->node == piece->node && last->file == piece->file && last->line == piece->line &&
            last->column == piece->column)
            return 0;
    }
    if (!room_for(&flat->pieces, flat->piece_count, &flattening->piece_room, sizeof *flat->pieces))
        return -ENOMEM;
    flat->pieces[flat->piece_count++] = *piece;
    return 0;
}

static int add_segment(struct flattening *flattening, uint64_t low, uint64_t high)
{
    struct hone_dwarf_flat *flat = flattening->flat;
    struct hone_dwarf_segment segment = {low, high, flat->piece_count, 0};
    flattening->functions = finger(&flattening->entries->functions, low);
    flattening->sequences = finger(&flattening->unit->lines.sequences, low);
    flattening->body = NULL;
    flattening->sequence = HONE_DWARF_NO_NODE;
    for (uint64_t address = low, end; address < high; address = end) {
        end = high;
        struct hone_dwarf_piece piece = {.low = address, .file = HONE_DWARF_NO_NODE};
        piece.node = node_at(flattening, address, &end);
        const struct hone_dwarf_row *row = row_at(flattening, address, &end);
        if (row) {
            piece.file = row->file;
            piece.line = row->line;
            piece.column = row->column;
        }
        int r = add_piece(flattening, &segment, &piece);
        if (r)
            return r;
    }
    segment.count = flat->piece_count - segment.first;
    if (!room_for(&flat->segments, flat->segment_count, &flattening->segment_room,
                  sizeof *flat->segments))
        return -ENOMEM;
    flat->segments[flat->segment_count++] = segment;
    return 0;
}

// Which ranges each unit has: programs have tens of thousands of both.
static int sort_by_unit(struct hone_dwarf *dwarf)
{
    if (dwarf->of_unit)
        return 0;
    size_t units = dwarf->main.unit_count, ranges = dwarf->units.count;
    uint32_t *first = calloc(units + 2, sizeof *first);
    uint32_t *of_unit = calloc(ranges + 1, sizeof *of_unit);
    if (!first || !of_unit) {
        free(first);
        free(of_unit);
        return -ENOMEM;
    }
    for (size_t i = 0; i < ranges; i++)
        first[dwarf->units.at[i].value + 2]++;
    for (size_t i = 2; i < units + 2; i++)
        first[i] += first[i - 1];
    for (size_t i = 0; i < ranges; i++)
        of_unit[first[dwarf->units.at[i].value + 1]++] = (uint32_t)i;
    dwarf->of_unit_first = first;
    dwarf->of_unit = of_unit;
    return 0;
}

static int add_segments(struct flattening *flattening, uint32_t unit)
{
    const struct hone_dwarf *dwarf = flattening->dwarf;
    int r = 0;
    for (uint32_t i = dwarf->of_unit_first[unit]; !r && i < dwarf->of_unit_first[unit + 1]; i++) {
        const struct hone_range *range = &dwarf->units.at[dwarf->of_unit[i]];
        r = add_segment(flattening, range->low, range->high);
    }
    return r;
}

// Functions that hide below others are found by reading all. Where code without a function begins a
// line there may be one; padding begins none.
static bool has_unknown_code(struct flattening *flattening)
{
    const struct hone_dwarf_lines *lines = &flattening->unit->lines;
    for (size_t i = 0; i < lines->sequences.count; i++) {
        const struct hone_dwarf_sequence *sequence = &lines->firsts[lines->sequences.at[i].value];
        struct finger functions = finger(&flattening->entries->functions, sequence->low);
        for (size_t row = 0; row < sequence->count; row++) {
            uint64_t address = sequence->low + lines->rows[sequence->first + row].offset;
            uint64_t end = UINT64_MAX;
            if (!advance(&functions, address, &end))
                return true;
        }
    }
    return false;
}

static int read_all(struct flattening *flattening)
{
    struct hone_dwarf *dwarf = flattening->dwarf;
    struct hone_dwarf_unit *unit = flattening->unit;
    int r = 0;
    if (unit->state == HONE_DWARF_UNREAD)
        r = hone_dwarf_unit_read(dwarf, unit, false);
    if (!r && unit->has_lines)
        r = hone_dwarf_unit_lines(unit);
    flattening->entries = hone_dwarf_entries(unit);
    if (!r && !unit->whole && unit->state == HONE_DWARF_READ && has_unknown_code(flattening))
        r = hone_dwarf_unit_read(dwarf, unit, true);
    if (r)
        return r;
    if (unit->state != HONE_DWARF_READ || unit->lines_state == HONE_DWARF_BROKEN ||
        (unit->split_name && !unit->split))
        return HONE_DWARF_UNKNOWN;
    struct hone_dwarf_unit *entries = flattening->entries;
    for (size_t i = 0; i < entries->body_count; i++) {
        r = entries->bodies[i].read ? 0 : hone_dwarf_calls_read(entries, &entries->bodies[i]);
        if (r)
            return r == -ENOMEM ? r : HONE_DWARF_UNKNOWN;
    }
    return 0;
}

static int add_nodes(struct flattening *flattening)
{
    struct hone_dwarf_flat *flat = flattening->flat;
    const struct hone_dwarf_unit *entries = flattening->entries;
    size_t count = entries->body_count + entries->call_count;
    if (count >= HONE_DWARF_NO_NODE)
        return HONE_DWARF_UNKNOWN;
    flat->nodes = calloc(count + 1, sizeof *flat->nodes);
    if (!flat->nodes)
        return -ENOMEM;
    flat->node_count = (uint32_t)count;
    for (size_t i = 0; i < entries->body_count; i++)
        flat->nodes[i] = (struct hone_dwarf_node){.entry = entries->bodies[i].entry,
                                                  .parent = HONE_DWARF_NO_NODE};
    for (size_t i = 0; i < entries->call_count; i++) {
        const struct hone_dwarf_call *call = &entries->calls[i];
        bool inner = call->parent != HONE_DWARF_NONE_SUCH;
        flat->nodes[entries->body_count + i] = (struct hone_dwarf_node){
            .parent = inner ? (uint32_t)entries->body_count + call->parent : call->body,
            .file = call->file,
            .line = call->line,
            .column = call->column,
        };
    }
    return 0;
}

// Only what pieces lead to gets a name, and most nodes are such.
static int name_node(struct flattening *flattening, uint32_t index)
{
    const struct hone_dwarf_unit *entries = flattening->entries;
    struct hone_dwarf_node *node = &flattening->flat->nodes[index];
    if (index < entries->body_count) {
        node->function = hone_dwarf_function(entries->file, entries->bodies[index].die);
    } else {
        const struct hone_dwarf_call *call = &entries->calls[index - entries->body_count];
        node->function = hone_dwarf_function(
            call->alternate ? &flattening->dwarf->alternate : entries->file, call->die);
    }
    return node->function ? 0 : -ENOMEM;
}

static int name_nodes(struct flattening *flattening)
{
    const struct hone_dwarf_flat *flat = flattening->flat;
    for (uint32_t i = 0; i < flat->piece_count; i++) {
        for (uint32_t at = flat->pieces[i].node;
             at != HONE_DWARF_NO_NODE && !flat->nodes[at].function; at = flat->nodes[at].parent) {
            int r = name_node(flattening, at);
            if (r)
                return r;
        }
    }
    return 0;
}

static int add_paths(struct flattening *flattening)
{
    struct hone_dwarf_flat *flat = flattening->flat;
    size_t count = flattening->unit->lines.file_count;
    if (count >= HONE_DWARF_NO_NODE)
        return HONE_DWARF_UNKNOWN;
    flat->paths = calloc(count + 1, sizeof *flat->paths);
    if (!flat->paths)
        return -ENOMEM;
    flat->path_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++)
        flat->paths[i] = hone_dwarf_line_path(flattening->unit, i);
    return 0;
}

// What was read for the flat form only is not kept: a large program's would fill the memory.
static void forget(struct hone_dwarf_unit *unit)
{
    hone_dwarf_bodies_done(hone_dwarf_entries(unit));
    hone_dwarf_lines_done(&unit->lines);
    unit->state = unit->lines_state = HONE_DWARF_UNREAD;
    unit->whole = false;
}

int hone_dwarf_flatten(struct hone_dwarf *dwarf, uint32_t unit, struct hone_dwarf_flat *ret)
{
    if (unit >= dwarf->main.unit_count)
        return HONE_DWARF_UNKNOWN;
    struct hone_dwarf_flat flat = {0};
    struct flattening flattening = {
        .dwarf = dwarf, .unit = &dwarf->main.units[unit], .flat = &flat};
    int r = hone_dwarf_units_complete(dwarf);
    if (!r)
        r = sort_by_unit(dwarf);
    if (r)
        return r;
    if (dwarf->of_unit_first[unit] == dwarf->of_unit_first[unit + 1]) {
        *ret = flat; // types, or code that the linker discarded
        return 0;
    }
    bool fresh = flattening.unit->state == HONE_DWARF_UNREAD &&
                 flattening.unit->lines_state == HONE_DWARF_UNREAD;
    r = read_all(&flattening);
    if (!r)
        r = add_segments(&flattening, unit);
    if (!r)
        r = add_nodes(&flattening);
    if (!r)
        r = name_nodes(&flattening);
    if (!r)
        r = add_paths(&flattening);
    if (fresh && flattening.unit->state == HONE_DWARF_READ)
        forget(flattening.unit);
    if (r) {
        hone_dwarf_flat_done(&flat);
        return r;
    }
    *ret = flat;
    return 0;
}

void hone_dwarf_flat_done(struct hone_dwarf_flat *flat)
{
    free(flat->segments);
    free(flat->pieces);
    free(flat->nodes);
    free(flat->paths);
    *flat = (struct hone_dwarf_flat){0};
}
