// The functions that the hooks of locks stand in front of, or call.
#ifndef HONE_PROBE_LOCK_REAL_H
#define HONE_PROBE_LOCK_REAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <threads.h>

// Of every C library that we run with: found at the first call of a hook, which may come from
// within an allocator. Looking for one that is not there would allocate.
#define HONE_LOCK_OLD_HOOKS(X)                                                                     \
    X(pthread_mutex_lock, (pthread_mutex_t *))                                                     \
    X(pthread_mutex_unlock, (pthread_mutex_t *))                                                   \
    X(pthread_mutex_timedlock, (pthread_mutex_t *, const struct timespec *))                       \
    X(pthread_mutex_init, (pthread_mutex_t *, const pthread_mutexattr_t *))                        \
    X(pthread_rwlock_rdlock, (pthread_rwlock_t *))                                                 \
    X(pthread_rwlock_wrlock, (pthread_rwlock_t *))                                                 \
    X(pthread_rwlock_timedrdlock, (pthread_rwlock_t *, const struct timespec *))                   \
    X(pthread_rwlock_timedwrlock, (pthread_rwlock_t *, const struct timespec *))                   \
    X(pthread_rwlock_unlock, (pthread_rwlock_t *))                                                 \
    X(pthread_rwlock_init, (pthread_rwlock_t *, const pthread_rwlockattr_t *))                     \
    X(pthread_spin_lock, (pthread_spinlock_t *))                                                   \
    X(pthread_spin_unlock, (pthread_spinlock_t *))                                                 \
    X(pthread_spin_init, (pthread_spinlock_t *, int))                                              \
    X(pthread_cond_wait, (pthread_cond_t *, pthread_mutex_t *))                                    \
    X(pthread_cond_timedwait, (pthread_cond_t *, pthread_mutex_t *, const struct timespec *))      \
    X(sem_wait, (sem_t *))                                                                         \
    X(sem_timedwait, (sem_t *, const struct timespec *))                                           \
    X(sem_init, (sem_t *, int, unsigned))                                                          \
    X(pthread_barrier_wait, (pthread_barrier_t *))                                                 \
    X(pthread_barrier_init, (pthread_barrier_t *, const pthread_barrierattr_t *, unsigned))        \
    X(pthread_join, (pthread_t, void **))

// Not of every one.
#define HONE_LOCK_NEW_HOOKS(X)                                                                     \
    X(mtx_lock, (mtx_t *))                                                                         \
    X(mtx_unlock, (mtx_t *))                                                                       \
    X(mtx_timedlock, (mtx_t *, const struct timespec *))                                           \
    X(mtx_init, (mtx_t *, int))                                                                    \
    X(cnd_wait, (cnd_t *, mtx_t *))                                                                \
    X(cnd_timedwait, (cnd_t *, mtx_t *, const struct timespec *))                                  \
    X(thrd_join, (thrd_t, int *))                                                                  \
    X(pthread_mutex_clocklock, (pthread_mutex_t *, clockid_t, const struct timespec *))            \
    X(pthread_rwlock_clockrdlock, (pthread_rwlock_t *, clockid_t, const struct timespec *))        \
    X(pthread_rwlock_clockwrlock, (pthread_rwlock_t *, clockid_t, const struct timespec *))        \
    X(pthread_cond_clockwait,                                                                      \
      (pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *))                   \
    X(sem_clockwait, (sem_t *, clockid_t, const struct timespec *))                                \
    X(pthread_timedjoin_np, (pthread_t, void **, const struct timespec *))                         \
    X(pthread_clockjoin_np, (pthread_t, void **, clockid_t, const struct timespec *))

// And what the hooks call besides.
#define HONE_LOCK_HELPERS(X)                                                                       \
    X(pthread_mutex_trylock, (pthread_mutex_t *))                                                  \
    X(pthread_rwlock_tryrdlock, (pthread_rwlock_t *))                                              \
    X(pthread_rwlock_trywrlock, (pthread_rwlock_t *))                                              \
    X(pthread_spin_trylock, (pthread_spinlock_t *))                                                \
    X(sem_getvalue, (sem_t *, int *))                                                              \
    X(mtx_trylock, (mtx_t *))

struct hone_lock_real {
#define POINTER(name, parameters) int(*name) parameters;
    HONE_LOCK_OLD_HOOKS(POINTER)
    HONE_LOCK_NEW_HOOKS(POINTER)
    HONE_LOCK_HELPERS(POINTER)
#undef POINTER
    // Trying a read-write lock is harmless (glibc before 2.30 may hang who waits for it).
    bool rwlocks_may_be_tried;
};

// A function that libc does not have is NULL in it, as are the new ones until they are looked for.
extern struct hone_lock_real hone_lock_real __attribute__((visibility("hidden")));

// Whether the C library knows of one thread alone.
bool hone_locks_are_alone(void);

// Whether there is a new one, before its hook does anything else.
#define HONE_LOCK_HAS(name) (hone_lock_real.name || (hone_locks_find(), hone_lock_real.name))

#endif
