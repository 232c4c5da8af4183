// Our descriptors among the program's. They are put out of the way, for programs count on getting
// the lowest free numbers, and marked, so that the hooks can keep them from being closed.
#include "probe/probe.h"

#include "core/syscall.h"

#include <fcntl.h>
#include <sys/resource.h>

enum {
    HIGH = 1000,   // where ours go; the kernel's table for so many is two pages
    LIMIT = 16384, // higher ones are not protected
};

static _Atomic uint64_t ours[LIMIT / 64];

// Returns how it was marked before.
static bool mark(int fd, bool is_ours)
{
    if (fd < 0 || fd >= LIMIT)
        return true; // none is protected there
    uint64_t bit = (uint64_t)1 << fd % 64;
    return (is_ours ? atomic_fetch_or_explicit(&ours[fd / 64], bit, memory_order_relaxed)
                    : atomic_fetch_and_explicit(&ours[fd / 64], ~bit, memory_order_relaxed)) &
           bit;
}

static int duplicate_high(int fd)
{
    long high = hone_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH);
    if (high >= 0)
        return (int)high;
    struct rlimit limit; // a small one: as high as it allows
    if (hone_syscall4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) < 0 || limit.rlim_cur < 8)
        return -1;
    return (int)hone_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, limit.rlim_cur - 4);
}

int hone_descriptor_adopt(int fd)
{
    int high = duplicate_high(fd);
    if (high >= 0) {
        (void)hone_syscall1(SYS_close, fd);
        fd = high;
    }
    (void)mark(fd, true);
    return fd;
}

int hone_descriptor_adopt_spare(int fd)
{
    long high = hone_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH);
    (void)hone_syscall1(SYS_close, fd);
    if (high >= 0)
        (void)mark((int)high, true);
    return (int)high;
}

uint32_t hone_descriptors_spare(void)
{
    enum { PART = 3 };
    struct rlimit limit;
    if (hone_syscall4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) < 0 || limit.rlim_cur <= HIGH)
        return 0;
    rlim_t part = (limit.rlim_cur - HIGH) / PART;
    return part < LIMIT ? (uint32_t)part : LIMIT;
}

void hone_descriptor_close(int fd)
{
    (void)mark(fd, false);
    (void)hone_syscall1(SYS_close, fd);
}

bool hone_descriptor_close_once(int fd)
{
    if (!mark(fd, false))
        return false;
    (void)hone_syscall1(SYS_close, fd);
    return true;
}

void hone_descriptor_lost(int fd)
{
    (void)mark(fd, false);
}

bool hone_descriptor_is_ours(int fd)
{
    return fd >= 0 && fd < LIMIT &&
           (atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >> fd % 64 & 1);
}

int hone_descriptor_next(int from)
{
    for (int fd = from < 0 ? 0 : from; fd < LIMIT; fd++) {
        uint64_t rest = atomic_load_explicit(&ours[fd / 64], memory_order_relaxed) >> fd % 64;
        if (rest)
            return fd + __builtin_ctzll(rest);
        fd |= 63;
    }
    return -1;
}

void hone_descriptor_yield(int fd)
{
    if (!hone_is_our_process())
        return; // a vfork child has descriptors of its own, and our memory
    if (!mark(fd, false))
        return; // another thread of ours is about to close it
    long moved = hone_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
    if (moved < 0)
        return; // no room: the program's wish comes first
    (void)mark((int)moved, true);
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (engine && engine->moved && !engine->moved(fd, (int)moved))
        (void)hone_descriptor_close_once((int)moved); // who wanted to close it found it gone
}
