// Merging: each profile's samples are gone through in order, and what they name is added to the
// result when it is named first, where equal things become one; arrays translate the profile's
// numbers, 0 for what was not met yet.
#include "profile/merge.h"

#include "profile/compatible.h"
#include "profile/index.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

enum { PLACES = 64 };

struct merger {
    struct hone_profile *result;
    struct hone_table modules; // the result's mappings by what file they show

    // The profile at hand, and its numbers in the result.
    const struct hone_profile *from;
    uint32_t *strings;
    uint32_t *mappings;
    uint32_t *functions;
    uint32_t *locations;
    uint32_t *stacks;
    uint32_t *label_sets;
    struct hone_profile_line *lines; // of the location at hand
    struct hone_profile_label *labels;
    bool is_base;
    struct merger_places { // that were met and have no number yet
        uint32_t count;
        uint32_t at[PLACES];
        uint64_t hash[PLACES];
    } places;
};

static void merger_done_with_one(struct merger *m)
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

static void merger_done(struct merger *m)
{
    merger_done_with_one(m);
    hone_table_done(&m->modules);
    hone_profile_free(m->result);
}

static uint32_t string_of(struct merger *m, uint32_t theirs)
{
    if (theirs && !m->strings[theirs])
        m->strings[theirs] = hone_profile_intern_str(m->result, m->from->strings.text[theirs]);
    return m->strings[theirs];
}

static struct hone_profile_type type_of(struct merger *m, struct hone_profile_type theirs)
{
    return (struct hone_profile_type){string_of(m, theirs.type), string_of(m, theirs.unit)};
}

// --- the head ------------------------------------------------------------------------------------

// known has a byte for each string of the result: whether it is a comment already.
static void add_comment(struct merger *m, uint32_t string, struct hone_buffer *known)
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

static void merge_comments(struct merger *m, struct hone_buffer *known)
{
    for (uint32_t i = 0; i < m->from->comment_count; i++)
        add_comment(m, string_of(m, m->from->comments[i]), known);
}

static void merge_head(struct merger *m, bool first, struct hone_buffer *known_comments)
{
    struct hone_profile *result = m->result;
    const struct hone_profile *p = m->from;
    if (first) {
        for (uint32_t i = 0; i < p->type_count; i++)
            result->types[i] = type_of(m, p->types[i]);
        result->type_count = p->type_count;
        result->drop_frames = string_of(m, p->drop_frames);
        result->keep_frames = string_of(m, p->keep_frames);
    }
    if (!result->period_type.type && !result->period_type.unit)
        result->period_type = type_of(m, p->period_type);
    if (!result->period || p->period > result->period)
        result->period = p->period;
    if (p->time_ns && (!result->time_ns || p->time_ns < result->time_ns))
        result->time_ns = p->time_ns;
    result->duration_ns = hone_profile_add_values(result->duration_ns, p->duration_ns);
    if (!result->default_type)
        result->default_type = string_of(m, p->default_type);
    if (!result->doc_url)
        result->doc_url = string_of(m, p->doc_url);
    merge_comments(m, known_comments);
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

static uint64_t hash_module(const struct merger *m, const struct module *module)
{
    return hone_table_hash(module, sizeof *module, m->result->index->seed);
}

// The result's mapping that shows it; 0: none does.
static uint32_t find_module(const struct merger *m, const struct module *module, uint64_t hash)
{
    struct hone_table_probe probe = hone_table_probe(&m->modules, hash);
    uint32_t at;
    while ((at = hone_table_next(&m->modules, &probe)) != HONE_TABLE_END) {
        struct module there = module_of(&m->result->mappings.at[at]);
        if (memcmp(&there, module, sizeof there) == 0)
            return at;
    }
    return 0;
}

static uint32_t add_mapping(struct merger *m, const struct hone_profile_mapping *theirs)
{
    struct hone_profile *result = m->result;
    struct hone_profile_mapping mapping = *theirs;
    mapping.file = string_of(m, theirs->file);
    mapping.build_id = string_of(m, theirs->build_id);
    struct module module = module_of(&mapping);
    uint64_t hash = hash_module(m, &module);
    uint32_t there = find_module(m, &module, hash);
    if (there)
        return there;
    uint32_t number = hone_profile_add_mapping(result, &mapping);
    if (number && hone_table_add(&m->modules, hash, number))
        return hone_profile_fail(result, -ENOMEM);
    return number;
}

static uint32_t mapping_of(struct merger *m, uint32_t theirs)
{
    if (theirs && !m->mappings[theirs])
        m->mappings[theirs] = add_mapping(m, &m->from->mappings.at[theirs]);
    return m->mappings[theirs];
}

static uint32_t function_of(struct merger *m, uint32_t theirs)
{
    const struct hone_profile_functions *all = &m->from->functions;
    if (theirs && !m->functions[theirs]) {
        struct hone_profile_function function = {
            .name = string_of(m, all->name[theirs]),
            .system_name = string_of(m, all->system_name[theirs]),
            .file = string_of(m, all->file[theirs]),
            .start_line = all->start_line[theirs],
        };
        m->functions[theirs] = hone_profile_add_function_as_is(m->result, &function);
    }
    return m->functions[theirs];
}

// As the result has it; its lines are valid until the next call.
static struct hone_profile_location location_of(struct merger *m, uint32_t theirs)
{
    const struct hone_profile *p = m->from;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, theirs);
    for (uint32_t i = 0; i < lines.count; i++) {
        m->lines[i] = lines.at[i];
        m->lines[i].function = function_of(m, lines.at[i].function);
    }
    uint32_t their_mapping = p->locations.mapping[theirs];
    uint32_t mapping = mapping_of(m, their_mapping);
    return (struct hone_profile_location){
        .mapping = mapping,
        .address = p->locations.address[theirs] - p->mappings.at[their_mapping].start +
                   m->result->mappings.at[mapping].start,
        .lines = m->lines,
        .line_count = lines.count,
        .folded = p->locations.folded[theirs],
    };
}

// Adds the places that were met, in that order. Each is somewhere else in memory, so all are waited
// for together.
static void add_places(struct merger *m)
{
    struct merger_places *places = &m->places;
    for (uint32_t i = 0; i < places->count; i++) {
        struct hone_profile_location location = location_of(m, places->at[i]);
        places->hash[i] = hone_profile_location_hash(m->result, &location);
        hone_table_prefetch(&m->result->index->locations, places->hash[i]);
    }
    for (uint32_t i = 0; i < places->count; i++)
        hone_profile_location_prefetch(m->result, places->hash[i]);
    for (uint32_t i = 0; i < places->count; i++) {
        struct hone_profile_location location = location_of(m, places->at[i]);
        m->locations[places->at[i]] =
            hone_profile_location_add(m->result, &location, places->hash[i]);
    }
    places->count = 0;
}

#define PENDING UINT32_MAX // is among the places that were met

static void meet_places(struct merger *m, struct hone_profile_span frames)
{
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t *number = &m->locations[frames.at[i]];
        if (*number)
            continue;
        *number = PENDING;
        m->places.at[m->places.count++] = frames.at[i];
        if (m->places.count == PLACES)
            add_places(m);
    }
}

// --- samples -------------------------------------------------------------------------------------

// Samples are taken a few at a time: the stacks of all are written behind the result's and their
// places in its tables fetched, so that waiting for one is waiting for all.
enum { BATCH = 32 };

struct batch {
    uint32_t count;
    struct batch_sample {
        uint32_t stack; // of the profile at hand
        uint32_t label_set;
        bool written;  // its frames, for it has no number in the result yet
        size_t place;  // where
        uint64_t hash; // of them
        int64_t values[HONE_PROFILE_TYPES_MAX];
    } at[BATCH];
};

// Writes the stack's frames behind so many pending ones.
static bool write_stack(struct merger *m, struct batch_sample *sample, size_t pending)
{
    struct hone_profile_span span = hone_profile_frames_of(m->from, sample->stack);
    uint32_t *frames = hone_profile_stack_open(m->result, pending, span.count);
    if (!frames)
        return false;
    for (uint32_t i = 0; i < span.count; i++)
        frames[i] = m->locations[span.at[i]];
    sample->written = true;
    sample->place = m->result->frames.count + pending;
    sample->hash = hone_profile_stack_hash(m->result, frames, span.count);
    return true;
}

static uint32_t add_label_set(struct merger *m, uint32_t theirs)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(m->from, theirs);
    uint32_t base_key = m->is_base ? hone_profile_intern(m->result, HONE_PROFILE_BASE_KEY) : 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < labels.count; i++) {
        struct hone_profile_label label = {
            .key = string_of(m, labels.at[i].key),
            .text = string_of(m, labels.at[i].text),
            .number = labels.at[i].number,
            .unit = string_of(m, labels.at[i].unit),
        };
        if (!(m->is_base && label.key == base_key && label.text))
            m->labels[count++] = label;
    }
    if (m->is_base)
        m->labels[count++] = (struct hone_profile_label){
            .key = base_key, .text = hone_profile_intern(m->result, HONE_PROFILE_BASE_TEXT)};
    return hone_profile_add_label_set(m->result, m->labels, count);
}

// The sample's values. False when all are 0.
static bool values_of(const struct hone_profile_part *part, uint32_t sample,
                      int64_t values[HONE_PROFILE_TYPES_MAX])
{
    const struct hone_profile *p = part->profile;
    int64_t any = 0;
    for (uint32_t i = 0; i < p->type_count; i++) {
        values[i] = p->samples.values[i][sample];
        if (part->ratios)
            values[i] = hone_profile_scale_value(values[i], part->ratios[i]);
        any |= values[i];
    }
    return any != 0;
}

// Whether the sample's stack has a number in the result.
static bool has_stack(const struct merger *m, const struct batch_sample *sample)
{
    return !sample->stack || m->stacks[sample->stack];
}

// Fills the batch with samples from this one on; returns the first that has no room.
static uint32_t fill_batch(struct merger *m, const struct hone_profile_part *part, uint32_t from,
                           struct batch *batch)
{
    const struct hone_profile_samples *all = &part->profile->samples;
    batch->count = 0;
    for (; from < all->count && batch->count < BATCH; from++) {
        struct batch_sample *sample = &batch->at[batch->count];
        if (!values_of(part, from, sample->values))
            continue;
        sample->stack = all->stack[from];
        sample->label_set = all->label_set[from];
        sample->written = false;
        batch->count++;
        if (!has_stack(m, sample))
            meet_places(m, hone_profile_frames_of(m->from, sample->stack));
    }
    add_places(m);
    return from;
}

static void write_stacks(struct merger *m, struct batch *batch)
{
    size_t pending = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct batch_sample *sample = &batch->at[i];
        if (has_stack(m, sample))
            continue;
        if (!write_stack(m, sample, pending))
            return;
        pending += hone_profile_frames_of(m->from, sample->stack).count;
    }
}

static void add_sample(struct merger *m, const struct batch_sample *sample)
{
    struct hone_profile *result = m->result;
    uint32_t set = sample->label_set;
    bool is_new = false;
    if (sample->written) {
        uint32_t before = result->stacks.count;
        size_t count = hone_profile_frames_of(m->from, sample->stack).count;
        m->stacks[sample->stack] =
            hone_profile_stack_close(result, sample->place, count, sample->hash);
        is_new = result->stacks.count != before;
    }
    if ((set || m->is_base) && !m->label_sets[set])
        m->label_sets[set] = add_label_set(m, set);
    hone_profile_sample_append(result, m->stacks[sample->stack], is_new, sample->values,
                               m->label_sets[set]);
}

static void merge_samples(struct merger *m, const struct hone_profile_part *part)
{
    const struct hone_profile *p = part->profile;
    struct batch batch;
    hone_profile_expect(m->result, (uint64_t)m->result->samples.count + p->samples.count,
                        (uint64_t)m->result->frames.count + p->frames.count);
    for (uint32_t next = 0; next < p->samples.count && !hone_profile_status(m->result);) {
        next = fill_batch(m, part, next, &batch);
        write_stacks(m, &batch);
        for (uint32_t i = 0; i < batch.count && !hone_profile_status(m->result); i++)
            add_sample(m, &batch.at[i]);
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

static int open_part(struct merger *m, const struct hone_profile_part *part)
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
    m->lines = calloc((size_t)lines + 1, sizeof *m->lines);
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

// Enters the mappings of the result. False where two show the same.
static bool know_modules(struct merger *m)
{
    const struct hone_profile *result = m->result;
    for (uint32_t i = 1; i < result->mappings.count; i++) {
        struct module module = module_of(&result->mappings.at[i]);
        uint64_t hash = hash_module(m, &module);
        if (find_module(m, &module, hash) || hone_table_add(&m->modules, hash, i))
            return false;
    }
    return true;
}

// Each comment once.
static void know_comments(struct merger *m, struct hone_buffer *known)
{
    struct hone_profile *result = m->result;
    uint32_t count = result->comment_count;
    result->comment_count = 0;
    for (uint32_t i = 0; i < count; i++)
        add_comment(m, result->comments[i], known);
}

// Makes the first profile the result, if it is what merging would make of it.
static bool take_first(struct merger *m, const struct hone_profile_part *part,
                       struct hone_buffer *known_comments)
{
    const struct hone_profile *p = part->profile;
    if (!part->taken || part->ratios || part->is_base || !is_indexed(p) || !samples_in_order(p) ||
        !places_in_order(p))
        return false;
    struct hone_profile *other = m->result;
    m->result = *part->taken;
    if (!know_modules(m)) {
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

static int merge_part(struct merger *m, const struct hone_profile_part *part, bool first,
                      struct hone_buffer *known_comments)
{
    int r = open_part(m, part);
    if (r)
        return r;
    merge_head(m, first, known_comments);
    if (m->result->mappings.count == 1 && m->from->mappings.count > 1)
        (void)mapping_of(m, 1); // the main program
    merge_samples(m, part);
    merger_done_with_one(m);
    return hone_profile_status(m->result);
}

int hone_profile_merge_parts(const struct hone_profile_part *parts, size_t count,
                             struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer comments = {0};
    HONE_CLEANUP(merger_done) struct merger m = {.result = hone_profile_new()};
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
