// What every function of locks returns in every case that it knows of, as lines `CASE RESULT`: the
// same whether somebody looks on or not. And what it leaves behind: the owner that the kernel
// believes in, who else may have it, whether it can be destroyed.
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static const char *place = "";

static const char *named(int result)
{
    static char number[16];
    switch (result) {
    case 0:
        return "0";
    case EBUSY:
        return "EBUSY";
    case EDEADLK:
        return "EDEADLK";
    case EPERM:
        return "EPERM";
    case ETIMEDOUT:
        return "ETIMEDOUT";
    case EINVAL:
        return "EINVAL";
    case EAGAIN:
        return "EAGAIN";
    case EOWNERDEAD:
        return "EOWNERDEAD";
    case ENOTRECOVERABLE:
        return "ENOTRECOVERABLE";
    default:
        snprintf(number, sizeof number, "%d", result);
        return number;
    }
}

#define TELL(call)                                                                                 \
    do {                                                                                           \
        errno = 77;                                                                                \
        int told = call;                                                                           \
        printf("%s %s: %s errno %d\n", place, #call, named(told), errno);                          \
    } while (0)

static const struct timespec past = {1, 0}, wrong = {1, -5};

static struct timespec soon(clockid_t clock)
{
    long long at = clock_ns(clock) + 5 * MS;
    return (struct timespec){at / 1000000000LL, at % 1000000000LL};
}

static void elsewhere(void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, routine, argument))
        exit(9);
    pthread_join(thread, NULL);
}

static void *try_mutex(void *context)
{
    pthread_mutex_t *mutex = context;
    TELL(pthread_mutex_trylock(mutex));
    struct timespec until = soon(CLOCK_REALTIME);
    TELL(pthread_mutex_timedlock(mutex, &until));
    until = soon(CLOCK_MONOTONIC);
    TELL(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until));
    TELL(pthread_mutex_timedlock(mutex, &past));
    TELL(pthread_mutex_timedlock(mutex, &wrong));
    TELL(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &wrong));
    TELL(pthread_mutex_clocklock(mutex, 77, &past));
    return NULL;
}

static void *unlock_mutex(void *mutex)
{
    TELL(pthread_mutex_unlock(mutex));
    return NULL;
}

static void *die_with(void *mutex)
{
    TELL(pthread_mutex_lock(mutex));
    return NULL;
}

static void of_mutex(const char *name, int type, int robust, int protocol, int shared)
{
    place = name;
    static pthread_mutex_t mutex;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setrobust(&attributes, robust);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutexattr_setpshared(&attributes, shared);
    TELL(pthread_mutex_init(&mutex, &attributes));
    TELL(pthread_mutex_lock(&mutex));
    TELL(pthread_mutex_trylock(&mutex));
    int again = type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK;
    if (again) {
        TELL(pthread_mutex_lock(&mutex));
        TELL(pthread_mutex_timedlock(&mutex, &past));
    }
    elsewhere(try_mutex, &mutex);
    if (type != PTHREAD_MUTEX_NORMAL && type != PTHREAD_MUTEX_ADAPTIVE_NP)
        elsewhere(unlock_mutex, &mutex);
    TELL(pthread_mutex_unlock(&mutex));
    if (type == PTHREAD_MUTEX_RECURSIVE) {
        elsewhere(try_mutex, &mutex);
        TELL(pthread_mutex_unlock(&mutex));
        TELL(pthread_mutex_unlock(&mutex));
        TELL(pthread_mutex_unlock(&mutex));
    }
    if (again)
        TELL(pthread_mutex_unlock(&mutex));
    TELL(pthread_mutex_timedlock(&mutex, &past)); // free: its time does not matter
    TELL(pthread_mutex_unlock(&mutex));
    TELL(pthread_mutex_clocklock(&mutex, 77, &past));
    if (robust == PTHREAD_MUTEX_ROBUST) {
        elsewhere(die_with, &mutex);
        TELL(pthread_mutex_lock(&mutex));
        TELL(pthread_mutex_consistent(&mutex));
        TELL(pthread_mutex_unlock(&mutex));
        elsewhere(die_with, &mutex);
        TELL(pthread_mutex_timedlock(&mutex, &past));
        TELL(pthread_mutex_unlock(&mutex)); // not made consistent
        TELL(pthread_mutex_lock(&mutex));
        TELL(pthread_mutex_timedlock(&mutex, &past));
    }
    TELL(pthread_mutex_destroy(&mutex));
}

static void mutexes(void)
{
    int none = PTHREAD_PRIO_NONE, stalled = PTHREAD_MUTEX_STALLED, own = PTHREAD_PROCESS_PRIVATE;
    of_mutex("normal", PTHREAD_MUTEX_NORMAL, stalled, none, own);
    of_mutex("recursive", PTHREAD_MUTEX_RECURSIVE, stalled, none, own);
    of_mutex("errorcheck", PTHREAD_MUTEX_ERRORCHECK, stalled, none, own);
    of_mutex("adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, stalled, none, own);
    of_mutex("robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, none, own);
    of_mutex("robust recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ROBUST, none, own);
    of_mutex("robust errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ROBUST, none, own);
    of_mutex("inheriting", PTHREAD_MUTEX_NORMAL, stalled, PTHREAD_PRIO_INHERIT, own);
    of_mutex("inheriting recursive", PTHREAD_MUTEX_RECURSIVE, stalled, PTHREAD_PRIO_INHERIT, own);
    of_mutex("inheriting errorcheck", PTHREAD_MUTEX_ERRORCHECK, stalled, PTHREAD_PRIO_INHERIT, own);
    of_mutex("inheriting robust", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT,
             own);
    of_mutex("ceiling", PTHREAD_MUTEX_NORMAL, stalled, PTHREAD_PRIO_PROTECT, own);
    of_mutex("shared", PTHREAD_MUTEX_NORMAL, stalled, none, PTHREAD_PROCESS_SHARED);
}

// --- others --------------------------------------------------------------------------------------

static pthread_rwlock_t rwlock;

static void *try_rwlock(void *unused)
{
    TELL(pthread_rwlock_tryrdlock(&rwlock) ? 1 : pthread_rwlock_unlock(&rwlock));
    TELL(pthread_rwlock_trywrlock(&rwlock) ? 1 : pthread_rwlock_unlock(&rwlock));
    struct timespec until = soon(CLOCK_REALTIME);
    TELL(pthread_rwlock_timedrdlock(&rwlock, &until) ? 1 : pthread_rwlock_unlock(&rwlock));
    until = soon(CLOCK_REALTIME);
    TELL(pthread_rwlock_timedwrlock(&rwlock, &until));
    until = soon(CLOCK_MONOTONIC);
    TELL(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &until));
    TELL(pthread_rwlock_timedwrlock(&rwlock, &wrong));
    TELL(pthread_rwlock_clockrdlock(&rwlock, 77, &past));
    return unused;
}

static void rwlocks(void)
{
    place = "rwlock";
    TELL(pthread_rwlock_init(&rwlock, NULL));
    TELL(pthread_rwlock_rdlock(&rwlock));
    TELL(pthread_rwlock_rdlock(&rwlock));
    elsewhere(try_rwlock, NULL);
    TELL(pthread_rwlock_unlock(&rwlock));
    TELL(pthread_rwlock_unlock(&rwlock));
    TELL(pthread_rwlock_wrlock(&rwlock));
    TELL(pthread_rwlock_wrlock(&rwlock));
    TELL(pthread_rwlock_rdlock(&rwlock));
    elsewhere(try_rwlock, NULL);
    TELL(pthread_rwlock_unlock(&rwlock));
    TELL(pthread_rwlock_timedrdlock(&rwlock, &wrong));
    TELL(pthread_rwlock_clockrdlock(&rwlock, 77, &past));
    TELL(pthread_rwlock_timedrdlock(&rwlock, &past));
    TELL(pthread_rwlock_unlock(&rwlock));
    TELL(pthread_rwlock_destroy(&rwlock));
}

static _Atomic int let_go;

static void *until_let_go(void *unused)
{
    while (!let_go)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = MS}, NULL);
    return unused;
}

static void rest(void)
{
    place = "rest";
    pthread_spinlock_t spinlock;
    TELL(pthread_spin_init(&spinlock, 0));
    TELL(pthread_spin_lock(&spinlock));
    TELL(pthread_spin_trylock(&spinlock));
    TELL(pthread_spin_unlock(&spinlock));

    sem_t semaphore;
    TELL(sem_init(&semaphore, 0, 1));
    TELL(sem_wait(&semaphore));
    TELL(sem_trywait(&semaphore));
    struct timespec until = soon(CLOCK_REALTIME);
    TELL(sem_timedwait(&semaphore, &until));
    TELL(sem_timedwait(&semaphore, &wrong));
    until = soon(CLOCK_MONOTONIC);
    TELL(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until));
    TELL(sem_clockwait(&semaphore, 77, &until));
    TELL(sem_post(&semaphore));
    TELL(sem_timedwait(&semaphore, &past));

    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    until = soon(CLOCK_REALTIME);
    TELL(pthread_cond_timedwait(&condition, &mutex, &until));
    TELL(pthread_cond_timedwait(&condition, &mutex, &wrong));
    until = soon(CLOCK_MONOTONIC);
    TELL(pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until));
    TELL(pthread_mutex_trylock(&mutex));
    pthread_mutex_unlock(&mutex);

    mtx_t c11;
    cnd_t c11_condition;
    TELL(mtx_init(&c11, mtx_timed | mtx_recursive));
    TELL(cnd_init(&c11_condition));
    TELL(mtx_lock(&c11));
    TELL(mtx_lock(&c11));
    TELL(mtx_trylock(&c11));
    TELL(mtx_unlock(&c11));
    TELL(mtx_unlock(&c11));
    until = soon(CLOCK_REALTIME);
    TELL(cnd_timedwait(&c11_condition, &c11, &until));
    TELL(mtx_unlock(&c11));
    TELL(mtx_timedlock(&c11, &past));

    pthread_barrier_t barrier;
    TELL(pthread_barrier_init(&barrier, NULL, 1));
    TELL(pthread_barrier_wait(&barrier));

    pthread_t thread;
    if (pthread_create(&thread, NULL, until_let_go, NULL))
        exit(9);
    until = soon(CLOCK_REALTIME);
    TELL(pthread_timedjoin_np(thread, NULL, &until));
    until = soon(CLOCK_MONOTONIC);
    TELL(pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until));
    TELL(pthread_join(pthread_self(), NULL));
    let_go = 1;
    TELL(pthread_join(thread, NULL));
}

// Another process dies with a mutex that both have.
static void processes(void)
{
    place = "processes";
    pthread_mutex_t *mutex =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(mutex, &attributes);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(mutex);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    TELL(pthread_mutex_lock(mutex));
    TELL(pthread_mutex_consistent(mutex));
    TELL(pthread_mutex_unlock(mutex));
    TELL(pthread_mutex_lock(mutex));
    TELL(pthread_mutex_unlock(mutex));
}

int main(void)
{
    mutexes();
    rwlocks();
    rest();
    processes();
    return 0;
}
