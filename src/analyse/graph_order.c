// In which order nodes and edges are shown. For a picture, a node counts by how much its calls say:
// one that hands on all it gets from one caller to one callee could as well be missing. That is the
// entropy of its callers and callees, times cum.
#include "analyse/graph_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// The entropy of the edges of a list and of what the node itself took.
static double spread(const struct hone_graph *graph, uint32_t first, bool in, int64_t self)
{
    int64_t total = self;
    for (uint32_t i = first; i != HONE_GRAPH_NONE;
         i = in ? graph->edges[i].next_in : graph->edges[i].next_out)
        if (graph->edges[i].weight.sum > 0)
            total = hone_tally_add(total, graph->edges[i].weight.sum);
    double entropy = 0;
    if (!total)
        return entropy;
    for (uint32_t i = first; i != HONE_GRAPH_NONE;
         i = in ? graph->edges[i].next_in : graph->edges[i].next_out) {
        double part = (double)hone_graph_size_of(graph->edges[i].weight.sum) / (double)total;
        entropy += -part * log2(part);
    }
    if (self > 0) {
        double part = (double)self / (double)total;
        entropy += -part * log2(part);
    }
    return entropy;
}

// Calls of no weight (differences have them) make this no number at all, which pprof's machines
// take for the smallest one.
static int64_t to_number(double value)
{
    return value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
}

static int64_t score_of(const struct hone_graph *graph, const struct hone_graph_node *node)
{
    double score = 0;
    score += node->in_count ? spread(graph, node->first_in, true, 0) : 1; // roots say where from
    score += node->out_count ? spread(graph, node->first_out, false, node->flat.sum) : 1;
    return hone_tally_add(to_number(score * (double)node->cum.sum), node->flat.sum);
}

struct candidate {
    struct hone_str name;
    uint32_t place;
    int64_t first;
    int64_t second;
    uint32_t node;
};

static int compare_candidates(const void *left, const void *right, void *context)
{
    const struct hone_graph_builder *builder = context;
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->first != b->first)
        return a->first > b->first ? -1 : 1;
    int order = hone_str_compare(a->name, b->name);
    if (order)
        return order;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    if (a->place != b->place)
        return hone_nodes_compare(&builder->places, builder->profile, a->place, b->place);
    return (a->node > b->node) - (a->node < b->node);
}

int hone_graph_sort_nodes(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    HONE_CLEANUP(hone_freep)
    struct candidate *candidates = calloc((size_t)graph->shown_count + 1, sizeof *candidates);
    if (!candidates)
        return -ENOMEM;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        int64_t flat = hone_graph_size_of(node->flat.sum);
        int64_t cum = hone_graph_size_of(node->cum.sum);
        struct candidate *at = &candidates[i];
        *at = (struct candidate){.name = graph->places[node->place].together,
                                 .place = node->place,
                                 .node = graph->order[i]};
        if (b->options->telling)
            at->first = hone_graph_size_of(score_of(graph, node));
        else
            at->first = b->options->by_cum ? cum : flat;
        at->second = b->options->telling || b->options->by_cum ? flat : cum;
    }
    if (graph->shown_count)
        qsort_r(candidates, graph->shown_count, sizeof *candidates, compare_candidates, b);
    for (uint32_t i = 0; i < graph->shown_count; i++)
        graph->order[i] = candidates[i].node;
    return 0;
}

// --- edges ---------------------------------------------------------------------------------------

static struct hone_str name_of(const struct hone_graph *graph, uint32_t node)
{
    return graph->places[graph->nodes[node].place].together;
}

static int compare_edges(const void *left, const void *right, void *context)
{
    const struct hone_graph *graph = context;
    const struct hone_graph_edge *a = &graph->edges[*(const uint32_t *)left];
    const struct hone_graph_edge *b = &graph->edges[*(const uint32_t *)right];
    int64_t size_a = hone_graph_size_of(a->weight.sum);
    int64_t size_b = hone_graph_size_of(b->weight.sum);
    if (size_a != size_b)
        return size_a > size_b ? -1 : 1;
    int order = 0;
    if (a->from != b->from)
        order = hone_str_compare(name_of(graph, a->from), name_of(graph, b->from));
    if (!order && a->to != b->to)
        order = hone_str_compare(name_of(graph, a->to), name_of(graph, b->to));
    return order ? order : (a > b) - (a < b);
}

void hone_graph_sort_edges(const struct hone_graph *graph, uint32_t *edges, uint32_t count)
{
    if (count)
        qsort_r(edges, count, sizeof *edges, compare_edges, (void *)graph);
}

void hone_graph_sort_in(const struct hone_graph *graph, uint32_t node, uint32_t *ret)
{
    uint32_t count = 0;
    for (uint32_t i = graph->nodes[node].first_in; i != HONE_GRAPH_NONE;
         i = graph->edges[i].next_in)
        ret[count++] = i;
    hone_graph_sort_edges(graph, ret, count);
}

void hone_graph_sort_out(const struct hone_graph *graph, uint32_t node, uint32_t *ret)
{
    uint32_t count = 0;
    for (uint32_t i = graph->nodes[node].first_out; i != HONE_GRAPH_NONE;
         i = graph->edges[i].next_out)
        ret[count++] = i;
    hone_graph_sort_edges(graph, ret, count);
}
