// Read-write locks. Who releases one while others wait is charged, a reader like a writer: where
// several readers hold it, each from the last release on.
#include "probe/hooks_lock.h"

#define RWLOCK(lock, try_, kind, call)                                                             \
    __extension__({                                                                                \
        int locking;                                                                               \
        if (!REAL.rwlocks_may_be_tried) {                                                          \
            locking = call;                                                                        \
        } else if ((locking = REAL.try_(lock)) == 0) {                                             \
            if (hone_lock_is_due())                                                                \
                hone_lock_drawn(lock, 0, kind);                                                    \
        } else {                                                                                   \
            locking = WAITING(lock, kind, call, 0);                                                \
        }                                                                                          \
        locking;                                                                                   \
    })
#define READ(lock, call) RWLOCK(lock, pthread_rwlock_tryrdlock, HONE_LOCK_READ, call)
#define WRITE(lock, call) RWLOCK(lock, pthread_rwlock_trywrlock, HONE_LOCK_WRITE, call)

HONE_HOOK HONE_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    if (!hone_locks_are_on())
        return TAKING_ORDERED(lock, HONE_LOCK_READ, REAL.pthread_rwlock_rdlock(lock));
    return READ(lock, REAL.pthread_rwlock_rdlock(lock));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    if (!hone_locks_are_on())
        return TAKING_ORDERED(lock, HONE_LOCK_WRITE, REAL.pthread_rwlock_wrlock(lock));
    return WRITE(lock, REAL.pthread_rwlock_wrlock(lock));
}

// A time or a clock that is none is an error also where nobody has to wait.
static bool is_proper(clockid_t clock, const struct timespec *until)
{
    enum { SECOND_NS = 1000000000 };
    return (clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME) && until->tv_nsec >= 0 &&
           until->tv_nsec < SECOND_NS;
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *lock,
                                                     const struct timespec *until)
{
    if (!hone_locks_are_on() || !is_proper(CLOCK_REALTIME, until))
        return TAKING_LIMITED(lock, HONE_LOCK_READ, REAL.pthread_rwlock_timedrdlock(lock, until));
    return READ(lock, REAL.pthread_rwlock_timedrdlock(lock, until));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *lock,
                                                     const struct timespec *until)
{
    if (!hone_locks_are_on() || !is_proper(CLOCK_REALTIME, until))
        return TAKING_LIMITED(lock, HONE_LOCK_WRITE, REAL.pthread_rwlock_timedwrlock(lock, until));
    return WRITE(lock, REAL.pthread_rwlock_timedwrlock(lock, until));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock,
                                                     const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_rwlock_clockrdlock))
        return ENOSYS;
    if (!hone_locks_are_on() || !is_proper(clock, until))
        return TAKING_LIMITED(lock, HONE_LOCK_READ,
                              REAL.pthread_rwlock_clockrdlock(lock, clock, until));
    return READ(lock, REAL.pthread_rwlock_clockrdlock(lock, clock, until));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock,
                                                     const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_rwlock_clockwrlock))
        return ENOSYS;
    if (!hone_locks_are_on() || !is_proper(clock, until))
        return TAKING_LIMITED(lock, HONE_LOCK_WRITE,
                              REAL.pthread_rwlock_clockwrlock(lock, clock, until));
    return WRITE(lock, REAL.pthread_rwlock_clockwrlock(lock, clock, until));
}

HONE_HOOK static int release_told(pthread_rwlock_t *lock)
{
    if (hone_lock_is_charged(lock, HONE_LOCK_READ))
        return REAL.pthread_rwlock_unlock(lock);
    uint32_t kind = hone_rwlock_is_written(lock) ? HONE_LOCK_WRITE : HONE_LOCK_READ;
    return RELEASING(lock, kind, 0, REAL.pthread_rwlock_unlock(lock));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    if (!hone_locks_are_on() || hone_lock_is_quiet(lock))
        return RELEASING_ORDERED(lock, REAL.pthread_rwlock_unlock(lock));
    return release_told(lock);
}

OWN(pthread_rwlock_rdlock);
OWN(pthread_rwlock_wrlock);
OWN(pthread_rwlock_timedrdlock);
OWN(pthread_rwlock_timedwrlock);
OWN(pthread_rwlock_clockrdlock);
OWN(pthread_rwlock_clockwrlock);
OWN(pthread_rwlock_unlock);
