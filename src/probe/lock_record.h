// What is written of locks: releases that others waited for, waits, acquisitions that were drawn,
// and where locks were made. Private to this room.
//
// Threads  all.   Signals  within hone_lock_work_begin().
#ifndef HONE_PROBE_LOCK_RECORD_H
#define HONE_PROBE_LOCK_RECORD_H

#include "probe/lock.h"

struct hone_lock_held_facts {
    uint64_t lock, delay, hold; // the latter two in ticks
    uint32_t stack, waiter_stack, thread, waiters, kind, weight;
};
HONE_SIGSAFE void hone_lock_write_held(const struct hone_lock_held_facts *facts);
// What it took to go on after that release, which its entry says is this.
HONE_SIGSAFE void hone_lock_write_rest(const struct hone_lock_held_facts *release, uint64_t rest);
// And what no release that was drawn came for: the last one that was has it.
HONE_SIGSAFE void hone_lock_write_left(struct hone_lock_entry *entry);

struct hone_lock_wait_facts {
    uint64_t lock, delay_ns, time_ns, rate_ns;
    uint64_t released;
    uint32_t stack, kind, holder_stack;
    bool timed_out;
};
HONE_SIGSAFE void hone_lock_write_wait(const struct hone_lock_wait_facts *facts);

// An acquisition that was drawn, and is over.
HONE_SIGSAFE void hone_lock_write_use(const struct hone_lock_held *held, uint64_t now);

// What is owed of an acquisition: its wait, and what it waited after the lock had been released,
// which belongs to that release if that one was drawn.
HONE_SIGSAFE void hone_lock_settle(struct hone_lock_held *held);

// In a forked child none was made.
void hone_lock_records_after_fork(void);

#endif
