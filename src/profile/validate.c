#include "profile/index.h"

#include <errno.h>

struct checker {
    const struct hone_profile *profile;
    struct hone_error *err;
};

static bool bad_number(const struct checker *c, const char *what, uint32_t at, const char *other,
                       uint32_t number, uint32_t count)
{
    (void)hone_error_set(c->err, -EINVAL, "%s %u has %s %u, where there are %u", what, at, other,
                         number, count);
    return false;
}

// Numbers of one column, [first, count), that lie below limit.
static bool below(const struct checker *c, const char *what, const char *other,
                  const uint32_t *column, uint32_t count, uint32_t limit)
{
    for (uint32_t i = 0; i < count; i++)
        if (column[i] >= limit)
            return bad_number(c, what, i, other, column[i], limit);
    return true;
}

// Starts of ranges: count of them and one that closes the last, together as long as the column that
// they cut. Number 0 has nothing.
static bool ranges(const struct checker *c, const char *what, const uint32_t *first, uint32_t count,
                   uint32_t total)
{
    bool good = !first[0] && !first[1] && first[count] == total;
    for (uint32_t i = 0; good && i < count; i++)
        good = first[i] <= first[i + 1];
    if (!good)
        (void)hone_error_set(c->err, -EINVAL, "the ranges of %s do not follow each other", what);
    return good;
}

static bool check_types(const struct checker *c)
{
    const struct hone_profile *p = c->profile;
    uint32_t strings = p->strings.count;
    if (p->type_count > HONE_PROFILE_TYPES_MAX || (!p->type_count && p->samples.count)) {
        (void)hone_error_set(c->err, -EINVAL, "%u samples of %u types", p->samples.count,
                             p->type_count);
        return false;
    }
    for (uint32_t i = 0; i < p->type_count; i++) {
        const uint32_t both[] = {p->types[i].type, p->types[i].unit};
        if (!below(c, "a sample type", "string", both, 2, strings))
            return false;
    }
    const uint32_t head[] = {p->default_type, p->period_type.type, p->period_type.unit,
                             p->drop_frames,  p->keep_frames,      p->doc_url};
    return below(c, "the head", "string", head, sizeof head / sizeof head[0], strings) &&
           below(c, "comment", "string", p->comments, p->comment_count, strings);
}

static bool check_mappings(const struct checker *c)
{
    const struct hone_profile *p = c->profile;
    for (uint32_t i = 0; i < p->mappings.count; i++) {
        const uint32_t both[] = {p->mappings.at[i].file, p->mappings.at[i].build_id};
        if (!below(c, "a mapping", "string", both, 2, p->strings.count))
            return false;
    }
    return true;
}

static bool check_functions(const struct checker *c)
{
    const struct hone_profile_functions *all = &c->profile->functions;
    uint32_t strings = c->profile->strings.count;
    return below(c, "function", "string", all->name, all->count, strings) &&
           below(c, "function", "string", all->system_name, all->count, strings) &&
           below(c, "function", "string", all->file, all->count, strings);
}

static bool check_locations(const struct checker *c)
{
    const struct hone_profile *p = c->profile;
    const struct hone_profile_locations *all = &p->locations;
    if (!below(c, "location", "mapping", all->mapping, all->count, p->mappings.count) ||
        !ranges(c, "lines", all->first_line, all->count, p->lines.count))
        return false;
    for (uint32_t i = 0; i < p->lines.count; i++) {
        uint32_t function = p->lines.at[i].function;
        if (!function || function >= p->functions.count)
            return bad_number(c, "line", i, "function", function, p->functions.count);
    }
    return true;
}

static bool check_stacks(const struct checker *c)
{
    const struct hone_profile *p = c->profile;
    if (!ranges(c, "stacks", p->stacks.first_frame, p->stacks.count, p->frames.count))
        return false;
    for (uint32_t i = 0; i < p->frames.count; i++) {
        uint32_t location = p->frames.location[i];
        if (!location || location >= p->locations.count)
            return bad_number(c, "frame", i, "location", location, p->locations.count);
    }
    return true;
}

static bool check_labels(const struct checker *c)
{
    const struct hone_profile *p = c->profile;
    for (uint32_t i = 0; i < p->labels.count; i++) {
        const struct hone_profile_label *label = &p->labels.at[i];
        const uint32_t strings[] = {label->key, label->text, label->unit};
        if (!below(c, "a label", "string", strings, 3, p->strings.count))
            return false;
    }
    return ranges(c, "labels", p->label_sets.first_label, p->label_sets.count, p->labels.count);
}

static bool check_samples(const struct checker *c)
{
    const struct hone_profile_samples *all = &c->profile->samples;
    return below(c, "sample", "stack", all->stack, all->count, c->profile->stacks.count) &&
           below(c, "sample", "label set", all->label_set, all->count,
                 c->profile->label_sets.count);
}

int hone_profile_validate(const struct hone_profile *p, struct hone_error *err)
{
    int r = hone_profile_status(p);
    if (r)
        return hone_error_set(err, r, "the profile is incomplete");
    const struct checker c = {p, err};
    bool good = check_types(&c) && check_mappings(&c) && check_functions(&c) &&
                check_locations(&c) && check_stacks(&c) && check_labels(&c) && check_samples(&c);
    return good ? 0 : -EINVAL;
}
