#include "elf/dwarf_internal.h"

#include "elf/file.h"

#include <errno.h>
#include <stdlib.h>

static bool holds_code(const struct hone_dwarf_unit *unit)
{
    return unit->type == DW_UT_compile || unit->type == DW_UT_skeleton;
}

// Which unit each address belongs to. Units without ranges of their own are read when all else
// has failed.
static int index_units(struct hone_dwarf *dwarf)
{
    for (size_t i = 0; i < dwarf->main.unit_count; i++) {
        struct hone_dwarf_unit *unit = &dwarf->main.units[i];
        struct hone_dwarf_root root;
        if (!holds_code(unit))
            continue;
        if (!hone_dwarf_unit_root(unit, &root)) {
            unit->state = unit->lines_state = HONE_DWARF_BROKEN;
            dwarf->stats.units_broken++;
            dwarf->stats.roots_broken++;
            continue;
        }
        unit->unranged = !root.ranges.form && !(root.low.form && root.high.form);
        (void)hone_dwarf_ranges_add(unit, root.low, root.high, root.ranges,
                                    dwarf->units.count + unit->file->elf->len, (uint32_t)i,
                                    &dwarf->units);
    }
    dwarf->stats.units = dwarf->main.unit_count;
    return hone_ranges_settle(&dwarf->units);
}

static void find_text(struct hone_dwarf *dwarf, const struct hone_elf *elf)
{
    dwarf->text_low = UINT64_MAX;
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i].header;
        uint64_t end;
        if (!(section->sh_flags & SHF_EXECINSTR) ||
            __builtin_add_overflow(section->sh_addr, section->sh_size, &end))
            continue;
        if (section->sh_addr < dwarf->text_low)
            dwarf->text_low = section->sh_addr;
        if (end > dwarf->text_high)
            dwarf->text_high = end;
    }
}

int hone_dwarf_open(struct hone_elf *elf, struct hone_elf *alternate, struct hone_dwarf **ret)
{
    HONE_CLEANUP(hone_dwarf_closep) struct hone_dwarf *dwarf = calloc(1, sizeof *dwarf);
    if (!dwarf)
        return -ENOMEM;
    find_text(dwarf, elf);
    int r = hone_dwarf_file_init(&dwarf->main, dwarf, elf, false);
    if (!r && alternate)
        r = hone_dwarf_file_init(&dwarf->alternate, dwarf, alternate, false);
    if (!r)
        r = index_units(dwarf);
    if (r)
        return r;
    if (!dwarf->main.unit_count || dwarf->stats.units_broken == dwarf->stats.units)
        return HONE_DWARF_NONE;
    *ret = hone_take(dwarf);
    return 0;
}

void hone_dwarf_close(struct hone_dwarf *dwarf)
{
    if (!dwarf)
        return;
    hone_dwarf_file_done(&dwarf->main);
    hone_dwarf_file_done(&dwarf->alternate);
    for (size_t i = 0; i < dwarf->split_count; i++) {
        hone_dwarf_file_done(dwarf->splits[i]);
        free(dwarf->splits[i]);
    }
    free(dwarf->splits);
    free(dwarf->named);
    free(dwarf->frames);
    free(dwarf->of_unit);
    free(dwarf->of_unit_first);
    hone_ranges_done(&dwarf->units);
    hone_arena_done(&dwarf->arena);
    free(dwarf);
}

// ---- Lookup

struct hone_dwarf_unit *hone_dwarf_entries(struct hone_dwarf_unit *unit)
{
    return unit->split ? unit->split : unit;
}

int hone_dwarf_unit_read(struct hone_dwarf *dwarf, struct hone_dwarf_unit *unit, bool whole)
{
    if (unit->split_name && !unit->split && unit->state == HONE_DWARF_UNREAD) {
        int r = hone_dwarf_split_open(unit);
        if (r == -ENOMEM)
            return r;
        dwarf->stats.split_missing += r != 0;
    }
    dwarf->stats.units_read += unit->state == HONE_DWARF_UNREAD;
    int r = hone_dwarf_bodies_read(hone_dwarf_entries(unit), whole);
    if (r == -ENOMEM)
        return r;
    dwarf->stats.units_broken += r && unit->state != HONE_DWARF_BROKEN;
    unit->state = r ? HONE_DWARF_BROKEN : HONE_DWARF_READ;
    unit->whole = whole;
    return 0;
}

// The function that covers vaddr, its inlined calls read; *ret is NULL when there is none.
static int body_at(struct hone_dwarf *dwarf, struct hone_dwarf_unit *unit, uint64_t vaddr,
                   struct hone_dwarf_body **ret)
{
    *ret = NULL;
    if (unit->state == HONE_DWARF_UNREAD) {
        int r = hone_dwarf_unit_read(dwarf, unit, false);
        if (r)
            return r;
    }
    const struct hone_range *range = hone_ranges_find(&hone_dwarf_entries(unit)->functions, vaddr);
    if (!range && !unit->whole && unit->state == HONE_DWARF_READ) {
        int r = hone_dwarf_unit_read(dwarf, unit, true);
        if (r)
            return r;
        range = hone_ranges_find(&hone_dwarf_entries(unit)->functions, vaddr);
    }
    if (!range)
        return 0;
    struct hone_dwarf_body *body = &hone_dwarf_entries(unit)->bodies[range->value];
    if (!body->read) {
        int r = hone_dwarf_calls_read(hone_dwarf_entries(unit), body);
        if (r == -ENOMEM)
            return r;
        dwarf->stats.units_broken += r && unit->state != HONE_DWARF_BROKEN;
        if (r)
            unit->state = HONE_DWARF_BROKEN;
    }
    *ret = body;
    return 0;
}

int hone_dwarf_units_complete(struct hone_dwarf *dwarf)
{
    if (dwarf->unranged_read)
        return 0;
    dwarf->unranged_read = true;
    for (size_t i = 0; i < dwarf->main.unit_count; i++) {
        struct hone_dwarf_unit *unit = &dwarf->main.units[i];
        if (!unit->unranged || unit->state != HONE_DWARF_UNREAD)
            continue;
        int r = hone_dwarf_unit_read(dwarf, unit, true);
        if (r)
            return r;
        const struct hone_ranges *functions = &hone_dwarf_entries(unit)->functions;
        for (size_t j = 0; j < functions->count; j++)
            hone_ranges_add(&dwarf->units, functions->at[j].low, functions->at[j].high,
                            (uint32_t)i);
    }
    return hone_ranges_settle(&dwarf->units);
}

static int unit_at(struct hone_dwarf *dwarf, uint64_t vaddr, struct hone_dwarf_unit **ret)
{
    const struct hone_range *range = hone_ranges_find(&dwarf->units, vaddr);
    if (!range && !dwarf->unranged_read) {
        int r = hone_dwarf_units_complete(dwarf);
        if (r)
            return r;
        range = hone_ranges_find(&dwarf->units, vaddr);
    }
    if (!range)
        return HONE_DWARF_UNKNOWN;
    *ret = &dwarf->main.units[range->value];
    return 0;
}

int hone_dwarf_unit_of(struct hone_dwarf *dwarf, uint64_t vaddr, uint32_t *ret)
{
    struct hone_dwarf_unit *unit;
    int r = unit_at(dwarf, vaddr, &unit);
    if (!r)
        *ret = (uint32_t)(unit - dwarf->main.units);
    return r;
}

int hone_dwarf_unit_lines(struct hone_dwarf_unit *unit)
{
    if (unit->lines_state != HONE_DWARF_UNREAD)
        return 0;
    int r = hone_dwarf_lines_read(unit);
    if (r == -ENOMEM)
        return r;
    unit->lines_state = r ? HONE_DWARF_BROKEN : HONE_DWARF_READ;
    return 0;
}

static struct hone_dwarf_frame *next_frame(struct hone_dwarf *dwarf, size_t count)
{
    if (count == dwarf->frame_capacity) {
        size_t capacity = dwarf->frame_capacity ? dwarf->frame_capacity * 2 : 32;
        struct hone_dwarf_frame *grown =
            reallocarray(dwarf->frames, capacity, sizeof *dwarf->frames);
        if (!grown)
            return NULL;
        dwarf->frames = grown;
        dwarf->frame_capacity = capacity;
    }
    return &dwarf->frames[count];
}

// Adds a frame at place, of the function that die names.
static int add_frame(struct hone_dwarf *dwarf, struct hone_dwarf_file *file, uint64_t die,
                     const struct hone_dwarf_frame *place, struct hone_dwarf_frames *frames)
{
    struct hone_dwarf_frame *frame = next_frame(dwarf, frames->count);
    if (!frame)
        return -ENOMEM;
    *frame = *place;
    frames->count++;
    if (!file)
        return 0;
    frame->function = hone_dwarf_function(file, die);
    return frame->function ? 0 : -ENOMEM;
}

static int build_frames(struct hone_dwarf *dwarf, struct hone_dwarf_unit *unit,
                        const struct hone_dwarf_body *body, uint64_t vaddr,
                        struct hone_dwarf_frames *ret)
{
    struct hone_dwarf_unit *entries = hone_dwarf_entries(unit);
    const struct hone_dwarf_row *row = hone_dwarf_line_find(&unit->lines, vaddr);
    struct hone_dwarf_frame place = {0};
    if (row) {
        place.file = hone_dwarf_line_path(unit, row->file);
        place.line = row->line;
        place.column = row->column;
    }
    struct hone_dwarf_frames frames = {.entry = body ? body->entry : 0};
    const struct hone_range *range = body ? hone_ranges_find(&body->inlined, vaddr) : NULL;
    int r = 0;
    // Parents come before their children, so this ends.
    for (uint32_t at = range ? range->value : HONE_DWARF_NONE_SUCH;
         !r && at != HONE_DWARF_NONE_SUCH; at = entries->calls[at].parent) {
        const struct hone_dwarf_call *call = &entries->calls[at];
        r = add_frame(dwarf, call->alternate ? &dwarf->alternate : entries->file, call->die, &place,
                      &frames);
        place.file = hone_dwarf_line_path(unit, call->file);
        place.line = call->line;
        place.column = call->column;
    }
    if (!r && body)
        r = add_frame(dwarf, entries->file, body->die, &place, &frames);
    else if (!r && row)
        r = add_frame(dwarf, NULL, 0, &place, &frames);
    if (r)
        return r;
    frames.at = dwarf->frames;
    *ret = frames;
    return frames.count ? 0 : HONE_DWARF_UNKNOWN;
}

int hone_dwarf_lookup(struct hone_dwarf *dwarf, uint64_t vaddr, struct hone_dwarf_frames *ret)
{
    struct hone_dwarf_unit *unit;
    int r = unit_at(dwarf, vaddr, &unit);
    if (r)
        return r;
    struct hone_dwarf_body *body;
    r = body_at(dwarf, unit, vaddr, &body);
    if (r)
        return r;
    r = hone_dwarf_unit_lines(unit);
    if (r)
        return r;
    return build_frames(dwarf, unit, body, vaddr, ret);
}

struct hone_dwarf_stats hone_dwarf_stats(const struct hone_dwarf *dwarf)
{
    return dwarf->stats;
}
