// What the hooks of locks have in common.
#ifndef HONE_PROBE_HOOKS_LOCK_H
#define HONE_PROBE_HOOKS_LOCK_H

#include "probe/lock.h"
#include "probe/lock_kinds.h"
#include "probe/lock_order.h"
#include "probe/lock_real.h"

#include <errno.h>

#define REAL hone_lock_real

// A name of our own for a hook, for that of the function may be the program's.
#define OWN(function)                                                                              \
    __asm__(".globl hone_own_" #function "\n.hidden hone_own_" #function                           \
            "\n.set hone_own_" #function ", " #function)

// `call` of a real function that waits for `lock`, of which `depth` is asked once it is taken.
#define WAITING(lock, kind, call, depth)                                                           \
    __extension__({                                                                                \
        struct hone_lock_wait wait;                                                                \
        hone_lock_wait_begin(&wait, lock, kind);                                                   \
        int result = call;                                                                         \
        enum hone_lock_outcome outcome = hone_lock_outcome_of(result);                             \
        hone_lock_wait_end(&wait, outcome, hone_lock_is_had(outcome) ? (depth) : 0);               \
        result;                                                                                    \
    })

// `call` of a real function that releases it.
#define RELEASING(lock, kind, depth, call)                                                         \
    __extension__({                                                                                \
        struct hone_lock_release release;                                                          \
        hone_lock_release_begin(&release, lock, kind, depth);                                      \
        int result = call;                                                                         \
        hone_lock_release_end(&release, result == 0);                                              \
        result;                                                                                    \
    })

// `call` of a real function where nothing is recorded, or the order of locks alone. What is wanted
// for a time only is held like any other lock, and nobody is stuck in wanting it; nor in a
// recursive mutex that the thread had already, by a trylock that was not seen.
#define TAKING_(lock, kind, tried, call)                                                           \
    (!hone_lock_order_is_on() ? (call) : __extension__({                                           \
        int ordered = call;                                                                        \
        if (ordered == 0 || ordered == EOWNERDEAD)                                                 \
            hone_lock_order_taken(                                                                 \
                lock, kind, (tried) || ((kind) == HONE_LOCK_MUTEX && hone_mutex_depth(lock) > 1)); \
        ordered;                                                                                   \
    }))
#define TAKING_ORDERED(lock, kind, call) TAKING_(lock, kind, false, call)
#define TAKING_LIMITED(lock, kind, call) TAKING_(lock, kind, true, call)

#define RELEASING_ORDERED(lock, call)                                                              \
    __extension__({                                                                                \
        if (hone_lock_order_is_on())                                                               \
            hone_lock_order_released(lock);                                                        \
        call;                                                                                      \
    })

// A wait lets go of the mutex and takes it again, whatever comes of it: unless it was not held.
#define WAITED_ORDERED(mutex, call)                                                                \
    __extension__({                                                                                \
        bool order = hone_lock_order_is_on();                                                      \
        if (order)                                                                                 \
            hone_lock_order_released(mutex);                                                       \
        int waited = call;                                                                         \
        if (order && waited != EPERM)                                                              \
            hone_lock_order_taken(mutex, HONE_LOCK_MUTEX, false);                                  \
        waited;                                                                                    \
    })

static inline enum hone_lock_outcome hone_lock_outcome_of(int result)
{
    return result == 0            ? HONE_LOCK_TAKEN
           : result == EOWNERDEAD ? HONE_LOCK_INHERITED
           : result == ETIMEDOUT  ? HONE_LOCK_TIMED_OUT
                                  : HONE_LOCK_UNDONE;
}

#endif
