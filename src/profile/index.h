// What only the files of this room see: the tables that make equal things one, how many entries
// the columns have room for, and the ways to add stacks and samples that the decoder needs: without
// copying, and many at a time, for a large table's cache misses can overlap.
#ifndef HONE_PROFILE_INDEX_H
#define HONE_PROFILE_INDEX_H

#include "base/arena.h"
#include "base/table.h"
#include "profile/profile.h"

struct hone_profile_index {
    int status; // 0, -ENOMEM or -EOVERFLOW: the first thing that went wrong
    uint64_t seed;
    struct hone_arena text; // the strings' bytes

    struct hone_table strings;
    struct hone_table mappings;
    struct hone_table functions;
    struct hone_table locations;
    struct hone_table stacks;
    struct hone_table label_sets;
    struct hone_table samples;
    bool samples_apart; // all samples have different stacks, and are not in the table yet

    // Entries that the columns of each group have room for.
    uint32_t string_room;
    uint32_t mapping_room;
    uint32_t function_room;
    uint32_t location_room;
    uint32_t line_room;
    uint32_t stack_room;
    uint32_t frame_room;
    uint32_t label_set_room;
    uint32_t label_room;
    uint32_t sample_room;
    uint32_t comment_room;
};

// Remembers the first failure; returns 0, so that add calls can return it as "none".
uint32_t hone_profile_fail(struct hone_profile *profile, int status);

void hone_profile_add_comment_string(struct hone_profile *profile, uint32_t string);

// After stacks, samples, locations or label sets were changed in place: the tables that find equal
// ones are emptied, so what is added later is compared with what is added later only.
void hone_profile_forget(struct hone_profile *profile);

// Adding a location in three steps, for those who add many: what one waits for in memory is fetched
// for all. The hash says where the table is to be prefetched, prefetching reads it and fetches the
// location that may be equal, and adding takes the hash.
uint64_t hone_profile_location_hash(const struct hone_profile *profile,
                                    const struct hone_profile_location *location);
void hone_profile_location_prefetch(const struct hone_profile *profile, uint64_t hash);
uint32_t hone_profile_location_add(struct hone_profile *profile,
                                   const struct hone_profile_location *location, uint64_t hash);

// Room for at most max locations behind all stacks and behind so many pending locations, which were
// written there before and not closed yet. Valid until the next call; NULL when it fails.
uint32_t *hone_profile_stack_open(struct hone_profile *profile, size_t pending, size_t max);

// The hash that closing takes; fetches what it will read.
uint64_t hone_profile_stack_hash(const struct hone_profile *profile, const uint32_t *frames,
                                 size_t count);

// The hash alone, which any thread may ask for.
static inline uint64_t hone_profile_frames_hash(const struct hone_profile *profile,
                                                const uint32_t *frames, size_t count)
{
    return hone_table_hash(frames, count * sizeof *frames, profile->index->seed);
}

// The number of the stack with these frames, which lie somewhere else, and that hash; a new one if
// it is not there, with *is_new set.
uint32_t hone_profile_stack_copy(struct hone_profile *profile, const uint32_t *frames,
                                 uint32_t count, uint64_t hash, bool *is_new);

// Forgets how equal stacks are found, and gives the stacks, which were written to in place, new
// numbers: renumbered[i] is that of stack i.
void hone_profile_stacks_changed(struct hone_profile *profile, uint32_t *renumbered);

// Adds the values to the sample of this stack, if there is one: of a new stack there is none. The
// label set need not be there yet.
void hone_profile_sample_append(struct hone_profile *profile, uint32_t stack, bool is_new,
                                const int64_t *values, uint32_t label_set);

// Makes a stack of count locations written at this place in frames.location, and not before those
// that were closed already. Returns the number of the equal stack that is there, or of a new one.
uint32_t hone_profile_stack_close(struct hone_profile *profile, size_t place, size_t count,
                                  uint64_t hash);

// Fetches what adding this sample will read.
void hone_profile_sample_prefetch(const struct hone_profile *profile, uint32_t stack,
                                  uint32_t label_set);

// To be called after the samples' columns were written to: equal samples are summed, and found
// again by their new stacks and labels. The first also drops samples of only zeros.
void hone_profile_samples_changed(struct hone_profile *profile);
void hone_profile_samples_renumbered(struct hone_profile *profile);

bool hone_profile_sample_is_zero(const struct hone_profile *profile, uint32_t sample);

// Values are added and scaled like this everywhere: the largest number instead of wrapping around.
int64_t hone_profile_scale_value(int64_t value, double ratio);

static inline int64_t hone_profile_add_values(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

#endif
