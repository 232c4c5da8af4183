// What a thread holds of which we want to see the end, in hone_lock_thread's held[]. Private to
// this room.
//
// Threads  the calling one's.   Signals  within hone_lock_work_begin().
#ifndef HONE_PROBE_LOCK_HELD_H
#define HONE_PROBE_LOCK_HELD_H

#include "probe/lock.h"

// Where there is no room the oldest one goes: it will not be seen again.
HONE_SIGSAFE void hone_lock_held_push(struct hone_lock_thread *self,
                                      const struct hone_lock_held *held);
// Whether it is there, locked that often. Then it is no more.
HONE_SIGSAFE bool hone_lock_held_pop(struct hone_lock_thread *self, uint64_t lock, uint32_t depth,
                                     struct hone_lock_held *ret);

// By which release it came to us, as its wait at that entry has left it.
HONE_SIGSAFE void hone_lock_held_from(struct hone_lock_held *held, struct hone_lock_entry *entry,
                                      const struct hone_lock_left *left, bool shared);
// The stack of that release, as far as it is known by now.
HONE_SIGSAFE void hone_lock_held_by_whom(struct hone_lock_held *held);

// The wait that looks as if it were not over (`pending`, one at most) is over for those who look at
// its lock, too: since the lock was taken. Returns what is owed to who released the lock to us, or
// sees to that.
HONE_SIGSAFE uint64_t hone_lock_held_leave(struct hone_lock_thread *self,
                                           struct hone_lock_held *held);
HONE_SIGSAFE void hone_lock_held_end(struct hone_lock_thread *self, struct hone_lock_held *held);

#endif
