// What a malloc() and its free() cost: threads that do so at the bottom of a stack of some depth,
// for some CPU time each. Prints the nanoseconds of CPU time, and of time, for a pair.
//
//     heap_pairs DEPTH THREADS MILLISECONDS
//
// The stack changes as a program's does: after every eight pairs four calls return and others are
// made. Blocks are of 16 to 400 bytes, eight live at a time.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAIRS = 8, RETURNS = 4 };

static int depth, milliseconds;

struct worker {
    pthread_t thread;
    uint64_t pairs, cpu_ns, wall_ns;
    unsigned random;
};

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

__attribute__((noinline)) static void pairs(struct worker *worker)
{
    void *blocks[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        worker->random = worker->random * 1664525u + 1013904223u;
        blocks[i] = malloc(16 + (worker->random >> 16) % 385);
    }
    for (int i = 0; i < PAIRS; i++)
        free(blocks[i]);
    worker->pairs += PAIRS;
}

// The frames from here to the bottom come and go; those above stay.
__attribute__((noinline)) static void last(struct worker *worker, int left)
{
    volatile int frame = left;
    if (left > 0)
        last(worker, left - 1);
    else
        pairs(worker);
    (void)frame;
}

__attribute__((noinline)) static void descend(struct worker *worker, int left)
{
    volatile int frame = left;
    if (left > 0) {
        descend(worker, left - 1);
    } else {
        uint64_t cpu = now(CLOCK_THREAD_CPUTIME_ID), wall = now(CLOCK_MONOTONIC), spent;
        do {
            for (int i = 0; i < 64; i++)
                last(worker, RETURNS - 1);
            spent = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
        } while (spent < (uint64_t)milliseconds * 1000000);
        worker->cpu_ns = spent;
        worker->wall_ns = now(CLOCK_MONOTONIC) - wall;
    }
    (void)frame;
}

static void *work(void *context)
{
    struct worker *worker = context;
    descend(worker, depth > RETURNS + 3 ? depth - RETURNS - 3 : 0);
    return NULL;
}

int main(int argc, char **argv)
{
    depth = argc > 1 ? atoi(argv[1]) : 8;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    milliseconds = argc > 3 ? atoi(argv[3]) : 100;
    static struct worker workers[64];
    if (threads < 1 || threads > 64)
        return 2;
    for (int i = 0; i < threads; i++) {
        workers[i].random = (unsigned)i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    }
    double cpu = 0, wall = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        cpu += (double)workers[i].cpu_ns / (double)workers[i].pairs / threads;
        wall += (double)workers[i].wall_ns / (double)workers[i].pairs / threads;
    }
    printf("%.3f %.3f\n", cpu, wall);
    return 0;
}
