// A lock that is wanted all the time, whatever else the machine does: its holders sleep, and so it
// is always handed on to one who waits.
//
//   lock_wanted THREADS ROUNDS
//
// Right answer: a line `wait turn mutex ADDRESS NANOSECONDS`: what all threads waited, by their own
// clock.
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS_MAX = 64, NAP_NS = 10000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_llong waited_ns;
static int rounds;

static void nap(void)
{
    struct timespec span = {0, NAP_NS};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
        ;
}

OWN_NAME static void *turn(void *unused)
{
    long long waited = 0;
    for (int i = 0; i < rounds; i++) {
        long long began = clock_ns(CLOCK_MONOTONIC);
        pthread_mutex_lock(&lock);
        waited += clock_ns(CLOCK_MONOTONIC) - began;
        nap();
        pthread_mutex_unlock(&lock);
        nap();
    }
    waited_ns += waited;
    return unused;
}

int main(int argc, char **argv)
{
    long long count = argument(argc, argv, 1, 4);
    rounds = (int)argument(argc, argv, 2, 1000);
    pthread_t threads[THREADS_MAX];
    if (count < 1 || count > THREADS_MAX)
        return 2;
    for (long long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, turn, NULL))
            return 9;
    for (long long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("wait turn mutex %lx %lld\n", (unsigned long)&lock, (long long)waited_ns);
    return 0;
}
