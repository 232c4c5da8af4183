#include "capture/lock_times.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 16, STEP_BITS = 4, ROOM_AHEAD = 8 };

void hone_lock_sum_add(struct hone_lock_sum *sum, double value, double weight)
{
    sum->value += value * weight;
    sum->variance += value * value * weight * (weight - 1);
}

// Below 16 each number has its own step.
static uint32_t step_of(uint64_t ns)
{
    if (ns < STEPS)
        return (uint32_t)ns;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(ns);
    return (exponent - STEP_BITS + 1) * STEPS + (ns >> (exponent - STEP_BITS) & (STEPS - 1));
}

static uint64_t middle_of(uint32_t step)
{
    if (step < STEPS)
        return step;
    unsigned shift = step / STEPS - 1;
    uint64_t start = (uint64_t)(STEPS + step % STEPS) << shift;
    return start + ((uint64_t)1 << shift) / 2;
}

// Makes room for a step, and a few beside it.
static int reach(struct hone_lock_times *times, uint32_t step, uint64_t *left)
{
    uint32_t end = times->first + times->count;
    if (times->count && step >= times->first && step < end)
        return 0;
    uint32_t from = times->count && times->first < step ? times->first
                    : step > ROOM_AHEAD                 ? step - ROOM_AHEAD
                                                        : 0;
    uint32_t to = times->count && end > step ? end : step + ROOM_AHEAD;
    uint32_t more = to - from - times->count;
    if (more > *left)
        return -ENOSPC;
    double *steps = calloc(to - from, sizeof *steps);
    if (!steps)
        return -ENOMEM;
    if (times->count)
        memcpy(steps + (times->first - from), times->steps, times->count * sizeof *steps);
    free(times->steps);
    times->steps = steps;
    times->first = from;
    times->count = to - from;
    *left -= more;
    return 0;
}

int hone_lock_times_add(struct hone_lock_times *times, uint64_t ns, double weight, uint64_t *left)
{
    uint32_t step = step_of(ns);
    int r = reach(times, step, left);
    if (r)
        return r;
    times->steps[step - times->first] += weight;
    times->observations++;
    times->weight += weight;
    times->squares += weight * weight;
    times->sum_ns += weight * (double)ns;
    if (ns > times->most_ns)
        times->most_ns = ns;
    return 0;
}

int hone_lock_times_merge(struct hone_lock_times *to, const struct hone_lock_times *from)
{
    uint64_t left = UINT64_MAX;
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->steps[i] <= 0)
            continue;
        int r = reach(to, from->first + i, &left);
        if (r)
            return r;
        to->steps[from->first + i - to->first] += from->steps[i];
    }
    to->observations += from->observations;
    to->weight += from->weight;
    to->squares += from->squares;
    to->sum_ns += from->sum_ns;
    if (from->most_ns > to->most_ns)
        to->most_ns = from->most_ns;
    return 0;
}

void hone_lock_times_done(struct hone_lock_times *times)
{
    free(times->steps);
    *times = (struct hone_lock_times){0};
}

uint64_t hone_lock_times_at(const struct hone_lock_times *times, double part)
{
    double wanted = part * times->weight, below = 0;
    for (uint32_t i = 0; i < times->count; i++) {
        below += times->steps[i];
        uint64_t middle = middle_of(times->first + i);
        if (part < 1 && times->steps[i] > 0 && below >= wanted)
            return middle < times->most_ns ? middle : times->most_ns;
    }
    return times->most_ns;
}

double hone_lock_times_effective(const struct hone_lock_times *times)
{
    return times->squares > 0 ? times->weight * times->weight / times->squares : 0;
}

double hone_lock_times_mean(const struct hone_lock_times *times)
{
    return times->weight > 0 ? times->sum_ns / times->weight : 0;
}
