#include "probe/lock_draw.h"

#include "core/ticks.h"
#include "probe/lock_work.h"

enum {
    // Acquisitions are drawn about once in this time and thread, whatever their rate is.
    DRAWN_SOON_NS = 1000000,
    DRAWN_LATE_NS = 50000000,
    INTERVAL_FIRST = 16,
    INTERVAL_MAX = 1 << 16,
    // And so are releases of a lock that is wanted all the time, and waits for it, but of so many
    // that would be drawn otherwise one at least.
    THINNED_SOON_NS = 1000000,
    THINNED_LATE_NS = 4000000,
    THIN_MAX = 64,
    LARGE = 8,         // times as much as usual,
    USUAL = 16,        // the mean of about so many
    SURE_NS = 1000000, // a release that costs each waiter so much is drawn for certain
};

// --- acquisitions --------------------------------------------------------------------------------

// The number of the acquisitions that pass between two draws follows their rate.
static void adapt(struct hone_lock_thread *self, uint64_t now)
{
    uint32_t since = hone_lock_about(now) - self->drawn_at;
    if (since < hone_lock_about(hone_lock_ticks(DRAWN_SOON_NS)) && self->interval < INTERVAL_MAX)
        self->interval *= 2;
    else if (since > hone_lock_about(hone_lock_ticks(DRAWN_LATE_NS)) && self->interval > 1)
        self->interval /= 2;
    self->drawn_at = hone_lock_about(now);
}

uint32_t hone_lock_draw_taken(struct hone_lock_thread *self)
{
    uint32_t weight = self->interval;
    if (!weight) { // the first one of all
        self->interval = INTERVAL_FIRST;
        self->drawn_at = hone_lock_about(hone_ticks());
        self->countdown = hone_draw_skip(&self->random, INTERVAL_FIRST) - 1;
        if (self->countdown >= 0)
            return 0;
        weight = INTERVAL_FIRST;
    }
    adapt(self, hone_ticks());
    self->countdown = hone_draw_skip(&self->random, self->interval);
    return weight;
}

// --- releases ------------------------------------------------------------------------------------

bool hone_lock_draw_release(struct hone_lock_thread *self, bool wanted_always)
{
    if (!(hone_lock_wanted() & HONE_LOCKS_MUTEX))
        return false;
    return (wanted_always ? self->thinned : self->releases) <= 0;
}

static void adapt_to(struct hone_lock_thread *self, int what, uint64_t now)
{
    uint32_t since = hone_lock_about(now) - self->thin_at[what];
    if (since < hone_lock_about(hone_lock_ticks(THINNED_SOON_NS)) &&
        self->thin_times[what] < THIN_MAX)
        self->thin_times[what] *= 2;
    else if (since > hone_lock_about(hone_lock_ticks(THINNED_LATE_NS)) &&
             self->thin_times[what] > 1)
        self->thin_times[what] /= 2;
    self->thin_at[what] = hone_lock_about(now);
}

// Of how many one is drawn that costs each waiter so much. There can be no more than a thousand
// releases of a lock in a second that are drawn for certain.
static uint32_t one_in(uint64_t each)
{
    return hone_draw_one_in(each, hone_lock_ticks(SURE_NS), hone_lock_config()->mutex_fraction);
}

// One that is charged with much more than others is drawn as if nothing were thinned out: with the
// weight of those it would be too much.
static uint32_t weigh_thinned(struct hone_lock_thread *self, bool drawn, uint64_t now,
                              uint64_t delay, uint32_t of)
{
    uint32_t fraction = hone_lock_config()->mutex_fraction, weight = drawn ? fraction : 0;
    uint64_t usual = self->usual, most = delay < UINT32_MAX ? delay : UINT32_MAX;
    bool large = delay > LARGE * usual || of < fraction;
    self->usual = (uint32_t)((usual * (USUAL - 1) + most) / USUAL);
    self->thinned--;
    if (drawn) {
        weight *= self->thin_times[HONE_LOCK_RELEASES];
        if (fraction > 1 && fraction <= UINT32_MAX / THIN_MAX)
            adapt_to(self, HONE_LOCK_RELEASES, now);
        self->thinned = hone_draw_skip(&self->random,
                                       (uint64_t)fraction * self->thin_times[HONE_LOCK_RELEASES]);
    }
    return large ? hone_draw_one_of(&self->random, of) : weight;
}

uint32_t hone_lock_draw_weight(struct hone_lock_thread *self, bool wanted_always, bool drawn,
                               uint64_t now, uint64_t delay, uint32_t waiters)
{
    uint32_t fraction = hone_lock_config()->mutex_fraction;
    uint32_t of = one_in(delay / (waiters ? waiters : 1));
    if (wanted_always)
        return weigh_thinned(self, drawn, now, delay, of);
    self->releases = drawn ? hone_draw_skip(&self->random, fraction) : self->releases - 1;
    if (of < fraction)
        return hone_draw_one_of(&self->random, of);
    return drawn ? fraction : 0;
}

// --- waits ---------------------------------------------------------------------------------------

uint64_t hone_lock_draw_wait(struct hone_lock_thread *self, bool wanted_always, uint8_t *ret_times)
{
    uint64_t rate_ns = hone_lock_config()->block_rate_ns;
    *ret_times = 1;
    if (!(hone_lock_wanted() & HONE_LOCKS_BLOCK))
        return UINT64_MAX;
    if (wanted_always && rate_ns > 1 && rate_ns <= UINT32_MAX / THIN_MAX) // as of releases
        *ret_times = self->thin_times[HONE_LOCK_WAITS];
    return hone_draw_size(&self->random, hone_lock_ticks(rate_ns * *ret_times));
}

void hone_lock_drew_wait(struct hone_lock_thread *self, uint64_t now)
{
    adapt_to(self, HONE_LOCK_WAITS, now);
}

int32_t hone_lock_draw_show(struct hone_lock_thread *self)
{
    int64_t waits = hone_draw_skip(&self->random, hone_lock_config()->mutex_fraction);
    return waits < INT32_MAX ? (int32_t)waits : INT32_MAX;
}
