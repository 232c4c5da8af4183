// The wall clock: where threads spend their time whether they run or wait. All from outside: no
// thread of the program is stopped, signalled or made to do anything, so nothing that it waits in
// ends early, and a thread that waits costs nothing.
//
// Two sources that correct each other:
// - The scheduler's records (switches.h) say exactly when each thread ran, waited for a CPU, or
//   was blocked. So the states of a thread add up to its lifetime, whatever else is missed.
// - At each tick the stacks of threads that are blocked, and were not blocked in the same place at
//   the tick before, are read: /proc/PID/task/TID/syscall and a copy of the stack, walked by our
//   own rules. A thread that went on meanwhile is found out by the next records: that read counts
//   as nothing.
//
// Where programs in the kernel are permitted (draws.h), one keeps the account of each thread and
// tells of few switches, stacks of waits are copied by the kernel as they begin, and looks are for
// those that last.
//
// Without that, a block as long as two ticks or longer is always seen, and counts as long as it
// was. One that is shorter is seen by chance, in proportion to its length; those that were seen
// stand for those that were not. Time on the CPU gets the stacks of the CPU samples.
#ifndef HONE_CAPTURE_WALL_H
#define HONE_CAPTURE_WALL_H

#include "base/error.h"
#include "capture/collect.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hone_wall;

struct hone_wall_options {
    uint64_t hz;                  // looks a second
    uint32_t stack_max;           // frames kept of a stack
    enum hone_wall_engine engine; // the best that may be taken
    uint64_t memory_bytes;        // of the kernel's buffers for copies of stacks
};

// Stacks go into `collected`, which outlives it.
int hone_wall_open(struct hone_collected *collected, const struct hone_wall_options *options,
                   struct hone_wall **ret, struct hone_error *err);
void hone_wall_close(struct hone_wall *wall);

// Watches a process that runs already: the threads that it has, and all threads and processes that
// they start.
//
// Returns  0; -ESRCH when it is gone; or why it cannot be watched.
int hone_wall_watch(struct hone_wall *wall, pid_t pid, struct hone_error *err);

// Watches a program from its first moment: a child of ours that is about to become it, and is
// nothing to watch until then. Whoever asks late misses what it has started and left behind.
void hone_wall_expect(struct hone_wall *wall, pid_t pid);
// It has become the program, which counts from then on. Returns as hone_wall_watch().
int hone_wall_begin(struct hone_wall *wall, pid_t pid, uint64_t began_ns, struct hone_error *err);

// Watches all processes of the machine but our own and the kernel's threads. By perf events only.
int hone_wall_watch_all(struct hone_wall *wall, struct hone_error *err);

// The session tells of a process that has just begun, or has become another program, and when it
// did; `path` is the program's. Perf events know that themselves.
void hone_wall_announce(struct hone_wall *wall, pid_t pid, uint64_t started_ns, const char *path);

// A descriptor that can be read when hone_wall_tick() is to be called before that; -1: there is
// none. It is closed by hone_wall_stop().
int hone_wall_descriptor(const struct hone_wall *wall);
// Whether it looks seldom just now, because each time would be felt.
bool hone_wall_is_in_storm(const struct hone_wall *wall);
// When hone_wall_tick() is to be called next, monotonic.
uint64_t hone_wall_due_ns(const struct hone_wall *wall);
void hone_wall_tick(struct hone_wall *wall);

// The recording's time is over: what happens from now on does not count.
void hone_wall_stop(struct hone_wall *wall);

// Makes samples of all that was seen: after hone_collect_finish(), whose CPU samples are used.
// Fills collected->wall and wall_facts. Returns 0 or -ENOMEM.
int hone_wall_finish(struct hone_wall *wall);

#endif
