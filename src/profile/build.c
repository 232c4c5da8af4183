// Building: each kind of thing has its columns and a table that finds an equal entry. An entry of
// variable length (stack, label set, lines of a location) is written behind the last one first and
// kept only if no equal one is found, so nothing is copied twice.
#include "profile/index.h"

#include "base/cleanup.h"
#include "base/pages.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t hone_profile_fail(struct hone_profile *profile, int status)
{
    if (!profile->index->status)
        profile->index->status = status;
    return 0;
}

int hone_profile_status(const struct hone_profile *profile)
{
    return profile->index->status;
}

// One column of a group: where its pointer lies and how wide an entry is.
struct column {
    void *pointer; // to the column's pointer
    size_t width;
};

// Makes room for count entries, and one more that closes the last range.
static bool reserve(struct hone_profile *profile, uint32_t *room, uint64_t count,
                    const struct column *columns, size_t column_count)
{
    if (profile->index->status)
        return false;
    if (count < *room)
        return true;
    if (count > UINT32_MAX - 2)
        return hone_profile_fail(profile, -EOVERFLOW);
    uint64_t larger = *room ? (uint64_t)*room * 2 : 64;
    while (larger <= count)
        larger *= 2;
    if (larger > UINT32_MAX)
        larger = UINT32_MAX;
    for (size_t i = 0; i < column_count; i++) {
        void *at;
        memcpy(&at, columns[i].pointer, sizeof at);
        at = reallocarray(at, larger, columns[i].width);
        if (!at)
            return hone_profile_fail(profile, -ENOMEM);
        hone_pages_large(at, larger * columns[i].width);
        memcpy(columns[i].pointer, &at, sizeof at);
    }
    *room = (uint32_t)larger;
    return true;
}

#define COLUMN(at)                                                                                 \
    {                                                                                              \
        &(at), sizeof *(at)                                                                        \
    }
#define RESERVE(profile, room, count, ...)                                                         \
    reserve(profile, &(profile)->index->room, count, (struct column[]){__VA_ARGS__},               \
            sizeof((struct column[]){__VA_ARGS__}) / sizeof(struct column))

// The number of the entry just written, once the table knows it.
static uint32_t commit(struct hone_profile *profile, struct hone_table *table, uint64_t hash,
                       uint32_t *count)
{
    if (hone_table_add(table, hash, *count))
        return hone_profile_fail(profile, -ENOMEM);
    return (*count)++;
}

static uint64_t hash_of(const struct hone_profile *profile, const void *bytes, size_t len)
{
    return hone_table_hash(bytes, len, profile->index->seed);
}

// --- life ----------------------------------------------------------------------------------------

// Entry 0 of everything: "none".
static bool add_none(struct hone_profile *p)
{
    struct hone_profile_index *index = p->index;
    bool ok =
        RESERVE(p, string_room, 1, COLUMN(p->strings.text)) &&
        RESERVE(p, mapping_room, 1, COLUMN(p->mappings.at)) &&
        RESERVE(p, function_room, 1, COLUMN(p->functions.name), COLUMN(p->functions.system_name),
                COLUMN(p->functions.file), COLUMN(p->functions.start_line)) &&
        RESERVE(p, location_room, 1, COLUMN(p->locations.mapping), COLUMN(p->locations.address),
                COLUMN(p->locations.folded), COLUMN(p->locations.first_line)) &&
        RESERVE(p, line_room, 1, COLUMN(p->lines.at)) &&
        RESERVE(p, stack_room, 1, COLUMN(p->stacks.first_frame)) &&
        RESERVE(p, frame_room, 1, COLUMN(p->frames.location)) &&
        RESERVE(p, label_set_room, 1, COLUMN(p->label_sets.first_label)) &&
        RESERVE(p, label_room, 1, COLUMN(p->labels.at));
    char *empty = ok ? hone_arena_copy(&index->text, "", 1) : NULL;
    if (!empty)
        return false;
    p->strings.text[0] = (struct hone_str){empty, 0};
    p->mappings.at[0] = (struct hone_profile_mapping){0};
    p->functions.name[0] = p->functions.system_name[0] = p->functions.file[0] = 0;
    p->functions.start_line[0] = 0;
    p->locations.mapping[0] = 0;
    p->locations.address[0] = 0;
    p->locations.folded[0] = 0;
    p->locations.first_line[0] = p->locations.first_line[1] = 0;
    p->stacks.first_frame[0] = p->stacks.first_frame[1] = 0;
    p->label_sets.first_label[0] = p->label_sets.first_label[1] = 0;
    p->strings.count = p->mappings.count = p->functions.count = p->locations.count = 1;
    p->stacks.count = p->label_sets.count = 1;
    return true;
}

struct hone_profile *hone_profile_new(void)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = calloc(1, sizeof *profile);
    if (!profile)
        return NULL;
    profile->index = calloc(1, sizeof *profile->index);
    if (!profile->index)
        return NULL;
    profile->index->seed = hone_table_seed();
    return add_none(profile) ? hone_take(profile) : NULL;
}

void hone_profile_free(struct hone_profile *p)
{
    if (!p)
        return;
    struct hone_profile_index *index = p->index;
    if (index) {
        hone_arena_done(&index->text);
        hone_table_done(&index->strings);
        hone_table_done(&index->mappings);
        hone_table_done(&index->functions);
        hone_table_done(&index->locations);
        hone_table_done(&index->stacks);
        hone_table_done(&index->label_sets);
        hone_table_done(&index->samples);
        free(index);
    }
    free(p->strings.text);
    free(p->mappings.at);
    free(p->functions.name);
    free(p->functions.system_name);
    free(p->functions.file);
    free(p->functions.start_line);
    free(p->locations.mapping);
    free(p->locations.address);
    free(p->locations.folded);
    free(p->locations.first_line);
    free(p->lines.at);
    free(p->stacks.first_frame);
    free(p->frames.location);
    free(p->label_sets.first_label);
    free(p->labels.at);
    free(p->samples.stack);
    free(p->samples.label_set);
    for (uint32_t i = 0; i < HONE_PROFILE_TYPES_MAX; i++)
        free(p->samples.values[i]);
    free(p->comments);
    free(p);
}

void hone_profile_freep(struct hone_profile **profile)
{
    hone_profile_free(*profile);
}

// --- strings and what stands at the head ---------------------------------------------------------

uint32_t hone_profile_intern_str(struct hone_profile *p, struct hone_str text)
{
    if (!text.len)
        return 0;
    struct hone_table *table = &p->index->strings;
    uint64_t hash = hash_of(p, text.at, text.len);
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(p->strings.text[at], text))
            return at;
    if (!RESERVE(p, string_room, p->strings.count, COLUMN(p->strings.text)))
        return 0;
    char *copy = hone_arena_alloc(&p->index->text, text.len + 1);
    if (!copy)
        return hone_profile_fail(p, -ENOMEM);
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    p->strings.text[p->strings.count] = (struct hone_str){copy, text.len};
    return commit(p, table, hash, &p->strings.count);
}

uint32_t hone_profile_intern(struct hone_profile *profile, const char *text)
{
    return hone_profile_intern_str(profile, hone_str_of(text));
}

uint32_t hone_profile_add_type(struct hone_profile *p, const char *type, const char *unit)
{
    assert(!p->samples.count);
    if (p->type_count == HONE_PROFILE_TYPES_MAX)
        return hone_profile_fail(p, -EOVERFLOW);
    uint32_t place = p->type_count;
    if (p->index->sample_room) { // there were samples before
        p->samples.values[place] = calloc(p->index->sample_room, sizeof *p->samples.values[0]);
        if (!p->samples.values[place])
            return hone_profile_fail(p, -ENOMEM);
    }
    p->types[place] =
        (struct hone_profile_type){hone_profile_intern(p, type), hone_profile_intern(p, unit)};
    return p->type_count++;
}

void hone_profile_add_comment(struct hone_profile *p, const char *text)
{
    hone_profile_add_comment_string(p, hone_profile_intern(p, text));
}

void hone_profile_add_comment_string(struct hone_profile *p, uint32_t string)
{
    if (RESERVE(p, comment_room, p->comment_count, COLUMN(p->comments)))
        p->comments[p->comment_count++] = string;
}

void hone_profile_set_period(struct hone_profile *p, const char *type, const char *unit,
                             int64_t period)
{
    p->period_type =
        (struct hone_profile_type){hone_profile_intern(p, type), hone_profile_intern(p, unit)};
    p->period = period;
}

void hone_profile_set_default_type(struct hone_profile *p, const char *type)
{
    p->default_type = hone_profile_intern(p, type);
}

void hone_profile_set_doc_url(struct hone_profile *p, const char *url)
{
    p->doc_url = hone_profile_intern(p, url);
}

// --- places in the program -----------------------------------------------------------------------

uint32_t hone_profile_add_mapping(struct hone_profile *p,
                                  const struct hone_profile_mapping *mapping)
{
    assert(mapping->file < p->strings.count && mapping->build_id < p->strings.count);
    uint64_t key[] = {mapping->start, mapping->limit, mapping->offset,
                      (uint64_t)mapping->file << 32 | mapping->build_id};
    uint64_t hash = hash_of(p, key, sizeof key);
    struct hone_table *table = &p->index->mappings;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_mapping *there = &p->mappings.at[at];
        if (there->start == mapping->start && there->limit == mapping->limit &&
            there->offset == mapping->offset && there->file == mapping->file &&
            there->build_id == mapping->build_id) {
            there->flags |= mapping->flags;
            return at;
        }
    }
    if (!RESERVE(p, mapping_room, p->mappings.count, COLUMN(p->mappings.at)))
        return 0;
    p->mappings.at[p->mappings.count] = *mapping;
    return commit(p, table, hash, &p->mappings.count);
}

uint32_t hone_profile_add_function(struct hone_profile *p,
                                   const struct hone_profile_function *function)
{
    struct hone_profile_function named = *function;
    if (!named.system_name)
        named.system_name = named.name;
    return hone_profile_add_function_as_is(p, &named);
}

uint32_t hone_profile_add_function_as_is(struct hone_profile *p,
                                         const struct hone_profile_function *function)
{
    assert(function->name < p->strings.count && function->file < p->strings.count);
    struct hone_profile_functions *all = &p->functions;
    uint32_t system_name = function->system_name;
    assert(system_name < p->strings.count);
    uint64_t key[] = {(uint64_t)function->name << 32 | system_name, function->file,
                      (uint64_t)function->start_line};
    uint64_t hash = hash_of(p, key, sizeof key);
    struct hone_table *table = &p->index->functions;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (all->name[at] == function->name && all->system_name[at] == system_name &&
            all->file[at] == function->file && all->start_line[at] == function->start_line)
            return at;
    if (!RESERVE(p, function_room, all->count, COLUMN(all->name), COLUMN(all->system_name),
                 COLUMN(all->file), COLUMN(all->start_line)))
        return 0;
    all->name[all->count] = function->name;
    all->system_name[all->count] = system_name;
    all->file[all->count] = function->file;
    all->start_line[all->count] = function->start_line;
    return commit(p, table, hash, &all->count);
}

static bool same_lines(const struct hone_profile_line *a, const struct hone_profile_line *b,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].function != b[i].function || a[i].number != b[i].number ||
            a[i].column != b[i].column)
            return false;
    return true;
}

// Field by field: structs have padding.
static uint64_t hash_lines(uint64_t hash, const struct hone_profile_line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key[] = {lines[i].function, (uint64_t)lines[i].number, (uint64_t)lines[i].column};
        hash = hone_table_hash(key, sizeof key, hash);
    }
    return hash;
}

// Writes the lines behind the last location's; those without a function say nothing.
static bool append_lines(struct hone_profile *p, const struct hone_profile_location *location,
                         uint32_t *ret_count)
{
    if (location->line_count > HONE_PROFILE_LINES_MAX)
        return hone_profile_fail(p, -EOVERFLOW);
    uint32_t first = p->lines.count;
    if (!RESERVE(p, line_room, (uint64_t)first + location->line_count, COLUMN(p->lines.at)))
        return false;
    uint32_t count = 0;
    for (uint32_t i = 0; i < location->line_count; i++) {
        assert(location->lines[i].function < p->functions.count);
        if (location->lines[i].function)
            p->lines.at[first + count++] = location->lines[i];
    }
    *ret_count = count;
    return true;
}

uint32_t hone_profile_add_location(struct hone_profile *p,
                                   const struct hone_profile_location *location)
{
    assert(location->mapping < p->mappings.count);
    uint32_t line_count = 0;
    if (!append_lines(p, location, &line_count))
        return 0;
    struct hone_profile_locations *all = &p->locations;
    const struct hone_profile_line *lines = p->lines.at + p->lines.count;
    uint64_t key[] = {location->mapping, location->address, location->folded};
    uint64_t hash = hash_lines(hash_of(p, key, sizeof key), lines, line_count);
    struct hone_table *table = &p->index->locations;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_line_span there = hone_profile_lines_of(p, at);
        if (all->mapping[at] == location->mapping && all->address[at] == location->address &&
            all->folded[at] == location->folded && there.count == line_count &&
            same_lines(there.at, lines, there.count))
            return at;
    }
    if (!RESERVE(p, location_room, (uint64_t)all->count + 1, COLUMN(all->mapping),
                 COLUMN(all->address), COLUMN(all->folded), COLUMN(all->first_line)))
        return 0;
    all->mapping[all->count] = location->mapping;
    all->address[all->count] = location->address;
    all->folded[all->count] = location->folded;
    uint32_t number = commit(p, table, hash, &all->count);
    if (number) {
        p->lines.count += line_count;
        all->first_line[all->count] = p->lines.count;
    }
    return number;
}

// --- stacks --------------------------------------------------------------------------------------

uint32_t *hone_profile_stack_open(struct hone_profile *p, size_t pending, size_t max)
{
    if (max > HONE_PROFILE_DEPTH_MAX) {
        (void)hone_profile_fail(p, -EOVERFLOW);
        return NULL;
    }
    if (!RESERVE(p, frame_room, (uint64_t)p->frames.count + pending + max,
                 COLUMN(p->frames.location)))
        return NULL;
    return p->frames.location + p->frames.count + pending;
}

uint64_t hone_profile_stack_hash(const struct hone_profile *p, const uint32_t *frames, size_t count)
{
    uint64_t hash = hone_profile_frames_hash(p, frames, count);
    hone_table_prefetch(&p->index->stacks, hash);
    return hash;
}

static uint32_t find_stack(const struct hone_profile *p, const uint32_t *frames, size_t count,
                           uint64_t hash)
{
    const struct hone_table *table = &p->index->stacks;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_span there = hone_profile_frames_of(p, at);
        if (there.count == count && memcmp(there.at, frames, count * sizeof *frames) == 0)
            return at;
    }
    return 0;
}

uint32_t hone_profile_stack_close(struct hone_profile *p, size_t place, size_t count, uint64_t hash)
{
    if (!count)
        return 0;
    const uint32_t *frames = p->frames.location + place;
    uint32_t there = find_stack(p, frames, count, hash);
    if (there)
        return there;
    if (!RESERVE(p, stack_room, (uint64_t)p->stacks.count + 1, COLUMN(p->stacks.first_frame)))
        return 0;
    if (place != p->frames.count) // stacks before this one were not new
        memmove(p->frames.location + p->frames.count, frames, count * sizeof *frames);
    uint32_t number = commit(p, &p->index->stacks, hash, &p->stacks.count);
    if (number) {
        p->frames.count += (uint32_t)count;
        p->stacks.first_frame[p->stacks.count] = p->frames.count;
    }
    return number;
}

uint32_t hone_profile_stack_copy(struct hone_profile *p, const uint32_t *frames, uint32_t count,
                                 uint64_t hash, bool *is_new)
{
    *is_new = false;
    if (!count)
        return 0;
    uint32_t there = find_stack(p, frames, count, hash);
    if (there)
        return there;
    uint32_t *place = hone_profile_stack_open(p, 0, count);
    if (!place ||
        !RESERVE(p, stack_room, (uint64_t)p->stacks.count + 1, COLUMN(p->stacks.first_frame)))
        return 0;
    memcpy(place, frames, count * sizeof *frames);
    uint32_t number = commit(p, &p->index->stacks, hash, &p->stacks.count);
    if (number) {
        p->frames.count += count;
        p->stacks.first_frame[p->stacks.count] = p->frames.count;
        *is_new = true;
    }
    return number;
}

void hone_profile_stacks_changed(struct hone_profile *p, uint32_t *renumbered)
{
    hone_table_clear(&p->index->stacks);
    uint32_t count = p->stacks.count;
    p->stacks.count = 1;
    p->frames.count = 0;
    uint32_t first = p->stacks.first_frame[1];
    renumbered[0] = 0;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t end = p->stacks.first_frame[i + 1]; // closing writes no further than this
        uint64_t hash = hone_profile_stack_hash(p, p->frames.location + first, (size_t)end - first);
        renumbered[i] = hone_profile_stack_close(p, first, (size_t)end - first, hash);
        first = end;
    }
}

uint32_t hone_profile_add_stack(struct hone_profile *p, const uint32_t *locations, size_t count)
{
    uint32_t *frames = hone_profile_stack_open(p, 0, count);
    if (!frames)
        return 0;
    for (size_t i = 0; i < count; i++) {
        assert(locations[i] && locations[i] < p->locations.count);
        frames[i] = locations[i];
    }
    uint64_t hash = hone_profile_stack_hash(p, frames, count);
    return hone_profile_stack_close(p, p->frames.count, count, hash);
}

// --- samples -------------------------------------------------------------------------------------

static int compare_text(struct hone_str a, struct hone_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_labels(const struct hone_profile *p, const struct hone_profile_label *a,
                          const struct hone_profile_label *b)
{
    if ((a->text != 0) != (b->text != 0))
        return a->text ? -1 : 1;
    return a->key == b->key ? 0 : compare_text(p->strings.text[a->key], p->strings.text[b->key]);
}

// Insertion sort: stable, and labels are few and mostly in order.
static void sort_labels(const struct hone_profile *p, struct hone_profile_label *labels,
                        size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct hone_profile_label label = labels[i];
        size_t to = i;
        for (; to && compare_labels(p, &labels[to - 1], &label) > 0; to--)
            labels[to] = labels[to - 1];
        labels[to] = label;
    }
}

static bool same_labels(const struct hone_profile_label *a, const struct hone_profile_label *b,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].key != b[i].key || a[i].text != b[i].text || a[i].number != b[i].number ||
            a[i].unit != b[i].unit)
            return false;
    return true;
}

uint32_t hone_profile_add_label_set(struct hone_profile *p, const struct hone_profile_label *labels,
                                    size_t count)
{
    if (!count)
        return 0;
    if (count > HONE_PROFILE_LABELS_MAX)
        return hone_profile_fail(p, -EOVERFLOW);
    uint32_t first = p->labels.count;
    if (!RESERVE(p, label_room, (uint64_t)first + count, COLUMN(p->labels.at)) ||
        !RESERVE(p, label_set_room, (uint64_t)p->label_sets.count + 1,
                 COLUMN(p->label_sets.first_label)))
        return 0;
    struct hone_profile_label *mine = p->labels.at + first;
    for (size_t i = 0; i < count; i++) {
        assert(labels[i].key < p->strings.count && labels[i].text < p->strings.count &&
               labels[i].unit < p->strings.count);
        mine[i] = labels[i];
        if (mine[i].text)
            mine[i].number = mine[i].unit = 0;
    }
    sort_labels(p, mine, count);
    uint64_t hash = p->index->seed ^ count;
    for (size_t i = 0; i < count; i++) { // field by field: the struct has padding
        uint64_t key[] = {(uint64_t)mine[i].key << 32 | mine[i].text, (uint64_t)mine[i].number,
                          mine[i].unit};
        hash = hone_table_hash(key, sizeof key, hash);
    }
    struct hone_table *table = &p->index->label_sets;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_label_span there = hone_profile_labels_of(p, at);
        if (there.count == count && same_labels(there.at, mine, count))
            return at;
    }
    uint32_t number = commit(p, table, hash, &p->label_sets.count);
    if (number) {
        p->labels.count += (uint32_t)count;
        p->label_sets.first_label[p->label_sets.count] = p->labels.count;
    }
    return number;
}

static bool reserve_samples(struct hone_profile *p, uint32_t count)
{
    struct column columns[2 + HONE_PROFILE_TYPES_MAX] = {COLUMN(p->samples.stack),
                                                         COLUMN(p->samples.label_set)};
    for (uint32_t i = 0; i < p->type_count; i++)
        columns[2 + i] = (struct column)COLUMN(p->samples.values[i]);
    return reserve(p, &p->index->sample_room, count, columns, 2 + p->type_count);
}

void hone_profile_expect(struct hone_profile *p, uint32_t samples, uint32_t frames)
{
    if (p->index->status)
        return;
    struct hone_profile_index *index = p->index;
    if (hone_table_reserve(&index->stacks, samples))
        return;
    (void)RESERVE(p, stack_room, samples, COLUMN(p->stacks.first_frame));
    (void)RESERVE(p, frame_room, frames, COLUMN(p->frames.location));
    (void)reserve_samples(p, samples);
    if (index->status == -ENOMEM)
        index->status = 0; // it was a guess
}

bool hone_profile_sample_is_zero(const struct hone_profile *p, uint32_t sample)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (p->samples.values[i][sample])
            return false;
    return true;
}

static uint64_t hash_sample(const struct hone_profile *p, uint32_t stack, uint32_t label_set)
{
    uint64_t key = (uint64_t)stack << 32 | label_set;
    return hash_of(p, &key, sizeof key);
}

// Puts the samples into the table that were known to be apart without it.
static void know_samples(struct hone_profile *p)
{
    if (!p->index->samples_apart)
        return;
    p->index->samples_apart = false;
    struct hone_table *table = &p->index->samples;
    bool ok = !hone_table_reserve(table, p->samples.count);
    for (uint32_t i = 0; ok && i < p->samples.count; i++)
        ok =
            !hone_table_add(table, hash_sample(p, p->samples.stack[i], p->samples.label_set[i]), i);
    if (!ok)
        (void)hone_profile_fail(p, -ENOMEM);
}

void hone_profile_sample_prefetch(const struct hone_profile *p, uint32_t stack, uint32_t label_set)
{
    hone_table_prefetch(&p->index->samples, hash_sample(p, stack, label_set));
}

static uint32_t append_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                              uint32_t label_set)
{
    struct hone_profile_samples *all = &p->samples;
    if (!reserve_samples(p, p->samples.count))
        return HONE_TABLE_END;
    all->stack[all->count] = stack;
    all->label_set[all->count] = label_set;
    for (uint32_t i = 0; i < p->type_count; i++)
        all->values[i][all->count] = values[i];
    return all->count++;
}

static uint32_t add_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                           uint32_t label_set)
{
    know_samples(p);
    if (p->index->status)
        return 0;
    struct hone_profile_samples *all = &p->samples;
    uint64_t hash = hash_sample(p, stack, label_set);
    struct hone_table *table = &p->index->samples;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (all->stack[at] == stack && all->label_set[at] == label_set) {
            for (uint32_t i = 0; i < p->type_count; i++)
                all->values[i][at] = hone_profile_add_values(all->values[i][at], values[i]);
            return at;
        }
    at = append_sample(p, stack, values, label_set);
    if (at == HONE_TABLE_END)
        return 0;
    return hone_table_add(table, hash, at) ? hone_profile_fail(p, -ENOMEM) : at;
}

uint32_t hone_profile_add_sample_in_set(struct hone_profile *p, uint32_t stack,
                                        const int64_t *values, uint32_t label_set)
{
    assert(stack < p->stacks.count && label_set < p->label_sets.count);
    return add_sample(p, stack, values, label_set);
}

void hone_profile_sample_append(struct hone_profile *p, uint32_t stack, bool is_new,
                                const int64_t *values, uint32_t label_set)
{
    if (!p->samples.count)
        p->index->samples_apart = true;
    if (is_new && p->index->samples_apart)
        (void)append_sample(p, stack, values, label_set);
    else
        (void)add_sample(p, stack, values, label_set);
}

static void rebuild_samples(struct hone_profile *p, bool drop_zeros)
{
    struct hone_profile_samples *all = &p->samples;
    p->index->samples_apart = false;
    hone_table_clear(&p->index->samples);
    uint32_t count = all->count;
    all->count = 0;
    for (uint32_t i = 0; i < count && !p->index->status; i++) {
        if (drop_zeros && hone_profile_sample_is_zero(p, i))
            continue;
        int64_t values[HONE_PROFILE_TYPES_MAX];
        for (uint32_t k = 0; k < p->type_count; k++)
            values[k] = all->values[k][i];
        (void)add_sample(p, all->stack[i], values, all->label_set[i]);
    }
}

void hone_profile_samples_changed(struct hone_profile *p)
{
    rebuild_samples(p, true);
}

void hone_profile_samples_renumbered(struct hone_profile *p)
{
    rebuild_samples(p, false);
}

uint32_t hone_profile_add_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                                 const struct hone_profile_label *labels, size_t label_count)
{
    uint32_t set = hone_profile_add_label_set(p, labels, label_count);
    return hone_profile_add_sample_in_set(p, stack, values, set);
}
