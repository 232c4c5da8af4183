// Whom the wall clock watches: processes and their threads that were there before us, and those
// whose events the kernel ended though they go on.
#include "capture/wall_parts.h"

#include "base/cleanup.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// A thread that was there before us: it is asked once where it is.
static void meet(struct hone_wall *wall, uint32_t pid, uint32_t tid, uint64_t began_ns)
{
    if (hone_wall_find(wall, tid))
        return;
    char name[16] = "";
    (void)hone_thread_name(pid, tid, name);
    uint64_t now_ns = hone_now_ns();
    struct hone_wall_thread *thread =
        hone_wall_add(wall, pid, tid, began_ns ? began_ns : now_ns, name);
    if (!thread)
        return;
    struct hone_wall_counts counts = {0};
    bool counted = hone_wall_read_counts(thread, &counts);
    if (!began_ns) {
        thread->met_late = true;
        thread->counted = thread->counted_first = counts;
    }
    struct hone_blocked blocked;
    if (hone_blocked_read(pid, tid, &blocked) == 0) {
        // Since it began, when all that it did is ours: nobody may tell of it before the wait ends.
        if (began_ns && counted && counts.run_ns + counts.delay_ns < now_ns - began_ns) {
            thread->run_ns = counts.run_ns;
            thread->preempted_ns = counts.delay_ns;
            thread->since_ns += counts.run_ns + counts.delay_ns;
        }
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
    int r = wall->everybody ? 0 : hone_switches_watch(wall->switches, (pid_t)tid, err);
    if (!r && wall->draws && !wall->everybody)
        (void)hone_draws_watch(wall->draws, (pid_t)tid);
    if (!r)
        meet(wall, pid, tid, 0);
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
static int watch_process(struct hone_wall *wall, pid_t pid, uint64_t began_ns,
                         struct hone_error *err)
{
    int r = hone_switches_watch(wall->switches, pid, err);
    if (r)
        return r;
    if (wall->draws)
        (void)hone_draws_watch(wall->draws, pid);
    meet(wall, (uint32_t)pid, (uint32_t)pid, began_ns);
    return watch_threads(wall, 0, (uint32_t)pid, err);
}

enum { CHILDREN_DEEP = 16 }; // generations that came while nobody watched

// What a process started before it was watched, or while it was not.
static void watch_children(struct hone_wall *wall, uint32_t pid, int deep)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/children", pid, pid);
    FILE *file = deep < CHILDREN_DEEP ? fopen(path, "re") : NULL;
    unsigned child;
    while (file && fscanf(file, "%u", &child) == 1)
        if (child < HONE_WALL_TIDS_MAX && !hone_wall_find(wall, child) &&
            !watch_process(wall, (pid_t)child, 0, NULL))
            watch_children(wall, child, deep + 1);
    if (file)
        (void)fclose(file);
}

int hone_wall_watch_all(struct hone_wall *wall, struct hone_error *err)
{
    if (wall->polled)
        return hone_error_set(err, -EOPNOTSUPP, "cannot watch the machine without perf events");
    wall->everybody = true;
    int r = hone_switches_watch(wall->switches, -1, err);
    if (!r && wall->draws)
        (void)hone_draws_watch_all(wall->draws);
    if (!r)
        (void)each_number("/proc", watch_threads, wall, 0, &r, err);
    return r;
}

int hone_wall_watch(struct hone_wall *wall, pid_t pid, uint64_t began_ns, struct hone_error *err)
{
    if (!wall->polled) {
        struct hone_error why = {0};
        int r = watch_process(wall, pid, began_ns, &why);
        if (!r && began_ns) // it runs already, and may have started others meanwhile
            watch_children(wall, (uint32_t)pid, 0);
        if (!r || r == -ESRCH || wall->thread_count) {
            if (err && r)
                *err = why;
            return r;
        }
        // Where perf events are not permitted, polling tells nearly as much.
        hone_switches_close(hone_take(wall->switches));
        hone_draws_close(hone_take(wall->draws));
        wall->polled = true;
        (void)snprintf(wall->facts.reason, sizeof wall->facts.reason, "%.150s", why.message);
    }
    if (!wall->counts_most)
        hone_wall_poll_open(wall);
    int r = hone_wall_poll_watch(wall, (uint32_t)pid, began_ns, began_ns != 0);
    return r ? hone_error_set(err, r, "cannot watch process %d in /proc", (int)pid) : 0;
}

void hone_wall_announce(struct hone_wall *wall, pid_t pid, uint64_t started_ns)
{
    if (!wall->polled || pid <= 0 || pid >= HONE_WALL_TIDS_MAX)
        return;
    if (!hone_wall_find(wall, (uint32_t)pid) && hone_wall_poll_watch(wall, (uint32_t)pid, 0, true))
        return;
    const struct hone_wall_thread *first = hone_wall_find(wall, (uint32_t)pid);
    if (!first)
        return;
    uint32_t process = first->process;
    if (wall->processes[process].announced) { // it has become another program
        hone_wall_poll_end(wall, process);
        if (hone_wall_poll_watch(wall, (uint32_t)pid, 0, false))
            return;
        process = wall->by_pid[pid] ? wall->by_pid[pid] - 1 : process;
    }
    wall->processes[process].announced = true;
    wall->processes[process].announced_ns = started_ns;
}

// --- programs that gain rights -------------------------------------------------------------------

static void watch_anew(struct hone_wall *wall, struct hone_wall_thread *thread, uint64_t ended_ns)
{
    uint32_t pid = thread->pid;
    uint32_t at = (uint32_t)(thread - wall->threads);
    wall->facts.gained++;
    int r = hone_switches_watch(wall->switches, (pid_t)pid, NULL);
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
    watch_children(wall, pid, 0);
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
