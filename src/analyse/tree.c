#include "analyse/tree.h"
#include "base/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// While stacks are added, nodes are in the order of their first appearance, so a parent lies before
// its children; a hash table finds the child of a node by frame. Most stacks share their beginning
// with the one before, which `path` remembers: that part costs one compare a frame and no lookup.
// hone_tree_finish() puts the nodes into their final order and drops all this.

struct draft {
    int64_t total; // self until hone_tree_finish()
    int64_t self;
    uint32_t parent;
    uint32_t frame;
};

struct step {
    uint32_t frame;
    uint32_t node;
};

struct hone_tree_builder {
    struct draft *drafts;
    size_t draft_count;
    size_t draft_capacity;
    struct hone_table children; // of drafts, by parent and frame

    size_t frame_capacity;
    struct hone_table frames;
    uint64_t seed; // names come from strangers

    struct step *path; // the last stack's nodes, root's child first
    size_t path_len;
    size_t path_capacity;

    uint64_t magnitude; // sum of the values' sizes: no sum over any of them is larger
};

enum {
    FIRST_CAPACITY = 1024,
    INDEX_MAX = INT32_MAX, // so many nodes are 64 GiB: memory is out long before an index is
};

static uint64_t hash_frame(const struct hone_tree_frame *frame, uint64_t seed)
{
    uint64_t hash = hone_table_hash(frame->name.at, frame->name.len, seed);
    hash = hone_table_hash(frame->module.at, frame->module.len, hash);
    return hone_hash_fold(hash ^ ((uint64_t)frame->line << 1 | frame->inlined), seed | 1);
}

static uint64_t hash_child(uint32_t parent, uint32_t frame, uint64_t seed)
{
    return hone_hash_fold((uint64_t)parent << 32 | frame, seed | 1);
}

static int compare_text(struct hone_str a, struct hone_str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.at, b.at, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool same_frame(const struct hone_tree_frame *a, const struct hone_tree_frame *b)
{
    return a->line == b->line && a->inlined == b->inlined && hone_str_equal(a->name, b->name) &&
           hone_str_equal(a->module, b->module);
}

// Makes room in an array; array is the address of its pointer.
static int grow_array(void *array, size_t *capacity, size_t need, size_t size)
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

static int add_draft(struct hone_tree_builder *builder, uint32_t parent, uint32_t frame)
{
    if (builder->draft_count >= INDEX_MAX)
        return -ENOMEM;
    int r = grow_array(&builder->drafts, &builder->draft_capacity, builder->draft_count + 1,
                       sizeof *builder->drafts);
    if (r)
        return r;
    builder->drafts[builder->draft_count++] = (struct draft){.parent = parent, .frame = frame};
    return 0;
}

static void builder_free(struct hone_tree_builder *builder)
{
    if (!builder)
        return;
    free(builder->drafts);
    hone_table_done(&builder->children);
    hone_table_done(&builder->frames);
    free(builder->path);
    free(builder);
}

void hone_tree_free(struct hone_tree *tree)
{
    if (!tree)
        return;
    builder_free(tree->builder);
    free(tree->nodes);
    free(tree->frames);
    hone_arena_done(&tree->names);
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
    int r = add_draft(tree->builder, 0, HONE_TREE_NO_FRAME);
    if (r)
        return r;
    *ret = hone_take(tree);
    return 0;
}

// Equal frames that were declared in two places (a program and its next version, merged) keep the
// first in order, so that the order of the samples does not matter.
static void keep_smaller_place(struct hone_tree_frame *kept, const struct hone_tree_frame *other)
{
    if (other->file.len == 0)
        return;
    int order = kept->file.len ? compare_text(other->file, kept->file) : -1;
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
    if (tree->frame_count >= INDEX_MAX)
        return -ENOMEM;
    int r = grow_array(&tree->frames, &builder->frame_capacity, tree->frame_count + 1,
                       sizeof *tree->frames);
    if (!r)
        r = hone_table_add(&builder->frames, hash, (uint32_t)tree->frame_count);
    if (r)
        return r;
    *ret = (uint32_t)tree->frame_count;
    tree->frames[tree->frame_count++] = *frame;
    return 0;
}

static int child_of(struct hone_tree_builder *builder, uint32_t parent, uint32_t frame,
                    uint32_t *ret)
{
    uint64_t hash = hash_child(parent, frame, builder->seed);
    struct hone_table_probe probe = hone_table_probe(&builder->children, hash);
    uint32_t at;
    while ((at = hone_table_next(&builder->children, &probe)) != HONE_TABLE_END) {
        if (builder->drafts[at].parent == parent && builder->drafts[at].frame == frame) {
            *ret = at;
            return 0;
        }
    }
    uint32_t draft = (uint32_t)builder->draft_count;
    int r = hone_table_add(&builder->children, hash, draft);
    if (!r)
        r = add_draft(builder, parent, frame);
    if (r)
        return r;
    *ret = draft;
    return 0;
}

int hone_tree_add(struct hone_tree *tree, const uint32_t *frames, size_t count, int64_t value)
{
    struct hone_tree_builder *builder = tree->builder;
    int r = grow_array(&builder->path, &builder->path_capacity, count, sizeof *builder->path);
    if (r)
        return r;

    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (__builtin_add_overflow(builder->magnitude, size, &builder->magnitude))
        builder->magnitude = UINT64_MAX;

    size_t shared = 0;
    while (shared < count && shared < builder->path_len &&
           builder->path[shared].frame == frames[shared])
        shared++;
    uint32_t node = shared ? builder->path[shared - 1].node : 0;
    builder->path_len = shared;
    for (size_t i = shared; i < count; i++) {
        r = child_of(builder, node, frames[i], &node);
        if (r)
            return r;
        builder->path[i] = (struct step){.frame = frames[i], .node = node};
        builder->path_len = i + 1;
    }
    // Unsigned: may wrap for now, which hone_tree_finish() then refuses by the magnitude.
    int64_t *self = &builder->drafts[node].self;
    *self = (int64_t)((uint64_t)*self + (uint64_t)value);
    tree->stacks++;
    return 0;
}

static int compare_frames(const void *a, const void *b, void *frames_)
{
    const struct hone_tree_frame *frames = frames_;
    const struct hone_tree_frame *left = &frames[*(const uint32_t *)a];
    const struct hone_tree_frame *right = &frames[*(const uint32_t *)b];
    int order = compare_text(left->name, right->name);
    if (!order)
        order = compare_text(left->module, right->module);
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
    for (size_t i = 1; i < tree->builder->draft_count; i++)
        tree->builder->drafts[i].frame = rank[tree->builder->drafts[i].frame];
    return 0;
}

static int compare_siblings(const void *a, const void *b, void *drafts_)
{
    const struct draft *drafts = drafts_;
    const struct draft *left = &drafts[*(const uint32_t *)a];
    const struct draft *right = &drafts[*(const uint32_t *)b];
    if (left->total != right->total)
        return left->total > right->total ? -1 : 1;
    return (left->frame > right->frame) - (left->frame < right->frame);
}

// Lists the children of each draft: those of i are ordered[first[i]] to ordered[first[i + 1]],
// largest first.
static void order_children(struct draft *drafts, size_t count, uint32_t *first, uint32_t *ordered)
{
    // Counted one place further on, so that filling moves each start to where it belongs.
    for (size_t i = 1; i < count; i++)
        first[drafts[i].parent + 2]++;
    for (size_t i = 2; i < count + 2; i++)
        first[i] += first[i - 1];
    for (size_t i = 1; i < count; i++)
        ordered[first[drafts[i].parent + 1]++] = (uint32_t)i;
    for (size_t i = 0; i < count; i++) {
        if (first[i + 1] - first[i] > 1)
            qsort_r(ordered + first[i], first[i + 1] - first[i], sizeof *ordered, compare_siblings,
                    drafts);
    }
}

// Parents lie before their children in drafts, so when a node's turn comes its own place is known,
// and it hands places to its children: the first comes right behind it, each next one behind the
// subtree of the one before.
static void place_nodes(struct hone_tree *tree, const uint32_t *first, const uint32_t *ordered,
                        const uint32_t *sizes, uint32_t *places)
{
    const struct draft *drafts = tree->builder->drafts;
    places[0] = 0;
    for (size_t i = 0; i < tree->node_count; i++) {
        uint32_t place = places[i];
        uint32_t parent = places[drafts[i].parent];
        tree->nodes[place] = (struct hone_tree_node){
            .total = drafts[i].total,
            .self = drafts[i].self,
            .frame = drafts[i].frame,
            .parent = parent,
            .end = place + sizes[i],
            .depth = i ? tree->nodes[parent].depth + 1 : 0,
        };
        if (tree->nodes[place].depth > tree->depth)
            tree->depth = tree->nodes[place].depth;
        uint32_t next = place + 1;
        for (uint32_t child = first[i]; child < first[i + 1]; child++) {
            places[ordered[child]] = next;
            next += sizes[ordered[child]];
        }
    }
}

static int order_nodes(struct hone_tree *tree)
{
    struct draft *drafts = tree->builder->drafts;
    size_t count = tree->builder->draft_count;
    HONE_CLEANUP(hone_freep) uint32_t *first = calloc(count + 2, sizeof *first);
    HONE_CLEANUP(hone_freep) uint32_t *ordered = calloc(count, sizeof *ordered);
    HONE_CLEANUP(hone_freep) uint32_t *sizes = calloc(count, sizeof *sizes);
    HONE_CLEANUP(hone_freep) uint32_t *places = calloc(count, sizeof *places);
    tree->nodes = calloc(count, sizeof *tree->nodes);
    if (!first || !ordered || !sizes || !places || !tree->nodes)
        return -ENOMEM;
    tree->node_count = count;

    for (size_t i = 0; i < count; i++)
        drafts[i].total = drafts[i].self;
    for (size_t i = count; i-- > 1;) {
        sizes[i]++;
        sizes[drafts[i].parent] += sizes[i];
        drafts[drafts[i].parent].total += drafts[i].total;
    }
    sizes[0]++;
    order_children(drafts, count, first, ordered);
    place_nodes(tree, first, ordered, sizes, places);
    return 0;
}

int hone_tree_finish(struct hone_tree *tree, struct hone_error *err)
{
    if (tree->builder->magnitude > INT64_MAX)
        return hone_error_set(err, -EOVERFLOW, "the profile's values cannot be added up");
    int r = order_frames(tree);
    if (!r)
        r = order_nodes(tree);
    builder_free(tree->builder);
    tree->builder = NULL;
    return r ? hone_error_set(err, r, "cannot build the call tree") : 0;
}
