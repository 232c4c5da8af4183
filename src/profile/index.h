// What only the files of this room see: the tables that make equal things one, how many entries
// the columns have room for, and the two-step way to add a stack without copying it.
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

// Room for the locations of one more stack, at most max of them, valid until the next call; NULL
// when that fails. The caller fills it and says how many there are; the result is the number of
// the equal stack that is there, or of a new one.
uint32_t *hone_profile_stack_open(struct hone_profile *profile, size_t max);
uint32_t hone_profile_stack_close(struct hone_profile *profile, size_t count);

#endif
