#include "probe/allocator.h"

#include "core/core.h"
#include "probe/heap.h"
#include "probe/lock.h"
#include "probe/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

// --- before the functions are known --------------------------------------------------------------

enum { EARLY_ALIGNMENT = 16 };

alignas(EARLY_ALIGNMENT) unsigned char hone_allocator_early[HONE_ALLOCATOR_EARLY_BYTES];
static _Atomic size_t early_used;

// Each block has its size in the 16 bytes before it.
static void *early_allocate(size_t size)
{
    size_t bytes = (size + 2 * EARLY_ALIGNMENT - 1) & ~(size_t)(EARLY_ALIGNMENT - 1);
    if (size > HONE_ALLOCATOR_EARLY_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    size_t at = atomic_fetch_add_explicit(&early_used, bytes, memory_order_relaxed);
    if (at + bytes > HONE_ALLOCATOR_EARLY_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(hone_allocator_early + at, &size, sizeof size);
    void *block = hone_allocator_early + at + EARLY_ALIGNMENT;
    // So that free() does not pass it on.
    atomic_store_explicit(hone_heap_filter_of(block), UINT8_MAX, memory_order_relaxed);
    return block;
}

bool hone_allocator_is_early(const void *block)
{
    return hone_allocator_holds_early(block);
}

size_t hone_allocator_early_size(const void *block)
{
    size_t size;
    memcpy(&size, (const unsigned char *)block - EARLY_ALIGNMENT, sizeof size);
    return size;
}

static __thread bool finding;

// Looked up now, or, by whoever is called while that goes on, not at all.
static bool found(void)
{
    if (finding)
        return false;
    hone_allocator_find();
    return true;
}

static void *first_malloc(size_t size)
{
    return found() ? hone_allocator.malloc(size) : early_allocate(size);
}

static void *first_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (found())
        return hone_allocator.calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes))
        bytes = SIZE_MAX;
    return early_allocate(bytes); // zero, and never used twice
}

static void *first_realloc(void *block, size_t size)
{
    if (found())
        return hone_allocator.realloc(block, size);
    void *moved = early_allocate(size);
    if (moved && block) {
        size_t had = hone_allocator_early_size(block);
        memcpy(moved, block, had < size ? had : size);
    }
    return moved;
}

static void first_free(void *block)
{
    if (found())
        hone_allocator.free(block);
}

static void *first_aligned_alloc(size_t alignment, size_t size)
{
    return found() ? hone_allocator.aligned_alloc(alignment, size) : NULL;
}

static int first_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return found() ? hone_allocator.posix_memalign(ret, alignment, size) : ENOMEM;
}

static void *first_memalign(size_t alignment, size_t size)
{
    return found() ? hone_allocator.memalign(alignment, size) : NULL;
}

static void *first_valloc(size_t size)
{
    return found() ? hone_allocator.valloc(size) : NULL;
}

static void *first_pvalloc(size_t size)
{
    return found() ? hone_allocator.pvalloc(size) : NULL;
}

static void *first_reallocarray(void *block, size_t count, size_t size)
{
    return found() ? hone_allocator.reallocarray(block, count, size) : NULL;
}

struct hone_allocator hone_allocator = {
    .malloc = first_malloc,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .free = first_free,
    .aligned_alloc = first_aligned_alloc,
    .posix_memalign = first_posix_memalign,
    .memalign = first_memalign,
    .valloc = first_valloc,
    .pvalloc = first_pvalloc,
    .reallocarray = first_reallocarray,
};

// --- looking them up -----------------------------------------------------------------------------

static const char *path;
static void *home; // where the file of malloc() is loaded
static void *libc_base;

// Where a C library lacks one of them, nobody calls it: programs ask before they link.
static void *no_memory_aligned(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    errno = ENOMEM;
    return NULL;
}

static void *no_memory(size_t size)
{
    return no_memory_aligned(1, size);
}

static const struct hone_allocator missing = {
    .malloc = no_memory,
    .calloc = no_memory_aligned,
    .realloc = first_realloc,
    .free = first_free,
    .aligned_alloc = no_memory_aligned,
    .posix_memalign = first_posix_memalign,
    .memalign = no_memory_aligned,
    .valloc = no_memory,
    .pvalloc = no_memory,
    .reallocarray = first_reallocarray,
};

bool hone_allocator_has(const void *function)
{
    Dl_info info;
    return home && home != libc_base && dladdr(function, &info) && info.dli_fbase == home;
}

bool hone_allocator_is_libc(const void *base)
{
    return base == libc_base;
}

bool hone_allocator_is_at(const void *base)
{
    return base == home || base == libc_base;
}

bool hone_allocator_is_called_from(const void *address)
{
    if (!home || home == libc_base)
        return false;
    const struct hone_module *module = hone_modules_listed(&hone_probe_modules, (uintptr_t)address);
    return module && module->start == (uintptr_t)home;
}

static void look_at_malloc(const void *found_malloc)
{
    Dl_info allocator, libc;
    if (!found_malloc || !dladdr(found_malloc, &allocator))
        return;
    path = allocator.dli_fname;
    home = allocator.dli_fbase;
    // getpid: part of every C library, and no allocator's.
    const void *of_libc = dlsym(RTLD_NEXT, "getpid");
    if (of_libc && dladdr(of_libc, &libc))
        libc_base = libc.dli_fbase;
}

static bool is_at_home(const void *function)
{
    Dl_info info;
    return dladdr(function, &info) && info.dli_fbase == home;
}

// Of an allocator that has some of the functions, and leaves others to the C library: which blocks
// its malloc_usable_size() knows.
static void look_at_family(struct hone_allocator *next)
{
    const struct {
        uintptr_t function;
        unsigned bit;
    } seldom[] = {
        {(uintptr_t)next->aligned_alloc, HONE_ALLOCATOR_ALIGNED_ALLOC},
        {(uintptr_t)next->posix_memalign, HONE_ALLOCATOR_POSIX_MEMALIGN},
        {(uintptr_t)next->memalign, HONE_ALLOCATOR_MEMALIGN},
        {(uintptr_t)next->valloc, HONE_ALLOCATOR_VALLOC},
        {(uintptr_t)next->pvalloc, HONE_ALLOCATOR_PVALLOC},
    };
    const uintptr_t always[] = {(uintptr_t)next->calloc, (uintptr_t)next->realloc,
                                (uintptr_t)next->free, (uintptr_t)next->malloc_usable_size};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(always); i++)
        if (!is_at_home((const void *)always[i]))
            next->malloc_usable_size = NULL;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(seldom); i++)
        if (!is_at_home((const void *)seldom[i].function))
            next->strangers |= seldom[i].bit;
}

// Several threads may do this at once: each writes the same addresses. The lookup itself must not
// come back here, so malloc() and free() are replaced last.
void hone_allocator_find(void)
{
    if (hone_allocator.malloc != first_malloc || finding)
        return;
    finding = true;
    hone_heap_self.own++;
    struct hone_allocator next = missing;
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {
        {"malloc", offsetof(struct hone_allocator, malloc)},
        {"calloc", offsetof(struct hone_allocator, calloc)},
        {"realloc", offsetof(struct hone_allocator, realloc)},
        {"free", offsetof(struct hone_allocator, free)},
        {"aligned_alloc", offsetof(struct hone_allocator, aligned_alloc)},
        {"posix_memalign", offsetof(struct hone_allocator, posix_memalign)},
        {"memalign", offsetof(struct hone_allocator, memalign)},
        {"valloc", offsetof(struct hone_allocator, valloc)},
        {"pvalloc", offsetof(struct hone_allocator, pvalloc)},
        {"reallocarray", offsetof(struct hone_allocator, reallocarray)},
        {"malloc_usable_size", offsetof(struct hone_allocator, malloc_usable_size)},
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(functions); i++) {
        void *function = dlsym(RTLD_NEXT, functions[i].name);
        if (function)
            memcpy((char *)&next + functions[i].at, &function, sizeof function);
    }
    look_at_malloc(dlsym(RTLD_NEXT, "malloc"));
    look_at_family(&next);
    next.own_reallocarray = hone_allocator_has(dlsym(RTLD_NEXT, "reallocarray"));
    // An allocator may call what else we hook while it sets itself up, in its first call: to find the
    // functions behind those then would allocate, and so wait for itself.
    (void)hone_real();
    (void)hone_locks_resolve();
    hone_allocator_begin(&next);
    hone_heap_self.own--;
    finding = false;
}

const char *hone_allocator_path(void)
{
    return path;
}
