// split functions|threads [MILLISECONDS]: 60, 30 and 10 % of the CPU time.
//
// functions: red, green and blue take turns in one thread, in pieces of random length, so that no
//            sampling period can fall into step with them.
// threads:   three threads named red, green and blue, each in one function of its own.
//
// Right answer: printed as lines `red NANOSECONDS` (thread CPU time, measured). A profile must give
// each function, or each thread, that share. Everything else together stays below 1 %.
#include "burn.h"

#include <pthread.h>

enum { RED, GREEN, BLUE, COLOURS };

static const char *const names[COLOURS] = {"red", "green", "blue"};
static const int shares[COLOURS] = {60, 30, 10};
static long long used_ns[COLOURS];

OWN_NAME static void red(long rounds)
{
    spin(rounds);
}

OWN_NAME static void green(long rounds)
{
    spin(rounds);
}

OWN_NAME static void blue(long rounds)
{
    spin(rounds);
}

static uint32_t random_below(uint32_t limit)
{
    static uint64_t state = 0x9e3779b97f4a7c15ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % limit;
}

// Splits by draw and by length: whoever is behind its share is called next, for 0 to 10 slices.
OWN_NAME static void by_functions(long long total_ns)
{
    long long start = thread_cpu_ns(), before = start;
    while (before - start < total_ns) {
        int next = RED;
        for (int c = GREEN; c < COLOURS; c++)
            if (used_ns[c] * shares[next] < used_ns[next] * shares[c])
                next = c;

        long rounds = 1 + (long)random_below(10 * SPIN_SLICE);
        if (next == RED)
            red(rounds);
        else if (next == GREEN)
            green(rounds);
        else
            blue(rounds);

        long long after = thread_cpu_ns();
        used_ns[next] += after - before;
        before = after;
    }
}

OWN_NAME static void *red_thread(void *total_ns)
{
    burn_ns(*(long long *)total_ns * shares[RED] / 100);
    used_ns[RED] = thread_cpu_ns();
    return NULL;
}

OWN_NAME static void *green_thread(void *total_ns)
{
    burn_ns(*(long long *)total_ns * shares[GREEN] / 100);
    used_ns[GREEN] = thread_cpu_ns();
    return NULL;
}

OWN_NAME static void *blue_thread(void *total_ns)
{
    burn_ns(*(long long *)total_ns * shares[BLUE] / 100);
    used_ns[BLUE] = thread_cpu_ns();
    return NULL;
}

OWN_NAME static void by_threads(long long total_ns)
{
    void *(*const starts[COLOURS])(void *) = {red_thread, green_thread, blue_thread};
    pthread_t threads[COLOURS];
    for (int c = 0; c < COLOURS; c++) {
        pthread_create(&threads[c], NULL, starts[c], &total_ns);
        pthread_setname_np(threads[c], names[c]);
    }
    for (int c = 0; c < COLOURS; c++)
        pthread_join(threads[c], NULL);
}

int main(int argc, char **argv)
{
    long long total_ns = argument(argc, argv, 2, 3000) * MS;
    if (argc > 1 && !strcmp(argv[1], "functions"))
        by_functions(total_ns);
    else if (argc > 1 && !strcmp(argv[1], "threads"))
        by_threads(total_ns);
    else
        return misused("split functions|threads [MILLISECONDS]");

    for (int c = 0; c < COLOURS; c++)
        printf("%s %lld\n", names[c], used_ns[c]);
    return 0;
}
