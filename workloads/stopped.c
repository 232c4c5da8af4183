// stopped [MILLISECONDS]: threads that wait for so long with a limit of time, in each way that the
// kernel takes up again after a stop, and in one that it begins anew. A child stops all of them
// after a third of that, and lets them go on at once.
//
// Right answer: lines `wait KIND FUNCTION TID NANOSECONDS`, of which none ended early: `early 0`.
#include "burn.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long long wait_ns;
static atomic_int early;
static pthread_barrier_t start;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static long long now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static struct timespec span(long long ns)
{
    return (struct timespec){ns / 1000000000LL, ns % 1000000000LL};
}

OWN_NAME static void be_asleep(void)
{
    struct timespec rest = span(wait_ns);
    while (nanosleep(&rest, &rest) && errno == EINTR)
        continue;
}

OWN_NAME static void await_file(void)
{
    int ends[2];
    if (pipe(ends))
        return;
    struct pollfd file = {.fd = ends[0], .events = POLLIN};
    (void)poll(&file, 1, (int)(wait_ns / 1000000));
}

OWN_NAME static void await_news(void)
{
    struct timespec until = span(clock_ns(CLOCK_REALTIME) + wait_ns);
    pthread_mutex_lock(&held);
    while (pthread_cond_timedwait(&never, &held, &until) == 0)
        continue;
    pthread_mutex_unlock(&held);
}

// By what is left of the time, not until a moment: only that is taken up again.
OWN_NAME static void await_word(void)
{
    static int word;
    struct timespec rest = span(wait_ns);
    (void)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &rest, NULL, 0);
}

static const struct waiter {
    const char *kind, *function;
    void (*wait)(void);
} waiters[] = {
    {"sleep", "be_asleep", be_asleep},
    {"poll", "await_file", await_file},
    {"condition", "await_news", await_news},
    {"futex", "await_word", await_word},
};

enum { WAITERS = sizeof waiters / sizeof waiters[0] };

static void *run(void *given)
{
    const struct waiter *waiter = given;
    pthread_barrier_wait(&start);
    long long before = now_ns();
    waiter->wait();
    long long waited = now_ns() - before;
    early += waited < wait_ns - 2 * MS;
    printf("wait %s %s %ld %lld\n", waiter->kind, waiter->function, syscall(SYS_gettid), waited);
    return NULL;
}

static void rest(long long ns)
{
    struct timespec left = span(ns);
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
}

int main(int argc, char **argv)
{
    pthread_t threads[WAITERS];
    wait_ns = argument(argc, argv, 1, 900) * MS;
    pthread_barrier_init(&start, NULL, WAITERS + 1);
    for (int i = 0; i < WAITERS; i++)
        pthread_create(&threads[i], NULL, run, (void *)&waiters[i]);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        rest(wait_ns / 3);
        kill(parent, SIGSTOP);
        rest(10 * MS);
        kill(parent, SIGCONT);
        _exit(0);
    }
    pthread_barrier_wait(&start);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    printf("early %d\n", early);
    return 0;
}
