// From samples to stacks of addresses, many at a time on all processors.
//
// Samples wait, with what their processes have mapped now, until there are enough of them or
// something is about to change. Then all are walked, and handed on in the order in which they came.
#ifndef HONE_CONVERT_PERF_STACKS_H
#define HONE_CONVERT_PERF_STACKS_H

#include "convert/perf_walker.h"

// Addresses that are none: frames that stand for something else. No code lies so low.
enum {
    HONE_PERFDATA_TRUNCATED = 1, // callers that could not be found
    HONE_PERFDATA_GUEST = 2,     // a virtual machine's own
    HONE_PERFDATA_HYPERVISOR = 3,
    HONE_PERFDATA_EXEC = 4, // a program that is about to become another one
    HONE_PERFDATA_PLACES,   //
    HONE_PERFDATA_LOWEST = 16,
};

enum {
    HONE_PERFDATA_DEPTH_MAX = 1024,
    HONE_PERFDATA_ENDS = HONE_WALK_END_COUNT,
};

// How a stack was come by.
enum hone_perfdata_way {
    HONE_PERFDATA_LEAF,   // no callers were recorded
    HONE_PERFDATA_CHAIN,  // the kernel followed frame pointers
    HONE_PERFDATA_BRANCH, // the processor noted calls
    HONE_PERFDATA_COPY,   // walked here
    HONE_PERFDATA_WAYS,
};

// A sample with its stack.
struct hone_perfdata_stack {
    uint32_t process, thread;
    uint64_t period;
    const uint64_t *addresses; // leaf first, callers inside their call
    uint32_t count;
    enum hone_perfdata_way way;
    enum hone_walk_end end; // of COPY
    bool strayed;           // of CHAIN: it led to where no code is
    bool searched;          // of COPY: a caller was searched for
    uint64_t hash;          // of process, mappings and addresses
};

struct hone_perfdata_stacks {
    const struct hone_perfdata_info *info;
    uint32_t event; // its number: all samples are of one
    struct hone_perfdata_processes *processes;
    struct hone_perfdata_modules *modules;
    unsigned threads;
    int (*stack)(void *context, const struct hone_perfdata_stack *stack);
    void (*walked)(void *context); // many were: nothing of their samples is needed any more
    void *context;

    struct hone_perfdata_job *jobs; // private from here on
    uint32_t count, walked_count;
    uint32_t walker_count;
    uint64_t seed;
    struct hone_perfdata_crew *crew;
};

// All but the private fields are the caller's to set before. Returns 0 or -ENOMEM.
int hone_perfdata_stacks_init(struct hone_perfdata_stacks *stacks);
void hone_perfdata_stacks_done(struct hone_perfdata_stacks *stacks);

// Adds a sample, whose bytes stay until the next flush.
int hone_perfdata_stacks_add(struct hone_perfdata_stacks *stacks, uint32_t thread,
                             const struct hone_perfdata_sample *sample);

// Walks all that wait and hands them on. To be called before anything changes.
int hone_perfdata_stacks_flush(struct hone_perfdata_stacks *stacks);

#endif
