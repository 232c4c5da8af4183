// How profiles are merged, step by step; each file of this name does one. Private to merge*.c.
//
//     merge.c          the head, whole profiles, and the first one, which may become the result
//     merge_places.c   strings, mappings, functions and locations
//     merge_samples.c  samples, with their stacks and labels
#ifndef HONE_PROFILE_MERGE_PARTS_H
#define HONE_PROFILE_MERGE_PARTS_H

#include "profile/index.h"
#include "profile/merge.h"

enum {
    HONE_MERGE_PLACES = 64, // locations that are added together,
    HONE_MERGE_LINES = 512, // or fewer that have so many lines
};

#define HONE_MERGE_PENDING UINT32_MAX // was met and has no number yet

struct hone_merger {
    struct hone_profile *result;
    struct hone_table modules; // the result's mappings by what file they show

    // The profile at hand, and its numbers in the result: 0 for what was not met yet.
    const struct hone_profile *from;
    uint32_t *strings;
    uint32_t *mappings;
    uint32_t *functions;
    uint32_t *locations;
    uint32_t *stacks;
    uint32_t *label_sets;
    struct hone_profile_line *lines; // of the locations that are being added
    uint32_t line_room;
    struct hone_profile_label *labels;
    bool is_base;
    struct hone_merge_places { // that were met and have no number yet
        uint32_t count;
        uint32_t line_count; // of all of them
        uint32_t at[HONE_MERGE_PLACES];
    } places;
};

// The number in the result of a string, or a mapping, of the profile at hand.
uint32_t hone_merge_string(struct hone_merger *merger, uint32_t theirs);
uint32_t hone_merge_mapping(struct hone_merger *merger, uint32_t theirs);

// Enters the mappings that the result has already. False where two show the same.
bool hone_merge_know_modules(struct hone_merger *merger);

// Sees that the locations of a stack get numbers: of those that have none, some at once and all
// others when hone_merge_add_places() is called, in the order in which they were met.
void hone_merge_meet_places(struct hone_merger *merger, struct hone_profile_span frames);
void hone_merge_add_places(struct hone_merger *merger);

// Adds the samples of the profile at hand.
void hone_merge_samples(struct hone_merger *merger, const struct hone_profile_part *part);

#endif
