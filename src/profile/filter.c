// All expressions in one pass over the places, which cuts their functions and marks them, and one
// over the frames, which looks at the marks only.
#include "profile/filter_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FOCUSED = 1 << 0,
    IGNORED = 1 << 1,
    HIDDEN = 1 << 2, // nothing of the place is left
    FROM = 1 << 3,   // show_from matches
    BENEATH = 1 << 4 // prune_from matches
};

struct names {
    struct hone_profile *profile;
    struct hone_profile_filter_found *found;
    struct hone_filter_matcher focus;
    struct hone_filter_matcher ignore;
    struct hone_filter_matcher hide;
    struct hone_filter_matcher show;
    struct hone_filter_matcher show_from;
    struct hone_filter_matcher prune_from;
    uint8_t *marks; // by location
    bool *used;     // by location: whether it is on any sample's stack
    bool *keep;     // by stack
    bool any_hidden;
};

static void names_done(struct names *names)
{
    hone_filter_matcher_done(&names->focus);
    hone_filter_matcher_done(&names->ignore);
    hone_filter_matcher_done(&names->hide);
    hone_filter_matcher_done(&names->show);
    hone_filter_matcher_done(&names->show_from);
    hone_filter_matcher_done(&names->prune_from);
    free(names->marks);
    free(names->used);
    free(names->keep);
}

static int names_init(struct names *names, struct hone_profile *p,
                      const struct hone_profile_filter *filter)
{
    int r = hone_filter_matcher_init(&names->focus, p, filter->focus);
    r = r ? r : hone_filter_matcher_init(&names->ignore, p, filter->ignore);
    r = r ? r : hone_filter_matcher_init(&names->hide, p, filter->hide);
    r = r ? r : hone_filter_matcher_init(&names->show, p, filter->show);
    r = r ? r : hone_filter_matcher_init(&names->show_from, p, filter->show_from);
    r = r ? r : hone_filter_matcher_init(&names->prune_from, p, filter->prune_from);
    names->prune_from.simplified = true;
    names->marks = calloc(p->locations.count, sizeof *names->marks);
    names->used = calloc(p->locations.count, sizeof *names->used);
    names->keep = calloc(p->stacks.count, sizeof *names->keep);
    return r || !names->marks || !names->used || !names->keep ? -ENOMEM : 0;
}

// An expression that matches only what no sample has is one that matches nothing.
static void find_used(struct names *names)
{
    const struct hone_profile *p = names->profile;
    for (uint32_t i = 0; i < p->samples.count; i++) // keep tells which stacks have samples
        names->keep[p->samples.stack[i]] = true;
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        if (!names->keep[stack])
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        for (uint32_t i = 0; i < frames.count; i++)
            names->used[frames.at[i]] = true;
    }
}

// --- places --------------------------------------------------------------------------------------

static bool matches_place(struct names *names, struct hone_filter_matcher *matcher,
                          uint32_t location, struct hone_profile_line_span lines)
{
    for (uint32_t i = 0; i < lines.count; i++)
        if (hone_filter_matches_function(matcher, lines.at[i].function))
            return true;
    return hone_filter_matches_mapping(matcher, names->profile->locations.mapping[location]);
}

static uint32_t keep_lines(struct hone_filter_matcher *matcher, struct hone_profile_line *lines,
                           uint32_t count, bool matching)
{
    uint32_t to = 0;
    for (uint32_t i = 0; i < count; i++)
        if (hone_filter_matches_function(matcher, lines[i].function) == matching)
            lines[to++] = lines[i];
    return to;
}

static uint8_t judge_focus(struct names *names, uint32_t location,
                           struct hone_profile_line_span lines)
{
    bool used = names->used[location];
    if (names->ignore.pattern && matches_place(names, &names->ignore, location, lines)) {
        names->found->ignore |= used;
        return IGNORED;
    }
    if (names->focus.pattern && !matches_place(names, &names->focus, location, lines))
        return 0;
    names->found->focus |= used;
    return FOCUSED;
}

// Returns how many of the lines, which move up, are left.
static uint32_t hide_and_show(struct names *names, uint32_t location,
                              struct hone_profile_line *lines, uint32_t count, uint8_t *marks)
{
    bool used = names->used[location];
    uint32_t mapping = names->profile->locations.mapping[location];
    struct hone_profile_line_span span = {lines, count};
    if (names->hide.pattern && matches_place(names, &names->hide, location, span)) {
        names->found->hide |= used;
        bool whole = hone_filter_matches_mapping(&names->hide, mapping);
        count = whole ? 0 : keep_lines(&names->hide, lines, count, false);
        *marks |= count ? 0 : HIDDEN;
    }
    if (names->show.pattern) {
        if (!hone_filter_matches_mapping(&names->show, mapping))
            count = keep_lines(&names->show, lines, count, true);
        names->found->show |= used && count;
        *marks |= count ? 0 : HIDDEN;
    }
    return count;
}

static uint32_t show_from(struct names *names, uint32_t location,
                          const struct hone_profile_line *lines, uint32_t count, uint8_t *marks)
{
    if (!names->show_from.pattern)
        return count;
    uint32_t left = count;
    bool whole =
        hone_filter_matches_mapping(&names->show_from, names->profile->locations.mapping[location]);
    while (!whole && left &&
           !hone_filter_matches_function(&names->show_from, lines[left - 1].function))
        left--;
    if (!whole && !left)
        return count;
    *marks |= FROM;
    names->found->show_from |= names->used[location];
    return left;
}

static uint32_t prune_from(struct names *names, struct hone_profile_line *lines, uint32_t count,
                           uint8_t *marks)
{
    for (uint32_t i = 0; names->prune_from.pattern && i < count; i++) {
        if (!hone_filter_matches_function(&names->prune_from, lines[i].function))
            continue;
        *marks |= BENEATH;
        memmove(lines, lines + i, (count - i) * sizeof *lines);
        return count - i;
    }
    return count;
}

// The lines of all places move up together.
static void judge_places(struct names *names)
{
    struct hone_profile *p = names->profile;
    uint32_t from = p->locations.first_line[1];
    uint32_t to = from;
    for (uint32_t location = 1; location < p->locations.count; location++) {
        uint32_t end = p->locations.first_line[location + 1];
        struct hone_profile_line *lines = p->lines.at + from;
        uint32_t count = end - from;
        uint8_t marks = judge_focus(names, location, (struct hone_profile_line_span){lines, count});
        count = hide_and_show(names, location, lines, count, &marks);
        count = show_from(names, location, lines, count, &marks);
        count = prune_from(names, lines, count, &marks);
        names->any_hidden |= marks & HIDDEN;
        names->marks[location] = marks;
        memmove(p->lines.at + to, lines, count * sizeof *lines);
        p->locations.first_line[location] = to;
        to += count;
        from = end;
    }
    p->locations.first_line[p->locations.count] = to;
    p->lines.count = to;
}

// --- stacks --------------------------------------------------------------------------------------

static bool is_wanted(const struct names *names, const uint32_t *frames, uint32_t count)
{
    uint8_t seen = 0;
    for (uint32_t i = 0; i < count; i++)
        seen |= names->marks[frames[i]];
    return (seen & FOCUSED) && !(seen & IGNORED);
}

static uint32_t without_hidden(const struct names *names, uint32_t *frames, uint32_t count)
{
    uint32_t to = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!(names->marks[frames[i]] & HIDDEN))
            frames[to++] = frames[i];
    return to;
}

static struct hone_profile_span edit_stack(void *context, uint32_t *frames, uint32_t count,
                                           bool *keep)
{
    const struct names *names = context;
    *keep = is_wanted(names, frames, count);
    if (!*keep)
        return (struct hone_profile_span){0};
    if (names->any_hidden)
        count = without_hidden(names, frames, count);
    while (names->show_from.pattern && count && !(names->marks[frames[count - 1]] & FROM))
        count--;
    *keep = count > 0;
    uint32_t first = 0;
    while (names->prune_from.pattern && first < count && !(names->marks[frames[first]] & BENEATH))
        first++;
    first = first == count ? 0 : first;
    return (struct hone_profile_span){frames + first, count - first};
}

static int filter_names(struct hone_profile *p, const struct hone_profile_filter *filter,
                        struct hone_profile_filter_found *found)
{
    if (!filter->focus && !filter->ignore && !filter->hide && !filter->show && !filter->show_from &&
        !filter->prune_from) {
        hone_filter_samples(p, NULL, NULL);
        return 0;
    }
    HONE_CLEANUP(names_done) struct names names = {.profile = p, .found = found};
    if (names_init(&names, p, filter))
        return -ENOMEM;
    find_used(&names);
    judge_places(&names);
    hone_filter_stacks(p, edit_stack, &names, names.keep);
    hone_filter_samples(p, names.keep, NULL);
    return 0;
}

// --- labels --------------------------------------------------------------------------------------

static int filter_label_sets(struct hone_profile *p, const struct hone_profile_filter *filter,
                             struct hone_profile_filter_found *found)
{
    if (!filter->label_focus && !filter->label_ignore)
        return 0;
    HONE_CLEANUP(hone_freep) bool *focused = calloc(p->label_sets.count, sizeof *focused);
    HONE_CLEANUP(hone_freep) bool *ignored = calloc(p->label_sets.count, sizeof *ignored);
    HONE_CLEANUP(hone_freep) const char **units = hone_profile_label_units(p);
    if (!focused || !ignored || !units)
        return -ENOMEM;
    bool failed = false;
    for (uint32_t i = 0; i < p->label_sets.count; i++) {
        focused[i] = true;
        if (filter->label_focus) {
            focused[i] = hone_label_filter_matches(filter->label_focus, p, units, i);
            failed |= hone_label_filter_failed(filter->label_focus);
        }
        if (filter->label_ignore) {
            ignored[i] = hone_label_filter_matches(filter->label_ignore, p, units, i);
            failed |= hone_label_filter_failed(filter->label_ignore);
        }
    }
    if (failed)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        found->label_focus |= focused[p->samples.label_set[i]];
        found->label_ignore |= ignored[p->samples.label_set[i]];
    }
    for (uint32_t i = 0; i < p->label_sets.count; i++)
        focused[i] &= !ignored[i];
    hone_filter_samples(p, NULL, focused);
    return 0;
}

static int filter_labels(struct hone_profile *p, const struct hone_profile_filter *filter,
                         struct hone_profile_filter_found *found)
{
    if (!filter->label_show && !filter->label_hide)
        return 0;
    HONE_CLEANUP(hone_freep) bool *used = calloc(p->label_sets.count, sizeof *used);
    if (!used)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++)
        used[p->samples.label_set[i]] = true;
    uint32_t from = 0;
    uint32_t to = 0;
    for (uint32_t set = 0; set < p->label_sets.count; set++) {
        uint32_t end = p->label_sets.first_label[set + 1];
        p->label_sets.first_label[set] = to;
        for (; from < end; from++) {
            struct hone_str key = hone_profile_str(p, p->labels.at[from].key);
            bool shown = !filter->label_show || hone_pattern_matches(filter->label_show, key);
            bool hidden = filter->label_hide && hone_pattern_matches(filter->label_hide, key);
            found->label_show |= shown && used[set];
            found->label_hide |= hidden && used[set];
            if (shown && !hidden)
                p->labels.at[to++] = p->labels.at[from];
        }
    }
    p->label_sets.first_label[p->label_sets.count] = to;
    p->labels.count = to;
    hone_profile_forget(p);
    return 0;
}

int hone_profile_filter(struct hone_profile *p, const struct hone_profile_filter *filter,
                        struct hone_profile_filter_found *ret, struct hone_error *err)
{
    struct hone_profile_filter_found found = {
        .focus = !filter->focus,
        .ignore = !filter->ignore,
        .hide = !filter->hide,
        .show = !filter->show,
        .show_from = !filter->show_from,
        .label_focus = !filter->label_focus,
        .label_ignore = !filter->label_ignore,
        .label_show = !filter->label_show,
        .label_hide = !filter->label_hide,
    };
    int r = filter_names(p, filter, &found);
    r = r ? r : filter_label_sets(p, filter, &found);
    r = r ? r : filter_labels(p, filter, &found);
    if (r)
        return hone_error_set(err, r, "cannot filter the profile");
    *ret = found;
    return 0;
}
