// The call tree: a node for each way from the root. The ways are sorted, so the tree grows along
// its right edge only, and a branch that is too small to be shown is cut off as soon as the ways
// have left it: memory is for what may be shown, not for the millions of nodes of a large profile.
//
//     main parse read          main ── parse ── read      cut, if small
//     main parse node malloc                └── node ── malloc
//     main run                 when "run" comes, parse and all below it have their values
//
// Edge number i of the tree leads into node i; those of roots come from nowhere.
#include "analyse/graph_parts.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

// A step of a way: the place, and whether the code there was inlined.
static uint32_t step_of(uint32_t place, bool inlined)
{
    return place << 1 | inlined;
}

struct way {
    const uint32_t *steps;
    size_t count;
    uint32_t stack;
};

// One level of the right edge.
struct level {
    uint32_t node;
    uint32_t place;
    size_t first_way; // that came through it
    bool needed;      // something below it may be shown
};

struct growth {
    struct hone_graph_builder *builder;
    int64_t cutoff; // of branches; 0: none is cut
    uint32_t *steps;
    struct way *ways;
    size_t way_count;
    struct level *levels; // of the right edge
    uint32_t level_room;
    uint32_t level_count;
    uint32_t node_room;
    uint32_t edge_room;
    uint32_t parent_room;
};

static void growth_done(struct growth *growth)
{
    free(growth->steps);
    free(growth->ways);
    free(growth->levels);
}

// --- ways ----------------------------------------------------------------------------------------

static int compare_ways(const void *left, const void *right)
{
    const struct way *a = left;
    const struct way *b = right;
    size_t count = a->count < b->count ? a->count : b->count;
    for (size_t i = 0; i < count; i++)
        if (a->steps[i] >> 1 != b->steps[i] >> 1)
            return a->steps[i] < b->steps[i] ? -1 : 1;
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return a->stack < b->stack ? -1 : 1;
}

// How many steps and ways there are.
static size_t measure(struct growth *growth)
{
    const struct hone_graph_builder *b = growth->builder;
    const struct hone_nodes *places = &b->places;
    size_t steps = 0;
    for (uint32_t stack = 1; stack < b->profile->stacks.count; stack++) {
        if (!hone_graph_counts(b, stack))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(b->profile, stack);
        growth->way_count++;
        for (uint32_t i = 0; i < frames.count; i++)
            steps += places->first[frames.at[i] + 1] - places->first[frames.at[i]];
    }
    return steps;
}

static int find_ways(struct growth *growth)
{
    const struct hone_graph_builder *b = growth->builder;
    const struct hone_nodes *places = &b->places;
    size_t step_count = measure(growth);
    growth->steps = malloc((step_count + 1) * sizeof *growth->steps);
    growth->ways = calloc(growth->way_count + 1, sizeof *growth->ways);
    if (!growth->steps || !growth->ways)
        return -ENOMEM;
    uint32_t *to = growth->steps;
    struct way *way = growth->ways;
    for (uint32_t stack = 1; stack < b->profile->stacks.count; stack++) {
        if (!hone_graph_counts(b, stack))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(b->profile, stack);
        way->steps = to;
        way->stack = stack;
        for (uint32_t i = frames.count; i-- > 0;) {
            uint32_t first = places->first[frames.at[i]];
            for (uint32_t at = first; at < places->first[frames.at[i] + 1]; at++)
                *to++ = step_of(places->at[at], at != first);
        }
        way->count = (size_t)(to - way->steps);
        way++;
    }
    if (growth->way_count)
        qsort(growth->ways, growth->way_count, sizeof *growth->ways, compare_ways);
    return 0;
}

// --- growing -------------------------------------------------------------------------------------

static void add(struct hone_graph_value *sum, struct hone_graph_value value)
{
    sum->sum = hone_tally_add(sum->sum, value.sum);
    sum->count = hone_tally_add(sum->count, value.count);
}

static int push(struct growth *growth, uint32_t step, size_t way)
{
    struct hone_graph_builder *b = growth->builder;
    struct hone_graph *graph = b->graph;
    uint64_t need = (uint64_t)graph->node_count + 1;
    if (need > UINT32_MAX / 2 || // a leaf is kept with a bit beside it
        !hone_array_reserve(&graph->nodes, &growth->node_room, need, sizeof *graph->nodes) ||
        !hone_array_reserve(&graph->edges, &growth->edge_room, need, sizeof *graph->edges) ||
        !hone_array_reserve(&b->parents, &growth->parent_room, need, sizeof *b->parents) ||
        !hone_array_reserve(&growth->levels, &growth->level_room, (uint64_t)growth->level_count + 1,
                            sizeof *growth->levels))
        return -ENOMEM;
    uint32_t node = graph->node_count++;
    uint32_t parent =
        growth->level_count ? growth->levels[growth->level_count - 1].node : HONE_GRAPH_NONE;
    graph->nodes[node] = (struct hone_graph_node){.place = step >> 1};
    graph->edges[node] = (struct hone_graph_edge){.from = parent, .to = node, .inlined = true};
    b->parents[node] = parent;
    growth->levels[growth->level_count++] =
        (struct level){.node = node, .place = step >> 1, .first_way = way};
    return 0;
}

// The ways through a branch that is cut end above it.
static void cut(struct growth *growth, const struct level *level, size_t end_way)
{
    struct hone_graph_builder *b = growth->builder;
    const struct hone_graph_node *node = &b->graph->nodes[level->node];
    b->graph->dropped_nodes++;
    b->cut_flat = hone_tally_add(b->cut_flat, node->flat.sum);
    b->graph->node_count--;
    uint32_t parent = b->parents[level->node];
    for (size_t i = level->first_way; b->options->labels && i < end_way; i++)
        b->leaves[growth->ways[i].stack] =
            parent == HONE_GRAPH_NONE ? HONE_GRAPH_NONE : hone_graph_leaf(parent, false);
}

// Leaves the last level of the right edge: its node has its values.
static void pop(struct growth *growth, size_t end_way)
{
    const struct hone_graph_builder *b = growth->builder;
    struct hone_graph *graph = b->graph;
    struct level level = growth->levels[--growth->level_count];
    struct hone_graph_node *node = &graph->nodes[level.node];
    struct level *above = growth->level_count ? &growth->levels[growth->level_count - 1] : NULL;
    if (above)
        add(&graph->nodes[above->node].cum, node->cum);
    graph->edges[level.node].weight = node->cum;
    bool shown = node->cum.sum || node->flat.sum;
    if (!level.needed && shown && hone_graph_size_of(node->cum.sum) < growth->cutoff)
        cut(growth, &level, end_way);
    else if (above)
        above->needed = true;
}

static int grow(struct growth *growth, size_t number)
{
    struct hone_graph_builder *b = growth->builder;
    struct hone_graph *graph = b->graph;
    const struct way *way = &growth->ways[number];
    uint32_t same = 0;
    while (same < growth->level_count && same < way->count &&
           growth->levels[same].place == way->steps[same] >> 1)
        same++;
    while (growth->level_count > same)
        pop(growth, number);
    int r = 0;
    for (size_t i = same; !r && i < way->count; i++)
        r = push(growth, way->steps[i], number);
    if (r)
        return r;
    for (size_t i = 0; i < way->count; i++)
        graph->edges[growth->levels[i].node].inlined &= way->steps[i] & 1;
    uint32_t leaf = growth->levels[way->count - 1].node;
    struct hone_graph_value value = {.sum = b->weights[way->stack],
                                     .count = b->counts ? b->counts[way->stack] : 0};
    add(&graph->nodes[leaf].flat, value);
    add(&graph->nodes[leaf].cum, value);
    if (b->options->labels)
        b->leaves[way->stack] = hone_graph_leaf(leaf, true);
    return 0;
}

// What small nodes are measured by is known before the tree is, unless some of its nodes do not
// count.
static int64_t branch_cutoff(const struct hone_graph_builder *b)
{
    int64_t total = 0;
    for (uint32_t stack = 1; stack < b->profile->stacks.count; stack++)
        total = hone_tally_add(total, b->weights[stack]);
    return b->options->drop_negative ? 0 : hone_graph_cutoff(total, b->options->node_fraction);
}

int hone_graph_build_tree(struct hone_graph_builder *b)
{
    HONE_CLEANUP(growth_done)
    struct growth growth = {.builder = b, .cutoff = branch_cutoff(b)};
    b->leaves = calloc(b->options->labels ? b->profile->stacks.count : 1, sizeof *b->leaves);
    int r = b->leaves ? find_ways(&growth) : -ENOMEM;
    for (size_t i = 0; !r && i < growth.way_count; i++)
        r = grow(&growth, i);
    while (!r && growth.level_count)
        pop(&growth, growth.way_count);
    b->graph->edge_count = b->graph->node_count;
    if (!r && !b->graph->nodes) // nothing weighs anything
        b->graph->nodes = calloc(1, sizeof *b->graph->nodes);
    if (!r)
        hone_graph_link(b->graph);
    return r || b->graph->nodes ? r : -ENOMEM;
}

// Edges from nodes that went away begin at the next node above them that is there. Parents have
// smaller numbers than their children, so they know theirs already.
void hone_graph_join_tree(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct hone_graph_edge *edge = &graph->edges[i];
        if (edge->from == HONE_GRAPH_NONE || !b->gone[edge->from])
            continue;
        const struct hone_graph_edge *above = &graph->edges[edge->from];
        edge->from = above->from;
        edge->inlined &= above->inlined;
        edge->residual = true;
    }
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (b->gone[i])
            graph->edges[i].from = HONE_GRAPH_NONE;
    hone_graph_link(graph);
}
