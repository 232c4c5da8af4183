// What a thread does in the hooks of locks besides what they stand for: knowing itself, time, and
// its stack. Private to this room.
//
// Threads  all.   Signals  safe: a handler that interrupts it gets none of it.
#ifndef HONE_PROBE_LOCK_WORK_H
#define HONE_PROBE_LOCK_WORK_H

#include "probe/lock.h"

static inline uint32_t hone_lock_wanted(void)
{
    return atomic_load_explicit(&hone_locks_wanted, memory_order_relaxed);
}

static inline bool hone_lock_is_recording(void)
{
    return hone_lock_wanted() & (HONE_LOCKS_MUTEX | HONE_LOCKS_BLOCK) &&
           hone_probe.writer.process && !hone_probe.locked_in &&
           !atomic_load_explicit(&hone_probe.writer.header->stop, memory_order_relaxed);
}

static inline const struct hone_session_config *hone_lock_config(void)
{
    return &hone_probe.writer.header->config;
}

// A handler of the program's may interrupt it, and lock; or jump out of it, see hone_heap_enter().
static inline __attribute__((always_inline)) bool hone_lock_work_begin(void)
{
    return hone_heap_enter();
}

static inline void hone_lock_work_end(void)
{
    hone_heap_leave();
}

// Nanoseconds of so many ticks, of what took place since hone_lock_clock_begin(); and the other way
// round, for what is decided while a lock is held: by what was known after a while.
HONE_SIGSAFE void hone_lock_clock_begin(void);
HONE_SIGSAFE uint64_t hone_lock_ns(uint64_t ticks);
HONE_SIGSAFE uint64_t hone_lock_ticks(uint64_t ns);

// The calling thread, as this process knows it: not what the one that forked it had found.
HONE_SIGSAFE struct hone_lock_thread *hone_lock_myself(void);

// The id of the stack of who called the hooks; 0: there was no room.
HONE_SIGSAFE uint32_t hone_lock_stack_here(void);

#endif
