// Merging: each profile's strings, mappings, functions, locations, stacks and label sets are added
// to the result, which makes equal ones one; arrays translate the profile's numbers on the way.
#include "profile/index.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

struct merger {
    struct hone_profile *result;
    struct hone_table modules; // the result's mappings by what file they show

    // The numbers of the profile at hand in the result.
    uint32_t *strings;
    uint32_t *mappings;
    uint32_t *functions;
    uint32_t *locations;
    uint32_t *label_sets;
    struct hone_profile_line *lines; // of the location at hand
    uint32_t *frames;                // of the stack at hand
    struct hone_profile_label *labels;
};

static void merger_done_with_one(struct merger *m)
{
    free(m->strings);
    free(m->mappings);
    free(m->functions);
    free(m->locations);
    free(m->label_sets);
    free(m->lines);
    free(m->frames);
    free(m->labels);
    m->strings = m->mappings = m->functions = m->locations = m->label_sets = m->frames = NULL;
    m->lines = NULL;
    m->labels = NULL;
}

static void merger_done(struct merger *m)
{
    merger_done_with_one(m);
    hone_table_done(&m->modules);
    hone_profile_free(m->result);
}

// --- may they be merged --------------------------------------------------------------------------

static bool same_type(const struct hone_profile *a, struct hone_profile_type type_a,
                      const struct hone_profile *b, struct hone_profile_type type_b)
{
    return hone_str_equal(hone_profile_str(a, type_a.type), hone_profile_str(b, type_b.type)) &&
           hone_str_equal(hone_profile_str(a, type_a.unit), hone_profile_str(b, type_b.unit));
}

static int check_types(const struct hone_profile *first, const struct hone_profile *other,
                       size_t place, struct hone_error *err)
{
    if (first->type_count != other->type_count)
        return hone_error_set(err, -EINVAL,
                              "cannot merge: profile 1 has %u sample types, profile %zu has %u",
                              first->type_count, place, other->type_count);
    for (uint32_t i = 0; i < first->type_count; i++)
        if (!same_type(first, first->types[i], other, other->types[i]))
            return hone_error_set(err, -EINVAL,
                                  "cannot merge: type %u is %s/%s in profile 1, but %s/%s in "
                                  "profile %zu",
                                  i, hone_profile_text(first, first->types[i].type),
                                  hone_profile_text(first, first->types[i].unit),
                                  hone_profile_text(other, other->types[i].type),
                                  hone_profile_text(other, other->types[i].unit), place);
    bool both = (first->period_type.type || first->period_type.unit) &&
                (other->period_type.type || other->period_type.unit);
    if (both && !same_type(first, first->period_type, other, other->period_type))
        return hone_error_set(err, -EINVAL,
                              "cannot merge: profile 1 was sampled by %s, profile %zu by %s",
                              hone_profile_text(first, first->period_type.type), place,
                              hone_profile_text(other, other->period_type.type));
    return 0;
}

// --- the head ------------------------------------------------------------------------------------

static uint32_t string_of(struct merger *m, uint32_t theirs)
{
    return m->strings[theirs];
}

static void merge_comments(struct merger *m, const struct hone_profile *p)
{
    struct hone_profile *result = m->result;
    for (uint32_t i = 0; i < p->comment_count; i++) {
        uint32_t string = string_of(m, p->comments[i]);
        bool there = false;
        for (uint32_t k = 0; k < result->comment_count; k++)
            there |= result->comments[k] == string;
        if (!there)
            hone_profile_add_comment_string(result, string);
    }
}

static void merge_head(struct merger *m, const struct hone_profile *p)
{
    struct hone_profile *result = m->result;
    if (!result->type_count) {
        for (uint32_t i = 0; i < p->type_count; i++)
            result->types[i] = (struct hone_profile_type){string_of(m, p->types[i].type),
                                                          string_of(m, p->types[i].unit)};
        result->type_count = p->type_count;
    }
    if (!result->period_type.type && !result->period_type.unit)
        result->period_type = (struct hone_profile_type){string_of(m, p->period_type.type),
                                                         string_of(m, p->period_type.unit)};
    if (p->period > result->period)
        result->period = p->period;
    if (p->time_ns && (!result->time_ns || p->time_ns < result->time_ns))
        result->time_ns = p->time_ns;
    int64_t duration;
    result->duration_ns = __builtin_add_overflow(result->duration_ns, p->duration_ns, &duration)
                              ? INT64_MAX
                              : duration;
    if (!result->default_type)
        result->default_type = string_of(m, p->default_type);
    if (!result->drop_frames)
        result->drop_frames = string_of(m, p->drop_frames);
    if (!result->keep_frames)
        result->keep_frames = string_of(m, p->keep_frames);
    if (!result->doc_url)
        result->doc_url = string_of(m, p->doc_url);
    merge_comments(m, p);
}

// --- places in the program -----------------------------------------------------------------------

// What file a mapping shows, and which part of it: not where it lies in memory. Sizes are compared
// in pages, since recorders differ in how they round.
struct module {
    uint64_t size;
    uint64_t offset;
    uint32_t file; // the build id if there is one
    uint32_t padding;
};

static struct module module_of(const struct hone_profile_mapping *mapping)
{
    return (struct module){.size = (mapping->limit - mapping->start + 0xfff) >> 12,
                           .offset = mapping->offset,
                           .file = mapping->build_id ? mapping->build_id : mapping->file};
}

static uint32_t merge_mapping(struct merger *m, const struct hone_profile_mapping *theirs)
{
    struct hone_profile *result = m->result;
    struct hone_profile_mapping mapping = *theirs;
    mapping.file = string_of(m, theirs->file);
    mapping.build_id = string_of(m, theirs->build_id);
    struct module module = module_of(&mapping);
    uint64_t hash = hone_table_hash(&module, sizeof module, result->index->seed);
    struct hone_table_probe probe = hone_table_probe(&m->modules, hash);
    uint32_t at;
    while ((at = hone_table_next(&m->modules, &probe)) != HONE_TABLE_END) {
        struct module there = module_of(&result->mappings.at[at]);
        if (memcmp(&there, &module, sizeof module) == 0) {
            result->mappings.at[at].flags |= mapping.flags;
            return at;
        }
    }
    uint32_t number = hone_profile_add_mapping(result, &mapping);
    if (number && hone_table_add(&m->modules, hash, number))
        return hone_profile_fail(result, -ENOMEM);
    return number;
}

static void merge_places(struct merger *m, const struct hone_profile *p)
{
    for (uint32_t i = 1; i < p->mappings.count; i++)
        m->mappings[i] = merge_mapping(m, &p->mappings.at[i]);
    for (uint32_t i = 1; i < p->functions.count; i++) {
        struct hone_profile_function function = {
            .name = string_of(m, p->functions.name[i]),
            .system_name = string_of(m, p->functions.system_name[i]),
            .file = string_of(m, p->functions.file[i]),
            .start_line = p->functions.start_line[i],
        };
        m->functions[i] = hone_profile_add_function(m->result, &function);
    }
    for (uint32_t i = 1; i < p->locations.count && !hone_profile_status(m->result); i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(p, i);
        for (uint32_t k = 0; k < lines.count; k++) {
            m->lines[k] = lines.at[k];
            m->lines[k].function = m->functions[lines.at[k].function];
        }
        uint32_t theirs = p->locations.mapping[i];
        uint32_t ours = m->mappings[theirs];
        struct hone_profile_location location = {
            .mapping = ours,
            .address = p->locations.address[i] - p->mappings.at[theirs].start +
                       m->result->mappings.at[ours].start,
            .lines = m->lines,
            .line_count = lines.count,
            .folded = p->locations.folded[i],
        };
        m->locations[i] = hone_profile_add_location(m->result, &location);
    }
}

// --- samples -------------------------------------------------------------------------------------

static void merge_label_sets(struct merger *m, const struct hone_profile *p)
{
    for (uint32_t i = 1; i < p->label_sets.count; i++) {
        struct hone_profile_label_span labels = hone_profile_labels_of(p, i);
        for (uint32_t k = 0; k < labels.count; k++)
            m->labels[k] = (struct hone_profile_label){
                .key = string_of(m, labels.at[k].key),
                .text = string_of(m, labels.at[k].text),
                .number = labels.at[k].number,
                .unit = string_of(m, labels.at[k].unit),
            };
        m->label_sets[i] = hone_profile_add_label_set(m->result, m->labels, labels.count);
    }
}

static void merge_samples(struct merger *m, const struct hone_profile *p)
{
    for (uint32_t i = 0; i < p->samples.count && !hone_profile_status(m->result); i++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[i]);
        for (uint32_t k = 0; k < frames.count; k++)
            m->frames[k] = m->locations[frames.at[k]];
        int64_t values[HONE_PROFILE_TYPES_MAX];
        for (uint32_t k = 0; k < p->type_count; k++)
            values[k] = p->samples.values[k][i];
        uint32_t stack = hone_profile_add_stack(m->result, m->frames, frames.count);
        (void)hone_profile_add_sample_in_set(m->result, stack, values,
                                             m->label_sets[p->samples.label_set[i]]);
    }
}

static uint32_t largest_range(const uint32_t *first, uint32_t count)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (first[i + 1] - first[i] > largest)
            largest = first[i + 1] - first[i];
    return largest;
}

static int merge_one(struct merger *m, const struct hone_profile *p)
{
    uint32_t lines = largest_range(p->locations.first_line, p->locations.count);
    uint32_t frames = largest_range(p->stacks.first_frame, p->stacks.count);
    uint32_t labels = largest_range(p->label_sets.first_label, p->label_sets.count);
    m->strings = calloc(p->strings.count, sizeof *m->strings);
    m->mappings = calloc(p->mappings.count, sizeof *m->mappings);
    m->functions = calloc(p->functions.count, sizeof *m->functions);
    m->locations = calloc(p->locations.count, sizeof *m->locations);
    m->label_sets = calloc(p->label_sets.count, sizeof *m->label_sets);
    m->lines = calloc((size_t)lines + 1, sizeof *m->lines);
    m->frames = calloc((size_t)frames + 1, sizeof *m->frames);
    m->labels = calloc((size_t)labels + 1, sizeof *m->labels);
    if (!m->strings || !m->mappings || !m->functions || !m->locations || !m->label_sets ||
        !m->lines || !m->frames || !m->labels)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->strings.count; i++)
        m->strings[i] = hone_profile_intern_str(m->result, p->strings.text[i]);
    merge_head(m, p);
    merge_places(m, p);
    merge_label_sets(m, p);
    merge_samples(m, p);
    merger_done_with_one(m);
    return hone_profile_status(m->result);
}

int hone_profile_merge(const struct hone_profile *const *profiles, size_t count,
                       struct hone_profile **ret, struct hone_error *err)
{
    if (!count)
        return hone_error_set(err, -EINVAL, "no profiles to merge");
    for (size_t i = 1; i < count; i++) {
        int r = check_types(profiles[0], profiles[i], i + 1, err);
        if (r)
            return r;
    }
    HONE_CLEANUP(merger_done) struct merger m = {.result = hone_profile_new()};
    int r = m.result ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < count; i++)
        r = merge_one(&m, profiles[i]);
    if (r)
        return hone_error_set(err, r, "cannot merge the profiles");
    *ret = hone_take(m.result);
    return 0;
}
