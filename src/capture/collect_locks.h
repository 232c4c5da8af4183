// The locks' share of what is collected: what was waited for and who held it meanwhile, by lock, by
// the place that released it and by the place that waited. All of it comes from a program that may
// have overwritten it, so each table has its limit, and what a limit cost is counted.
//
// A lock is an address in a process, until something else is made there. Private to this room.
#ifndef HONE_CAPTURE_COLLECT_LOCKS_H
#define HONE_CAPTURE_COLLECT_LOCKS_H

#include "base/table.h"
#include "capture/lock_times.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HONE_LOCKS_MAX = 32768,
    HONE_LOCK_ROWS_MAX = 1 << 19,
    HONE_LOCK_KNOWNS_MAX = 1 << 19, // that are only known to exist, or to have a name
    HONE_LOCK_STEPS_MAX = 4 << 20,  // of the times of all locks together: 32 MiB
    HONE_LOCK_NAME_BYTES = 128,     // of a name that the program gave; longer ones are cut
    HONE_LOCK_NAMES_MAX = 1 << 16,  // different ones
};

// How a lock is taken: alone, or by several at once.
enum hone_lock_mode { HONE_LOCK_ALONE, HONE_LOCK_SHARED, HONE_LOCK_MODES };

// Acquisitions in one mode.
struct hone_lock_taken {
    struct hone_lock_sum acquired;      // of all, as they were drawn
    struct hone_lock_sum contended;     // and of these that had to wait
    struct hone_lock_sum waits;         // as they were told by those who waited
    struct hone_lock_sum waited_ns;     //
    struct hone_lock_sum held_ns;       // by all together, as they were drawn
    double timed_out;                   // waits in vain
    uint64_t draws;                     // of all acquisitions
    struct hone_lock_times drawn_waits; // of draws that had to wait
    struct hone_lock_times told_waits;
    struct hone_lock_times holds;
};

struct hone_collected_lock {
    uint32_t process;
    uint64_t address;
    uint32_t module;          // whose data it lies in, at
    uint64_t vaddr;           // this address of the file; HONE_NO_MODULE: in no file's
    enum hone_lock_kind kind; // of the first record that tells; READ stands for READ and WRITE
    const char *name;         // given by the program; NULL: none
    uint32_t made;            // stack that made it, plus one; 0: unknown
    uint32_t block;        // stack that allocated the block that it lies in, plus one; 0: unknown
    uint64_t block_offset; // and where in there
    uint32_t first_waiter; // stack that waited for it first, plus one; 0: unknown
    struct hone_lock_taken taken[HONE_LOCK_MODES];
    // Releases that others waited for, by the mode in which it had been held.
    struct hone_lock_sum releases[HONE_LOCK_MODES];
    struct hone_lock_sum delay_ns[HONE_LOCK_MODES];
    uint64_t held_records; // of these
    struct hone_lock_times contended_holds;
    double queues;  // weight of releases with two waiters or more
    double waiters; // weighted sum of waiters at a release
    // Of the releases whose hold is known: that, once for each waiter, and those waiters.
    struct hone_lock_sum hold_of_waiters_ns;
    double hold_waiters;
    uint32_t waiters_most;
    uint32_t thread; // that took it first, as drawn, plus one; 0: none was
    bool several;    // others did, too
    uint32_t latest; // of the first one at an address: the number of the one that is there now
};

// Releases of a lock at one stack that a stack waited for.
struct hone_collected_hold {
    uint32_t lock, thread;
    uint32_t stack;  // plus one; 0: unknown
    uint32_t waiter; // stack of who waited longest, plus one; 0: unknown
    enum hone_lock_kind kind;
    struct hone_lock_sum releases, delay_ns;
};

// Waits for a lock at one stack.
struct hone_collected_lock_wait {
    uint32_t lock;
    uint32_t stack;  // plus one; 0: unknown
    uint32_t holder; // stack of who let it go on, plus one; 0: unknown
    enum hone_lock_kind kind;
    struct hone_lock_sum waits, waited_ns;
};

struct hone_lock_known;

struct hone_locks {
    struct hone_collected_lock *at;
    struct hone_collected_hold *holds;
    struct hone_collected_lock_wait *waits;
    uint32_t count, room, hold_count, hold_room, wait_count, wait_room;
    struct hone_table table, hold_table, wait_table; // by address; by all that tells rows apart
    struct hone_lock_known *knowns;
    uint32_t known_count, known_room;
    struct hone_table known_table;
    uint32_t names; // that were kept
    uint64_t steps_left;

    // What was asked for, set by who reads; 0: that is not known. Of locks that are wanted all the
    // time fewer are drawn: those of the records that stand for more than was asked for.
    uint64_t mutex_fraction, block_rate_ns;
    uint64_t held_drawn_less, wait_drawn_less;

    uint64_t records_held, records_wait, records_use;
    uint64_t broken;        // records that cannot be true
    uint64_t no_room;       // records of locks beyond HONE_LOCKS_MAX
    uint64_t rows_refused;  // records that their lock has and no row: beyond HONE_LOCK_ROWS_MAX
    uint64_t times_refused; // times that are in no distribution
    uint64_t knowns_refused;
    uint64_t stacks_unknown; // that a record names and nobody told
};

void hone_locks_init(struct hone_locks *locks);
void hone_locks_done(struct hone_locks *locks);

// The number of the lock at an address, plus one; 0: there is none, or there were several.
struct hone_collected;
uint32_t hone_locks_only(const struct hone_collected *collected, uint32_t process,
                         uint64_t address);

// Whether what is waited for is held by somebody, so that there is one to blame.
bool hone_lock_kind_is_held(enum hone_lock_kind kind);
static inline enum hone_lock_mode hone_lock_mode_of(enum hone_lock_kind kind)
{
    return kind == HONE_LOCK_READ ? HONE_LOCK_SHARED : HONE_LOCK_ALONE;
}

#endif
