// Pays for its memory for a while and computes for a while; prints how much CPU time each took.
//
//     pressure MS-ALLOCATING MS-COMPUTING
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum { SLOTS = 2048 };

// Blocks of many sizes, freed in another order than they were made: the allocator has to look.
__attribute__((noinline)) static uint64_t allocate(uint64_t ms)
{
    static void *slots[SLOTS];
    static uint32_t random = 1;
    uint64_t start = cpu_ns();
    while (cpu_ns() - start < ms * 1000000) {
        for (int i = 0; i < 20000; i++) {
            random = random * 1664525u + 1013904223u;
            void **slot = &slots[random >> 12 & (SLOTS - 1)];
            free(*slot);
            *slot = malloc(2000 + (random >> 24) * 100);
        }
    }
    return cpu_ns() - start;
}

__attribute__((noinline)) static uint64_t compute(uint64_t ms)
{
    static volatile uint64_t sum;
    uint64_t start = cpu_ns();
    while (cpu_ns() - start < ms * 1000000)
        for (uint64_t i = 0; i < 100000; i++)
            sum = sum * 31 + i;
    return cpu_ns() - start;
}

int main(int argc, char **argv)
{
    uint64_t allocating = allocate(argc > 1 ? strtoull(argv[1], NULL, 10) : 0);
    uint64_t computing = compute(argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    printf("allocate %llu\ncompute %llu\n", (unsigned long long)allocating,
           (unsigned long long)computing);
    return 0;
}
