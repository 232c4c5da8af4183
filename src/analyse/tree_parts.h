// What the files that build call trees share. Private to tree*.c.
#ifndef HONE_ANALYSE_TREE_PARTS_H
#define HONE_ANALYSE_TREE_PARTS_H

#include "analyse/tree.h"
#include "base/table.h"

// So many nodes are 80 GiB: memory is out long before an index is.
enum { HONE_TREE_INDEX_MAX = INT32_MAX };

// A stack that was added.
struct hone_tree_row {
    uint64_t first; // its frames in builder->stack_frames
    int64_t value;
    uint32_t count;
    uint32_t
        shared; // once sorted: how many it has in common, from the root on, with the one before
};

struct hone_tree_builder {
    struct hone_table frames; // of tree->frames
    size_t frame_capacity;
    uint64_t seed; // names come from strangers

    struct hone_tree_row *stacks;
    size_t stack_count;
    size_t stack_capacity;
    uint32_t *stack_frames;
    size_t stack_frame_count;
    size_t stack_frame_capacity;

    uint64_t magnitude; // sum of the values' sizes: no sum over any of them is larger
    bool negative;      // some value is
};

// Makes room in an array; array is the address of its pointer. Returns 0 or -ENOMEM.
int hone_tree_grow(void *array, size_t *capacity, size_t need, size_t size);

// Collects the stacks of a profile. Errors as hone_tree_of_profile().
int hone_tree_collect(const struct hone_profile *profile, const struct hone_tree_options *options,
                      struct hone_tree **ret, struct hone_error *err);

// Puts the frames into order, and then the stacks, so that those that begin alike lie together.
//
// Returns  0; -EOVERFLOW when values do not add up within 63 bits; -ENOMEM.
int hone_tree_sort(struct hone_tree *tree, struct hone_error *err);

// Of sorted stacks, puts the largest branch first. Returns 0 or -ENOMEM.
int hone_tree_order_branches(const struct hone_tree_builder *builder);

// The total of the last of so many of the largest nodes; INT64_MIN where there are not more. No
// value is negative. Returns 0 or -ENOMEM.
int hone_tree_least(const struct hone_tree *tree, size_t count, int64_t *ret);

// Frees the stacks.
void hone_tree_forget_stacks(struct hone_tree *tree);

// Makes the nodes of sorted stacks. Returns 0 or -ENOMEM.
int hone_tree_make_nodes(struct hone_tree *tree, const struct hone_tree_limit *limit);

#endif
