// stuck MODE [N]: threads that wait for ever, and some that only seem to.
//
// Prints `ready` when all its threads are on their way to where they wait. Right answers:
//
//     ring N        N threads in a ring: thread i holds ring_locks[i] and wants the next one, in
//                   want_next(); main joins the first. They are called as STUCK_NAME says, if it
//                   does
//     headless N    as ring, but main has ended by pthread_exit()
//     self          main locks own_lock twice, in lock_again()
//     rwlocks       two threads, each has written one of roads and wants to read or write the other
//     upgrade       main reads a road and wants to write it, in want_to_write(); another one lives
//     lost          a thread waits in await_news() for news, which nobody brings; main joins it
//     semaphore     the same of a semaphore, in await_token(); main waits for another one
//     joins         two threads that join each other, in join_other()
//     abandoned     a thread ends and keeps left_lock; another one wants it, in want_left(); main
//                   sleeps
//     forked        the child wants held_lock, which a thread of the parent holds; `child PID`
//
// And nobody is stuck here:
//
//     limited       the ring of two, but with a limit of time
//     handler       main waits for a semaphore that a handler of SIGUSR1 posts
//     robust        as abandoned, of a robust mutex: its next owner gets it
//     shared        two processes wait for each other's semaphores, in shared memory
//     external      a thread waits for a condition variable, main in accept() and another in epoll
//     pool N        N threads take tasks from a queue, under locks always in the same order
//     bursts N      N threads at a time wait for news, are told, and end one after the other
//     order         two threads take first and second in both orders, one after the other
//     leavers       as order, after 1500 threads that each take a lock in a destructor of a key
//     homemade      a thread waits for a mutex of the program's own, called as the C library's and
//                   not like it, whose holder sleeps
//     guarded       the same under an outer lock, so that it can never go wrong
//     trying        the same, but one of them only asks for its second lock
//     reading       both orders of two read-write locks, for reading
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OWN_NAME __attribute__((noinline, noclone))
#define STAY __asm__ volatile("" ::: "memory")

enum { RING_MAX = 64 };

pthread_mutex_t ring_locks[RING_MAX];
pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t news_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t news = PTHREAD_COND_INITIALIZER;
pthread_rwlock_t roads[2];
sem_t token, other_token;
static pthread_t threads[RING_MAX];
static pthread_barrier_t all_hold;
static int ring_size;
static bool limited;

static void ready(void)
{
    printf("ready\n");
    (void)fflush(stdout);
}

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void start(void *(*routine)(void *), long number, pthread_t *ret)
{
    if (pthread_create(ret, NULL, routine, (void *)number)) // NOLINT(performance-no-int-to-ptr)
        abort();
}

static int rest(void)
{
    for (;;)
        if (pause() != -1)
            return 0;
}

static int lock_limited(pthread_mutex_t *mutex)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 600;
    return pthread_mutex_timedlock(mutex, &until);
}

// --- stuck ---------------------------------------------------------------------------------------

OWN_NAME static void want_next(long i)
{
    pthread_mutex_t *next = &ring_locks[(i + 1) % ring_size];
    if (limited)
        (void)lock_limited(next);
    else
        (void)pthread_mutex_lock(next);
    STAY;
}

OWN_NAME static void *sit_in_ring(void *number)
{
    long i = (long)number;
    const char *name = getenv("STUCK_NAME");
    if (name)
        (void)prctl(PR_SET_NAME, name);
    (void)pthread_mutex_lock(&ring_locks[i]);
    (void)pthread_barrier_wait(&all_hold);
    want_next(i);
    STAY;
    return NULL;
}

static int run_ring(int size, bool headless)
{
    ring_size = size;
    (void)pthread_barrier_init(&all_hold, NULL, (unsigned)size + 1);
    for (int i = 0; i < size; i++)
        (void)pthread_mutex_init(&ring_locks[i], NULL);
    for (int i = 0; i < size; i++)
        start(sit_in_ring, i, &threads[i]);
    (void)pthread_barrier_wait(&all_hold);
    ready();
    if (headless)
        pthread_exit(NULL);
    return pthread_join(threads[0], NULL);
}

OWN_NAME static void lock_again(void)
{
    (void)pthread_mutex_lock(&own_lock);
    STAY;
}

static int run_self(void)
{
    (void)pthread_mutex_lock(&own_lock);
    ready();
    lock_again();
    return 0;
}

OWN_NAME static void want_road(long i)
{
    if (i)
        (void)pthread_rwlock_rdlock(&roads[0]);
    else
        (void)pthread_rwlock_wrlock(&roads[1]);
    STAY;
}

OWN_NAME static void *block_road(void *number)
{
    long i = (long)number;
    (void)pthread_rwlock_wrlock(&roads[i]);
    (void)pthread_barrier_wait(&all_hold);
    want_road(i);
    STAY;
    return NULL;
}

static int run_rwlocks(void)
{
    (void)pthread_barrier_init(&all_hold, NULL, 3);
    for (int i = 0; i < 2; i++) {
        (void)pthread_rwlock_init(&roads[i], NULL);
        start(block_road, i, &threads[i]);
    }
    (void)pthread_barrier_wait(&all_hold);
    ready();
    return rest();
}

OWN_NAME static void *await_news(void *unused)
{
    (void)pthread_mutex_lock(&news_lock);
    for (;;)
        (void)pthread_cond_wait(&news, &news_lock);
    return unused;
}

static int run_lost(void)
{
    start(await_news, 0, &threads[0]);
    ready();
    return pthread_join(threads[0], NULL);
}

OWN_NAME static void *await_token(void *semaphore)
{
    while (sem_wait(semaphore))
        STAY;
    STAY;
    return NULL;
}

static int run_semaphore(void)
{
    (void)sem_init(&token, 0, 0);
    (void)sem_init(&other_token, 0, 0);
    if (pthread_create(&threads[0], NULL, await_token, &token))
        return 1;
    ready();
    (void)await_token(&other_token);
    return 0;
}

OWN_NAME static void *join_other(void *number)
{
    long i = (long)number;
    (void)pthread_barrier_wait(&all_hold);
    (void)pthread_join(threads[1 - i], NULL);
    STAY;
    return NULL;
}

static int run_joins(void)
{
    (void)pthread_barrier_init(&all_hold, NULL, 3);
    for (long i = 0; i < 2; i++)
        start(join_other, i, &threads[i]);
    (void)pthread_barrier_wait(&all_hold);
    ready();
    return rest();
}

OWN_NAME static void *leave_locked(void *unused)
{
    (void)pthread_mutex_lock(&left_lock);
    return unused;
}

OWN_NAME static void *want_left(void *unused)
{
    if (pthread_mutex_lock(&left_lock) == EOWNERDEAD)
        (void)pthread_mutex_consistent(&left_lock);
    STAY;
    return unused;
}

static int run_abandoned(bool robust)
{
    if (robust) {
        pthread_mutexattr_t how;
        (void)pthread_mutexattr_init(&how);
        (void)pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
        (void)pthread_mutex_init(&left_lock, &how);
    }
    start(leave_locked, 0, &threads[0]);
    (void)pthread_join(threads[0], NULL);
    start(want_left, 0, &threads[1]);
    ready();
    return rest();
}

// A mutex that is a word and what its makers like to know of it.
struct homemade {
    atomic_int word;
    int rank, uses, waiters, flags;
};
static struct homemade homemade;

OWN_NAME static void mtx_lock_(struct homemade *mutex) __asm__("mtx_lock");
OWN_NAME static void mtx_lock_(struct homemade *mutex)
{
    enum { WAIT_PRIVATE = 128 };
    while (atomic_exchange(&mutex->word, 2))
        (void)syscall(SYS_futex, &mutex->word, WAIT_PRIVATE, 2, NULL, NULL, 0);
    mutex->uses++;
}

OWN_NAME static void *want_homemade(void *unused)
{
    mtx_lock_(&homemade);
    STAY;
    return unused;
}

static int run_homemade(void)
{
    for (int i = 0; i < 7; i++) {
        mtx_lock_(&homemade);
        homemade.word = i == 6 ? 2 : 0;
    }
    start(want_homemade, 0, &threads[0]);
    ready();
    return rest();
}

OWN_NAME static void *hold_for_ever(void *unused)
{
    (void)pthread_mutex_lock(&held_lock);
    (void)pthread_barrier_wait(&all_hold);
    for (;;)
        (void)pause();
    return unused;
}

OWN_NAME static void want_held(void)
{
    (void)pthread_mutex_lock(&held_lock);
    STAY;
}

static int run_forked(void)
{
    (void)pthread_barrier_init(&all_hold, NULL, 2);
    start(hold_for_ever, 0, &threads[0]);
    (void)pthread_barrier_wait(&all_hold);
    pid_t child = fork();
    if (child == 0) {
        want_held();
        _exit(0);
    }
    printf("child %d\n", child);
    ready();
    return rest();
}

OWN_NAME static void want_to_write(void)
{
    (void)pthread_rwlock_wrlock(&roads[0]);
    STAY;
}

// Another thread lives, so that nothing can be said of all of them.
OWN_NAME static void *live(void *unused)
{
    (void)rest();
    return unused;
}

static int run_upgrade(void)
{
    (void)pthread_rwlock_init(&roads[0], NULL);
    start(live, 0, &threads[0]);
    (void)pthread_rwlock_rdlock(&roads[0]);
    ready();
    want_to_write();
    return 0;
}

// --- not stuck -----------------------------------------------------------------------------------

static void post_token(int signal)
{
    (void)signal;
    (void)sem_post(&token);
}

static int run_handler(void)
{
    (void)sem_init(&token, 0, 0);
    (void)signal(SIGUSR1, post_token);
    start(await_news, 0, &threads[0]);
    ready();
    (void)await_token(&token);
    printf("woken\n");
    return 0;
}

static int run_shared(void)
{
    sem_t *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED)
        return 1;
    (void)sem_init(&both[0], 1, 0);
    (void)sem_init(&both[1], 1, 0);
    pid_t child = fork();
    if (child == 0) {
        (void)await_token(&both[0]);
        _exit(0);
    }
    printf("child %d\n", child);
    ready();
    (void)await_token(&both[1]);
    return 0;
}

OWN_NAME static void *serve(void *unused)
{
    struct epoll_event event;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    while (epoll_wait(fd, &event, 1, -1) <= 0)
        STAY;
    return unused;
}

static int run_external(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr address = {.sa_family = AF_UNIX};
    (void)bind(fd, &address, sizeof address.sa_family); // a name of the kernel's choice
    (void)listen(fd, 1);
    start(serve, 0, &threads[0]);
    start(await_news, 0, &threads[1]);
    ready();
    (void)accept(fd, NULL, NULL);
    return 0;
}

// A pool: a queue with its lock and condition, and accounts whose locks are taken by their number.
static atomic_long done;
static long queued;
static atomic_bool over;

static void transfer(unsigned from, unsigned to)
{
    unsigned low = from < to ? from : to, high = from < to ? to : from;
    (void)pthread_mutex_lock(&ring_locks[low]);
    if (high != low)
        (void)pthread_mutex_lock(&ring_locks[high]);
    for (volatile int i = 0; i < 2000; i++)
        continue;
    if (high != low)
        (void)pthread_mutex_unlock(&ring_locks[high]);
    (void)pthread_mutex_unlock(&ring_locks[low]);
    done++;
}

OWN_NAME static void *work(void *number)
{
    unsigned random = (unsigned)(long)number * 7919 + 1;
    for (;;) {
        (void)pthread_mutex_lock(&news_lock);
        while (!queued && !over)
            (void)pthread_cond_wait(&news, &news_lock);
        if (!queued) {
            (void)pthread_mutex_unlock(&news_lock);
            return NULL;
        }
        queued--;
        (void)pthread_mutex_unlock(&news_lock);
        random = random * 1103515245 + 12345;
        transfer(random >> 8 & 7, random >> 16 & 7);
    }
}

static int run_pool(int size)
{
    const char *limit = getenv("STUCK_SECONDS");
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end = now.tv_sec + (limit ? strtol(limit, NULL, 10) : 5);
    for (int i = 0; i < 8; i++)
        (void)pthread_mutex_init(&ring_locks[i], NULL);
    for (int i = 0; i < size; i++)
        start(work, i, &threads[i]);
    ready();
    for (long turn = 0; now.tv_sec < end; turn++) {
        (void)pthread_mutex_lock(&news_lock);
        queued += 50;
        (void)pthread_mutex_unlock(&news_lock);
        (void)pthread_cond_broadcast(&news);
        if (turn % 16 == 0)
            sleep_ms(2);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        while (queued > 5000)
            sleep_ms(1);
    }
    (void)pthread_mutex_lock(&news_lock);
    over = true;
    (void)pthread_mutex_unlock(&news_lock);
    (void)pthread_cond_broadcast(&news);
    for (int i = 0; i < size; i++)
        (void)pthread_join(threads[i], NULL);
    printf("done %ld\n", (long)done);
    return 0;
}

static void *hear_news(void *unused)
{
    (void)pthread_mutex_lock(&news_lock);
    while (!over)
        (void)pthread_cond_wait(&news, &news_lock);
    for (int i = 0; i < 20000; i++)
        STAY;
    (void)pthread_mutex_unlock(&news_lock);
    return unused;
}

static _Noreturn void run_bursts(int size)
{
    ready();
    for (;;) {
        over = false;
        for (int i = 0; i < size; i++)
            start(hear_news, i, &threads[i]);
        (void)pthread_mutex_lock(&news_lock);
        over = true;
        (void)pthread_cond_broadcast(&news);
        (void)pthread_mutex_unlock(&news_lock);
        for (int i = 0; i < size; i++)
            (void)pthread_join(threads[i], NULL);
    }
}

// --- orders --------------------------------------------------------------------------------------

pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t second = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER;

OWN_NAME static void lock_mutex(pthread_mutex_t *mutex)
{
    (void)pthread_mutex_lock(mutex);
    STAY;
}

OWN_NAME static void first_then_second(bool guard)
{
    if (guard)
        lock_mutex(&outer);
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_unlock(&second);
    (void)pthread_mutex_unlock(&first);
    if (guard)
        (void)pthread_mutex_unlock(&outer);
}

OWN_NAME static void second_then_first(bool guard)
{
    if (guard)
        lock_mutex(&outer);
    (void)pthread_mutex_lock(&second);
    (void)pthread_mutex_lock(&first);
    (void)pthread_mutex_unlock(&first);
    (void)pthread_mutex_unlock(&second);
    if (guard)
        (void)pthread_mutex_unlock(&outer);
}

// It asks, and lets go when the other is taken: that cannot go wrong.
OWN_NAME static void second_then_try_first(void)
{
    (void)pthread_mutex_lock(&second);
    if (pthread_mutex_trylock(&first) == 0)
        (void)pthread_mutex_unlock(&first);
    (void)pthread_mutex_unlock(&second);
}

// 0: in both orders; 1: under the outer lock; 2: one of them only asks; 3: readers in both orders
static void *one_way(void *how)
{
    for (int i = 0; i < 3; i++) {
        if ((long)how == 3) {
            (void)pthread_rwlock_rdlock(&roads[0]);
            (void)pthread_rwlock_rdlock(&roads[1]);
            (void)pthread_rwlock_unlock(&roads[1]);
            (void)pthread_rwlock_unlock(&roads[0]);
        } else {
            first_then_second((long)how == 1);
        }
    }
    return NULL;
}

static void *other_way(void *how)
{
    for (int i = 0; i < 3; i++) {
        if ((long)how == 3) {
            (void)pthread_rwlock_rdlock(&roads[1]);
            (void)pthread_rwlock_rdlock(&roads[0]);
            (void)pthread_rwlock_unlock(&roads[0]);
            (void)pthread_rwlock_unlock(&roads[1]);
        } else if ((long)how == 2) {
            second_then_try_first();
        } else {
            second_then_first((long)how == 1);
        }
    }
    return NULL;
}

static int run_order(long how)
{
    (void)pthread_rwlock_init(&roads[0], NULL);
    (void)pthread_rwlock_init(&roads[1], NULL);
    start(one_way, how, &threads[0]);
    (void)pthread_join(threads[0], NULL);
    start(other_way, how, &threads[1]);
    (void)pthread_join(threads[1], NULL);
    printf("done\n");
    return 0;
}

static pthread_key_t key;

static void on_end(void *unused)
{
    (void)unused;
    lock_mutex(&outer);
    (void)pthread_mutex_unlock(&outer);
}

static void *set_key(void *unused)
{
    (void)pthread_setspecific(key, &key);
    return unused;
}

static void *end_at_once(void *unused)
{
    return unused;
}

static int run_leavers(void)
{
    enum { LEAVERS = 1500 };
    start(end_at_once, 0, &threads[0]); // keys of others come first
    (void)pthread_join(threads[0], NULL);
    (void)pthread_key_create(&key, on_end);
    for (int i = 0; i < LEAVERS; i++) {
        start(set_key, 0, &threads[0]);
        (void)pthread_join(threads[0], NULL);
    }
    return run_order(0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int number = argc > 2 ? atoi(argv[2]) : 2;
    if (number < 1 || number > RING_MAX)
        return 2;
    limited = strcmp(mode, "limited") == 0;
    bool headless = strcmp(mode, "headless") == 0;
    if (strcmp(mode, "ring") == 0 || headless || limited)
        return run_ring(number, headless);
    if (strcmp(mode, "bursts") == 0)
        run_bursts(number);
    if (strcmp(mode, "pool") == 0)
        return run_pool(number);
    if (strcmp(mode, "self") == 0)
        return run_self();
    if (strcmp(mode, "rwlocks") == 0)
        return run_rwlocks();
    if (strcmp(mode, "upgrade") == 0)
        return run_upgrade();
    if (strcmp(mode, "lost") == 0)
        return run_lost();
    if (strcmp(mode, "semaphore") == 0)
        return run_semaphore();
    if (strcmp(mode, "joins") == 0)
        return run_joins();
    if (strcmp(mode, "abandoned") == 0 || strcmp(mode, "robust") == 0)
        return run_abandoned(mode[0] == 'r');
    if (strcmp(mode, "homemade") == 0)
        return run_homemade();
    if (strcmp(mode, "leavers") == 0)
        return run_leavers();
    if (strcmp(mode, "forked") == 0)
        return run_forked();
    if (strcmp(mode, "handler") == 0)
        return run_handler();
    if (strcmp(mode, "shared") == 0)
        return run_shared();
    if (strcmp(mode, "external") == 0)
        return run_external();
    if (strcmp(mode, "order") == 0)
        return run_order(0);
    if (strcmp(mode, "guarded") == 0)
        return run_order(1);
    if (strcmp(mode, "trying") == 0)
        return run_order(2);
    if (strcmp(mode, "reading") == 0)
        return run_order(3);
    return 2;
}
