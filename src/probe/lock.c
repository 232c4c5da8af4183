#include "probe/lock.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock_draw.h"
#include "probe/lock_held.h"
#include "probe/lock_place.h"
#include "probe/lock_real.h"
#include "probe/lock_record.h"
#include "probe/lock_work.h"

#include <errno.h>

enum {
    // A lock is wanted all the time if so many of a thread's releases of it were charged one after
    // the other, each within this time.
    WANTED_IN_A_ROW = 3,
    WANTED_NS = 1000000,
    CONTENTIONS = 64,      // of such a lock are counted together
    SHOWN_NS = 1000000,    // a thread shows its stack there once in this time at most
    LONG_WAIT_NS = 100000, // its record is no matter any more: it is written at once
    SURE = 2, // times as long as waits are lately: up to there, what is written has its stack early
};

// --- locks that are wanted all the time ----------------------------------------------------------

static bool is_wanted_always(const struct hone_lock_thread *self, uint64_t lock, uint64_t now)
{
    return self->wanted == hone_lock_short(lock) && self->wanted_again >= WANTED_IN_A_ROW &&
           (int64_t)(self->wanted_until - now) > 0;
}

// To have the line of a lock's entry come from another processor takes some 300 ns, as long as many
// a hold. So who releases such a lock is charged once it has done so, with the time of before; and
// who takes it asks for the line, goes on, and leaves just before it releases the lock, with the
// time of when it took it. In between it looks as if we waited, so that nobody else may be charged
// meanwhile: we alone must have it. And it must be we who release it, as we have just done all the
// time.
static bool may_leave_late(const struct hone_lock_thread *self, const struct hone_lock_wait *wait,
                           uint64_t now)
{
    return wait->place.entry && !self->pending && !wait->shared && wait->kind != HONE_LOCK_READ &&
           is_wanted_always(self, wait->lock, now);
}

// --- acquisitions that are drawn -----------------------------------------------------------------

HONE_HOOK void hone_lock_drawn(const void *lock, uint32_t depth, uint32_t kind)
{
    struct hone_lock_thread *self = &hone_lock_self;
    if (!hone_lock_is_recording() || !(hone_lock_wanted() & HONE_LOCKS_MUTEX)) {
        self->countdown = INT32_MAX;
        return;
    }
    if (!hone_lock_work_begin()) {
        self->countdown = 0;
        return;
    }
    int saved = errno;
    self = hone_lock_myself();
    // A thread that was made past us is met here.
    if (hone_lock_wanted() & HONE_LOCKS_ALONE && !hone_locks_are_alone())
        hone_locks_shared();
    uint32_t weight = hone_lock_draw_taken(self);
    if (weight) {
        struct hone_lock_held held = {
            .lock = (uintptr_t)lock, .depth = depth, .kind = (uint8_t)kind, .weight = weight};
        held.stack = hone_lock_stack_here();
        held.taken = hone_ticks();
        hone_lock_held_push(self, &held);
    }
    errno = saved;
    hone_lock_work_end();
}

// --- waits for what somebody holds ---------------------------------------------------------------

// A wait that a handler has jumped out of is not over for those who look at its lock. Its frame is
// gone: a newer one lies where it was, or above.
static void forget_dead_waits(struct hone_lock_thread *self, uintptr_t frame)
{
    struct hone_lock_left left;
    while (self->waiting && self->waits[self->waiting - 1].frame <= frame &&
           !hone_is_on_alternate_stack())
        hone_lock_leave(&self->waits[--self->waiting].place, hone_ticks(), HONE_LOCK_UNDONE, &left);
}

// Whether the stack of a wait will be asked for, so that it is better walked now, while nothing is
// to be had, than once the lock is ours.
static bool shall_show(struct hone_lock_thread *self, const struct hone_lock_wait *wait)
{
    bool again = self->shown == hone_lock_short(wait->lock) &&
                 hone_lock_about(wait->place.began) - self->shown_at <
                     hone_lock_about(hone_lock_ticks(SHOWN_NS));
    if (hone_lock_wanted() & HONE_LOCKS_MUTEX && --self->shows < 0 && !again) {
        self->shown = hone_lock_short(wait->lock);
        self->shown_at = hone_lock_about(wait->place.began);
        self->shows = hone_lock_draw_show(self);
        return true;
    }
    uint64_t typical = hone_lock_typical(&wait->place);
    return hone_lock_wanted() & HONE_LOCKS_BLOCK && (!typical || SURE * typical > wait->enough);
}

// The counter is all threads', and each that adds to it takes its line away from the others.
static void count_contention(struct hone_lock_thread *self, bool one_of_many)
{
    self->contentions++;
    if (one_of_many && self->contentions < CONTENTIONS)
        return;
    hone_count(&hone_counters()->lock_contentions, (uint64_t)(int64_t)self->contentions);
    self->contentions = 0;
}

HONE_HOOK void hone_lock_wait_begin(struct hone_lock_wait *wait, const void *lock, uint32_t kind)
{
    wait->tracked = false;
    hone_lock_expect(hone_lock_self.known);
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_thread *self = hone_lock_myself();
    hone_locks_shared(); // and it is charged to somebody, if only to ourselves
    if (HONE_UNLIKELY(self->waiting))
        forget_dead_waits(self, (uintptr_t)wait);
    for (uint32_t i = 0; i < self->held_count; i++)
        hone_lock_held_end(self, &self->held[i]);
    if (self->waiting < HONE_LOCKS_WAITS) {
        *wait = (struct hone_lock_wait){.lock = (uintptr_t)lock,
                                        .kind = kind,
                                        .epoch = self->epoch,
                                        .waiting = self->waiting,
                                        .tracked = true,
                                        .shared = hone_lock_is_shared(lock, kind)};
        hone_lock_enter((uintptr_t)lock, hone_ticks(), &wait->place);
        self->known = wait->place.entry;
        self->waits[self->waiting++] = (struct hone_lock_waiting){wait->place, (uintptr_t)wait};
        wait->always = is_wanted_always(self, wait->lock, wait->place.began);
        wait->enough = hone_lock_draw_wait(self, wait->always, &wait->rate_times);
        if (!wait->place.entry)
            hone_count(&hone_counters()->lock_untracked, 1);
        if (shall_show(self, wait)) {
            hone_lock_show(&wait->place, hone_lock_stack_here());
            hone_lock_tell_place(wait->lock, (enum hone_lock_kind)kind);
            self->waits[wait->waiting].place = wait->place;
        }
    }
    count_contention(self, wait->tracked && wait->always);
    errno = saved;
    hone_lock_work_end();
}

// The lock is ours, or we have given up.
static void end_wait(struct hone_lock_thread *self, struct hone_lock_wait *wait, bool timed_out,
                     struct hone_lock_held *ret)
{
    if (ret->waited > wait->enough) {
        if (!ret->stack)
            ret->stack = hone_lock_stack_here();
        ret->time_ns = hone_now_ns();
        ret->rate_times = wait->rate_times;
        ret->wait_due = true;
        if (wait->always)
            hone_lock_drew_wait(self, ret->taken);
    }
    if (timed_out && ret->wait_due) {
        struct hone_lock_wait_facts facts = {.lock = ret->lock,
                                             .delay_ns = hone_lock_ns(ret->waited),
                                             .time_ns = ret->time_ns,
                                             .rate_ns = hone_lock_config()->block_rate_ns *
                                                        ret->rate_times,
                                             .stack = ret->stack,
                                             .kind = ret->kind,
                                             .timed_out = true};
        hone_lock_write_wait(&facts);
    } else if (!timed_out) {
        // But by whom it was held may be told in a moment.
        if (!ret->pending && ret->waited > hone_lock_ticks(LONG_WAIT_NS) &&
            (uint32_t)ret->released != HONE_LOCK_STACK_SOON)
            hone_lock_settle(ret);
        hone_lock_held_push(self, ret);
    }
}

HONE_HOOK void hone_lock_wait_end(struct hone_lock_wait *wait, enum hone_lock_outcome outcome,
                                  uint32_t depth)
{
    if (!wait->tracked)
        return;
    uint64_t now = hone_ticks();
    struct hone_lock_thread *self = &hone_lock_self;
    // In a child that was forked in a handler, or where waits further out are over, it is none.
    if (wait->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) ||
        self->waiting <= wait->waiting)
        return;
    self->waiting = wait->waiting;
    struct hone_lock_left left = {0};
    bool pending = outcome == HONE_LOCK_TAKEN && may_leave_late(self, wait, now);
    // Who of us releases a shared lock next need not be who had it.
    bool owed = outcome != HONE_LOCK_TIMED_OUT || !wait->shared;
    if (pending)
        hone_lock_expect(wait->place.entry);
    else
        hone_lock_leave(&wait->place, now, owed ? outcome : HONE_LOCK_UNDONE, &left);
    if (outcome == HONE_LOCK_UNDONE) // it was no contention then
        self->contentions--;
    if (outcome == HONE_LOCK_UNDONE || !hone_lock_is_recording() || !hone_lock_work_begin()) {
        if (pending)
            hone_lock_leave(&wait->place, now, outcome, &left);
        return;
    }
    int saved = errno;
    struct hone_lock_held held = {.lock = wait->lock,
                                  .taken = now,
                                  .waited = now - wait->place.began,
                                  .stack = wait->place.stack,
                                  .depth = depth,
                                  .kind = (uint8_t)wait->kind,
                                  .contended = true,
                                  .shown = wait->place.stack != 0,
                                  .pending = pending};
    if (pending)
        self->pending = wait->place.entry;
    if (hone_lock_is_had(outcome) && hone_lock_is_due() && hone_lock_wanted() & HONE_LOCKS_MUTEX)
        held.weight = hone_lock_draw_taken(self);
    if (!pending)
        hone_lock_held_from(&held, wait->place.entry, &left, wait->shared);
    end_wait(self, wait, outcome == HONE_LOCK_TIMED_OUT, &held);
    errno = saved;
    hone_lock_work_end();
}

// --- releases ------------------------------------------------------------------------------------

static uint8_t one_more(uint8_t count)
{
    return count < UINT8_MAX ? count + 1 : count;
}

// `before`: what the entry of our last charge said before this one.
static void remember_charge(struct hone_lock_thread *self, const struct hone_lock_release *release,
                            uint64_t before, uint64_t at)
{
    const struct hone_lock_charge *charge = &release->charge;
    bool again = self->charged == charge->entry && HONE_LOCK_OF(before) == self->charged_as;
    self->charged_again = again ? one_more(self->charged_again) : 1;
    self->charged = charge->entry;
    self->charged_as = (uint32_t)HONE_LOCK_OF(charge->released);
    self->charged_tick = hone_tick_ns();
    bool wanted =
        self->wanted == hone_lock_short(release->lock) && (int64_t)(self->wanted_until - at) > 0;
    self->wanted_again = wanted ? one_more(self->wanted_again) : 1;
    self->wanted = hone_lock_short(release->lock);
    self->wanted_until = at + hone_lock_ticks(WANTED_NS);
}

// Whoever waits at `at`.
HONE_HOOK static void charge(struct hone_lock_thread *self, struct hone_lock_release *release,
                             uint64_t at)
{
    uint64_t before = self->charged ? self->charged->released : 0;
    bool always = is_wanted_always(self, release->lock, at);
    bool drawn = hone_lock_draw_release(self, always);
    struct hone_lock_done done = {
        .lock = release->lock,
        .known = self->known,
        .ticks = at,
        .taken = release->late && release->held.lock ? release->held.taken : 0,
        .thread = hone_thread_self()->index,
        .kind = release->kind,
        .drawn = drawn,
        .summed = hone_lock_config()->mutex_fraction > 1,
        .in_a_row = self->charged_again + 1 >= HONE_LOCK_CHARGED_IN_A_ROW,
    };
    hone_lock_release(&done, &release->charge);
    if (release->charge.found)
        self->known = release->charge.found;
    if (!release->charge.entry)
        return;
    release->weight = hone_lock_draw_weight(self, always, drawn, at, release->charge.delay,
                                            release->charge.waiters);
    if (drawn && !release->weight)
        hone_lock_keep_quiet(&release->charge);
    remember_charge(self, release, before, at);
}

// Once it is released others may be charged, so that our own wait must be over: the line should
// have come by now.
static void leave_before(struct hone_lock_release *release)
{
    if (!hone_lock_work_begin())
        return;
    struct hone_lock_thread *self = hone_lock_myself();
    for (uint32_t at = self->held_count; at-- > 0;) {
        struct hone_lock_held *held = &self->held[at];
        if (held->pending && held->lock == release->lock && held->depth == release->depth) {
            release->owed_at = self->pending;
            release->owed = hone_lock_held_leave(self, held);
        }
    }
    hone_lock_work_end();
}

HONE_HOOK void hone_lock_release_begin(struct hone_lock_release *release, const void *lock,
                                       uint32_t kind, uint32_t depth)
{
    // Done while others want the lock: the less the better.
    struct hone_lock_thread *self = &hone_lock_self;
    release->at = hone_ticks();
    release->lock = (uintptr_t)lock;
    release->kind = kind;
    release->depth = depth;
    release->frees = depth <= 1;
    release->charge.entry = NULL;
    release->weight = 0;
    release->held.lock = 0;
    release->owed = 0;
    release->owed_at = NULL;
    release->late = release->frees && kind != HONE_LOCK_READ &&
                    is_wanted_always(self, release->lock, release->at) &&
                    !hone_lock_is_shared(lock, kind);
    if (release->late) {
        hone_lock_expect(self->known);
        if (self->held_count)
            leave_before(release);
        return;
    }
    if (!self->held_count && release->frees &&
        hone_lock_nobody_waits(self->known, release->lock, release->at))
        return;
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    self = hone_lock_myself();
    // By whom the lock came to us is read before our own release takes its place.
    if (hone_lock_held_pop(self, release->lock, depth, &release->held)) {
        hone_lock_held_end(self, &release->held);
        hone_lock_held_by_whom(&release->held);
    }
    if (release->frees && hone_lock_may_be_waited_for(lock) &&
        !hone_lock_nobody_waits(self->known, release->lock, release->at))
        charge(self, release, release->at);
    hone_lock_work_end();
}

HONE_HOOK static void tell_release(struct hone_lock_release *release)
{
    struct hone_lock_charge *charge = &release->charge;
    uint32_t stack = hone_lock_stack_here();
    hone_lock_tell(charge, stack);
    if (!stack) {
        hone_count(&hone_counters()->lock_lost, 1);
        if (charge->released & HONE_LOCK_SUMMED)
            hone_lock_pass_on(charge->entry, charge->rest + charge->rests);
        return;
    }
    struct hone_lock_held_facts facts = {
        .lock = release->lock,
        .delay = charge->delay,
        .hold = release->held.lock ? release->at - release->held.taken : 0,
        .stack = stack,
        .waiter_stack = charge->waiter_stack,
        .thread = hone_thread_self()->index,
        .waiters = charge->waiters,
        .kind = release->kind,
        .weight = release->weight,
    };
    hone_lock_write_held(&facts);
    hone_lock_told(charge->entry, release->lock, charge->released, stack);
    if (charge->rest)
        hone_lock_write_rest(&facts, charge->rest + charge->rests);
}

// What was not done before it. Our own wait is no doing of ours: if nobody has been charged since
// it began, who released the lock to us is late, too, and comes now, or the next one does.
static void catch_up(struct hone_lock_thread *self, struct hone_lock_release *release)
{
    bool held = hone_lock_held_pop(self, release->lock, release->depth, &release->held);
    if (held) {
        hone_lock_held_end(self, &release->held);
        hone_lock_held_by_whom(&release->held);
    }
    if (hone_lock_may_be_waited_for((const void *)(uintptr_t)release->lock))
        charge(self, release, release->at);
    if (held && release->owed)
        hone_lock_owe(release->owed_at, release->lock, release->owed);
}

HONE_HOOK static void tell(struct hone_lock_release *release, bool released, bool late)
{
    if (late)
        charge(hone_lock_myself(), release, hone_ticks());
    if (!released) {
        if (release->held.lock)
            hone_lock_held_push(&hone_lock_self, &release->held);
        return;
    }
    if (release->charge.entry && release->weight)
        tell_release(release);
    if (release->held.lock) {
        hone_lock_settle(&release->held);
        if (release->held.weight)
            hone_lock_write_use(&release->held, release->at);
    }
}

HONE_HOOK void hone_lock_release_end(struct hone_lock_release *release, bool released)
{
    bool catching_up = release->late && released;
    // Nobody waited: who came from there to the release itself does.
    bool late = released && release->frees && !release->late && !release->charge.entry &&
                hone_lock_may_be_waited_for((const void *)(uintptr_t)release->lock) &&
                !hone_lock_nobody_waits(hone_lock_self.known, release->lock, hone_ticks());
    if (!release->charge.entry && !release->held.lock && !late && !catching_up)
        return;
    if (!released && release->charge.entry)
        hone_lock_not_released(&release->charge);
    if (!hone_lock_work_begin())
        return;
    int saved = errno;
    if (catching_up)
        catch_up(hone_lock_myself(), release);
    if (hone_lock_is_recording())
        tell(release, released, late);
    errno = saved;
    hone_lock_work_end();
}

// --- the end of a thread -------------------------------------------------------------------------

void hone_locks_thread_leave(void)
{
    struct hone_lock_thread *self = &hone_lock_self;
    if (self->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) ||
        !hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    hone_count(&hone_counters()->lock_contentions, (uint64_t)(int64_t)self->contentions);
    self->contentions = 0;
    struct hone_lock_left left;
    while (self->waiting)
        hone_lock_leave(&self->waits[--self->waiting].place, hone_ticks(), HONE_LOCK_UNDONE, &left);
    for (uint32_t i = 0; i < self->held_count; i++) {
        hone_lock_held_end(self, &self->held[i]);
        hone_lock_settle(&self->held[i]);
    }
    self->held_count = 0;
    hone_lock_work_end();
}
