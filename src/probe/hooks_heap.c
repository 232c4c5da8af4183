// malloc() and its family. Each hook decides in a few instructions whether the call matters and
// jumps on to the real function when it does not.
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/heap_count.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// --- allocations ---------------------------------------------------------------------------------

HONE_HOOK static void *told(void *block, size_t size)
{
    hone_heap_allocated(block, size);
    return block;
}

HONE_HOOK static void *due_malloc(size_t size)
{
    void *block = hone_allocator.malloc(size);
    return hone_heap_counts(block, size) ? block : told(block, size);
}

HONE_HOOK HONE_EXPORT HONE_LINE void *malloc(size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due(size)))
        return due_malloc(size);
    return hone_allocator.malloc(size);
}

HONE_HOOK static void *due_calloc(size_t count, size_t size)
{
    void *block = hone_allocator.calloc(count, size);
    size *= count; // cannot overflow when there is a block
    return hone_heap_counts(block, size) ? block : told(block, size);
}

HONE_HOOK HONE_EXPORT HONE_LINE void *calloc(size_t count, size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due(count * size)))
        return due_calloc(count, size);
    return hone_allocator.calloc(count, size);
}

// Of a function that may be another allocator's.
HONE_HOOK static void *told_of(unsigned function, void *block, size_t size)
{
    struct hone_heap_thread *self = &hone_heap_self;
    if (HONE_LIKELY(!(hone_allocator.strangers & function)))
        return told(block, size);
    size_t (*before)(void *) = self->usable;
    self->usable = NULL;
    self->other++;
    hone_heap_allocated(block, size);
    self->other--;
    self->usable = before;
    return block;
}

HONE_HOOK static void *due_aligned(unsigned function, void *(*real)(size_t, size_t),
                                   size_t alignment, size_t size)
{
    return told_of(function, real(alignment, size), size);
}

HONE_HOOK HONE_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due(size)))
        return due_aligned(HONE_ALLOCATOR_ALIGNED_ALLOC, hone_allocator.aligned_alloc, alignment,
                           size);
    return hone_allocator.aligned_alloc(alignment, size);
}

HONE_HOOK HONE_EXPORT void *memalign(size_t alignment, size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due(size)))
        return due_aligned(HONE_ALLOCATOR_MEMALIGN, hone_allocator.memalign, alignment, size);
    return hone_allocator.memalign(alignment, size);
}

HONE_HOOK static int due_posix_memalign(void **ret, size_t alignment, size_t size)
{
    int r = hone_allocator.posix_memalign(ret, alignment, size);
    (void)told_of(HONE_ALLOCATOR_POSIX_MEMALIGN, r ? NULL : *ret, size);
    return r;
}

HONE_HOOK HONE_EXPORT int posix_memalign(void **ret, size_t alignment, size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due(size)))
        return due_posix_memalign(ret, alignment, size);
    return hone_allocator.posix_memalign(ret, alignment, size);
}

HONE_HOOK HONE_EXPORT void *valloc(size_t size)
{
    void *block = hone_allocator.valloc(size);
    return hone_heap_is_due(size) ? told_of(HONE_ALLOCATOR_VALLOC, block, size) : block;
}

HONE_HOOK HONE_EXPORT void *pvalloc(size_t size)
{
    void *block = hone_allocator.pvalloc(size);
    return hone_heap_is_due(size) ? told_of(HONE_ALLOCATOR_PVALLOC, block, size) : block;
}

// --- releases ------------------------------------------------------------------------------------

// Not from within tracked_free(): see HONE_HEAP_LONG_WAY_BYTES.
HONE_HOOK static void told_free(void *block)
{
    hone_heap_released(block);
    hone_allocator.free(block);
}

HONE_HOOK static void tracked_free(void *block)
{
    if (HONE_UNLIKELY(hone_allocator_holds_early(block)))
        return;
    if (HONE_LIKELY(hone_heap_counts_end(block)))
        hone_allocator.free(block);
    else
        told_free(block);
}

HONE_HOOK HONE_EXPORT HONE_LINE void free(void *block)
{
    if (HONE_UNLIKELY(hone_heap_may_be_tracked(block)))
        tracked_free(block);
    else
        hone_allocator.free(block);
}

// --- both ----------------------------------------------------------------------------------------

// A block of the static store moves to the real allocator.
HONE_HOOK static void *move_early(const void *block, size_t size)
{
    void *moved = malloc(size);
    size_t had = hone_allocator_early_size(block);
    if (moved)
        memcpy(moved, block, had < size ? had : size);
    return moved;
}

// A block that is tracked leaves the table before the call: once its memory is given back, another
// thread may get it. Where the call fails, the block stays what it was.
HONE_HOOK static void *told_realloc(void *block, size_t size, bool due)
{
    if (HONE_UNLIKELY(hone_allocator_holds_early(block)))
        return move_early(block, size);
    struct hone_heap_taken taken = {0};
    if (block && hone_heap_may_be_tracked(block))
        hone_heap_take(block, &taken);
    void *moved = hone_allocator.realloc(block, size);
    int saved = errno;
    if (!moved && size)
        hone_heap_put_back(block, &taken);
    else
        hone_heap_ended(&taken, size != 0);
    errno = saved;
    if (due)
        hone_heap_allocated(moved, size);
    return moved;
}

HONE_HOOK HONE_EXPORT HONE_LINE void *realloc(void *block, size_t size)
{
    bool due = hone_heap_is_due(size);
    if (HONE_UNLIKELY(due || hone_heap_may_be_tracked(block)))
        return told_realloc(block, size, due);
    return hone_allocator.realloc(block, size);
}

// The C library's calls realloc(), which we see; an allocator's own may not.
HONE_HOOK HONE_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (hone_allocator.own_reallocarray && !__builtin_mul_overflow(count, size, &bytes))
        return realloc(block, bytes);
    return hone_allocator.reallocarray(block, count, size);
}

// --- for who calls them past us ------------------------------------------------------------------

// Under names of our own, for `malloc` may be the program's.
#define OWN(function)                                                                              \
    __asm__(".globl hone_own_" #function "\n.hidden hone_own_" #function                           \
            "\n.set hone_own_" #function ", " #function);                                          \
    extern char hone_own_##function[] __attribute__((visibility("hidden")))
OWN(malloc);
OWN(calloc);
OWN(realloc);
OWN(reallocarray);
OWN(free);
OWN(aligned_alloc);
OWN(posix_memalign);
OWN(memalign);
OWN(valloc);
OWN(pvalloc);

void *hone_allocator_hook(const char *name, const void *function)
{
    const struct hone_allocator *real = hone_allocator_real();
    const struct {
        const char *name;
        uintptr_t function;
        void *hook;
    } hooks[] = {
        {"malloc", (uintptr_t)real->malloc, hone_own_malloc},
        {"calloc", (uintptr_t)real->calloc, hone_own_calloc},
        {"realloc", (uintptr_t)real->realloc, hone_own_realloc},
        {"reallocarray", (uintptr_t)real->reallocarray, hone_own_reallocarray},
        {"free", (uintptr_t)real->free, hone_own_free},
        {"aligned_alloc", (uintptr_t)real->aligned_alloc, hone_own_aligned_alloc},
        {"posix_memalign", (uintptr_t)real->posix_memalign, hone_own_posix_memalign},
        {"memalign", (uintptr_t)real->memalign, hone_own_memalign},
        {"valloc", (uintptr_t)real->valloc, hone_own_valloc},
        {"pvalloc", (uintptr_t)real->pvalloc, hone_own_pvalloc},
    };
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(hooks); i++)
        if ((!function || hooks[i].function == (uintptr_t)function) &&
            strcmp(hooks[i].name, name) == 0)
            return hooks[i].hook;
    return NULL;
}
