// The call trees of two sides laid over each other: what a differential flame graph draws.
//
// Widths are the new side's. Frames that it has no more are kept beside it, as wide as they were,
// where they are surely gone and not just missed by the samples of one recording; so the width of a
// node is what is there now and what is gone from below it.
//
// Threads: any number of readers once built; building uses threads of its own.
#ifndef HONE_ANALYSE_TREE_DIFF_H
#define HONE_ANALYSE_TREE_DIFF_H

#include "analyse/compare.h"
#include "analyse/tree.h"

// What became of a node. More and less come in steps: below 1.1 times, 1.5 times, 2.5 times, above.
enum hone_tree_tone {
    HONE_TREE_UNSURE, // too little, or too few samples, to tell from chance
    HONE_TREE_MORE,
    HONE_TREE_LESS = HONE_TREE_MORE + 4,
    HONE_TREE_FRESH = HONE_TREE_LESS + 4, // was not there
    HONE_TREE_GONE,
    HONE_TREE_TONES,
};

struct hone_tree_diff {
    struct hone_tree *tree; // its totals are widths
    int64_t *base;          // by node: what it was, on the new side's scale
    int64_t *gone;          // by node: the part of its total that is gone
    uint8_t *tone;          // by node: enum hone_tree_tone
    int64_t whole[2];       // base's and new's
    double least;           // frames below this part of the whole were not told apart

    struct hone_profile *profiles[2]; // of several runs, made for this; NULL else
    struct hone_tree *trees[2];       // whose names the frames borrow; without nodes
};

struct hone_tree_diff_options {
    enum hone_tree_group group;
    bool reversed;
};

// compare was made of the same sides: its type, its normalization, how its runs spread and which
// functions it joined count here, too.
//
// Returns  0; -EOVERFLOW when values do not add up within 63 bits; -ENOMEM; what merging profiles
//          returns.
// Owner    the caller, hone_tree_diff_free(); the profiles and compare must live as long.
int hone_tree_diff_new(const struct hone_compare *compare, const struct hone_compare_input sides[2],
                       const struct hone_tree_diff_options *options, struct hone_tree_diff **ret,
                       struct hone_error *err);
void hone_tree_diff_free(struct hone_tree_diff *diff);
void hone_tree_diff_freep(struct hone_tree_diff **diff); // for HONE_CLEANUP

#endif
