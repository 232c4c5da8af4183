// Programs that run with rights of their own (setuid, setgid, or a file that may not be read). When
// an exec changes them, the kernel ends all events of that thread; its record of the thread's end
// follows that of the exec, before the program is mapped, though the thread goes on:
//
//     COMM (exec)  EXIT  MMAP2 …      events on CPUs see what is mapped
//     COMM (exec)  EXIT               events on threads have ended
//
// With events on CPUs the mapping tells that it lives. Else it gets events anew, as well as what it
// has started meanwhile, and what it used in between is counted.
#include "capture/outside_parts.h"

#include "base/cleanup.h"
#include "capture/children.h"

#include <errno.h>

void hone_outside_revive(struct hone_outside *outside, struct hone_outside_process *process)
{
    struct hone_outside_thread *thread = hone_outside_thread_of(outside, (uint32_t)process->pid);
    if (!process->exited || !thread || &outside->processes[thread->process] != process)
        return;
    thread->exited = process->exited = false;
    process->exited_ns = 0;
    process->alive++;
}

// By its events, as far as they told; else by its samples.
static uint64_t covered_ns(const struct hone_outside *outside,
                           const struct hone_outside_thread *thread)
{
    return !thread->owner && thread->counted_ns
               ? thread->counted_ns
               : thread->earlier_ns + thread->samples * outside->options.period_ns;
}

// A process that came while nobody watched: all of it that runs.
static bool add_process(void *context, uint32_t pid, uint32_t parent)
{
    struct hone_outside *outside = context;
    if (hone_outside_process_of(outside, pid))
        return false;
    struct hone_outside_process *process = hone_outside_adopt(outside, pid);
    if (!process)
        return false;
    process->facts.parent_pid = parent;
    uint32_t at = (uint32_t)(process - outside->processes);
    uint64_t before_ns = 0;
    (void)hone_outside_add_threads(outside, at, NULL);
    process = &outside->processes[at];
    for (uint32_t i = process->first_thread; i; i = outside->threads[i - 1].next)
        before_ns += outside->threads[i - 1].before_ns;
    outside->facts.ended_missed_ns += before_ns;
    return true;
}

static void reopen(struct hone_outside *outside, uint32_t at)
{
    struct hone_outside_process *process = &outside->processes[at];
    uint32_t pid = (uint32_t)process->pid;
    uint32_t thread_at = outside->by_tid[pid] - 1;
    struct hone_outside_thread *thread = &outside->threads[thread_at];
    outside->facts.ended_events++;
    uint64_t covered = covered_ns(outside, thread);
    int r = hone_perf_add_thread(&outside->perf, (pid_t)pid, NULL);
    uint64_t clock_ns = r ? 0 : hone_outside_clock_ns(pid, (pid_t)pid);
    if (r) {
        outside->facts.ended_gone += r == -ESRCH;
        outside->facts.ended_refused += r != -ESRCH;
        return;
    }
    hone_outside_revive(outside, process);
    process->unmapped = false;
    if (clock_ns > thread->before_ns + covered) {
        uint64_t missed = clock_ns - thread->before_ns - covered;
        outside->facts.ended_missed_ns += missed;
        thread->before_ns += missed;
        process->clock_came_ns += missed;
    }
    if (!thread->owner) { // whose count has what it did until now
        thread->dropped_ns = thread->counted_ns;
        thread->dropped_root = thread->root;
    }
    thread->counted_ns = 0;
    thread->root = thread_at;
    thread->owner = process->has_owner = true;
    // Only now: what is mapped from here on is told by the kernel.
    hone_outside_read_program(process);
    hone_remote_free(hone_take(process->remote));
    if (hone_remote_open(process->pid, &process->remote, NULL) &&
        hone_remote_new(process->pid, &process->remote))
        outside->status = -ENOMEM;
    (void)hone_outside_add_threads(outside, at, NULL);
    hone_children_of(pid, add_process, outside);
}

void hone_outside_reopen_ended(struct hone_outside *outside)
{
    if (!outside->has_ended)
        return;
    outside->has_ended = false;
    bool on_exec = outside->perf.options.on_exec;
    outside->perf.options.on_exec = false; // they run already
    outside->perf.running = true;
    for (uint32_t i = 0; i < outside->process_count; i++) {
        bool ended = outside->processes[i].events_ended;
        outside->processes[i].events_ended = false;
        if (ended && !outside->processes[i].closed)
            reopen(outside, i);
    }
    outside->perf.running = false;
    outside->perf.options.on_exec = on_exec;
}
