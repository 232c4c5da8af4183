// The call graph of a profile: who spends how much itself (flat), together with what it calls
// (cum), and along which calls. What top and tree print, dot draws and callgrind files hold.
//
// A node is a function (or a line, a file, an address); inlined calls are nodes of their own. A
// stack adds to each node and each call once, however often it passes through: recursion is not
// counted twice. A call tree has a node for each way from the root instead.
//
// What is left out is pprof's choice, so that whoever knows its tables and pictures finds the same
// in ours: nodes and calls below a part of the total go away, then the nodes are ordered, for a
// picture by how much the spread of their calls says, and the first ones stay. Each step counts the
// samples anew, so nobody's numbers change because a neighbour went away; calls pass over it.
//
//     main 90 ──► parse 80 ──► read 80       main 90 ──► parse 80 ···► malloc 30
//                    └──► node 30 ──► malloc 30      (node went away)
//
// A node whose values add up to nothing (differences have them), or that is negative where that was
// not wanted, is not shown, but calls may lead to it: its number is 0.
//
// Promises: the same profile gives the same graph, whatever the number of threads that built it;
// one pass over the distinct stacks per step; no recursion. Names are borrowed from the profile or
// owned by the graph, so the profile must outlive it.
//
// Threads: any number of readers once built; building uses threads of its own.
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
    HONE_GRAPH_FUNCTION,    // functions of one name
    HONE_GRAPH_LINE,        // … and the same source line
    HONE_GRAPH_FILE,        // functions of one source file
    HONE_GRAPH_ROUTINE,     // functions of one name in one source file
    HONE_GRAPH_ADDRESS,     // the same address and, if several are inlined there, the same function
    HONE_GRAPH_OBJECT,      // … of the same mapped file, and beginning at the same line
    HONE_GRAPH_OBJECT_LINE, // as HONE_GRAPH_LINE, told apart in the same way
};

// Which calls are found. Fewer take less time and memory.
enum hone_graph_edges {
    HONE_GRAPH_ALL_EDGES,     // as pictures need them
    HONE_GRAPH_INLINED_EDGES, // into nodes that are inlined somewhere
    HONE_GRAPH_NO_EDGES,
};

#define HONE_GRAPH_NO_LINE UINT32_MAX

// A sum, or a mean where one was asked for: rounded towards zero.
static inline int64_t hone_graph_mean(int64_t sum, int64_t count)
{
    return count && count != -1 ? sum / count : count ? (int64_t)(0 - (uint64_t)sum) : sum;
}

// What the labels of samples say, by label set. Words are known by numbers that the caller chose,
// those of one set together have one; sizes also, by how they print.
struct hone_graph_labels {
    const uint32_t *word;       // by label set; 0 is none
    const uint32_t *first_size; // by label set, one more closes the last
    const struct hone_graph_size {
        uint32_t name; // not 0
        int64_t value;
    } * sizes;
};

struct hone_graph_options {
    uint32_t type;                          // place of the sample type
    enum hone_graph_group group;            // what counts as one node
    enum hone_graph_edges edges;            // (all)
    bool tree;                              // a node for each way from the root instead
    bool telling;                           // order nodes and thin out calls for a picture
    bool by_cum;                            // else order by cum instead of flat
    bool mean;                              // values are per unit of the first sample type
    bool strict;                            // tell places without a name apart, too
    bool drop_negative;                     // show no node of negative value
    uint32_t rows;                          // at most so many nodes, tags included; 0: all
    double node_fraction;                   // drop nodes whose cum is below this part of all flat
    double edge_fraction;                   // and calls
    const struct hone_graph_labels *labels; // NULL: no tags
};

// A place in the program that nodes stand for. What the grouping does not look at is empty or 0.
struct hone_graph_place {
    struct hone_str name;   // of the function
    struct hone_str file;   // of the source, as short as it gets
    struct hone_str object; // the mapping's file, where names do not tell places apart
    uint64_t address;
    int64_t line;
    int64_t start; // where the function begins, known with the object only
    struct hone_str
        together;      // as printed: all of that; "[libz.so.1]" or "<unknown>" without a name
    uint32_t location; // the first that belongs to it, and there the line of profile->lines,
    uint32_t number;   // or HONE_GRAPH_NO_LINE where the place has no name
};

// A sum and, for means, what to divide it by.
struct hone_graph_value {
    int64_t sum;
    int64_t count;
};

#define HONE_GRAPH_NONE UINT32_MAX

struct hone_graph_node {
    uint32_t place;
    uint32_t number; // place in the order, from 1; 0: not shown
    struct hone_graph_value flat;
    struct hone_graph_value cum;
    uint32_t first_in; // edges, a list by next_in; HONE_GRAPH_NONE ends it
    uint32_t first_out;
    uint32_t in_count;
    uint32_t out_count;
    uint32_t first_tag; // of graph->tags
    uint32_t tag_count;
};

struct hone_graph_edge {
    uint32_t from; // nodes; HONE_GRAPH_NONE: the edge went away and is in no list
    uint32_t to;
    uint32_t next_in;
    uint32_t next_out;
    struct hone_graph_value weight;
    bool inlined;  // in every stack
    bool residual; // passes over something that went away, in some stack
};

// What one set of words, or one size beside it, adds up to at a node.
struct hone_graph_tag {
    uint32_t node;
    uint32_t word;
    uint32_t size;  // its name; 0: this is the word itself
    int64_t number; // of the size: the first value that prints like that
    struct hone_graph_value flat;
    struct hone_graph_value cum;
};

struct hone_graph {
    int64_t flat_sum; // of the nodes that are shown
    struct hone_graph_place *places;
    uint32_t place_count;
    struct hone_graph_node *nodes;
    uint32_t node_count;
    struct hone_graph_edge *edges;
    uint32_t edge_count;
    struct hone_graph_tag *tags;
    uint32_t *order; // nodes that are shown, in order
    uint32_t shown_count;
    uint32_t untrimmed_count; // nodes before rows limited them
    uint32_t dropped_nodes;   // by node_fraction
    uint32_t dropped_edges;   // by edge_fraction, since rows limited the nodes
    struct hone_arena text;
};

// Returns 0 or -ENOMEM.
int hone_graph_new(const struct hone_profile *profile, const struct hone_graph_options *options,
                   struct hone_graph **ret, struct hone_error *err);
void hone_graph_free(struct hone_graph *graph);
void hone_graph_freep(struct hone_graph **graph); // for HONE_CLEANUP

// The mean, or the sum where no mean was asked for.
static inline int64_t hone_graph_value(struct hone_graph_value value)
{
    return hone_graph_mean(value.sum, value.count);
}

// The edges into or out of a node, largest first, then by the names of caller and callee. ret has
// room for in_count or out_count numbers of edges.
void hone_graph_sort_in(const struct hone_graph *graph, uint32_t node, uint32_t *ret);
void hone_graph_sort_out(const struct hone_graph *graph, uint32_t node, uint32_t *ret);

// Numbers of edges in the same order.
void hone_graph_sort_edges(const struct hone_graph *graph, uint32_t *edges, uint32_t count);

#endif
