// From instructions to source lines. An instruction belongs to the innermost function of those
// inlined there that was asked for: the line where that function stands or calls on shows it.
#include "view/weblist.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>

// More would make a page that nobody reads and no browser likes: the largest are shown.
enum { ROUTINES_MAX = 100 };
// Instructions without a line so close behind one that has a line belong to it.
enum { NEIGHBOURHOOD = 32 };

static struct hone_weblist_spot *add_spot(struct hone_weblist *list)
{
    if (!hone_array_reserve(&list->spots, &list->spot_room, (uint64_t)list->spot_count + 1,
                            sizeof *list->spots))
        return NULL;
    struct hone_weblist_spot *spot = &list->spots[list->spot_count];
    *spot = (struct hone_weblist_spot){.number = list->spot_count++};
    return spot;
}

static bool is_wanted(const struct hone_weblist *list, const struct hone_symbol_function *function)
{
    struct hone_pattern *pattern = list->code.report.options->pattern;
    return hone_pattern_matches(pattern, hone_str_of(function->name)) ||
           hone_pattern_matches(pattern, hone_str_of(function->system_name)) ||
           hone_pattern_matches(pattern, hone_str_of(function->file));
}

static struct hone_weblist_call call_of(struct hone_weblist *list,
                                        const struct hone_symbol_frame *frame)
{
    return (struct hone_weblist_call){
        hone_path_clean(&list->arena, hone_str_of(frame->function->file)), frame->line};
}

// Where the instruction is shown. Returns 0, HONE_SYMBOL_UNKNOWN when nowhere, or -ENOMEM.
static int place(struct hone_weblist *list, const struct hone_code_routine *routine,
                 const struct hone_symbol_frames *frames, struct hone_weblist_spot *spot)
{
    if (!frames->count) {
        spot->function = routine->name;
        return 0;
    }
    size_t shown = 0;
    while (shown < frames->count && !is_wanted(list, frames->at[shown].function))
        shown++;
    if (shown == frames->count)
        return HONE_SYMBOL_UNKNOWN;
    struct hone_weblist_call at = call_of(list, &frames->at[shown]);
    spot->file = at.file;
    spot->line = at.line;
    spot->function = hone_str_of(frames->at[shown].function->name);
    spot->own = call_of(list, &frames->at[0]);
    spot->calls = hone_arena_zalloc(&list->arena, shown + 1, sizeof *spot->calls);
    if (!spot->calls || !at.file.at || !spot->own.file.at)
        return -ENOMEM;
    for (size_t i = shown; i-- > 0;)
        spot->calls[spot->call_count++] = call_of(list, &frames->at[i]);
    return 0;
}

static int add_instruction(struct hone_weblist *list, const struct hone_code_routine *routine,
                           const struct hone_symbol_frames *frames,
                           const struct hone_weblist_spot *made, struct hone_str text)
{
    struct hone_weblist_spot *spot = add_spot(list);
    if (!spot)
        return -ENOMEM;
    uint32_t number = spot->number;
    *spot = *made;
    spot->number = number;
    int r = place(list, routine, frames, spot);
    if (r) {
        list->spot_count--;
        return r < 0 ? r : 0;
    }
    char *copy = hone_arena_copy(&list->arena, text.at, text.len);
    spot->text = (struct hone_str){copy, text.len};
    return copy ? 0 : -ENOMEM;
}

static int collect_routine(struct hone_weblist *list, uint32_t number, struct hone_error *err)
{
    const struct hone_code_routine *routine = &list->code.routines[number];
    HONE_CLEANUP(hone_code_reader_done) struct hone_code_reader reader = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer scratch = {0};
    int r = hone_code_reader_init(&reader, &list->code, number, err);
    struct hone_instruction instruction;
    struct hone_symbol_frames last = {0};
    uint64_t last_vaddr = 0;
    struct hone_weblist_spot spot = {0};
    while (!r && hone_code_next(&reader, &instruction, &spot.flat, &spot.cum)) {
        struct hone_symbol_frames frames = {0};
        if (hone_symbol_lookup(routine->module, instruction.vaddr, &frames) < 0)
            return -ENOMEM;
        if (frames.count && frames.at[0].line) {
            last = frames;
            last_vaddr = instruction.vaddr;
        } else if (last.count && instruction.vaddr - last_vaddr <= NEIGHBOURHOOD) {
            frames = last;
        }
        spot.vaddr = instruction.vaddr;
        spot.size = instruction.size;
        struct hone_str text = hone_code_text(routine, &instruction, &scratch);
        r = text.at ? add_instruction(list, routine, &frames, &spot, text) : -ENOMEM;
    }
    return r;
}

// Without machine code, what the profile knows of the place.
static int collect_location(struct hone_weblist *list, uint32_t location)
{
    const struct hone_profile *p = list->code.report.profile;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    struct hone_pattern *pattern = list->code.report.options->pattern;
    for (uint32_t i = 0; i < lines.count; i++) {
        uint32_t function = lines.at[i].function;
        struct hone_str name = hone_profile_str(p, p->functions.name[function]);
        struct hone_str file = hone_profile_str(p, p->functions.file[function]);
        if (!hone_pattern_matches(pattern, name) && !hone_pattern_matches(pattern, file))
            continue;
        struct hone_weblist_spot *spot = add_spot(list);
        if (!spot)
            return -ENOMEM;
        spot->function = name;
        spot->file = hone_path_clean(&list->arena, file);
        int64_t line = lines.at[i].number;
        spot->line = line > 0 && line < UINT32_MAX ? (uint32_t)line : 0;
        spot->flat = list->code.each.flat[location];
        spot->cum = list->code.each.cum[location].sum;
        return spot->file.at ? 0 : -ENOMEM;
    }
    return 0;
}

static int compare_spots(const void *left, const void *right)
{
    const struct hone_weblist_spot *a = left;
    const struct hone_weblist_spot *b = right;
    int order = hone_str_compare(a->file, b->file);
    if (order)
        return order;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int compare_sizes(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

// The cum that a routine must have to be shown.
static int find_least(const struct hone_weblist *list, uint64_t *ret)
{
    const struct hone_code *code = &list->code;
    *ret = 0;
    if (code->routine_count <= ROUTINES_MAX)
        return 0;
    HONE_CLEANUP(hone_freep) uint64_t *sizes = calloc(code->routine_count, sizeof *sizes);
    if (!sizes)
        return -ENOMEM;
    for (uint32_t i = 0; i < code->routine_count; i++)
        sizes[i] = hone_tally_magnitude(code->together.cum[i + 1].sum);
    qsort(sizes, code->routine_count, sizeof *sizes, compare_sizes);
    *ret = sizes[ROUTINES_MAX - 1];
    return 0;
}

int hone_weblist_collect(struct hone_weblist *list, struct hone_error *err)
{
    const struct hone_code *code = &list->code;
    uint64_t least;
    int r = find_least(list, &least);
    uint32_t shown = 0;
    for (uint32_t i = 0; !r && i < code->routine_count; i++) {
        bool small = hone_tally_magnitude(code->together.cum[i + 1].sum) < least;
        if (small || shown == ROUTINES_MAX) {
            list->left_out++;
            continue;
        }
        shown++;
        r = collect_routine(list, i, err);
    }
    for (uint32_t i = 1; !r && i < code->report.profile->locations.count; i++)
        if (code->wanted_elsewhere[i])
            r = collect_location(list, i);
    if (!r && list->spot_count)
        qsort(list->spots, list->spot_count, sizeof *list->spots, compare_spots);
    return r ? hone_error_set(err, r, "cannot show the source") : 0;
}
