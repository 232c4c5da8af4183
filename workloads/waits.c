// waits [MILLISECONDS [THREADS]]: threads that wait in every way for so long, and one that works.
// With THREADS: so many more that do nothing at all, and nothing else but main's sleep.
//
// Right answer: lines `wait STATE FUNCTION TID NANOSECONDS LIFETIME`: what a thread waited in
// FUNCTION, by its own clock, and how long it lived. A clock around a call also counts what passes
// until the thread has a CPU again. No call ends before its time: `early N` is 0, and so is
// `interrupted N`, how many of them a signal ended.
//
// `naps` does two things in turn, nap_short and nap_long, each far shorter than what passes between
// two looks at 100 Hz: their shares are right by chance only, in the long run.
#include "burn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long long wait_ns;
static atomic_int early, interrupted;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, idle = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t start;
static int empty_pipe[2], end_pipe[2], end_sockets[2], end_event;
static const char *lock_file;

static long long now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static struct timespec span(long long ns)
{
    return (struct timespec){ns / 1000000000LL, ns % 1000000000LL};
}

static void check(long long waited_ns, long long asked_ns, int error)
{
    if (error == EINTR)
        interrupted++;
    else if (waited_ns < asked_ns)
        early++;
}

static void tell(const char *state, const char *function, long long ns, long long life_ns)
{
    printf("wait %s %s %ld %lld %lld\n", state, function, syscall(SYS_gettid), ns, life_ns);
}

// A thread that waits once, in a function of its own.
#define WAITER(state, function, asked, ...)                                                        \
    OWN_NAME static int in_##function(void)                                                        \
    {                                                                                              \
        errno = 0;                                                                                 \
        __VA_ARGS__;                                                                               \
        return errno;                                                                              \
    }                                                                                              \
    static void *function(void *unused)                                                            \
    {                                                                                              \
        long long born = now_ns();                                                                 \
        pthread_barrier_wait(&start);                                                              \
        long long before = now_ns();                                                               \
        int error = in_##function();                                                               \
        long long after = now_ns();                                                                \
        check(after - before, (asked), error);                                                     \
        tell(state, "in_" #function, after - before, now_ns() - born);                             \
        return unused;                                                                             \
    }

#define ASKED (wait_ns - 20 * MS) // those that main ends may begin a little late

static void on_signal(int number)
{
    (void)number;
}

WAITER("sleep", sleeper, wait_ns, struct timespec t = span(wait_ns); nanosleep(&t, NULL))
WAITER("sleep", late_riser, wait_ns, struct timespec t = span(now_ns() + wait_ns);
       errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
WAITER("lock", locker, ASKED, pthread_mutex_lock(&held); pthread_mutex_unlock(&held))
WAITER("lock", conditional, wait_ns, struct timespec t; clock_gettime(CLOCK_REALTIME, &t);
       t = span(t.tv_sec * 1000000000LL + t.tv_nsec + wait_ns); pthread_mutex_lock(&idle);
       (void)pthread_cond_timedwait(&never, &idle, &t); pthread_mutex_unlock(&idle))
WAITER("poll", poller, wait_ns, struct pollfd p = {empty_pipe[0], POLLIN, 0};
       poll(&p, 1, (int)(wait_ns / MS)))
WAITER("poll", selector, wait_ns, fd_set s; FD_ZERO(&s); FD_SET(empty_pipe[0], &s);
       struct timeval t = {wait_ns / 1000000000LL, wait_ns % 1000000000LL / 1000};
       select(empty_pipe[0] + 1, &s, NULL, NULL, &t))
WAITER("poll", epoller, wait_ns, int fd = epoll_create1(0); struct epoll_event e = {0};
       epoll_ctl(fd, EPOLL_CTL_ADD, empty_pipe[0], &e); epoll_wait(fd, &e, 1, (int)(wait_ns / MS)))
WAITER("pipe", reader, ASKED, char c; (void)!read(end_pipe[0], &c, 1))
WAITER("socket", receiver, ASKED, char c; (void)!recv(end_sockets[0], &c, 1, 0))
WAITER("io", eventful, ASKED, uint64_t n; (void)!read(end_event, &n, sizeof n))
WAITER("signal", listener, wait_ns, sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2);
       struct timespec t = span(wait_ns);
       if (sigtimedwait(&set, NULL, &t) < 0 && errno == EAGAIN) errno = 0)
WAITER("signal", suspended, ASKED, sigset_t set; pthread_sigmask(SIG_SETMASK, NULL, &set);
       sigdelset(&set, SIGUSR1); sigsuspend(&set); errno = 0)
WAITER(
    "child", parent, wait_ns, pid_t child = fork(); if (!child) {
        struct timespec t = span(wait_ns);
        nanosleep(&t, NULL);
        _exit(0);
    } waitpid(child, NULL, 0))
WAITER("lock", latecomer, ASKED, int fd = open(lock_file, O_RDONLY); flock(fd, LOCK_EX); close(fd))

static void *worker(void *unused)
{
    long long born = now_ns();
    pthread_barrier_wait(&start);
    long long before = thread_cpu_ns();
    burn_ns(wait_ns / 2);
    tell("on-cpu", "worker", thread_cpu_ns() - before, now_ns() - born);
    return unused;
}

static void nap(long long ns)
{
    struct timespec t = span(ns);
    long long before = now_ns();
    int r = nanosleep(&t, NULL);
    check(now_ns() - before, ns, r ? errno : 0);
}

OWN_NAME static long long nap_short(void)
{
    long long before = now_ns();
    nap(1 * MS);
    return now_ns() - before;
}

OWN_NAME static long long nap_long(void)
{
    long long before = now_ns();
    nap(4 * MS);
    return now_ns() - before;
}

static void *naps(void *unused)
{
    long long born = now_ns(), short_ns = 0, long_ns = 0;
    pthread_barrier_wait(&start);
    for (long long end = now_ns() + wait_ns; now_ns() < end;) {
        short_ns += nap_short();
        long_ns += nap_long();
    }
    tell("sleep", "nap_short", short_ns, now_ns() - born);
    tell("sleep", "nap_long", long_ns, now_ns() - born);
    return unused;
}

static void *nothing(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static int many(long threads)
{
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, nothing, NULL)) {
            fprintf(stderr, "waits: cannot start thread %ld\n", i);
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    nap(wait_ns);
    printf("early %d\ninterrupted %d\ncpu %lld\n", early, interrupted,
           clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    wait_ns = argument(argc, argv, 1, 1000) * MS;
    if (argc > 2)
        return many((long)argument(argc, argv, 2, 0));
    static void *(*const threads[])(void *) = {
        sleeper,  late_riser, locker,   conditional, poller, selector,  epoller, reader,
        receiver, eventful,   listener, suspended,   parent, latecomer, worker,  naps,
    };
    enum { THREADS = sizeof threads / sizeof threads[0], SUSPENDED = 11 };
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGUSR1, on_signal);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    lock_file = argv[0];
    int lock = open(lock_file, O_RDONLY);
    end_event = eventfd(0, 0);
    if (pipe(empty_pipe) || pipe(end_pipe) || lock < 0 || flock(lock, LOCK_EX) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, end_sockets) || end_event < 0)
        return 1;
    pthread_mutex_lock(&held);
    pthread_barrier_init(&start, NULL, THREADS + 1);
    pthread_t handles[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&handles[i], NULL, threads[i], NULL))
            return 1;
    pthread_barrier_wait(&start);
    nap(wait_ns);
    pthread_mutex_unlock(&held);
    flock(lock, LOCK_UN);
    uint64_t one = 1;
    (void)!write(end_pipe[1], "x", 1);
    (void)!write(end_sockets[1], "x", 1);
    (void)!write(end_event, &one, sizeof one);
    pthread_kill(handles[SUSPENDED], SIGUSR1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(handles[i], NULL);
    printf("early %d\ninterrupted %d\n", early, interrupted);
    return 0;
}
