// CPU profiles of V8 (Chrome, Node.js): a tree of nodes, and samples that name nodes. A .cpuprofile
// file is one of them; in a trace they come in chunks. Private to this room.
#ifndef HONE_CONVERT_V8_H
#define HONE_CONVERT_V8_H

#include "base/table.h"
#include "convert/build.h"
#include "convert/json.h"
#include "profile/profile.h"

struct hone_v8_profile {
    struct hone_v8_node {
        int64_t id;
        int64_t parent;    // id; 0 none
        uint32_t location; // 0: the root, which is no function
    } * nodes;
    uint32_t node_count;
    uint32_t node_room;
    struct hone_table by_id;

    int64_t *samples; // ids
    uint32_t sample_count;
    uint32_t sample_room;
    int64_t *deltas; // microseconds from the sample before, or the start
    uint32_t delta_count;
    uint32_t delta_room;
    int64_t start; // microseconds; 0 unknown
    int64_t end;
};

// Reads the object that has "nodes" and "samples" (a whole file, or "cpuProfile" of a chunk), and
// "timeDeltas", which chunks have beside it. Adds to what is there.
int hone_v8_read(struct hone_v8_profile *v8, struct hone_json *json, struct hone_profile *profile);
int hone_v8_read_deltas(struct hone_v8_profile *v8, struct hone_json *json);

// A node that the caller knows: for traces that have stacks under another name. False: memory is
// out.
bool hone_v8_add_node(struct hone_v8_profile *v8, const struct hone_v8_node *node);

// The stack of a node. Returns 0; -EBADMSG when there is no such node; -ENOMEM.
int hone_v8_stack(const struct hone_v8_profile *v8, struct hone_profile *profile, int64_t id,
                  struct hone_stack *scratch, uint32_t *ret);

// The types of the values that samples have.
void hone_v8_add_types(struct hone_profile *profile);

// Adds the samples with these labels; values are 1 and nanoseconds. A trace may have begun after
// some of the nodes: their samples are "[unknown]". Returns 0 or -ENOMEM.
int hone_v8_add_samples(const struct hone_v8_profile *v8, struct hone_profile *profile,
                        uint32_t label_set);
void hone_v8_done(struct hone_v8_profile *v8);

#endif
