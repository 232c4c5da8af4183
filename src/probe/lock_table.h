// Locks that threads wait for: where waiters and holder meet. Private to this room.
//
// A lock that somebody had to wait for has an entry, found by its address. Who waits adds itself,
// who goes on takes itself out, and who releases the lock charges what all of them have waited
// since the last release that was charged. All three are one atomic addition to one word:
//
//     sum = waiters << 51 | (what has been waited already - when each of them began)
//
// so that at the time t the waiters have waited  waiters * t + the lower part  together, however
// many they are: nothing is walked through, nobody waits for a lock of ours (but for a moment,
// while a lock gets its entry), and no wait is charged twice. Times in it are hone_ticks() / 32,
// from the entry's own beginning.
//
// Both may come late, with the time at which they should have been done, so that a lock that is
// wanted all the time is not held up by them: who leaves before it releases the lock, who is
// charged after it has. A release that is charged after a later one gets what that left it: what
// was waited before the lock was taken there, and all of the wait that ended so.
//
// An entry that nobody waits at is given to another lock when its set is full.
//
// Threads  all.   Signals  safe: each step leaves the table whole.
#ifndef HONE_PROBE_LOCK_TABLE_H
#define HONE_PROBE_LOCK_TABLE_H

#include "core/core.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HONE_LOCK_SETS = 1024, // of four entries, 256 KiB for all
    HONE_LOCK_WAYS = 4,
    HONE_LOCK_FILTERS = 4096,
    HONE_LOCK_UNIT_SHIFT = 5, // of ticks
    HONE_LOCK_WAITERS_MAX = 2048,
};

struct hone_lock_entry {
    alignas(64) _Atomic uint64_t lock; // its address; 0: free, 1: changes hands
    _Atomic uint64_t sum;
    uint64_t base;             // units; constant while the lock has it
    _Atomic uint64_t charged;  // units: when a release was charged last
    _Atomic uint64_t released; // by whom, see below
    _Atomic uint64_t owed;     // units, of those who left uncharged: for the next release
    _Atomic uint32_t rest;     // units that it took who went on after a release to do so, if its
                               // stack was to be told,
    _Atomic uint32_t rests;    // and if nobody will tell it, see hone_lock_collect()
    _Atomic uint32_t typical;  // units that waits took lately
    _Atomic uint32_t waiter;   // id of a waiter's stack
};

_Static_assert(sizeof(struct hone_lock_entry) == 64, "a line of the processor's cache");

// By a lock's address: how many more releases are looked at, of it and others there, should nobody
// wait for them.
extern _Atomic uint8_t hone_lock_filter[HONE_LOCK_FILTERS] __attribute__((visibility("hidden")));

static inline uint32_t hone_lock_hash(uint64_t lock)
{
    return (uint32_t)((lock >> 3) * 0x9e3779b97f4a7c15u >> 52);
}

// Whether a release must be told: false for nearly all.
static inline bool hone_lock_may_be_waited_for(const void *lock)
{
    return atomic_load_explicit(&hone_lock_filter[hone_lock_hash((uintptr_t)lock)],
                                memory_order_relaxed) != 0;
}

// A release: kind << 60 | whether its thread's next ones may not be charged << 59 | whether what it
// takes to go on after it is summed up << 58 | thread index plus one << 32 | its stack's id. That
// of one that will be known soon; of one that was not drawn: 0.
#define HONE_LOCK_STACK_SOON UINT32_MAX
#define HONE_LOCK_IN_A_ROW ((uint64_t)1 << 59)
#define HONE_LOCK_SUMMED ((uint64_t)1 << 58)
#define HONE_LOCK_OF(released) (((released) & ~HONE_LOCK_IN_A_ROW) >> 32) // without the stack
#define HONE_LOCK_RELEASED_BY(released) ((uint32_t)((released) >> 32) & HONE_LOCK_THREADS)
#define HONE_LOCK_THREADS 0x3ffffff
#define HONE_LOCK_RELEASED_KIND(released) ((uint32_t)((released) >> 60))

// A thread that waits. NULL as entry: there was no room, or too many wait.
struct hone_lock_place {
    struct hone_lock_entry *entry;
    uint64_t began; // ticks
    uint32_t stack; // that was shown; 0: none
};

// Has the entry's line of the cache come, to be written to, while something else is done.
HONE_SIGSAFE static inline void hone_lock_expect(const struct hone_lock_entry *entry)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)entry));
#else
    __builtin_prefetch(entry, 1);
#endif
}

// The calling thread begins to wait.
HONE_SIGSAFE void hone_lock_enter(uint64_t lock, uint64_t ticks, struct hone_lock_place *ret);
// With this stack.
HONE_SIGSAFE void hone_lock_show(struct hone_lock_place *place, uint32_t stack);
// How long waits there took lately, in ticks; 0: not known.
HONE_SIGSAFE uint64_t hone_lock_typical(const struct hone_lock_place *place);

enum hone_lock_outcome {
    HONE_LOCK_TAKEN,     // it goes on
    HONE_LOCK_LATE,      // it went on; who released the lock to it may not be charged yet
    HONE_LOCK_INHERITED, // it goes on, for who held the lock has died: nobody has released it
    HONE_LOCK_TIMED_OUT, // it gave up: who holds the lock is charged with the rest, too
    HONE_LOCK_UNDONE,    // it did not wait, or is no more
};

static inline bool hone_lock_is_had(enum hone_lock_outcome outcome)
{
    return outcome != HONE_LOCK_TIMED_OUT && outcome != HONE_LOCK_UNDONE;
}

// How it ended.
struct hone_lock_left {
    uint64_t rest;     // ticks since the last release, which is not charged with them
    uint64_t released; // of that release, as the entry's; 0: none was seen
    uint64_t owed;     // of HONE_LOCK_LATE, if no release was seen: ticks, see hone_lock_owe()
    uint64_t age;      // ticks from that release to where the wait began; 0: it was in the wait
};

// Once a stack is walked after a release it takes longer to go on from there. So what it took after
// those of which no stack is known is not drawn with them, but summed up: the sum is right, and
// comes with those of which one is, in proportion. One that took `ticks`: what comes with it.
HONE_SIGSAFE uint64_t hone_lock_collect(struct hone_lock_entry *entry, uint64_t ticks);
HONE_SIGSAFE void hone_lock_pass_on(struct hone_lock_entry *entry, uint64_t ticks);
// What is left when nobody may come any more is the last one's whose stack was told, here. In
// ticks; 0: none is, or none was told.
HONE_SIGSAFE void hone_lock_told(const struct hone_lock_entry *entry, uint64_t lock,
                                 uint64_t released, uint32_t stack);
HONE_SIGSAFE uint64_t hone_lock_take_rests(struct hone_lock_entry *entry, uint64_t *ret_lock,
                                           uint64_t *ret_released);
// The next entry at which something is left, NULL for the first one; NULL: there is none.
HONE_SIGSAFE struct hone_lock_entry *hone_lock_next_rests(struct hone_lock_entry *after);

// At `ticks`, which may be a while ago if nobody can have been charged since.
HONE_SIGSAFE void hone_lock_leave(const struct hone_lock_place *place, uint64_t ticks,
                                  enum hone_lock_outcome outcome, struct hone_lock_left *ret);

// A release that is about to happen. What it is charged with.
struct hone_lock_charge {
    struct hone_lock_entry *entry; // NULL: nobody waits
    struct hone_lock_entry *found; // of the lock; NULL: none
    uint64_t delay;                // ticks
    uint32_t waiters;
    uint32_t waiter_stack; // of one of them; 0: not known
    uint64_t released;     // as the entry's
    uint64_t rest, rests;  // ticks: what it took who went on by then, and what comes with it
};

// Whether the entry is known to be the lock's, and nobody to wait there: then its release is none
// to be charged, as is found here sooner than below.
HONE_SIGSAFE bool hone_lock_nobody_waits(struct hone_lock_entry *entry, uint64_t lock,
                                         uint64_t ticks);
// A release at `ticks`, which may be a moment ago.
struct hone_lock_done {
    uint64_t lock;
    struct hone_lock_entry *known; // that may be the lock's
    uint64_t ticks, taken;         // 0: when it was taken is not known
    uint32_t thread, kind;         // the releasing one's index
    bool drawn;                    // its stack will be told, by hone_lock_tell()
    bool summed;                   // what it takes to go on after it is
    bool in_a_row;                 // the thread's next ones may not be charged
};
HONE_SIGSAFE void hone_lock_release(const struct hone_lock_done *done,
                                    struct hone_lock_charge *ret);
// So many ticks are for a release that is late, or else the next one.
HONE_SIGSAFE void hone_lock_owe(struct hone_lock_entry *entry, uint64_t lock, uint64_t ticks);
// From here on, what it takes who goes on is in their own rest.
HONE_SIGSAFE void hone_lock_tell(struct hone_lock_charge *charge, uint32_t stack);
// Nobody will tell its stack.
HONE_SIGSAFE void hone_lock_keep_quiet(struct hone_lock_charge *charge);
// It did not happen.
HONE_SIGSAFE void hone_lock_not_released(const struct hone_lock_charge *charge);

// The stack of a release that another thread saw, now; 0: not known.
HONE_SIGSAFE uint32_t hone_lock_released_stack(uint64_t lock, uint64_t released);

// In a forked child nobody waits.
void hone_lock_table_after_fork(void);

#endif
