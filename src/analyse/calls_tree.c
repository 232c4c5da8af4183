// The call tree: a node for each way from the root. Edge number i of the tree leads into node i, so
// that what a node hangs on is found by its number; those of roots come from nowhere.
#include "analyse/calls_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

struct growth {
    struct hone_calls_builder *builder;
    struct hone_table table; // nodes, by parent and place
    uint32_t node_room;
    uint32_t parent_room;
    uint32_t inlined_room;
    bool *inlined; // by node: in every stack
};

static void growth_done(struct growth *growth)
{
    hone_table_done(&growth->table);
    free(growth->inlined);
}

static int add_node(struct growth *growth, uint64_t hash, uint32_t parent, uint32_t place)
{
    struct hone_calls_builder *b = growth->builder;
    struct hone_calls *calls = b->calls;
    uint64_t need = (uint64_t)calls->node_count + 1;
    if (!hone_array_reserve(&calls->nodes, &growth->node_room, need, sizeof *calls->nodes) ||
        !hone_array_reserve(&b->parents, &growth->parent_room, need, sizeof *b->parents) ||
        !hone_array_reserve(&growth->inlined, &growth->inlined_room, need,
                            sizeof *growth->inlined) ||
        hone_table_add(&growth->table, hash, calls->node_count))
        return -ENOMEM;
    calls->nodes[calls->node_count] = (struct hone_calls_node){.place = place};
    growth->inlined[calls->node_count] = true;
    b->parents[calls->node_count++] = parent;
    return 0;
}

// The child of parent at a place, made if it is not there.
static int find_child(struct growth *growth, uint32_t parent, uint32_t place, uint32_t *ret)
{
    const struct hone_calls_builder *b = growth->builder;
    const struct hone_calls *calls = b->calls;
    uint64_t hash =
        hone_hash_fold((uint64_t)parent << 32 | place, 0x9e3779b97f4a7c15u) * 0xa0761d6478bd642fu;
    struct hone_table_probe probe = hone_table_probe(&growth->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&growth->table, &probe)) != HONE_TABLE_END)
        if (b->parents[at] == parent && calls->nodes[at].place == place) {
            *ret = at;
            return 0;
        }
    *ret = calls->node_count;
    return add_node(growth, hash, parent, place);
}

static void add(struct hone_calls_value *value, const struct hone_calls_builder *b, uint32_t stack)
{
    value->sum = hone_tally_add(value->sum, b->weights[stack]);
    if (b->counts)
        value->count = hone_tally_add(value->count, b->counts[stack]);
}

static int grow(struct growth *growth, uint32_t stack)
{
    struct hone_calls_builder *b = growth->builder;
    struct hone_profile_span frames = hone_profile_frames_of(b->profile, stack);
    uint32_t node = HONE_CALLS_NONE;
    for (uint32_t i = frames.count; i-- > 0;) {
        uint32_t first = b->places.first[frames.at[i]];
        for (uint32_t at = first; at < b->places.first[frames.at[i] + 1]; at++) {
            uint32_t parent = node;
            int r = find_child(growth, parent, b->places.at[at], &node);
            if (r)
                return r;
            growth->inlined[node] &= at != first;
            add(&b->calls->nodes[node].cum, b, stack);
        }
    }
    add(&b->calls->nodes[node].flat, b, stack);
    b->leaves[stack] = node;
    return 0;
}

int hone_calls_build_tree(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    uint32_t stacks = b->profile->stacks.count;
    HONE_CLEANUP(growth_done) struct growth growth = {.builder = b};
    b->leaves = calloc(stacks, sizeof *b->leaves);
    int r = b->leaves ? 0 : -ENOMEM;
    for (uint32_t stack = 1; !r && stack < stacks; stack++)
        if (b->live[stack])
            r = grow(&growth, stack);
    calls->edges = r ? NULL : calloc((size_t)calls->node_count + 1, sizeof *calls->edges);
    if (!calls->edges)
        return -ENOMEM;
    calls->edge_count = calls->node_count;
    for (uint32_t i = 0; i < calls->node_count; i++)
        calls->edges[i] = (struct hone_calls_edge){.from = b->parents[i],
                                                   .to = i,
                                                   .weight = calls->nodes[i].cum,
                                                   .inlined = growth.inlined[i]};
    hone_calls_link(calls);
    return 0;
}

// Edges from nodes that went away begin at the next node above them that is there. Parents have
// smaller numbers than their children, so they know theirs already.
void hone_calls_join_tree(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    for (uint32_t i = 0; i < calls->node_count; i++) {
        struct hone_calls_edge *edge = &calls->edges[i];
        if (edge->from == HONE_CALLS_NONE || !b->gone[edge->from])
            continue;
        const struct hone_calls_edge *above = &calls->edges[edge->from];
        edge->from = above->from;
        edge->inlined &= above->inlined;
        edge->residual = true;
    }
    for (uint32_t i = 0; i < calls->node_count; i++)
        if (b->gone[i])
            calls->edges[i].from = HONE_CALLS_NONE;
    hone_calls_link(calls);
}
