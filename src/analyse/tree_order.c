// The largest first: branches of stacks, or nodes that were written by hand.
#include "analyse/tree_parts.h"

#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- branches
// -------------------------------------------------------------------------------------

// Stacks that lie together.
struct span {
    size_t first;
    size_t count;
    int64_t total;
};

struct orderer {
    struct hone_tree_row *stacks;
    struct hone_tree_row *moved; // room for all of them
    struct span *pending;        // to be put in order
    size_t pending_count;
    size_t pending_room;
    struct span *branches; // of the one at hand
    size_t branch_count;
    size_t branch_room;
};

static void orderer_done(struct orderer *orderer)
{
    free(orderer->moved);
    free(orderer->pending);
    free(orderer->branches);
}

static int compare_branches(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    if (a->total != b->total)
        return a->total > b->total ? -1 : 1;
    return a->first < b->first ? -1 : 1; // they are in the order of their frames
}

// Finds where the stacks of a span first differ and what branches there are; those that end there
// stay in front, outside of all.
static int find_branches(struct orderer *o, struct span span, uint32_t *ret_depth)
{
    const struct hone_tree_row *stacks = o->stacks;
    size_t end = span.first + span.count;
    uint32_t depth = UINT32_MAX;
    for (size_t i = span.first + 1; i < end; i++)
        depth = stacks[i].shared < depth ? stacks[i].shared : depth;
    size_t first = span.first;
    while (first < end && stacks[first].count == depth)
        first++;
    o->branch_count = 0;
    for (size_t i = first; i < end; i++) {
        if (i == first || stacks[i].shared == depth) {
            int r = hone_tree_grow(&o->branches, &o->branch_room, o->branch_count + 1,
                                   sizeof *o->branches);
            if (r)
                return r;
            o->branches[o->branch_count++] = (struct span){.first = i};
        }
        struct span *branch = &o->branches[o->branch_count - 1];
        branch->count++;
        branch->total += stacks[i].value;
    }
    *ret_depth = depth;
    return 0;
}

// Moves the branches, which were put in order, to where they belong.
static void move_branches(struct orderer *o, uint32_t depth, size_t first)
{
    size_t to = 0;
    uint32_t outer = o->stacks[first].shared; // with what lies before all of them
    for (size_t i = 0; i < o->branch_count; i++) {
        struct span *branch = &o->branches[i];
        memcpy(&o->moved[to], &o->stacks[branch->first], branch->count * sizeof *o->moved);
        o->moved[to].shared = i ? depth : outer;
        branch->first = first + to;
        to += branch->count;
    }
    memcpy(&o->stacks[first], o->moved, to * sizeof *o->moved);
}

static bool in_order(const struct orderer *o)
{
    for (size_t i = 1; i < o->branch_count; i++)
        if (o->branches[i - 1].total < o->branches[i].total)
            return false;
    return true;
}

static int order_span(struct orderer *o, struct span span)
{
    uint32_t depth;
    int r = find_branches(o, span, &depth);
    if (!r && o->branch_count > 1 && !in_order(o)) {
        size_t first = o->branches[0].first;
        qsort(o->branches, o->branch_count, sizeof *o->branches, compare_branches);
        move_branches(o, depth, first);
    }
    for (size_t i = 0; !r && i < o->branch_count; i++) {
        if (o->branches[i].count < 2)
            continue;
        r = hone_tree_grow(&o->pending, &o->pending_room, o->pending_count + 1, sizeof *o->pending);
        if (!r)
            o->pending[o->pending_count++] = o->branches[i];
    }
    return r;
}

// Each span is gone through once for each depth at which it divides, which its stacks have frames
// for: no input makes this slower than reading them was.
int hone_tree_order_branches(const struct hone_tree_builder *builder)
{
    size_t count = builder->stack_count;
    if (count < 2)
        return 0;
    HONE_CLEANUP(orderer_done) struct orderer o = {.stacks = builder->stacks};
    o.moved = malloc(count * sizeof *o.moved);
    int r = o.moved ? order_span(&o, (struct span){.count = count}) : -ENOMEM;
    while (!r && o.pending_count)
        r = order_span(&o, o.pending[--o.pending_count]);
    return r;
}

// --- nodes ---------------------------------------------------------------------------------------

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
            r = hone_tree_grow(&siblings, &capacity, count + 1, sizeof *siblings);
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
