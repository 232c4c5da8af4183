// Condition variables. A wait releases the mutex inside the C library: who waits for that is
// charged before. A thread that is cancelled in a wait leaves it past us, and that wait is not
// told; nothing has to be undone.
#include "probe/hooks_lock.h"

// Of x86-64 the new form only, so that a program that was linked to the old one, or by no version
// at all, finds what the C library has for it. Other machines and libraries have one.
#if defined(__x86_64__) && defined(__GLIBC__)
#define NAMED(function)                                                                            \
    __asm__(".globl hone_own_" #function "\n.hidden hone_own_" #function                           \
            "\n.set hone_own_" #function ", hone_" #function "\n.symver hone_" #function           \
            ", " #function "@GLIBC_2.3.2, remove")
#else
#define NAMED(function)                                                                            \
    __asm__(".globl hone_own_" #function "\n.hidden hone_own_" #function                           \
            "\n.set hone_own_" #function ", hone_" #function "\n.globl " #function                 \
            "\n.type " #function ", %function\n.set " #function ", hone_" #function)
#endif

HONE_EXPORT int hone_pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
HONE_EXPORT int hone_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *,
                                            const struct timespec *);

HONE_HOOK static void release_inside(void *mutex)
{
    if (hone_lock_is_quiet(mutex))
        return;
    uint32_t depth = hone_mutex_depth(mutex);
    (void)RELEASING(mutex, HONE_LOCK_MUTEX, depth, 0);
}

#define WAITED(condition, mutex, call, in_vain)                                                    \
    __extension__({                                                                                \
        release_inside(mutex);                                                                     \
        uint64_t began = hone_wait_begin();                                                        \
        int result = call;                                                                         \
        hone_wait_end(began, condition, HONE_LOCK_CONDITION, result == (in_vain));                 \
        result;                                                                                    \
    })

HONE_HOOK __attribute__((used)) int hone_pthread_cond_wait(pthread_cond_t *condition,
                                                           pthread_mutex_t *mutex)
{
    if (!hone_locks_are_on())
        return WAITED_ORDERED(mutex, REAL.pthread_cond_wait(condition, mutex));
    return WAITED(condition, mutex, REAL.pthread_cond_wait(condition, mutex), ETIMEDOUT);
}

HONE_HOOK __attribute__((used)) int hone_pthread_cond_timedwait(pthread_cond_t *condition,
                                                                pthread_mutex_t *mutex,
                                                                const struct timespec *until)
{
    if (!hone_locks_are_on())
        return WAITED_ORDERED(mutex, REAL.pthread_cond_timedwait(condition, mutex, until));
    return WAITED(condition, mutex, REAL.pthread_cond_timedwait(condition, mutex, until),
                  ETIMEDOUT);
}

HONE_HOOK HONE_EXPORT int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                                 clockid_t clock, const struct timespec *until)
{
    if (!HONE_LOCK_HAS(pthread_cond_clockwait))
        return ENOSYS;
    if (!hone_locks_are_on())
        return WAITED_ORDERED(mutex, REAL.pthread_cond_clockwait(condition, mutex, clock, until));
    return WAITED(condition, mutex, REAL.pthread_cond_clockwait(condition, mutex, clock, until),
                  ETIMEDOUT);
}

HONE_HOOK HONE_EXPORT int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    if (!HONE_LOCK_HAS(cnd_wait))
        return thrd_error;
    if (!hone_locks_are_on())
        return WAITED_ORDERED(mutex, REAL.cnd_wait(condition, mutex));
    return WAITED(condition, mutex, REAL.cnd_wait(condition, mutex), thrd_timedout);
}

HONE_HOOK HONE_EXPORT int cnd_timedwait(cnd_t *condition, mtx_t *mutex,
                                        const struct timespec *until)
{
    if (!HONE_LOCK_HAS(cnd_timedwait))
        return thrd_error;
    if (!hone_locks_are_on())
        return WAITED_ORDERED(mutex, REAL.cnd_timedwait(condition, mutex, until));
    return WAITED(condition, mutex, REAL.cnd_timedwait(condition, mutex, until), thrd_timedout);
}

NAMED(pthread_cond_wait);
NAMED(pthread_cond_timedwait);
OWN(pthread_cond_clockwait);
OWN(cnd_wait);
OWN(cnd_timedwait);
