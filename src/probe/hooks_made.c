// Where locks are made, so that one in the heap can be named by that. Those that are made by an
// initializer, as nearly all of C++'s are, call nothing.
#include "probe/hooks_lock.h"

#define MADE(object, kind, call)                                                                   \
    __extension__({                                                                                \
        int making = call;                                                                         \
        if (making == 0 && hone_locks_are_on())                                                    \
            hone_lock_made((const void *)(uintptr_t)(object), kind);                               \
        making;                                                                                    \
    })

HONE_HOOK HONE_EXPORT int pthread_mutex_init(pthread_mutex_t *mutex,
                                             const pthread_mutexattr_t *attributes)
{
    if (!hone_locks_are_on())
        return REAL.pthread_mutex_init(mutex, attributes);
    return MADE(mutex, HONE_LOCK_MUTEX, REAL.pthread_mutex_init(mutex, attributes));
}

HONE_HOOK HONE_EXPORT int pthread_rwlock_init(pthread_rwlock_t *lock,
                                              const pthread_rwlockattr_t *attributes)
{
    if (!hone_locks_are_on())
        return REAL.pthread_rwlock_init(lock, attributes);
    return MADE(lock, HONE_LOCK_WRITE, REAL.pthread_rwlock_init(lock, attributes));
}

HONE_HOOK HONE_EXPORT int pthread_spin_init(pthread_spinlock_t *lock, int shared)
{
    if (!hone_locks_are_on())
        return REAL.pthread_spin_init(lock, shared);
    return MADE(lock, HONE_LOCK_SPIN, REAL.pthread_spin_init(lock, shared));
}

HONE_HOOK HONE_EXPORT int pthread_barrier_init(pthread_barrier_t *barrier,
                                               const pthread_barrierattr_t *attributes,
                                               unsigned count)
{
    if (!hone_locks_are_on())
        return REAL.pthread_barrier_init(barrier, attributes, count);
    return MADE(barrier, HONE_LOCK_BARRIER, REAL.pthread_barrier_init(barrier, attributes, count));
}

HONE_HOOK HONE_EXPORT int sem_init(sem_t *semaphore, int shared, unsigned value)
{
    if (!hone_locks_are_on())
        return REAL.sem_init(semaphore, shared, value);
    return MADE(semaphore, HONE_LOCK_SEMAPHORE, REAL.sem_init(semaphore, shared, value));
}

HONE_HOOK HONE_EXPORT int mtx_init(mtx_t *mutex, int type)
{
    if (!HONE_LOCK_HAS(mtx_init))
        return thrd_error;
    if (!hone_locks_are_on())
        return REAL.mtx_init(mutex, type);
    return MADE(mutex, HONE_LOCK_MUTEX, REAL.mtx_init(mutex, type));
}

OWN(pthread_mutex_init);
OWN(pthread_rwlock_init);
OWN(pthread_spin_init);
OWN(pthread_barrier_init);
OWN(sem_init);
OWN(mtx_init);
