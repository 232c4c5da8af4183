#include "probe/lock.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock_draw.h"
#include "probe/lock_place.h"
#include "probe/lock_real.h"
#include "probe/lock_record.h"
#include "probe/lock_work.h"

#include <errno.h>

enum {
    // Acquisitions are drawn about once in this time and thread, whatever their rate is.
    DRAWN_SOON_NS = 1000000,
    DRAWN_LATE_NS = 50000000,
    INTERVAL_FIRST = 16,
    INTERVAL_MAX = 1 << 16,
    LAST_RELEASE_NS = 10000000,
    LONG_WAIT_NS = 100000, // its record is no matter any more: it is written at once
    SURE = 2, // times as long as waits are lately: up to there, what is written has its stack early
};

// --- what a thread holds -------------------------------------------------------------------------

static void drop(struct hone_lock_thread *self, uint32_t at)
{
    self->held_count--;
    for (; at < self->held_count; at++)
        self->held[at] = self->held[at + 1];
}

static void push(struct hone_lock_thread *self, const struct hone_lock_held *held)
{
    if (self->held_count == HONE_LOCKS_HELD) { // the oldest will not be seen again
        hone_lock_settle(&self->held[0]);
        drop(self, 0);
    }
    self->held[self->held_count++] = *held;
}

static bool pop(struct hone_lock_thread *self, uint64_t lock, uint32_t depth,
                struct hone_lock_held *ret)
{
    for (uint32_t at = self->held_count; at-- > 0;)
        if (self->held[at].lock == lock && self->held[at].depth == depth) {
            *ret = self->held[at];
            drop(self, at);
            return true;
        }
    return false;
}

// --- acquisitions that are drawn -----------------------------------------------------------------

// The number of the acquisitions that pass between two draws follows their rate.
static void adapt(struct hone_lock_thread *self, uint64_t now)
{
    uint64_t since = now - self->drawn_at;
    if (since < hone_lock_ticks(DRAWN_SOON_NS) && self->interval < INTERVAL_MAX)
        self->interval *= 2;
    else if (since > hone_lock_ticks(DRAWN_LATE_NS) && self->interval > 1)
        self->interval /= 2;
    self->drawn_at = now;
}

// Whether it is this one that is drawn; its weight.
static uint32_t draw(struct hone_lock_thread *self)
{
    uint32_t weight = self->interval;
    if (!weight) { // the first one of all
        self->interval = INTERVAL_FIRST;
        self->drawn_at = hone_ticks();
        self->countdown = hone_draw_skip(&self->random, INTERVAL_FIRST) - 1;
        if (self->countdown >= 0)
            return 0;
        weight = INTERVAL_FIRST;
    }
    adapt(self, hone_ticks());
    self->countdown = hone_draw_skip(&self->random, self->interval);
    return weight;
}

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
    uint32_t weight = draw(self);
    if (weight) {
        struct hone_lock_held held = {
            .lock = (uintptr_t)lock, .depth = depth, .kind = (uint8_t)kind, .weight = weight};
        held.stack = hone_lock_stack_here();
        held.taken = hone_ticks();
        push(self, &held);
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
    if (hone_lock_wanted() & HONE_LOCKS_MUTEX && --self->shows < 0) {
        self->shows = hone_draw_skip(&self->random, hone_lock_config()->mutex_fraction);
        return true;
    }
    uint64_t typical = hone_lock_typical(&wait->place);
    return hone_lock_wanted() & HONE_LOCKS_BLOCK &&
           (!typical || hone_draw_by_size(wait->random, SURE * typical,
                                          hone_lock_ticks(hone_lock_config()->block_rate_ns)));
}

HONE_HOOK void hone_lock_wait_begin(struct hone_lock_wait *wait, const void *lock, uint32_t kind)
{
    wait->tracked = false;
    hone_lock_expect(hone_lock_self.known);
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_thread *self = hone_lock_myself();
    if (HONE_UNLIKELY(self->waiting))
        forget_dead_waits(self, (uintptr_t)wait);
    if (self->waiting < HONE_LOCKS_WAITS) {
        *wait = (struct hone_lock_wait){.lock = (uintptr_t)lock,
                                        .kind = kind,
                                        .random = (uint32_t)hone_random_next(&self->random),
                                        .epoch = self->epoch,
                                        .waiting = self->waiting,
                                        .tracked = true,
                                        .shared = hone_lock_is_shared(lock, kind)};
        hone_lock_enter((uintptr_t)lock, hone_ticks(), &wait->place);
        self->known = wait->place.entry;
        self->waits[self->waiting++] = (struct hone_lock_waiting){wait->place, (uintptr_t)wait};
        if (!wait->place.entry)
            hone_count(&hone_counters()->lock_untracked, 1);
        if (shall_show(self, wait)) {
            hone_lock_show(&wait->place, hone_lock_stack_here());
            hone_lock_tell_place(wait->lock, (enum hone_lock_kind)kind);
            self->waits[wait->waiting].place = wait->place;
        }
    }
    hone_count(&hone_counters()->lock_contentions, 1);
    errno = saved;
    hone_lock_work_end();
}

// The lock is ours, or we have given up.
static void end_wait(struct hone_lock_thread *self, struct hone_lock_wait *wait,
                     const struct hone_lock_left *left, bool timed_out, struct hone_lock_held *ret)
{
    // A release of before the wait is the one that ended it if it is about as old as a tick. Of a
    // shared lock it need not be, nor one that lies further back: others may have had it since.
    uint64_t recent = hone_lock_ticks(LAST_RELEASE_NS);
    if (wait->shared ? !left->age && left->rest <= recent : left->age <= recent) {
        ret->released = left->released;
        ret->rest = left->rest;
    }
    if (hone_lock_wanted() & HONE_LOCKS_BLOCK &&
        hone_draw_by_size(wait->random, ret->waited,
                          hone_lock_ticks(hone_lock_config()->block_rate_ns))) {
        if (!ret->stack)
            ret->stack = hone_lock_stack_here();
        ret->time_ns = hone_now_ns();
        ret->wait_due = true;
    }
    if (timed_out && ret->wait_due) {
        struct hone_lock_wait_facts facts = {.lock = ret->lock,
                                             .delay_ns = hone_lock_ns(ret->waited),
                                             .time_ns = ret->time_ns,
                                             .stack = ret->stack,
                                             .kind = ret->kind,
                                             .timed_out = true};
        hone_lock_write_wait(&facts);
    } else if (!timed_out) {
        // But by whom it was held may be told in a moment.
        if (ret->waited > hone_lock_ticks(LONG_WAIT_NS) &&
            (uint32_t)ret->released != HONE_LOCK_STACK_SOON)
            hone_lock_settle(ret);
        push(self, ret);
    }
}

HONE_HOOK void hone_lock_wait_end(struct hone_lock_wait *wait, enum hone_lock_outcome outcome,
                                  uint32_t depth)
{
    if (!wait->tracked)
        return;
    hone_lock_expect(wait->place.entry);
    uint64_t now = hone_ticks();
    struct hone_lock_thread *self = &hone_lock_self;
    // In a child that was forked in a handler, or where waits further out are over, it is none.
    if (wait->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) ||
        self->waiting <= wait->waiting)
        return;
    self->waiting = wait->waiting;
    struct hone_lock_left left;
    // Who of us releases a shared lock next need not be who had it.
    bool owed = outcome != HONE_LOCK_TIMED_OUT || !wait->shared;
    hone_lock_leave(&wait->place, now, owed ? outcome : HONE_LOCK_UNDONE, &left);
    if (outcome == HONE_LOCK_UNDONE) // it was no contention then
        hone_count(&hone_counters()->lock_contentions, UINT64_MAX);
    if (outcome == HONE_LOCK_UNDONE || !hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_held held = {.lock = wait->lock,
                                  .taken = now,
                                  .waited = now - wait->place.began,
                                  .stack = wait->place.stack,
                                  .depth = depth,
                                  .kind = (uint8_t)wait->kind,
                                  .contended = true};
    if (hone_lock_is_had(outcome) && hone_lock_is_due() && hone_lock_wanted() & HONE_LOCKS_MUTEX)
        held.weight = draw(self);
    end_wait(self, wait, &left, outcome == HONE_LOCK_TIMED_OUT, &held);
    errno = saved;
    hone_lock_work_end();
}

// --- releases ------------------------------------------------------------------------------------

// `before`: what the entry of our last charge said before this one.
static void remember_charge(struct hone_lock_thread *self, const struct hone_lock_charge *charge,
                            uint64_t before)
{
    bool again = self->charged == charge->entry && HONE_LOCK_OF(before) == self->charged_as;
    self->charged_again = again ? self->charged_again + 1 : 1;
    self->charged = charge->entry;
    self->charged_as = HONE_LOCK_OF(charge->released);
    self->charged_tick = hone_tick_ns();
}

// Whoever waits at `at`.
HONE_HOOK static void charge(struct hone_lock_thread *self, struct hone_lock_release *release,
                             uint64_t at)
{
    uint64_t before = self->charged ? self->charged->released : 0;
    release->drawn = hone_lock_wanted() & HONE_LOCKS_MUTEX && self->releases <= 0;
    hone_lock_release(release->lock, at, hone_thread_self()->index, release->kind, release->drawn,
                      &release->charge);
    if (release->charge.found)
        self->known = release->charge.found;
    if (!release->charge.entry)
        return;
    remember_charge(self, &release->charge, before);
    self->releases = release->drawn
                         ? hone_draw_skip(&self->random, hone_lock_config()->mutex_fraction)
                         : self->releases - 1;
}

HONE_HOOK void hone_lock_release_begin(struct hone_lock_release *release, const void *lock,
                                       uint32_t kind, uint32_t depth)
{
    *release =
        (struct hone_lock_release){.lock = (uintptr_t)lock, .kind = kind, .frees = depth <= 1};
    // Done while others want the lock: the less the better.
    struct hone_lock_thread *self = &hone_lock_self;
    if (!self->held_count && release->frees &&
        hone_lock_nobody_waits(self->known, release->lock, hone_ticks()))
        return;
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    self = hone_lock_myself();
    struct hone_lock_held *held = &release->held;
    release->at = hone_ticks();
    // By whom the lock came to us is read before our own release takes its place.
    if (pop(self, release->lock, depth, held) && held->released)
        held->released = (held->released & ~(uint64_t)UINT32_MAX) |
                         hone_lock_released_stack(held->lock, held->released);
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
    };
    hone_lock_write_held(&facts);
}

HONE_HOOK void hone_lock_release_end(struct hone_lock_release *release, bool released)
{
    // Nobody waited: who came from there to the release itself does.
    bool late = released && release->frees && !release->charge.entry &&
                hone_lock_may_be_waited_for((const void *)(uintptr_t)release->lock) &&
                !hone_lock_nobody_waits(hone_lock_self.known, release->lock, hone_ticks());
    if (!release->charge.entry && !release->held.lock && !late)
        return;
    if (!released && release->charge.entry)
        hone_lock_not_released(&release->charge);
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    if (late)
        charge(hone_lock_myself(), release, hone_ticks());
    if (!released) {
        if (release->held.lock)
            push(&hone_lock_self, &release->held);
    } else {
        if (release->charge.entry && release->drawn)
            tell_release(release);
        if (release->held.lock) {
            hone_lock_settle(&release->held);
            if (release->held.weight)
                hone_lock_write_use(&release->held, release->at);
        }
    }
    errno = saved;
    hone_lock_work_end();
}

// --- waits for what nobody holds -----------------------------------------------------------------

uint64_t hone_wait_begin(void)
{
    return hone_lock_wanted() & HONE_LOCKS_BLOCK ? hone_ticks() : 0;
}

HONE_HOOK void hone_wait_end(uint64_t began, const void *object, uint32_t kind, bool timed_out)
{
    if (!began)
        return;
    uint64_t waited = hone_ticks() - began;
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_thread *self = hone_lock_myself();
    struct hone_lock_wait_facts facts = {.lock = (uintptr_t)object,
                                         .delay_ns = hone_lock_ns(waited),
                                         .time_ns = hone_now_ns(),
                                         .kind = kind,
                                         .timed_out = timed_out};
    if (hone_draw_by_size((uint32_t)hone_random_next(&self->random), facts.delay_ns,
                          hone_lock_config()->block_rate_ns)) {
        facts.stack = hone_lock_stack_here();
        hone_lock_write_wait(&facts);
    }
    errno = saved;
    hone_lock_work_end();
}

// --- life cycle ----------------------------------------------------------------------------------

void hone_locks_begin(bool allowed)
{
    uint32_t all = 0;
    hone_locks_find();
    if (allowed && hone_lock_config()->mutex_fraction)
        all |= HONE_LOCKS_MUTEX;
    if (allowed && hone_lock_config()->block_rate_ns)
        all |= HONE_LOCKS_BLOCK;
    if (all && hone_locks_are_alone())
        all |= HONE_LOCKS_ALONE;
    hone_lock_clock_begin();
    atomic_store_explicit(&hone_locks_wanted, all, memory_order_release);
}

void hone_locks_shared(void)
{
    if (hone_lock_wanted() & HONE_LOCKS_ALONE)
        atomic_fetch_and_explicit(&hone_locks_wanted, ~(uint32_t)HONE_LOCKS_ALONE,
                                  memory_order_relaxed);
}

void hone_locks_end(void)
{
    atomic_store_explicit(&hone_locks_wanted, 0, memory_order_release);
}

bool hone_locks_are_wanted(void)
{
    return hone_lock_wanted() & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK);
}

void hone_locks_after_fork(void)
{
    hone_lock_table_after_fork();
    hone_lock_records_after_fork();
}

void hone_locks_thread_leave(void)
{
    struct hone_lock_thread *self = &hone_lock_self;
    if (self->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) ||
        !hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    struct hone_lock_left left;
    while (self->waiting)
        hone_lock_leave(&self->waits[--self->waiting].place, hone_ticks(), HONE_LOCK_UNDONE, &left);
    for (uint32_t i = 0; i < self->held_count; i++)
        hone_lock_settle(&self->held[i]);
    self->held_count = 0;
    hone_lock_work_end();
}
