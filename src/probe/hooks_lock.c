// Mutexes, spin locks, and C11's mutexes, which are the same in memory as the others.
#include "probe/hooks_lock.h"

#include "core/syscall.h"

_Static_assert(thrd_success == 0, "as functions of pthreads return");
_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "one is the other");

// --- taking --------------------------------------------------------------------------------------

// A robust recursive mutex that the caller has already is no reason to wait.
HONE_HOOK static bool is_taken_by_other(const void *mutex)
{
    if (!hone_mutex_is_taken(mutex))
        return false;
    return !hone_mutex_depth(mutex) ||
           ((const struct hone_mutex *)mutex)->owner != (uint32_t)hone_syscall0(SYS_gettid);
}

// Whether the lock is there to be had without a wait, and its result; `try` is the function that
// tries. False: it is to be waited for.
__attribute__((always_inline)) static inline bool try_first(void *mutex, int (*try)(void *),
                                                            int busy, int *ret)
{
    if (HONE_UNLIKELY(!hone_mutex_may_try(mutex)))
        return false;
    *ret = try(mutex);
    if (HONE_LIKELY(*ret == 0) && hone_lock_is_due())
        hone_lock_drawn(mutex, hone_mutex_depth(mutex), HONE_LOCK_MUTEX);
    return *ret != busy;
}

// By the real function: of a mutex that may not be tried, or was not to be had.
#define TAKING(mutex, call)                                                                        \
    __extension__({                                                                                \
        int taking;                                                                                \
        if (hone_mutex_may_try(mutex) || is_taken_by_other(mutex)) {                               \
            taking = WAITING(mutex, HONE_LOCK_MUTEX, call, hone_mutex_depth(mutex));               \
        } else {                                                                                   \
            taking = call;                                                                         \
            if ((taking == 0 || taking == EOWNERDEAD) && hone_lock_is_due())                       \
                hone_lock_drawn(mutex, hone_mutex_depth(mutex), HONE_LOCK_MUTEX);                  \
        }                                                                                          \
        taking;                                                                                    \
    })

#define TRY(mutex, ret) try_first(mutex, (int (*)(void *))REAL.pthread_mutex_trylock, EBUSY, ret)
#define TRY_C11(mutex, ret) try_first(mutex, (int (*)(void *))REAL.mtx_trylock, thrd_busy, ret)

HONE_HOOK static int take(pthread_mutex_t *mutex)
{
    return TAKING(mutex, REAL.pthread_mutex_lock(mutex));
}

HONE_HOOK static int lock_seen(pthread_mutex_t *mutex)
{
    int r;
    if (!hone_locks_are_on())
        return TAKING_ORDERED(mutex, HONE_LOCK_MUTEX, REAL.pthread_mutex_lock(mutex));
    if (HONE_LIKELY(TRY(mutex, &r)) && HONE_LIKELY(r == 0))
        return 0;
    return take(mutex);
}

// A thread that is alone has nobody to wait for, but in another process, and there is nothing to do
// until the next acquisition that is drawn.
HONE_HOOK HONE_EXPORT HONE_LINE int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    uint32_t wanted = hone_locks_state();
    if (HONE_LIKELY(wanted & HONE_LOCKS_ALONE)) {
        int64_t left = hone_lock_self.countdown - 1;
        if (HONE_UNLIKELY(!hone_mutex_is_private(mutex)) || HONE_UNLIKELY(left < 0))
            goto seen;
        hone_lock_self.countdown = left;
        return REAL.pthread_mutex_lock(mutex);
    }
    if (HONE_LIKELY(!wanted))
        return REAL.pthread_mutex_lock(mutex);
seen:
    return lock_seen(mutex);
}

HONE_HOOK HONE_EXPORT int pthread_mutex_timedlock(pthread_mutex_t *mutex,
                                                  const struct timespec *until)
{
    int r;
    if (!hone_locks_are_on())
        return TAKING_LIMITED(mutex, HONE_LOCK_MUTEX, REAL.pthread_mutex_timedlock(mutex, until));
    if (TRY(mutex, &r) && r == 0)
        return 0;
    return TAKING(mutex, REAL.pthread_mutex_timedlock(mutex, until));
}

HONE_HOOK HONE_EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                                                  const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_mutex_clocklock))
        return ENOSYS;
    int r;
    // Which clock it is matters to who has to wait and to who does not.
    if (!hone_locks_are_on() || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME))
        return TAKING_LIMITED(mutex, HONE_LOCK_MUTEX,
                              REAL.pthread_mutex_clocklock(mutex, clock, until));
    if (TRY(mutex, &r) && r == 0)
        return 0;
    return TAKING(mutex, REAL.pthread_mutex_clocklock(mutex, clock, until));
}

// --- releasing -----------------------------------------------------------------------------------

HONE_HOOK static int release_told(pthread_mutex_t *mutex)
{
    return RELEASING(mutex, HONE_LOCK_MUTEX, hone_mutex_depth(mutex),
                     REAL.pthread_mutex_unlock(mutex));
}

HONE_HOOK static int release_seen(pthread_mutex_t *mutex)
{
    if (!hone_locks_are_on() || hone_lock_is_quiet(mutex))
        return RELEASING_ORDERED(mutex, REAL.pthread_mutex_unlock(mutex));
    if (hone_lock_is_charged(mutex, HONE_LOCK_MUTEX))
        return REAL.pthread_mutex_unlock(mutex);
    return release_told(mutex);
}

HONE_HOOK HONE_EXPORT HONE_LINE int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    uint32_t wanted = hone_locks_state();
    if (HONE_LIKELY(wanted & HONE_LOCKS_ALONE)) {
        if (HONE_UNLIKELY(hone_lock_self.held_count))
            goto seen;
        return REAL.pthread_mutex_unlock(mutex);
    }
    if (HONE_LIKELY(!wanted))
        return REAL.pthread_mutex_unlock(mutex);
seen:
    return release_seen(mutex);
}

OWN(pthread_mutex_lock);
OWN(pthread_mutex_timedlock);
OWN(pthread_mutex_clocklock);
OWN(pthread_mutex_unlock);

// --- C11 -----------------------------------------------------------------------------------------

static int of_c11(int result)
{
    return result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : EINVAL;
}

static int to_c11(int result)
{
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}

HONE_HOOK HONE_EXPORT int mtx_lock(mtx_t *mutex)
{
    int r;
    if (HONE_UNLIKELY(!HONE_LOCK_HAS(mtx_lock)))
        return thrd_error;
    if (!hone_locks_are_on())
        return TAKING_ORDERED(mutex, HONE_LOCK_MUTEX, REAL.mtx_lock(mutex));
    if (TRY_C11(mutex, &r) && r == thrd_success)
        return thrd_success;
    return to_c11(TAKING(mutex, of_c11(REAL.mtx_lock(mutex))));
}

HONE_HOOK HONE_EXPORT int mtx_timedlock(mtx_t *mutex, const struct timespec *until)
{
    int r;
    if (HONE_UNLIKELY(!HONE_LOCK_HAS(mtx_timedlock)))
        return thrd_error;
    if (!hone_locks_are_on())
        return TAKING_LIMITED(mutex, HONE_LOCK_MUTEX, REAL.mtx_timedlock(mutex, until));
    if (TRY_C11(mutex, &r) && r == thrd_success)
        return thrd_success;
    return to_c11(TAKING(mutex, of_c11(REAL.mtx_timedlock(mutex, until))));
}

HONE_HOOK static int release_c11_told(mtx_t *mutex)
{
    if (hone_lock_is_charged(mutex, HONE_LOCK_MUTEX))
        return REAL.mtx_unlock(mutex);
    return RELEASING(mutex, HONE_LOCK_MUTEX, hone_mutex_depth(mutex), REAL.mtx_unlock(mutex));
}

HONE_HOOK HONE_EXPORT int mtx_unlock(mtx_t *mutex)
{
    if (HONE_UNLIKELY(!HONE_LOCK_HAS(mtx_unlock)))
        return thrd_error;
    if (!hone_locks_are_on() || hone_lock_is_quiet(mutex))
        return RELEASING_ORDERED(mutex, REAL.mtx_unlock(mutex));
    return release_c11_told(mutex);
}

OWN(mtx_lock);
OWN(mtx_timedlock);
OWN(mtx_unlock);

// --- spin locks ----------------------------------------------------------------------------------

HONE_HOOK static int spin_told(pthread_spinlock_t *lock)
{
    return WAITING((const void *)(uintptr_t)lock, HONE_LOCK_SPIN, REAL.pthread_spin_lock(lock), 0);
}

HONE_HOOK HONE_EXPORT int pthread_spin_lock(pthread_spinlock_t *lock)
{
    if (!hone_locks_are_on())
        return TAKING_ORDERED((const void *)(uintptr_t)lock, HONE_LOCK_SPIN,
                              REAL.pthread_spin_lock(lock));
    if (HONE_UNLIKELY(REAL.pthread_spin_trylock(lock)))
        return spin_told(lock);
    if (hone_lock_is_due())
        hone_lock_drawn((const void *)(uintptr_t)lock, 0, HONE_LOCK_SPIN);
    return 0;
}

HONE_HOOK static int unspin_told(pthread_spinlock_t *lock)
{
    if (hone_lock_is_charged((const void *)(uintptr_t)lock, HONE_LOCK_SPIN))
        return REAL.pthread_spin_unlock(lock);
    return RELEASING((const void *)(uintptr_t)lock, HONE_LOCK_SPIN, 0,
                     REAL.pthread_spin_unlock(lock));
}

HONE_HOOK HONE_EXPORT int pthread_spin_unlock(pthread_spinlock_t *lock)
{
    if (!hone_locks_are_on() || hone_lock_is_quiet((const void *)(uintptr_t)lock))
        return RELEASING_ORDERED((const void *)(uintptr_t)lock, REAL.pthread_spin_unlock(lock));
    return unspin_told(lock);
}

OWN(pthread_spin_lock);
OWN(pthread_spin_unlock);
