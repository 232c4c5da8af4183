// Thread starts and ends. The start routine and its argument travel in a slot, for nothing is
// allocated here; `run` leaves by a jump, so it is on no stack while the thread's own code runs.
// When all slots are on their way the thread starts without us and is met by its first sample.
#include "probe/heap.h"
#include "probe/lock.h"
#include "probe/lock_order.h"
#include "probe/probe.h"
#include "probe/real.h"

#include <errno.h>
#include <pthread.h>
#include <threads.h>

enum {
    SLOTS = 64,
    KEYS_INSIDE = 32, // of the C library's: setting one of the first allocates nothing
    KEY_NONE,
    KEY_MAKING,
    KEY_MADE
};

__thread uint64_t hone_thread_stack_bytes;

struct slot {
    uint64_t stack_bytes;
    void *(*routine)(void *);
    thrd_start_t c11_routine;
    void *argument;
};

static struct slot slots[SLOTS];
static _Atomic uint64_t slots_taken;
static pthread_key_t end_key;
static _Atomic int end_key_state = KEY_NONE;

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

void hone_threads_after_fork(void)
{
    hone_pending_after_fork();
    atomic_store_explicit(&slots_taken, 0, memory_order_relaxed);
    int making = KEY_MAKING;
    (void)atomic_compare_exchange_strong(&end_key_state, &making, KEY_NONE);
}

static void on_thread_end(void *thread)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    hone_heap_thread_ends();
    hone_locks_thread_leave();
    hone_lock_order_thread_leave();
    if (!engine)
        return;
    hone_thread_leave(thread);
    if (engine->thread_end)
        engine->thread_end(thread);
}

void hone_thread_ends(void)
{
    if (hone_is_our_process())
        on_thread_end(hone_thread_self());
}

// Made before the first thread, when the program has hardly any keys yet.
static void make_end_key(void)
{
    int none = KEY_NONE;
    if (!atomic_compare_exchange_strong(&end_key_state, &none, KEY_MAKING))
        return;
    int r = pthread_key_create(&end_key, on_thread_end);
    atomic_store(&end_key_state, r ? KEY_NONE : KEY_MADE);
}

void hone_thread_tells_its_end(void)
{
    if (atomic_load(&end_key_state) == KEY_MADE && end_key < KEYS_INSIDE &&
        !pthread_getspecific(end_key))
        (void)pthread_setspecific(end_key, hone_thread_self());
}

static void begin(uint64_t routine)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!engine && !hone_heap_is_wanted() && !hone_locks_are_wanted())
        return; // the program has locked itself in meanwhile
    int saved = errno;
    hone_thread_meet(hone_thread_self(), routine);
    if (engine && engine->thread_start && engine->thread_start(engine))
        hone_count(&hone_counters()->threads_uncovered, 1);
    if (atomic_load(&end_key_state) == KEY_MADE)
        (void)pthread_setspecific(end_key, hone_thread_self());
    errno = saved;
}

// How large its stack will be, without what the C library keeps untouchable of it.
static uint64_t stack_bytes(const pthread_attr_t *attributes)
{
    size_t bytes = 0, guard = 0;
    pthread_attr_t usual;
    if (!attributes && pthread_attr_init(&usual) != 0)
        return 0;
    const pthread_attr_t *of = attributes ? attributes : &usual;
    bool known = pthread_attr_getguardsize(of, &guard) == 0 &&
                 pthread_attr_getstacksize(of, &bytes) == 0 && bytes > guard;
    if (!attributes)
        (void)pthread_attr_destroy(&usual);
    return known ? bytes - guard : 0;
}

static void *run(void *argument)
{
    struct slot slot = *(struct slot *)argument;
    slot_give_back(argument);
    hone_thread_stack_bytes = slot.stack_bytes;
    begin((uint64_t)(uintptr_t)slot.routine);
    return slot.routine(slot.argument);
}

static int run_c11(void *argument)
{
    struct slot slot = *(struct slot *)argument;
    slot_give_back(argument);
    hone_thread_stack_bytes = slot.stack_bytes;
    begin((uint64_t)(uintptr_t)slot.c11_routine);
    return slot.c11_routine(slot.argument);
}

// NULL when the thread is to start without us.
static struct slot *prepare(void)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!engine && !hone_heap_is_wanted() && !hone_locks_are_wanted())
        return NULL;
    hone_locks_shared();
    int saved = errno;
    if (engine && engine->before_thread)
        engine->before_thread();
    make_end_key();
    errno = saved;
    struct slot *slot = slot_take();
    if (!slot && engine && engine->thread_start)
        hone_count(&hone_counters()->threads_uncovered, 1);
    return slot;
}

HONE_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                               void *(*routine)(void *), void *argument)
{
    struct slot *slot = prepare();
    if (!slot)
        return hone_real()->pthread_create(thread, attributes, routine, argument);
    *slot = (struct slot){stack_bytes(attributes), .routine = routine, .argument = argument};
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
    *slot = (struct slot){stack_bytes(NULL), .c11_routine = routine, .argument = argument};
    int r = hone_real()->thrd_create(thread, run_c11, slot);
    if (r != thrd_success)
        slot_give_back(slot);
    return r;
}
