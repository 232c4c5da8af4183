// Recording from outside, by perf events: what cannot be preloaded (static, setuid, Go), processes
// that run already, the whole machine. The kernel samples each thread's CPU clock and copies its
// registers and the top of its stack; the stacks are walked here, when the samples are read.
//
// What comes of it goes to hone_collect_events, as if the processes had told it themselves: one
// process for each program that a process was, modules as they are mapped, threads when they are
// sampled first, a stack for each sample. The programs are not touched and need not be asked.
//
//     hone_outside_new(&options, &collected, &outside, &err);
//     hone_outside_add(outside, pid, &err);      // or hone_outside_add_all()
//     hone_outside_start(outside);
//     while (recording)
//         hone_outside_poll(outside);
//     hone_outside_finish(outside);
//
// Threads: one at a time.
#ifndef HONE_CAPTURE_OUTSIDE_H
#define HONE_CAPTURE_OUTSIDE_H

#include "base/error.h"
#include "capture/collect.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_outside;

struct hone_outside_options {
    uint64_t period_ns;
    uint64_t memory_bytes; // of the kernel's buffers, at most
    uint32_t stack_max;    // frames kept of a stack
};

// What became of it, apart from the collected samples.
struct hone_outside_facts {
    uint64_t samples;
    uint64_t lost;         // records for which the kernel had no room
    uint64_t lost_samples; // of them, samples
    uint64_t broken;       // records that made no sense
    uint64_t throttled;    // times that the kernel held samples back
    uint64_t read_bytes;   // of the kernel's buffers
    // Programs that gained rights, which ends the events on them: they were opened anew, or the
    // program had ended by then, or that was refused.
    uint64_t ended_events, ended_gone, ended_refused;
    uint64_t ended_missed_ns; // CPU time until they were opened anew
    uint32_t processes;       // that live and are watched
    uint32_t stack_bytes;
    uint64_t ring_bytes; // of the kernel's buffer for each CPU
    bool ring_limited;   // by what we may lock in memory, not by the options
    bool without_counts; // of threads: too few descriptors may be open
    bool by_cpus;        // whole CPUs are watched: what is lost is counted for no thread
    bool sees_kernel;
};

int hone_outside_new(const struct hone_outside_options *options, struct hone_collected *collected,
                     struct hone_outside **ret, struct hone_error *err);
void hone_outside_free(struct hone_outside *outside);

// A process that is about to become a program: recorded from there on. `rights`: that program runs
// with rights of its own, which ends events on its threads, so it is watched by those of all CPUs.
int hone_outside_add_program(struct hone_outside *outside, pid_t pid, bool rights,
                             struct hone_error *err);
// A process that runs, with all its threads.
int hone_outside_add_process(struct hone_outside *outside, pid_t pid, struct hone_error *err);
// Every process of the machine.
int hone_outside_add_all(struct hone_outside *outside, struct hone_error *err);

// Sampling begins; for a program, when it does.
void hone_outside_start(struct hone_outside *outside);

// Readable when a buffer fills; -1 when there is none of that number. For poll() and its like.
int hone_outside_descriptor(const struct hone_outside *outside, uint32_t number);

// Reads what was sampled until a moment ago. Returns 0 or -ENOMEM.
int hone_outside_poll(struct hone_outside *outside);

// A child of ours has ended and is not waited for yet: its CPU clock can still be looked at.
void hone_outside_program_ended(struct hone_outside *outside, pid_t pid);

// Ends sampling and reads the rest. Returns 0 or -ENOMEM.
int hone_outside_finish(struct hone_outside *outside);

void hone_outside_facts(const struct hone_outside *outside, struct hone_outside_facts *ret);

#endif
