// The highest live total of all processes that lived at one time, from what each had at its own
// peak and the heap over time: at the peak of each process, what the others had then.
#include "capture/output.h"

#include <errno.h>
#include <stdlib.h>

static bool lives_at(const struct hone_collected_process *process, uint64_t at_ns)
{
    const struct hone_process_facts *facts = &process->facts;
    // Whose end nobody told is known to have lived until its own peak.
    uint64_t end_ns = facts->ended_ns   ? facts->ended_ns
                      : !process->ended ? UINT64_MAX
                                        : facts->heap_peak_ns;
    return facts->started_ns <= at_ns && at_ns <= end_ns;
}

// What each process had at a time, by the ends of intervals: not above its own peak.
static void add_up(const struct hone_collected *collected, uint64_t at_ns, double *lives)
{
    const struct hone_heap_series *series = &collected->heap_series;
    for (uint32_t i = 0; i < collected->process_count; i++)
        lives[i] = 0;
    for (uint32_t i = 0; i < series->count; i++) {
        const struct hone_heap_change *change = &series->at[i];
        if (series->started_ns + (change->interval + 1) * series->width_ns <= at_ns)
            lives[change->process] += change->bytes;
    }
}

int hone_recording_heap_peak(const struct hone_recording *recording, struct hone_heap_peak *ret)
{
    const struct hone_collected *collected = recording->collected;
    double *lives = calloc((size_t)collected->process_count + 1, sizeof *lives);
    if (!lives)
        return -ENOMEM;
    *ret = (struct hone_heap_peak){0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        if (!facts->heap_peak_ns)
            continue;
        double total = (double)facts->heap_peak_bytes;
        uint32_t together = 1;
        add_up(collected, facts->heap_peak_ns, lives);
        for (uint32_t other = 0; other < collected->process_count; other++) {
            const struct hone_collected_process *process = &collected->processes[other];
            if (other == i || !process->facts.heap_peak_ns ||
                !lives_at(process, facts->heap_peak_ns))
                continue;
            double most = (double)process->facts.heap_peak_bytes;
            total += lives[other] < 0 ? 0 : lives[other] < most ? lives[other] : most;
            together++;
        }
        ret->processes++;
        if (total <= ret->bytes)
            continue;
        ret->bytes = total;
        ret->time_ns = facts->heap_peak_ns;
        ret->together = together;
    }
    free(lives);
    return 0;
}
