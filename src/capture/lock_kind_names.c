#include "capture/lock_kind_names.h"

static const struct {
    const char *name, *key, *words;
} kinds[HONE_LOCK_KINDS] = {
    [HONE_LOCK_UNKNOWN] = {"lock", "unknown", "futex"},
    [HONE_LOCK_MUTEX] = {"mutex", "mutex", "mutex"},
    [HONE_LOCK_READ] = {"rwlock", "read", "read-write lock (reading)"},
    [HONE_LOCK_WRITE] = {"rwlock", "write", "read-write lock (writing)"},
    [HONE_LOCK_SPIN] = {"spinlock", "spin", "spin lock"},
    [HONE_LOCK_CONDITION] = {"condition", "condition", "condition variable"},
    [HONE_LOCK_SEMAPHORE] = {"semaphore", "semaphore", "semaphore"},
    [HONE_LOCK_BARRIER] = {"barrier", "barrier", "barrier"},
    [HONE_LOCK_JOIN] = {"join", "join", "end of a thread"},
};

static enum hone_lock_kind known(enum hone_lock_kind kind)
{
    return kind < HONE_LOCK_KINDS ? kind : HONE_LOCK_UNKNOWN;
}

const char *hone_lock_kind_name(enum hone_lock_kind kind)
{
    return kinds[known(kind)].name;
}

const char *hone_lock_kind_key(enum hone_lock_kind kind)
{
    return kinds[known(kind)].key;
}

const char *hone_lock_kind_words(enum hone_lock_kind kind)
{
    return kinds[known(kind)].words;
}
