// blocks kinds [MILLISECONDS]: a thread for each thing that there is to wait for, which waits for
// it once, so long. Right answer: lines `wait KIND FUNCTION TID NANOSECONDS`, by the thread's own
// clock.
//
// blocks turns ROUNDS [pipe|condition|socket|eventfd|semaphore]: two threads give each other a
// token, back and forth; one waits while the other has it. Right answer: what the kernel says of
// each (turns.h).
//
// blocks beside MILLISECONDS [WAY]: the same for so long, and beside these two, threads that wait
// seldom: one that rests 25 ms at a time, and for each time a new one that rests 8 ms, once. Right
// answer: lines `wait sleep FUNCTION TID NANOSECONDS`, as above.
//
// blocks rests MILLISECONDS EACH [BESIDE]: two threads that hand a token back and forth, by a
// semaphore each, and now and then rest 40 ms themselves, each after EACH ms; then nobody waits for
// anything else, but two more that never rest, if BESIDE is 1. Right answer: the same, of each.
#include "turns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static long long wait_ns;

static struct timespec span(long long ns)
{
    return (struct timespec){ns / 1000000000LL, ns % 1000000000LL};
}

static void rest(long long ns)
{
    struct timespec left = span(ns);
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

// --- kinds ---------------------------------------------------------------------------------------

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, idle = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t begin, barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t semaphore;
static pthread_t sleeper;
static int semaphores, pipe_ends[2], sockets[2], event, listener, full[2], stuffed[2], queue, local,
    terminal;
static struct sockaddr_un local_name;
static socklen_t local_len;
static const char *lock_file;

static struct timespec at_wall(long long ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return span(now.tv_sec * 1000000000LL + now.tv_nsec + ns);
}

#define WAITER(kind, function, ...)                                                                \
    OWN_NAME static void in_##function(void)                                                       \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }                                                                                              \
    static void *function(void *unused)                                                            \
    {                                                                                              \
        pthread_barrier_wait(&begin);                                                              \
        long long before = now_ns();                                                               \
        in_##function();                                                                           \
        printf("wait %s in_%s %ld %lld\n", kind, #function, tid(), now_ns() - before);             \
        return unused;                                                                             \
    }

static void initialise(void)
{
    rest(wait_ns);
}

static void *sleeps(void *unused)
{
    rest(wait_ns + 20 * MS);
    return unused;
}

static void ring_waits(void)
{
    // struct io_uring_params; completions that nobody sends, so a signal ends the wait.
    uint32_t parameters[30] = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, parameters);
    if (ring < 0) {
        rest(wait_ns);
        return;
    }
    syscall(SYS_io_uring_enter, ring, 0, 1, 1 /* IORING_ENTER_GETEVENTS */, NULL, 0);
    close(ring);
}

static void reads_terminal(void)
{
    char c;
    int fd = terminal < 0 ? -1 : open(ptsname(terminal), O_RDWR | O_NOCTTY);
    if (fd < 0)
        rest(wait_ns);
    else
        (void)!read(fd, &c, 1);
    close(fd);
}

static bool has_ring(void)
{
    uint32_t parameters[30] = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, parameters);
    if (ring < 0)
        return false;
    close(ring);
    return true;
}

WAITER("mutex", locks, pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex))
WAITER("rwlock", reads, pthread_rwlock_rdlock(&rwlock); pthread_rwlock_unlock(&rwlock))
WAITER("rwlock", writes, pthread_rwlock_wrlock(&rwlock); pthread_rwlock_unlock(&rwlock))
WAITER("condition", listens, struct timespec t = at_wall(wait_ns); pthread_mutex_lock(&idle);
       (void)pthread_cond_timedwait(&condition, &idle, &t); pthread_mutex_unlock(&idle))
WAITER("semaphore", counts, (void)sem_wait(&semaphore))
WAITER("barrier", meets, pthread_barrier_wait(&barrier))
WAITER("join", joins, pthread_create(&sleeper, NULL, sleeps, NULL); pthread_join(sleeper, NULL))
WAITER("once", hopes, rest(5 * MS); pthread_once(&once, initialise))
static void *first(void *unused)
{
    pthread_barrier_wait(&begin);
    pthread_once(&once, initialise);
    return unused;
}
WAITER("file-lock", files, int fd = open(lock_file, O_RDONLY); flock(fd, LOCK_EX); close(fd))
WAITER("ipc-semaphore", ipc, struct sembuf down = {0, -1, 0}; (void)semop(semaphores, &down, 1))
WAITER("sleep", naps, rest(wait_ns))
WAITER("poll", polls, struct pollfd p = {pipe_ends[0], POLLPRI, 0};
       poll(&p, 1, (int)(wait_ns / MS)))
WAITER("select", selects, fd_set s; FD_ZERO(&s); FD_SET(pipe_ends[0], &s);
       struct timeval t = {wait_ns / 1000000000LL, wait_ns % 1000000000LL / 1000};
       select(pipe_ends[0] + 1, NULL, NULL, &s, &t))
WAITER("epoll", epolls, int fd = epoll_create1(0); struct epoll_event e = {0};
       epoll_wait(fd, &e, 1, (int)(wait_ns / MS)); close(fd))
WAITER("pipe", drains, char c; (void)!read(pipe_ends[0], &c, 1))
WAITER("pipe", fills, char c[8192] = {0}; (void)!write(full[1], c, sizeof c))
WAITER("receive", receives, char c; (void)!recv(sockets[0], &c, 1, 0))
WAITER("receive", reads_socket, char c; (void)!read(sockets[1], &c, 1))
WAITER("send", sends, (void)!send(stuffed[0], "x", 1, 0))
WAITER("connect", connects, int fd = socket(AF_UNIX, SOCK_STREAM, 0);
       (void)connect(fd, (struct sockaddr *)&local_name, local_len); close(fd))
WAITER("futex", futexes, static uint32_t word; struct timespec t = span(wait_ns);
       syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0))
WAITER(
    "message-queue", expects,
    struct {
        long type;
        char text[8];
    } message;
    (void)!msgrcv(queue, &message, sizeof message.text, 0, 0))
WAITER("terminal", types, reads_terminal())
WAITER("accept", accepts, close(accept(listener, NULL, NULL)))
WAITER("eventfd", events, uint64_t n; (void)!read(event, &n, sizeof n))
WAITER("timerfd", timers, int fd = timerfd_create(CLOCK_MONOTONIC, 0);
       struct itimerspec t = {.it_value = span(wait_ns)}; timerfd_settime(fd, 0, &t, NULL);
       uint64_t n; (void)!read(fd, &n, sizeof n); close(fd))
WAITER("io_uring", rings, ring_waits())
WAITER(
    "child", parent, pid_t child = fork(); if (!child) {
        rest(wait_ns);
        _exit(0);
    } waitpid(child, NULL, 0))
WAITER("signal", heeds, sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2);
       struct timespec t = span(wait_ns); (void)sigtimedwait(&set, NULL, &t))

static void on_signal(int number)
{
    (void)number;
}

// A socket that takes no more, and one whose queue of callers is full.
static int open_full_ones(void)
{
    char page[4096] = {0};
    local_len = sizeof local_name.sun_family;
    local_name.sun_family = AF_UNIX;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed) ||
        bind(local, (struct sockaddr *)&local_name, local_len) || listen(local, 0))
        return 1;
    local_len = sizeof local_name;
    getsockname(local, (struct sockaddr *)&local_name, &local_len);
    while (send(stuffed[0], page, sizeof page, MSG_DONTWAIT) > 0)
        ;
    int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return connect(caller, (struct sockaddr *)&local_name, local_len);
}

static void end_full_ones(void)
{
    char page[4096];
    while (recv(stuffed[1], page, sizeof page, MSG_DONTWAIT) > 0)
        ;
    close(accept(local, NULL, NULL));
}

static int open_all(void)
{
    queue = msgget(IPC_PRIVATE, 0600);
    terminal = posix_openpt(O_RDWR | O_NOCTTY); // there is none without /dev/pts
    if (terminal >= 0 && (grantpt(terminal) || unlockpt(terminal)))
        terminal = -1;
    local = socket(AF_UNIX, SOCK_STREAM, 0);
    if (queue < 0 || local < 0 || open_full_ones())
        return 1;
    event = eventfd(0, 0);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sem_init(&semaphore, 0, 0);
    return event < 0 || semaphores < 0 || pipe(pipe_ends) || pipe(full) ||
           socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) ||
           bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1);
}

static void end_all(int lock, pthread_t ring)
{
    pthread_mutex_unlock(&mutex);
    pthread_rwlock_unlock(&rwlock);
    sem_post(&semaphore);
    pthread_barrier_wait(&barrier);
    flock(lock, LOCK_UN);
    struct sembuf up = {0, 1, 0};
    (void)semop(semaphores, &up, 1);
    (void)!write(pipe_ends[1], "x", 1);
    (void)!write(sockets[1], "x", 1);
    (void)!write(sockets[0], "x", 1);
    struct {
        long type;
        char text[8];
    } message = {1, "x"};
    (void)msgsnd(queue, &message, sizeof message.text, 0);
    (void)!write(terminal, "x\n", 2);
    end_full_ones();
    char room[4096];
    for (int i = 0; i < 3; i++) // what was there, and what waits to be written
        (void)!read(full[0], room, sizeof room);
    uint64_t one = 1;
    (void)!write(event, &one, sizeof one);
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    getsockname(listener, (struct sockaddr *)&here, &len);
    int caller = socket(AF_INET, SOCK_STREAM, 0);
    (void)connect(caller, (struct sockaddr *)&here, len);
    if (has_ring())
        pthread_kill(ring, SIGUSR1);
}

static int kinds(void)
{
    static void *(*const threads[])(void *) = {
        locks,   reads,        writes, listens, counts, meets,    joins,   first,    hopes,  files,
        ipc,     naps,         polls,  selects, epolls, drains,   fills,   receives, timers, parent,
        accepts, reads_socket, events, heeds,   sends,  connects, futexes, expects,  types,  rings,
    };
    enum { THREADS = sizeof threads / sizeof threads[0] };
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &act, NULL);
    int lock = open(lock_file, O_RDONLY);
    if (lock < 0 || flock(lock, LOCK_EX) || open_all())
        return 1;
    fcntl(full[1], F_SETPIPE_SZ, 4096);
    char page[4096] = {0};
    (void)!write(full[1], page, sizeof page);
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
    pthread_barrier_init(&begin, NULL, THREADS + 1);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t handles[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&handles[i], NULL, threads[i], NULL))
            return 1;
    printf("io_uring %d\nterminal %d\n", has_ring(), terminal >= 0);
    pthread_barrier_wait(&begin);
    rest(wait_ns);
    end_all(lock, handles[THREADS - 1]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(handles[i], NULL);
    semctl(semaphores, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return 0;
}

// --- turns ---------------------------------------------------------------------------------------

enum way { PIPE, CONDITION, SOCKET, EVENTFD, SEMAPHORE, WAYS };
static const char *const way_names[WAYS] = {"pipe", "condition", "socket", "eventfd", "semaphore"};

// One for each direction.
static struct lane {
    int ends[2];
    sem_t semaphore;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool full;
} lanes[2];

static enum way way;
static long rounds;

static void give(struct lane *lane)
{
    uint64_t one = 1;
    switch (way) {
    case CONDITION:
        pthread_mutex_lock(&lane->mutex);
        lane->full = true;
        pthread_cond_signal(&lane->condition);
        pthread_mutex_unlock(&lane->mutex);
        return;
    case SEMAPHORE:
        sem_post(&lane->semaphore);
        return;
    default:
        (void)!write(lane->ends[1], &one, sizeof one);
    }
}

static void take(struct lane *lane)
{
    uint64_t n;
    switch (way) {
    case CONDITION:
        pthread_mutex_lock(&lane->mutex);
        while (!lane->full)
            pthread_cond_wait(&lane->condition, &lane->mutex);
        lane->full = false;
        pthread_mutex_unlock(&lane->mutex);
        return;
    case SEMAPHORE:
        while (sem_wait(&lane->semaphore))
            ;
        return;
    default:
        (void)!read(lane->ends[0], &n, sizeof n);
    }
}

OWN_NAME static void ping_waits(void)
{
    take(&lanes[0]);
}

OWN_NAME static void pong_waits(void)
{
    take(&lanes[1]);
}

static void *pong(void *unused)
{
    long long born_ns = now_ns();
    for (long i = 0; i < rounds; i++) {
        pong_waits();
        give(&lanes[0]);
    }
    tell_turns("pong_waits", born_ns);
    return unused;
}

static void *ping(void *unused)
{
    long long born_ns = now_ns();
    for (long i = 0; i < rounds; i++) {
        give(&lanes[1]);
        ping_waits();
    }
    tell_turns("ping_waits", born_ns);
    return unused;
}

static int turns(void)
{
    for (int i = 0; i < 2; i++) {
        struct lane *lane = &lanes[i];
        lane->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
        lane->condition = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        sem_init(&lane->semaphore, 0, 0);
        int r = way == SOCKET    ? socketpair(AF_UNIX, SOCK_STREAM, 0, lane->ends)
                : way == EVENTFD ? (lane->ends[0] = lane->ends[1] = eventfd(0, 0)) < 0
                                 : pipe(lane->ends);
        if (r)
            return 1;
    }
    pthread_t threads[2];
    if (pthread_create(&threads[0], NULL, ping, NULL) ||
        pthread_create(&threads[1], NULL, pong, NULL))
        return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

// --- beside --------------------------------------------------------------------------------------

OWN_NAME static void guest_rests(void)
{
    rest(8 * MS);
}

OWN_NAME static void host_rests(void)
{
    rest(25 * MS);
}

static void *guest(void *unused)
{
    long long before_ns = now_ns();
    guest_rests();
    printf("wait sleep guest_rests %ld %lld\n", tid(), now_ns() - before_ns);
    return unused;
}

static void *take_turns(void *unused)
{
    (void)turns();
    return unused;
}

static int beside(long long ns)
{
    pthread_t thread;
    rounds = LONG_MAX;
    if (pthread_create(&thread, NULL, take_turns, NULL))
        return 1;
    long long began_ns = now_ns(), rests_ns = 0;
    while (now_ns() - began_ns < ns) {
        if (pthread_create(&thread, NULL, guest, NULL))
            return 1;
        long long before_ns = now_ns();
        host_rests();
        rests_ns += now_ns() - before_ns;
        pthread_join(thread, NULL);
    }
    printf("wait sleep host_rests %ld %lld\n", tid(), rests_ns);
    (void)fflush(stdout);
    _exit(0); // while two of them go on
}

// --- rests ---------------------------------------------------------------------------------------

enum { HANDS = 4 };

static sem_t hands[HANDS];
static long long each_ns;
static volatile bool over;

OWN_NAME static void hand_rests(void)
{
    rest(40 * MS);
}

static void *hand(void *argument)
{
    const intptr_t number = (intptr_t)argument;
    long long next_ns = now_ns() + each_ns, rests_ns = 0;
    while (!over) {
        (void)sem_wait(&hands[number]);
        (void)sem_post(&hands[number ^ 1]);
        long long before_ns = now_ns();
        if (number >= 2 || before_ns < next_ns)
            continue;
        hand_rests();
        rests_ns += now_ns() - before_ns;
        next_ns = now_ns() + each_ns;
    }
    (void)sem_post(&hands[number ^ 1]);
    if (number < 2)
        printf("wait sleep hand_rests %ld %lld\n", tid(), rests_ns);
    return NULL;
}

static int rests(long long ns, bool is_beside)
{
    pthread_t threads[HANDS];
    const intptr_t count = is_beside ? HANDS : 2;
    for (intptr_t i = 0; i < count; i++)
        if (sem_init(&hands[i], 0, i % 2 == 0))
            return 1;
    for (intptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, hand, (void *)i))
            return 1;
    rest(ns);
    over = true;
    for (intptr_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return 0;
}

int main(int argc, char **argv)
{
    lock_file = argv[0];
    while (argc > 3 && argv[1][0] != 'r' && way < WAYS && strcmp(argv[3], way_names[way]) != 0)
        way++;
    if (way == WAYS)
        return 2;
    if (argc > 1 && strcmp(argv[1], "turns") == 0) {
        rounds = (long)argument(argc, argv, 2, 10000);
        return turns();
    }
    if (argc > 1 && strcmp(argv[1], "beside") == 0)
        return beside(argument(argc, argv, 2, 1000) * MS);
    if (argc > 1 && strcmp(argv[1], "rests") == 0) {
        each_ns = argument(argc, argv, 3, 300) * MS;
        return rests(argument(argc, argv, 2, 1000) * MS, argument(argc, argv, 4, 0) == 1);
    }
    wait_ns = argument(argc, argv, 2, 300) * MS;
    return kinds();
}
