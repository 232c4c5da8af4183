// What a recording says of its heap besides the profile: session.json's object "heap". What is not
// there, or not what it should be, is unknown: NAN, or an empty list.
#ifndef HONE_ANALYSE_HEAP_FACTS_H
#define HONE_ANALYSE_HEAP_FACTS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

enum { HONE_HEAP_FACTS_BINS = 32, HONE_HEAP_FACTS_NAMES = 16 };

// A histogram: how many blocks lie up to each limit, and above the one before. The last limit is
// infinite.
struct hone_heap_bins {
    uint32_t count; // 0: not known
    double limit[HONE_HEAP_FACTS_BINS];
    double objects[HONE_HEAP_FACTS_BINS];
    double error[HONE_HEAP_FACTS_BINS]; // 95 of 100 times it is not farther off; 0: exact
};

struct hone_heap_names {
    uint32_t count; // of those that are told
    uint32_t more;  // and others
    struct hone_str at[HONE_HEAP_FACTS_NAMES];
};

struct hone_heap_facts {
    struct hone_str command;
    double duration_ns;
    double peak_bytes, peak_time_ms;           // the highest live total, and when
    double peak_together, peak_processes;      // who lived then, and of how many
    double temporary_objects, temporary_bytes; // freed before their thread allocated again
    double reallocated;                        // blocks that realloc() made of others
    double waste_bytes;                        // that the allocator gave beyond what was asked
    double held_bytes, held_live_bytes;        // resident in the allocator's memory, and live in it
    double held_time_ms;                       // at that time
    double early_objects, early_bytes;         // before Hone began: not in the profile
    double lost;                               // allocations and ends that were not recorded
    double rate_changes;                       // while it ran
    struct hone_heap_bins sizes;               // bytes
    struct hone_heap_bins lives;               // nanoseconds
    double lives_timed;                        // blocks that were looked at for that, of those
    struct hone_heap_names allocators;         // paths
    struct hone_heap_names not_covered;        // what, and why
    struct hone_arena arena;
};

// Returns 0; -EINVAL with err filled when that is no JSON; -ENOMEM. Done is needed in any case.
int hone_heap_facts_read(struct hone_heap_facts *facts, const char *json, size_t len,
                         struct hone_error *err);
void hone_heap_facts_done(struct hone_heap_facts *facts);

// How much of the resident memory lived in no block, of 1: a lower limit, for blocks count with all
// that was asked for, touched or not. NAN: unknown, or more lived than was ever touched.
double hone_heap_facts_fragmentation(const struct hone_heap_facts *facts);

#endif
