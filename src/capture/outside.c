#include "capture/outside_parts.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "core/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SETTLE_NS = 2000000,    // what is older than this has been written, on every CPU
    ATTACH_ROUNDS_MAX = 20, // of looking for threads that came while we looked
};

int hone_outside_poll(struct hone_outside *outside)
{
    int r = hone_outside_drain(outside, hone_now_ns() - SETTLE_NS);
    hone_outside_reopen_ended(outside);
    hone_outside_look_at_clocks(outside);
    hone_outside_close_exited(outside);
    return r;
}

int hone_outside_new(const struct hone_outside_options *options, struct hone_collected *collected,
                     struct hone_outside **ret, struct hone_error *err)
{
    struct hone_outside *outside = calloc(1, sizeof *outside);
    if (!outside)
        return hone_error_set(err, -ENOMEM, "cannot prepare the recording");
    outside->options = *options;
    outside->collected = collected;
    if (outside->options.stack_max > HONE_STACK_MAX)
        outside->options.stack_max = HONE_STACK_MAX;
    const struct hone_perf_event_options perf = {
        .period_ns = options->period_ns,
        .memory_bytes = options->memory_bytes,
    };
    int r = hone_perf_init(&outside->perf, &perf);
    outside->by_pid = calloc(HONE_OUTSIDE_PIDS_MAX, sizeof *outside->by_pid);
    outside->by_tid = calloc(HONE_OUTSIDE_PIDS_MAX, sizeof *outside->by_tid);
    if (!r) {
        outside->records = calloc(outside->perf.ring_count, sizeof *outside->records);
        outside->peeked = calloc(outside->perf.ring_count, sizeof *outside->peeked);
    }
    outside->stack =
        calloc(1, sizeof(struct hone_record_stack) + HONE_STACK_MAX * sizeof(uint64_t));
    if (r || !outside->stack || !outside->by_pid || !outside->by_tid || !outside->records ||
        !outside->peeked) {
        hone_outside_free(outside);
        return hone_error_set(err, -ENOMEM, "cannot prepare the recording");
    }
    *ret = outside;
    return 0;
}

void hone_outside_free(struct hone_outside *outside)
{
    if (!outside)
        return;
    for (uint32_t i = 0; i < outside->process_count; i++) {
        hone_remote_free(outside->processes[i].remote);
        free(outside->processes[i].modules);
    }
    hone_perf_done(&outside->perf);
    free(outside->processes);
    free(outside->threads);
    free(outside->by_pid);
    free(outside->by_tid);
    free(outside->records);
    free(outside->peeked);
    free(outside->stack);
    free(outside);
}

int hone_outside_add_program(struct hone_outside *outside, pid_t pid, bool rights,
                             struct hone_error *err)
{
    outside->by_cpus = rights;
    outside->perf.options.on_exec = !rights;
    int r = rights ? hone_perf_add_cpus(&outside->perf, err)
                   : hone_perf_add_thread(&outside->perf, pid, err);
    if (r)
        return r;
    struct hone_outside_process *process = hone_outside_new_process(outside, (uint32_t)pid);
    struct hone_outside_thread *thread =
        process ? hone_outside_new_thread(outside, process, (uint32_t)pid) : NULL;
    if (!thread)
        return hone_error_set(err, -ENOMEM, "cannot prepare the recording");
    process->is_ours = true;
    thread->owner = process->has_owner = !rights;
    if (rights)
        hone_perf_enable(&outside->perf);
    return 0;
}

int hone_outside_add_threads(struct hone_outside *outside, uint32_t process_at,
                             struct hone_error *err)
{
    pid_t pid = outside->processes[process_at].pid;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return hone_error_set(err, -ESRCH, "cannot record process %d", pid);
    int added = 0, r = 0;
    for (struct dirent *entry; !r && (entry = readdir(folder));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t tid = atoi(entry->d_name);
        const struct hone_outside_thread *known = hone_outside_thread_of(outside, (uint32_t)tid);
        if (known && known->process == process_at)
            continue;
        r = hone_perf_add_thread(&outside->perf, tid, err);
        if (r == -ESRCH) { // it ended meanwhile
            r = 0;
            continue;
        }
        struct hone_outside_process *process = &outside->processes[process_at];
        struct hone_outside_thread *thread =
            r ? NULL : hone_outside_new_thread(outside, process, (uint32_t)tid);
        if (!thread)
            continue;
        thread->owner = process->has_owner = true;
        thread->before_ns = hone_outside_clock_ns((uint32_t)pid, tid);
        added++;
    }
    (void)closedir(folder);
    return r ? r : added;
}

// The process that a number is a thread's of: /proc has a folder of each thread, too. 0: one that
// has ended, and waits for its parent to take note.
static pid_t process_of(pid_t pid)
{
    char path[64], *text = NULL;
    size_t len;
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (hone_file_read(path, 65536, &text, &len, NULL))
        return pid;
    const char *line = strstr(text, "\nTgid:"), *state = strstr(text, "\nState:\tZ");
    pid_t process = line ? atoi(line + strlen("\nTgid:")) : pid;
    // Not one whose first thread alone has ended, and looks the same here.
    const char *threads = strstr(text, "\nThreads:");
    bool ended = process == pid && state && threads && atoi(threads + strlen("\nThreads:")) <= 1;
    free(text);
    return ended ? 0 : process;
}

int hone_outside_add_process(struct hone_outside *outside, pid_t pid, struct hone_error *err)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d", pid);
    if (access(path, F_OK)) {
        (void)hone_error_set(err, -ESRCH, "cannot record process %d", pid);
        hone_error_hint(err, "it may have ended; 'ps' lists those that run");
        return -ESRCH;
    }
    pid_t owner = process_of(pid);
    if (!owner)
        return hone_error_set(err, -ESRCH, "cannot record process %d: it has ended", pid);
    if (owner != pid)
        return hone_error_set(err, -EINVAL,
                              "cannot record process %d: it is a thread of process %d; record "
                              "that: -p %d",
                              pid, owner, owner);
    struct hone_outside_process *process = hone_outside_process_of(outside, (uint32_t)pid);
    if (process)
        return 0; // named twice
    process = hone_outside_new_process(outside, (uint32_t)pid);
    if (!process)
        return hone_error_set(err, -ENOMEM, "cannot prepare the recording");
    uint32_t at = (uint32_t)(process - outside->processes);
    hone_outside_read_program(process);
    // A thread may start another one while we look.
    int added = 1;
    for (int round = 0; added > 0 && round < ATTACH_ROUNDS_MAX; round++)
        added = hone_outside_add_threads(outside, at, err);
    if (added < 0)
        return added;
    process = &outside->processes[at];
    // Whether the kernel is seen is known only now.
    process->facts.engine =
        outside->perf.sees_kernel ? HONE_ENGINE_PERF_OUTSIDE : HONE_ENGINE_PERF_OUTSIDE_USER;
    return 0;
}

int hone_outside_add_all(struct hone_outside *outside, struct hone_error *err)
{
    outside->all = outside->by_cpus = true;
    return hone_perf_add_cpus(&outside->perf, err);
}

void hone_outside_start(struct hone_outside *outside)
{
    if (!outside->perf.options.on_exec)
        hone_perf_enable(&outside->perf);
    // Only now: what is mapped from here on is told by the kernel.
    for (uint32_t i = 0; i < outside->process_count; i++) {
        struct hone_outside_process *process = &outside->processes[i];
        if (!process->remote && process->facts.path[0] &&
            hone_remote_open(process->pid, &process->remote, NULL) &&
            hone_remote_new(process->pid, &process->remote))
            outside->status = -ENOMEM;
        if (!process->is_ours) {
            hone_outside_look_at_clock(process);
            process->clock_came_ns = process->clock_ns;
        }
    }
}

int hone_outside_descriptor(const struct hone_outside *outside, uint32_t number)
{
    const struct hone_perf *perf = &outside->perf;
    // The first events hold the rings.
    for (uint32_t i = 0; i < perf->event_count && i < perf->ring_count; i++)
        if (number-- == 0)
            return perf->events[i].fd;
    return -1;
}

int hone_outside_finish(struct hone_outside *outside)
{
    hone_perf_disable(&outside->perf);
    int r = hone_outside_drain(outside, UINT64_MAX);
    outside->finished = true;
    hone_outside_look_at_clocks(outside);
    if (!outside->by_cpus)
        hone_outside_count_threads(outside);
    outside->facts.processes = 0;
    for (uint32_t i = 0; i < outside->process_count; i++) {
        struct hone_outside_process *process = &outside->processes[i];
        if (process->closed)
            continue;
        // A record that came late, or not at all, is no reason to take who has ended for alive.
        outside->facts.processes +=
            process->told && !process->exited && hone_outside_runs(process);
        hone_outside_close_process(outside, process);
    }
    return r ? r : outside->status;
}

void hone_outside_facts(const struct hone_outside *outside, struct hone_outside_facts *ret)
{
    *ret = outside->facts;
    ret->stack_bytes = outside->perf.stack_bytes;
    ret->sees_kernel = outside->perf.sees_kernel;
    ret->ring_bytes = outside->perf.ring_bytes;
    ret->ring_limited = outside->perf.ring_limited;
    ret->without_counts = outside->perf.without_counts;
    ret->by_cpus = outside->by_cpus;
    for (uint32_t i = 0; i < outside->perf.ring_count; i++) {
        ret->broken += outside->perf.rings[i].broken;
        ret->read_bytes += outside->perf.rings[i].bytes;
    }
    if (outside->finished)
        return;
    for (uint32_t i = 0; i < outside->process_count; i++)
        ret->processes += outside->processes[i].told && !outside->processes[i].exited;
}
