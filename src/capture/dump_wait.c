// What a system call tells of a wait, beyond its kind: the word in memory that it is about, and
// whether it ends by itself. Numbers and places of arguments are the kernel's.
#include "capture/waits.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

// As a call of futex(2) waits: a bit for each operation.
static const uint32_t waiting_operations = 1u << FUTEX_WAIT | 1u << FUTEX_WAIT_BITSET |
                                           1u << FUTEX_LOCK_PI | 1u << FUTEX_LOCK_PI2 |
                                           1u << FUTEX_WAIT_REQUEUE_PI;

uint64_t hone_blocked_futex(const struct hone_blocked *blocked, bool *ret_shared)
{
    *ret_shared = false;
    if (blocked->call == SYS_futex) {
        uint32_t operation = (uint32_t)blocked->arguments[1] & FUTEX_CMD_MASK;
        *ret_shared = !(blocked->arguments[1] & FUTEX_PRIVATE_FLAG);
        return operation < 32 && waiting_operations >> operation & 1 ? blocked->arguments[0] : 0;
    }
#ifdef SYS_futex_wait
    enum { PRIVATE = 128 };
    if (blocked->call == SYS_futex_wait) {
        *ret_shared = !(blocked->arguments[3] & PRIVATE);
        return blocked->arguments[0];
    }
#endif
    return 0;
}

// Calls with a limit in one of their arguments: a time, or none (0); or milliseconds, or none (<
// 0).
static const struct {
    int64_t call;
    int argument;
    bool milliseconds;
} limits[] = {
    {SYS_futex, 3, false},
#ifdef SYS_futex_wait
    {SYS_futex_wait, 4, false},
#endif
#ifdef SYS_futex_waitv
    {SYS_futex_waitv, 3, false},
#endif
#ifdef SYS_poll
    {SYS_poll, 2, true},
    {SYS_select, 4, false},
    {SYS_epoll_wait, 3, true},
#endif
    {SYS_ppoll, 2, false},
    {SYS_pselect6, 4, false},
    {SYS_epoll_pwait, 3, true},
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, 3, false},
#endif
    {SYS_rt_sigtimedwait, 2, false},
    {SYS_semtimedop, 3, false},
    {SYS_io_getevents, 4, false},
    {SYS_mq_timedreceive, 4, false},
    {SYS_mq_timedsend, 4, false},
};

bool hone_blocked_is_limited(const struct hone_blocked *blocked)
{
    if (blocked->call == SYS_nanosleep || blocked->call == SYS_clock_nanosleep)
        return true;
    for (unsigned i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].call == blocked->call)
            return limits[i].milliseconds ? (int32_t)blocked->arguments[limits[i].argument] >= 0
                                          : blocked->arguments[limits[i].argument] != 0;
    return false;
}
