// Nodes from sorted stacks. Going through the stacks backwards, the end of each that the one before
// does not share is nodes that are complete, from the leaf on: so every node passes by, its total
// known, in the reverse of pre-order, and only the sums of one way from the root are kept. A first
// time they are counted, to find the total from which on nodes are there; then those are written,
// from the back of the array to its front.
#include "analyse/tree_parts.h"

#include "base/base.h"
#include "base/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The nodes on the way from the root to the stack at hand, by depth.
struct level {
    int64_t total; // so far
    int64_t self;
    uint32_t left_out; // as in the node
    uint32_t children_left_out;
};

struct walk {
    const struct hone_tree_builder *builder;
    struct level *levels;
    size_t first_way; // stacks that make up the way along the first children
    bool on_first_way;
    size_t all_count; // of nodes
    size_t count;     // of those that are there
    int64_t least;    // total from which on they are
    size_t skip;      // so many of just that total are not: the last ones
    size_t skipped;
    struct buckets *buckets;
    struct hone_tree *tree;
};

// What is done with each node; its place among those of its stack is depth.
typedef void (*visit)(struct walk *walk, const struct hone_tree_row *stack, uint32_t depth);

// --- going through -------------------------------------------------------------------------------

// Depth 0, the root, is nobody's end: it comes last, with the first stack or without any.
static inline void go(struct walk *walk, visit node)
{
    const struct hone_tree_builder *builder = walk->builder;
    struct level *levels = walk->levels;
    walk->all_count = walk->count = walk->skipped = 0;
    for (size_t i = builder->stack_count; i-- > 0;) {
        const struct hone_tree_row *stack = &builder->stacks[i];
        walk->on_first_way = i < walk->first_way;
        levels[stack->count].total += stack->value;
        levels[stack->count].self += stack->value;
        for (uint32_t depth = stack->count; depth > stack->shared; depth--) {
            node(walk, stack, depth);
            levels[depth - 1].total += levels[depth].total;
            levels[depth] = (struct level){0};
        }
    }
    walk->on_first_way = true;
    node(walk, NULL, 0);
    levels[0] = (struct level){0};
}

// Each stack that only goes on where the one before ended goes on with its first child.
static size_t find_first_way(const struct hone_tree_builder *builder)
{
    size_t end = builder->stack_count > 0;
    while (end && end < builder->stack_count &&
           builder->stacks[end].shared == builder->stacks[end - 1].count)
        end++;
    return end;
}

// --- counting ------------------------------------------------------------------------------------

// Nodes by total: the number of its bits and the BITS that follow the first. A bucket of more than
// one total is looked into, with buckets for the bits behind.
enum { BITS = 10, BUCKETS = 64 << BITS };

struct bucket {
    size_t count;
    int64_t smallest;
    int64_t largest;
};

struct buckets {
    int64_t from; // totals that are counted
    int64_t to;
    struct bucket at[BUCKETS];
};

static unsigned bucket_of(const struct buckets *buckets, int64_t total)
{
    uint64_t value = (uint64_t)total - (uint64_t)buckets->from;
    if (value >> BITS == 0)
        return (unsigned)value;
    unsigned bits = 63 - (unsigned)__builtin_clzll(value); // from BITS on
    return ((bits - BITS + 1) << BITS) + (unsigned)(value >> (bits - BITS) & ((1u << BITS) - 1));
}

static void count_node(struct walk *walk, const struct hone_tree_row *stack, uint32_t depth)
{
    (void)stack;
    struct buckets *buckets = walk->buckets;
    int64_t total = walk->levels[depth].total;
    walk->all_count++;
    if (total < buckets->from || total > buckets->to)
        return;
    struct bucket *bucket = &buckets->at[bucket_of(buckets, total)];
    if (!bucket->count++)
        bucket->smallest = bucket->largest = total;
    bucket->smallest = total < bucket->smallest ? total : bucket->smallest;
    bucket->largest = total > bucket->largest ? total : bucket->largest;
}

// Finds the total of the last of the largest nodes, and how many nodes of just that total are more
// than was wanted. Each round leaves a thousandth of the range that the one before left.
static int find_least(struct walk *walk, size_t wanted)
{
    HONE_CLEANUP(hone_freep) struct buckets *buckets = calloc(1, sizeof *buckets);
    if (!buckets)
        return -ENOMEM;
    buckets->to = INT64_MAX;
    walk->buckets = buckets;
    size_t above = 0; // nodes of larger totals than those counted
    for (;;) {
        go(walk, count_node);
        if (walk->all_count <= wanted)
            break;
        unsigned at = BUCKETS;
        size_t more = above;
        while (at > 0 && more < wanted)
            more += buckets->at[--at].count;
        struct bucket bucket = buckets->at[at];
        if (bucket.smallest == bucket.largest) {
            walk->least = bucket.smallest;
            walk->skip = more - wanted;
            break;
        }
        above = more - bucket.count;
        memset(buckets, 0, sizeof *buckets);
        buckets->from = bucket.smallest;
        buckets->to = bucket.largest;
    }
    walk->buckets = NULL;
    return 0;
}

// Whether a node is there. Asked for each, in their order.
static bool is_there(struct walk *walk, int64_t total)
{
    if (walk->on_first_way || total > walk->least)
        return true;
    if (total < walk->least)
        return false;
    return walk->skipped == walk->skip || !++walk->skipped;
}

static void count_there(struct walk *walk, const struct hone_tree_row *stack, uint32_t depth)
{
    (void)stack;
    walk->all_count++;
    walk->count += is_there(walk, walk->levels[depth].total);
}

// --- writing -------------------------------------------------------------------------------------

static void leave_out(struct walk *walk, uint32_t depth)
{
    struct level *level = &walk->levels[depth];
    struct level *parent = &walk->levels[depth - 1];
    parent->left_out += level->left_out + 1;
    parent->children_left_out++;
    if (level->total > walk->tree->largest_left_out)
        walk->tree->largest_left_out = level->total;
}

static void write_node(struct walk *walk, const struct hone_tree_row *stack, uint32_t depth)
{
    const struct level *level = &walk->levels[depth];
    if (!is_there(walk, level->total)) {
        leave_out(walk, depth);
        return;
    }
    struct hone_tree *tree = walk->tree;
    tree->nodes[tree->node_count - ++walk->count] = (struct hone_tree_node){
        .total = level->total,
        .self = level->self,
        .frame = depth ? walk->builder->stack_frames[stack->first + depth - 1] : HONE_TREE_NO_FRAME,
        .depth = depth,
        .left_out = level->left_out,
        .children_left_out = level->children_left_out,
    };
}

// Parents come before their children, and the last child's end is the parent's.
static void link_nodes(struct hone_tree *tree, uint32_t *path)
{
    for (size_t i = 0; i < tree->node_count; i++) {
        struct hone_tree_node *node = &tree->nodes[i];
        path[node->depth] = (uint32_t)i;
        node->parent = node->depth ? path[node->depth - 1] : 0;
    }
    for (size_t i = tree->node_count; i-- > 0;) {
        struct hone_tree_node *node = &tree->nodes[i];
        if (!node->end)
            node->end = (uint32_t)i + 1;
        if (tree->nodes[node->parent].end < node->end)
            tree->nodes[node->parent].end = node->end;
    }
}

static int write_nodes(struct walk *walk, struct hone_tree *tree)
{
    go(walk, count_there);
    if (walk->count > HONE_TREE_INDEX_MAX || walk->all_count > UINT32_MAX)
        return -ENOMEM;
    tree->all_count = walk->all_count;
    tree->node_count = walk->count;
    tree->nodes = calloc(tree->node_count, sizeof *tree->nodes);
    HONE_CLEANUP(hone_freep) uint32_t *path = calloc((size_t)tree->depth + 1, sizeof *path);
    if (!tree->nodes || !path)
        return -ENOMEM;
    hone_pages_large(tree->nodes, tree->node_count * sizeof *tree->nodes);
    walk->tree = tree;
    go(walk, write_node);
    link_nodes(tree, path);
    return 0;
}

// What each frame took itself, in whatever nodes.
static int sum_frames(struct hone_tree *tree)
{
    const struct hone_tree_builder *builder = tree->builder;
    tree->frame_self = calloc(tree->frame_count + 1, sizeof *tree->frame_self);
    if (!tree->frame_self)
        return -ENOMEM;
    for (size_t i = 0; i < builder->stack_count; i++) {
        const struct hone_tree_row *stack = &builder->stacks[i];
        if (stack->count)
            tree->frame_self[builder->stack_frames[stack->first + stack->count - 1]] +=
                stack->value;
        if (stack->count > tree->depth)
            tree->depth = stack->count;
    }
    return 0;
}

int hone_tree_least(const struct hone_tree *tree, size_t count, int64_t *ret)
{
    const struct hone_tree_builder *builder = tree->builder;
    uint32_t depth = 0;
    for (size_t i = 0; i < builder->stack_count; i++)
        depth = builder->stacks[i].count > depth ? builder->stacks[i].count : depth;
    HONE_CLEANUP(hone_freep) struct level *levels = calloc((size_t)depth + 1, sizeof *levels);
    struct walk walk = {.builder = builder, .levels = levels, .least = INT64_MIN};
    int r = levels ? find_least(&walk, count) : -ENOMEM;
    if (!r)
        *ret = walk.least;
    return r;
}

int64_t hone_tree_left_out(const struct hone_tree *tree, uint32_t number)
{
    const struct hone_tree_node *node = &tree->nodes[number];
    if (!node->children_left_out)
        return 0;
    int64_t left = node->total - node->self;
    uint32_t first = number || !tree->upper_end ? number + 1 : tree->upper_end;
    for (uint32_t child = first; child < node->end; child = tree->nodes[child].end)
        left -= tree->nodes[child].total;
    return left;
}

int hone_tree_make_nodes(struct hone_tree *tree, const struct hone_tree_limit *limit)
{
    const struct hone_tree_builder *builder = tree->builder;
    int r = sum_frames(tree);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep)
    struct level *levels = calloc((size_t)tree->depth + 1, sizeof *levels);
    if (!levels)
        return -ENOMEM;
    struct walk walk = {.builder = builder,
                        .levels = levels,
                        .first_way = find_first_way(builder),
                        .least = INT64_MIN};
    if (limit->max_nodes)
        r = find_least(&walk, limit->max_nodes);
    if (r)
        return r;
    int64_t always = (int64_t)(limit->part * (double)builder->magnitude);
    if (limit->part > 0 && always < walk.least) {
        walk.least = always;
        walk.skip = 0;
    }
    return write_nodes(&walk, tree);
}
