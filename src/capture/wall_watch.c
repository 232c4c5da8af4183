// Whom the wall clock watches: processes and their threads that were there before us, and those
// whose events the kernel ended though they go on.
#include "capture/wall_parts.h"

#include "base/cleanup.h"
#include "capture/children.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// A thread that was there before us: it is asked once where it is.
static void look_at(struct hone_wall *wall, uint32_t pid, uint32_t tid)
{
    struct hone_wall_thread *thread = hone_wall_meet(wall, pid, tid, 0);
    if (!thread)
        return;
    struct hone_wall_counts counts = {0};
    (void)hone_wall_read_counts(thread, &counts);
    thread->met_late = true;
    thread->counted = thread->counted_first = counts;
    struct hone_blocked blocked;
    if (hone_blocked_read(pid, tid, &blocked) == 0) {
        thread->state = HONE_WALL_RUNNING;
        hone_wall_enter(wall, thread, HONE_WALL_BLOCKED, thread->since_ns);
    }
}

// Calls for each number that names a file of the folder. False: the folder is gone.
static bool each_number(const char *path,
                        int (*call)(struct hone_wall *wall, uint32_t pid, uint32_t number,
                                    struct hone_error *err),
                        struct hone_wall *wall, uint32_t pid, int *ret, struct hone_error *err)
{
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    for (struct dirent *entry; !*ret && (entry = readdir(folder));) {
        unsigned long number = strtoul(entry->d_name, NULL, 10);
        if (number && number < HONE_WALL_TIDS_MAX)
            *ret = call(wall, pid, (uint32_t)number, err);
    }
    (void)closedir(folder);
    return true;
}

static int watch_thread(struct hone_wall *wall, uint32_t pid, uint32_t tid, struct hone_error *err)
{
    if (hone_wall_find(wall, tid))
        return 0;
    int r = wall->everybody ? 0 : hone_switches_watch(wall->switches, (pid_t)tid, false, err);
    if (!r && wall->draws && !wall->everybody)
        (void)hone_draws_watch(wall->draws, (pid_t)tid);
    if (!r)
        look_at(wall, pid, tid);
    return r == -ESRCH ? 0 : r;
}

static int watch_threads(struct hone_wall *wall, uint32_t nobody, uint32_t pid,
                         struct hone_error *err)
{
    (void)nobody;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task", pid);
    int r = 0;
    // Twice: a thread that is listed may start another one before it is watched.
    for (int turn = 0; !r && turn < 2; turn++)
        if (!each_number(path, watch_thread, wall, pid, &r, err))
            break;
    return r;
}

// All threads of a process that is there.
static int watch_process(struct hone_wall *wall, pid_t pid, struct hone_error *err)
{
    int r = hone_switches_watch(wall->switches, pid, false, err);
    if (r)
        return r;
    if (wall->draws)
        (void)hone_draws_watch(wall->draws, pid);
    look_at(wall, (uint32_t)pid, (uint32_t)pid);
    return watch_threads(wall, 0, (uint32_t)pid, err);
}

// What a process started while it was not watched.
static bool watch_child(void *context, uint32_t pid, uint32_t parent)
{
    (void)parent;
    struct hone_wall *wall = context;
    return pid < HONE_WALL_TIDS_MAX && !hone_wall_find(wall, pid) &&
           !watch_process(wall, (pid_t)pid, NULL);
}

int hone_wall_watch_all(struct hone_wall *wall, struct hone_error *err)
{
    if (wall->polled)
        return hone_error_set(err, -EOPNOTSUPP, "cannot watch the machine without perf events");
    wall->everybody = true;
    int r = hone_switches_watch(wall->switches, -1, false, err);
    if (!r && wall->draws)
        (void)hone_draws_watch_all(wall->draws);
    if (!r)
        (void)each_number("/proc", watch_threads, wall, 0, &r, err);
    return r;
}

// Where perf events are not permitted, polling tells nearly as much.
static void poll_instead(struct hone_wall *wall, const struct hone_error *why)
{
    hone_switches_close(hone_take(wall->switches));
    hone_draws_close(hone_take(wall->draws));
    wall->polled = true;
    (void)snprintf(wall->facts.reason, sizeof wall->facts.reason, "%.150s", why->message);
}

static int poll_process(struct hone_wall *wall, pid_t pid, uint64_t began_ns,
                        struct hone_error *err)
{
    if (!wall->counts_most)
        hone_wall_poll_open(wall);
    int r = hone_wall_poll_watch(wall, (uint32_t)pid, began_ns, began_ns != 0);
    return r ? hone_error_set(err, r, "cannot watch process %d in /proc", (int)pid) : 0;
}

int hone_wall_watch(struct hone_wall *wall, pid_t pid, struct hone_error *err)
{
    struct hone_error why = {0};
    int r = wall->polled ? 0 : watch_process(wall, pid, &why);
    if (r && (r == -ESRCH || wall->thread_count)) {
        if (err)
            *err = why;
        return r;
    }
    if (r)
        poll_instead(wall, &why);
    return wall->polled ? poll_process(wall, pid, 0, err) : 0;
}

void hone_wall_expect(struct hone_wall *wall, pid_t pid)
{
    if (wall->polled)
        return;
    struct hone_error why = {0};
    if (hone_switches_watch(wall->switches, pid, true, &why)) {
        poll_instead(wall, &why);
        return;
    }
    if (wall->draws)
        (void)hone_draws_watch(wall->draws, pid);
    const struct hone_wall_thread child = {.pid = (uint32_t)pid, .tid = (uint32_t)pid};
    (void)hone_wall_read_counts(&child, &wall->expected_counts);
    wall->expected = (uint32_t)pid;
}

int hone_wall_begin(struct hone_wall *wall, pid_t pid, uint64_t began_ns, struct hone_error *err)
{
    return wall->polled ? poll_process(wall, pid, began_ns, err) : 0;
}

// --- programs that gain rights -------------------------------------------------------------------

static void watch_anew(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t ended_ns)
{
    uint32_t pid = thread->pid;
    uint32_t at = (uint32_t)(thread - wall->threads);
    wall->facts.gained++;
    int r = hone_switches_watch(wall->switches, (pid_t)pid, false, NULL);
    if (r) {
        wall->facts.gained_gone += r == -ESRCH;
        wall->facts.gained_refused += r != -ESRCH;
        hone_wall_end(wall, thread, ended_ns);
        return;
    }
    if (wall->draws)
        (void)hone_draws_watch(wall->draws, (pid_t)pid);
    struct hone_blocked blocked;
    if (hone_blocked_read(pid, pid, &blocked) == 0)
        hone_wall_enter(wall, &wall->threads[at], HONE_WALL_BLOCKED, hone_now_ns());
    (void)watch_threads(wall, 0, pid, NULL);
    hone_children_of(pid, watch_child, wall);
}

// Of a process that has ended, /proc tells no program.
static bool is_alive(uint32_t pid)
{
    char path[64], program[1];
    (void)snprintf(path, sizeof path, "/proc/%u/exe", pid);
    return readlink(path, program, sizeof program) > 0;
}

void hone_wall_watch_ended(struct hone_wall *wall)
{
    if (!wall->has_ended)
        return;
    wall->has_ended = false;
    for (uint32_t i = 0; i < wall->process_count; i++) {
        uint64_t ended_ns = wall->processes[i].events_ended_ns;
        wall->processes[i].events_ended_ns = 0;
        struct hone_wall_thread *thread =
            ended_ns ? hone_wall_find(wall, wall->processes[i].pid) : NULL;
        if (!thread || thread->process != i)
            continue;
        if (!wall->everybody)
            watch_anew(wall, thread, ended_ns);
        else if (!is_alive(thread->pid)) // events of CPUs go on
            hone_wall_end(wall, thread, ended_ns);
    }
}
