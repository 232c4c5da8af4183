// Locks as few programs use them, each a way to break who looks on. Prints a line for each that
// went as it must.
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void nap_ms(long ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
        ;
}

static pthread_t start(void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, routine, argument))
        exit(9);
    return thread;
}

static void must(int is_so, const char *what)
{
    if (!is_so) {
        printf("WRONG %s\n", what);
        exit(1);
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static atomic_int stage, stop;

static void *lock_once(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

// --- fork: a child of a process whose threads hold and want locks --------------------------------

static void *hold_a_while(void *unused)
{
    pthread_mutex_lock(&mutex);
    stage = 1;
    nap_ms(200);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static int child_of_fork(void)
{
    // The forking thread has `other`; nobody in the child waits for it.
    pthread_mutex_unlock(&other);
    pthread_t threads[2];
    pthread_mutex_lock(&other);
    for (int i = 0; i < 2; i++)
        threads[i] = start(lock_once, &other);
    nap_ms(30);
    pthread_mutex_unlock(&other);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

static void forks(void)
{
    pthread_t holder = start(hold_a_while, NULL);
    while (!stage)
        ;
    pthread_t waiter = start(lock_once, &mutex);
    pthread_mutex_lock(&other);
    pthread_t wants_other = start(lock_once, &other);
    nap_ms(50);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(child_of_fork());
    int status;
    waitpid(child, &status, 0);
    must(status == 0, "the forked child");
    pthread_mutex_unlock(&other);
    pthread_join(wants_other, NULL);
    pthread_join(holder, NULL);
    pthread_join(waiter, NULL);
    puts("fork");
}

// --- a mutex that another thread unlocks ---------------------------------------------------------

static void *unlock_it(void *lock)
{
    nap_ms(20);
    pthread_mutex_unlock(lock);
    return NULL;
}

static void others(void)
{
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&mutex);
        pthread_t unlocker = start(unlock_it, &mutex);
        pthread_mutex_lock(&mutex); // waits for that
        pthread_join(unlocker, NULL);
        pthread_mutex_unlock(&mutex);
    }
    puts("unlocked by another");
}

// --- memory that is gone as soon as the lock is released -----------------------------------------

struct last {
    pthread_mutex_t lock;
    int users;
};

static void *use_last(void *page)
{
    struct last *last = page;
    pthread_mutex_lock(&last->lock);
    int left = --last->users;
    pthread_mutex_unlock(&last->lock);
    if (left == 0)
        munmap(page, 4096);
    return NULL;
}

static void gone(void)
{
    for (int i = 0; i < 200; i++) {
        struct last *last =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_mutex_init(&last->lock, NULL);
        last->users = 3;
        pthread_t threads[3];
        for (int j = 0; j < 3; j++)
            threads[j] = start(use_last, last);
        for (int j = 0; j < 3; j++)
            pthread_join(threads[j], NULL);
    }
    puts("unmapped after unlock");
}

// --- handlers that lock --------------------------------------------------------------------------

static pthread_mutex_t of_handler = PTHREAD_MUTEX_INITIALIZER;
static atomic_long handled;

static void on_alarm(int signal)
{
    (void)signal;
    int saved = errno;
    // Not in every handler, for who is interrupted may have it: then it is left alone.
    if (pthread_mutex_trylock(&of_handler) == 0) {
        pthread_mutex_unlock(&of_handler);
        pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&own);
        pthread_mutex_unlock(&own);
        sem_post(&semaphore);
    }
    handled++;
    errno = saved;
}

static void *contend(void *unused)
{
    while (!stop) {
        pthread_mutex_lock(&mutex);
        spin(100);
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static void handlers(void)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[3];
    stop = 0;
    for (int i = 0; i < 3; i++)
        threads[i] = start(contend, NULL);
    for (int i = 0; i < 3000; i++) {
        pthread_kill(threads[i % 3], SIGUSR1);
        spin(2000);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    must(handled > 0, "handlers ran");
    puts("handlers");
}

// --- cancelled while waiting ---------------------------------------------------------------------

static atomic_int cleaned;

static void clean(void *lock)
{
    if (lock)
        pthread_mutex_unlock(lock); // the wait has taken it again
    cleaned++;
}

static void *wait_for_ever(void *unused)
{
    pthread_mutex_lock(&other);
    pthread_cleanup_push(clean, &other);
    for (;;)
        pthread_cond_wait(&condition, &other);
    pthread_cleanup_pop(0);
    return unused;
}

static void *want_for_ever(void *unused)
{
    pthread_cleanup_push(clean, NULL);
    for (;;)
        while (sem_wait(&semaphore))
            ;
    pthread_cleanup_pop(0);
    return unused;
}

// Which never waits: it is there to be had. But it is a place where threads are cancelled.
static sem_t plenty;
static void *never_waits(void *unused)
{
    for (;;) {
        sem_wait(&plenty);
        sem_post(&plenty);
    }
    return unused;
}

static void *lock_asynchronously(void *unused)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void *join_it(void *thread)
{
    pthread_join(*(pthread_t *)thread, NULL);
    return NULL;
}

static void cancelled(void)
{
    while (sem_trywait(&semaphore) == 0)
        ;
    sem_init(&plenty, 0, 1);
    pthread_mutex_lock(&mutex);
    pthread_t threads[] = {start(wait_for_ever, NULL), start(want_for_ever, NULL),
                           start(never_waits, NULL), start(lock_asynchronously, NULL)};
    pthread_t joiner = start(join_it, &threads[0]);
    nap_ms(50);
    pthread_cancel(joiner);
    pthread_join(joiner, NULL);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_cancel(threads[i]);
        pthread_join(threads[i], &result);
        must(result == PTHREAD_CANCELED, "a thread was cancelled");
    }
    must(cleaned == 2, "what was to be done then");
    // The mutexes are as they should be.
    pthread_mutex_unlock(&mutex);
    lock_once(&mutex);
    lock_once(&other);
    puts("cancelled");
}

// --- a handler that jumps out of a wait ----------------------------------------------------------

static __thread sigjmp_buf out;

static void on_jump(int signal)
{
    (void)signal;
    siglongjmp(out, 1);
}

static atomic_int tid;

static void *jumps(void *unused)
{
    for (volatile int i = 0; i < 10; i++)
        if (sigsetjmp(out, 1) == 0) {
            tid = (int)syscall(SYS_gettid);
            stage++;
            pthread_mutex_lock(&mutex);
            must(0, "nobody gives it");
        }
    pthread_mutex_lock(&other); // waits again, for something else
    pthread_mutex_unlock(&other);
    return unused;
}

OWN_NAME static void lock_after_jumps(void)
{
    for (int i = 0; i < 1000; i++)
        lock_once(&mutex);
}

static void jumped(void)
{
    struct sigaction action = {.sa_handler = on_jump};
    sigaction(SIGUSR2, &action, NULL);
    stage = 0;
    pthread_mutex_lock(&other);
    pthread_mutex_lock(&mutex);
    pthread_t thread = start(jumps, NULL);
    for (int i = 1; i <= 10; i++) {
        while (stage < i)
            ;
        nap_ms(10);
        pthread_kill(thread, SIGUSR2);
    }
    nap_ms(50);
    pthread_mutex_unlock(&mutex);
    // Who jumped does not wait any more: this is no release that anybody waited for.
    lock_after_jumps();
    pthread_mutex_unlock(&other);
    pthread_join(thread, NULL);
    puts("jumped");
}

// --- threads that end with what they hold, and many of them --------------------------------------

static void *end_holding(void *unused)
{
    pthread_mutex_lock(&mutex);
    if (stage++ == 0)
        pthread_exit(NULL);
    return unused;
}

static void ends(void)
{
    stage = 0;
    pthread_t thread = start(end_holding, NULL);
    pthread_join(thread, NULL);
    must(pthread_mutex_trylock(&mutex) == EBUSY, "it is held by nobody");
    pthread_mutex_unlock(&mutex);
    static pthread_t many[300];
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 300; i++)
        many[i] = start(lock_once, &mutex);
    nap_ms(50);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 300; i++)
        pthread_join(many[i], NULL);
    puts("ends");
}

// --- many locks at once, more than fit in a table ------------------------------------------------

enum { LOCKS = 20000 };
static pthread_mutex_t locks[LOCKS];

static void *take_all(void *unused)
{
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_lock(&locks[i]);
        locks[i].__data.__nusers += 0;
        pthread_mutex_unlock(&locks[i]);
    }
    return unused;
}

static void many(void)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&locks[i], NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = start(take_all, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    puts("many");
}

int main(void)
{
    sem_init(&semaphore, 0, 0);
    forks();
    others();
    gone();
    handlers();
    cancelled();
    jumped();
    ends();
    many();
    return 0;
}
