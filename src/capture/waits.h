// What a blocked thread waits for, from the system call that it is in and the kind of file that
// this is about. All from /proc: the thread is not touched.
#ifndef HONE_CAPTURE_WAITS_H
#define HONE_CAPTURE_WAITS_H

#include <stdbool.h>
#include <stdint.h>

enum hone_wait {
    HONE_WAIT_NONE,       // on-cpu
    HONE_WAIT_RUNNABLE,   // for a CPU
    HONE_WAIT_UNKNOWN,    // it was blocked, nobody saw in what
    HONE_WAIT_LOCK,       // mutex, condition variable, join, … (futex); file locks, semaphores
    HONE_WAIT_SLEEP,      // for time to pass
    HONE_WAIT_POLL,       // for one of several files
    HONE_WAIT_PIPE,       //
    HONE_WAIT_SOCKET,     //
    HONE_WAIT_TERMINAL,   //
    HONE_WAIT_DISK,       // files, folders, mount points
    HONE_WAIT_IO,         // other descriptors: event counters, timers, devices
    HONE_WAIT_CHILD,      // for a process to end
    HONE_WAIT_SIGNAL,     //
    HONE_WAIT_PAGE_FAULT, // for memory to come, outside of system calls
    HONE_WAIT_STOPPED,    // by a signal or a tracer, wherever it is
    HONE_WAIT_OTHER,
    HONE_WAITS
};

// As the label `state` spells it.
const char *hone_wait_name(enum hone_wait wait);

// Where a thread is blocked.
struct hone_blocked {
    int64_t call; // number of the system call; -1: in none
    uint64_t arguments[6];
    uint64_t sp, ip;
    bool stopped; // by a signal or a tracer; told by who asks, not in the line about the call
};

// Reads the thread's place. A call that was taken up again (restart.h) is the one that it was,
// where the kernel tells. Returns 0; -EBUSY when it is not blocked now; -ESRCH when it is gone;
// -EPERM, -EACCES when it is not ours to ask.
int hone_blocked_read(uint32_t pid, uint32_t tid, struct hone_blocked *ret);

// How often the thread was put on a CPU; UINT64_MAX: the kernel does not count.
uint64_t hone_blocked_turns(uint32_t pid, uint32_t tid);

// Takes apart what the kernel writes into /proc/PID/task/TID/syscall; as above.
int hone_blocked_parse(const char *text, struct hone_blocked *ret);

// The thread's state now, by the kernel's letter (proc_pid_stat(5): T or t is stopped, Z has
// ended); 0: there is no such thread.
char hone_blocked_state(uint32_t pid, uint32_t tid);

// What the system call waits for. Looks at the process's descriptors where that matters.
enum hone_wait hone_blocked_wait(uint32_t pid, const struct hone_blocked *blocked);

// --- dump_wait.c ---------------------------------------------------------------------------------

// The address of the futex that it waits for, and whether other processes may share it. 0: it waits
// in none.
uint64_t hone_blocked_futex(const struct hone_blocked *blocked, bool *ret_shared);

// Whether the call ends by itself, at a time that it was given.
bool hone_blocked_is_limited(const struct hone_blocked *blocked);

#endif
