// Calls that the kernel takes up again. Who sleeps, polls or waits for a futex with a limit of time
// while it is stopped or frozen (SIGSTOP, a debugger, a control group) is in restart_syscall(2)
// once it goes on. It waits for what it waited for before, at the same place of the program and
// with the same arguments, for what is left of the time: the number of the call alone is another
// one.
#ifndef HONE_CAPTURE_RESTART_H
#define HONE_CAPTURE_RESTART_H

#include "capture/waits.h"

// A call that a thread was seen in. All zero: none yet.
struct hone_restart {
    int64_t call;
    uint64_t ip, sp, first_argument;
};

// Whether the thread is in a call that goes on, and it is not known in which.
bool hone_restart_is_open(const struct hone_blocked *blocked);

// Puts in the call that goes on, if that is the one that this thread was seen in last. Any other
// call is kept in *last.
void hone_restart_recall(struct hone_restart *last, struct hone_blocked *blocked);

// Puts in the call that the kernel's stack of the thread tells of, where that may be seen.
void hone_restart_ask(uint32_t pid, uint32_t tid, struct hone_blocked *blocked);

// The same of what /proc/PID/task/TID/stack says.
void hone_restart_parse(const char *stack, struct hone_blocked *blocked);

#endif
