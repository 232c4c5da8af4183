// From a profile's stacks to frames of a tree. Private to this room.
#ifndef HONE_ANALYSE_TREE_PROFILE_H
#define HONE_ANALYSE_TREE_PROFILE_H

#include "analyse/tree.h"
#include "profile/profile.h"

// Frames are interned once for each location, not for each sample: location i stands for
// frames[first[i]] to frames[first[i + 1]], innermost first like the profile's lines.
struct hone_tree_places {
    uint32_t *first;
    uint32_t *frames;
};

// Interns them all. Returns 0 or -ENOMEM. Done is needed in either case.
int hone_tree_places(struct hone_tree *tree, const struct hone_profile *profile,
                     enum hone_tree_group group, struct hone_tree_places *ret);
void hone_tree_places_done(struct hone_tree_places *places);

struct hone_tree_stack {
    uint32_t *at;
    size_t capacity;
};

// Writes the frames of a stack, leaf first as in the profile (options->reversed) or root first.
// Returns 0 or -ENOMEM.
int hone_tree_expand(const struct hone_tree_places *places, struct hone_profile_span stack,
                     const struct hone_tree_options *options, struct hone_tree_stack *out,
                     size_t *ret);
// Makes room for so many frames. Returns 0 or -ENOMEM.
int hone_tree_stack_reserve(struct hone_tree_stack *stack, size_t count);
void hone_tree_stack_done(struct hone_tree_stack *stack);

// The values of options->type by sample, where the first sample of each stack (as it is expanded)
// has the sum of all that have it, and the others nothing. Returns 0 or -ENOMEM.
// Owner: the caller, free().
int hone_tree_net(const struct hone_profile *profile, const struct hone_tree_options *options,
                  const struct hone_tree_places *places, int64_t **ret);

#endif
