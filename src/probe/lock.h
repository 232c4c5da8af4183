// Locks: who holds them while others wait, and how long. The hooks stand in front of the C
// library's own functions, call them with the same arguments and hand on what they return.
//
//   hooks_lock.c       mutexes, spin locks, C11's mtx   lock.c        waits, releases
//   hooks_rwlock.c     read-write locks                 lock_draw.c   which of them are written
//   hooks_condition.c  condition variables              lock_table.c  where waiters and holder meet
//   hooks_semaphore.c  semaphores, barriers, joins      lock_kinds.h  what the C library keeps
//   hooks_made.c       where locks are made             lock_real.c   the functions behind the
//   lock_life.c        where all that begins and ends                 hooks
//   lock_held.c        what a thread holds
//
// Taking a lock tries first: the C library's own try function does what its lock function begins
// with. Only when that fails is there something to time. Where trying would not be the same (a
// mutex that is robust, of priorities, or elided) its state is looked at instead.
//
// What a program pays: for each lock one call and a countdown, for each release one load. Where a
// lock is wanted all the time, a release is charged once it is done. Stacks are walked before a
// wait or after the lock is released, not while it is held, but for a wait that took longer than
// was to be expected. Once a lock is released its memory is not touched: it may be another's by
// then.
//
// Threads: all.  Signals: a lock inside a handler that interrupts us is let through and not seen.
#ifndef HONE_PROBE_LOCK_H
#define HONE_PROBE_LOCK_H

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/areas.h"
#include "probe/heap.h"
#include "probe/lock_kinds.h"
#include "probe/lock_table.h"

#include <stdbool.h>
#include <stdint.h>

// What is wanted, and what holds for all threads.
enum {
    HONE_LOCKS_UNRESOLVED = 1, // the functions behind the hooks are not known yet
    HONE_LOCKS_MUTEX = 2,      // releases that others waited for, and what is drawn of all
    HONE_LOCKS_BLOCK = 4,      // waits
    // There is one thread, as far as we have seen, and it has not waited for a lock. glibc's
    // mutexes do without atomic instructions then, but not when they are tried.
    HONE_LOCKS_ALONE = 8,
    HONE_LOCKS_ORDER = 16, // hone_lock_order_is_on(): without the first two
};
extern _Atomic uint32_t hone_locks_wanted __attribute__((visibility("hidden")));

// An acquisition whose end we want to see: it had to wait, or was drawn.
enum { HONE_LOCKS_HELD = 4 };
struct hone_lock_held {
    uint64_t lock;
    uint64_t taken, waited; // ticks
    uint64_t time_ns;       // when its wait ended
    uint64_t rest;          // of that: ticks since the release by which the lock came to us, with
                            // what comes with it of others,
    uint64_t released;      // and whose that was, as its entry says
    uint32_t stack;         // id: where it was taken; 0: not known
    uint32_t weight;        // it was drawn from so many; 0: it was not
    uint32_t depth;         // of a recursive mutex
    uint8_t kind;           // enum hone_lock_kind
    uint8_t rate_times;     // its wait was drawn by the rate that was asked for times this
    bool contended : 1;
    bool wait_due : 1; // its wait is written once the lock is released
    bool shown : 1;    // its stack, to who releases the lock
    bool pending : 1;  // it still waits for those who look at its lock, at the thread's `pending`
};

// A wait that is not over. In a handler that interrupts one there may be another; and one that a
// handler has jumped out of is found by where it was on the stack.
enum { HONE_LOCKS_WAITS = 2 };
struct hone_lock_waiting {
    struct hone_lock_place place;
    uintptr_t frame;
};

// What is drawn of locks that are wanted all the time.
enum { HONE_LOCK_RELEASES, HONE_LOCK_WAITS, HONE_LOCK_THINNED };

// When something was last, in ticks, to tell some milliseconds: wrong once in minutes or hours.
static inline uint32_t hone_lock_about(uint64_t ticks)
{
    return (uint32_t)(ticks >> 8);
}

// What a thread knows: zero until its first lock. Small, for there is little room for what is each
// thread's: the fields are not in the order of what they are about.
struct hone_lock_thread {
    int64_t countdown;     // acquisitions until the next one that is drawn
    int64_t releases;      // that others waited for, until the next one that is drawn
    int64_t thinned;       // the same, of a lock that is wanted all the time
    uint64_t random;       // state of the draws; 0: not seeded
    uint64_t wanted_until; // ticks: so long the lock `wanted` counts as one
    // Our last release that was charged: of which entry, what that said then, in which tick of the
    // clock, and how often it was of the same one in a row.
    struct hone_lock_entry *charged;
    uint64_t charged_tick;
    uint32_t charged_as;
    uint32_t wanted;   // the lock that it was of, see hone_lock_short()
    uint32_t epoch;    // of the process that all this is of
    uint32_t interval; // mean acquisitions between two that are drawn
    uint32_t drawn_at; // hone_lock_about(): when that happened last,
    uint32_t made_at;  // and when a lock's making was written
    uint32_t usual;    // ticks that releases of such a lock are charged with, on average
    int32_t shows;     // waits, until the next one whose stack is shown to who releases the lock
    uint32_t shown, shown_at;              // the lock that it was shown for last, and when
    uint32_t thin_at[HONE_LOCK_THINNED];   // when one was drawn last,
    uint8_t thin_times[HONE_LOCK_THINNED]; // of so many that would be otherwise
    uint8_t held_count;                    // of held[]
    uint8_t waiting;                       // of waits[]
    uint8_t charged_again;                 // or more often
    uint8_t wanted_again; // how often in a row, whoever else's was charged in between, or more
    int16_t contentions;  // that are not counted yet
    // Of the lock that we waited for or released last, and others did; and where we are `pending`.
    struct hone_lock_entry *known, *pending;
    struct hone_own_stack stack;
    struct hone_lock_held held[HONE_LOCKS_HELD];
    struct hone_lock_waiting waits[HONE_LOCKS_WAITS];
};

// A lock, among those of a thread: if two are taken for one, what they cost may be, too, and no
// more.
static inline uint32_t hone_lock_short(uint64_t lock)
{
    return (uint32_t)(lock >> 2);
}

extern __thread struct hone_lock_thread hone_lock_self __attribute__((visibility("hidden")));

// --- deciding, in the hooks ----------------------------------------------------------------------

// Whether the hooks have anything to do. The functions behind them are known then.
bool hone_locks_resolve(void);
static inline bool hone_locks_are_on(void)
{
    uint32_t wanted = atomic_load_explicit(&hone_locks_wanted, memory_order_relaxed);
    return wanted && (HONE_LIKELY(wanted & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK)) ||
                      (wanted == HONE_LOCKS_UNRESOLVED && hone_locks_resolve()));
}
// For those that are called most. 0: they have nothing to do, not even to find the functions behind
// them.
static inline uint32_t hone_locks_state(void)
{
    return atomic_load_explicit(&hone_locks_wanted, memory_order_relaxed);
}
// There is another thread now, or a wait that is to be charged: the thread is not alone any more.
void hone_locks_shared(void);

// A lock was taken without a wait.
void hone_lock_drawn(const void *lock, uint32_t depth, uint32_t kind);
static inline bool hone_lock_is_due(void)
{
    return HONE_UNLIKELY(--hone_lock_self.countdown < 0);
}

// Whether its release may be passed on as it is.
static inline bool hone_lock_is_quiet(const void *lock)
{
    return HONE_LIKELY(!hone_lock_may_be_waited_for(lock) && !hone_lock_self.held_count);
}

// While others wait, and are on their way, a thread may take a lock and release it many times. Its
// first releases are charged one by one; then those at which the clock has ticked, so that each is
// charged with what it held the others up, in the long run, and costs nothing. True: this one is
// not. Of shared locks each one is: what happens between two of our releases may be others' doing.
enum { HONE_LOCK_CHARGED_IN_A_ROW = 3 };
static inline bool hone_lock_is_charged(const void *lock, uint32_t kind)
{
    const struct hone_lock_thread *self = &hone_lock_self;
    const struct hone_lock_entry *entry = self->charged;
    return !self->held_count && entry && self->charged_again >= HONE_LOCK_CHARGED_IN_A_ROW &&
           atomic_load_explicit(&entry->lock, memory_order_relaxed) == (uintptr_t)lock &&
           HONE_LOCK_OF(atomic_load_explicit(&entry->released, memory_order_relaxed)) ==
               self->charged_as &&
           hone_tick_ns() == self->charged_tick && !hone_lock_is_shared(lock, kind);
}

// --- lock.c --------------------------------------------------------------------------------------

// A wait for something that somebody holds. `depth` is how often a recursive mutex is locked then.
struct hone_lock_wait {
    struct hone_lock_place place;
    uint64_t lock;
    uint32_t kind;
    uint64_t enough;    // ticks: one that takes longer is written
    uint8_t rate_times; // by the rate that was asked for times this
    bool always;        // wanted: the lock
    uint32_t epoch;
    uint32_t waiting; // its place in the thread's waits[]
    bool tracked;
    bool shared; // hone_lock_is_shared()
};
void hone_lock_wait_begin(struct hone_lock_wait *wait, const void *lock, uint32_t kind);
void hone_lock_wait_end(struct hone_lock_wait *wait, enum hone_lock_outcome outcome,
                        uint32_t depth);

// A release: what is to be done before, and after it. `depth` is the recursive mutex's, which is
// released when that is 1 or less.
struct hone_lock_release {
    struct hone_lock_charge charge;
    struct hone_lock_held held;
    uint64_t lock;
    uint64_t at; // ticks
    uint32_t kind;
    bool frees;      // all of it: a recursive mutex is not held any more
    uint32_t weight; // 0: it was not drawn
    bool late;       // all is done after it
    uint32_t depth;
    uint64_t owed; // ticks, to who released the lock to us, if he comes
    struct hone_lock_entry *owed_at;
};
void hone_lock_release_begin(struct hone_lock_release *release, const void *lock, uint32_t kind,
                             uint32_t depth);
void hone_lock_release_end(struct hone_lock_release *release, bool released);

// A wait for something that nobody holds, timed from `began`.
uint64_t hone_wait_begin(void);
void hone_wait_end(uint64_t began, const void *object, uint32_t kind, bool timed_out);

// A lock is made.
void hone_lock_made(const void *lock, uint32_t kind);

// --- life cycle ----------------------------------------------------------------------------------

// Finds the functions behind the hooks, unless that was done.
void hone_locks_find(void);
// What the session wants of locks begins, where that is allowed.
void hone_locks_begin(bool allowed);
void hone_locks_end(void);
bool hone_locks_are_wanted(void);
void hone_locks_after_fork(void);
// The calling thread ends.
void hone_locks_thread_leave(void);
// The process does.
void hone_locks_process_leave(void);

// The hook for a function of that name, if it is the one that the hook stands in front of; NULL.
void *hone_lock_hook(const char *name, const void *function);

#endif
