// locks WHAT: threads that wait for locks which another one holds for a known time.
//
//   hold     hold_long has a mutex while waiter_one and waiter_two want it, over and over
//   chain    hold_first has one mutex, middle has a second one and waits for the first, last_one
//            waits for the second
//   kinds    each kind of lock, of those that threads can hold: held once while one thread waits
//   queue    a producer and two consumers, by a condition variable
//   waits    what nobody holds: a condition, a semaphore, a barrier, the end of a thread
//   timed    two threads give up waiting for what hold_on has, by then one has waited in vain
//   died     release_before has a robust mutex while wait_after wants it; then hold_and_die, whose
//            thread ends, so that nobody releases it
//   elsewhere  the same of a shared mutex, which a forked process has then; once it is given up
//   churn N  N threads take one mutex for short, in turn
//   single   single_waits, while there is no other thread, waits with a limit for what it has
//            itself; then second_waits wants what single_holds took before it was there
//   single_untimed  the second half alone
//   control  threads that never wait for each other
//
// Right answer: lines `wait FUNCTION KIND ADDRESS NANOSECONDS`: what FUNCTION waited for the lock
// at ADDRESS, by its own clock.
#include "burn.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static long long now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static void nap(long long ns)
{
    struct timespec span = {ns / 1000000000LL, ns % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &span, &span) == EINTR)
        ;
}

static struct timespec in_ms(clockid_t clock, long long ms)
{
    long long at = clock_ns(clock) + ms * MS;
    return (struct timespec){at / 1000000000LL, at % 1000000000LL};
}

static void tell(const char *function, const char *kind, const void *lock, long long ns)
{
    printf("wait %s %s %lx %lld\n", function, kind, (unsigned long)lock, ns);
}

static pthread_t start(void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, routine, argument))
        exit(9);
    return thread;
}

// --- hold ----------------------------------------------------------------------------------------

enum { ROUNDS = 10, HOLD_MS = 20 };

static pthread_mutex_t long_held = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t round_begins, round_ends;

OWN_NAME static void release_long(void)
{
    pthread_mutex_unlock(&long_held);
    __asm__ volatile("");
}

OWN_NAME static void *hold_long(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&long_held);
        pthread_barrier_wait(&round_begins);
        nap(HOLD_MS * MS);
        release_long();
        pthread_barrier_wait(&round_ends);
    }
    return unused;
}

static long long wait_in_turn(void)
{
    long long waited = 0;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&round_begins);
        long long began = now_ns();
        pthread_mutex_lock(&long_held);
        waited += now_ns() - began;
        pthread_mutex_unlock(&long_held);
        pthread_barrier_wait(&round_ends);
    }
    return waited;
}

OWN_NAME static void *waiter_one(void *unused)
{
    tell("waiter_one", "mutex", &long_held, wait_in_turn());
    return unused;
}

OWN_NAME static void *waiter_two(void *unused)
{
    tell("waiter_two", "mutex", &long_held, wait_in_turn());
    return unused;
}

static void hold(void)
{
    pthread_barrier_init(&round_begins, NULL, 3);
    pthread_barrier_init(&round_ends, NULL, 3);
    pthread_t threads[] = {start(hold_long, NULL), start(waiter_one, NULL),
                           start(waiter_two, NULL)};
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

// --- chain ---------------------------------------------------------------------------------------

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;

OWN_NAME static void *hold_first(void *unused)
{
    pthread_mutex_lock(&first);
    nap(120 * MS);
    pthread_mutex_unlock(&first);
    return unused;
}

OWN_NAME static void *middle(void *unused)
{
    pthread_mutex_lock(&second);
    long long began = now_ns();
    pthread_mutex_lock(&first);
    tell("middle", "mutex", &first, now_ns() - began);
    nap(40 * MS);
    pthread_mutex_unlock(&first);
    pthread_mutex_unlock(&second);
    return unused;
}

OWN_NAME static void *last_one(void *unused)
{
    long long began = now_ns();
    pthread_mutex_lock(&second);
    tell("last_one", "mutex", &second, now_ns() - began);
    pthread_mutex_unlock(&second);
    return unused;
}

static void chain(void)
{
    pthread_t threads[3];
    threads[0] = start(hold_first, NULL);
    nap(20 * MS);
    threads[1] = start(middle, NULL);
    nap(20 * MS);
    threads[2] = start(last_one, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

// --- kinds ---------------------------------------------------------------------------------------

static pthread_mutex_t normal, recursive, checked, robust, inheriting, capped, *shared;
static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t read_held = PTHREAD_RWLOCK_INITIALIZER,
                        written = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spinning;
static mtx_t c11;

enum how { LOCK, TIMED, CLOCK };

static int lock_mutex(pthread_mutex_t *mutex, enum how how)
{
    struct timespec until = in_ms(how == TIMED ? CLOCK_REALTIME : CLOCK_MONOTONIC, 10000);
    return how == TIMED   ? pthread_mutex_timedlock(mutex, &until)
           : how == CLOCK ? pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until)
                          : pthread_mutex_lock(mutex);
}

struct held {
    const char *kind;
    void *lock;
    enum how how;
};

static int take(const struct held *held, enum how how)
{
    struct timespec until = in_ms(CLOCK_REALTIME, 10000);
    switch (held->kind[0]) {
    case 'm':
        return lock_mutex(held->lock, how);
    case 'r':
        return how == LOCK ? pthread_rwlock_rdlock(held->lock)
                           : pthread_rwlock_timedrdlock(held->lock, &until);
    case 'w':
        return how == LOCK ? pthread_rwlock_wrlock(held->lock)
                           : pthread_rwlock_timedwrlock(held->lock, &until);
    case 's':
        return pthread_spin_lock(held->lock);
    default:
        return how == LOCK ? mtx_lock(held->lock) : mtx_timedlock(held->lock, &until);
    }
}

static void give(const struct held *held)
{
    switch (held->kind[0]) {
    case 'm':
        pthread_mutex_unlock(held->lock);
        break;
    case 'r':
    case 'w':
        pthread_rwlock_unlock(held->lock);
        break;
    case 's':
        pthread_spin_unlock(held->lock);
        break;
    default:
        mtx_unlock(held->lock);
    }
}

static atomic_int is_held;

OWN_NAME static void *hold_kind(void *context)
{
    struct held held = *(struct held *)context;
    if (held.kind[0] == 'r') // who reads waits for who writes
        held.kind = "write";
    if (take(&held, LOCK))
        exit(8);
    is_held = 1;
    nap(30 * MS);
    give(&held);
    __asm__ volatile("");
    return NULL;
}

OWN_NAME static void *wait_kind(void *context)
{
    const struct held *held = context;
    while (!is_held)
        ;
    long long began = now_ns();
    if (take(held, held->how))
        exit(7);
    tell("wait_kind", held->kind, held->lock, now_ns() - began);
    give(held);
    return NULL;
}

static void init(pthread_mutex_t *mutex, int type, int is_robust, int protocol, int is_shared)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setrobust(&attributes,
                                is_robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutexattr_setpshared(&attributes, is_shared);
    if (pthread_mutex_init(mutex, &attributes))
        exit(6);
}

OWN_NAME static void make_locks(void)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    init(&normal, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_NONE, 0);
    init(&recursive, PTHREAD_MUTEX_RECURSIVE, 0, PTHREAD_PRIO_NONE, 0);
    init(&checked, PTHREAD_MUTEX_ERRORCHECK, 0, PTHREAD_PRIO_NONE, 0);
    init(&robust, PTHREAD_MUTEX_NORMAL, 1, PTHREAD_PRIO_NONE, 0);
    init(&inheriting, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_INHERIT, 0);
    init(&capped, PTHREAD_MUTEX_RECURSIVE, 1, PTHREAD_PRIO_NONE, 0);
    init(shared, PTHREAD_MUTEX_NORMAL, 0, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&written, NULL);
    pthread_spin_init(&spinning, PTHREAD_PROCESS_PRIVATE);
    mtx_init(&c11, mtx_timed);
}

static void kinds(void)
{
    make_locks();
    struct held all[] = {
        {"mutex", &normal, LOCK},          {"mutex", &normal, TIMED}, {"mutex", &normal, CLOCK},
        {"mutex", &recursive, LOCK},       {"mutex", &checked, LOCK}, {"mutex", &adaptive, LOCK},
        {"mutex", &robust, LOCK},          {"mutex", &robust, TIMED}, {"mutex", &inheriting, LOCK},
        {"mutex", &capped, LOCK},          {"mutex", shared, LOCK},   {"read", &read_held, LOCK},
        {"read", &read_held, TIMED},       {"write", &written, LOCK}, {"write", &written, TIMED},
        {"spin", (void *)&spinning, LOCK}, {"c11", &c11, LOCK},       {"c11", &c11, TIMED},
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        is_held = 0;
        pthread_t holder = start(hold_kind, &all[i]), waiter = start(wait_kind, &all[i]);
        pthread_join(holder, NULL);
        pthread_join(waiter, NULL);
    }
}

// --- queue ---------------------------------------------------------------------------------------

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static int in_queue, closed;
static atomic_llong waited_for_filled;

OWN_NAME static void *consume(void *unused)
{
    pthread_mutex_lock(&queue_lock);
    for (;;) {
        long long began = now_ns();
        while (!in_queue && !closed)
            pthread_cond_wait(&filled, &queue_lock);
        waited_for_filled += now_ns() - began;
        if (!in_queue)
            break;
        in_queue--;
    }
    pthread_mutex_unlock(&queue_lock);
    return unused;
}

static void queue(void)
{
    pthread_t threads[] = {start(consume, NULL), start(consume, NULL)};
    for (int i = 0; i < 40; i++) {
        nap(5 * MS);
        pthread_mutex_lock(&queue_lock);
        in_queue++;
        pthread_cond_signal(&filled);
        pthread_mutex_unlock(&queue_lock);
    }
    pthread_mutex_lock(&queue_lock);
    closed = 1;
    pthread_cond_broadcast(&filled);
    pthread_mutex_unlock(&queue_lock);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    tell("consume", "condition", &filled, waited_for_filled);
}

// --- waits ---------------------------------------------------------------------------------------

static sem_t semaphore;
static pthread_barrier_t barrier;
static cnd_t c11_condition;

OWN_NAME static void *come_late(void *unused)
{
    nap(50 * MS);
    sem_post(&semaphore);
    nap(50 * MS);
    pthread_barrier_wait(&barrier);
    nap(50 * MS);
    return unused;
}

OWN_NAME static void wait_for_all(void)
{
    pthread_t thread = start(come_late, NULL);
    long long began = now_ns();
    sem_wait(&semaphore);
    tell("wait_for_all", "semaphore", &semaphore, now_ns() - began);
    began = now_ns();
    pthread_barrier_wait(&barrier);
    tell("wait_for_all", "barrier", &barrier, now_ns() - began);
    began = now_ns();
    pthread_join(thread, NULL);
    tell("wait_for_all", "join", (void *)thread, now_ns() - began);
    pthread_mutex_lock(&first);
    struct timespec until = in_ms(CLOCK_REALTIME, 50);
    began = now_ns();
    if (pthread_cond_timedwait(&filled, &first, &until) != ETIMEDOUT)
        exit(5);
    tell("wait_for_all", "condition", &filled, now_ns() - began);
    until = in_ms(CLOCK_MONOTONIC, 50);
    began = now_ns();
    if (pthread_cond_clockwait(&filled, &first, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
        exit(5);
    tell("wait_for_all", "condition", &filled, now_ns() - began);
    pthread_mutex_unlock(&first);
    mtx_lock(&c11);
    until = in_ms(CLOCK_REALTIME, 50);
    began = now_ns();
    if (cnd_timedwait(&c11_condition, &c11, &until) != thrd_timedout)
        exit(5);
    tell("wait_for_all", "condition", &c11_condition, now_ns() - began);
    mtx_unlock(&c11);
    until = in_ms(CLOCK_REALTIME, 50);
    began = now_ns();
    if (sem_timedwait(&semaphore, &until) == 0 || errno != ETIMEDOUT)
        exit(5);
    tell("wait_for_all", "semaphore", &semaphore, now_ns() - began);
}

OWN_NAME static void waits(void)
{
    sem_init(&semaphore, 0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    mtx_init(&c11, mtx_plain);
    cnd_init(&c11_condition);
    wait_for_all();
}

// --- timed ---------------------------------------------------------------------------------------

OWN_NAME static void *hold_on(void *unused)
{
    pthread_mutex_lock(&normal);
    is_held = 1;
    nap(100 * MS);
    pthread_mutex_unlock(&normal);
    return unused;
}

OWN_NAME static void *give_up(void *unused)
{
    while (!is_held)
        ;
    struct timespec until = in_ms(CLOCK_REALTIME, 40);
    long long began = now_ns();
    if (pthread_mutex_timedlock(&normal, &until) != ETIMEDOUT)
        exit(5);
    tell("give_up", "mutex", &normal, now_ns() - began);
    return unused;
}

static void timed(void)
{
    pthread_t threads[] = {start(hold_on, NULL), start(give_up, NULL), start(give_up, NULL)};
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

// --- died, elsewhere -----------------------------------------------------------------------------

static struct both {
    pthread_mutex_t mutex;
    atomic_int stage;
} * both;

static void until(int stage)
{
    while (both->stage < stage)
        nap(50000);
}

OWN_NAME static void *release_before(void *unused)
{
    if (lock_mutex(&both->mutex, LOCK))
        exit(8);
    both->stage = 1;
    nap(20 * MS);
    pthread_mutex_unlock(&both->mutex);
    return unused;
}

OWN_NAME static void *hold_and_die(void *ms)
{
    until(2);
    if (lock_mutex(&both->mutex, LOCK))
        exit(8);
    both->stage = 3;
    nap(*(long *)ms * MS);
    return NULL;
}

static int wait_and_tell(void)
{
    long long began = now_ns();
    int r = lock_mutex(&both->mutex, LOCK);
    tell("wait_after", "mutex", &both->mutex, now_ns() - began);
    return r;
}

OWN_NAME static void *wait_after(void *gives_up)
{
    until(1);
    if (wait_and_tell())
        exit(8);
    nap(2 * MS); // whoever released it tells where, which takes a moment
    pthread_mutex_unlock(&both->mutex);
    both->stage = 2;
    until(3);
    if (gives_up) {
        struct timespec limit = in_ms(CLOCK_REALTIME, 30);
        long long began = now_ns();
        if (pthread_mutex_timedlock(&both->mutex, &limit) != ETIMEDOUT)
            exit(8);
        tell("wait_after", "mutex", &both->mutex, now_ns() - began);
    }
    if (wait_and_tell() == EOWNERDEAD)
        pthread_mutex_consistent(&both->mutex);
    pthread_mutex_unlock(&both->mutex);
    return NULL;
}

static void released_unseen(int dies)
{
    both = mmap(NULL, sizeof *both, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    init(&both->mutex, PTHREAD_MUTEX_NORMAL, dies, PTHREAD_PRIO_NONE, !dies);
    long ms = 60;
    pid_t child = dies ? 0 : fork();
    if (!dies && child == 0) {
        (void)hold_and_die(&ms);
        pthread_mutex_unlock(&both->mutex);
        _exit(0);
    }
    pthread_t threads[] = {start(release_before, NULL), start(wait_after, dies ? NULL : &ms)};
    if (dies)
        pthread_join(start(hold_and_die, &ms), NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (!dies)
        waitpid(child, NULL, 0);
}

// --- churn, control ------------------------------------------------------------------------------

static atomic_llong churn_waited;
static long churned;
enum { CHURNS = 30000 };

OWN_NAME static void *churn(void *unused)
{
    long long waited = 0;
    for (int i = 0; i < CHURNS; i++) {
        if (pthread_mutex_trylock(&normal)) {
            long long began = now_ns();
            pthread_mutex_lock(&normal);
            waited += now_ns() - began;
        }
        churned++;
        spin(200);
        pthread_mutex_unlock(&normal);
        spin(100);
    }
    churn_waited += waited;
    return unused;
}

static void churn_all(int count)
{
    pthread_t threads[64];
    for (int i = 0; i < count; i++)
        threads[i] = start(churn, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    if (churned != (long)CHURNS * count)
        exit(4);
    tell("churn", "mutex", &normal, churn_waited);
}

OWN_NAME static void *alone(void *unused)
{
    pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
    pthread_rwlock_t own = PTHREAD_RWLOCK_INITIALIZER;
    for (int i = 0; i < 200000; i++) {
        pthread_mutex_lock(&mine);
        pthread_mutex_unlock(&mine);
        pthread_rwlock_rdlock(&own);
        pthread_rwlock_unlock(&own);
    }
    return unused;
}

// --- single --------------------------------------------------------------------------------------

OWN_NAME static void single_waits(void)
{
    struct timespec until = in_ms(CLOCK_REALTIME, 50);
    pthread_mutex_lock(&first);
    long long began = now_ns();
    if (pthread_mutex_timedlock(&first, &until) != ETIMEDOUT)
        exit(5);
    tell("single_waits", "mutex", &first, now_ns() - began);
    pthread_mutex_unlock(&first);
    __asm__ volatile("");
}

OWN_NAME static void *second_waits(void *unused)
{
    long long began = now_ns();
    pthread_mutex_lock(&second);
    tell("second_waits", "mutex", &second, now_ns() - began);
    pthread_mutex_unlock(&second);
    return unused;
}

OWN_NAME static void single_holds(int wait_first)
{
    enum { OFTEN = 100000 };
    for (int i = 0; i < OFTEN; i++) {
        pthread_mutex_lock(&second);
        pthread_mutex_unlock(&second);
    }
    if (wait_first)
        single_waits();
    pthread_mutex_lock(&second);
    pthread_t thread = start(second_waits, NULL);
    nap(80 * MS);
    pthread_mutex_unlock(&second);
    pthread_join(thread, NULL);
}

static void control(void)
{
    pthread_t threads[] = {start(alone, NULL), start(alone, NULL)};
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "hold") == 0)
        hold();
    else if (strcmp(what, "chain") == 0)
        chain();
    else if (strcmp(what, "kinds") == 0)
        kinds();
    else if (strcmp(what, "queue") == 0)
        queue();
    else if (strcmp(what, "waits") == 0)
        waits();
    else if (strcmp(what, "timed") == 0)
        timed();
    else if (strcmp(what, "died") == 0)
        released_unseen(1);
    else if (strcmp(what, "elsewhere") == 0)
        released_unseen(0);
    else if (strcmp(what, "churn") == 0)
        churn_all((int)argument(argc, argv, 2, 4));
    else if (strcmp(what, "single") == 0)
        single_holds(1);
    else if (strcmp(what, "single_untimed") == 0)
        single_holds(0);
    else if (strcmp(what, "control") == 0)
        control();
    else
        return 2;
    return 0;
}
