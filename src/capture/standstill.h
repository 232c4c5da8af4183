// The threads of a running process that sleep in a lock, seen from outside at one moment: who waits
// for what, where, and who has it. The process is not touched and needs no preparation.
//
//     struct hone_standstill_options options = {.size = sizeof options};
//     struct hone_standstill stand;
//     if (hone_standstill_read(pid, &options, &stand, &err) == 0)
//         …
//     hone_standstill_done(&stand);
//
// One moment: the threads are looked at, then their stacks and locks are read, then they are looked
// at once more. One that has not run between counts as `still`, and what was read of it was so all
// the time, for it alone could have changed that it waits there. A lock's holder that is still,
// too, has not released it meanwhile. So what is said of several still threads was true at the same
// time.
//
// Threads: one at a time, with all that uses capture/remote.h.  Signals: not safe.
#ifndef HONE_CAPTURE_STANDSTILL_H
#define HONE_CAPTURE_STANDSTILL_H

#include "base/arena.h"
#include "base/error.h"
#include "capture/lock_state.h"
#include "capture/waits.h"

#include <sys/types.h>

// Options begin with their size; zero means default.
struct hone_standstill_options {
    size_t size;
    uint64_t between_ns; // between two looks, at least (150 ms)
    bool debuginfod;     // fetch debug files from the servers in $DEBUGINFOD_URLS (no)
};

// A function on a stack, innermost first; inlined ones have their own.
struct hone_standstill_frame {
    const char *function; // for people; "" when it has no name
    const char *file;     // full path; "" when unknown
    uint32_t line;        // 0 when unknown
    const char *module;   // path; "" for code of no file
    uint64_t address;     // in the process
};

struct hone_standstill_stack {
    struct hone_standstill_frame *at;
    uint32_t count, room;
};

// A lock that it waits for, or that somebody holds.
struct hone_standstill_lock {
    struct hone_lock_state state;
    bool internal;     // of the C library itself
    const char *name;  // of the variable, with "+0x10" where it lies inside; "" when it has none
    const char *where; // "in /usr/bin/server", "on the heap", "on the stack of thread 12", …
    pid_t holder_pid;  // of another process, one of whose threads has it; 0: none is known
    const char *mutex; // of a condition variable: the mutex's name; "" when not known
    // Where its holder took it and how long ago, if the process records the order of locks: the
    // innermost functions.
    struct hone_standstill_stack taken;
    uint64_t held_since_ns; // monotonic
    uint64_t held_ns;       // 0: not known
};

struct hone_standstill_thread {
    uint32_t tid;
    uint32_t inner; // as the process itself numbers it, in its own pid namespace
    char name[16];
    bool ended;   // it is listed, and that is all
    bool still;   // it slept all the time, see above
    bool running; // it is on a CPU or waits for one
    enum hone_wait wait;
    struct hone_blocked blocked;
    uint64_t switches;    // how often it was taken from a CPU
    uint64_t waited_ns;   // so long, at least
    bool waits_for_lock;  // it is still, in a futex, and `lock` says which
    bool limited;         // with a limit of time
    bool others_may_wake; // the futex lies in memory that other processes share
    struct hone_standstill_lock lock;
    struct hone_standstill_stack stack; // of those that wait for a lock
    uint32_t first;                     // frame of who called the lock function
    bool cut;                           // the stack does not reach its start
    const char *cut_reason;
};

struct hone_standstill {
    pid_t pid;
    pid_t through; // the thread that is asked for its memory, see living.h
    char name[16];
    bool forked;     // it never exec'ed: it goes on as what its parent was
    bool complete;   // no thread came or went meanwhile
    uint64_t caught; // signals that it has handlers for, bit n - 1 for signal n
    struct hone_standstill_thread *threads; // by tid, the first one first
    uint32_t count, room;
    uint64_t between_ns; // in which nothing was done between the two looks
    uint32_t unreadable; // threads whose place we could not read
    struct hone_arena arena;
    struct hone_symbolizer *symbolizer; // owns names
};

// Returns 0; -ESRCH: there is no such process; -EACCES, -EPERM: not ours to look at; -ENOMEM; with
// err filled. On success hone_standstill_done() follows.
int hone_standstill_read(pid_t pid, const struct hone_standstill_options *options,
                         struct hone_standstill *ret, struct hone_error *err);
void hone_standstill_done(struct hone_standstill *stand);

#endif
