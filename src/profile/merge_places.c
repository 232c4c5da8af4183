// Strings and places of the program, into the result as they are met: equal things become one, and
// arrays translate the numbers.
#include "profile/merge_parts.h"

#include <errno.h>

uint32_t hone_merge_string(struct hone_merger *m, uint32_t theirs)
{
    if (theirs && !m->strings[theirs])
        m->strings[theirs] = hone_profile_intern_str(m->result, m->from->strings.text[theirs]);
    return m->strings[theirs];
}

// --- mappings ------------------------------------------------------------------------------------

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

static uint64_t hash_module(const struct hone_merger *m, const struct module *module)
{
    return hone_table_hash(module, sizeof *module, m->result->index->seed);
}

// The result's mapping that shows it; 0: none does.
static uint32_t find_module(const struct hone_merger *m, const struct module *module, uint64_t hash)
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

static uint32_t add_mapping(struct hone_merger *m, const struct hone_profile_mapping *theirs)
{
    struct hone_profile *result = m->result;
    struct hone_profile_mapping mapping = *theirs;
    mapping.file = hone_merge_string(m, theirs->file);
    mapping.build_id = hone_merge_string(m, theirs->build_id);
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

uint32_t hone_merge_mapping(struct hone_merger *m, uint32_t theirs)
{
    if (theirs && !m->mappings[theirs])
        m->mappings[theirs] = add_mapping(m, &m->from->mappings.at[theirs]);
    return m->mappings[theirs];
}

bool hone_merge_know_modules(struct hone_merger *m)
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

// --- functions and locations ---------------------------------------------------------------------

static uint32_t function_of(struct hone_merger *m, uint32_t theirs)
{
    const struct hone_profile_functions *all = &m->from->functions;
    if (theirs && !m->functions[theirs]) {
        struct hone_profile_function function = {
            .name = hone_merge_string(m, all->name[theirs]),
            .system_name = hone_merge_string(m, all->system_name[theirs]),
            .file = hone_merge_string(m, all->file[theirs]),
            .start_line = all->start_line[theirs],
        };
        m->functions[theirs] = hone_profile_add_function_as_is(m->result, &function);
    }
    return m->functions[theirs];
}

// As the result has it, with its lines written there.
static struct hone_profile_location location_of(struct hone_merger *m, uint32_t theirs,
                                                struct hone_profile_line *to)
{
    const struct hone_profile *p = m->from;
    struct hone_profile_line_span lines = hone_profile_lines_of(p, theirs);
    for (uint32_t i = 0; i < lines.count; i++) {
        to[i] = lines.at[i];
        to[i].function = function_of(m, lines.at[i].function);
    }
    uint32_t their_mapping = p->locations.mapping[theirs];
    uint32_t mapping = hone_merge_mapping(m, their_mapping);
    return (struct hone_profile_location){
        .mapping = mapping,
        .address = p->locations.address[theirs] - p->mappings.at[their_mapping].start +
                   m->result->mappings.at[mapping].start,
        .lines = to,
        .line_count = lines.count,
        .folded = p->locations.folded[theirs],
    };
}

// Each is somewhere else in memory, so all are waited for together.
void hone_merge_add_places(struct hone_merger *m)
{
    struct hone_merge_places *places = &m->places;
    struct hone_profile_location locations[HONE_MERGE_PLACES];
    uint64_t hashes[HONE_MERGE_PLACES];
    struct hone_profile_line *lines = m->lines;
    for (uint32_t i = 0; i < places->count; i++) {
        locations[i] = location_of(m, places->at[i], lines);
        lines += locations[i].line_count;
        hashes[i] = hone_profile_location_hash(m->result, &locations[i]);
        hone_table_prefetch(&m->result->index->locations, hashes[i]);
    }
    for (uint32_t i = 0; i < places->count; i++)
        hone_profile_location_prefetch(m->result, hashes[i]);
    for (uint32_t i = 0; i < places->count; i++)
        m->locations[places->at[i]] =
            hone_profile_location_add(m->result, &locations[i], hashes[i]);
    places->count = places->line_count = 0;
}

static void meet_place(struct hone_merger *m, uint32_t theirs)
{
    struct hone_merge_places *places = &m->places;
    uint32_t lines = hone_profile_lines_of(m->from, theirs).count;
    if (places->count == HONE_MERGE_PLACES || places->line_count + lines > m->line_room)
        hone_merge_add_places(m);
    places->at[places->count++] = theirs;
    places->line_count += lines;
    m->locations[theirs] = HONE_MERGE_PENDING;
}

void hone_merge_meet_places(struct hone_merger *m, struct hone_profile_span frames)
{
    for (uint32_t i = 0; i < frames.count; i++)
        if (!m->locations[frames.at[i]])
            meet_place(m, frames.at[i]);
}
