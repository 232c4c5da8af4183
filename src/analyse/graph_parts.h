// How the graph of calls is made, step by step; each file of this name does one. Private to
// graph*.c.
//
//     places   what nodes can stand for                          graph_places.c
//     weights  what each stack weighs                            graph.c
//     nodes    flat and cum of each                              graph_calls.c, graph_tree.c
//     edges    between the nodes that are there                  the same
//     order    by value or by what the calls say                 graph_order.c
//     tags     of the nodes that may stay                        graph_tags.c
//     trimming, from all nodes to the few that are shown         graph.c, graph_thin.c
#ifndef HONE_ANALYSE_GRAPH_PARTS_H
#define HONE_ANALYSE_GRAPH_PARTS_H

#include "analyse/graph.h"
#include "analyse/nodes.h"
#include "analyse/tally.h"

struct hone_graph_builder {
    const struct hone_profile *profile;
    const struct hone_graph_options *options;
    struct hone_graph *graph;
    struct hone_nodes places;
    int64_t *weights;  // by stack
    int64_t *counts;   // by stack: of the first type; NULL without mean
    bool *touched;     // by stack: whether any sample has a value; NULL: where the weight is not 0
    bool *gone;        // by node: went away and takes its calls with it
    uint32_t *leaves;  // tree: by stack, see hone_graph_leaf(); only if there are labels
    uint32_t *parents; // tree: by node, as built
    int64_t cut_flat;  // tree: what nodes took that were too small to be made
    int64_t node_cutoff; // pprof's magnitudes, see below
    int64_t edge_cutoff;
};

// The size of a value as pprof reckons it: of the one number without opposite that number itself.
static inline int64_t hone_graph_size_of(int64_t value)
{
    return value < 0 ? (int64_t)(0 - (uint64_t)value) : value;
}

// A value below it is too small. As pprof rounds.
static inline int64_t hone_graph_cutoff(int64_t total, double fraction)
{
    double part = (double)total * fraction;
    part = part < 0 ? -part : part;
    return part < 9.2e18 ? (int64_t)part : 0; // as in pprof, what is no number cuts nothing off
}

// Where a stack ends in a tree: the node, and whether it ended there or in a branch below that was
// cut off.
static inline uint32_t hone_graph_leaf(uint32_t node, bool there)
{
    return node << 1 | there;
}

// Whether a stack says anything: samples of both signs may add up to nothing.
static inline bool hone_graph_counts(const struct hone_graph_builder *b, uint32_t stack)
{
    return b->touched ? b->touched[stack] : b->weights[stack] != 0;
}

int hone_graph_find_places(struct hone_graph_builder *b);

// Sum nodes, none of which is shown yet.
int hone_graph_sum_nodes(struct hone_graph_builder *b);
int hone_graph_build_tree(struct hone_graph_builder *b);

// Makes the edges between nodes that are not gone, replacing those of before.
int hone_graph_join_calls(struct hone_graph_builder *b);

// The nodes that just went leave their callees to their callers.
void hone_graph_join_tree(struct hone_graph_builder *b);

// Puts every edge into the lists of its ends, unless it comes from nowhere: so go those that are
// dropped.
void hone_graph_link(struct hone_graph *graph);

// Orders graph->order.
int hone_graph_sort_nodes(struct hone_graph_builder *b);

// Sums the tags of the first nodes in order, at most so many.
int hone_graph_sum_tags(struct hone_graph_builder *b, uint32_t count);

// Takes calls below the cutoff out of the lists; returns how many.
uint32_t hone_graph_drop_edges(struct hone_graph_builder *b);

// Takes residual calls out whose callee can be reached another way.
int hone_graph_drop_redundant(struct hone_graph_builder *b);

#endif
