#include "capture/standstill_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

enum { BETWEEN_NS = 150000000 };

void hone_standstill_done(struct hone_standstill *stand)
{
    hone_symbolizer_free(stand->symbolizer);
    hone_arena_done(&stand->arena);
    free(stand->threads);
    *stand = (struct hone_standstill){0};
}

static int by_tid(const void *left, const void *right)
{
    const struct hone_standstill_thread *a = left, *b = right;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

// The first thread's number is the process's own, and not always the smallest.
static void sort(struct hone_standstill *stand)
{
    if (!stand->count)
        return;
    qsort(stand->threads, stand->count, sizeof *stand->threads, by_tid);
    for (uint32_t i = 0; i < stand->count; i++) {
        if (stand->threads[i].tid != (uint32_t)stand->pid)
            continue;
        struct hone_standstill_thread first = stand->threads[i];
        memmove(&stand->threads[1], &stand->threads[0], i * sizeof first);
        stand->threads[0] = first;
        return;
    }
}

static int list(struct hone_standstill *stand)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)stand->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return errno == ENOENT ? -ESRCH : -errno;
    int r = 0;
    for (struct dirent *entry; !r && (entry = readdir(folder));) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        if (!tid || tid > UINT32_MAX)
            continue;
        if (!hone_array_reserve(&stand->threads, &stand->room, (uint64_t)stand->count + 1,
                                sizeof *stand->threads))
            r = -ENOMEM;
        else
            stand->threads[stand->count++].tid = (uint32_t)tid;
    }
    (void)closedir(folder);
    if (!r)
        sort(stand);
    return r ? r : stand->count ? 0 : -ESRCH;
}

// Whether the threads are those that they were.
static bool is_same_list(const struct hone_standstill *stand)
{
    struct hone_standstill now = {.pid = stand->pid};
    bool same = list(&now) == 0 && now.count == stand->count;
    for (uint32_t i = 0; same && i < now.count; i++)
        same = now.threads[i].tid == stand->threads[i].tid;
    free(now.threads);
    return same;
}

static void look_first(struct hone_standstill *stand, struct hone_standstill_thread *thread)
{
    struct hone_standstill_status status;
    thread->inner = thread->tid;
    if (hone_standstill_status(stand->pid, thread->tid, &status)) {
        thread->ended = true;
        return;
    }
    memcpy(thread->name, status.name, sizeof thread->name);
    thread->inner = status.inner;
    thread->switches = status.switches;
    thread->ended = status.state == 'Z' || status.state == 'X';
    thread->running = status.state == 'R';
    thread->wait = thread->running ? HONE_WAIT_NONE : HONE_WAIT_UNKNOWN;
    if (status.state != 'S')
        return;
    int r = hone_blocked_read((uint32_t)stand->pid, thread->tid, &thread->blocked);
    stand->unreadable += r == -EPERM || r == -EACCES;
    thread->still = r == 0;
    if (!r)
        thread->wait = hone_blocked_wait(thread->tid, &thread->blocked);
}

static void look_again(struct hone_standstill *stand, struct hone_standstill_thread *thread)
{
    struct hone_standstill_status status;
    struct hone_blocked blocked;
    if (!thread->still)
        return;
    thread->still =
        hone_standstill_status(stand->pid, thread->tid, &status) == 0 && status.state == 'S' &&
        status.switches == thread->switches &&
        hone_blocked_read((uint32_t)stand->pid, thread->tid, &blocked) == 0 &&
        blocked.call == thread->blocked.call && blocked.sp == thread->blocked.sp &&
        blocked.ip == thread->blocked.ip &&
        memcmp(blocked.arguments, thread->blocked.arguments, sizeof blocked.arguments) == 0;
}

// What its system call says of its waiting.
static void read_call(struct hone_standstill_thread *thread)
{
    const uint64_t *arguments = thread->blocked.arguments;
    int64_t call = thread->blocked.call;
    thread->waits_for_lock = true;
    if (call == SYS_futex) {
        thread->limited = arguments[3] != 0;
        thread->others_may_wake = !(arguments[1] & FUTEX_PRIVATE_FLAG);
        return;
    }
#ifdef SYS_futex_wait
    if (call == SYS_futex_wait) {
        thread->limited = arguments[4] != 0;
        thread->others_may_wake = !(arguments[3] & FUTEX_PRIVATE_FLAG);
        return;
    }
#endif
    thread->waits_for_lock = false; // also of several futexes at once
}

static void look_between(struct hone_standstill *stand, uint64_t between_ns)
{
    struct timespec pause = {.tv_sec = (time_t)(between_ns / 1000000000),
                             .tv_nsec = (long)(between_ns % 1000000000)};
    while (nanosleep(&pause, &pause) && errno == EINTR)
        continue;
    for (uint32_t i = 0; i < stand->count; i++) {
        struct hone_standstill_thread *thread = &stand->threads[i];
        look_again(stand, thread);
        if (thread->still)
            read_call(thread);
    }
}

static int look(struct hone_standstill *stand, const struct hone_standstill_options *options,
                struct hone_error *err)
{
    for (uint32_t i = 0; i < stand->count; i++)
        look_first(stand, &stand->threads[i]);
    uint64_t seen_ns = hone_now_ns();
    uint32_t sleeping = 0;
    for (uint32_t i = 0; i < stand->count; i++)
        sleeping += stand->threads[i].still;
    if (stand->unreadable && !sleeping) {
        (void)hone_error_set(err, -EACCES, "cannot look at the threads of process %d",
                             (int)stand->pid);
        hone_error_hint(err, "look as the user that runs it, or as root");
        return -EACCES;
    }
    stand->complete = is_same_list(stand);
    stand->between_ns = options->between_ns ? options->between_ns : BETWEEN_NS;
    look_between(stand, stand->between_ns);
    int r = hone_standstill_stacks(stand, options, err);
    for (uint32_t i = 0; i < stand->count; i++) {
        struct hone_standstill_thread *thread = &stand->threads[i];
        look_again(stand, thread);
        thread->waits_for_lock &= thread->still;
        if (thread->still)
            thread->waited_ns = hone_now_ns() - seen_ns;
    }
    stand->complete = stand->complete && is_same_list(stand);
    if (!r)
        hone_standstill_ages(stand);
    uint64_t now_ns = hone_now_ns();
    for (uint32_t i = 0; i < stand->count; i++) {
        struct hone_standstill_lock *lock = &stand->threads[i].lock;
        lock->held_ns = lock->held_since_ns ? now_ns - lock->held_since_ns : 0;
    }
    return r;
}

int hone_standstill_read(pid_t pid, const struct hone_standstill_options *given,
                         struct hone_standstill *ret, struct hone_error *err)
{
    struct hone_standstill_options options = {0};
    if (given)
        memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    HONE_CLEANUP(hone_standstill_done)
    struct hone_standstill stand = {.pid = pid};
    struct hone_standstill_status status;
    int r = hone_standstill_process(pid, &stand.forked);
    if (!r)
        r = hone_standstill_status(pid, (uint32_t)pid, &status);
    if (!r)
        r = list(&stand);
    if (r)
        return hone_error_set(err, r, "cannot look at process %d", (int)pid);
    memcpy(stand.name, status.name, sizeof stand.name);
    stand.caught = status.caught;
    r = look(&stand, &options, err);
    if (r)
        return r;
    *ret = stand;
    stand = (struct hone_standstill){0};
    return 0;
}
