// Which lock function a stack ends in, by names: those that the C library exports, and its own
// inner ones where symbols tell.
#include "capture/lock_state.h"

#include <string.h>

enum {
    INNERMOST = 24, // frames that are looked at: hooks and wrappers in front of a function are few
};

// By the beginning of a name, without leading underscores; the first that fits.
static const struct {
    const char *name;
    enum hone_lock_kind kind;
} calls[] = {
    {"pthread_mutex_lock", HONE_LOCK_MUTEX},
    {"pthread_mutex_cond_lock", HONE_LOCK_MUTEX},
    {"pthread_mutex_timedlock", HONE_LOCK_MUTEX},
    {"pthread_mutex_clocklock", HONE_LOCK_MUTEX},
    {"mtx_lock", HONE_LOCK_MUTEX},
    {"mtx_timedlock", HONE_LOCK_MUTEX},
    {"pthread_rwlock_rdlock", HONE_LOCK_READ},
    {"pthread_rwlock_timedrdlock", HONE_LOCK_READ},
    {"pthread_rwlock_clockrdlock", HONE_LOCK_READ},
    {"pthread_rwlock_wrlock", HONE_LOCK_WRITE},
    {"pthread_rwlock_timedwrlock", HONE_LOCK_WRITE},
    {"pthread_rwlock_clockwrlock", HONE_LOCK_WRITE},
    {"pthread_cond_wait", HONE_LOCK_CONDITION},
    {"pthread_cond_timedwait", HONE_LOCK_CONDITION},
    {"pthread_cond_clockwait", HONE_LOCK_CONDITION},
    {"cnd_wait", HONE_LOCK_CONDITION},
    {"cnd_timedwait", HONE_LOCK_CONDITION},
    {"new_sem_wait", HONE_LOCK_SEMAPHORE},
    {"sem_wait", HONE_LOCK_SEMAPHORE},
    {"sem_timedwait", HONE_LOCK_SEMAPHORE},
    {"sem_clockwait", HONE_LOCK_SEMAPHORE},
    {"pthread_barrier_wait", HONE_LOCK_BARRIER},
    {"pthread_join", HONE_LOCK_JOIN},
    {"pthread_timedjoin", HONE_LOCK_JOIN},
    {"pthread_clockjoin", HONE_LOCK_JOIN},
    {"thrd_join", HONE_LOCK_JOIN},
};

// Rust's own, which call the kernel themselves: by type and method, for the modules in front of
// them have changed often. Between the two may be a bracket: "<std::…::Mutex>::lock_contended".
static const struct {
    const char *type, *method;
    enum hone_lock_kind kind;
} rust_calls[] = {
    {"Mutex", "::lock_contended", HONE_LOCK_MUTEX},
    {"RwLock", "::read_contended", HONE_LOCK_READ},
    {"RwLock", "::write_contended", HONE_LOCK_WRITE},
    {"Condvar", "::wait", HONE_LOCK_CONDITION},
    {"ReentrantLock", "", HONE_LOCK_MUTEX},
};

// Functions that only one C library has.
static const struct {
    const char *name;
    enum hone_lock_library library;
    bool internal;
} inner[] = {
    {"lll_lock_wait", HONE_LOCK_LIBRARY_GLIBC, true},
    {"lll_lock_wake", HONE_LOCK_LIBRARY_GLIBC, true},
    {"lll_mutex_lock", HONE_LOCK_LIBRARY_GLIBC, false},
    {"futex_abstimed_wait", HONE_LOCK_LIBRARY_GLIBC, false},
    {"futex_lock_pi", HONE_LOCK_LIBRARY_GLIBC, false},
    {"timedwait", HONE_LOCK_LIBRARY_MUSL, false},
    {"wait", HONE_LOCK_LIBRARY_MUSL, true},
    {"lock", HONE_LOCK_LIBRARY_MUSL, true},
    {"lockfile", HONE_LOCK_LIBRARY_MUSL, true},
};

static const char *bare(const char *name)
{
    name += strspn(name, "_");
    if (strncmp(name, "GI_", 3) == 0)
        name += 3;
    return name + strspn(name, "_");
}

static bool starts(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static enum hone_lock_library library_of(const char *module)
{
    const char *slash = strrchr(module, '/');
    const char *file = slash ? slash + 1 : module;
    if (starts(file, "ld-musl") || starts(file, "libc.musl") || strcmp(file, "libc.so") == 0)
        return HONE_LOCK_LIBRARY_MUSL;
    if (starts(file, "libc.so.") || starts(file, "libpthread") || starts(file, "libc-2") ||
        starts(file, "ld-linux") || starts(file, "ld-2"))
        return HONE_LOCK_LIBRARY_GLIBC;
    return HONE_LOCK_LIBRARY_UNKNOWN;
}

static bool is_call(const char *function, enum hone_lock_kind *ret)
{
    const char *name = bare(function);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (starts(name, calls[i].name)) {
            *ret = calls[i].kind;
            return true;
        }
    return false;
}

static bool is_rust_call(const char *function, enum hone_lock_kind *ret)
{
    if (!starts(function, "std::") && !starts(function, "<std::"))
        return false;
    for (size_t i = 0; i < sizeof rust_calls / sizeof rust_calls[0]; i++) {
        const char *type = strstr(function, rust_calls[i].type);
        if (type && strstr(type, rust_calls[i].method)) {
            *ret = rust_calls[i].kind;
            return true;
        }
    }
    return false;
}

// Names of one library, and whether they stand for a lock of its own.
static enum hone_lock_library inner_of(const char *function, bool *ret_internal)
{
    const char *name = bare(function);
    for (size_t i = 0; function[0] == '_' && i < sizeof inner / sizeof inner[0]; i++) {
        size_t len = strlen(inner[i].name);
        if (strncmp(name, inner[i].name, len) == 0 && (len > 8 || !name[len] || name[len] == '_')) {
            *ret_internal = inner[i].internal;
            return inner[i].library;
        }
    }
    return HONE_LOCK_LIBRARY_UNKNOWN;
}

// Whose function it is: of the C library, as far as the stack ends in the same file, for what waits
// there calls the kernel itself. One of such a name elsewhere is somebody's own, and what that
// keeps in a lock is not known. Our hooks stand for functions that left their frame to one they
// called.
static bool is_library_s(const struct hone_lock_frame *frames, uint32_t i)
{
    const char *slash = strrchr(frames[i].module, '/');
    return strcmp(frames[i].module, frames[0].module) == 0 ||
           starts(slash ? slash + 1 : frames[i].module, "libhone.so");
}

// What only wraps the call: its caller's place is the one that says something.
static bool is_wrapper(const struct hone_lock_frame *frame, enum hone_lock_kind kind)
{
    enum hone_lock_kind same;
    if (is_call(frame->function, &same) || is_rust_call(frame->function, &same))
        return same == kind;
    return starts(frame->function, "std::") || starts(frame->function, "<std::") ||
           starts(frame->function, "__gthread") || starts(frame->function, "core::") ||
           starts(frame->function, "hone_");
}

bool hone_lock_call_find(const struct hone_lock_frame *frames, uint32_t count,
                         struct hone_lock_call *ret)
{
    struct hone_lock_call call = {0};
    bool found = false;
    uint32_t internal_at = 0;
    for (uint32_t i = 0; !found && i < count && i < INNERMOST; i++) {
        bool internal = false, own = is_library_s(frames, i);
        enum hone_lock_library named =
            own ? inner_of(frames[i].function, &internal) : HONE_LOCK_LIBRARY_UNKNOWN;
        if (call.library == HONE_LOCK_LIBRARY_UNKNOWN)
            call.library = library_of(frames[i].module);
        if (call.library == HONE_LOCK_LIBRARY_UNKNOWN)
            call.library = named;
        if (internal) {
            call.internal = true;
            internal_at = i;
        }
        if (is_rust_call(frames[i].function, &call.kind)) {
            call.library = HONE_LOCK_LIBRARY_RUST;
            found = true;
        } else {
            found = is_call(frames[i].function, &call.kind);
            if (found && !own)
                call.library = HONE_LOCK_LIBRARY_UNKNOWN;
        }
        call.first = i + 1;
    }
    if (found) {
        call.internal = false;
        while (call.first < count && is_wrapper(&frames[call.first], call.kind))
            call.first++;
    } else if (call.internal) {
        call.kind = HONE_LOCK_MUTEX;
        call.first = internal_at + 1;
        found = true;
    } else {
        call.kind = HONE_LOCK_UNKNOWN;
        call.first = 0;
    }
    *ret = call;
    return found;
}
