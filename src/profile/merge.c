// Merging: each profile's samples are gone through in order, and what they name is added to the
// result when it is named first, where equal things become one; arrays translate the profile's
// numbers, 0 for what was not met yet.
#include "profile/merge_parts.h"

#include "profile/compatible.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static void merger_done_with_one(struct hone_merger *m)
{
    free(m->strings);
    free(m->mappings);
    free(m->functions);
    free(m->locations);
    free(m->stacks);
    free(m->label_sets);
    free(m->lines);
    free(m->labels);
    m->strings = m->mappings = m->functions = m->locations = m->stacks = m->label_sets = NULL;
    m->lines = NULL;
    m->labels = NULL;
}

static void merger_done(struct hone_merger *m)
{
    merger_done_with_one(m);
    hone_table_done(&m->modules);
    hone_profile_free(m->result);
}

static struct hone_profile_type type_of(struct hone_merger *m, struct hone_profile_type theirs)
{
    return (struct hone_profile_type){hone_merge_string(m, theirs.type),
                                      hone_merge_string(m, theirs.unit)};
}

// --- the head ------------------------------------------------------------------------------------

// known has a byte for each string of the result: whether it is a comment already.
static void add_comment(struct hone_merger *m, uint32_t string, struct hone_buffer *known)
{
    if (string >= known->len) {
        size_t more = (size_t)string + 1 - known->len;
        void *at = hone_buffer_grow(known, more);
        if (!at) {
            (void)hone_profile_fail(m->result, -ENOMEM);
            return;
        }
        memset(at, 0, more);
    }
    if (!known->at[string])
        hone_profile_add_comment_string(m->result, string);
    known->at[string] = 1;
}

static void merge_comments(struct hone_merger *m, struct hone_buffer *known)
{
    for (uint32_t i = 0; i < m->from->comment_count; i++)
        add_comment(m, hone_merge_string(m, m->from->comments[i]), known);
}

static void merge_head(struct hone_merger *m, bool first, struct hone_buffer *known_comments)
{
    struct hone_profile *result = m->result;
    const struct hone_profile *p = m->from;
    if (first) {
        for (uint32_t i = 0; i < p->type_count; i++)
            result->types[i] = type_of(m, p->types[i]);
        result->type_count = p->type_count;
        result->drop_frames = hone_merge_string(m, p->drop_frames);
        result->keep_frames = hone_merge_string(m, p->keep_frames);
    }
    if (!result->period_type.type && !result->period_type.unit)
        result->period_type = type_of(m, p->period_type);
    if (!result->period || p->period > result->period)
        result->period = p->period;
    if (p->time_ns && (!result->time_ns || p->time_ns < result->time_ns))
        result->time_ns = p->time_ns;
    result->duration_ns = hone_profile_add_values(result->duration_ns, p->duration_ns);
    if (!result->default_type)
        result->default_type = hone_merge_string(m, p->default_type);
    if (!result->doc_url)
        result->doc_url = hone_merge_string(m, p->doc_url);
    merge_comments(m, known_comments);
}

static uint32_t largest_range(const uint32_t *first, uint32_t count)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (first[i + 1] - first[i] > largest)
            largest = first[i + 1] - first[i];
    return largest;
}

static int open_part(struct hone_merger *m, const struct hone_profile_part *part)
{
    const struct hone_profile *p = m->from = part->profile;
    m->is_base = part->is_base;
    uint32_t lines = largest_range(p->locations.first_line, p->locations.count);
    uint32_t labels = largest_range(p->label_sets.first_label, p->label_sets.count);
    m->strings = calloc(p->strings.count, sizeof *m->strings);
    m->mappings = calloc(p->mappings.count, sizeof *m->mappings);
    m->functions = calloc(p->functions.count, sizeof *m->functions);
    m->locations = calloc(p->locations.count, sizeof *m->locations);
    m->stacks = calloc(p->stacks.count, sizeof *m->stacks);
    m->label_sets = calloc(p->label_sets.count, sizeof *m->label_sets);
    m->line_room = lines > HONE_MERGE_LINES ? lines : HONE_MERGE_LINES;
    m->lines = calloc(m->line_room, sizeof *m->lines);
    m->labels = calloc((size_t)labels + 1, sizeof *m->labels);
    return m->strings && m->mappings && m->functions && m->locations && m->stacks &&
                   m->label_sets && m->lines && m->labels
               ? 0
               : -ENOMEM;
}

static bool any_zero(const struct hone_profile *p)
{
    for (uint32_t i = 0; i < p->samples.count; i++)
        if (hone_profile_sample_is_zero(p, i))
            return true;
    return false;
}

// --- the first of those that are taken -----------------------------------------------------------

// Numbers that were met in this order: 1, 2, 3, …, and any of them again.
static inline bool meet(uint32_t number, uint32_t *next)
{
    *next += number == *next;
    return number < *next;
}

static bool samples_in_order(const struct hone_profile *p)
{
    uint32_t next_stack = 1;
    uint32_t next_set = 1;
    bool good = true;
    for (uint32_t i = 0; good && i < p->samples.count; i++)
        good = meet(p->samples.stack[i], &next_stack) && meet(p->samples.label_set[i], &next_set) &&
               !hone_profile_sample_is_zero(p, i);
    return good && next_stack == p->stacks.count && next_set == p->label_sets.count;
}

static bool places_in_order(const struct hone_profile *p)
{
    uint32_t next_location = 1;
    uint32_t next_function = 1;
    uint32_t next_mapping = p->mappings.count > 1 ? 2 : 1;
    bool good = true;
    for (uint32_t i = 0; good && i < p->frames.count; i++)
        good = meet(p->frames.location[i], &next_location);
    for (uint32_t i = 1; good && i < p->locations.count; i++) {
        good = meet(p->locations.mapping[i], &next_mapping);
        struct hone_profile_line_span lines = hone_profile_lines_of(p, i);
        for (uint32_t k = 0; good && k < lines.count; k++)
            good = meet(lines.at[k].function, &next_function);
    }
    return good && next_location == p->locations.count && next_function == p->functions.count &&
           next_mapping == p->mappings.count;
}

// Whether what is added later finds what is there.
static bool is_indexed(const struct hone_profile *p)
{
    const struct hone_profile_index *index = p->index;
    return !index->status && index->functions.count + 1 == p->functions.count &&
           index->locations.count + 1 == p->locations.count &&
           index->stacks.count + 1 == p->stacks.count &&
           index->label_sets.count + 1 == p->label_sets.count &&
           (index->samples_apart || index->samples.count == p->samples.count);
}

// Each comment once.
static void know_comments(struct hone_merger *m, struct hone_buffer *known)
{
    struct hone_profile *result = m->result;
    uint32_t count = result->comment_count;
    result->comment_count = 0;
    for (uint32_t i = 0; i < count; i++)
        add_comment(m, result->comments[i], known);
}

// Makes the first profile the result, if it is what merging would make of it.
static bool take_first(struct hone_merger *m, const struct hone_profile_part *part,
                       struct hone_buffer *known_comments)
{
    const struct hone_profile *p = part->profile;
    if (!part->taken || part->ratios || part->is_base || !is_indexed(p) || !samples_in_order(p) ||
        !places_in_order(p))
        return false;
    struct hone_profile *other = m->result;
    m->result = *part->taken;
    if (!hone_merge_know_modules(m)) {
        m->result = other;
        hone_table_clear(&m->modules);
        return false;
    }
    *part->taken = NULL;
    hone_profile_free(other);
    know_comments(m, known_comments);
    return true;
}

// -------------------------------------------------------------------------------------------------

static int merge_part(struct hone_merger *m, const struct hone_profile_part *part, bool first,
                      struct hone_buffer *known_comments)
{
    int r = open_part(m, part);
    if (r)
        return r;
    merge_head(m, first, known_comments);
    if (m->result->mappings.count == 1 && m->from->mappings.count > 1)
        (void)hone_merge_mapping(m, 1); // the main program
    hone_merge_samples(m, part);
    merger_done_with_one(m);
    return hone_profile_status(m->result);
}

int hone_profile_merge_parts(const struct hone_profile_part *parts, size_t count,
                             struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer comments = {0};
    HONE_CLEANUP(merger_done) struct hone_merger m = {.result = hone_profile_new()};
    int r = m.result ? 0 : -ENOMEM;
    bool taken = !r && count && take_first(&m, &parts[0], &comments);
    for (size_t i = taken; !r && i < count; i++) {
        r = merge_part(&m, &parts[i], i == 0, &comments);
        if (parts[i].taken)
            hone_profile_free(hone_take(*parts[i].taken));
    }
    if (r)
        return hone_error_set(err, r, "cannot merge the profiles");
    if (any_zero(m.result)) // what became nothing is left out, and what only it named
        return hone_profile_merge_parts(&(struct hone_profile_part){.profile = m.result}, 1, ret,
                                        err);
    *ret = hone_take(m.result);
    return 0;
}

// taken: the same profiles, or NULL.
static int merge(const struct hone_profile *const *profiles, struct hone_profile **taken,
                 size_t count, struct hone_profile **ret, struct hone_error *err)
{
    if (!count)
        return hone_error_set(err, -EINVAL, "no profiles to merge");
    int r = hone_profile_check_compatible(profiles, count, "merge", err);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) struct hone_profile_part *parts = calloc(count, sizeof *parts);
    if (!parts)
        return hone_error_set(err, -ENOMEM, "cannot merge the profiles");
    for (size_t i = 0; i < count; i++)
        parts[i] =
            (struct hone_profile_part){.profile = profiles[i], .taken = taken ? &taken[i] : NULL};
    return hone_profile_merge_parts(parts, count, ret, err);
}

int hone_profile_merge(const struct hone_profile *const *profiles, size_t count,
                       struct hone_profile **ret, struct hone_error *err)
{
    return merge(profiles, NULL, count, ret, err);
}

int hone_profile_merge_taken(struct hone_profile **profiles, size_t count,
                             struct hone_profile **ret, struct hone_error *err)
{
    return merge((const struct hone_profile *const *)profiles, profiles, count, ret, err);
}

int hone_profile_compact(const struct hone_profile *profile, struct hone_profile **ret,
                         struct hone_error *err)
{
    return hone_profile_merge_parts(&(struct hone_profile_part){.profile = profile}, 1, ret, err);
}
