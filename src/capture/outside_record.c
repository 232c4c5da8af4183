// What the kernel tells of processes: forks, execs, mappings, ends; and all of it in turn.
#include "capture/outside_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void on_fork(struct hone_outside *outside, const struct hone_perf_record *record)
{
    struct hone_outside_process *parent = hone_outside_process_of(outside, record->parent_pid);
    if (!parent && outside->all)
        parent = hone_outside_adopt(outside, record->parent_pid);
    if (!parent)
        return;
    const struct hone_outside_thread *creator = hone_outside_thread_of(outside, record->parent_tid);
    uint32_t root = creator ? creator->root : UINT32_MAX;
    char name[16] = "";
    if (creator)
        memcpy(name, creator->name, sizeof name);
    struct hone_outside_process *process = parent;
    if (record->pid != record->parent_pid) {
        size_t parent_at = (size_t)(parent - outside->processes);
        struct hone_outside_process *before = hone_outside_process_of(outside, record->pid);
        if (before) // its number was given out again
            hone_outside_close_process(outside, before);
        process = hone_outside_new_process(outside, record->pid);
        if (!process)
            return;
        parent = &outside->processes[parent_at];
        process->facts.forked = true;
        process->facts.parent_pid = record->parent_pid;
        memcpy(process->facts.path, parent->facts.path, sizeof process->facts.path);
        memcpy(process->facts.name, parent->facts.name, sizeof process->facts.name);
        if (parent->remote && hone_remote_fork(parent->remote, process->pid, &process->remote))
            outside->status = -ENOMEM;
    } else {
        const struct hone_outside_thread *known = hone_outside_thread_of(outside, record->tid);
        if (known && !known->exited && &outside->processes[known->process] == process)
            return; // found when we attached
    }
    struct hone_outside_thread *thread = hone_outside_new_thread(outside, process, record->tid);
    if (!thread)
        return;
    memcpy(thread->name, name, sizeof name);
    if (root != UINT32_MAX)
        thread->root = root;
}

static void on_exec(struct hone_outside *outside, const struct hone_perf_record *record)
{
    struct hone_outside_process *before = hone_outside_process_of(outside, record->pid);
    if (!before && !outside->all)
        return;
    const struct hone_outside_thread *old = hone_outside_thread_of(outside, record->pid);
    struct hone_outside_thread was =
        old && before ? *old : (struct hone_outside_thread){.root = UINT32_MAX};
    uint32_t parent = before ? before->facts.parent_pid : 0;
    uint64_t clock_ns = before ? before->clock_ns : 0;
    uint64_t clock_came_ns = before ? before->clock_came_ns : 0;
    if (before) {
        before->clock_ns = 0; // goes on, and is that of both
        before->exited = true;
        before->exited_ns = record->time_ns;
        // The thread goes on under the new program: its count, when it comes, is of both.
        if (old)
            outside->threads[outside->by_tid[record->pid] - 1].counted_ns = 0;
        hone_outside_close_process(outside, before);
    }
    struct hone_outside_process *process = hone_outside_new_process(outside, record->pid);
    if (!process || hone_remote_new(process->pid, &process->remote)) {
        outside->status = -ENOMEM;
        return;
    }
    process->unmapped = true;
    process->clock_ns = clock_ns;
    process->clock_came_ns = clock_came_ns;
    process->facts.parent_pid = parent;
    (void)snprintf(process->facts.name, sizeof process->facts.name, "%s", record->text);
    struct hone_outside_thread *thread = hone_outside_new_thread(outside, process, record->pid);
    if (!thread)
        return;
    thread->root = was.root == UINT32_MAX ? thread->root : was.root;
    thread->before_ns = was.before_ns;
    thread->dropped_ns = was.dropped_ns;
    thread->dropped_root = was.dropped_root;
    thread->earlier_ns = was.earlier_ns + was.samples * outside->options.period_ns;
    if (was.owner) {
        thread->owner = process->has_owner = true;
        thread->root = (uint32_t)(thread - outside->threads);
    }
    (void)snprintf(thread->name, sizeof thread->name, "%s", record->text);
}

static void on_comm(struct hone_outside *outside, const struct hone_perf_record *record)
{
    if (record->misc & PERF_RECORD_MISC_COMM_EXEC) {
        on_exec(outside, record);
        return;
    }
    struct hone_outside_thread *thread = hone_outside_thread_of(outside, record->tid);
    if (!thread || outside->processes[thread->process].closed)
        return;
    (void)snprintf(thread->name, sizeof thread->name, "%s", record->text);
    if (thread->told)
        hone_collect_thread_name(outside->collected, outside->processes[thread->process].number,
                                 thread->index, thread->name);
}

static void on_mapping(struct hone_outside *outside, const struct hone_perf_record *record)
{
    struct hone_outside_process *process = hone_outside_process_of(outside, record->pid);
    if (!process || !process->remote || !(record->protection & PROT_EXEC))
        return;
    process->unmapped = false;
    if (outside->by_cpus)
        hone_outside_revive(outside, process);
    // The kernel maps the program first, then its loader.
    if (!process->facts.path[0] && record->text[0] == '/') {
        (void)snprintf(process->facts.path, sizeof process->facts.path, "%s", record->text);
        if (process->told)
            hone_outside_tell_program(outside, process);
    }
    const struct hone_remote_mapping mapping = {
        .start = record->start,
        .end = record->start + record->length,
        .offset = record->offset,
        .path = record->text,
        .inode = record->inode,
        .build_id = record->build_id,
        .build_id_bytes = record->build_id_bytes,
    };
    (void)hone_remote_map(process->remote, &mapping);
}

static void on_thread_exit(struct hone_outside *outside, const struct hone_perf_record *record)
{
    struct hone_outside_thread *thread = hone_outside_thread_of(outside, record->tid);
    if (!thread || thread->exited)
        return;
    thread->exited = true;
    struct hone_outside_process *process = &outside->processes[thread->process];
    if (process->alive && --process->alive == 0) {
        process->exited = true;
        process->exited_ns = record->time_ns;
        hone_outside_look_at_clock(process);
        process->events_ended = process->unmapped && !outside->by_cpus;
        outside->has_ended |= process->events_ended;
    }
}

static void on_count(struct hone_outside *outside, const struct hone_perf_record *record)
{
    struct hone_outside_thread *thread = hone_outside_thread_of(outside, record->tid);
    if (thread)
        thread->counted_ns += record->value;
}

static void on_record(struct hone_outside *outside, const struct hone_perf_record *record,
                      bool of_samples)
{
    switch (record->type) {
    case PERF_RECORD_SAMPLE:
        hone_outside_on_sample(outside, record);
        break;
    case PERF_RECORD_MMAP2:
        on_mapping(outside, record);
        break;
    case PERF_RECORD_COMM:
        on_comm(outside, record);
        break;
    case PERF_RECORD_FORK:
        on_fork(outside, record);
        break;
    case PERF_RECORD_EXIT:
        on_thread_exit(outside, record);
        break;
    case PERF_RECORD_READ:
        on_count(outside, record);
        break;
    case PERF_RECORD_LOST:
    case PERF_RECORD_LOST_SAMPLES:
        outside->facts.lost += record->value;
        outside->facts.lost_samples += of_samples ? record->value : 0;
        break;
    case PERF_RECORD_THROTTLE:
        outside->facts.throttled++;
        break;
    default:
        break;
    }
}

// All rings as one stream in the order of time, up to `until_ns`.
int hone_outside_drain(struct hone_outside *outside, uint64_t until_ns)
{
    struct hone_perf *perf = &outside->perf;
    for (uint32_t i = 0; i < perf->ring_count; i++) {
        outside->peeked[i] = false; // a ring that was given up may have been left with one
        if (!perf->rings[i].page)
            continue;
        hone_perf_ring_look(&perf->rings[i]);
        outside->peeked[i] = hone_perf_ring_peek(&perf->rings[i], &outside->records[i]);
    }
    while (!outside->status) {
        uint32_t first = UINT32_MAX;
        for (uint32_t i = 0; i < perf->ring_count; i++)
            if (outside->peeked[i] && (first == UINT32_MAX || outside->records[i].time_ns <
                                                                  outside->records[first].time_ns))
                first = i;
        if (first == UINT32_MAX || outside->records[first].time_ns > until_ns)
            break;
        struct hone_perf_ring *ring = &perf->rings[first];
        outside->record_ns = outside->records[first].time_ns;
        on_record(outside, &outside->records[first],
                  first % HONE_PERF_KINDS == HONE_PERF_SAMPLES);
        hone_perf_ring_pass(ring);
        hone_perf_ring_release(ring);
        outside->peeked[first] = hone_perf_ring_peek(ring, &outside->records[first]);
    }
    return outside->status ? outside->status : hone_collect_status(outside->collected);
}
