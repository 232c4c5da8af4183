// System calls made directly: no errno, no cancellation point, no interposed wrapper between us and
// the kernel. The result is what the kernel returned: negative errno on failure.
//
// Threads, Signals: safe.
#ifndef HONE_CORE_SYSCALL_H
#define HONE_CORE_SYSCALL_H

#include "core/core.h"

#include <sys/syscall.h>

#if defined(__x86_64__)
#include "core/arch/syscall_x86_64.h"
#elif defined(__aarch64__)
#include "core/arch/syscall_aarch64.h"
#else
#error "no system calls for this machine"
#endif

// HONE_SYSCALL_HERE(result, number, a, b, c, d, e, f) makes the call in the function that it stands
// in, so that no name of ours is in the stack of whoever waits there, not even as an inlined one.
// Its arguments are longs that need no call to be known.
static inline long hone_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    HONE_SYSCALL_HERE(result, number, a, b, c, d, e, f);
    return result;
}

#define hone_syscall0(n) hone_syscall((n), 0, 0, 0, 0, 0, 0)
#define hone_syscall1(n, a) hone_syscall((n), (long)(a), 0, 0, 0, 0, 0)
#define hone_syscall2(n, a, b) hone_syscall((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define hone_syscall3(n, a, b, c) hone_syscall((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define hone_syscall4(n, a, b, c, d)                                                               \
    hone_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define hone_syscall5(n, a, b, c, d, e)                                                            \
    hone_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define hone_syscall6(n, a, b, c, d, e, f)                                                         \
    hone_syscall((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
