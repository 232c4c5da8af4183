// Threads, one after the other, that each allocate and keep the same: small blocks of 1000 bytes,
// of which every second is freed, and huge ones of 1 MiB, of which one stays. Each thread draws its
// samples anew, so one run measures as often as there are threads.
//
//     heap_seeds THREADS SMALL HUGE [BYTES OF A SMALL ONE]
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static long small_count, huge_count, small_size = 1000;

__attribute__((noinline)) static void make_small(void)
{
    for (long i = 0; i < small_count; i++) {
        void *volatile block = malloc((size_t)small_size);
        if (i % 2)
            free(block);
    }
}

__attribute__((noinline)) static void make_huge(void)
{
    for (long i = 0; i < huge_count; i++) {
        void *volatile block = malloc(1 << 20);
        if (i)
            free(block);
    }
}

static void *work(void *context)
{
    make_small();
    make_huge();
    return context;
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? atol(argv[1]) : 1;
    small_count = argc > 2 ? atol(argv[2]) : 1;
    huge_count = argc > 3 ? atol(argv[3]) : 1;
    small_size = argc > 4 ? atol(argv[4]) : small_size;
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL))
            return 1;
    }
    printf("%ld %ld %ld\n", threads, small_count, huge_count);
    return 0;
}
