#include "probe/lock_draw.h"
#include "probe/lock_kinds.h"
#include "probe/lock_table.h"
#include "session/layout.h"

#include "check.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

bool hone_lock_is_musl;

enum { UNIT = 1 << HONE_LOCK_UNIT_SHIFT };
#define LOCK 0x7f0012345678u

static struct hone_lock_place enter(uint64_t lock, uint64_t at)
{
    struct hone_lock_place place;
    hone_lock_enter(lock, at * UNIT, &place);
    return place;
}

static struct hone_lock_left leave(const struct hone_lock_place *place, uint64_t at)
{
    struct hone_lock_left left;
    hone_lock_leave(place, at * UNIT, HONE_LOCK_TAKEN, &left);
    return left;
}

static struct hone_lock_charge release(uint64_t lock, uint64_t at, uint32_t thread)
{
    struct hone_lock_charge charge;
    struct hone_lock_done done = {
        .lock = lock, .ticks = at * UNIT, .thread = thread, .kind = HONE_LOCK_MUTEX, .drawn = true};
    hone_lock_release(&done, &charge);
    return charge;
}

TEST(what_is_left_of_what_it_took_to_go_on_is_told_at_the_end)
{
    uint64_t lock, released;
    struct hone_lock_place one = enter(LOCK, 1000);
    struct hone_lock_charge charge = release(LOCK, 1100, 7);
    CHECK(!hone_lock_next_rests(NULL));
    hone_lock_pass_on(one.entry, 100 * UNIT);
    CHECK(hone_lock_next_rests(NULL) == one.entry);
    CHECK(!hone_lock_next_rests(one.entry));
    // Whose it is is not known yet: then it stays.
    CHECK_EQ(hone_lock_take_rests(one.entry, &lock, &released), 0);
    hone_lock_told(one.entry, LOCK, charge.released, 99);
    CHECK_EQ(hone_lock_take_rests(one.entry, &lock, &released), 100 * UNIT);
    CHECK_EQ(lock, LOCK);
    CHECK_EQ((uint32_t)released, 99);
    CHECK_EQ(HONE_LOCK_RELEASED_BY(released), 8);
    CHECK_EQ(hone_lock_take_rests(one.entry, &lock, &released), 0);
    CHECK(!hone_lock_next_rests(NULL));
    (void)leave(&one, 1110);
}

// --- who comes first -----------------------------------------------------------------------------

enum { TOGETHER = 2, FRESH = 20000 };
static atomic_uint arrived, missed;
static atomic_uint untracked; // who had to look for too long while another lost its processor

// Both go on within some nanoseconds: nobody has to be woken.
static bool meet(void)
{
    unsigned mine = atomic_fetch_add(&arrived, 1), all = mine - mine % TOGETHER + TOGETHER;
    for (unsigned look = 1; atomic_load(&arrived) < all; look++)
        if (look % 1000 == 0)
            sched_yield();
    return mine + 1 == all;
}

// Each on a processor of its own, as far as there are so many.
static void go_apart(long number)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all))
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || number--)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void *come_at_once(void *number)
{
    go_apart((long)number);
    for (uint64_t i = 0; i < FRESH; i++) {
        meet();
        struct hone_lock_place place = enter(LOCK + 64 * i, 1000);
        atomic_fetch_add(&untracked, !place.entry);
        if (meet()) {
            struct hone_lock_charge charge = release(LOCK + 64 * i, 1100, 1);
            unsigned known = charge.waiters + atomic_exchange(&untracked, 0);
            missed += known != TOGETHER || charge.delay != 100 * charge.waiters * UNIT;
        }
        meet();
        leave(&place, 1100);
    }
    return NULL;
}

TEST(a_lock_has_one_entry_however_many_come_first)
{
    pthread_t threads[TOGETHER];
    for (long i = 0; i < TOGETHER; i++)
        CHECK(!pthread_create(&threads[i], NULL, come_at_once, (void *)i));
    for (int i = 0; i < TOGETHER; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(missed, 0);
}

TEST(a_release_is_charged_with_what_all_waited)
{
    struct hone_lock_place one = enter(LOCK, 1000), two = enter(LOCK, 1500);
    CHECK(hone_lock_may_be_waited_for((void *)LOCK));
    struct hone_lock_charge charge = release(LOCK, 2000, 7);
    CHECK_EQ(charge.delay, 1500 * UNIT);
    CHECK_EQ(charge.waiters, 2);
    hone_lock_tell(&charge, 99);
    // The first one goes on and releases it in its turn: only what the second waited since then.
    struct hone_lock_left left = leave(&one, 2010);
    CHECK_EQ(left.rest, 10 * UNIT);
    CHECK_EQ(HONE_LOCK_RELEASED_BY(left.released), 8);
    CHECK_EQ(HONE_LOCK_RELEASED_KIND(left.released), HONE_LOCK_MUTEX);
    CHECK_EQ((uint32_t)left.released, 99);
    charge = release(LOCK, 2300, 5);
    CHECK_EQ(charge.delay, 300 * UNIT);
    CHECK_EQ(charge.waiters, 1);
    // The second one goes on before that stack is known: its way is told with it.
    left = leave(&two, 2340);
    CHECK_EQ(left.rest, 0);
    hone_lock_tell(&charge, 98);
    CHECK_EQ(charge.delay, 300 * UNIT);
    CHECK_EQ(charge.rest, 40 * UNIT);
    CHECK_EQ(hone_lock_released_stack(LOCK, left.released), 98);
    // Nobody waits any more.
    CHECK(!release(LOCK, 2400, 5).entry);
}

TEST(what_nobody_tells_comes_with_what_is_told_next)
{
    struct hone_lock_place one = enter(LOCK, 1000);
    struct hone_lock_charge charge = release(LOCK, 1100, 7);
    hone_lock_tell(&charge, 99);
    (void)leave(&one, 1110);
    // Waits take 110: what takes twice as long gets all of the sum.
    hone_lock_pass_on(one.entry, 100 * UNIT);
    hone_lock_pass_on(one.entry, 300 * UNIT);
    CHECK_EQ(hone_lock_collect(one.entry, 22 * UNIT), 40 * UNIT);
    CHECK_EQ(hone_lock_collect(one.entry, 110 * UNIT), 180 * UNIT);
    CHECK_EQ(hone_lock_collect(one.entry, 0), 0);
    CHECK_EQ(hone_lock_collect(one.entry, 220 * UNIT), 180 * UNIT);
    CHECK_EQ(hone_lock_collect(one.entry, 220 * UNIT), 0);
    // An hour is a later release's.
    const uint64_t hour = (uint64_t)3600 * 1000000000 / 16;
    hone_lock_pass_on(one.entry, hour * UNIT);
    CHECK_EQ(hone_lock_collect(one.entry, 220 * UNIT), 0);
    struct hone_lock_place two = enter(LOCK, 1150);
    CHECK_EQ(release(LOCK, 1200, 1).delay, (hour + 50) * UNIT);
    (void)leave(&two, 1200);
}

TEST(a_wait_that_saw_no_release_leaves_nothing_to_the_next)
{
    struct hone_lock_place one = enter(LOCK, 1000);
    struct hone_lock_left left = leave(&one, 9000);
    CHECK_EQ(left.released, 0);
    CHECK_EQ(left.rest, 0);
    CHECK(!release(LOCK, 9100, 1).entry);
}

TEST(who_gave_up_is_owed_by_the_next_release)
{
    struct hone_lock_place one = enter(LOCK, 1000);
    struct hone_lock_left left;
    hone_lock_leave(&one, 1400 * UNIT, HONE_LOCK_TIMED_OUT, &left);
    struct hone_lock_charge charge = release(LOCK, 5000, 1);
    CHECK_EQ(charge.delay, 400 * UNIT);
    CHECK_EQ(charge.waiters, 1);
    CHECK(!release(LOCK, 5100, 1).entry);
}

TEST(who_inherits_from_the_dead_was_released_by_nobody)
{
    struct hone_lock_place one = enter(LOCK, 1000);
    CHECK_EQ(release(LOCK, 1100, 1).delay, 100 * UNIT);
    (void)leave(&one, 1100);
    one = enter(LOCK, 1200);
    struct hone_lock_left left;
    hone_lock_leave(&one, 9000 * UNIT, HONE_LOCK_INHERITED, &left);
    CHECK_EQ(left.released, 0);
    CHECK_EQ(left.rest, 0);
    CHECK(!release(LOCK, 9100, 1).entry);
}

TEST(who_releases_late_is_charged_with_what_was_waited_until_then)
{
    struct hone_lock_place one = enter(LOCK, 1000), two = enter(LOCK, 1500);
    // It was released at 2000, which nobody has said yet when the first one has had it already.
    struct hone_lock_left left;
    hone_lock_leave(&one, 2010 * UNIT, HONE_LOCK_LATE, &left);
    CHECK_EQ(left.owed, 1010 * UNIT);
    CHECK_EQ(left.released, 0);
    struct hone_lock_done done = {.lock = LOCK, .ticks = 2300 * UNIT, .taken = 2010 * UNIT};
    struct hone_lock_charge charge;
    hone_lock_release(&done, &charge);
    hone_lock_owe(one.entry, LOCK, left.owed);
    CHECK_EQ(charge.delay, 290 * UNIT);
    CHECK_EQ(release(LOCK, 2000, 1).delay, (1010 + 510) * UNIT);
    (void)leave(&two, 2310);
    CHECK(!release(LOCK, 2400, 1).entry);
}

TEST(who_did_not_wait_is_charged_to_nobody)
{
    struct hone_lock_place one = enter(LOCK, 1000), two = enter(LOCK, 1000);
    struct hone_lock_charge charge = release(LOCK, 1100, 1);
    struct hone_lock_left left;
    hone_lock_leave(&one, 9000 * UNIT, HONE_LOCK_UNDONE, &left);
    hone_lock_tell(&charge, 98);
    CHECK_EQ(charge.delay, 200 * UNIT);
    (void)leave(&two, 1100);
}

TEST(a_release_that_failed_is_charged_with_nothing)
{
    struct hone_lock_place one = enter(LOCK, 1000);
    struct hone_lock_charge charge = release(LOCK, 2000, 1);
    hone_lock_not_released(&charge);
    charge = release(LOCK, 3000, 2);
    CHECK_EQ(charge.delay, 2000 * UNIT);
    (void)leave(&one, 3000);
}

TEST(a_waiter_shows_its_stack_while_it_waits)
{
    struct hone_lock_place one = enter(LOCK, 1000), two = enter(LOCK, 1001);
    hone_lock_show(&two, 42);
    CHECK_EQ(release(LOCK, 1100, 1).waiter_stack, 42);
    (void)leave(&two, 1100);
    CHECK_EQ(release(LOCK, 1200, 1).waiter_stack, 0);
    (void)leave(&one, 1200);
}

TEST(more_locks_than_entries_are_refused_only_while_somebody_waits)
{
    enum { LOCKS = HONE_LOCK_SETS * HONE_LOCK_WAYS * 3 };
    static struct hone_lock_place places[LOCKS];
    unsigned refused = 0;
    for (unsigned i = 0; i < LOCKS; i++) {
        places[i] = enter(LOCK + i * 64, 1000);
        refused += !places[i].entry;
    }
    CHECK(refused >= LOCKS - HONE_LOCK_SETS * HONE_LOCK_WAYS);
    CHECK(refused < LOCKS);
    for (unsigned i = 0; i < LOCKS; i++)
        (void)leave(&places[i], 1001);
    // Then each of them finds room again.
    for (unsigned i = 0; i < LOCKS; i++) {
        struct hone_lock_place place = enter(LOCK + i * 64, 2000);
        CHECK(place.entry);
        CHECK_EQ(release(LOCK + i * 64, 2100, 1).delay, 100 * UNIT);
        (void)leave(&place, 2100);
    }
}

TEST(waiters_beyond_the_limit_are_refused)
{
    static struct hone_lock_place places[HONE_LOCK_WAITERS_MAX + 10];
    for (unsigned i = 0; i < HONE_ARRAY_LENGTH(places); i++) {
        places[i] = enter(LOCK, 1000);
        CHECK_EQ(places[i].entry != NULL, i < HONE_LOCK_WAITERS_MAX);
    }
    CHECK_EQ(release(LOCK, 1010, 1).delay, (uint64_t)HONE_LOCK_WAITERS_MAX * 10 * UNIT);
    for (unsigned i = 0; i < HONE_ARRAY_LENGTH(places); i++)
        (void)leave(&places[i], 1010);
    CHECK(!release(LOCK, 1020, 1).entry);
}

TEST(waits_of_days_are_no_matter)
{
    const uint64_t day = (uint64_t)86400 * 3000000000u / UNIT;
    struct hone_lock_place places[100];
    for (unsigned i = 0; i < 100; i++)
        places[i] = enter(LOCK, 1000);
    CHECK_EQ(release(LOCK, 1000 + day, 1).delay, 100 * day * UNIT);
    for (unsigned i = 0; i < 100; i++)
        (void)leave(&places[i], 1000 + day);
}

// Threads that take a lock in turn: whatever the order of things, what they waited is what the
// releases were charged with, and what was left of it.
enum { THREADS = 4, TURNS = 20000 };
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t clock_now = 1000;
static _Atomic uint64_t waited, charged, rests;

static void *take_turns(void *unused)
{
    for (int i = 0; i < TURNS; i++) {
        struct hone_lock_place place = enter((uintptr_t)&turn, clock_now++);
        pthread_mutex_lock(&turn);
        uint64_t now = clock_now++;
        struct hone_lock_left left = leave(&place, now);
        waited += now * UNIT - place.began;
        // What no release was charged with belongs to nobody: the lock was free.
        rests += left.released ? left.rest : 0;
        struct hone_lock_charge charge = release((uintptr_t)&turn, clock_now++, 1);
        pthread_mutex_unlock(&turn);
        if (charge.entry)
            hone_lock_tell(&charge, 1);
        charged += charge.delay;
    }
    return unused;
}

TEST(no_wait_is_charged_twice_whoever_comes_when)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, take_turns, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(charged + rests <= waited);
    CHECK(!release((uintptr_t)&turn, clock_now, 1).entry);
}

// The same where releases are charged once they are done, in whatever order threads come to it.
static void *take_turns_late(void *unused)
{
    for (int i = 0; i < TURNS; i++) {
        struct hone_lock_place place = enter((uintptr_t)&turn, clock_now++);
        pthread_mutex_lock(&turn);
        uint64_t taken = clock_now++, freed = clock_now++;
        struct hone_lock_left left;
        hone_lock_leave(&place, taken * UNIT, HONE_LOCK_LATE, &left);
        pthread_mutex_unlock(&turn);
        struct hone_lock_done done = {
            .lock = (uintptr_t)&turn, .ticks = freed * UNIT, .taken = taken * UNIT};
        struct hone_lock_charge charge;
        hone_lock_release(&done, &charge);
        charged += charge.delay;
        if (!place.entry) // another one lost its processor while it made that: it is not tracked
            continue;
        hone_lock_owe(place.entry, (uintptr_t)&turn, left.owed);
        waited += taken * UNIT - place.began;
        rests += left.rest;
    }
    return unused;
}

TEST(who_is_late_loses_no_wait_and_adds_none)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, take_turns_late, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    charged += release((uintptr_t)&turn, clock_now, 1).delay; // what is owed still
    CHECK_NEAR((double)(charged + rests), (double)waited, 0.01 * (double)waited);
}

TEST(one_in_n_is_drawn)
{
    uint64_t state = 1;
    static const uint64_t means[] = {1, 2, 3, 10, 100, 1000};
    for (unsigned i = 0; i < HONE_ARRAY_LENGTH(means); i++) {
        enum { DRAWS = 200000 };
        double sum = 0, mean = (double)means[i];
        for (int draw = 0; draw < DRAWS; draw++)
            sum += (double)hone_draw_skip(&state, means[i]) + 1;
        // Five standard errors, of the same draws each time, and what small means are off by.
        double deviation = sqrt(mean * (mean - 1));
        CHECK_NEAR(sum / DRAWS, mean, 5 * deviation / sqrt(DRAWS) + 0.02);
    }
}

// Many that are small and a few that are most of the sum, as delays are where a holder loses its
// processor now and then: with one in ten of all the sum would be off by a third mostly.
TEST(a_few_large_ones_do_not_depend_on_chance)
{
    enum { ALL = 100000, LARGE_EACH = 10000, SURE = 1000, LARGE_SIZE = 4000 };
    uint64_t state = 1, sum = 0, drawn = 0, count = 0;
    for (int i = 0; i < ALL; i++) {
        bool large = i % LARGE_EACH == 0;
        uint64_t size = large ? LARGE_SIZE : 1 + (uint64_t)i % 200;
        uint32_t of = hone_draw_one_in(size, SURE, 10);
        uint32_t weight = hone_draw_one_of(&state, of);
        CHECK(!large || weight == 1);
        CHECK(weight <= 10);
        sum += size;
        drawn += size * weight;
        count += weight;
    }
    CHECK_NEAR((double)drawn, (double)sum, 0.02 * (double)sum);
    CHECK_NEAR((double)count, ALL, 0.03 * ALL);
    CHECK_EQ(hone_draw_one_in(0, SURE, 10), 10);
    CHECK_EQ(hone_draw_one_in(0, SURE, 1), 1);
    CHECK_EQ(hone_draw_one_in(SURE / 2, SURE, 10), 2);
    CHECK_EQ(hone_draw_one_in(UINT64_MAX, SURE, UINT32_MAX), 1);
}

TEST(what_is_drawn_by_size_is_certain_from_the_rate_on)
{
    CHECK(hone_draw_by_size(UINT32_MAX, 1000, 1000));
    CHECK(!hone_draw_by_size(UINT32_MAX, 999, 1000));
    CHECK(hone_draw_by_size(UINT32_MAX / 2, 501, 1000));
    CHECK(!hone_draw_by_size(UINT32_MAX / 2, 499, 1000));
}

#if defined(__x86_64__) // qemu gives programs no list of robust mutexes
static void *lock_and_die(void *mutex)
{
    CHECK(!pthread_mutex_lock(mutex));
    return mutex;
}
#endif

TEST(mutexes_are_known_by_what_their_library_keeps_in_them)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    CHECK(hone_mutex_may_try(&mutex));
    CHECK(!hone_mutex_is_taken(&mutex));
    for (int depth = 1; depth < 4; depth++) {
        pthread_mutex_lock(&mutex);
        CHECK_EQ(hone_mutex_depth(&mutex), depth);
    }
    CHECK(hone_mutex_is_taken(&mutex));
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_t robust, inheriting, plain = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_init(&robust, &attributes);
    CHECK(!hone_mutex_may_try(&robust));
    CHECK(hone_lock_is_shared(&robust, HONE_LOCK_MUTEX)); // so that its holder's end is a release
#if defined(__x86_64__)
    pthread_t dies;
    CHECK(!pthread_create(&dies, NULL, lock_and_die, &robust));
    CHECK(!pthread_join(dies, NULL));
    CHECK(!hone_mutex_is_taken(&robust));
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK(hone_mutex_is_taken(&robust));
#endif
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&inheriting, &attributes);
    CHECK(!hone_mutex_may_try(&inheriting));
    CHECK(hone_mutex_may_try(&plain));
    CHECK(!hone_lock_is_shared(&plain, HONE_LOCK_MUTEX));
    CHECK_EQ(hone_mutex_depth(&plain), 0);
    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER, of_several;
    pthread_rwlockattr_t rwlock_attributes;
    pthread_rwlockattr_init(&rwlock_attributes);
    pthread_rwlockattr_setpshared(&rwlock_attributes, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&of_several, &rwlock_attributes);
    CHECK(hone_lock_is_shared(&of_several, HONE_LOCK_WRITE));
    CHECK(!hone_lock_is_shared(&rwlock, HONE_LOCK_READ));
    pthread_rwlock_rdlock(&rwlock);
    CHECK(!hone_rwlock_is_written(&rwlock));
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_wrlock(&rwlock);
    CHECK(hone_rwlock_is_written(&rwlock));
}
