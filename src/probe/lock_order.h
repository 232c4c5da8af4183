// In which order threads take locks: what each holds when it takes another one, told once for each
// pair of places, locks and sets of locks. For who asked (`hone record --lock-order`): each lock
// costs a walk of the stack then.
//
//     if (hone_lock_order_is_on())
//         hone_lock_order_taken(mutex, HONE_LOCK_MUTEX, false);
//     …
//     if (hone_lock_order_is_on())
//         hone_lock_order_released(mutex);
//
// Hooks call _taken() just after a lock was taken, _released() just before it is released, and both
// around a wait that lets go of it (a condition variable's). What was only tried for is held like
// any other, but nobody can be stuck in taking it, so taking it says nothing of order.
//
// What is held lies in hone_lock_holders, where it can be read from outside, too.
//
// Threads: all.  Signals: a lock inside a handler that interrupts us is not seen.
#ifndef HONE_PROBE_LOCK_ORDER_H
#define HONE_PROBE_LOCK_ORDER_H

#include "probe/probe.h"

#include <stdbool.h>

extern _Atomic bool hone_lock_order_wanted __attribute__((visibility("hidden")));
extern struct hone_lock_holder *hone_lock_holders; // NULL: none was ever asked for

static inline bool hone_lock_order_is_on(void)
{
    return HONE_UNLIKELY(atomic_load_explicit(&hone_lock_order_wanted, memory_order_relaxed));
}

void hone_lock_order_taken(const void *lock, enum hone_lock_kind kind, bool tried);
void hone_lock_order_released(const void *lock);

// False when it is wanted and there is no room.
bool hone_lock_order_begin(bool wanted);
// Where the holders lie, if they are there, for who looks at the process from outside.
void hone_lock_order_tell(struct hone_scan_range *ret);
void hone_lock_order_after_fork(void);
// The calling thread holds nothing any more. When it ends, what it takes after that, for
// destructors of its keys, is not seen, for nobody would make its place free.
void hone_lock_order_thread_leave(bool ends);

// --- for lock_order_pairs.c ----------------------------------------------------------------------

// Two locks at two places, under a set of locks, by a thread.
struct hone_lock_pair {
    uint64_t held, taken, set;
    uint32_t held_stack, taken_stack;
    uint32_t thread;
};

enum hone_lock_pair_news {
    HONE_LOCK_PAIR_KNOWN, // it was told
    HONE_LOCK_PAIR_NEW,   // never seen, or not by any but one other thread
    HONE_LOCK_PAIR_LOST,  // there is no room to remember it
};

// Remembers the pair. So that one is told of two threads at most, it is new once for the first one
// and once for another one.
HONE_SIGSAFE enum hone_lock_pair_news hone_lock_pair_note(const struct hone_lock_pair *pair);
void hone_lock_pairs_forget(void);
// Makes room for them, before any is noted. False when there is none.
bool hone_lock_pairs_begin(void);

#endif
