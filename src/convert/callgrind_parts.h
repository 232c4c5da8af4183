// What the two halves of the callgrind reader share: callgrind.c makes costs and calls of the text,
// callgrind_stacks.c makes stacks of them. Private to this room.
#ifndef HONE_CONVERT_CALLGRIND_PARTS_H
#define HONE_CONVERT_CALLGRIND_PARTS_H

#include "convert/build.h"

enum { HONE_CALLGRIND_NONE = 0 }; // number of no function

struct hone_callgrind_function {
    struct hone_str name; // in the file
    struct hone_str file;
    uint32_t object; // mapping
    bool placed;     // file and object are those of its own costs, not of a call
};

// What a line of a function cost itself.
struct hone_callgrind_cost {
    uint32_t function;
    uint32_t location;
};

// A call: what was called from a line, with all that it called.
struct hone_callgrind_call {
    uint32_t caller;
    uint32_t location; // of the line in the caller
    uint32_t callee;
};

struct hone_callgrind {
    struct hone_profile *profile;
    uint32_t event_count;
    struct hone_callgrind_function *functions; // from 1
    uint32_t function_count;
    uint32_t function_room;
    struct hone_callgrind_cost *costs;
    int64_t *cost_values; // event_count for each
    uint32_t cost_count;
    uint32_t cost_room;
    uint64_t cost_value_room;
    struct hone_callgrind_call *calls;
    int64_t *call_values;
    uint32_t call_count;
    uint32_t call_room;
    uint64_t call_value_room;
};

// Adds samples to the profile: every cost in full at its own line, below callers that are
// estimated. Returns 0 or -ENOMEM.
int hone_callgrind_add_stacks(struct hone_callgrind *callgrind);

#endif
