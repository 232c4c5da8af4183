#include "session/reader_facts.h"

#include <stdatomic.h>
#include <string.h>

void hone_facts_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, size - 1);
    to[size - 1] = '\0';
}

bool hone_facts_plausible(const struct hone_process_facts *facts, uint64_t most_count,
                          uint64_t most_ns)
{
    const uint64_t counts[] = {
        facts->samples,
        facts->lost_memory,
        facts->lost_busy,
        facts->lost_overrun,
        facts->records_lost,
        facts->stacks,
        facts->stack_repeats,
        facts->truncated,
        facts->frame_pointer,
        facts->threads,
        facts->threads_uncovered,
        facts->foreign_traps,
        facts->own_ends,
        facts->searched,
        facts->frames / HONE_STACK_MAX,
        facts->frame_misses / HONE_STACK_MAX,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i] > most_count)
            return false;
    return facts->cpu_before_ns <= most_ns && facts->cpu_total_ns <= most_ns;
}

#define COPY(field) ret->field = atomic_load_explicit(&process->field, memory_order_relaxed)
#define COPY_COUNTER(field)                                                                        \
    ret->field = atomic_load_explicit(&process->counters.field, memory_order_relaxed)

void hone_facts_copy(const struct hone_process *process, struct hone_process_facts *ret)
{
    *ret = (struct hone_process_facts){
        .pid = process->pid,
        .parent_pid = process->parent_pid,
        .started_ns = process->started_ns,
        .forked = process->forked != 0,
        .period_ns = process->period_ns,
        .pid_namespace = process->pid_namespace,
    };
    uint32_t engine = process->engine;
    ret->engine = engine < HONE_ENGINES ? engine : HONE_ENGINE_NONE;
    uint32_t state = atomic_load_explicit(&process->state, memory_order_acquire);
    ret->state = state <= HONE_PROCESS_EXITED ? state : HONE_PROCESS_RUNNING;
    hone_facts_text(ret->path, process->path, sizeof ret->path);
    hone_facts_text(ret->name, process->name, sizeof ret->name);
    hone_facts_text(ret->reason, process->reason, sizeof ret->reason);
    hone_facts_text(ret->heap_reason, process->heap_reason, sizeof ret->heap_reason);
    hone_facts_text(ret->allocator, process->allocator, sizeof ret->allocator);
    hone_facts_text(ret->lock_reason, process->lock_reason, sizeof ret->lock_reason);
    COPY(ended_ns);
    COPY(cpu_before_ns);
    COPY(cpu_total_ns);
    COPY(heap_peak_ns);
    COPY(heap_fall);
    int64_t peak = atomic_load_explicit(&process->heap_peak_bytes, memory_order_relaxed);
    ret->heap_peak_bytes = peak > 0 ? (uint64_t)peak : 0;
    COPY_COUNTER(samples);
    COPY_COUNTER(lost_memory);
    COPY_COUNTER(lost_busy);
    COPY_COUNTER(lost_overrun);
    COPY_COUNTER(records_lost);
    COPY_COUNTER(stacks);
    COPY_COUNTER(stack_repeats);
    COPY_COUNTER(truncated);
    COPY_COUNTER(frame_pointer);
    COPY_COUNTER(frames);
    COPY_COUNTER(frame_misses);
    COPY_COUNTER(threads);
    COPY_COUNTER(threads_uncovered);
    COPY_COUNTER(foreign_traps);
    COPY_COUNTER(own_ends);
    COPY_COUNTER(searched);
    COPY_COUNTER(modules_lost);
    COPY_COUNTER(modules_without_rules);
    COPY_COUNTER(heap_samples);
    COPY_COUNTER(heap_frees);
    COPY_COUNTER(heap_lost);
    COPY_COUNTER(heap_frees_lost);
    COPY_COUNTER(heap_untracked);
    COPY_COUNTER(heap_truncated);
    COPY_COUNTER(heap_missed);
    COPY_COUNTER(heap_no_site);
    COPY_COUNTER(heap_early);
    COPY_COUNTER(heap_early_bytes);
    COPY_COUNTER(heap_kept_lost);
    COPY_COUNTER(lock_contentions);
    COPY_COUNTER(lock_held);
    COPY_COUNTER(lock_waits);
    COPY_COUNTER(lock_lost);
    COPY_COUNTER(lock_untracked);
    COPY_COUNTER(lock_order_lost);
    COPY_COUNTER(heap_left);
    COPY_COUNTER(heap_in_handler);
    // Unsigned, for they may be anything.
    ret->heap_live_bytes =
        (int64_t)((uint64_t)process->heap_live_bytes + (uint64_t)process->heap_first_bytes);
}
