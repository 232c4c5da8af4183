// Perf events on others: one clock event for each thread that is watched, or for each CPU, all
// writing into one ring per CPU. Beside it a silent event tells of processes (forks, execs,
// mappings) into a ring of its own: samples that come faster than we read must not cost the
// knowledge of who they are from.
#ifndef HONE_CAPTURE_PERF_EVENTS_H
#define HONE_CAPTURE_PERF_EVENTS_H

#include "base/error.h"
#include "capture/perf_ring.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// What an event is for; those of each kind have a ring of their own on each CPU.
enum hone_perf_kind {
    HONE_PERF_SAMPLES,   // a clock, which is sampled
    HONE_PERF_PROCESSES, // what becomes of processes
    // A clock that tells what it counted when its thread ends. The kernel writes that for each CPU
    // of the machine from the one where the thread is, without a lock. When two do at once a ring
    // may never move on again: so only these records are lost by it.
    HONE_PERF_COUNTS,
    HONE_PERF_KINDS
};

struct hone_perf_event_options {
    uint64_t period_ns;
    uint64_t memory_bytes; // of all rings
    bool on_exec;          // begins when the thread becomes a program
};

struct hone_perf_event {
    pid_t tid; // -1: the whole CPU
    uint32_t ring;
    int fd;           // -1: it is over
    uint64_t counted; // by then
};

struct hone_perf {
    struct hone_perf_event_options options;
    struct hone_perf_ring *rings; // HONE_PERF_KINDS for each CPU; one that is not there has no page
    uint32_t cpu_count, ring_count;
    struct hone_perf_event *events;
    uint32_t event_count, event_room;
    bool running; // events count from their opening on
    bool sees_kernel;
    bool without_counts;  // of threads: there are too few descriptors
    uint32_t stack_bytes; // copied of each stack
    uint64_t ring_bytes;  // of each
    bool ring_limited;    // by what we may lock in memory
};

// Returns 0 or -ENOMEM.
int hone_perf_init(struct hone_perf *perf, const struct hone_perf_event_options *options);
void hone_perf_done(struct hone_perf *perf);

// Watches a thread and all threads and processes that it starts. Returns 0; -ESRCH when it is gone;
// or a negative errno with err filled.
int hone_perf_add_thread(struct hone_perf *perf, pid_t tid, struct hone_error *err);
// Watches every CPU. Returns 0 or a negative errno with err filled.
int hone_perf_add_cpus(struct hone_perf *perf, struct hone_error *err);

// Counting begins, unless `on_exec` begins it.
void hone_perf_enable(struct hone_perf *perf);
void hone_perf_disable(struct hone_perf *perf);

// CPU time of the thread that was added, and of all that it started. False: not one of them.
bool hone_perf_count(const struct hone_perf *perf, pid_t tid, uint64_t *ret_ns);

#endif
