// Frames are interned and stacks collected while they are added; hone_tree_finish() makes the
// nodes:
//
//     tree_sort.c    stacks in the order of the tree
//     tree_nodes.c   nodes from sorted stacks: which are there, and what they hold
#include "analyse/tree.h"

#include "analyse/tree_parts.h"
#include "base/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 1024,
};

static uint64_t hash_frame(const struct hone_tree_frame *frame, uint64_t seed)
{
    uint64_t hash = hone_table_hash(frame->name.at, frame->name.len, seed);
    hash = hone_table_hash(frame->module.at, frame->module.len, hash);
    return hone_hash_fold(hash ^ ((uint64_t)frame->line << 1 | frame->inlined), seed | 1);
}

static bool same_frame(const struct hone_tree_frame *a, const struct hone_tree_frame *b)
{
    return a->line == b->line && a->inlined == b->inlined && hone_str_equal(a->name, b->name) &&
           hone_str_equal(a->module, b->module);
}

int hone_tree_grow(void *array, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return 0;
    size_t larger = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    if (larger < need)
        larger = need;
    void *at;
    memcpy(&at, array, sizeof at);
    at = reallocarray(at, larger, size);
    if (!at)
        return -ENOMEM;
    memcpy(array, &at, sizeof at);
    *capacity = larger;
    return 0;
}

static void builder_free(struct hone_tree_builder *builder)
{
    if (!builder)
        return;
    hone_table_done(&builder->frames);
    free(builder->stacks);
    free(builder->stack_frames);
    free(builder);
}

void hone_tree_free(struct hone_tree *tree)
{
    if (!tree)
        return;
    builder_free(tree->builder);
    free(tree->nodes);
    free(tree->frames);
    free(tree->frame_self);
    hone_arena_done(&tree->names);
    hone_arena_done(&tree->more_names);
    free(tree);
}

void hone_tree_freep(struct hone_tree **tree)
{
    hone_tree_free(*tree);
}

int hone_tree_new(struct hone_tree **ret)
{
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return -ENOMEM;
    tree->builder = calloc(1, sizeof *tree->builder);
    if (!tree->builder)
        return -ENOMEM;
    tree->builder->seed = hone_table_seed();
    *ret = hone_take(tree);
    return 0;
}

// Equal frames that were declared in two places (a program and its next version, merged) keep the
// first in order, so that the order of the samples does not matter.
static void keep_smaller_place(struct hone_tree_frame *kept, const struct hone_tree_frame *other)
{
    if (other->file.len == 0)
        return;
    int order = kept->file.len ? hone_str_compare(other->file, kept->file) : -1;
    if (order < 0 || (order == 0 && other->start_line < kept->start_line)) {
        kept->file = other->file;
        kept->start_line = other->start_line;
    }
}

int hone_tree_frame(struct hone_tree *tree, const struct hone_tree_frame *frame, uint32_t *ret)
{
    struct hone_tree_builder *builder = tree->builder;
    uint64_t hash = hash_frame(frame, builder->seed);
    struct hone_table_probe probe = hone_table_probe(&builder->frames, hash);
    uint32_t at;
    while ((at = hone_table_next(&builder->frames, &probe)) != HONE_TABLE_END) {
        if (same_frame(&tree->frames[at], frame)) {
            keep_smaller_place(&tree->frames[at], frame);
            *ret = at;
            return 0;
        }
    }
    if (tree->frame_count >= HONE_TREE_INDEX_MAX)
        return -ENOMEM;
    int r = hone_tree_grow(&tree->frames, &builder->frame_capacity, tree->frame_count + 1,
                           sizeof *tree->frames);
    if (!r)
        r = hone_table_add(&builder->frames, hash, (uint32_t)tree->frame_count);
    if (r)
        return r;
    *ret = (uint32_t)tree->frame_count;
    tree->frames[tree->frame_count++] = *frame;
    return 0;
}

int hone_tree_add(struct hone_tree *tree, const uint32_t *frames, size_t count, int64_t value)
{
    struct hone_tree_builder *builder = tree->builder;
    if (count > HONE_TREE_INDEX_MAX)
        return -ENOMEM;
    int r = hone_tree_grow(&builder->stacks, &builder->stack_capacity, builder->stack_count + 1,
                           sizeof *builder->stacks);
    if (!r)
        r = hone_tree_grow(&builder->stack_frames, &builder->stack_frame_capacity,
                           builder->stack_frame_count + count, sizeof *builder->stack_frames);
    if (r)
        return r;
    builder->stacks[builder->stack_count++] = (struct hone_tree_row){
        .first = builder->stack_frame_count, .value = value, .count = (uint32_t)count};
    if (count)
        memcpy(builder->stack_frames + builder->stack_frame_count, frames, count * sizeof *frames);
    builder->stack_frame_count += count;

    builder->negative |= value < 0;
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (__builtin_add_overflow(builder->magnitude, size, &builder->magnitude))
        builder->magnitude = UINT64_MAX;
    tree->stacks++;
    return 0;
}

// -------------------------------------------------------------------------------------------------

void hone_tree_forget_stacks(struct hone_tree *tree)
{
    builder_free(hone_take(tree->builder));
}

int hone_tree_finish(struct hone_tree *tree, const struct hone_tree_limit *limit,
                     struct hone_error *err)
{
    static const struct hone_tree_limit all;
    int r = hone_tree_sort(tree, err);
    if (r)
        return r;
    r = hone_tree_order_branches(tree->builder);
    if (!r)
        r = hone_tree_make_nodes(tree, limit && !tree->builder->negative ? limit : &all);
    hone_tree_forget_stacks(tree);
    return r ? hone_error_set(err, r, "cannot build the call tree") : 0;
}
