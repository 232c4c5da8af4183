#include "probe/lock.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock_draw.h"
#include "probe/lock_place.h"
#include "probe/lock_real.h"

#include <errno.h>
#include <signal.h>

enum {
    // Acquisitions are drawn about once in this time and thread, whatever their rate is.
    DRAWN_SOON_NS = 1000000,
    DRAWN_LATE_NS = 50000000,
    INTERVAL_FIRST = 16,
    INTERVAL_MAX = 1 << 16,
    // So many locks' making is written; then one in this time and thread.
    MADE_MAX = 4096,
    MADE_NS = 1000000,
    LAST_RELEASE_NS = 10000000,
    LONG_WAIT_NS = 100000, // its record is no matter any more: it is written at once
    RATE_KNOWN_NS = 10000000,
    SURE = 2, // times as long as waits are lately: up to there, what is written has its stack early
    PAGE = 4096,
};

__thread struct hone_lock_thread hone_lock_self;

static uint64_t begun_ticks, begun_ns;
static _Atomic uint32_t made;

static uint32_t wanted(void)
{
    return atomic_load_explicit(&hone_locks_wanted, memory_order_relaxed);
}

static bool is_recording(void)
{
    return wanted() & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK) && hone_probe.writer.process &&
           !hone_probe.locked_in &&
           !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed);
}

static const struct hone_session_config *config(void)
{
    return &hone_probe.writer.header->config;
}

// How many nanoseconds a tick takes is known the better the longer we run, and never worse than
// what is asked about: that took place since we began.
static uint64_t ns_of(uint64_t ticks)
{
    uint64_t passed = hone_ticks() - begun_ticks, passed_ns = hone_now_ns() - begun_ns;
    return passed ? (uint64_t)((double)ticks * (double)passed_ns / (double)passed) : 0;
}

// The other way round, for what is decided while a lock is held: by what was known after a while.
static uint64_t ticks_of(uint64_t ns)
{
    static _Atomic double known;
    double rate = atomic_load_explicit(&known, memory_order_relaxed);
    if (HONE_UNLIKELY(rate == 0)) {
        uint64_t passed = hone_ticks() - begun_ticks, passed_ns = hone_now_ns() - begun_ns;
        rate = passed_ns ? (double)passed / (double)passed_ns : 1;
        if (passed_ns > RATE_KNOWN_NS)
            atomic_store_explicit(&known, rate, memory_order_relaxed);
    }
    double ticks = (double)ns * rate;
    return ticks < 0x1p63 ? (uint64_t)ticks : UINT64_MAX;
}

// --- our own work --------------------------------------------------------------------------------

// A handler of the program's may interrupt it, and lock.
static bool enter(void)
{
    if (hone_heap_self.inside)
        return false;
    hone_heap_self.inside = 1;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static void leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    hone_heap_self.inside = 0;
}

static bool is_on_alternate(void)
{
    stack_t alternate = {0};
    return hone_syscall2(SYS_sigaltstack, NULL, &alternate) == 0 && alternate.ss_flags & SS_ONSTACK;
}

// What is found here is of this process, not of the one that forked it.
static struct hone_lock_thread *myself(void)
{
    struct hone_lock_thread *self = &hone_lock_self;
    uint32_t epoch = atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed);
    if (HONE_UNLIKELY(self->epoch != epoch)) {
        self->held_count = self->waiting = 0;
        self->charged = NULL;
        self->epoch = epoch;
        self->random =
            (hone_now_ns() ^ (uint64_t)(uintptr_t)self << 20 ^ (uint64_t)epoch << 50) | 1;
        (void)hone_random_next(&self->random);
        self->releases = hone_draw_skip(&self->random, config()->mutex_fraction);
        self->shows = hone_draw_skip(&self->random, config()->mutex_fraction);
    }
    hone_thread_meet(hone_thread_self(), NULL);
    return self;
}

struct walking {
    struct hone_area *area;
    const struct hone_registers *registers;
    uint32_t stack;
};

// On the program's stack or the area's own.
static void walk_now(void *argument)
{
    struct walking *at = argument;
    struct hone_walk walk;
    hone_area_walk_own(at->area, hone_thread_self(), &hone_lock_self.stack, at->registers, &walk);
    hone_modules_emit();
    uint32_t hooks = hone_heap_hook_frames(at->area->addresses, walk.count);
    at->stack = hone_stack_id(at->area->addresses + hooks, walk.count - hooks,
                              (enum hone_stack_end)walk.end);
}

// The id of the stack of who called the hooks; 0: there was no room.
HONE_HOOK static uint32_t stack_here(void)
{
    struct hone_registers registers;
    hone_registers_here(&registers);
    // Where the program's handler has a stack of its own, a signal would begin that anew while we
    // are on ours.
    uint64_t sp = registers.r[HONE_REGISTER_SP];
    const struct hone_own_stack *own = &hone_lock_self.stack;
    bool elsewhere = (sp < own->low || sp >= own->high) && is_on_alternate();
    struct walking at = {elsewhere ? NULL : hone_area_take(), &registers, 0};
    if (!at.area)
        return 0;
    if (HONE_LIKELY(hone_stack_has_room(own, sp))) // two system calls less, with the lock in hand
        walk_now(&at);
    else
        hone_area_call(at.area, walk_now, &at);
    hone_area_give_back(at.area);
    return at.stack;
}

// --- records -------------------------------------------------------------------------------------

static void *claim(size_t bytes)
{
    void *record = hone_writer_claim(&hone_probe.writer, bytes);
    if (!record)
        hone_count(&hone_counters()->lock_lost, 1);
    return record;
}

struct held_facts {
    uint64_t lock, delay, hold; // the latter two in ticks
    uint32_t stack, waiter_stack, thread, waiters, kind;
};

static void write_held(const struct held_facts *facts)
{
    struct hone_record_lock_held *record = claim(sizeof *record);
    if (!record)
        return;
    record->record.small = facts->thread;
    record->time_ns = hone_now_ns();
    record->lock = facts->lock;
    record->stack = facts->stack;
    record->waiter_stack = facts->waiter_stack;
    record->delay_ns = ns_of(facts->delay);
    record->hold_ns = ns_of(facts->hold);
    record->waiters = facts->waiters;
    record->kind = facts->kind;
    record->weight = config()->mutex_fraction;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_HELD);
    hone_count(&hone_counters()->lock_held, 1);
}

struct wait_facts {
    uint64_t lock, delay_ns, time_ns;
    uint64_t released;
    uint32_t stack, kind, holder_stack;
    bool timed_out;
};

static void write_wait(const struct wait_facts *facts)
{
    struct hone_record_wait *record = facts->stack ? claim(sizeof *record) : NULL;
    if (!record) {
        if (!facts->stack)
            hone_count(&hone_counters()->lock_lost, 1);
        return;
    }
    record->record.small = hone_thread_self()->index;
    record->time_ns = facts->time_ns;
    record->lock = facts->lock;
    record->stack = facts->stack;
    record->delay_ns = facts->delay_ns;
    record->rate_ns = config()->block_rate_ns;
    record->holder = HONE_LOCK_RELEASED_BY(facts->released);
    record->holder_stack = facts->holder_stack;
    record->kind = facts->kind;
    record->timed_out = facts->timed_out;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_WAIT);
    hone_count(&hone_counters()->lock_waits, 1);
}

static void write_wait_of(const struct hone_lock_held *held, uint32_t holder_stack)
{
    struct wait_facts facts = {
        .lock = held->lock,
        .delay_ns = ns_of(held->waited),
        .time_ns = held->time_ns,
        .released = held->released,
        .stack = held->stack,
        .kind = held->kind,
        .holder_stack = holder_stack,
    };
    write_wait(&facts);
}

static void write_use(const struct hone_lock_held *held, uint64_t now)
{
    struct hone_record_lock_use *record = claim(sizeof *record);
    if (!record)
        return;
    record->record.small = hone_thread_self()->index;
    record->time_ns = hone_now_ns();
    record->lock = held->lock;
    record->stack = held->stack;
    record->wait_ns = ns_of(held->waited);
    record->hold_ns = ns_of(now - held->taken);
    record->weight = held->weight;
    record->kind = held->kind;
    record->contended = held->contended;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_USE);
}

// What is owed of an acquisition: its wait, and what it waited after the lock had been released,
// which belongs to that release if that one was drawn.
static void settle(struct hone_lock_held *held)
{
    uint32_t holder_stack = (uint32_t)held->released;
    if (holder_stack == HONE_LOCK_STACK_SOON)
        holder_stack = 0;
    if (held->wait_due)
        write_wait_of(held, holder_stack);
    held->wait_due = false;
    if (held->rest && holder_stack && wanted() & HONE_LOCKS_MUTEX) {
        struct held_facts facts = {
            .lock = held->lock,
            .delay = held->rest,
            .stack = holder_stack,
            .waiter_stack = held->stack,
            .thread = HONE_LOCK_RELEASED_BY(held->released) - 1,
            .kind = HONE_LOCK_RELEASED_KIND(held->released),
        };
        write_held(&facts);
    }
    held->rest = 0;
}

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
        settle(&self->held[0]);
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
    if (since < ticks_of(DRAWN_SOON_NS) && self->interval < INTERVAL_MAX)
        self->interval *= 2;
    else if (since > ticks_of(DRAWN_LATE_NS) && self->interval > 1)
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
    if (!is_recording() || !(wanted() & HONE_LOCKS_MUTEX)) {
        self->countdown = INT32_MAX;
        return;
    }
    if (!enter()) {
        self->countdown = 0;
        return;
    }
    int saved = errno;
    self = myself();
    // A thread that was made past us is met here.
    if (wanted() & HONE_LOCKS_ALONE && !hone_locks_are_alone())
        hone_locks_shared();
    uint32_t weight = draw(self);
    if (weight) {
        struct hone_lock_held held = {
            .lock = (uintptr_t)lock, .depth = depth, .kind = (uint8_t)kind, .weight = weight};
        held.stack = stack_here();
        held.taken = hone_ticks();
        push(self, &held);
    }
    errno = saved;
    leave();
}

// --- waits for what somebody holds ---------------------------------------------------------------

// A wait that a handler has jumped out of is not over for those who look at its lock. Its frame is
// gone: a newer one lies where it was, or above.
static void forget_dead_waits(struct hone_lock_thread *self, uintptr_t frame)
{
    struct hone_lock_left left;
    while (self->waiting && self->waits[self->waiting - 1].frame <= frame && !is_on_alternate())
        hone_lock_leave(&self->waits[--self->waiting].place, hone_ticks(), HONE_LOCK_UNDONE, &left);
}

// Whether the stack of a wait will be asked for, so that it is better walked now, while nothing is
// to be had, than once the lock is ours.
static bool shall_show(struct hone_lock_thread *self, const struct hone_lock_wait *wait)
{
    if (wanted() & HONE_LOCKS_MUTEX && --self->shows < 0) {
        self->shows = hone_draw_skip(&self->random, config()->mutex_fraction);
        return true;
    }
    uint64_t typical = hone_lock_typical(&wait->place);
    return wanted() & HONE_LOCKS_BLOCK &&
           (!typical ||
            hone_draw_by_size(wait->random, SURE * typical, ticks_of(config()->block_rate_ns)));
}

HONE_HOOK void hone_lock_wait_begin(struct hone_lock_wait *wait, const void *lock, uint32_t kind)
{
    wait->tracked = false;
    hone_lock_expect(hone_lock_self.known);
    if (!is_recording() || !enter())
        return;
    int saved = errno;
    struct hone_lock_thread *self = myself();
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
            hone_lock_show(&wait->place, stack_here());
            hone_lock_tell_place(wait->lock, (enum hone_lock_kind)kind);
            self->waits[wait->waiting].place = wait->place;
        }
    }
    hone_count(&hone_counters()->lock_contentions, 1);
    errno = saved;
    leave();
}

// The lock is ours, or we have given up.
static void end_wait(struct hone_lock_thread *self, struct hone_lock_wait *wait,
                     const struct hone_lock_left *left, bool timed_out, struct hone_lock_held *ret)
{
    // A release of before the wait is the one that ended it if it is about as old as a tick. Of a
    // shared lock it need not be, nor one that lies further back: others may have had it since.
    uint64_t recent = ticks_of(LAST_RELEASE_NS);
    if (wait->shared ? !left->age && left->rest <= recent : left->age <= recent) {
        ret->released = left->released;
        ret->rest = left->rest;
    }
    if (wanted() & HONE_LOCKS_BLOCK &&
        hone_draw_by_size(wait->random, ret->waited, ticks_of(config()->block_rate_ns))) {
        if (!ret->stack)
            ret->stack = stack_here();
        ret->time_ns = hone_now_ns();
        ret->wait_due = true;
    }
    if (timed_out && ret->wait_due) {
        struct wait_facts facts = {.lock = ret->lock,
                                   .delay_ns = ns_of(ret->waited),
                                   .time_ns = ret->time_ns,
                                   .stack = ret->stack,
                                   .kind = ret->kind,
                                   .timed_out = true};
        write_wait(&facts);
    } else if (!timed_out) {
        // But by whom it was held may be told in a moment.
        if (ret->waited > ticks_of(LONG_WAIT_NS) && (uint32_t)ret->released != HONE_LOCK_STACK_SOON)
            settle(ret);
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
    if (outcome == HONE_LOCK_UNDONE || !is_recording() || !enter())
        return;
    int saved = errno;
    struct hone_lock_held held = {.lock = wait->lock,
                                  .taken = now,
                                  .waited = now - wait->place.began,
                                  .stack = wait->place.stack,
                                  .depth = depth,
                                  .kind = (uint8_t)wait->kind,
                                  .contended = true};
    if (hone_lock_is_had(outcome) && hone_lock_is_due() && wanted() & HONE_LOCKS_MUTEX)
        held.weight = draw(self);
    end_wait(self, wait, &left, outcome == HONE_LOCK_TIMED_OUT, &held);
    errno = saved;
    leave();
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
    release->drawn = wanted() & HONE_LOCKS_MUTEX && self->releases <= 0;
    hone_lock_release(release->lock, at, hone_thread_self()->index, release->kind, release->drawn,
                      &release->charge);
    if (release->charge.found)
        self->known = release->charge.found;
    if (!release->charge.entry)
        return;
    remember_charge(self, &release->charge, before);
    self->releases = release->drawn ? hone_draw_skip(&self->random, config()->mutex_fraction)
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
    if (!is_recording() || !enter())
        return;
    self = myself();
    struct hone_lock_held *held = &release->held;
    release->at = hone_ticks();
    // By whom the lock came to us is read before our own release takes its place.
    if (pop(self, release->lock, depth, held) && held->released)
        held->released = (held->released & ~(uint64_t)UINT32_MAX) |
                         hone_lock_released_stack(held->lock, held->released);
    if (release->frees && hone_lock_may_be_waited_for(lock) &&
        !hone_lock_nobody_waits(self->known, release->lock, release->at))
        charge(self, release, release->at);
    leave();
}

HONE_HOOK static void tell_release(struct hone_lock_release *release)
{
    struct hone_lock_charge *charge = &release->charge;
    uint32_t stack = stack_here();
    hone_lock_tell(charge, stack);
    if (!stack) {
        hone_count(&hone_counters()->lock_lost, 1);
        return;
    }
    struct held_facts facts = {
        .lock = release->lock,
        .delay = charge->delay,
        .hold = release->held.lock ? release->at - release->held.taken : 0,
        .stack = stack,
        .waiter_stack = charge->waiter_stack,
        .thread = hone_thread_self()->index,
        .waiters = charge->waiters,
        .kind = release->kind,
    };
    write_held(&facts);
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
    if (!is_recording() || !enter())
        return;
    int saved = errno;
    if (late)
        charge(myself(), release, hone_ticks());
    if (!released) {
        if (release->held.lock)
            push(&hone_lock_self, &release->held);
    } else {
        if (release->charge.entry && release->drawn)
            tell_release(release);
        if (release->held.lock) {
            settle(&release->held);
            if (release->held.weight)
                write_use(&release->held, release->at);
        }
    }
    errno = saved;
    leave();
}

// --- waits for what nobody holds -----------------------------------------------------------------

uint64_t hone_wait_begin(void)
{
    return wanted() & HONE_LOCKS_BLOCK ? hone_ticks() : 0;
}

HONE_HOOK void hone_wait_end(uint64_t began, const void *object, uint32_t kind, bool timed_out)
{
    if (!began)
        return;
    uint64_t waited = hone_ticks() - began;
    if (!is_recording() || !enter())
        return;
    int saved = errno;
    struct hone_lock_thread *self = myself();
    struct wait_facts facts = {.lock = (uintptr_t)object,
                               .delay_ns = ns_of(waited),
                               .time_ns = hone_now_ns(),
                               .kind = kind,
                               .timed_out = timed_out};
    if (hone_draw_by_size((uint32_t)hone_random_next(&self->random), facts.delay_ns,
                          config()->block_rate_ns)) {
        facts.stack = stack_here();
        write_wait(&facts);
    }
    errno = saved;
    leave();
}

// --- where locks are made ------------------------------------------------------------------------

static bool may_write_made(struct hone_lock_thread *self, uint64_t now)
{
    uint32_t before = atomic_load_explicit(&made, memory_order_relaxed);
    if (before < MADE_MAX) {
        atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
        return true;
    }
    if (now - self->made_at < ticks_of(MADE_NS))
        return false;
    self->made_at = now;
    return true;
}

HONE_HOOK void hone_lock_made(const void *lock, uint32_t kind)
{
    if (!is_recording() || !enter())
        return;
    int saved = errno;
    struct hone_lock_thread *self = myself();
    uint32_t stack = may_write_made(self, hone_ticks()) ? stack_here() : 0;
    struct hone_record_lock_known *record =
        stack ? claim(sizeof *record + sizeof record->lock) : NULL;
    if (record) { // zeroed, so that its name is empty
        record->record.small = kind;
        record->time_ns = hone_now_ns();
        record->lock = (uintptr_t)lock;
        record->stack = stack;
        hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_KNOWN);
    }
    errno = saved;
    leave();
}

// --- life cycle ----------------------------------------------------------------------------------

void hone_locks_begin(bool allowed)
{
    uint32_t all = 0;
    hone_locks_find();
    if (allowed && config()->mutex_fraction)
        all |= HONE_LOCKS_MUTEX;
    if (allowed && config()->block_rate_ns)
        all |= HONE_LOCKS_BLOCK;
    if (all && hone_locks_are_alone())
        all |= HONE_LOCKS_ALONE;
    if (!begun_ticks) {
        begun_ns = hone_now_ns();
        begun_ticks = hone_ticks();
    }
    atomic_store_explicit(&hone_locks_wanted, all, memory_order_release);
}

void hone_locks_shared(void)
{
    if (wanted() & HONE_LOCKS_ALONE)
        atomic_fetch_and_explicit(&hone_locks_wanted, ~(uint32_t)HONE_LOCKS_ALONE,
                                  memory_order_relaxed);
}

void hone_locks_end(void)
{
    atomic_store_explicit(&hone_locks_wanted, 0, memory_order_release);
}

bool hone_locks_are_wanted(void)
{
    return wanted() & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK);
}

void hone_locks_after_fork(void)
{
    hone_lock_table_after_fork();
    atomic_store_explicit(&made, 0, memory_order_relaxed);
}

void hone_locks_thread_leave(void)
{
    struct hone_lock_thread *self = &hone_lock_self;
    if (self->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed) ||
        !is_recording() || !enter())
        return;
    struct hone_lock_left left;
    while (self->waiting)
        hone_lock_leave(&self->waits[--self->waiting].place, hone_ticks(), HONE_LOCK_UNDONE, &left);
    for (uint32_t i = 0; i < self->held_count; i++)
        settle(&self->held[i]);
    self->held_count = 0;
    leave();
}
