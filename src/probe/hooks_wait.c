// Waits under another signal mask. When our signal and one of the program's end such a wait
// together, the kernel runs our handler first, and behind it the mask from before the wait holds
// again: the wait is over, but the program's handler has not run. So the wait is taken up again
// while a signal that it lets through is pending and has a handler, which runs at once then.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/syscall.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { KERNEL_MASK_BYTES = 8 };

// Signals without a handler may be pending for ever: to wait for them would be to hang.
static bool is_handled(int signal)
{
    struct sigaction action;
    return hone_real()->sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_IGN &&
           action.sa_handler != SIG_DFL;
}

// After a wait that ended with errno: is a handler of the program still to run?
static bool is_owed(const sigset_t *mask)
{
    if (errno != EINTR || !mask || !hone_probe.engine)
        return false;
    uint64_t pending = 0, blocked;
    memcpy(&blocked, mask, sizeof blocked);
    (void)hone_syscall2(SYS_rt_sigpending, &pending, KERNEL_MASK_BYTES);
    for (uint64_t owed = pending & ~blocked; owed; owed &= owed - 1)
        if (is_handled(__builtin_ctzll(owed) + 1))
            return true;
    errno = EINTR;
    return false;
}

HONE_EXPORT int sigsuspend(const sigset_t *mask)
{
    int r;
    do
        r = hone_real()->sigsuspend(mask);
    while (is_owed(mask));
    return r;
}

HONE_EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                      const sigset_t *mask)
{
    int r;
    do
        r = hone_real()->ppoll(fds, count, timeout, mask);
    while (r < 0 && is_owed(mask));
    return r;
}

HONE_EXPORT int pselect(int count, fd_set *reading, fd_set *writing, fd_set *other,
                        const struct timespec *timeout, const sigset_t *mask)
{
    int r;
    do
        r = hone_real()->pselect(count, reading, writing, other, timeout, mask);
    while (r < 0 && is_owed(mask));
    return r;
}

HONE_EXPORT int epoll_pwait(int fd, struct epoll_event *events, int max, int timeout_ms,
                            const sigset_t *mask)
{
    int r;
    do
        r = hone_real()->epoll_pwait(fd, events, max, timeout_ms, mask);
    while (r < 0 && is_owed(mask));
    return r;
}
