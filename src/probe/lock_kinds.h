// What the C library keeps in a lock, as far as we must know it. Both libraries that we run with
// have promised these places to compiled programs: their initializers write them.
#ifndef HONE_PROBE_LOCK_KINDS_H
#define HONE_PROBE_LOCK_KINDS_H

#include "core/core.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stdint.h>

// Set with the functions behind the hooks.
extern bool hone_lock_is_musl __attribute__((visibility("hidden")));

// glibc's mutex, on all 64-bit machines.
struct hone_mutex {
    uint32_t lock;
    uint32_t count; // of a recursive one
    uint32_t owner;
    uint32_t users;
    uint32_t kind;
};
enum {
    HONE_MUTEX_RECURSIVE = 1,
    HONE_MUTEX_TYPE = 3,
    HONE_MUTEX_CEILING = 64, // its lock has the ceiling in its upper bits:
    HONE_MUTEX_CEILING_LOCK = 0x7ffff,
    HONE_MUTEX_HOLDER = 0x3fffffff, // the others' beside two bits of the kernel's
    HONE_MUTEX_SHARED = 128,
    HONE_MUTEX_NEVER_ELIDED = 512,
};

// musl's: kind, lock, waiters, …, count. What lies where glibc has the kind is 0 there.
struct hone_musl_mutex {
    uint32_t kind, lock, waiters, spare[2], count;
};

// Whether trylock does what lock begins with: of the usual ones it does. Where the holder may have
// died, or priorities change hands, or nothing is written at all, we leave the order of things to
// the library.
static inline bool hone_mutex_may_try(const void *mutex)
{
    const uint32_t usual = HONE_MUTEX_TYPE | HONE_MUTEX_SHARED | HONE_MUTEX_NEVER_ELIDED;
    uint32_t kind = __atomic_load_n(&((const struct hone_mutex *)mutex)->kind, __ATOMIC_RELAXED);
    return HONE_LIKELY(!(kind & ~usual));
}

static inline bool hone_mutex_is_private(const void *mutex)
{
    return !(__atomic_load_n(&((const struct hone_mutex *)mutex)->kind, __ATOMIC_RELAXED) &
             HONE_MUTEX_SHARED);
}

// Whether somebody has it, of one that may not be tried. Who has died and left a robust one is
// nobody.
static inline bool hone_mutex_is_taken(const void *mutex)
{
    const struct hone_mutex *m = mutex;
    uint32_t lock = __atomic_load_n(&m->lock, __ATOMIC_RELAXED);
    return lock & (m->kind & HONE_MUTEX_CEILING ? HONE_MUTEX_CEILING_LOCK : HONE_MUTEX_HOLDER);
}

// How often its holder, who asks, has locked it; 0: it is not recursive.
static inline uint32_t hone_mutex_depth(const void *mutex)
{
    const struct hone_mutex *m = mutex;
    const struct hone_musl_mutex *other = mutex;
    if (HONE_UNLIKELY(hone_lock_is_musl))
        return (other->kind & HONE_MUTEX_TYPE) == HONE_MUTEX_RECURSIVE ? other->count + 1 : 0;
    return (m->kind & HONE_MUTEX_TYPE) == HONE_MUTEX_RECURSIVE ? m->count : 0;
}

// glibc's read-write lock: the seventh word is the writer's thread, 0: readers have it. musl's: the
// first has all its lower bits set.
static inline bool hone_rwlock_is_written(const void *rwlock)
{
    const uint32_t *words = rwlock;
    enum { WRITER = 6, WRITTEN = 0x7fffffff };
    return hone_lock_is_musl ? (words[0] & WRITTEN) == WRITTEN : words[WRITER] != 0;
}

// Whether it may be released where we do not see it: by other processes, which map it too, by the
// end of its holder (glibc's robust mutexes have the same bit), or, in musl, by a wait for a
// condition. Spin locks do not tell.
static inline bool hone_lock_is_shared(const void *lock, uint32_t kind)
{
    const uint32_t *words = lock;
    enum { KIND = 4, SHARED = 7, MUSL_SHARED = 2 };
    if (kind == HONE_LOCK_MUTEX)
        return hone_lock_is_musl || words[KIND] & HONE_MUTEX_SHARED;
    if (kind == HONE_LOCK_READ || kind == HONE_LOCK_WRITE)
        return words[hone_lock_is_musl ? MUSL_SHARED : SHARED] != 0;
    return false;
}

#endif
