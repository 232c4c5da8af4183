// Which mechanism interrupts the threads: the best that works here. Each attempt that fails leaves
// its reason, which becomes part of the profile.
#include "probe/probe.h"

#include "core/kernel.h"
#include "core/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

// Least harm first. A signal of perf_signal can end a wait such as poll() early (EINTR), and that
// often; those of the others come only while a thread computes.
static const struct hone_engine_kind *const best_first[] = {
    &hone_engine_perf_trap,
    &hone_engine_perf_trap_user,
    &hone_engine_thread_timer,
    &hone_engine_process_timer,
};

static const struct hone_engine_kind *const all[] = {
    &hone_engine_perf_trap,    &hone_engine_perf_signal,      &hone_engine_perf_trap_user,
    &hone_engine_thread_timer, &hone_engine_perf_signal_user, &hone_engine_process_timer,
};

static const char *errno_word(int r)
{
    switch (-r) {
    case EACCES:
    case EPERM:
        return "not permitted";
    case ENOSYS:
        return "not in this kernel or forbidden by a sandbox";
    case EINVAL:
    case E2BIG:
    case EOPNOTSUPP:
        return "this kernel is too old for it";
    case EMFILE:
    case ENFILE:
        return "no descriptor is free";
    case EAGAIN:
        return "the limit of pending signals or timers is reached";
    case EBUSY:
        return "a debugger is attached";
    case ENODEV:
        return "needs libhone.so, not libhone.a";
    default:
        return "refused by the kernel";
    }
}

static void add_reason(char *reason, size_t size, const char *name, int r)
{
    size_t used = strlen(reason);
    // There is room to say once where the permission comes from.
    bool hint = !used && (r == -EPERM || r == -EACCES);
    const char *parts[] = {used ? "; " : "", name, ": ", errno_word(r),
                           hint ? " (see /proc/sys/kernel/perf_event_paranoid)" : ""};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(parts); i++) {
        size_t len = strlen(parts[i]);
        if (used + len >= size)
            return;
        memcpy(reason + used, parts[i], len + 1);
        used += len;
    }
}

// A filter (seccomp) that everybody is under may end who tries.
static bool is_deadly(const struct hone_engine_kind *kind)
{
    bool timer = kind->id == HONE_ENGINE_THREAD_TIMER || kind->id == HONE_ENGINE_PROCESS_TIMER;
    return hone_probe.writer.header->config.deadly & (timer ? HONE_DEADLY_TIMER : HONE_DEADLY_PERF);
}

static int try_engine(const struct hone_engine_kind *kind)
{
    if (is_deadly(kind))
        return -ENOSYS;
    hone_probe.engine = kind;
    hone_probe.engine_id = kind->id;
    int r = kind->start(kind);
    if (r) {
        hone_probe.engine = NULL;
        hone_probe.engine_id = HONE_ENGINE_NONE;
    }
    return r;
}

int hone_engine_start(enum hone_engine wanted, char *reason, size_t size)
{
    int r = -ENOSYS;
    reason[0] = '\0';
    if (wanted != HONE_ENGINE_NONE) {
        for (size_t i = 0; i < HONE_ARRAY_LENGTH(all); i++) {
            if (all[i]->id != wanted)
                continue;
            r = all[i]->signal == SIGTRAP && hone_is_traced() ? -EBUSY : try_engine(all[i]);
            if (r)
                add_reason(reason, size, hone_engine_name(wanted), r);
        }
        return r;
    }
    bool traced = hone_is_traced();
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(best_first); i++) {
        if (best_first[i]->signal != SIGTRAP)
            r = try_engine(best_first[i]);
        else
            r = traced                      ? -EBUSY
                : hone_kernel_keeps_traps() ? try_engine(best_first[i])
                                            : -EOPNOTSUPP;
        if (!r)
            return 0;
        add_reason(reason, size, hone_engine_name(best_first[i]->id), r);
    }
    return r;
}

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    unsigned short len;
    unsigned char type;
    char name[];
};

size_t hone_other_threads(uint32_t *ret_tids, size_t max)
{
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/task",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    uint32_t self = (uint32_t)hone_syscall0(SYS_gettid);
    size_t count = 0;
    alignas(8) char entries[1024];
    long got;
    while ((got = hone_syscall3(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got;) {
            const struct directory_entry *entry = (const void *)(entries + at);
            uint32_t tid = 0;
            for (const char *digit = entry->name; *digit >= '0' && *digit <= '9'; digit++)
                tid = tid * 10 + (uint32_t)(*digit - '0');
            if (tid && tid != self) {
                if (count < max)
                    ret_tids[count] = tid;
                count++;
            }
            at += entry->len;
        }
    }
    (void)hone_syscall1(SYS_close, fd);
    return count;
}
