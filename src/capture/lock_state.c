#include "capture/lock_state.h"

#include <linux/futex.h>
#include <string.h>

static bool read_words(const struct hone_lock_sleep *sleep, uint64_t address, uint32_t *to,
                       size_t count)
{
    return sleep->read(sleep->context, address, to, count * sizeof *to);
}

static void held_by(struct hone_lock_state *state, uint32_t owner)
{
    state->holder = owner ? HONE_HOLDER_THREAD : HONE_HOLDER_NONE;
    state->owner = owner;
}

// A futex of the kernel's that knows its owner: robust and priority-inheriting mutexes.
static void read_owned_word(struct hone_lock_state *state, uint32_t word)
{
    state->owner_died = word & FUTEX_OWNER_DIED;
    held_by(state, word & FUTEX_TID_MASK);
}

// --- glibc ---------------------------------------------------------------------------------------

enum {
    // struct __pthread_mutex_s, the same on all 64-bit machines since 2.0
    GLIBC_MUTEX_WORDS = 5,
    GLIBC_MUTEX_OWNER = 2,
    GLIBC_MUTEX_KIND = 4,
    GLIBC_TYPE = 3, // of its kind: 1 is recursive
    GLIBC_RECURSIVE = 1,
    GLIBC_ROBUST = 16,
    GLIBC_INHERIT = 32,
    GLIBC_SHARED = 128,
    GLIBC_KINDS = 0x3ff, // nothing else is in a kind
    // struct __pthread_rwlock_arch_t, since 2.25
    GLIBC_RWLOCK_WORDS = 8,
    GLIBC_RWLOCK_WRITER = 6,
    GLIBC_RWLOCK_SHARED = 7,
    GLIBC_WRITE_PHASE = 1,
    GLIBC_READER_SHIFT = 3,
    GLIBC_RWLOCK_WAITING = 4, // a reader sleeps on the first word only once this is set
    // struct __pthread_cond_s, since 2.25; 2.41 left eight bytes out
    GLIBC_CONDITION_BYTES = 48,
};

// The kernel does not let anybody wait for a mutex that inherits priorities where that would be for
// ever: its holder waits for the caller, or has ended. glibc then sleeps on a word of its own stack
// that is 0 and stays so, which is what nobody expects who waits for a mutex. Which mutex it was is
// in a register at best, and what lies beside that word is not one.
static bool is_parked(const struct hone_lock_sleep *sleep)
{
    return !sleep->expected &&
           (sleep->operation == FUTEX_WAIT || sleep->operation == FUTEX_WAIT_BITSET);
}

static void read_glibc_mutex(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    uint32_t words[GLIBC_MUTEX_WORDS];
    if (is_parked(sleep) || !read_words(sleep, sleep->futex, words, GLIBC_MUTEX_WORDS) ||
        words[GLIBC_MUTEX_KIND] & ~(uint32_t)GLIBC_KINDS)
        return;
    uint32_t kind = words[GLIBC_MUTEX_KIND];
    state->exact = true;
    state->recursive = (kind & GLIBC_TYPE) == GLIBC_RECURSIVE;
    state->robust = kind & GLIBC_ROBUST;
    state->inherits = kind & GLIBC_INHERIT;
    state->shared = kind & GLIBC_SHARED && !state->robust; // of robust ones it is always set
    if (kind & (GLIBC_ROBUST | GLIBC_INHERIT))
        read_owned_word(state, words[0]);
    else
        held_by(state, words[GLIBC_MUTEX_OWNER]);
}

static void read_glibc_rwlock(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    // On the first word, the count of readers, sleep readers who let a writer go first; on the
    // third, where a phase ends, either; on the fourth, writers behind another one.
    uint64_t offset = sleep->futex % 8 == 4                            ? 12
                      : sleep->expected & ~(GLIBC_RWLOCK_WAITING - 1u) ? 0
                                                                       : 8;
    uint32_t words[GLIBC_RWLOCK_WORDS];
    if (!read_words(sleep, sleep->futex - offset, words, GLIBC_RWLOCK_WORDS))
        return;
    state->address = sleep->futex - offset;
    state->exact = true;
    state->shared = words[GLIBC_RWLOCK_SHARED] != 0;
    uint32_t readers = words[0] >> GLIBC_READER_SHIFT;
    if (words[GLIBC_RWLOCK_WRITER]) {
        held_by(state, words[GLIBC_RWLOCK_WRITER]);
    } else if (readers && !(words[0] & GLIBC_WRITE_PHASE)) {
        state->holder = HONE_HOLDER_READERS;
        state->readers = readers;
    } else {
        state->holder = HONE_HOLDER_NONE;
    }
}

// A waiter keeps the two, side by side, on its stack, for the case that it is cancelled.
static void read_glibc_condition(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    for (size_t i = 0; i + 1 < sleep->word_count; i++) {
        uint64_t condition = sleep->words[i], mutex = sleep->words[i + 1];
        if (condition % 8 || mutex % 8 || mutex < 4096)
            continue;
        // Woken, it waits for the mutex again.
        if (sleep->futex == mutex && condition >= 4096) {
            struct hone_lock_state woken = {.kind = HONE_LOCK_MUTEX, .address = mutex};
            read_glibc_mutex(sleep, &woken);
            if (woken.exact)
                *state = woken;
            return;
        }
        if (sleep->futex > condition && sleep->futex - condition >= 32 &&
            sleep->futex - condition < GLIBC_CONDITION_BYTES) {
            state->address = condition;
            state->mutex = mutex;
            state->exact = true;
            return;
        }
    }
}

static void read_glibc(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    switch (state->kind) {
    case HONE_LOCK_MUTEX:
        read_glibc_mutex(sleep, state);
        return;
    case HONE_LOCK_READ:
    case HONE_LOCK_WRITE:
        read_glibc_rwlock(sleep, state);
        return;
    case HONE_LOCK_CONDITION:
        read_glibc_condition(sleep, state);
        return;
    case HONE_LOCK_SEMAPHORE:
        state->exact = true;
        return;
    case HONE_LOCK_BARRIER:
        state->address = sleep->futex - 4;
        state->exact = true;
        return;
    case HONE_LOCK_JOIN:
        held_by(state, sleep->expected);
        return;
    default:
        return;
    }
}

// --- musl ----------------------------------------------------------------------------------------

enum {
    MUSL_MUTEX_WORDS = 2,
    MUSL_MUTEX_LOCK = 4, // bytes before the word that is slept on
    MUSL_TYPE = 15, // of its type: 0 is plain, which keeps no owner; 1 recursive; with 4 robust
    MUSL_RECURSIVE = 1,
    MUSL_ROBUST = 4,
    MUSL_INHERIT = 8,
    MUSL_SHARED = 128,
    MUSL_WRITER = 0x7fffffff,
};

static void read_musl_mutex(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    uint32_t words[MUSL_MUTEX_WORDS];
    if (!read_words(sleep, sleep->futex - MUSL_MUTEX_LOCK, words, MUSL_MUTEX_WORDS))
        return;
    uint32_t type = words[0];
    state->address = sleep->futex - MUSL_MUTEX_LOCK;
    state->exact = true;
    state->recursive = (type & 3) == MUSL_RECURSIVE;
    state->robust = type & MUSL_ROBUST;
    state->inherits = type & MUSL_INHERIT;
    state->shared = type & MUSL_SHARED;
    if (type & MUSL_TYPE)
        read_owned_word(state, words[1]);
    else if (!(words[1] & ~FUTEX_WAITERS))
        state->holder = HONE_HOLDER_NONE;
}

static void read_musl_rwlock(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    uint32_t word;
    state->exact = true;
    if (!read_words(sleep, sleep->futex, &word, 1))
        return;
    uint32_t count = word & MUSL_WRITER;
    if (!count) {
        state->holder = HONE_HOLDER_NONE;
    } else if (count != MUSL_WRITER) {
        state->holder = HONE_HOLDER_READERS;
        state->readers = count;
    }
}

// Waiters of a condition variable sleep on a word of their own stack. The variable, whose address
// they keep there, too, points to the newest and the oldest of them, and each to the next.
static void read_musl_condition(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    enum { HEAD = 8, NODE_BARRIER = 20, STACK_WORDS = 64 };
    uint64_t node = sleep->futex - NODE_BARRIER;
    for (size_t i = 0; i < sleep->word_count && i < STACK_WORDS; i++) {
        uint64_t condition = sleep->words[i], ends[5];
        if (condition % 8 || condition < 4096 ||
            !sleep->read(sleep->context, condition + HEAD, ends, sizeof ends))
            continue;
        if (ends[0] != node && ends[4] != node)
            continue;
        state->address = condition;
        state->exact = true;
        return;
    }
}

static void read_musl_join(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    enum { BEFORE = 8 }; // tid, errno, and the word that is slept on
    uint32_t tid;
    if (read_words(sleep, sleep->futex - BEFORE, &tid, 1))
        held_by(state, tid);
}

static void read_musl(const struct hone_lock_sleep *sleep, struct hone_lock_state *state)
{
    switch (state->kind) {
    case HONE_LOCK_MUTEX:
        read_musl_mutex(sleep, state);
        return;
    case HONE_LOCK_READ:
    case HONE_LOCK_WRITE:
        read_musl_rwlock(sleep, state);
        return;
    case HONE_LOCK_CONDITION:
        read_musl_condition(sleep, state);
        return;
    case HONE_LOCK_SEMAPHORE:
        state->exact = true;
        return;
    case HONE_LOCK_JOIN:
        read_musl_join(sleep, state);
        return;
    default:
        return;
    }
}

void hone_lock_state_read(const struct hone_lock_call *call, const struct hone_lock_sleep *sleep,
                          struct hone_lock_state *ret)
{
    *ret = (struct hone_lock_state){.kind = call->kind, .address = sleep->futex};
    if (call->internal)
        return;
    if (call->library == HONE_LOCK_LIBRARY_GLIBC)
        read_glibc(sleep, ret);
    else if (call->library == HONE_LOCK_LIBRARY_MUSL)
        read_musl(sleep, ret);
    else if (call->library == HONE_LOCK_LIBRARY_RUST)
        ret->exact = call->kind != HONE_LOCK_CONDITION;
    // Whatever the library: the kernel itself keeps the owner in such a word.
    else if (sleep->operation == FUTEX_LOCK_PI || sleep->operation == FUTEX_LOCK_PI2) {
        uint32_t word;
        if (read_words(sleep, sleep->futex, &word, 1))
            read_owned_word(ret, word);
    }
}
