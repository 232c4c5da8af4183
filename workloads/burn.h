// Sample programs whose right answer is known share this: the CPU time of the calling thread, and
// work that uses it up.
//
// Functions that stand for an answer are `noinline` and the compiler may not clone or merge them,
// so each appears in a profile under its own name. Truth is measured, not planned: a program reads
// the thread's CPU clock around each piece of work and prints the sums, so a test compares a
// profile with what really happened on that machine in that run.
#ifndef WORKLOADS_BURN_H
#define WORKLOADS_BURN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWN_NAME __attribute__((noinline, noclone, used))

#define MS 1000000LL

static inline long long clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (long long)now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline long long thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// Rounds of work without a call, a memory access or a system call.
static inline __attribute__((always_inline)) void spin(long rounds)
{
    uint64_t x = 88172645463325252ULL;
    for (long i = 0; i < rounds; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        __asm__ volatile("" : "+r"(x));
    }
}

// About 0.1 ms on the machines of 2020 to 2026: long against the 0.3 us of reading the clock, short
// against anything that a test measures.
#define SPIN_SLICE 60000L

// Uses up CPU time of this thread, to within one slice. A macro of a function: the loop lies in the
// function that calls it, which is the one a profile must name.
static inline __attribute__((always_inline)) void burn_ns(long long ns)
{
    long long end = thread_cpu_ns() + ns;
    do
        spin(SPIN_SLICE);
    while (thread_cpu_ns() < end);
}

static inline long long argument(int argc, char **argv, int index, long long otherwise)
{
    return argc > index ? strtoll(argv[index], NULL, 10) : otherwise;
}

// What a program says when it does not know its arguments.
static inline int misused(const char *usage)
{
    fprintf(stderr, "usage: %s\n", usage);
    return 2;
}

#endif
