#include "analyse/tree.h"
#include "base/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Stacks are only collected while they are added. hone_tree_finish() sorts them, root first, so
// that those which begin alike lie together: then each differs from the one before in its end
// alone, and that end is new nodes. No table of nodes is needed, and nodes appear in pre-order, so
// that what follows walks memory forwards. Against finding each child in a hash table this takes a
// quarter of the time for 400 000 stacks of 9 000 000 nodes, most of which was waiting for memory.

struct stack {
    uint64_t first; // its frames in builder->stack_frames
    int64_t value;
    uint32_t count;
};

struct hone_tree_builder {
    struct hone_table frames; // of tree->frames
    size_t frame_capacity;
    uint64_t seed; // names come from strangers

    struct stack *stacks;
    size_t stack_count;
    size_t stack_capacity;
    uint32_t *stack_frames;
    size_t stack_frame_count;
    size_t stack_frame_capacity;

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

int hone_tree_add(struct hone_tree *tree, const uint32_t *frames, size_t count, int64_t value)
{
    struct hone_tree_builder *builder = tree->builder;
    if (count > INDEX_MAX)
        return -ENOMEM;
    int r = grow_array(&builder->stacks, &builder->stack_capacity, builder->stack_count + 1,
                       sizeof *builder->stacks);
    if (!r)
        r = grow_array(&builder->stack_frames, &builder->stack_frame_capacity,
                       builder->stack_frame_count + count, sizeof *builder->stack_frames);
    if (r)
        return r;
    builder->stacks[builder->stack_count++] = (struct stack){
        .first = builder->stack_frame_count, .value = value, .count = (uint32_t)count};
    if (count)
        memcpy(builder->stack_frames + builder->stack_frame_count, frames, count * sizeof *frames);
    builder->stack_frame_count += count;

    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (__builtin_add_overflow(builder->magnitude, size, &builder->magnitude))
        builder->magnitude = UINT64_MAX;
    tree->stacks++;
    return 0;
}

// --- frames in order -----------------------------------------------------------------------------

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
    for (size_t i = 0; i < tree->builder->stack_frame_count; i++)
        tree->builder->stack_frames[i] = rank[tree->builder->stack_frames[i]];
    return 0;
}

// --- stacks in order -----------------------------------------------------------------------------

struct sorter {
    const uint32_t *frames;
    uint64_t random; // pivots by chance: no input can make every one a bad one
};

// The frame at a depth, for comparing: a stack that ends sorts first.
static inline uint32_t key(const struct sorter *sorter, const struct stack *stack, size_t depth)
{
    return depth < stack->count ? sorter->frames[stack->first + depth] + 1 : 0;
}

static inline void swap(struct stack *a, struct stack *b)
{
    struct stack other = *a;
    *a = *b;
    *b = other;
}

// Multikey quicksort: parts the stacks by one frame into smaller, equal and larger ones; the equal
// ones go on with the next frame. It loops on the largest part and calls itself for the others,
// which are at most half as large, so it nests no deeper than 32 times.
static void sort_stacks(struct sorter *sorter, struct stack *stacks, size_t count, size_t depth)
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

// How many frames two stacks share from the root on.
static uint32_t shared_frames(const uint32_t *frames, const struct stack *a, const struct stack *b)
{
    uint32_t shorter = a->count < b->count ? a->count : b->count, shared = 0;
    while (shared < shorter && frames[a->first + shared] == frames[b->first + shared])
        shared++;
    return shared;
}

// --- nodes ---------------------------------------------------------------------------------------

static uint32_t shared_with_last(const struct hone_tree_builder *builder, size_t i)
{
    return i ? shared_frames(builder->stack_frames, &builder->stacks[i - 1], &builder->stacks[i])
             : 0;
}

// Makes the nodes of sorted stacks, siblings in the order of their frames.
static int make_nodes(struct hone_tree *tree)
{
    struct hone_tree_builder *builder = tree->builder;
    size_t count = 1;
    for (size_t i = 0; i < builder->stack_count; i++) {
        count += builder->stacks[i].count - shared_with_last(builder, i);
        if (builder->stacks[i].count > tree->depth)
            tree->depth = builder->stacks[i].count;
    }
    if (count > INDEX_MAX)
        return -ENOMEM;
    // The nodes on the way to the last one, root first.
    HONE_CLEANUP(hone_freep) uint32_t *path = calloc((size_t)tree->depth + 1, sizeof *path);
    tree->nodes = calloc(count, sizeof *tree->nodes);
    if (!path || !tree->nodes)
        return -ENOMEM;
    tree->nodes[0].frame = HONE_TREE_NO_FRAME;
    tree->node_count = 1;
    for (size_t i = 0; i < builder->stack_count; i++) {
        const struct stack *stack = &builder->stacks[i];
        for (uint32_t depth = shared_with_last(builder, i); depth < stack->count; depth++) {
            path[depth + 1] = (uint32_t)tree->node_count;
            tree->nodes[tree->node_count++] = (struct hone_tree_node){
                .frame = builder->stack_frames[stack->first + depth],
                .parent = path[depth],
                .depth = depth + 1,
            };
        }
        tree->nodes[path[stack->count]].self += stack->value;
    }
    for (size_t i = count; i-- > 0;) {
        struct hone_tree_node *node = &tree->nodes[i], *parent = &tree->nodes[node->parent];
        node->total += node->self;
        if (node->end == 0)
            node->end = (uint32_t)i + 1;
        if (i) {
            parent->total += node->total;
            if (parent->end == 0)
                parent->end = node->end; // the last child's, which is met first
        }
    }
    return 0;
}

struct sibling {
    int64_t total;
    uint32_t node;
};

static int compare_siblings(const void *a, const void *b)
{
    const struct sibling *left = a, *right = b;
    if (left->total != right->total)
        return left->total > right->total ? -1 : 1;
    return left->node < right->node ? -1 : 1; // they are in the order of their frames
}

// Puts the largest sibling first. A parent's turn comes before its children's, so its own place is
// known: its children's subtrees follow it, one behind the other.
int hone_tree_order(struct hone_tree *tree, uint32_t *places)
{
    struct hone_tree_node *ordered = calloc(tree->node_count, sizeof *ordered);
    HONE_CLEANUP(hone_freep) struct sibling *siblings = NULL;
    size_t capacity = 0;
    int r = ordered ? 0 : -ENOMEM;
    places[0] = 0;
    for (size_t i = 0; i < tree->node_count && !r; i++) {
        const struct hone_tree_node *node = &tree->nodes[i];
        uint32_t place = places[i], next = place + 1;
        ordered[place] = *node;
        ordered[place].parent = places[node->parent];
        ordered[place].end = place + (node->end - (uint32_t)i);
        size_t count = 0;
        for (uint32_t child = (uint32_t)i + 1; child < node->end && !r;
             child = tree->nodes[child].end) {
            r = grow_array(&siblings, &capacity, count + 1, sizeof *siblings);
            if (!r)
                siblings[count++] = (struct sibling){tree->nodes[child].total, child};
        }
        if (count > 1)
            qsort(siblings, count, sizeof *siblings, compare_siblings);
        for (size_t child = 0; child < count; child++) {
            uint32_t from = siblings[child].node;
            places[from] = next;
            next += tree->nodes[from].end - from;
        }
    }
    if (r) {
        free(ordered);
        return r;
    }
    free(tree->nodes);
    tree->nodes = ordered;
    return 0;
}

int hone_tree_finish(struct hone_tree *tree, struct hone_error *err)
{
    struct hone_tree_builder *builder = tree->builder;
    if (builder->magnitude > INT64_MAX)
        return hone_error_set(err, -EOVERFLOW, "the profile's values cannot be added up");
    int r = order_frames(tree);
    if (!r) {
        struct sorter sorter = {.frames = builder->stack_frames, .random = builder->seed};
        sort_stacks(&sorter, builder->stacks, builder->stack_count, 0);
        r = make_nodes(tree);
    }
    builder_free(builder); // before more memory is needed
    tree->builder = NULL;
    HONE_CLEANUP(hone_freep) uint32_t *places = r ? NULL : calloc(tree->node_count, sizeof *places);
    if (!r)
        r = places ? hone_tree_order(tree, places) : -ENOMEM;
    return r ? hone_error_set(err, r, "cannot build the call tree") : 0;
}
