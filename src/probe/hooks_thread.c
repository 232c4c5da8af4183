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

// Threads on their way at once: one creator starts some hundred before the first of them runs.
enum {
    SLOT_WORDS = 64,
    SLOTS = 64 * SLOT_WORDS,
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
    bool blocks; // our signal, as its creator does
    struct hone_thread_birth birth;
};

static struct slot slots[SLOTS];
static _Atomic uint64_t slots_taken[SLOT_WORDS];
static pthread_key_t end_key;
static _Atomic int end_key_state = KEY_NONE;

static struct slot *slot_take(void)
{
    for (uint32_t word = 0; word < SLOT_WORDS; word++) {
        uint64_t taken = atomic_load_explicit(&slots_taken[word], memory_order_relaxed);
        while (~taken) {
            int bit = __builtin_ctzll(~taken);
            if (atomic_compare_exchange_weak_explicit(&slots_taken[word], &taken,
                                                      taken | (uint64_t)1 << bit,
                                                      memory_order_acquire, memory_order_relaxed))
                return &slots[word * 64 + (uint32_t)bit];
        }
    }
    return NULL;
}

static void slot_give_back(const struct slot *slot)
{
    uint64_t number = (uint64_t)(slot - slots);
    atomic_fetch_and_explicit(&slots_taken[number / 64], ~((uint64_t)1 << number % 64),
                              memory_order_release);
}

void hone_threads_after_fork(void)
{
    hone_pending_after_fork();
    hone_mask_after_fork();
    for (uint32_t word = 0; word < SLOT_WORDS; word++)
        atomic_store_explicit(&slots_taken[word], 0, memory_order_relaxed);
    int making = KEY_MAKING;
    (void)atomic_compare_exchange_strong(&end_key_state, &making, KEY_NONE);
}

// Whether threads are to be met as they begin.
static bool are_wanted(void)
{
    return hone_probe.engine || hone_heap_is_wanted() || hone_locks_are_wanted() ||
           hone_creations_wanted();
}

static void on_thread_end(void *thread)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    hone_heap_thread_ends();
    hone_locks_thread_leave();
    hone_lock_order_thread_leave(true);
    if (are_wanted())
        hone_thread_leave(thread);
    if (hone_creations_wanted())
        hone_creation_ends(((const struct hone_thread *)thread)->tid);
    if (engine && engine->thread_end)
        engine->thread_end(thread);
}

void hone_thread_ends(void)
{
    if (hone_is_our_process() && !hone_thread_is_borrowed(hone_thread_self()))
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

static void begin(const struct hone_thread_birth *birth)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!are_wanted())
        return; // the program has locked itself in meanwhile
    int saved = errno;
    struct hone_thread *self = hone_thread_self();
    hone_thread_begin(self, birth);
    if (hone_creations_wanted())
        hone_creation_begins(self->tid, birth);
    if (engine && engine->thread_start && engine->thread_start(engine))
        hone_count(&hone_counters()->threads_uncovered, 1);
    if (engine && engine->thread_inherited)
        engine->thread_inherited(engine);
    if (atomic_load(&end_key_state) == KEY_MADE)
        (void)pthread_setspecific(end_key, self);
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

// A mask of its own comes before its creator's: it is really there when the thread begins.
static bool has_mask(const pthread_attr_t *attributes)
{
    sigset_t mask;
    return attributes && hone_real()->pthread_attr_getsigmask_np &&
           hone_real()->pthread_attr_getsigmask_np(attributes, &mask) == 0;
}

// What a thread goes on to. By value and in registers: with a local whose address anybody had,
// run() could not leave by a jump.
struct start {
    union {
        void *(*routine)(void *);
        thrd_start_t c11_routine;
    };
    void *argument;
};

__attribute__((noinline)) static struct start arrive(struct slot *slot, bool c11)
{
    struct hone_thread_birth birth = slot->birth;
    struct start start = {.argument = slot->argument};
    if (c11)
        start.c11_routine = slot->c11_routine;
    else
        start.routine = slot->routine;
    bool blocks = slot->blocks;
    hone_thread_stack_bytes = slot->stack_bytes;
    slot_give_back(slot);
    birth.routine =
        c11 ? (uint64_t)(uintptr_t)start.c11_routine : (uint64_t)(uintptr_t)start.routine;
    begin(&birth);
    hone_mask_begin(blocks);
    return start;
}

static void *run(void *argument)
{
    struct start start = arrive(argument, false);
    return start.routine(start.argument);
}

static int run_c11(void *argument)
{
    struct start start = arrive(argument, true);
    return start.c11_routine(start.argument);
}

bool hone_threads_are_to_come(void)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!are_wanted())
        return false;
    hone_locks_shared();
    int saved = errno;
    if (engine && engine->before_thread)
        engine->before_thread();
    make_end_key();
    errno = saved;
    return true;
}

void hone_thread_of_libc_begins(uint64_t routine, bool again)
{
    struct hone_thread_birth birth = {.routine = routine};
    struct hone_thread *self = hone_thread_self();
    int saved = errno;
    if (again && are_wanted() &&
        self->epoch != atomic_load_explicit(&hone_probe.epoch, memory_order_relaxed))
        self->last_cpu_ns = hone_thread_cpu_ns();
    begin(&birth);
    hone_mask_begin(again);
    errno = saved;
}

// NULL when the thread is to start without us.
HONE_HOOK static struct slot *prepare(void)
{
    const struct hone_engine_kind *engine = hone_probe.engine;
    if (!hone_threads_are_to_come())
        return NULL;
    int saved = errno;
    struct slot *slot = slot_take();
    if (!slot && engine && engine->thread_start)
        hone_count(&hone_counters()->threads_uncovered, 1);
    if (slot) {
        slot->birth = (struct hone_thread_birth){0};
        slot->blocks = hone_mask_blocks();
    }
    if (slot && hone_creations_wanted() && hone_is_our_process())
        hone_creation_here(&slot->birth);
    errno = saved;
    return slot;
}

HONE_HOOK HONE_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                         void *(*routine)(void *), void *argument)
{
    struct slot *slot = prepare();
    if (!slot)
        return hone_real()->pthread_create(thread, attributes, routine, argument);
    slot->stack_bytes = stack_bytes(attributes);
    slot->blocks &= !has_mask(attributes);
    slot->routine = routine;
    slot->argument = argument;
    int r = hone_real()->pthread_create(thread, attributes, run, slot);
    if (r)
        slot_give_back(slot);
    return r;
}

HONE_HOOK HONE_EXPORT int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument)
{
    struct slot *slot = prepare();
    if (!slot)
        return hone_real()->thrd_create(thread, routine, argument);
    slot->stack_bytes = stack_bytes(NULL);
    slot->c11_routine = routine;
    slot->argument = argument;
    int r = hone_real()->thrd_create(thread, run_c11, slot);
    if (r != thrd_success)
        slot_give_back(slot);
    return r;
}
