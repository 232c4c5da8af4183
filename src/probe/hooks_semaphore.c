// Semaphores, barriers, and the ends of threads: what is waited for and nobody holds. Of these a
// wait that is over at once may still be a point where a thread is cancelled, so the real function
// is always called, and called once.
#include "probe/hooks_lock.h"

#define TIMED(object, kind, call, in_vain)                                                         \
    __extension__({                                                                                \
        uint64_t began = hone_wait_begin();                                                        \
        int result = call;                                                                         \
        hone_wait_end(began, object, kind, in_vain);                                               \
        result;                                                                                    \
    })

// --- semaphores ----------------------------------------------------------------------------------

// Whether one can be had at once, as far as can be seen.
static bool is_there(sem_t *semaphore)
{
    int value = 0;
    return REAL.sem_getvalue(semaphore, &value) == 0 && value > 0;
}

#define SEMAPHORE(semaphore, call)                                                                 \
    TIMED(semaphore, HONE_LOCK_SEMAPHORE, call, result != 0 && errno == ETIMEDOUT)

HONE_HOOK HONE_EXPORT int sem_wait(sem_t *semaphore)
{
    if (!hone_locks_are_on() || is_there(semaphore))
        return REAL.sem_wait(semaphore);
    return SEMAPHORE(semaphore, REAL.sem_wait(semaphore));
}

HONE_HOOK HONE_EXPORT int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    if (!hone_locks_are_on() || is_there(semaphore))
        return REAL.sem_timedwait(semaphore, until);
    return SEMAPHORE(semaphore, REAL.sem_timedwait(semaphore, until));
}

HONE_HOOK HONE_EXPORT int sem_clockwait(sem_t *semaphore, clockid_t clock,
                                        const struct timespec *until)
{
    if (!HONE_LOCK_HAS(sem_clockwait)) {
        errno = ENOSYS;
        return -1;
    }
    if (!hone_locks_are_on() || is_there(semaphore))
        return REAL.sem_clockwait(semaphore, clock, until);
    return SEMAPHORE(semaphore, REAL.sem_clockwait(semaphore, clock, until));
}

OWN(sem_wait);
OWN(sem_timedwait);
OWN(sem_clockwait);

// --- barriers ------------------------------------------------------------------------------------

// The last one to come does not wait. Once a wait is over the barrier may be gone.
HONE_HOOK HONE_EXPORT int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    if (!hone_locks_are_on())
        return REAL.pthread_barrier_wait(barrier);
    return TIMED(barrier, HONE_LOCK_BARRIER, REAL.pthread_barrier_wait(barrier), false);
}

OWN(pthread_barrier_wait);

// --- threads' ends -------------------------------------------------------------------------------

#define JOIN(thread, call)                                                                         \
    TIMED((const void *)(uintptr_t)(thread), HONE_LOCK_JOIN, call, result == ETIMEDOUT)

HONE_HOOK HONE_EXPORT int pthread_join(pthread_t thread, void **ret)
{
    if (!hone_locks_are_on())
        return REAL.pthread_join(thread, ret);
    return JOIN(thread, REAL.pthread_join(thread, ret));
}

HONE_HOOK HONE_EXPORT int pthread_timedjoin_np(pthread_t thread, void **ret,
                                               const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_timedjoin_np))
        return ENOSYS;
    return hone_locks_are_on() ? JOIN(thread, REAL.pthread_timedjoin_np(thread, ret, until))
                               : REAL.pthread_timedjoin_np(thread, ret, until);
}

HONE_HOOK HONE_EXPORT int pthread_clockjoin_np(pthread_t thread, void **ret, clockid_t clock,
                                               const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_clockjoin_np))
        return ENOSYS;
    return hone_locks_are_on() ? JOIN(thread, REAL.pthread_clockjoin_np(thread, ret, clock, until))
                               : REAL.pthread_clockjoin_np(thread, ret, clock, until);
}

HONE_HOOK HONE_EXPORT int thrd_join(thrd_t thread, int *ret)
{
    if (!HONE_LOCK_HAS(thrd_join))
        return thrd_error;
    if (!hone_locks_are_on())
        return REAL.thrd_join(thread, ret);
    return JOIN(thread, REAL.thrd_join(thread, ret));
}

OWN(pthread_join);
OWN(pthread_timedjoin_np);
OWN(pthread_clockjoin_np);
OWN(thrd_join);
