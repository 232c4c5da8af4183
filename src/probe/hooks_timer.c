// Threads that libc starts by itself, to tell of a timer or of a message (SIGEV_THREAD). No hook
// sees them made, and those of timers block all signals. So libc is given a function of ours, which
// sees to that as hooks_thread.c does, and then goes on to the program's by a jump.
//
// What that is, and its value, lies in a table, for nobody tells when libc needs it no more: equal
// pairs share an entry. When there is no room the thread runs without us.
//
// aio_read() and the like are left alone: their threads let all signals in.
#include "probe/probe.h"
#include "probe/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <mqueue.h>
#include <signal.h>
#include <time.h>

typedef void hone_notification(union sigval);

enum {
    PAIRS_BITS = 11, // of timers with a value each; entries of the same place are few then
    PAIRS = 1 << PAIRS_BITS,
    TRIES = 16
};
// Of an entry that is being filled.
#define TAKEN ((hone_notification *)1)

static struct pair {
    hone_notification *_Atomic function; // NULL: free
    union sigval value;
} pairs[PAIRS];

static uint32_t place_of(hone_notification *function, union sigval value)
{
    uint64_t mixed = ((uintptr_t)function ^ (uintptr_t)value.sival_ptr * 31) * 0x9e3779b97f4a7c15;
    return (uint32_t)(mixed >> (64 - PAIRS_BITS));
}

// NULL: no room. One that a thread or a signal's handler fills meanwhile is passed by: the pair may
// then be there twice.
static struct pair *pair_of(hone_notification *function, union sigval value)
{
    uint32_t place = place_of(function, value);
    for (uint32_t i = 0; i < TRIES; i++) {
        struct pair *pair = &pairs[(place + i) % PAIRS];
        // Acquire: the value was there before its function. Pairs with the release below.
        hone_notification *there = atomic_load_explicit(&pair->function, memory_order_acquire);
        if (there == function && pair->value.sival_ptr == value.sival_ptr)
            return pair;
        if (there ||
            !atomic_compare_exchange_strong_explicit(&pair->function, &there, TAKEN,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        pair->value = value;
        atomic_store_explicit(&pair->function, function, memory_order_release);
        return pair;
    }
    return NULL;
}

// By value and in registers: see hooks_thread.c.
struct start {
    hone_notification *function;
    union sigval value;
};

__attribute__((noinline)) static struct start arrive(const struct pair *pair, bool of_timer)
{
    struct start start = {atomic_load_explicit(&pair->function, memory_order_acquire), pair->value};
    // With musl one thread runs all of a timer's, each with storage as fresh as a new thread's.
    hone_thread_of_libc_begins((uint64_t)(uintptr_t)start.function,
                               of_timer && !hone_real_is_glibc());
    return start;
}

static void run_of_timer(union sigval value)
{
    struct start start = arrive(value.sival_ptr, true);
    start.function(start.value);
}

static void run_of_queue(union sigval value)
{
    struct start start = arrive(value.sival_ptr, false);
    start.function(start.value);
}

// What libc is to be given instead, which is in `copy` if anything changes.
static const struct sigevent *with_ours(const struct sigevent *event, hone_notification *ours,
                                        struct sigevent *copy)
{
    if (!event || event->sigev_notify != SIGEV_THREAD || !event->sigev_notify_function ||
        !hone_threads_are_to_come())
        return event;
    struct pair *pair = pair_of(event->sigev_notify_function, event->sigev_value);
    if (!pair) {
        hone_count(&hone_counters()->threads_uncovered, 1);
        return event;
    }
    *copy = *event;
    copy->sigev_notify_function = ours;
    copy->sigev_value.sival_ptr = pair;
    return copy;
}

// Before glibc 2.34 these lie in a library of their own, which may have come after our first look.
static void *of_librt(const char *name)
{
    void *library = hone_real()->dlopen("librt.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return library ? dlsym(library, name) : NULL;
}

static int lacks_it(void)
{
    errno = ENOSYS;
    return -1;
}

HONE_EXPORT int timer_create(clockid_t clock, struct sigevent *event, timer_t *ret)
{
    struct sigevent copy;
    int (*real)(clockid_t, const struct sigevent *, timer_t *) = hone_real()->timer_create;
    if (HONE_UNLIKELY(!real))
        *(void **)&real = of_librt("timer_create");
    if (HONE_UNLIKELY(!real))
        return lacks_it();
    return real(clock, with_ours(event, run_of_timer, &copy), ret);
}

HONE_EXPORT int mq_notify(mqd_t queue, const struct sigevent *event)
{
    struct sigevent copy;
    int (*real)(mqd_t, const struct sigevent *) = hone_real()->mq_notify;
    if (HONE_UNLIKELY(!real))
        *(void **)&real = of_librt("mq_notify");
    if (HONE_UNLIKELY(!real))
        return lacks_it();
    return real(queue, with_ours(event, run_of_queue, &copy));
}
