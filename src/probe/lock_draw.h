// One in n of a sequence, drawn so that each has the same chance and what was drawn before tells
// nothing.
#ifndef HONE_PROBE_LOCK_DRAW_H
#define HONE_PROBE_LOCK_DRAW_H

#include "core/core.h"
#include "probe/heap_draw.h"

#include <stdbool.h>

// How many are passed over until the next one: a geometric draw of mean - 1, exactly so for means
// of at least 8 within 1e-6 of it. -1 / ln(1 - 1 / mean) is mean - 1/2 - 1 / (12 mean) - …
static inline int64_t hone_draw_skip(uint64_t *state, uint64_t mean)
{
    const uint64_t one = 1 << 20, most = (uint64_t)1 << 42;
    if (mean <= 1)
        return 0;
    uint64_t n = mean < most ? mean : most;
    uint64_t scale = n * one - one / 2 - one / (12 * n) - (n < one ? one / (24 * n * n) : 0);
    return (int64_t)((hone_wide)hone_random_exponential(state) * scale >> 72);
}

// A number of [0, 2^32) stands for a chance: whether something of that size is taken, which is
// certain from `rate` on.
static inline bool hone_draw_by_size(uint32_t random, uint64_t size, uint64_t rate)
{
    return (hone_wide)random * rate < (hone_wide)size << 32;
}

// The same, drawn before the size is known: what is larger than this is taken.
static inline uint64_t hone_draw_size(uint64_t *state, uint64_t rate)
{
    return (uint64_t)((hone_wide)(uint32_t)hone_random_next(state) * rate >> 32);
}

// Of how many things so large one is drawn, if those of `sure` are for certain and at least one in
// `most` is. A few of them may be most of the sum of all, as where who holds a lock loses its
// processor: one in N of a few says little, and no error that is reckoned from what was drawn tells
// so.
static inline uint32_t hone_draw_one_in(uint64_t size, uint64_t sure, uint32_t most)
{
    uint64_t of = !size ? most : sure ? (sure - 1) / size + 1 : 1;
    return of < most ? (uint32_t)of : most;
}

// Draws one of so many: its weight; 0: it is not drawn.
static inline uint32_t hone_draw_one_of(uint64_t *state, uint32_t of)
{
    return (hone_wide)(uint32_t)hone_random_next(state) * of >> 32 ? 0 : of;
}

struct hone_lock_thread;

// Whether the acquisition is drawn for which the countdown has ended: its weight; 0: it is not.
HONE_SIGSAFE uint32_t hone_lock_draw_taken(struct hone_lock_thread *self);

// Whether a release that others waited for is drawn, of a lock that is wanted all the time or not;
// and, when it is known with what it is charged, its weight after all. 0: it is not. To walk the
// stack takes as long as many a hold, so that fewer are drawn of what is released all the time.
// What costs its waiters much is drawn by that. A weight is 1 / the chance that such a one is
// drawn.
HONE_SIGSAFE bool hone_lock_draw_release(struct hone_lock_thread *self, bool wanted_always);
HONE_SIGSAFE uint32_t hone_lock_draw_weight(struct hone_lock_thread *self, bool wanted_always,
                                            bool drawn, uint64_t now, uint64_t delay,
                                            uint32_t waiters);

// What takes longer than this, in ticks, is written of a wait that begins, by the rate that was
// asked for times that; and one was written of a lock that is wanted all the time.
HONE_SIGSAFE uint64_t hone_lock_draw_wait(struct hone_lock_thread *self, bool wanted_always,
                                          uint8_t *ret_times);
HONE_SIGSAFE void hone_lock_drew_wait(struct hone_lock_thread *self, uint64_t now);

// How many waits pass until the next one that shows its stack.
HONE_SIGSAFE int32_t hone_lock_draw_show(struct hone_lock_thread *self);

#endif
