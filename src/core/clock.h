// Clocks, in nanoseconds.
//
// Threads, Signals: safe.
#ifndef HONE_CORE_CLOCK_H
#define HONE_CORE_CLOCK_H

#include "core/syscall.h"

#include <time.h>

static inline uint64_t hone_timespec_ns(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Time since boot without suspend, through the vDSO: some 25 ns.
HONE_SIGSAFE static inline uint64_t hone_now_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return hone_timespec_ns(now);
}

// The same as of the kernel's last tick, 1 to 10 ms ago: some 3 ns.
HONE_SIGSAFE static inline uint64_t hone_tick_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return hone_timespec_ns(now);
}

// CPU time that a clock of this process or thread has counted: a system call, some 150 ns.
HONE_SIGSAFE static inline uint64_t hone_cpu_clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)hone_syscall2(SYS_clock_gettime, clock, &now);
    return hone_timespec_ns(now);
}

HONE_SIGSAFE static inline uint64_t hone_thread_cpu_ns(void)
{
    return hone_cpu_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

#endif
