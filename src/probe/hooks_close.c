// The program does not get at our descriptors: to close one does nothing and succeeds (daemons
// close all numbers in turn, others those that /proc/self/fd lists, and complain when that fails),
// and who wants its number gets it, after ours has moved away. What goes by other ways, such as
// system calls made directly, does close it; the profile says so.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/syscall.h"

#include <errno.h>
#include <unistd.h>

static int fail(int code)
{
    errno = code;
    return -1;
}

HONE_EXPORT int close(int fd)
{
    if (HONE_UNLIKELY(hone_descriptor_is_ours(fd)))
        return 0;
    return hone_real()->close(fd);
}

// A number that the program has now. We may have taken it for an event since it was free: that one
// is closed, and the number must not be ours when the program closes it.
static int taken(int fd)
{
    if (HONE_UNLIKELY(hone_descriptor_is_ours(fd)) && hone_is_our_process())
        hone_descriptor_lost(fd);
    return fd;
}

HONE_EXPORT int dup2(int from, int to)
{
    if (HONE_UNLIKELY(hone_descriptor_is_ours(from)))
        return fail(EBADF);
    if (HONE_UNLIKELY(hone_descriptor_is_ours(to)))
        hone_descriptor_yield(to);
    return taken(hone_real()->dup2(from, to));
}

HONE_EXPORT int dup3(int from, int to, int flags)
{
    if (HONE_UNLIKELY(hone_descriptor_is_ours(from)))
        return fail(EBADF);
    if (HONE_UNLIKELY(hone_descriptor_is_ours(to)))
        hone_descriptor_yield(to);
    return taken(hone_real()->dup3(from, to, flags));
}

// Our first descriptor in a range, or -1. What is no number of a descriptor is above all of them.
static int next_ours(unsigned from, unsigned last)
{
    int ours = from > INT32_MAX ? -1 : hone_descriptor_next((int)from);
    return ours >= 0 && (unsigned)ours <= last ? ours : -1;
}

// The range in pieces around ours.
HONE_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    unsigned from = first;
    for (int ours = next_ours(from, last); ours >= 0; ours = next_ours(from, last)) {
        if ((unsigned)ours > from) {
            long r = hone_syscall3(SYS_close_range, from, ours - 1, flags);
            if (r < 0)
                return fail((int)-r);
        }
        from = (unsigned)ours + 1;
    }
    if (from > last && first <= last)
        return 0;
    long r = hone_syscall3(SYS_close_range, from, last, flags);
    return r < 0 ? fail((int)-r) : 0;
}

HONE_EXPORT void closefrom(int low)
{
    int saved = errno;
    if (close_range((unsigned)(low < 0 ? 0 : low), ~0u, 0) == 0)
        errno = saved;
    else
        hone_real()->closefrom(low); // an older kernel
}
