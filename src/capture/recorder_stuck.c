// While a recording runs: who has slept in a lock for so long that somebody should look whether it
// is stuck. That look takes a while, so a child of ours does it; here it is only noticed when it is
// time for one, from what the kernel tells of threads.
//
// A thread is a reason to look once for each of its sleeps. Of threads that wait for each other the
// last one to fall asleep is a reason when all of them sleep.
#include "capture/recorder.h"

#include "base/array.h"
#include "capture/standstill_parts.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LOOKS = 4, // in the time that makes a reason
    LOOK_LEAST_NS = 100000000,
    CHILDREN = 4, // that look at the same time
};
static const uint64_t last_ns = 10000000000; // how long one is waited for at the end

struct sleeper {
    uint32_t pid, tid;
    uint64_t switches, since_ns;
    uint64_t seen_ns;
    bool told;
};

struct hone_recorder_stuck {
    struct sleeper *at;
    uint32_t count, room;
    uint32_t next; // threads come in the same order each time
    uint64_t due_ns;
    bool asked; // by a signal: all processes are looked at now
    pid_t children[CHILDREN];
};

uint64_t hone_recorder_stuck_due_ns(const struct hone_recorder *recorder)
{
    return recorder->stuck ? recorder->stuck->due_ns : UINT64_MAX;
}

void hone_recorder_stuck_start(struct hone_recorder *recorder)
{
    if (recorder->options.deadlock_ns && recorder->options.stuck)
        recorder->stuck = calloc(1, sizeof *recorder->stuck);
}

void hone_recorder_stuck_ask(struct hone_recorder *recorder)
{
    if (!recorder->stuck)
        return;
    recorder->stuck->asked = true;
    recorder->stuck->due_ns = 0;
}

static void reap(struct hone_recorder_stuck *stuck, int options)
{
    for (int i = 0; i < CHILDREN; i++)
        if (stuck->children[i] > 0 && waitpid(stuck->children[i], NULL, options) != 0)
            stuck->children[i] = 0;
}

void hone_recorder_stuck_stop(struct hone_recorder *recorder)
{
    struct hone_recorder_stuck *stuck = recorder->stuck;
    const struct timespec moment = {.tv_nsec = 10000000};
    recorder->stuck = NULL;
    if (!stuck)
        return;
    uint64_t until_ns = hone_now_ns() + last_ns;
    bool any = true;
    while (any && hone_now_ns() < until_ns) {
        reap(stuck, WNOHANG);
        any = false;
        for (int i = 0; i < CHILDREN; i++)
            any |= stuck->children[i] > 0;
        if (any)
            (void)nanosleep(&moment, NULL);
    }
    for (int i = 0; i < CHILDREN; i++)
        if (stuck->children[i] > 0)
            (void)kill(stuck->children[i], SIGKILL);
    reap(stuck, 0);
    free(stuck->at);
    free(stuck);
}

// False: too many look already. It stays a reason for the next time.
static bool start_look(struct hone_recorder *recorder, pid_t pid, bool asked)
{
    reap(recorder->stuck, WNOHANG);
    for (int i = 0; i < CHILDREN; i++) {
        if (recorder->stuck->children[i])
            continue;
        pid_t child = fork();
        if (child == 0) {
            recorder->options.stuck(recorder->options.context, pid, asked);
            _exit(0);
        }
        recorder->stuck->children[i] = child > 0 ? child : 0;
        return child > 0;
    }
    return false;
}

static struct sleeper *find(struct hone_recorder_stuck *stuck, uint32_t pid, uint32_t tid)
{
    for (uint32_t i = 0; i < stuck->count; i++) {
        uint32_t at = (stuck->next + i) % stuck->count;
        if (stuck->at[at].tid != tid || stuck->at[at].pid != pid)
            continue;
        stuck->next = at + 1;
        return &stuck->at[at];
    }
    if (!hone_array_reserve(&stuck->at, &stuck->room, stuck->count + 1ull, sizeof *stuck->at))
        return NULL;
    stuck->at[stuck->count] = (struct sleeper){.pid = pid, .tid = tid};
    return &stuck->at[stuck->count++];
}

static bool sleeps_in_lock(pid_t pid, uint32_t tid)
{
    struct hone_blocked blocked;
    return hone_blocked_read((uint32_t)pid, tid, &blocked) == 0 && blocked.call == SYS_futex &&
           !blocked.arguments[3];
}

// Whether the thread is a reason to look at its process.
static struct sleeper *is_reason(struct hone_recorder *recorder, pid_t pid, uint32_t tid,
                                 uint64_t now_ns)
{
    struct hone_standstill_status status;
    if (hone_standstill_status(pid, tid, &status) || status.state != 'S')
        return NULL;
    struct sleeper *sleeper = find(recorder->stuck, (uint32_t)pid, tid);
    if (!sleeper)
        return NULL;
    if (!sleeper->since_ns || sleeper->switches != status.switches) {
        sleeper->switches = status.switches;
        sleeper->since_ns = now_ns;
        sleeper->told = false;
    }
    sleeper->seen_ns = now_ns;
    return !sleeper->told && now_ns - sleeper->since_ns >= recorder->options.deadlock_ns &&
                   sleeps_in_lock(pid, tid)
               ? sleeper
               : NULL;
}

static void look_at(struct hone_recorder *recorder, pid_t pid, uint64_t now_ns)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    bool reason = false;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        struct sleeper *sleeper =
            tid && tid < UINT32_MAX ? is_reason(recorder, pid, (uint32_t)tid, now_ns) : NULL;
        if (sleeper && !reason)
            reason = start_look(recorder, pid, false);
        if (sleeper && reason)
            sleeper->told = true;
    }
    if (folder)
        (void)closedir(folder);
    if (recorder->stuck->asked && !reason)
        (void)start_look(recorder, pid, true);
}

static void forget_gone(struct hone_recorder_stuck *stuck, uint64_t now_ns)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stuck->count; i++)
        if (stuck->at[i].seen_ns == now_ns)
            stuck->at[kept++] = stuck->at[i];
    stuck->count = kept;
}

void hone_recorder_stuck_look(struct hone_recorder *recorder)
{
    struct hone_recorder_stuck *stuck = recorder->stuck;
    uint64_t now_ns = hone_now_ns();
    if (!stuck || now_ns < stuck->due_ns)
        return;
    const struct hone_collected *collected = &recorder->collected;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        if (!process->ended && hone_collect_same_pids(collected, process))
            look_at(recorder, (pid_t)process->pid, now_ns);
    }
    forget_gone(stuck, now_ns);
    stuck->asked = false;
    // Not more than a part of the time, however many threads there are.
    uint64_t took_ns = hone_now_ns() - now_ns, pause_ns = recorder->options.deadlock_ns / LOOKS;
    if (pause_ns < LOOK_LEAST_NS)
        pause_ns = LOOK_LEAST_NS;
    if (pause_ns < took_ns * 100)
        pause_ns = took_ns * 100;
    stuck->due_ns = hone_now_ns() + pause_ns;
}
