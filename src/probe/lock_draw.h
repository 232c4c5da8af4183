// One in n of a sequence, drawn so that each has the same chance and what was drawn before tells
// nothing.
#ifndef HONE_PROBE_LOCK_DRAW_H
#define HONE_PROBE_LOCK_DRAW_H

#include "probe/heap_draw.h"

#include <stdbool.h>

// How many are passed over until the next one: a geometric draw of mean - 1, exactly so for means
// of at least 8 within 1e-6 of it. -1 / ln(1 - 1 / mean) is mean - 1/2 - 1 / (12 mean) - …
static inline int64_t hone_draw_skip(uint64_t *state, uint64_t mean)
{
    const double most = 0x1p62;
    if (mean <= 1)
        return 0;
    double n = (double)mean, scale = n - 0.5 - 1 / (12 * n) - 1 / (24 * n * n);
    double skipped = hone_random_exponential(hone_random_next(state)) * scale;
    return skipped < most ? (int64_t)skipped : (int64_t)most;
}

// A number of [0, 2^32) stands for a chance: whether something of that size is taken, which is
// certain from `rate` on.
static inline bool hone_draw_by_size(uint32_t random, uint64_t size, uint64_t rate)
{
    return (double)random * 0x1p-32 * (double)rate < (double)size;
}

#endif
