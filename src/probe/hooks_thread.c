// Thread starts, for the engines that arm each thread by itself; with the others the call passes
// through untouched. The start routine and its argument travel in a slot, for nothing is allocated
// here. When all slots are on their way the thread starts without us, and is counted.
#include "probe/probe.h"
#include "probe/real.h"

#include <errno.h>
#include <pthread.h>
#include <threads.h>

enum { SLOTS = 64 };

struct slot {
    void *(*routine)(void *);
    thrd_start_t c11_routine;
    void *argument;
};

static struct slot slots[SLOTS];
static _Atomic uint64_t slots_taken;
static pthread_key_t end_key;
static _Atomic int end_key_made;

static struct slot *slot_take(void)
{
    uint64_t taken = atomic_load_explicit(&slots_taken, memory_order_relaxed);
    while (~taken) {
        int bit = __builtin_ctzll(~taken);
        if (atomic_compare_exchange_weak_explicit(&slots_taken, &taken, taken | (uint64_t)1 << bit,
                                                  memory_order_acquire, memory_order_relaxed))
            return &slots[bit];
    }
    return NULL;
}

static void slot_give_back(const struct slot *slot)
{
    atomic_fetch_and_explicit(&slots_taken, ~((uint64_t)1 << (slot - slots)), memory_order_release);
}

static void on_thread_end(void *thread)
{
    if (hone_probe.engine && hone_probe.engine->thread_end)
        hone_probe.engine->thread_end(thread);
}

static void begin(void)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!engine || !engine->thread_start)
        return;
    if (engine->thread_start(engine)) {
        hone_count(&hone_counters()->threads_uncovered, 1);
        return;
    }
    // The first keys live in the thread itself: setting one allocates nothing.
    if (!atomic_exchange_explicit(&end_key_made, 1, memory_order_acq_rel))
        (void)pthread_key_create(&end_key, on_thread_end);
    (void)pthread_setspecific(end_key, hone_thread_self());
}

static void *run(void *argument)
{
    struct slot slot = *(struct slot *)argument;
    slot_give_back(argument);
    begin();
    return slot.routine(slot.argument);
}

static int run_c11(void *argument)
{
    struct slot slot = *(struct slot *)argument;
    slot_give_back(argument);
    begin();
    return slot.c11_routine(slot.argument);
}

// NULL when the thread is to start without us.
static struct slot *prepare(void)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!engine)
        return NULL;
    if (engine->before_thread)
        engine->before_thread();
    if (!engine->thread_start)
        return NULL;
    struct slot *slot = slot_take();
    if (!slot)
        hone_count(&hone_counters()->threads_uncovered, 1);
    return slot;
}

HONE_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                               void *(*routine)(void *), void *argument)
{
    struct slot *slot = prepare();
    if (!slot)
        return hone_real()->pthread_create(thread, attributes, routine, argument);
    *slot = (struct slot){.routine = routine, .argument = argument};
    int r = hone_real()->pthread_create(thread, attributes, run, slot);
    if (r)
        slot_give_back(slot);
    return r;
}

HONE_EXPORT int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument)
{
    struct slot *slot = prepare();
    if (!slot)
        return hone_real()->thrd_create(thread, routine, argument);
    *slot = (struct slot){.c11_routine = routine, .argument = argument};
    int r = hone_real()->thrd_create(thread, run_c11, slot);
    if (r != thrd_success)
        slot_give_back(slot);
    return r;
}
