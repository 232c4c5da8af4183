#include "probe/lock_real.h"

#include "probe/lock.h"
#include "probe/lock_kinds.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct hone_lock_real hone_lock_real;
bool hone_lock_is_musl;
static const char *alone; // of glibc's: not 0: there is one thread
_Atomic uint32_t hone_locks_wanted = HONE_LOCKS_UNRESOLVED;

// Not in every C library.
#pragma weak dlvsym

// Condition variables have had another form, under the same names, until glibc 2.3.2 of x86-64. A
// program that was linked then goes on to the old functions past us: libhone.so has the new ones
// only, and that is what it must find behind it.
static void *next_function(const char *name)
{
#if defined(__x86_64__)
    void *function = NULL;
    if (dlvsym &&
        (strcmp(name, "pthread_cond_wait") == 0 || strcmp(name, "pthread_cond_timedwait") == 0))
        function = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    if (function)
        return function;
#endif
    return dlsym(RTLD_NEXT, name);
}

struct function {
    const char *name;
    size_t at;
};
#define PLACE(name, parameters) {#name, offsetof(struct hone_lock_real, name)},

// Several threads may do this at once: each writes the same addresses.
static void find(const struct function *functions, size_t count)
{
    hone_heap_self.own++; // dlsym() allocates what it says of functions that are not there
    for (size_t i = 0; i < count; i++) {
        void *function = next_function(functions[i].name);
        memcpy((char *)&hone_lock_real + functions[i].at, &function, sizeof function);
    }
    hone_heap_self.own--;
}

bool hone_locks_resolve(void)
{
    static const struct function functions[] = {HONE_LOCK_OLD_HOOKS(PLACE)};
    static _Atomic bool found;
    if (!atomic_load_explicit(&found, memory_order_acquire))
        find(functions, HONE_ARRAY_LENGTH(functions));
    atomic_store_explicit(&found, true, memory_order_release);
    return false;
}

void hone_locks_find(void)
{
    static const struct function functions[] = {HONE_LOCK_NEW_HOOKS(PLACE)
                                                    HONE_LOCK_HELPERS(PLACE)};
    uint32_t unresolved = HONE_LOCKS_UNRESOLVED;
    if (atomic_load_explicit(&hone_locks_wanted, memory_order_acquire) != unresolved)
        return;
    (void)hone_locks_resolve();
    find(functions, HONE_ARRAY_LENGTH(functions));
    hone_heap_self.own++;
    hone_lock_is_musl = !dlsym(RTLD_NEXT, "gnu_get_libc_version");
    alone = dlsym(RTLD_NEXT, "__libc_single_threaded");
    hone_heap_self.own--;
    hone_lock_real.rwlocks_may_be_tried =
        hone_lock_is_musl || hone_lock_real.pthread_rwlock_clockrdlock;
    // Unless they are wanted already.
    (void)atomic_compare_exchange_strong_explicit(&hone_locks_wanted, &unresolved, 0,
                                                  memory_order_release, memory_order_relaxed);
}

bool hone_locks_are_alone(void)
{
    return alone && *alone;
}

// --- for who calls them past us ------------------------------------------------------------------

#define OWN(name, parameters) extern char hone_own_##name[] __attribute__((visibility("hidden")));
HONE_LOCK_OLD_HOOKS(OWN)
HONE_LOCK_NEW_HOOKS(OWN)
#undef OWN

void *hone_lock_hook(const char *name, const void *function)
{
    static const struct {
        const char *name;
        size_t at;
        void *hook;
    } hooks[] = {
#define HOOK(name, parameters) {#name, offsetof(struct hone_lock_real, name), hone_own_##name},
        HONE_LOCK_OLD_HOOKS(HOOK) HONE_LOCK_NEW_HOOKS(HOOK)
#undef HOOK
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(hooks); i++) {
        void *real;
        memcpy(&real, (const char *)&hone_lock_real + hooks[i].at, sizeof real);
        if (real && real == function && strcmp(hooks[i].name, name) == 0)
            return hooks[i].hook;
    }
    return NULL;
}
