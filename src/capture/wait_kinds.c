#include "capture/wait_kinds.h"

#include "core/core.h"

#include <string.h>

static const struct {
    const char *name;
    enum hone_wait wait;
} kinds[HONE_WAIT_KINDS] = {
    [HONE_KIND_NONE] = {"on-cpu", HONE_WAIT_NONE},
    [HONE_KIND_RUNNABLE] = {"runnable", HONE_WAIT_RUNNABLE},
    [HONE_KIND_UNKNOWN] = {"unknown", HONE_WAIT_UNKNOWN},
    [HONE_KIND_FUTEX] = {"futex", HONE_WAIT_LOCK},
    [HONE_KIND_MUTEX] = {"mutex", HONE_WAIT_LOCK},
    [HONE_KIND_RWLOCK] = {"rwlock", HONE_WAIT_LOCK},
    [HONE_KIND_SPIN] = {"spinlock", HONE_WAIT_LOCK},
    [HONE_KIND_CONDITION] = {"condition", HONE_WAIT_LOCK},
    [HONE_KIND_SEMAPHORE] = {"semaphore", HONE_WAIT_LOCK},
    [HONE_KIND_BARRIER] = {"barrier", HONE_WAIT_LOCK},
    [HONE_KIND_JOIN] = {"join", HONE_WAIT_LOCK},
    [HONE_KIND_ONCE] = {"once", HONE_WAIT_LOCK},
    [HONE_KIND_PARK] = {"park", HONE_WAIT_LOCK},
    [HONE_KIND_FILE_LOCK] = {"file-lock", HONE_WAIT_LOCK},
    [HONE_KIND_IPC_SEMAPHORE] = {"ipc-semaphore", HONE_WAIT_LOCK},
    [HONE_KIND_SLEEP] = {"sleep", HONE_WAIT_SLEEP},
    [HONE_KIND_POLL] = {"poll", HONE_WAIT_POLL},
    [HONE_KIND_SELECT] = {"select", HONE_WAIT_POLL},
    [HONE_KIND_EPOLL] = {"epoll", HONE_WAIT_POLL},
    [HONE_KIND_PIPE] = {"pipe", HONE_WAIT_PIPE},
    [HONE_KIND_CONNECT] = {"connect", HONE_WAIT_SOCKET},
    [HONE_KIND_ACCEPT] = {"accept", HONE_WAIT_SOCKET},
    [HONE_KIND_SEND] = {"send", HONE_WAIT_SOCKET},
    [HONE_KIND_RECEIVE] = {"receive", HONE_WAIT_SOCKET},
    [HONE_KIND_SOCKET] = {"socket", HONE_WAIT_SOCKET},
    [HONE_KIND_TERMINAL] = {"terminal", HONE_WAIT_TERMINAL},
    [HONE_KIND_FILE_READ] = {"file-read", HONE_WAIT_DISK},
    [HONE_KIND_FILE_WRITE] = {"file-write", HONE_WAIT_DISK},
    [HONE_KIND_FILE_SYNC] = {"file-sync", HONE_WAIT_DISK},
    [HONE_KIND_DISK] = {"disk", HONE_WAIT_DISK},
    [HONE_KIND_EVENTFD] = {"eventfd", HONE_WAIT_IO},
    [HONE_KIND_TIMERFD] = {"timerfd", HONE_WAIT_IO},
    [HONE_KIND_IO_URING] = {"io_uring", HONE_WAIT_IO},
    [HONE_KIND_AIO] = {"aio", HONE_WAIT_IO},
    [HONE_KIND_QUEUE] = {"message-queue", HONE_WAIT_OTHER},
    [HONE_KIND_IO] = {"io", HONE_WAIT_IO},
    [HONE_KIND_CHILD] = {"child", HONE_WAIT_CHILD},
    [HONE_KIND_VFORK] = {"vfork", HONE_WAIT_CHILD},
    [HONE_KIND_SIGNAL] = {"signal", HONE_WAIT_SIGNAL},
    [HONE_KIND_PAGE_FAULT] = {"page-fault", HONE_WAIT_PAGE_FAULT},
    [HONE_KIND_STOPPED] = {"stopped", HONE_WAIT_STOPPED},
    [HONE_KIND_OTHER] = {"other", HONE_WAIT_OTHER},
};

const char *hone_wait_kind_name(enum hone_wait_kind kind)
{
    return kind < HONE_WAIT_KINDS ? kinds[kind].name : "unknown";
}

enum hone_wait hone_wait_of_kind(enum hone_wait_kind kind)
{
    return kind < HONE_WAIT_KINDS ? kinds[kind].wait : HONE_WAIT_UNKNOWN;
}

enum hone_wait_kind hone_wait_kind_of_lock(enum hone_lock_kind kind)
{
    switch (kind) {
    case HONE_LOCK_MUTEX:
        return HONE_KIND_MUTEX;
    case HONE_LOCK_READ:
    case HONE_LOCK_WRITE:
        return HONE_KIND_RWLOCK;
    case HONE_LOCK_SPIN:
        return HONE_KIND_SPIN;
    case HONE_LOCK_CONDITION:
        return HONE_KIND_CONDITION;
    case HONE_LOCK_SEMAPHORE:
        return HONE_KIND_SEMAPHORE;
    case HONE_LOCK_BARRIER:
        return HONE_KIND_BARRIER;
    case HONE_LOCK_JOIN:
        return HONE_KIND_JOIN;
    case HONE_LOCK_UNKNOWN:
    case HONE_LOCK_KINDS:
        break;
    }
    return HONE_KIND_FUTEX;
}

// --- by function ---------------------------------------------------------------------------------

// A function of C: all of its name but leading underscores, what comes behind '@' (versions) or '.'
// (copies that the compiler made), and 64 at its end (glibc's, by the size of time_t). The others:
// a part of the name.
static const struct {
    const char *name;
    enum hone_wait_kind kind;
} functions[] = {
    {"pthread_mutex_lock", HONE_KIND_MUTEX},
    {"pthread_mutex_lock_full", HONE_KIND_MUTEX},
    {"pthread_mutex_timedlock", HONE_KIND_MUTEX},
    {"pthread_mutex_clocklock", HONE_KIND_MUTEX},
    {"pthread_mutex_clocklock_common", HONE_KIND_MUTEX},
    {"pthread_mutex_cond_lock", HONE_KIND_MUTEX}, // the last step of a wait for a condition
    {"lll_lock_wait_private", HONE_KIND_MUTEX},   // glibc's own: of malloc, stdio, …
    {"lll_lock_wait", HONE_KIND_MUTEX},
    {"mtx_lock", HONE_KIND_MUTEX},
    {"mtx_timedlock", HONE_KIND_MUTEX},
    {"pthread_rwlock_rdlock", HONE_KIND_RWLOCK},
    {"pthread_rwlock_wrlock", HONE_KIND_RWLOCK},
    {"pthread_rwlock_timedrdlock", HONE_KIND_RWLOCK},
    {"pthread_rwlock_timedwrlock", HONE_KIND_RWLOCK},
    {"pthread_rwlock_clockrdlock", HONE_KIND_RWLOCK},
    {"pthread_rwlock_clockwrlock", HONE_KIND_RWLOCK},
    {"pthread_cond_wait", HONE_KIND_CONDITION},
    {"pthread_cond_wait_common", HONE_KIND_CONDITION},
    {"pthread_cond_timedwait", HONE_KIND_CONDITION},
    {"pthread_cond_clockwait", HONE_KIND_CONDITION},
    {"cnd_wait", HONE_KIND_CONDITION},
    {"cnd_timedwait", HONE_KIND_CONDITION},
    {"sem_wait", HONE_KIND_SEMAPHORE},
    {"new_sem_wait", HONE_KIND_SEMAPHORE},
    {"new_sem_wait_slow", HONE_KIND_SEMAPHORE},
    {"sem_timedwait", HONE_KIND_SEMAPHORE},
    {"sem_clockwait", HONE_KIND_SEMAPHORE},
    {"pthread_barrier_wait", HONE_KIND_BARRIER},
    {"pthread_join", HONE_KIND_JOIN},
    {"pthread_timedjoin_np", HONE_KIND_JOIN},
    {"pthread_clockjoin_np", HONE_KIND_JOIN},
    {"pthread_clockjoin_ex", HONE_KIND_JOIN},
    {"thrd_join", HONE_KIND_JOIN},
    {"pthread_once", HONE_KIND_ONCE},
    {"pthread_once_slow", HONE_KIND_ONCE},
    {"call_once", HONE_KIND_ONCE},
    {"cxa_guard_acquire", HONE_KIND_ONCE},
    {"g_cond_wait", HONE_KIND_CONDITION}, // GLib brings its own, on futexes
    {"g_cond_wait_until", HONE_KIND_CONDITION},
    {"g_mutex_lock", HONE_KIND_MUTEX},
    {"g_mutex_lock_slowpath", HONE_KIND_MUTEX},
    {"aio_suspend", HONE_KIND_AIO},
    {"gai_suspend", HONE_KIND_OTHER},
    {"runtime.lock2", HONE_KIND_MUTEX}, // Go
    {"runtime.notesleep", HONE_KIND_PARK},
    {"runtime.notetsleep_internal", HONE_KIND_PARK},
    {"runtime.notetsleep", HONE_KIND_PARK},
    {"runtime.notetsleepg", HONE_KIND_PARK},
};

static const struct {
    const char *part;
    enum hone_wait_kind kind;
} parts[] = {
    {"sys::sync::mutex", HONE_KIND_MUTEX}, // Rust
    {"sys::sync::rwlock", HONE_KIND_RWLOCK},
    {"sys::sync::condvar", HONE_KIND_CONDITION},
    {"sys::sync::once", HONE_KIND_ONCE},
    {"locks::futex_mutex", HONE_KIND_MUTEX}, // and of older versions
    {"locks::futex_rwlock", HONE_KIND_RWLOCK},
    {"locks::futex_condvar", HONE_KIND_CONDITION},
    {"locks::futex::Condvar", HONE_KIND_CONDITION},
    {"locks::futex::", HONE_KIND_MUTEX},
    {"std::sync::condvar::Condvar::wait", HONE_KIND_CONDITION},
    {"parking_lot::raw_mutex", HONE_KIND_MUTEX},
    {"parking_lot::raw_rwlock", HONE_KIND_RWLOCK},
    {"parking_lot::condvar", HONE_KIND_CONDITION},
    {"thread_parking", HONE_KIND_PARK},
    {"thread_parker", HONE_KIND_PARK},
    {"std::thread::park", HONE_KIND_PARK},
};

enum hone_wait_kind hone_wait_kind_of_function(const char *name)
{
    const char *plain = name + strspn(name, "_");
    if (strncmp(plain, "GI_", 3) == 0) // glibc's own name for what it calls itself
        plain += 3 + strspn(plain + 3, "_");
    size_t len = strcspn(plain, "@");
    const char *copy = strncmp(plain, "runtime.", strlen("runtime.")) ? strchr(plain, '.') : NULL;
    if (copy && (size_t)(copy - plain) < len)
        len = (size_t)(copy - plain);
    if (len > 2 && memcmp(plain + len - 2, "64", 2) == 0)
        len -= 2;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(functions); i++)
        if (strlen(functions[i].name) == len && memcmp(functions[i].name, plain, len) == 0)
            return functions[i].kind;
    if (strstr(name, "::"))
        for (size_t i = 0; i < HONE_ARRAY_LENGTH(parts); i++)
            if (strstr(name, parts[i].part))
                return parts[i].kind;
    return HONE_KIND_FUTEX;
}
