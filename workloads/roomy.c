// roomy [MILLISECONDS]: two threads that wait far down their stacks, each once for that long and a
// hundred times for a millisecond:
//
//     wait_below_unused   below a buffer that nobody has written to: its pages are not there
//     wait_below_used     below one that is full
//
// Right answer: all of their stacks go up to `start_thread`, as long as they wait.
#include "burn.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 40 << 10 };

static long long whole_ns;

static void nap(long long ns)
{
    struct timespec rest = {ns / 1000000000LL, ns % 1000000000LL};
    (void)nanosleep(&rest, NULL);
}

__attribute__((noinline)) static void wait_below_unused(long long ns)
{
    char room[ROOM];
    nap(ns);
    __asm__ volatile("" ::"r"(room) : "memory");
}

__attribute__((noinline)) static void wait_below_used(long long ns)
{
    char room[ROOM];
    memset(room, 1, sizeof room);
    __asm__ volatile("" ::"r"(room) : "memory");
    nap(ns);
    __asm__ volatile("" ::"r"(room) : "memory");
}

static void *wait(void *below)
{
    void (*wait_below)(long long) = *(void (**)(long long))below;
    for (int i = 0; i < 100; i++)
        wait_below(1000000);
    wait_below(whole_ns);
    return NULL;
}

int main(int argc, char **argv)
{
    static void (*ways[])(long long) = {wait_below_unused, wait_below_used};
    whole_ns = argument(argc, argv, 1, 300) * MS;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, wait, &ways[i]))
            return 1;
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
