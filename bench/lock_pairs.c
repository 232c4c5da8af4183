// What taking and releasing a mutex costs, and how much of it threads get that want the same one.
//
//     lock_pairs MILLISECONDS               alone: prints nanoseconds of CPU time for a pair
//     lock_pairs MILLISECONDS 0             the same in a process with another thread, asleep
//     lock_pairs MILLISECONDS THREADS       prints nanoseconds of CPU time for a pair, pairs per
//                                           second of all, and how evenly they came: the least
//                                           thread's share over the mean
//
// Each of the threads holds the mutex for a microsecond and works as long without it, on average:
// how long each time is drawn between nothing and twice as much. Were it always the same, the
// threads would fall into step, and the smallest change decide whether they ever sleep: of two
// threads that hold it for 1.0 us and work for 1.0 us without it, a hold of 0.9 us makes 40 % more
// pairs.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000, THREADS_MAX = 64, MEAN_NS = 1000 };

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

static uint64_t next(uint64_t state)
{
    return state * 6364136223846793005u + 1442695040888963407u;
}

// Each step waits for the one before: no memory, whose speed depends on what else is in the way.
__attribute__((noinline)) static uint64_t work(uint64_t state, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        state = next(state);
        __asm__ volatile("" : "+r"(state));
    }
    return state;
}

static uint64_t mean_steps;

static void calibrate(void)
{
    enum { STEPS = 1000000, TIMES = 5 };
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < TIMES; i++) {
        uint64_t began = now(CLOCK_MONOTONIC);
        (void)work(1, STEPS);
        uint64_t ns = now(CLOCK_MONOTONIC) - began;
        best = ns < best ? ns : best;
    }
    mean_steps = (uint64_t)STEPS * MEAN_NS / best;
}

static uint64_t work_a_while(uint64_t state)
{
    state = next(state); // also where there is nothing to do
    return work(state, (state >> 33) % (2 * mean_steps));
}

static void *contend(void *count)
{
    uint64_t pairs = 0, state = (uintptr_t)count;
    while (!stop) {
        pthread_mutex_lock(&mutex);
        state = work_a_while(state);
        pthread_mutex_unlock(&mutex);
        state = work_a_while(state);
        pairs++;
    }
    *(uint64_t *)count = pairs;
    return NULL;
}

static void together(uint64_t ns, int count)
{
    pthread_t threads[THREADS_MAX];
    static uint64_t pairs[THREADS_MAX];
    calibrate();
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
