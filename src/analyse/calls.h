// The calls of a profile as they are drawn and exported. Where graph.h counts for tables, this
// graph also has calls that pass over what was left out (residual), what the labels of samples say
// of each node (tags) and call trees, and it can choose the nodes that make a telling picture.
//
// The choice is pprof's, so that whoever knows its pictures finds the same nodes in ours: nodes and
// calls below a part of the total go away, then the nodes are ordered by how much the spread of
// their calls says, and the first ones stay. Each step counts the samples anew, so nobody's numbers
// change because a neighbour went away.
//
//     main 90 ──► parse 80 ──► read 80       main 90 ──► parse 80 ···► malloc 30
//                    └──► node 30 ──► malloc 30      (node went away)
//
// A node whose values add up to nothing (differences have them), or that is negative where that was
// not wanted, is not shown, but calls may lead to it: its number is 0.
//
// Promises: the same profile gives the same graph; one pass over the distinct stacks per step; no
// recursion. Threads: any number of readers once built; the profile must live as long.
#ifndef HONE_ANALYSE_CALLS_H
#define HONE_ANALYSE_CALLS_H

#include "analyse/graph.h"

// What the labels of samples say, by label set. Words are known by numbers that the caller chose,
// those of one set together have one; sizes also, by how they print.
struct hone_calls_labels {
    const uint32_t *word;       // by label set; 0 is none
    const uint32_t *first_size; // by label set, one more closes the last
    const struct hone_calls_size {
        uint32_t name; // not 0
        int64_t value;
    } * sizes;
};

struct hone_calls_options {
    uint32_t type;                          // place of the sample type
    enum hone_graph_group group;            // what counts as one node
    bool tree;                              // a node for each way from the root instead
    bool telling;                           // order nodes and thin out calls for a picture
    bool by_cum;                            // else order by cum instead of flat
    bool mean;                              // values are per unit of the first sample type
    bool strict;                            // tell places without a name apart, as graph.h
    bool drop_negative;                     // show no node of negative value
    uint32_t rows;                          // at most so many nodes, tags included; 0: all
    double node_fraction;                   // drop nodes whose cum is below this part of all flat
    double edge_fraction;                   // and calls
    const struct hone_calls_labels *labels; // NULL: no tags
};

// A place in the program that nodes stand for. What the grouping does not look at is empty or 0.
struct hone_calls_place {
    struct hone_str name;   // of the function
    struct hone_str file;   // of the source, as short as it gets
    struct hone_str object; // the mapping's file, where names do not tell places apart
    uint64_t address;
    int64_t line;
    int64_t start;            // where the function begins, known with the object only
    struct hone_str together; // as printed: all of that
};

// A sum and, for means, what to divide it by.
struct hone_calls_value {
    int64_t sum;
    int64_t count;
};

#define HONE_CALLS_NONE UINT32_MAX

struct hone_calls_node {
    uint32_t place;
    uint32_t number; // place in the order, from 1; 0: not shown
    struct hone_calls_value flat;
    struct hone_calls_value cum;
    uint32_t first_in; // edges, a list by next_in; HONE_CALLS_NONE ends it
    uint32_t first_out;
    uint32_t in_count;
    uint32_t out_count;
    uint32_t first_tag; // of calls->tags
    uint32_t tag_count;
};

struct hone_calls_edge {
    uint32_t from; // nodes; HONE_CALLS_NONE: the edge went away and is in no list
    uint32_t to;
    uint32_t next_in;
    uint32_t next_out;
    struct hone_calls_value weight;
    bool inlined;  // in every stack
    bool residual; // passes over something that went away, in some stack
};

// What one set of words, or one size beside it, adds up to at a node.
struct hone_calls_tag {
    uint32_t node;
    uint32_t word;
    uint32_t size;  // its name; 0: this is the word itself
    int64_t number; // of the size: the first value that prints like that
    struct hone_calls_value flat;
    struct hone_calls_value cum;
};

struct hone_calls {
    struct hone_calls_place *places;
    uint32_t place_count;
    struct hone_calls_node *nodes;
    uint32_t node_count;
    struct hone_calls_edge *edges;
    uint32_t edge_count;
    struct hone_calls_tag *tags;
    uint32_t *order; // nodes that are shown, in order
    uint32_t shown_count;
    uint32_t untrimmed_count; // nodes before rows limited them
    uint32_t dropped_nodes;   // by node_fraction
    uint32_t dropped_edges;   // by edge_fraction, since rows limited the nodes
    struct hone_arena text;
};

// Returns 0 or -ENOMEM.
int hone_calls_new(const struct hone_profile *profile, const struct hone_calls_options *options,
                   struct hone_calls **ret, struct hone_error *err);
void hone_calls_free(struct hone_calls *calls);
void hone_calls_freep(struct hone_calls **calls); // for HONE_CLEANUP

// The mean, or the sum where no mean was asked for.
static inline int64_t hone_calls_value(struct hone_calls_value value)
{
    return hone_graph_value(value.sum, value.count);
}

// The edges into or out of a node, largest first, then by the names of caller and callee. ret has
// room for in_count or out_count numbers of edges.
void hone_calls_sort_in(const struct hone_calls *calls, uint32_t node, uint32_t *ret);
void hone_calls_sort_out(const struct hone_calls *calls, uint32_t node, uint32_t *ret);

// Numbers of edges in the same order.
void hone_calls_sort_edges(const struct hone_calls *calls, uint32_t *edges, uint32_t count);

#endif
