// lock_troubles WHAT [MS]: threads that use one lock `trouble` for so long, in a way that has a
// name.
//
//   contended      it is held for half of each thread's time, so most of them have to wait
//   held-long      for 2 ms at a time
//   convoy         for a moment, but by so many that each has to be woken to have it
//   writers-wait   as a read-write lock, by readers who keep it for long and one who writes
//   readers-alone  the same, by readers who hardly ever meet
//   mostly-writes  the same, and hardly one of them reads
//   shared-line    beside another one that other threads take, on one line of the cache
//   sound          by threads that hardly ever want it at once
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <unistd.h>

static struct {
    alignas(64) pthread_mutex_t first;
    pthread_mutex_t second;
} neighbours = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
alignas(64) pthread_mutex_t trouble = PTHREAD_MUTEX_INITIALIZER;
alignas(64) pthread_rwlock_t trouble_rw = PTHREAD_RWLOCK_INITIALIZER;
static long long end_ns;

enum { MICROSECOND = 600 }; // rounds of spin(), about

static int goes_on(void)
{
    return clock_ns(CLOCK_MONOTONIC) < end_ns;
}

static void nap(long long ns)
{
    struct timespec span = {ns / 1000000000LL, ns % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
        ;
}

OWN_NAME static void *contended(void *unused)
{
    while (goes_on()) {
        pthread_mutex_lock(&trouble);
        nap(200000);
        pthread_mutex_unlock(&trouble);
        nap(200000);
    }
    return unused;
}

OWN_NAME static void *held_long(void *unused)
{
    while (goes_on()) {
        pthread_mutex_lock(&trouble);
        nap(2 * MS);
        pthread_mutex_unlock(&trouble);
        nap(2 * MS);
    }
    return unused;
}

OWN_NAME static void *convoy(void *unused)
{
    while (goes_on()) {
        pthread_mutex_lock(&trouble);
        spin(2 * MICROSECOND);
        pthread_mutex_unlock(&trouble);
        nap(1000);
    }
    return unused;
}

OWN_NAME static void *read_long(void *unused)
{
    while (goes_on()) {
        pthread_rwlock_rdlock(&trouble_rw);
        nap(3 * MS);
        pthread_rwlock_unlock(&trouble_rw);
        nap(3 * MS);
    }
    return unused;
}

OWN_NAME static void *write_now_and_then(void *unused)
{
    while (goes_on()) {
        pthread_rwlock_wrlock(&trouble_rw);
        spin(MICROSECOND);
        pthread_rwlock_unlock(&trouble_rw);
        nap(2 * MS);
    }
    return unused;
}

OWN_NAME static void *read_short(void *unused)
{
    while (goes_on()) {
        pthread_rwlock_rdlock(&trouble_rw);
        pthread_rwlock_unlock(&trouble_rw);
        nap(MS); // or the timers of the others would often interrupt who holds it
    }
    return unused;
}

OWN_NAME static void *write_short(void *unused)
{
    for (long i = 0; goes_on(); i++) {
        if (i % 20)
            pthread_rwlock_wrlock(&trouble_rw);
        else
            pthread_rwlock_rdlock(&trouble_rw);
        pthread_rwlock_unlock(&trouble_rw);
        nap(100000);
    }
    return unused;
}

OWN_NAME static void *take_own(void *own)
{
    while (goes_on()) {
        pthread_mutex_lock(own);
        pthread_mutex_unlock(own);
        nap(100000);
    }
    return NULL;
}

OWN_NAME static void *take_seldom(void *unused)
{
    while (goes_on()) {
        pthread_mutex_lock(&trouble);
        pthread_mutex_unlock(&trouble);
        pthread_rwlock_rdlock(&trouble_rw);
        pthread_rwlock_unlock(&trouble_rw);
        nap(2 * MS);
    }
    return unused;
}

static const struct {
    const char *name;
    struct {
        void *(*routine)(void *);
        void *argument;
        int threads;
    } crews[2];
} troubles[] = {
    {"contended", {{contended, NULL, 4}}},
    {"held-long", {{held_long, NULL, 3}}},
    {"convoy", {{convoy, NULL, 24}}},
    {"writers-wait", {{read_long, NULL, 2}, {write_now_and_then, NULL, 1}}},
    {"readers-alone", {{read_short, NULL, 24}}},
    {"mostly-writes", {{write_short, NULL, 8}}},
    {"shared-line", {{take_own, &neighbours.first, 4}, {take_own, &neighbours.second, 4}}},
    {"sound", {{take_seldom, NULL, 2}}},
};

int main(int argc, char **argv)
{
    enum { THREADS = 64 };
    pthread_t threads[THREADS];
    int count = 0;
    end_ns = clock_ns(CLOCK_MONOTONIC) + argument(argc, argv, 2, 1000) * MS;
    for (unsigned i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        if (strcmp(argc > 1 ? argv[1] : "", troubles[i].name) != 0)
            continue;
        for (int crew = 0; crew < 2; crew++)
            for (int k = 0; k < troubles[i].crews[crew].threads; k++)
                if (pthread_create(&threads[count++], NULL, troubles[i].crews[crew].routine,
                                   troubles[i].crews[crew].argument))
                    return 9;
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return count ? 0 : misused("lock_troubles WHAT [MS]");
}
