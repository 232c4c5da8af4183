// Building: each kind of thing has its columns and a table that finds an equal entry. An entry of
// variable length (stack, label set, lines of a location) is written behind the last one first and
// kept only if no equal one is found, so nothing is copied twice. Private to the files that build:
//
//     build.c           room in the columns, and a profile's life
//     build_head.c      strings, types and what else stands at the head
//     build_places.c    mappings, functions, locations
//     build_stacks.c
//     build_labels.c    sets of labels
//     build_samples.c
#ifndef HONE_PROFILE_BUILD_H
#define HONE_PROFILE_BUILD_H

#include "profile/index.h"

#include <errno.h>

// One column of a group: where its pointer lies and how wide an entry is.
struct hone_profile_column {
    void *pointer; // to the column's pointer
    size_t width;
};

// Makes room for count entries, and one more that closes the last range.
bool hone_profile_reserve(struct hone_profile *profile, uint32_t *room, uint64_t count,
                          const struct hone_profile_column *columns, size_t column_count);

#define COLUMN(at)                                                                                 \
    {                                                                                              \
        &(at), sizeof *(at)                                                                        \
    }
#define RESERVE(profile, room, count, ...)                                                         \
    hone_profile_reserve(                                                                          \
        profile, &(profile)->index->room, count, (struct hone_profile_column[]){__VA_ARGS__},      \
        sizeof((struct hone_profile_column[]){__VA_ARGS__}) / sizeof(struct hone_profile_column))

// The number of the entry just written, once the table knows it.
static inline uint32_t hone_profile_commit(struct hone_profile *profile, struct hone_table *table,
                                           uint64_t hash, uint32_t *count)
{
    if (hone_table_add(table, hash, *count))
        return hone_profile_fail(profile, -ENOMEM);
    return (*count)++;
}

static inline uint64_t hone_profile_hash(const struct hone_profile *profile, const void *bytes,
                                         size_t len)
{
    return hone_table_hash(bytes, len, profile->index->seed);
}

#endif
