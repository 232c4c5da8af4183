// The call graph of a profile: who spends how much itself (flat), together with what it calls
// (cum), and along which calls. What top and tree print and what dot draws.
//
// A node is a function (or a line, a file, an address); inlined calls are nodes of their own. A
// stack adds to each node and each call once, however often it passes through: recursion is not
// counted twice. Trimming works as in pprof: nodes whose cum is below a part of the total go away,
// calls then skip over them, and nobody else's numbers change.
//
// Promises: one pass over the distinct stacks for nodes and one for calls; nodes ordered by value,
// then by name, so the same profile gives the same graph; names are borrowed from the profile or
// owned by the graph, so the profile must outlive it.
//
// Threads: any number of readers once built.
#ifndef HONE_ANALYSE_GRAPH_H
#define HONE_ANALYSE_GRAPH_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;

// When two frames are the same node.
enum hone_graph_group {
    HONE_GRAPH_FUNCTION, // functions of one name
    HONE_GRAPH_LINE,     // … and the same source line
    HONE_GRAPH_FILE,     // functions of one source file
    HONE_GRAPH_ROUTINE,  // functions of one name in one source file
    HONE_GRAPH_ADDRESS,  // the same address and, if several are inlined there, the same function
    HONE_GRAPH_OBJECT,   // … of the same mapped file, and beginning at the same line
    HONE_GRAPH_OBJECT_LINE, // as HONE_GRAPH_LINE, told apart in the same way
};

struct hone_graph_options {
    uint32_t type; // place of the sample type
    enum hone_graph_group group;
    bool by_cum;          // order by cum instead of flat
    bool edges;           // find the calls too
    uint32_t rows;        // keep at most so many nodes; 0: all
    double node_fraction; // drop nodes whose cum is below this part of all flat values
    double edge_fraction; // drop calls below it
    bool strict;          // tell functions without a name apart by place and module, too
    bool mean;            // values per unit of the first sample type
    bool drop_negative;   // leave out nodes of negative value
};

#define HONE_GRAPH_NO_LINE UINT32_MAX

struct hone_graph_node {
    struct hone_str name; // as printed; code without a name is "[libz.so.1]" or "<unknown>"
    int64_t flat;         // sums, whose means are flat / flat_count and so on
    int64_t cum;
    int64_t flat_count; // 0 unless means were asked for
    int64_t cum_count;
    uint32_t first_in;  // its callers are graph->in[first_in … next node's first_in)
    uint32_t first_out; // its callees are graph->out[first_out … next node's first_out)
    uint32_t location;  // a place that belongs to it, and there the line of profile->lines, or
    uint32_t line;      // HONE_GRAPH_NO_LINE where the place has no name
};

struct hone_graph_edge {
    uint32_t from; // caller, a node
    uint32_t to;
    int64_t weight;
    bool inlined; // in every stack
};

struct hone_graph {
    int64_t total;    // of the samples' absolute values: what percentages refer to
    int64_t flat_sum; // of the values of the nodes kept
    uint32_t node_count;
    // Behind the nodes: those whose values add up to nothing, or that are negative where these were
    // not wanted, and that calls of others lead to. One more closes the ranges of edges.
    uint32_t hidden_count;
    struct hone_graph_node *nodes;
    uint32_t untrimmed_count; // nodes before rows limited them
    uint32_t dropped_nodes;   // by node_fraction
    uint32_t dropped_edges;   // by edge_fraction
    uint32_t edge_count;
    struct hone_graph_edge *edges;
    uint32_t *in;  // edges, of each node largest first
    uint32_t *out; // the same
    struct hone_arena text;
};

// A sum, or a mean where one was asked for: rounded towards zero.
static inline int64_t hone_graph_value(int64_t sum, int64_t count)
{
    return count && count != -1 ? sum / count : count ? (int64_t)(0 - (uint64_t)sum) : sum;
}

// Returns 0 or -ENOMEM.
int hone_graph_new(const struct hone_profile *profile, const struct hone_graph_options *options,
                   struct hone_graph **ret, struct hone_error *err);
void hone_graph_free(struct hone_graph *graph);
void hone_graph_freep(struct hone_graph **graph); // for HONE_CLEANUP

#endif
