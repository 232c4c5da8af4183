// Nodes and edges of the graph: two passes over the distinct stacks, as in graph.c. A stack counts
// once for a node and once for a call, which remember the last stack that counted.
#include "analyse/calls_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

static int sum_nodes(struct hone_calls_builder *b, const int64_t *weights, bool counts)
{
    struct hone_calls *calls = b->calls;
    struct hone_tally tally = {0};
    int r = hone_tally_init(&tally, b->profile, weights, &b->places);
    for (uint32_t i = 0; !r && i < calls->node_count; i++) {
        struct hone_calls_node *node = &calls->nodes[i];
        *(counts ? &node->flat.count : &node->flat.sum) = tally.flat[i];
        *(counts ? &node->cum.count : &node->cum.sum) = tally.cum[i].sum;
    }
    hone_tally_done(&tally);
    return r;
}

int hone_calls_build_graph(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    calls->node_count = calls->place_count;
    calls->nodes = calloc((size_t)calls->node_count + 1, sizeof *calls->nodes);
    if (!calls->nodes)
        return -ENOMEM;
    for (uint32_t i = 0; i < calls->node_count; i++)
        calls->nodes[i].place = i;
    int r = sum_nodes(b, b->weights, false);
    return r || !b->counts ? r : sum_nodes(b, b->counts, true);
}

// --- edges ---------------------------------------------------------------------------------------

void hone_calls_link(struct hone_calls *calls)
{
    for (uint32_t i = 0; i < calls->node_count; i++) {
        struct hone_calls_node *node = &calls->nodes[i];
        node->first_in = node->first_out = HONE_CALLS_NONE;
        node->in_count = node->out_count = 0;
    }
    for (uint32_t i = calls->edge_count; i-- > 0;) { // so that the lists run forwards
        struct hone_calls_edge *edge = &calls->edges[i];
        if (edge->from == HONE_CALLS_NONE)
            continue;
        struct hone_calls_node *from = &calls->nodes[edge->from];
        struct hone_calls_node *to = &calls->nodes[edge->to];
        edge->next_out = from->first_out;
        edge->next_in = to->first_in;
        from->first_out = to->first_in = i;
        from->out_count++;
        to->in_count++;
    }
}

struct join {
    struct hone_calls_builder *builder;
    struct hone_table table; // edges, by their ends
    uint32_t *last_stack;    // by edge: the stack that counted last
    uint32_t last_room;
    uint32_t edge_room;
};

static void join_done(struct join *join)
{
    hone_table_done(&join->table);
    free(join->last_stack);
}

static struct hone_calls_edge *add_edge(struct join *join, uint64_t hash, uint32_t from,
                                        uint32_t to)
{
    struct hone_calls *calls = join->builder->calls;
    uint64_t need = (uint64_t)calls->edge_count + 1;
    if (!hone_array_reserve(&calls->edges, &join->edge_room, need, sizeof *calls->edges) ||
        !hone_array_reserve(&join->last_stack, &join->last_room, need, sizeof *join->last_stack) ||
        hone_table_add(&join->table, hash, calls->edge_count))
        return NULL;
    struct hone_calls_edge *edge = &calls->edges[calls->edge_count];
    *edge = (struct hone_calls_edge){.from = from, .to = to, .inlined = true};
    join->last_stack[calls->edge_count++] = 0;
    return edge;
}

static int count_call(struct join *join, uint32_t from, uint32_t to, uint32_t stack, bool residual,
                      bool inlined)
{
    const struct hone_calls_builder *b = join->builder;
    struct hone_calls *calls = b->calls;
    uint64_t hash =
        hone_hash_fold((uint64_t)from << 32 | to, 0x9e3779b97f4a7c15u) * 0xa0761d6478bd642fu;
    struct hone_table_probe probe = hone_table_probe(&join->table, hash);
    uint32_t at;
    struct hone_calls_edge *edge = NULL;
    while (!edge && (at = hone_table_next(&join->table, &probe)) != HONE_TABLE_END)
        // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table holds edges that are there
        if (calls->edges[at].from == from && calls->edges[at].to == to)
            edge = &calls->edges[at];
    if (!edge)
        edge = add_edge(join, hash, from, to);
    if (!edge)
        return -ENOMEM;
    uint32_t *last_stack = &join->last_stack[edge - calls->edges];
    if (*last_stack == stack) // a stack says once how it calls
        return 0;
    *last_stack = stack;
    edge->weight.sum = hone_tally_add(edge->weight.sum, b->weights[stack]);
    if (b->counts)
        edge->weight.count = hone_tally_add(edge->weight.count, b->counts[stack]);
    edge->residual |= residual;
    edge->inlined &= inlined;
    return 0;
}

// For each location the node that stands for it, + 1; 0 where it went away, SEVERAL if it takes a
// closer look.
#define SEVERAL UINT32_MAX

static uint32_t *node_by_location(const struct hone_calls_builder *b)
{
    const struct hone_nodes *places = &b->places;
    uint32_t count = b->profile->locations.count;
    uint32_t *nodes = calloc(count, sizeof *nodes);
    for (uint32_t i = 1; nodes && i < count; i++) {
        if (places->only[i] != HONE_NODES_SEVERAL) {
            nodes[i] = b->gone[places->only[i]] ? 0 : places->only[i] + 1;
            continue;
        }
        for (uint32_t at = places->first[i]; at < places->first[i + 1]; at++)
            if (!b->gone[places->at[at]])
                nodes[i] = SEVERAL;
    }
    return nodes;
}

// Where a walk from the root has come to.
struct walk {
    uint32_t caller; // node + 1; 0: none yet
    bool residual;   // something went away since then
};

static int step(struct join *join, struct walk *walk, uint32_t node, uint32_t stack, bool inlined)
{
    int r = 0;
    if (walk->caller && walk->caller != node + 1)
        r = count_call(join, walk->caller - 1, node, stack, walk->residual, inlined);
    *walk = (struct walk){.caller = node + 1};
    return r;
}

static int step_inlined(struct join *join, struct walk *walk, uint32_t location, uint32_t stack)
{
    const struct hone_calls_builder *b = join->builder;
    uint32_t first = b->places.first[location];
    int r = 0;
    for (uint32_t at = first; !r && at < b->places.first[location + 1]; at++) {
        uint32_t node = b->places.at[at];
        if (b->gone[node])
            walk->residual = true;
        else
            r = step(join, walk, node, stack, at != first);
    }
    return r;
}

int hone_calls_join_graph(struct hone_calls_builder *b)
{
    const struct hone_profile *p = b->profile;
    struct hone_calls *calls = b->calls;
    HONE_CLEANUP(hone_freep) uint32_t *nodes = node_by_location(b);
    HONE_CLEANUP(join_done) struct join join = {.builder = b};
    int r = nodes ? 0 : -ENOMEM;
    free(calls->edges);
    calls->edges = NULL;
    calls->edge_count = 0;
    for (uint32_t stack = 1; !r && stack < p->stacks.count; stack++) {
        if (!hone_calls_counts(b, stack))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        struct walk walk = {0};
        for (uint32_t i = frames.count; !r && i-- > 0;) {
            uint32_t node = nodes[frames.at[i]];
            if (!node)
                walk.residual = true;
            else if (node == SEVERAL)
                r = step_inlined(&join, &walk, frames.at[i], stack);
            else
                r = step(&join, &walk, node - 1, stack, false);
        }
    }
    hone_calls_link(calls);
    return r;
}
