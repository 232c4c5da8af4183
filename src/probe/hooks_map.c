// Mappings that the program makes itself, counted as allocations where the recording asks for it.
// Not those of its allocator, whose blocks are counted already.
//
// A mapping counts until all of it is gone. What is left of it is kept as one stretch: what is cut
// out of its middle makes it smaller and leaves its ends.
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/heap_blocks.h"

#include "core/syscall.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

enum { MAPPINGS_MAX = 8192, TAKEN_MAX = 16, SPINS = 1000, YIELDS = 1000, PAGE = 4096 };

struct mapping {
    uint64_t low, high; // low is its name as a block, too, until its beginning goes
    uint64_t name;
    uint64_t bytes; // that are left
};

static struct mapping *mappings; // MAPPINGS_MAX, with the first one
static uint32_t count;
static _Atomic uint32_t lock;

static bool take_lock(void)
{
    for (unsigned tries = 0; tries < SPINS + YIELDS; tries++) {
        if (!atomic_load_explicit(&lock, memory_order_relaxed) &&
            !atomic_exchange_explicit(&lock, 1, memory_order_acquire))
            return true;
        if (tries >= SPINS)
            (void)hone_syscall0(SYS_sched_yield);
    }
    return false;
}

static void release_lock(void)
{
    atomic_store_explicit(&lock, 0, memory_order_release);
}

void hone_maps_after_fork(void)
{
    atomic_store_explicit(&lock, 0, memory_order_relaxed);
}

// --- the functions behind the hooks --------------------------------------------------------------

static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static int (*real_munmap)(void *, size_t);
static void *(*real_mremap)(void *, size_t, size_t, int, ...);

void hone_maps_find(void)
{
    *(void **)&real_mmap = dlsym(RTLD_NEXT, "mmap");
    *(void **)&real_munmap = dlsym(RTLD_NEXT, "munmap");
    *(void **)&real_mremap = dlsym(RTLD_NEXT, "mremap");
}

// Before they are found: an allocator maps memory while they are looked for.
static long give(long r)
{
    if (r < 0 && r > -PAGE) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

static void *call_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return real_mmap
               ? real_mmap(at, size, protection, flags, fd, offset)
               : (void *)give(hone_syscall6(SYS_mmap, at, size, protection, flags, fd, offset));
}

static int call_munmap(void *at, size_t size)
{
    return real_munmap ? real_munmap(at, size) : (int)give(hone_syscall2(SYS_munmap, at, size));
}

static void *call_mremap(void *at, size_t from, size_t to, int flags, void *new_at)
{
    return real_mremap ? real_mremap(at, from, to, flags, new_at)
                       : (void *)give(hone_syscall5(SYS_mremap, at, from, to, flags, new_at));
}

// --- which of them are tracked -------------------------------------------------------------------

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void add(const void *at, size_t size)
{
    if (!hone_heap_may_be_tracked(at))
        return;
    uint64_t low = (uintptr_t)at, bytes = whole_pages(size);
    bool added = take_lock();
    if (added) {
        if (!mappings)
            mappings = hone_heap_reserve(MAPPINGS_MAX * sizeof *mappings);
        added = mappings && count < MAPPINGS_MAX;
        if (added)
            mappings[count++] = (struct mapping){low, low + bytes, low, bytes};
        release_lock();
    }
    if (!added)
        hone_count(&hone_counters()->heap_untracked, 1);
}

void hone_maps_tell(struct hone_scan_range *ret)
{
    if (mappings)
        *ret = (struct hone_scan_range){(uintptr_t)mappings, MAPPINGS_MAX * sizeof *mappings};
}

// What becomes of a mapping when these addresses go. True: nothing is left of it.
static bool cut(struct mapping *mapping, uint64_t low, uint64_t high)
{
    uint64_t from = low > mapping->low ? low : mapping->low;
    uint64_t to = high < mapping->high ? high : mapping->high;
    if (from >= to)
        return false;
    uint64_t bytes = to - from;
    mapping->bytes = bytes < mapping->bytes ? mapping->bytes - bytes : 0;
    if (from == mapping->low)
        mapping->low = to;
    else if (to == mapping->high)
        mapping->high = from;
    return mapping->low >= mapping->high || mapping->bytes == 0;
}

struct ended {
    struct hone_heap_taken taken[TAKEN_MAX];
    uint32_t count;
};

// Addresses that go or get another meaning: before they do, for then another thread may be given
// them. What ends is told afterwards.
static void take(uint64_t low, uint64_t size, struct ended *ret)
{
    uint64_t high = low + whole_pages(size);
    ret->count = 0;
    if (!take_lock())
        return;
    for (uint32_t i = 0; i < count;) {
        if (ret->count == TAKEN_MAX || !cut(&mappings[i], low, high)) {
            i++;
            continue;
        }
        hone_heap_take((const void *)(uintptr_t)mappings[i].name, &ret->taken[ret->count++]);
        mappings[i] = mappings[--count];
    }
    release_lock();
}

static void tell_ended(const struct ended *ended, bool moved)
{
    int saved = errno;
    for (uint32_t i = 0; i < ended->count; i++)
        hone_heap_ended(&ended->taken[i], moved);
    errno = saved;
}

// A call that failed has changed nothing, and its addresses are still the mapping's.
static void put_back(uint64_t low, uint64_t size, const struct ended *ended)
{
    for (uint32_t i = 0; i < ended->count; i++) {
        const struct hone_heap_taken *taken = &ended->taken[i];
        hone_heap_put_back(taken->address, taken);
        add((const void *)(uintptr_t)low, size);
    }
}

HONE_HOOK static void made(const void *at, size_t size)
{
    if (HONE_LIKELY(!hone_heap_is_due(size)))
        return;
    hone_heap_self.whole++; // nobody's malloc_usable_size() knows it
    hone_heap_allocated(at, size);
    hone_heap_self.whole--;
    add(at, size);
}

// Whether a call is to be counted, from its return address.
static inline bool counts(const void *caller)
{
    return HONE_UNLIKELY(hone_heap_counts_maps()) && !hone_heap_self.own &&
           !hone_allocator_is_called_from(caller);
}

// --- hooks ---------------------------------------------------------------------------------------

HONE_HOOK static void *map(void *at, size_t size, int protection, int flags, int fd, off_t offset,
                           const void *caller)
{
    if (HONE_LIKELY(!counts(caller)))
        return call_mmap(at, size, protection, flags, fd, offset);
    struct ended replaced = {.count = 0};
    bool fixed = (flags & MAP_FIXED) != 0;
    if (fixed)
        take((uintptr_t)at, size, &replaced);
    void *mapped = call_mmap(at, size, protection, flags, fd, offset);
    if (mapped == MAP_FAILED) {
        put_back((uintptr_t)at, size, &replaced);
        return mapped;
    }
    tell_ended(&replaced, false);
    made(mapped, size);
    return mapped;
}

// Both are the same where addresses have 64 bits; headers may call one by the other's name.
HONE_EXPORT void *hooked_mmap(void *, size_t, int, int, int, off_t) __asm__("mmap");
HONE_EXPORT void *hooked_mmap64(void *, size_t, int, int, int, off_t) __asm__("mmap64");

HONE_HOOK void *hooked_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return map(at, size, protection, flags, fd, offset, __builtin_return_address(0));
}

HONE_HOOK void *hooked_mmap64(void *at, size_t size, int protection, int flags, int fd,
                              off_t offset)
{
    return map(at, size, protection, flags, fd, offset, __builtin_return_address(0));
}

HONE_HOOK HONE_EXPORT int munmap(void *at, size_t size)
{
    if (HONE_LIKELY(!counts(__builtin_return_address(0))))
        return call_munmap(at, size);
    struct ended ended;
    take((uintptr_t)at, size, &ended);
    int r = call_munmap(at, size);
    if (r)
        put_back((uintptr_t)at, size, &ended);
    else
        tell_ended(&ended, false);
    return r;
}

HONE_HOOK HONE_EXPORT void *mremap(void *at, size_t from, size_t to, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *new_at = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL; // NOLINT
    va_end(arguments);
    if (HONE_LIKELY(!counts(__builtin_return_address(0))))
        return call_mremap(at, from, to, flags, new_at);
    struct ended moved, replaced = {.count = 0};
    take((uintptr_t)at, from, &moved);
    if (new_at)
        take((uintptr_t)new_at, to, &replaced);
    void *mapped = call_mremap(at, from, to, flags, new_at);
    if (mapped == MAP_FAILED) {
        put_back((uintptr_t)at, from, &moved);
        put_back((uintptr_t)new_at, to, &replaced);
        return mapped;
    }
    tell_ended(&replaced, false);
    tell_ended(&moved, true);
    made(mapped, to);
    return mapped;
}
