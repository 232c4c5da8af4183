#include "profile/filter_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- matching ------------------------------------------------------------------------------------

int hone_filter_matcher_init(struct hone_filter_matcher *m, const struct hone_profile *profile,
                             struct hone_pattern *pattern)
{
    *m = (struct hone_filter_matcher){.profile = profile, .pattern = pattern};
    if (!pattern)
        return 0;
    m->functions = calloc(profile->functions.count, sizeof *m->functions);
    m->mappings = calloc(profile->mappings.count, sizeof *m->mappings);
    return m->functions && m->mappings ? 0 : -ENOMEM;
}

void hone_filter_matcher_done(struct hone_filter_matcher *m)
{
    free(m->functions);
    free(m->mappings);
}

bool hone_filter_matches_function(struct hone_filter_matcher *m, uint32_t function)
{
    const struct hone_profile *p = m->profile;
    if (!m->functions[function]) {
        struct hone_str name = hone_profile_str(p, p->functions.name[function]);
        bool matches;
        if (m->simplified)
            matches = name.len && hone_pattern_matches(m->pattern, hone_filter_simplify(name));
        else
            matches =
                hone_pattern_matches(m->pattern, name) ||
                hone_pattern_matches(m->pattern, hone_profile_str(p, p->functions.file[function]));
        m->functions[function] = 1 + matches;
    }
    return m->functions[function] == 2;
}

bool hone_filter_matches_mapping(struct hone_filter_matcher *m, uint32_t mapping)
{
    const struct hone_profile *p = m->profile;
    if (!mapping)
        return false;
    if (!m->mappings[mapping]) {
        struct hone_str file = hone_profile_str(p, p->mappings.at[mapping].file);
        m->mappings[mapping] = 1 + hone_pattern_matches(m->pattern, file);
    }
    return m->mappings[mapping] == 2;
}

struct hone_str hone_filter_simplify(struct hone_str name)
{
    static const struct hone_str own[] = {{"(anonymous namespace)", 21}, {"operator()", 10}};
    if (name.len && name.at[0] == '.') // functions of 64-bit PowerPC
        name = (struct hone_str){name.at + 1, name.len - 1};
    for (size_t i = 0; i < name.len;) {
        struct hone_str rest = {name.at + i, name.len - i};
        size_t skip = hone_str_starts(rest, own[0])   ? own[0].len
                      : hone_str_starts(rest, own[1]) ? own[1].len
                                                      : 0;
        if (!skip && name.at[i] == '(')
            return (struct hone_str){name.at, i};
        i += skip ? skip : 1;
    }
    return name;
}

// --- taking out ----------------------------------------------------------------------------------

void hone_filter_stacks(struct hone_profile *p, hone_filter_edit edit, void *context,
                        bool *keep_stacks)
{
    uint32_t *first = p->stacks.first_frame;
    uint32_t to = first[1];
    uint32_t from = first[1];
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        uint32_t end = first[stack + 1];
        bool keep = true;
        struct hone_profile_span left = edit(context, p->frames.location + from, end - from, &keep);
        if (!keep)
            left.count = 0;
        if (left.count && left.at != p->frames.location + to)
            memmove(p->frames.location + to, left.at, left.count * sizeof *left.at);
        keep_stacks[stack] = keep;
        first[stack] = to;
        to += left.count;
        from = end;
    }
    first[p->stacks.count] = to;
    p->frames.count = to;
    hone_profile_forget(p);
}

void hone_filter_samples(struct hone_profile *p, const bool *keep_stacks,
                         const bool *keep_label_sets)
{
    struct hone_profile_samples *all = &p->samples;
    uint32_t to = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        uint32_t stack = all->stack[i];
        uint32_t label_set = all->label_set[i];
        if ((keep_stacks && !keep_stacks[stack]) ||
            (keep_label_sets && !keep_label_sets[label_set]) ||
            p->stacks.first_frame[stack] == p->stacks.first_frame[stack + 1])
            continue;
        if (to != i) {
            all->stack[to] = stack;
            all->label_set[to] = label_set;
            for (uint32_t type = 0; type < p->type_count; type++)
                all->values[type][to] = all->values[type][i];
        }
        to++;
    }
    if (to == all->count)
        return;
    all->count = to;
    hone_profile_forget(p);
}
