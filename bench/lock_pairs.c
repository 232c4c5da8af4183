// What taking and releasing a mutex costs, and how much of it threads get that want the same one.
//
//     lock_pairs MILLISECONDS               alone: prints nanoseconds of CPU time for a pair
//     lock_pairs MILLISECONDS 0             the same in a process with another thread, asleep
//     lock_pairs MILLISECONDS THREADS       prints nanoseconds of CPU time for a pair, pairs per
//                                           second of all, and how evenly they came: the least
//                                           thread's share over the mean
//
// Each of the threads holds the mutex for about a microsecond and works as long without it.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000, THREADS_MAX = 64, WORK = 400 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stop;

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

__attribute__((noinline)) static void batch(void)
{
    for (int i = 0; i < BATCH; i++) {
        pthread_mutex_lock(&mutex);
        __asm__ volatile("" ::: "memory");
        pthread_mutex_unlock(&mutex);
    }
}

// The best of many short stretches: what is left when others use the machine, too.
static void alone(uint64_t ns)
{
    uint64_t end = now(CLOCK_MONOTONIC) + ns, best = UINT64_MAX, all = 0, batches = 0;
    do {
        uint64_t began = now(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < 20; i++)
            batch();
        uint64_t spent = now(CLOCK_THREAD_CPUTIME_ID) - began;
        best = spent < best ? spent : best;
        all += spent;
        batches += 20;
    } while (now(CLOCK_MONOTONIC) < end);
    printf("%.3f %.3f\n", (double)best / 20 / BATCH, (double)all / (double)batches / BATCH);
}

static void *sleep_on(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void work(void)
{
    for (volatile int i = 0; i < WORK; i++)
        ;
}

static void *contend(void *count)
{
    uint64_t pairs = 0;
    while (!stop) {
        pthread_mutex_lock(&mutex);
        work();
        pthread_mutex_unlock(&mutex);
        work();
        pairs++;
    }
    *(uint64_t *)count = pairs;
    return NULL;
}

static void together(uint64_t ns, int count)
{
    pthread_t threads[THREADS_MAX];
    static uint64_t pairs[THREADS_MAX];
    uint64_t began = now(CLOCK_MONOTONIC), sum = 0, least = UINT64_MAX;
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, contend, &pairs[i]);
    struct timespec span = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&span, NULL);
    stop = 1;
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        sum += pairs[i];
        least = pairs[i] < least ? pairs[i] : least;
    }
    double seconds = (double)(now(CLOCK_MONOTONIC) - began) / 1e9;
    double cpu_ns = (double)now(CLOCK_PROCESS_CPUTIME_ID);
    printf("%.1f %.0f %.3f\n", cpu_ns / (double)sum, (double)sum / seconds,
           (double)least * count / (double)sum);
}

int main(int argc, char **argv)
{
    uint64_t ns = argc > 1 ? strtoull(argv[1], NULL, 10) * 1000000 : 0;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    if (ns == 0 || threads < 0 || threads > THREADS_MAX)
        return 2;
    pthread_t other;
    if (threads == 0)
        pthread_create(&other, NULL, sleep_on, NULL);
    if (threads <= 1)
        alone(ns);
    else
        together(ns, threads);
    return 0;
}
