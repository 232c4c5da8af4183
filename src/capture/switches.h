// What the kernel's scheduler did with the threads of the recorded processes: who came and went,
// who was put on a CPU and who was taken off, with times. By perf events that only watch: a thread
// that does not run costs nothing, and no thread is disturbed. Where a program in the kernel draws
// waits (draws.h), that one sums up how threads spend their time, and tells of few switches; the
// rest is told by events of the CPUs, also of threads that nobody watches. What an event of a
// thread costs it at each switch is most of what it pays for being watched otherwise.
//
// A record is 24 or so bytes in a ring of each CPU; the rings are read in the order of time. Needs
// no privilege beyond perf_event_paranoid below 3: no kernel address is asked for.
#ifndef HONE_CAPTURE_SWITCHES_H
#define HONE_CAPTURE_SWITCHES_H

#include "base/error.h"
#include "capture/draws.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_switches;

enum hone_switch_kind {
    HONE_SWITCH_NEW,       // the thread begins; it waits for a CPU
    HONE_SWITCH_END,       // and ends
    HONE_SWITCH_EXEC,      // its process became another program
    HONE_SWITCH_NAME,      // it has a new name
    HONE_SWITCH_MAPPED,    // its process has mapped code
    HONE_SWITCH_IN,        // it runs
    HONE_SWITCH_PREEMPTED, // another one runs in its place, it would go on
    HONE_SWITCH_BLOCKED,   // it waits for something
    // By the program alone:
    HONE_SWITCH_WAITED, // it runs again after a block of which nobody has told, behind the sums
    HONE_SWITCH_RUNS,   // it runs; its sums are those of one program
};

struct hone_switch {
    enum hone_switch_kind kind;
    uint32_t pid, tid;
    uint64_t time_ns;     // monotonic
    uint32_t creator_pid; // of a new thread: the process that it comes from
    uint32_t creator_tid;
    char name[16]; // HONE_SWITCH_EXEC, HONE_SWITCH_NAME
    bool leaving;  // the thread is on its way out: its end may have been told before
    // By the program: how it spent its time since it was told of last, until the switch or the
    // block.
    bool summed;
    struct hone_draws_sums sums;
};

// Nothing is watched yet. With `draws` (else NULL) its program tells who comes and goes on CPUs, of
// the threads that it watches; it outlives this.
int hone_switches_open(struct hone_draws *draws, struct hone_switches **ret,
                       struct hone_error *err);
void hone_switches_close(struct hone_switches *switches);

// Whether a program does so: then few switches are told, with sums, and what threads and processes
// do otherwise, of all that there are.
bool hone_switches_are_summed(const struct hone_switches *switches);

// Watches a thread and every thread and process that it starts from now on, or from its next exec
// on; -1: all that there are.
//
// Returns  0; -ESRCH when it is gone; -EACCES, -EMFILE, … as perf_event_open().
int hone_switches_watch(struct hone_switches *switches, pid_t tid, bool at_exec,
                        struct hone_error *err);

// Tells of all that happened until `until_ns`, which is a little while ago: what happened on one
// CPU may be seen later than what followed on another. Returns how often records were lost since
// the last call: then threads may have run unseen.
uint64_t hone_switches_read(struct hone_switches *switches, uint64_t until_ns,
                            void (*tell)(void *context, const struct hone_switch *event),
                            void *context);

// File descriptors in use, to stay below a limit.
uint32_t hone_switches_descriptors(const struct hone_switches *switches);

#endif
