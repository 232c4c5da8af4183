// A dump of running processes from outside: every thread with its name, its state, what it waits
// for and for how long, and its stack. Prepared or not: what was preloaded is not needed.
//
//     hone_dump_new(&options, &collected, &dump, &err);
//     hone_dump_add(dump, pid, &err);
//     hone_dump_take(dump);
//     … dump->threads[0 … dump->thread_count)
//     hone_dump_free(dump);
//
// Threads that are blocked are not touched: nothing they wait in ends early. A thread that runs is
// sampled once by a perf event, which does not stop it either; where perf events are not permitted
// it is stopped alone, for some microseconds, by ptrace. So the process as a whole never stands
// still, and what is told of two threads is of two moments: `looked_ns` says which.
//
// Stacks go into the tables of `collected`, where threads that stand at the same place share one;
// names come later, with hone_recording_profile().
//
// Threads: one at a time.  Signals: not safe.
#ifndef HONE_CAPTURE_DUMP_H
#define HONE_CAPTURE_DUMP_H

#include "base/error.h"
#include "capture/collect.h"
#include "capture/wait_kinds.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HONE_DUMP_UNKNOWN UINT64_MAX

// Why there is no stack.
enum hone_dump_miss {
    HONE_DUMP_HAS_STACK,
    HONE_DUMP_REFUSED,     // we may not look at it
    HONE_DUMP_RESTLESS,    // it ran each time between two looks, and no sample of it came
    HONE_DUMP_NO_CPU,      // it is ready to run, and got no CPU while we waited
    HONE_DUMP_NOT_STOPPED, // it runs, perf events are not permitted, and it may not be stopped: a
                           // debugger has it, or nobody shall stop
    HONE_DUMP_OVER,        // it has ended, and is listed until others take note
    HONE_DUMP_MISSES
};

// In words; NULL for HONE_DUMP_HAS_STACK.
const char *hone_dump_miss_words(enum hone_dump_miss miss);

struct hone_dump_thread {
    uint32_t process; // in dump->processes
    uint32_t tid;
    char name[16];
    char state;          // the kernel's letter: R runs or is ready to, S and D wait, T and t stand
                         // still, Z and X have ended
    enum hone_wait wait; // HONE_WAIT_NONE unless it waits
    enum hone_wait_kind kind; // the same, finer
    uint64_t looked_ns;       // monotonic
    uint64_t waits_ns;        // since it was on a CPU last; 0 where it does not wait;
                              // HONE_DUMP_UNKNOWN
    // Where it waits: the system call with its arguments, stack pointer and instruction. Not known
    // (`placed` false) of a thread that runs.
    bool placed;
    struct hone_blocked blocked;
    uint64_t futex;    // address of the word that it waits for; 0: it waits in no futex
    bool futex_shared; // which other processes may wake, too
    bool limited;      // the call has a time limit, or is a sleep: it ends by itself
    uint32_t stack;    // in collected->stacks, plus one; 0: see `miss`
    enum hone_dump_miss miss;
    // Who created it and where, if the process was asked to remember that.
    uint32_t creation;    // in collected->stacks, plus one; 0: not known
    uint32_t creator_tid; // 0: not known
};

struct hone_dump_process {
    uint32_t pid;
    char name[HONE_PROCESS_NAME];
    uint32_t collected;       // in collected->processes
    uint32_t threads;         // in this dump
    uint64_t handled_signals; // a bit for each signal that it has a handler for, from signal 1 on
    bool refused;             // stacks and waits are not ours to read
    bool lives;               // some thread has not ended: else none of it is in the dump
    bool awake;               // some thread may go on by itself or by what comes from outside
    bool asleep;              // all wait for each other: nobody is left to wake anybody
};

struct hone_profile;

struct hone_dump {
    struct hone_collected *collected;
    struct hone_dump_process *processes;
    uint32_t process_count, process_room;
    struct hone_dump_thread *threads; // by process, in the order of their ids
    uint32_t thread_count, thread_room;
    uint64_t started_ns, ended_ns; // monotonic
    uint32_t gone;                 // threads that ended before they could be looked at
    uint32_t sampled, stopped;     // of those that ran: by a perf event, by ptrace
    uint32_t torn;                 // looks that did not count: the thread ran meanwhile

    struct hone_dump_state *state; // private
};

// Zero means default.
struct hone_dump_options {
    uint32_t stack_max;  // frames kept of a stack (512)
    uint64_t running_ns; // how long to wait for samples of those that run (1 s)
    bool no_stacks;      // states alone: quicker, and no thread that runs is interrupted
    bool never_stop;     // a thread that runs is left alone where perf events are not permitted
};

// `collected` outlives it. Returns 0 or -ENOMEM with err filled.
int hone_dump_new(const struct hone_dump_options *options, struct hone_collected *collected,
                  struct hone_dump **ret, struct hone_error *err);
void hone_dump_free(struct hone_dump *dump);

// Lists the threads of a process. Returns 0; -ESRCH when there is none; -ENOMEM; with err filled.
int hone_dump_add(struct hone_dump *dump, pid_t pid, struct hone_error *err);

// Looks at threads until `until_ns`, monotonic, or a little longer. Returns 1 when there are more
// to be looked at, 0 when all were, -ENOMEM.
int hone_dump_some(struct hone_dump *dump, uint64_t until_ns);
// At all of them.
int hone_dump_take(struct hone_dump *dump);

// Who created the threads, and where: from what a session has told of them into `collected`, or
// from what libhone.so keeps of that in processes that somebody records. Threads of which nobody
// knows are left as they are. Returns 0 or -ENOMEM.
int hone_dump_creations_told(struct hone_dump *dump);
int hone_dump_creations_read(struct hone_dump *dump);

// The thread's state as one word: "running", "stopped", "traced", "ended", else hone_wait_name().
const char *hone_dump_state_name(const struct hone_dump_thread *thread);

// threads.prof of a dump that is complete, with names: a sample for each thread. The caller frees
// it; ret_stacks, which may be NULL, says what number each collected stack has in it.
struct hone_dump_profile_options {
    const char *version; // of hone
    bool debuginfod;     // fetch debug files from the servers in $DEBUGINFOD_URLS
};
int hone_dump_profile(const struct hone_dump *dump, const struct hone_dump_profile_options *options,
                      struct hone_profile **ret, uint32_t **ret_stacks, struct hone_error *err);

static inline void hone_dump_freep(struct hone_dump **dump)
{
    hone_dump_free(*dump);
}

#endif
