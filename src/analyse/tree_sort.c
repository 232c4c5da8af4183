// Stacks in the order of the tree. Once those that begin alike lie together, the tree is there
// without any node: each stack differs from the one before in its end alone, and that end is new
// nodes, in pre-order. For 400 000 stacks with 9 000 000 nodes this takes a quarter of the time of
// finding each child in a hash table, and a tenth of the memory of making all nodes.
//
//     shared  stack                       tree
//     0       main sort swap              main ─┬─ sort ── swap
//     2       main sort compare                 │       └─ compare
//     1       main read                         └─ read
#include "analyse/tree_parts.h"

#include "base/base.h"
#include "base/str.h"
#include "core/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- frames in order -----------------------------------------------------------------------------

static int compare_frames(const void *a, const void *b, void *frames_)
{
    const struct hone_tree_frame *frames = frames_;
    const struct hone_tree_frame *left = &frames[*(const uint32_t *)a];
    const struct hone_tree_frame *right = &frames[*(const uint32_t *)b];
    int order = hone_str_compare(left->name, right->name);
    if (!order)
        order = hone_str_compare(left->module, right->module);
    if (!order)
        order = (left->line > right->line) - (left->line < right->line);
    return order ? order : (int)left->inlined - (int)right->inlined;
}

// Puts the frames into order, so that comparing two of them is comparing their indices from here
// on, and what is written in this order is easy to pack.
static int order_frames(struct hone_tree *tree)
{
    size_t count = tree->frame_count;
    if (!count)
        return 0;
    HONE_CLEANUP(hone_freep) uint32_t *order = malloc(count * sizeof *order);
    HONE_CLEANUP(hone_freep) uint32_t *rank = malloc(count * sizeof *rank);
    struct hone_tree_frame *sorted = malloc(count * sizeof *sorted);
    if (!order || !rank || !sorted) {
        free(sorted);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, compare_frames, tree->frames);
    for (size_t i = 0; i < count; i++) {
        rank[order[i]] = (uint32_t)i;
        sorted[i] = tree->frames[order[i]];
    }
    free(tree->frames);
    tree->frames = sorted;
    for (size_t i = 0; i < tree->builder->stack_frame_count; i++)
        tree->builder->stack_frames[i] = rank[tree->builder->stack_frames[i]];
    return 0;
}

// --- stacks --------------------------------------------------------------------------------------

struct sorter {
    const uint32_t *frames;
    uint64_t random; // pivots by chance: no input can make every one a bad one
};

// The frame at a depth, for comparing: a stack that ends sorts first.
static inline uint32_t key(const struct sorter *sorter, const struct hone_tree_row *stack,
                           size_t depth)
{
    return depth < stack->count ? sorter->frames[stack->first + depth] + 1 : 0;
}

static inline void swap(struct hone_tree_row *a, struct hone_tree_row *b)
{
    struct hone_tree_row other = *a;
    *a = *b;
    *b = other;
}

// Multikey quicksort: parts the stacks by one frame into smaller, equal and larger ones; the equal
// ones go on with the next frame. It loops on the largest part and calls itself for the others,
// which are at most half as large, so it nests no deeper than 32 times.
static void sort_stacks(struct sorter *sorter, struct hone_tree_row *stacks, size_t count,
                        size_t depth)
{
    while (count > 1) {
        sorter->random = hone_hash_fold(sorter->random, 0x9e3779b97f4a7c15u) + 1;
        uint32_t pivot = key(sorter, &stacks[sorter->random % count], depth);
        size_t equal = 0, larger = count;
        for (size_t i = 0; i < larger;) {
            uint32_t k = key(sorter, &stacks[i], depth);
            if (k < pivot)
                swap(&stacks[equal++], &stacks[i++]);
            else if (k > pivot)
                swap(&stacks[i], &stacks[--larger]);
            else
                i++;
        }
        // Those equal to a pivot of 0 have all ended: they are the same stack.
        size_t starts[] = {0, equal, larger};
        size_t counts[] = {equal, pivot ? larger - equal : 0, count - larger};
        size_t depths[] = {depth, depth + 1, depth};
        int largest = counts[0] > counts[1] ? 0 : 1;
        if (counts[2] > counts[largest])
            largest = 2;
        for (int part = 0; part < 3; part++)
            if (part != largest)
                sort_stacks(sorter, stacks + starts[part], counts[part], depths[part]);
        stacks += starts[largest];
        count = counts[largest];
        depth = depths[largest];
    }
}

static void find_shared(const struct hone_tree_builder *builder)
{
    const uint32_t *frames = builder->stack_frames;
    for (size_t i = 1; i < builder->stack_count; i++) {
        const struct hone_tree_row *a = &builder->stacks[i - 1];
        struct hone_tree_row *b = &builder->stacks[i];
        uint32_t shorter = a->count < b->count ? a->count : b->count;
        uint32_t shared = 0;
        while (shared < shorter && frames[a->first + shared] == frames[b->first + shared])
            shared++;
        b->shared = shared;
    }
}

int hone_tree_sort(struct hone_tree *tree, struct hone_error *err)
{
    struct hone_tree_builder *builder = tree->builder;
    if (builder->magnitude > INT64_MAX)
        return hone_error_set(err, -EOVERFLOW, "the profile's values cannot be added up");
    int r = order_frames(tree);
    if (r)
        return hone_error_set(err, r, "cannot build the call tree");
    struct sorter sorter = {.frames = builder->stack_frames, .random = builder->seed};
    sort_stacks(&sorter, builder->stacks, builder->stack_count, 0);
    find_shared(builder);
    return 0;
}
