// What a recording says of its locks: session.json's object "locks". What is not there, or not what
// it should be, is unknown: NAN, or an empty text.
#ifndef HONE_ANALYSE_LOCK_FACTS_H
#define HONE_ANALYSE_LOCK_FACTS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_LOCK_FACTS_MAX = 1000, HONE_LOCK_FACTS_NAMES = 16, HONE_LOCK_FACTS_FRAMES = 16 };

struct hone_lock_amount {
    double value;
    double error; // standard error; 0: exact
};

// Times of one kind, such as waits.
struct hone_lock_spread {
    struct hone_str of; // which ones: "waits", "acquisitions", …; empty: none is known
    double observations;
    double equal_draws; // that would tell as much
    double mean_ns, median_ns, p99_ns, max_ns;
};

// A lock in one mode: taken alone, or by several at once.
struct hone_lock_mode_facts {
    struct hone_lock_amount acquisitions, waits, waited_ns;
    double drawn;            // acquisitions, of all of them
    double share, low, high; // of all acquisitions had to wait: with limits, 95 of 100 times
    double timed_out;
    struct hone_lock_spread wait, hold;
};

// Where most of the delay comes from, or goes to.
struct hone_lock_place_facts {
    struct hone_str function;                      // empty: not known
    struct hone_str stack[HONE_LOCK_FACTS_FRAMES]; // innermost first
    uint32_t frames;
    double delay_ns, share;
};

struct hone_lock_facts {
    struct hone_str name, named_by, kind, process, address;
    double pid;
    double locks; // of that name
    struct hone_lock_amount delay_ns, releases;
    double release_records;
    struct hone_lock_spread contended_hold; // of holds that others waited for
    // Its mean where each counts once for each of its waiters, as it does in what they wait for.
    struct hone_lock_amount hold_of_waiters_ns;
    double waiters_mean, waiters_most, queued_share;
    struct hone_lock_place_facts holder, waiter;
    struct hone_str beside; // another lock on the same line of the cache
    struct hone_lock_mode_facts exclusive, shared;
    bool has_shared; // it is one that several may hold
    struct hone_lock_amount delay_by_readers_ns;
    struct hone_lock_amount readers; // at a time, on average
};

struct hone_locks_facts {
    struct hone_str command;
    double duration_ns;
    bool recorded; // false: the recording has no locks
    double mutex_fraction, block_rate_ns;
    double contentions, release_records, wait_records, acquisitions_drawn;
    double releases_drawn_less, waits_drawn_less; // of these records, than those rates say
    struct hone_lock_amount delay_ns;
    double lost;       // records and times that are missing
    double untracked;  // waits whose holder is not known
    double time_error; // of medians and percentiles: this part of them
    double count;      // of locks, listed or not
    struct hone_str not_covered[HONE_LOCK_FACTS_NAMES];
    uint32_t not_covered_count, not_covered_more;
    struct hone_lock_facts *locks; // most delay first
    uint32_t lock_count;
    struct hone_arena arena;
};

// Returns 0; -EINVAL with err filled when that is no JSON; -ENOMEM. Done is needed in any case.
int hone_locks_facts_read(struct hone_locks_facts *facts, const char *json, size_t len,
                          struct hone_error *err);
void hone_locks_facts_done(struct hone_locks_facts *facts);

#endif
