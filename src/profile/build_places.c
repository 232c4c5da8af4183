// Places in the program: mappings, functions, locations.
#include "profile/build.h"

#include <assert.h>
#include <errno.h>

uint32_t hone_profile_add_mapping(struct hone_profile *p,
                                  const struct hone_profile_mapping *mapping)
{
    assert(mapping->file < p->strings.count && mapping->build_id < p->strings.count);
    uint64_t key[] = {mapping->start, mapping->limit, mapping->offset,
                      (uint64_t)mapping->file << 32 | mapping->build_id};
    uint64_t hash = hone_profile_hash(p, key, sizeof key);
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
    return hone_profile_commit(p, table, hash, &p->mappings.count);
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
    uint64_t hash = hone_profile_hash(p, key, sizeof key);
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
    return hone_profile_commit(p, table, hash, &all->count);
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
static uint64_t hash_line(uint64_t hash, const struct hone_profile_line *line)
{
    uint64_t key[] = {line->function, (uint64_t)line->number, (uint64_t)line->column};
    return hone_table_hash(key, sizeof key, hash);
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

uint64_t hone_profile_location_hash(const struct hone_profile *p,
                                    const struct hone_profile_location *location)
{
    uint64_t key[] = {location->mapping, location->address, location->folded};
    uint64_t hash = hone_profile_hash(p, key, sizeof key);
    for (uint32_t i = 0; i < location->line_count; i++)
        if (location->lines[i].function)
            hash = hash_line(hash, &location->lines[i]);
    return hash;
}

void hone_profile_location_prefetch(const struct hone_profile *p, uint64_t hash)
{
    const struct hone_profile_locations *all = &p->locations;
    struct hone_table_probe probe = hone_table_probe(&p->index->locations, hash);
    uint32_t at = hone_table_next(&p->index->locations, &probe);
    if (at == HONE_TABLE_END)
        return;
    __builtin_prefetch(&all->mapping[at]);
    __builtin_prefetch(&all->address[at]);
    __builtin_prefetch(&all->folded[at]);
    __builtin_prefetch(&all->first_line[at]);
}

uint32_t hone_profile_location_add(struct hone_profile *p,
                                   const struct hone_profile_location *location, uint64_t hash)
{
    assert(location->mapping < p->mappings.count);
    uint32_t line_count = 0;
    if (!append_lines(p, location, &line_count))
        return 0;
    struct hone_profile_locations *all = &p->locations;
    const struct hone_profile_line *lines = p->lines.at + p->lines.count;
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
    uint32_t number = hone_profile_commit(p, table, hash, &all->count);
    if (number) {
        p->lines.count += line_count;
        all->first_line[all->count] = p->lines.count;
    }
    return number;
}

uint32_t hone_profile_add_location(struct hone_profile *p,
                                   const struct hone_profile_location *location)
{
    return hone_profile_location_add(p, location, hone_profile_location_hash(p, location));
}
