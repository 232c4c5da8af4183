// Nodes and edges of the graph: two passes over the distinct stacks. A stack counts once for a node
// and once for a call, which remember the last stack that counted. Large profiles are shared out;
// what comes of the parts is put together in their order, so nobody sees how many there were.
#include "analyse/graph_parts.h"

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/pages.h"
#include "core/hash.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static int sum_nodes(struct hone_graph_builder *b, const int64_t *weights, bool counts)
{
    struct hone_graph *graph = b->graph;
    struct hone_tally tally = {0};
    int r = hone_tally_init(&tally, b->profile, weights, &b->places);
    for (uint32_t i = 0; !r && i < graph->node_count; i++) {
        struct hone_graph_node *node = &graph->nodes[i];
        *(counts ? &node->flat.count : &node->flat.sum) = tally.flat[i];
        *(counts ? &node->cum.count : &node->cum.sum) = tally.cum[i].sum;
    }
    hone_tally_done(&tally);
    return r;
}

int hone_graph_sum_nodes(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    graph->node_count = graph->place_count;
    graph->nodes = calloc((size_t)graph->node_count + 1, sizeof *graph->nodes);
    if (!graph->nodes)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->node_count; i++)
        graph->nodes[i].place = i;
    hone_graph_link(graph); // there is none yet
    int r = sum_nodes(b, b->weights, false);
    return r || !b->counts ? r : sum_nodes(b, b->counts, true);
}

// --- edges ---------------------------------------------------------------------------------------

void hone_graph_link(struct hone_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct hone_graph_node *node = &graph->nodes[i];
        node->first_in = node->first_out = HONE_GRAPH_NONE;
        node->in_count = node->out_count = 0;
    }
    for (uint32_t i = graph->edge_count; i-- > 0;) { // so that the lists run forwards
        struct hone_graph_edge *edge = &graph->edges[i];
        if (edge->from == HONE_GRAPH_NONE)
            continue;
        struct hone_graph_node *from = &graph->nodes[edge->from];
        struct hone_graph_node *to = &graph->nodes[edge->to];
        edge->next_out = from->first_out;
        edge->next_in = to->first_in;
        from->first_out = to->first_in = i;
        from->out_count++;
        to->in_count++;
    }
}

// A call as it is summed, in a hash table by its ends. Half a cache line, for waiting for memory is
// most of the time here.
struct sum {
    uint32_t caller; // node + 1; 0: nothing is here
    uint32_t callee;
    struct hone_graph_value weight;
    uint32_t last_stack; // that counted
    uint32_t place : 30; // among all, in the order in which they were met first
    uint32_t inlined : 1;
    uint32_t residual : 1;
};

enum { FIRST_SLOTS = 1024, SUMS_MAX = (1 << 30) - 1 };

// A call in a stack that is not counted yet: while one waits for its sum's memory, the memory of
// the next ones is on its way.
struct met {
    uint64_t hash;
    uint32_t caller; // node + 1
    uint32_t callee;
    uint32_t stack;
    bool residual;
    bool inlined;
};

enum { MET_MAX = 32 };

// Some of the stacks, one after the other, and the calls in them.
struct join {
    const struct hone_graph_builder *builder;
    const uint32_t *nodes; // by location
    const bool *wanted;    // by node: calls into others are left out; NULL: none is
    const uint64_t *holds; // a bit by location: whether it holds a wanted node; NULL as well
    uint32_t first_stack;
    uint32_t end_stack;
    struct sum *sums;
    uint64_t mask;
    uint32_t count;
    uint32_t met_count;
    struct met met[MET_MAX];
};

static uint64_t slot_of(uint32_t caller, uint32_t callee)
{
    return hone_hash_fold((uint64_t)caller << 32 | callee, 0x9e3779b97f4a7c15u);
}

static int grow(struct join *join)
{
    uint64_t slots = join->sums ? (join->mask + 1) * 2 : FIRST_SLOTS;
    struct sum *sums = calloc(slots, sizeof *sums);
    if (!sums)
        return -ENOMEM;
    hone_pages_large(sums, slots * sizeof *sums);
    for (uint64_t i = 0; join->sums && i <= join->mask; i++) {
        if (!join->sums[i].caller)
            continue;
        uint64_t to = slot_of(join->sums[i].caller, join->sums[i].callee);
        while (sums[to & (slots - 1)].caller)
            to++;
        sums[to & (slots - 1)] = join->sums[i];
    }
    free(join->sums);
    join->sums = sums;
    join->mask = slots - 1;
    return 0;
}

// The sum of these calls; of new ones, nothing. NULL when memory is out.
static inline struct sum *find_sum(struct join *join, uint64_t hash, uint32_t caller,
                                   uint32_t callee)
{
    for (uint64_t at = hash;; at++) {
        struct sum *sum = &join->sums[at & join->mask];
        if (sum->caller == caller && sum->callee == callee)
            return sum;
        if (sum->caller)
            continue;
        if (join->count == SUMS_MAX)
            return NULL;
        if (join->count * 4ull > (join->mask + 1) * 3)
            return grow(join) ? NULL : find_sum(join, hash, caller, callee);
        *sum = (struct sum){
            .caller = caller, .callee = callee, .place = join->count++, .inlined = true};
        return sum;
    }
}

static int count_call(struct join *join, const struct met *met)
{
    const struct hone_graph_builder *b = join->builder;
    struct sum *sum = find_sum(join, met->hash, met->caller, met->callee);
    if (!sum)
        return -ENOMEM;
    if (sum->last_stack == met->stack) // a stack says once how it calls
        return 0;
    sum->last_stack = met->stack;
    sum->weight.sum = hone_tally_add(sum->weight.sum, b->weights[met->stack]);
    if (b->counts)
        sum->weight.count = hone_tally_add(sum->weight.count, b->counts[met->stack]);
    sum->residual |= met->residual;
    sum->inlined &= met->inlined;
    return 0;
}

static int count_met(struct join *join)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < join->met_count; i++)
        r = count_call(join, &join->met[i]);
    join->met_count = 0;
    return r;
}

static inline int meet_call(struct join *join, const struct met *met)
{
    __builtin_prefetch(&join->sums[met->hash & join->mask], 1);
    join->met[join->met_count++] = *met;
    return join->met_count == MET_MAX ? count_met(join) : 0;
}

// For each location the node that stands for it, + 1; 0 where it went away, SEVERAL if it takes a
// closer look.
#define SEVERAL UINT32_MAX

static uint32_t *node_by_location(const struct hone_graph_builder *b)
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

static inline int step(struct join *join, struct walk *walk, uint32_t node, uint32_t stack,
                       bool inlined)
{
    int r = 0;
    if (walk->caller && walk->caller != node + 1 && (!join->wanted || join->wanted[node]))
        r = meet_call(join, &(struct met){.hash = slot_of(walk->caller, node),
                                          .caller = walk->caller,
                                          .callee = node,
                                          .stack = stack,
                                          .residual = walk->residual,
                                          .inlined = inlined});
    *walk = (struct walk){.caller = node + 1};
    return r;
}

static int step_inlined(struct join *join, struct walk *walk, uint32_t location, uint32_t stack)
{
    const struct hone_graph_builder *b = join->builder;
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

// Where few calls are wanted, most stacks have none of them. A bit for each location says so: all
// bits are in the first-level cache where the nodes of all locations are not.
static inline bool has_wanted(const struct join *join, struct hone_profile_span frames)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < frames.count; i++)
        any |= join->holds[frames.at[i] / 64] >> frames.at[i] % 64;
    return any & 1;
}

static int join_stacks(struct join *join)
{
    const struct hone_graph_builder *b = join->builder;
    int r = grow(join);
    for (uint32_t stack = join->first_stack; !r && stack < join->end_stack; stack++) {
        if (!hone_graph_counts(b, stack))
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(b->profile, stack);
        if (join->holds && !has_wanted(join, frames))
            continue;
        struct walk walk = {0};
        for (uint32_t i = frames.count; !r && i-- > 0;) {
            uint32_t node = join->nodes[frames.at[i]];
            if (!node)
                walk.residual = true;
            else if (node == SEVERAL)
                r = step_inlined(join, &walk, frames.at[i], stack);
            else
                r = step(join, &walk, node - 1, stack, false);
        }
    }
    return r ? r : count_met(join);
}

// --- shared out ----------------------------------------------------------------------------------

struct joins {
    struct join at[HONE_TALLY_PARTS_MAX];
    int status[HONE_TALLY_PARTS_MAX];
    unsigned count;
    atomic_uint next; // relaxed: who takes which does not matter
};

static void joins_done(struct joins *joins)
{
    for (unsigned i = 0; i < joins->count; i++)
        free(joins->at[i].sums);
}

static void join_parts(void *context, unsigned number)
{
    (void)number;
    struct joins *joins = context;
    unsigned part;
    while ((part = atomic_fetch_add_explicit(&joins->next, 1, memory_order_relaxed)) < joins->count)
        joins->status[part] = join_stacks(&joins->at[part]);
}

// The slots of a part's calls in the order in which they were met.
static uint32_t *order_of(const struct join *join)
{
    uint32_t *order = calloc((size_t)join->count + 1, sizeof *order);
    for (uint64_t i = 0; order && i <= join->mask; i++)
        if (join->sums[i].caller)
            order[join->sums[i].place] = (uint32_t)i;
    return order;
}

// The first part's calls and behind them what only later ones have: as if one had met them all.
static int add_part(struct join *to, const struct join *from)
{
    HONE_CLEANUP(hone_freep) uint32_t *order = order_of(from);
    for (uint32_t i = 0; order && i < from->count; i++) {
        const struct sum *part = &from->sums[order[i]];
        struct sum *sum =
            find_sum(to, slot_of(part->caller, part->callee), part->caller, part->callee);
        if (!sum)
            return -ENOMEM;
        sum->weight.sum = hone_tally_add(sum->weight.sum, part->weight.sum);
        sum->weight.count = hone_tally_add(sum->weight.count, part->weight.count);
        sum->inlined &= part->inlined;
        sum->residual |= part->residual;
    }
    return order ? 0 : -ENOMEM;
}

static int make_edges(struct hone_graph *graph, const struct join *join)
{
    free(graph->edges);
    graph->edge_count = 0;
    graph->edges = calloc((size_t)join->count + 1, sizeof *graph->edges);
    if (!graph->edges)
        return -ENOMEM;
    graph->edge_count = join->count;
    for (uint64_t i = 0; i <= join->mask; i++) {
        const struct sum *sum = &join->sums[i];
        if (sum->caller)
            graph->edges[sum->place] = (struct hone_graph_edge){.from = sum->caller - 1,
                                                                .to = sum->callee,
                                                                .weight = sum->weight,
                                                                .inlined = sum->inlined,
                                                                .residual = sum->residual};
    }
    return 0;
}

// Which nodes that are there stand for code that was inlined into other code.
static bool *find_inlined(const struct hone_graph_builder *b)
{
    const struct hone_nodes *places = &b->places;
    bool *inlined = calloc((size_t)b->graph->node_count + 1, sizeof *inlined);
    for (uint32_t i = 1; inlined && i < b->profile->locations.count; i++)
        for (uint32_t at = places->first[i] + 1; at < places->first[i + 1]; at++)
            inlined[places->at[at]] = !b->gone[places->at[at]];
    return inlined;
}

static uint64_t *locations_of(const struct hone_graph_builder *b, const bool *wanted)
{
    const struct hone_nodes *places = &b->places;
    uint64_t *holds = calloc(b->profile->locations.count / 64 + 1, sizeof *holds);
    for (uint32_t i = 0; holds && i < b->profile->locations.count; i++)
        for (uint32_t at = places->first[i]; at < places->first[i + 1]; at++)
            holds[i / 64] |= (uint64_t)wanted[places->at[at]] << i % 64;
    return holds;
}

int hone_graph_join_calls(struct hone_graph_builder *b)
{
    bool some = b->options->edges == HONE_GRAPH_INLINED_EDGES;
    HONE_CLEANUP(hone_freep) uint32_t *nodes = node_by_location(b);
    HONE_CLEANUP(hone_freep) bool *wanted = some ? find_inlined(b) : NULL;
    HONE_CLEANUP(hone_freep) uint64_t *holds = wanted ? locations_of(b, wanted) : NULL;
    HONE_CLEANUP(joins_done) struct joins joins = {.count = hone_tally_parts(b->profile)};
    if (!nodes || (some && !holds))
        return -ENOMEM;
    for (unsigned i = 0; i < joins.count; i++)
        joins.at[i] = (struct join){.builder = b,
                                    .nodes = nodes,
                                    .wanted = wanted,
                                    .holds = holds,
                                    .first_stack = hone_tally_part(b->profile, i, joins.count),
                                    .end_stack = hone_tally_part(b->profile, i + 1, joins.count)};
    hone_crew_run(joins.count, join_parts, &joins);
    int r = joins.status[0];
    for (unsigned i = 1; !r && i < joins.count; i++)
        r = joins.status[i] ? joins.status[i] : add_part(&joins.at[0], &joins.at[i]);
    if (!r)
        r = make_edges(b->graph, &joins.at[0]);
    hone_graph_link(b->graph);
    return r;
}
