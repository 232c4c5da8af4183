// Which node each frame of a profile belongs to: the first step towards a graph. Private to this
// room.
#ifndef HONE_ANALYSE_NODES_H
#define HONE_ANALYSE_NODES_H

#include "analyse/graph.h"
#include "profile/profile.h"

#define HONE_NODES_SEVERAL UINT32_MAX

// What tells nodes apart; what a grouping does not look at is 0.
struct hone_nodes_key {
    uint64_t address;
    int64_t line;
    int64_t start_line; // of the function
    uint32_t name;      // strings
    uint32_t file;
    uint32_t object; // the mapping's file
    uint32_t padding;
};

// The nodes of a location, outermost function first (the order in which a walk from the root
// passes them), are at[first[location] … first[location + 1]), at least one; all but the first are
// inlined. only[location] is the one node of those that have one, else HONE_NODES_SEVERAL: loops
// over millions of frames touch less memory that way.
struct hone_nodes {
    uint32_t count;
    struct hone_str *names; // of each node
    struct hone_nodes_key *keys;
    struct hone_nodes_origin {
        uint32_t location; // the first that belongs to it
        uint32_t line;     // of profile->lines, or HONE_GRAPH_NO_LINE
    } * origins;
    uint32_t *first;
    uint32_t *at;
    uint32_t *only;
};

// Names that are not the profile's go into text. With strict, places without a function's name are
// also told apart by where the function begins and by module, as pprof has it. Returns 0 or
// -ENOMEM.
int hone_nodes_init(struct hone_nodes *nodes, const struct hone_profile *profile,
                    enum hone_graph_group group, bool strict, struct hone_arena *text);

// The order of two nodes that are printed alike: by all that tells them apart, written one after
// the other.
int hone_nodes_compare(const struct hone_nodes *nodes, const struct hone_profile *profile,
                       uint32_t a, uint32_t b);
void hone_nodes_done(struct hone_nodes *nodes);

#endif
