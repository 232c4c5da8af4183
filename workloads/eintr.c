// eintr KIND [NUMBER]: NUMBER short waits, each after some work, so that a profiler's signal is
// always about to come; KIND is poll, nanosleep, epoll, read, select, futex or sigsuspend.
//
// Right answer: `interrupted 0` and `waited NUMBER`: nobody but the program itself ends its waits.
// For sigsuspend, which only a signal can end: each end was the program's own signal.
#include "burn.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ends[2];
static long number;
static volatile sig_atomic_t rung;

static void *feed(void *unused)
{
    (void)unused;
    for (long i = 0; i < number; i++) {
        struct timespec pause = {0, 100000};
        nanosleep(&pause, NULL);
        if (write(ends[1], "x", 1) != 1)
            break;
    }
    return NULL;
}

static void ring(int signal)
{
    (void)signal;
    rung = 1;
}

static int wait_poll(void)
{
    struct pollfd none = {.fd = ends[0], .events = POLLIN};
    struct timespec time = {0, 50000};
    return ppoll(&none, 1, &time, NULL);
}

static int wait_nanosleep(void)
{
    struct timespec time = {0, 50000};
    return nanosleep(&time, NULL);
}

static int wait_epoll(void)
{
    static int fd = -1;
    struct epoll_event event;
    if (fd < 0)
        fd = epoll_create1(0);
    return epoll_wait(fd, &event, 1, 1);
}

static int wait_read(void)
{
    char byte;
    return (int)read(ends[0], &byte, 1);
}

static int wait_select(void)
{
    struct timeval time = {0, 50};
    return select(0, NULL, NULL, NULL, &time);
}

static int wait_futex(void)
{
    static uint32_t word;
    struct timespec time = {0, 50000};
    return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
}

// The alarm comes while SIGALRM is blocked or inside the wait; when neither, the wait lied.
static int wait_sigsuspend(void)
{
    struct itimerspec once = {.it_value = {0, 60000}};
    static timer_t timer;
    static sigset_t open;
    static int ready;
    if (!ready) {
        struct sigaction action = {.sa_handler = ring};
        sigset_t blocked;
        sigaction(SIGALRM, &action, NULL);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGALRM);
        sigprocmask(SIG_BLOCK, &blocked, &open);
        timer_create(CLOCK_MONOTONIC, NULL, &timer);
        ready = 1;
    }
    rung = 0;
    timer_settime(timer, 0, &once, NULL);
    sigsuspend(&open);
    errno = rung ? 0 : EINTR;
    return rung ? 0 : -1;
}

static const struct {
    const char *name;
    int (*wait)(void);
} kinds[] = {
    {"poll", wait_poll},
    {"nanosleep", wait_nanosleep},
    {"epoll", wait_epoll},
    {"read", wait_read},
    {"select", wait_select},
    {"futex", wait_futex},
    {"sigsuspend", wait_sigsuspend},
};

int main(int argc, char **argv)
{
    number = (long)argument(argc, argv, 2, 2000);
    int (*wait)(void) = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (argc > 1 && !strcmp(argv[1], kinds[i].name))
            wait = kinds[i].wait;
    if (!wait || pipe(ends))
        return misused("eintr poll|nanosleep|epoll|read|select|futex|sigsuspend [NUMBER]");

    pthread_t feeder;
    bool fed = wait == wait_read;
    if (fed && pthread_create(&feeder, NULL, feed, NULL))
        return 1;
    long interrupted = 0, waited = 0;
    for (; waited < number; waited++) {
        spin(SPIN_SLICE / 4);
        errno = 0;
        interrupted += wait() < 0 && errno == EINTR;
    }
    if (fed)
        pthread_join(feeder, NULL);
    printf("interrupted %ld\nwaited %ld\n", interrupted, waited);
    return interrupted != 0;
}
