// Two passes over the distinct stacks. The first sums flat and cum of every node; it decides who
// stays. The second, only if calls are asked for, sums the calls between those who stay. A stack
// counts once for a node or a call: each remembers the last stack that it counted.
#include "analyse/graph.h"

#include "analyse/nodes.h"
#include "analyse/tally.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

struct call {
    uint64_t key; // caller + 1 and callee
    int64_t weight;
    uint32_t last_stack; // that counted
    bool inlined;
};

struct builder {
    const struct hone_profile *profile;
    const struct hone_graph_options *options;
    struct hone_graph *graph;
    struct hone_nodes nodes;
    int64_t *weights; // by stack
    bool *touched;    // by stack, NULL: those with a weight
    struct hone_tally tally;
    int64_t *counts; // by stack: what means are divided by; NULL without means
    struct hone_tally count_tally;
    bool cut;           // nodes were left out: calls skip over them
    uint32_t *kept;     // place among the nodes kept, + 1
    struct call *calls; // a hash table by key
    uint64_t call_mask;
    uint64_t call_count;
};

static void builder_done(struct builder *b)
{
    hone_nodes_done(&b->nodes);
    free(b->weights);
    free(b->touched);
    hone_tally_done(&b->tally);
    free(b->counts);
    hone_tally_done(&b->count_tally);
    free(b->kept);
    free(b->calls);
}

// --- who stays -----------------------------------------------------------------------------------

static int compare_names(struct hone_str a, struct hone_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

struct candidate {
    const struct builder *builder;
    struct hone_str name;
    uint64_t first;  // ordered by: magnitude of flat or cum
    uint64_t second; // and of the other, after the name
    uint32_t node;
};

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->first != b->first)
        return a->first > b->first ? -1 : 1;
    int order = compare_names(a->name, b->name);
    if (order)
        return order;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    return hone_nodes_compare(&a->builder->nodes, a->builder->profile, a->node, b->node);
}

static uint64_t cutoff(int64_t total, double fraction)
{
    double part = (double)total * fraction;
    part = part < 0 ? -part : part;
    return part < 9.2e18 ? (uint64_t)part : INT64_MAX;
}

// Nodes without a value, and negative ones where these are not wanted, are not shown.
static bool is_shown(const struct builder *b, uint32_t node)
{
    int64_t flat = b->tally.flat[node];
    int64_t cum = b->tally.cum[node].sum;
    if (!flat && !cum)
        return false;
    return !(b->options->drop_negative && (flat < 0 || (!flat && cum < 0)));
}

static int64_t sum_of_flat(const struct builder *b)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < b->nodes.count; i++)
        if (is_shown(b, i))
            total = hone_tally_add(total, b->tally.flat[i]);
    return total;
}

static void keep_nodes(struct builder *b, struct candidate *candidates)
{
    struct hone_graph *graph = b->graph;
    uint64_t least = cutoff(sum_of_flat(b), b->options->node_fraction);
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->nodes.count; i++) {
        if (!is_shown(b, i))
            continue;
        uint64_t cum = hone_tally_magnitude(b->tally.cum[i].sum);
        uint64_t flat = hone_tally_magnitude(b->tally.flat[i]);
        if (cum < least) {
            graph->dropped_nodes++;
            continue;
        }
        bool by_cum = b->options->by_cum;
        candidates[count++] = (struct candidate){.builder = b,
                                                 .name = b->nodes.names[i],
                                                 .first = by_cum ? cum : flat,
                                                 .second = by_cum ? flat : cum,
                                                 .node = i};
    }
    if (count)
        qsort(candidates, count, sizeof *candidates, compare_candidates);
    graph->untrimmed_count = count;
    graph->node_count = b->options->rows && b->options->rows < count ? b->options->rows : count;
    b->cut = graph->dropped_nodes || graph->node_count < count;
}

static void put_graph_node(struct builder *b, uint32_t node)
{
    struct hone_graph *graph = b->graph;
    uint32_t place = graph->node_count + graph->hidden_count;
    struct hone_graph_node *to = &graph->nodes[place];
    *to = (struct hone_graph_node){.name = b->nodes.names[node],
                                   .flat = b->tally.flat[node],
                                   .cum = b->tally.cum[node].sum,
                                   .location = b->nodes.origins[node].location,
                                   .line = b->nodes.origins[node].line};
    if (b->counts) {
        to->flat_count = b->count_tally.flat[node];
        to->cum_count = b->count_tally.cum[node].sum;
    }
    b->kept[node] = place + 1;
}

// Calls pass over nodes that were cut off, but they lead to those that are merely not shown.
// Without negative values these have no calls.
static bool may_be_hidden(const struct builder *b, uint32_t node)
{
    return b->options->edges && b->touched && !b->cut && !is_shown(b, node);
}

static int select_nodes(struct builder *b)
{
    struct hone_graph *graph = b->graph;
    HONE_CLEANUP(hone_freep)
    struct candidate *candidates = calloc((size_t)b->nodes.count + 1, sizeof *candidates);
    if (!candidates)
        return -ENOMEM;
    keep_nodes(b, candidates);
    uint32_t shown = graph->node_count;
    uint64_t room = (uint64_t)shown + 1;
    for (uint32_t i = 0; i < b->nodes.count; i++)
        room += may_be_hidden(b, i);
    graph->nodes = calloc(room, sizeof *graph->nodes);
    if (!graph->nodes)
        return -ENOMEM;
    for (graph->node_count = 0; graph->node_count < shown; graph->node_count++) {
        put_graph_node(b, candidates[graph->node_count].node);
        const struct hone_graph_node *node = &graph->nodes[graph->node_count];
        graph->flat_sum =
            hone_tally_add(graph->flat_sum, hone_graph_value(node->flat, node->flat_count));
    }
    for (uint32_t i = 0; i < b->nodes.count; i++) {
        if (!may_be_hidden(b, i))
            continue;
        put_graph_node(b, i);
        graph->hidden_count++;
    }
    return 0;
}

// --- second pass: calls --------------------------------------------------------------------------

static int grow_calls(struct builder *b)
{
    uint64_t slots = b->calls ? (b->call_mask + 1) * 2 : 1024;
    struct call *calls = calloc(slots, sizeof *calls);
    if (!calls)
        return -ENOMEM;
    for (uint64_t i = 0; b->calls && i <= b->call_mask; i++) {
        if (!b->calls[i].key)
            continue;
        uint64_t to = hone_hash_fold(b->calls[i].key, 0x9e3779b97f4a7c15u);
        while (calls[to & (slots - 1)].key)
            to++;
        calls[to & (slots - 1)] = b->calls[i];
    }
    free(b->calls);
    b->calls = calls;
    b->call_mask = slots - 1;
    return 0;
}

// caller and callee are kept nodes + 1.
static int count_call(struct builder *b, uint32_t caller, uint32_t callee, uint32_t stack,
                      int64_t weight, bool inlined)
{
    uint64_t key = (uint64_t)caller << 32 | callee;
    uint64_t at = hone_hash_fold(key, 0x9e3779b97f4a7c15u);
    struct call *call;
    for (;; at++) {
        call = &b->calls[at & b->call_mask];
        if (call->key == key)
            break;
        if (!call->key) {
            *call = (struct call){.key = key, .inlined = true};
            b->call_count++;
            break;
        }
    }
    if (call->last_stack == stack) // a stack says once how it calls: as pprof has it
        return 0;
    call->last_stack = stack;
    call->weight = hone_tally_add(call->weight, weight);
    call->inlined &= inlined;
    return b->call_count * 4 > (b->call_mask + 1) * 3 ? grow_calls(b) : 0;
}

// For each location the kept node that stands for it, + 1; 0 if none does, SEVERAL if it takes a
// closer look. Most frames of a trimmed graph are 0 and cost one load.
#define SEVERAL UINT32_MAX

static uint32_t *kept_by_location(const struct builder *b)
{
    uint32_t *kept = calloc(b->profile->locations.count, sizeof *kept);
    for (uint32_t i = 1; kept && i < b->profile->locations.count; i++) {
        if (b->nodes.only[i] != HONE_NODES_SEVERAL) {
            kept[i] = b->kept[b->nodes.only[i]];
            continue;
        }
        for (uint32_t at = b->nodes.first[i]; at < b->nodes.first[i + 1]; at++)
            if (b->kept[b->nodes.at[at]])
                kept[i] = SEVERAL;
    }
    return kept;
}

// The calls inside a location, and into it. Updates the caller.
static int tally_inlined(struct builder *b, uint32_t location, uint32_t stack, int64_t weight,
                         uint32_t *caller)
{
    uint32_t first = b->nodes.first[location];
    int r = 0;
    for (uint32_t at = first; !r && at < b->nodes.first[location + 1]; at++) {
        uint32_t callee = b->kept[b->nodes.at[at]];
        if (!callee)
            continue;
        if (*caller && *caller != callee)
            r = count_call(b, *caller, callee, stack, weight, at != first);
        *caller = callee;
    }
    return r;
}

static int tally_calls(struct builder *b)
{
    const struct hone_profile *p = b->profile;
    HONE_CLEANUP(hone_freep) uint32_t *kept = kept_by_location(b);
    int r = kept ? grow_calls(b) : -ENOMEM;
    for (uint32_t stack = 1; !r && stack < p->stacks.count; stack++) {
        int64_t weight = b->weights[stack];
        if (b->touched ? !b->touched[stack] : !weight)
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        uint32_t caller = 0;
        for (uint32_t i = frames.count; !r && i-- > 0;) {
            uint32_t callee = kept[frames.at[i]];
            if (!callee)
                continue;
            if (callee == SEVERAL) {
                r = tally_inlined(b, frames.at[i], stack, weight, &caller);
                continue;
            }
            if (caller && caller != callee)
                r = count_call(b, caller, callee, stack, weight, false);
            caller = callee;
        }
    }
    return r;
}

struct order {
    const struct hone_graph *graph;
    bool by_caller; // else by callee
};

static int compare_edges(const void *left, const void *right, void *context)
{
    const struct order *order = context;
    const struct hone_graph_edge *a = &order->graph->edges[*(const uint32_t *)left];
    const struct hone_graph_edge *b = &order->graph->edges[*(const uint32_t *)right];
    uint32_t mine_a = order->by_caller ? a->from : a->to;
    uint32_t mine_b = order->by_caller ? b->from : b->to;
    if (mine_a != mine_b)
        return mine_a < mine_b ? -1 : 1;
    uint64_t weight_a = hone_tally_magnitude(a->weight);
    uint64_t weight_b = hone_tally_magnitude(b->weight);
    if (weight_a != weight_b)
        return weight_a > weight_b ? -1 : 1;
    uint32_t other_a = order->by_caller ? a->to : a->from;
    uint32_t other_b = order->by_caller ? b->to : b->from;
    int names = compare_names(order->graph->nodes[other_a].name, order->graph->nodes[other_b].name);
    return names ? names : (other_a > other_b) - (other_a < other_b);
}

static int collect_edges(struct builder *b)
{
    struct hone_graph *graph = b->graph;
    graph->edges = calloc(b->call_count + 1, sizeof *graph->edges);
    graph->in = calloc(b->call_count + 1, sizeof *graph->in);
    graph->out = calloc(b->call_count + 1, sizeof *graph->out);
    if (!graph->edges || !graph->in || !graph->out)
        return -ENOMEM;
    uint64_t least = cutoff(sum_of_flat(b), b->options->edge_fraction);
    for (uint64_t i = 0; i <= b->call_mask; i++) {
        const struct call *call = &b->calls[i];
        if (!call->key)
            continue;
        bool into_shown = (uint32_t)call->key <= graph->node_count;
        if (into_shown && hone_tally_magnitude(call->weight) < least) {
            graph->dropped_edges++;
            continue;
        }
        graph->in[graph->edge_count] = graph->out[graph->edge_count] = graph->edge_count;
        graph->edges[graph->edge_count++] =
            (struct hone_graph_edge){.from = (uint32_t)(call->key >> 32) - 1,
                                     .to = (uint32_t)call->key - 1,
                                     .weight = call->weight,
                                     .inlined = call->inlined};
    }
    return 0;
}

static void order_edges(struct hone_graph *graph)
{
    uint32_t count = graph->edge_count;
    struct order in = {.graph = graph, .by_caller = false};
    struct order out = {.graph = graph, .by_caller = true};
    qsort_r(graph->in, count, sizeof *graph->in, compare_edges, &in);
    qsort_r(graph->out, count, sizeof *graph->out, compare_edges, &out);
    uint32_t at_in = 0;
    uint32_t at_out = 0;
    for (uint32_t i = 0; i <= graph->node_count + graph->hidden_count; i++) {
        while (at_in < count && graph->edges[graph->in[at_in]].to < i)
            at_in++;
        while (at_out < count && graph->edges[graph->out[at_out]].from < i)
            at_out++;
        graph->nodes[i].first_in = at_in;
        graph->nodes[i].first_out = at_out;
    }
}

// What means are divided by, by stack and by node.
static int tally_counts(struct builder *b)
{
    int64_t ignored;
    b->graph->total = hone_tally_total(b->profile, b->options->type, true);
    b->counts = hone_tally_weights(b->profile, 0, &ignored);
    return b->counts ? hone_tally_init(&b->count_tally, b->profile, b->counts, &b->nodes) : -ENOMEM;
}

static int build(struct builder *b)
{
    const struct hone_profile *p = b->profile;
    const struct hone_graph_options *o = b->options;
    b->weights = hone_tally_weights(p, o->type, &b->graph->total);
    int r = hone_nodes_init(&b->nodes, p, o->group, o->strict, &b->graph->text);
    if (r || !b->weights || hone_tally_touched(p, o->type, o->mean, &b->touched))
        return -ENOMEM;
    b->kept = calloc((size_t)b->nodes.count + 1, sizeof *b->kept);
    r = b->kept ? hone_tally_init(&b->tally, p, b->weights, &b->nodes) : -ENOMEM;
    if (!r && o->mean)
        r = tally_counts(b);
    if (!r)
        r = select_nodes(b);
    if (r || !o->edges)
        return r;
    r = tally_calls(b);
    if (!r)
        r = collect_edges(b);
    if (!r)
        order_edges(b->graph);
    return r;
}

int hone_graph_new(const struct hone_profile *profile, const struct hone_graph_options *options,
                   struct hone_graph **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = calloc(1, sizeof *graph);
    HONE_CLEANUP(builder_done)
    struct builder b = {.profile = profile, .options = options, .graph = graph};
    int r = graph ? build(&b) : -ENOMEM;
    if (r)
        return hone_error_set(err, r, "cannot build the call graph");
    *ret = hone_take(graph);
    return 0;
}

void hone_graph_free(struct hone_graph *graph)
{
    if (!graph)
        return;
    free(graph->nodes);
    free(graph->edges);
    free(graph->in);
    free(graph->out);
    hone_arena_done(&graph->text);
    free(graph);
}

void hone_graph_freep(struct hone_graph **graph)
{
    hone_graph_free(*graph);
}
