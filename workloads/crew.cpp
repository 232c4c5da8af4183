// crew MODE [N]: threads whose creators, states and ends are known. Prints a line "ready PID" when
// all of them are where they shall be, and ends when its standard input does.
//
//   pthread N  c11 N  std N     N threads that wait for a condition, created by make_pthreads(),
//                               make_c11() or make_std()
//   nest                        a thread of make_outer() creates one by make_inner()
//   states                      one thread in each way to wait, by its name: "in-mutex",
//                               "in-condition", "in-sleep", "in-pipe", "in-poll", "in-epoll",
//                               "in-join", "in-semaphore", "in-rwlock", "in-barrier"; and "in-loop"
//                               runs. At the end "epoll EINTRS" says how often epoll_wait() ended
//                               early, and "loop TURNS" that the loop went on
//   pool N                      pool_start() creates 4 threads that work on N tasks of 1 ms, and
//                               short_lived() one more for each, which is joined
//   leak N MS                   the same, and leak_one() creates N threads that wait for ever, one
//                               every MS milliseconds. "counts CREATED ALIVE" at the end
//   asleep                      two threads wait for each other's condition, main() joins them:
//                               nobody is left to wake anybody
//   sound                       the same with a handler of SIGUSR1, which might wake them
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <thread>
#include <threads.h>
#include <unistd.h>
#include <vector>

#define SITE __attribute__((noinline))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t over = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t begun;
static volatile bool ended;

static void check(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

SITE static void wait_for_end()
{
    pthread_mutex_lock(&lock);
    while (!ended)
        pthread_cond_wait(&over, &lock);
    pthread_mutex_unlock(&lock);
}

static void end_all()
{
    pthread_mutex_lock(&lock);
    ended = true;
    pthread_cond_broadcast(&over);
    pthread_mutex_unlock(&lock);
}

static void ready()
{
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
}

static void until_input_ends()
{
    char byte;
    ready();
    while (read(0, &byte, 1) > 0)
        ;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) && errno == EINTR)
        ;
}

// --- creators ------------------------------------------------------------------------------------

static pthread_attr_t small;

static void *crew_pthread(void *)
{
    wait_for_end();
    return nullptr;
}

SITE static void make_pthreads(std::vector<pthread_t> &crew, int count)
{
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        int r = pthread_create(&thread, &small, crew_pthread, nullptr);
        errno = r;
        check(r == 0, "pthread_create");
        crew.push_back(thread);
    }
}

static int crew_c11(void *)
{
    wait_for_end();
    return 0;
}

SITE static void make_c11(std::vector<thrd_t> &crew, int count)
{
    for (int i = 0; i < count; i++) {
        thrd_t thread;
        check(thrd_create(&thread, crew_c11, nullptr) == thrd_success, "thrd_create");
        crew.push_back(thread);
    }
}

static void crew_std()
{
    wait_for_end();
}

SITE static void make_std(std::vector<std::thread> &crew, int count)
{
    for (int i = 0; i < count; i++)
        crew.emplace_back(crew_std);
}

static void *inner(void *)
{
    wait_for_end();
    return nullptr;
}

SITE static pthread_t make_inner()
{
    pthread_t thread;
    check(pthread_create(&thread, nullptr, inner, nullptr) == 0, "pthread_create");
    return thread;
}

static void *outer(void *)
{
    pthread_t thread = make_inner();
    wait_for_end();
    pthread_join(thread, nullptr);
    return nullptr;
}

SITE static pthread_t make_outer()
{
    pthread_t thread;
    check(pthread_create(&thread, nullptr, outer, nullptr) == 0, "pthread_create");
    return thread;
}

// --- states --------------------------------------------------------------------------------------

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static int ends[2];
static pthread_t joined;
static volatile long early, turns;

SITE static void in_mutex()
{
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
}

SITE static void in_sleep()
{
    while (!ended) {
        struct timespec time = {2, 0};
        nanosleep(&time, nullptr);
    }
}

SITE static void in_pipe()
{
    char byte;
    (void)!read(ends[0], &byte, 1);
}

SITE static void in_poll()
{
    struct pollfd one = {ends[0], POLLIN, 0};
    poll(&one, 1, -1);
}

SITE static void in_epoll()
{
    int fd = epoll_create1(0);
    struct epoll_event event = {}, got;
    event.events = EPOLLIN;
    epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event);
    while (epoll_wait(fd, &got, 1, -1) < 0)
        early = early + 1;
    close(fd);
}

SITE static void in_join()
{
    pthread_join(joined, nullptr);
}

SITE static void in_semaphore()
{
    while (sem_wait(&semaphore))
        ;
}

SITE static void in_rwlock()
{
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
}

SITE static void in_barrier()
{
    pthread_barrier_wait(&barrier);
}

SITE static void in_loop()
{
    while (!ended)
        turns = turns + 1;
}

struct Way {
    const char *name;
    void (*run)();
};

static void *take_way(void *argument)
{
    const Way *way = static_cast<Way *>(argument);
    pthread_setname_np(pthread_self(), way->name);
    pthread_barrier_wait(&begun);
    way->run();
    return nullptr;
}

static void states()
{
    static Way ways[] = {
        {"in-mutex", in_mutex},         {"in-condition", wait_for_end}, {"in-sleep", in_sleep},
        {"in-pipe", in_pipe},           {"in-poll", in_poll},           {"in-epoll", in_epoll},
        {"in-semaphore", in_semaphore}, {"in-rwlock", in_rwlock},       {"in-barrier", in_barrier},
        {"in-loop", in_loop},           {"in-join", in_join},
    };
    enum { WAYS = sizeof ways / sizeof ways[0] };
    check(pipe(ends) == 0, "pipe");
    pthread_barrier_init(&begun, nullptr, WAYS + 1);
    pthread_barrier_init(&barrier, nullptr, 2);
    sem_init(&semaphore, 0, 0);
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&rwlock);
    joined = make_outer();
    pthread_t threads[WAYS];
    for (int i = 0; i < WAYS; i++)
        check(pthread_create(&threads[i], nullptr, take_way, &ways[i]) == 0, "pthread_create");
    pthread_barrier_wait(&begun);
    pause_ms(50);
    until_input_ends();
    end_all();
    pthread_mutex_unlock(&held);
    pthread_rwlock_unlock(&rwlock);
    sem_post(&semaphore);
    pthread_barrier_wait(&barrier);
    close(ends[1]);
    for (pthread_t thread : threads)
        pthread_join(thread, nullptr);
    printf("epoll %ld\nloop %ld\n", early, turns);
}

// --- leaks ---------------------------------------------------------------------------------------

static std::mutex tasks_lock;
static std::condition_variable tasks_come;
static int tasks;
static bool tasks_over;
static long created, alive;

static void pool_work()
{
    std::unique_lock<std::mutex> guard(tasks_lock);
    for (;;) {
        tasks_come.wait(guard, [] { return tasks || tasks_over; });
        if (!tasks)
            return;
        tasks--;
        guard.unlock();
        pause_ms(1);
        guard.lock();
    }
}

SITE static void pool_start(std::vector<std::thread> &pool)
{
    for (int i = 0; i < 4; i++)
        pool.emplace_back(pool_work);
    created += 4;
}

SITE static void short_lived()
{
    std::thread thread([] {});
    thread.join();
    created++;
}

static void *leaked(void *)
{
    wait_for_end();
    return nullptr;
}

SITE static void leak_one()
{
    pthread_t thread;
    check(pthread_create(&thread, nullptr, leaked, nullptr) == 0, "pthread_create");
    pthread_detach(thread);
    created++;
    alive++;
}

static void work(int count, int ms, bool leaks)
{
    std::vector<std::thread> pool;
    pool_start(pool);
    ready();
    for (int i = 0; i < count; i++) {
        tasks_lock.lock();
        tasks++;
        tasks_lock.unlock();
        tasks_come.notify_one();
        short_lived();
        if (leaks)
            leak_one();
        pause_ms(ms);
    }
    tasks_lock.lock();
    tasks_over = true;
    tasks_lock.unlock();
    tasks_come.notify_all();
    for (std::thread &thread : pool)
        thread.join();
    printf("counts %ld %ld\n", created, alive);
}

// --- nobody is left ------------------------------------------------------------------------------

static void on_signal(int)
{
}

static void asleep()
{
    std::vector<pthread_t> crew;
    make_pthreads(crew, 2);
    pause_ms(20);
    ready();
    for (pthread_t thread : crew)
        pthread_join(thread, nullptr);
}

// -------------------------------------------------------------------------------------------------

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 8;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    if (strcmp(mode, "pthread") == 0) {
        std::vector<pthread_t> crew;
        make_pthreads(crew, count);
        until_input_ends();
        end_all();
        for (pthread_t thread : crew)
            pthread_join(thread, nullptr);
    } else if (strcmp(mode, "c11") == 0) {
        std::vector<thrd_t> crew;
        make_c11(crew, count);
        until_input_ends();
        end_all();
        for (thrd_t thread : crew)
            thrd_join(thread, nullptr);
    } else if (strcmp(mode, "std") == 0) {
        std::vector<std::thread> crew;
        make_std(crew, count);
        until_input_ends();
        end_all();
        for (std::thread &thread : crew)
            thread.join();
    } else if (strcmp(mode, "nest") == 0) {
        pthread_t thread = make_outer();
        pause_ms(20);
        until_input_ends();
        end_all();
        pthread_join(thread, nullptr);
    } else if (strcmp(mode, "states") == 0) {
        states();
    } else if (strcmp(mode, "pool") == 0) {
        work(count, argc > 3 ? atoi(argv[3]) : 1, false);
    } else if (strcmp(mode, "leak") == 0) {
        work(count, argc > 3 ? atoi(argv[3]) : 50, true);
    } else if (strcmp(mode, "asleep") == 0) {
        asleep();
    } else if (strcmp(mode, "sound") == 0) {
        signal(SIGUSR1, on_signal);
        asleep();
    } else {
        fprintf(stderr, "crew: no such mode: %s\n", mode);
        return 2;
    }
    return 0;
}
