// What the kernel counts of threads and processes: by events that they inherited, told as each
// ends; by the CPU clock of a process, which has the starts and ends of threads, too, where no
// event counts.
#include "capture/outside_parts.h"

#include "base/file.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void hone_outside_look_at_clock(struct hone_outside_process *process)
{
    // As the kernel numbers clocks: inverted id, 2 for "as the scheduler counts".
    struct timespec used;
    if (process->clock_over || clock_gettime((clockid_t)(~(uint32_t)process->pid << 3 | 2), &used))
        return;
    uint64_t clock_ns = hone_timespec_ns(used);
    process->clock_over = clock_ns < process->clock_ns; // its number is another one's by now
    if (process->clock_over)
        return;
    process->clock_ns = clock_ns;
    process->clock_seen_ns = hone_now_ns();
}

void hone_outside_look_at_clocks(struct hone_outside *outside)
{
    for (uint32_t i = 0; !outside->by_cpus && i < outside->process_count; i++)
        if (!outside->processes[i].exited && !outside->processes[i].closed)
            hone_outside_look_at_clock(&outside->processes[i]);
}

bool hone_outside_runs(const struct hone_outside_process *process)
{
    char path[64], *text = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", process->pid);
    if (hone_file_read(path, 4096, &text, &len, NULL))
        return false;
    const char *name_end = strrchr(text, ')'); // a name may have any letters
    bool ended = !name_end || name_end[1] != ' ' || name_end[2] == 'Z' || name_end[2] == 'X';
    free(text);
    return !ended;
}

void hone_outside_program_ended(struct hone_outside *outside, pid_t pid)
{
    struct hone_outside_process *process = hone_outside_process_of(outside, (uint32_t)pid);
    if (process)
        hone_outside_look_at_clock(process);
}

enum { STALE_NS = 50000000 }; // that long ago a clock may have been looked at last

// What a process used, but for an owner's own thread, is subtracted from its clock: where counts of
// others were lost, they are not the owner's.
static uint64_t most_of_owner(const struct hone_outside *outside,
                              const struct hone_outside_process *process)
{
    uint64_t clock_ns = process->clock_ns - process->clock_came_ns, others_ns = 0;
    for (uint32_t at = process->first_thread; at; at = outside->threads[at - 1].next)
        if (!outside->threads[at - 1].owner)
            others_ns += outside->threads[at - 1].counted_ns;
    return clock_ns > others_ns ? clock_ns - others_ns : 0;
}

// Those that live, by the kernel's count; then the owners of events, by what their events counted
// less what all others did that inherited them.
void hone_outside_count_threads(struct hone_outside *outside)
{
    uint64_t *inherited = calloc((size_t)outside->thread_count + 1, sizeof *inherited);
    if (!inherited) {
        outside->status = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < outside->thread_count; i++) {
        struct hone_outside_thread *thread = &outside->threads[i];
        struct hone_outside_process *process = &outside->processes[thread->process];
        if (!thread->exited && !process->closed && !thread->counted_ns) {
            uint64_t now_ns = hone_outside_clock_ns((uint32_t)process->pid, thread->tid);
            if (now_ns > thread->before_ns)
                thread->counted_ns = now_ns - thread->before_ns;
        }
        if (!thread->owner && thread->root < outside->thread_count)
            inherited[thread->root] += thread->counted_ns;
        if (thread->dropped_ns && thread->dropped_root < outside->thread_count)
            inherited[thread->dropped_root] += thread->dropped_ns;
    }
    for (uint32_t i = 0; i < outside->thread_count; i++) {
        struct hone_outside_thread *thread = &outside->threads[i];
        uint64_t counted;
        if (!thread->owner || thread->counted_ns || outside->processes[thread->process].closed ||
            !hone_perf_count(&outside->perf, thread->tid, &counted))
            continue;
        const struct hone_outside_process *process = &outside->processes[thread->process];
        uint64_t most_ns = most_of_owner(outside, process);
        if (counted > inherited[i])
            thread->counted_ns = counted - inherited[i] + thread->dropped_ns;
        if (process->clock_ns > process->clock_came_ns && thread->counted_ns > most_ns + STALE_NS)
            thread->counted_ns = most_ns;
    }
    free(inherited);
}
