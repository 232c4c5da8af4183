// C++'s new and delete, by their names in the Itanium C++ ABI. Those of the C++ libraries call
// malloc() and free(), where we see them: they are only handed on. Allocators that define their own
// call their inner functions; then new is an allocation and delete a release.
//
// Where the program has none when it begins, because it is one in C that opens libraries in C++
// later, or has them inside, each of those is to find its own, or that of a library that only it
// sees: then ours are taken out of sight.
#include "probe/allocator.h"
#include "probe/heap.h"
#include "probe/image.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

// Found at the beginning, or at a call before. Unknown: not looked up yet.
enum kind { KIND_UNKNOWN, KIND_HANDED_ON, KIND_OWN };

struct function {
    const char *name;
    void (*real)(void); // NULL: there is none
    _Atomic int kind;
    // The real one, where that is all there is to do: a program may call these every 30 ns.
    void (*_Atomic handed_on)(void);
};

HONE_HOOK static enum kind find(struct function *function)
{
    void *real = dlsym(RTLD_NEXT, function->name);
    hone_allocator_find();
    if (!real)
        return KIND_HANDED_ON;
    enum kind kind = hone_allocator_has(real) ? KIND_OWN : KIND_HANDED_ON;
    *(void **)&function->real = real;
    // Release: the address before the kind.
    atomic_store_explicit(&function->kind, kind, memory_order_release);
    if (kind == KIND_HANDED_ON)
        atomic_store_explicit(&function->handed_on, function->real, memory_order_relaxed);
    return kind;
}

#define HANDED_ON(symbol) atomic_load_explicit(&of_##symbol.handed_on, memory_order_relaxed)

static inline enum kind kind_of(struct function *function)
{
    int kind = atomic_load_explicit(&function->kind, memory_order_acquire);
    return HONE_LIKELY(kind != KIND_UNKNOWN) ? (enum kind)kind : find(function);
}

// An allocator's own new may call its malloc() all the same, where that hook counts.
HONE_HOOK static void *told(struct hone_heap_mark before, void *block, size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due_since(before, size)))
        hone_heap_allocated(block, size);
    return block;
}

#define NEW(symbol, parameters, arguments, instead)                                                \
    static struct function of_##symbol = {.name = #symbol};                                        \
    HONE_HOOK __attribute__((noinline)) static void *seen_##symbol parameters                      \
    {                                                                                              \
        enum kind kind = kind_of(&of_##symbol);                                                    \
        void *(*real)parameters = (void *(*)parameters)of_##symbol.real;                           \
        if (HONE_UNLIKELY(!real))                                                                  \
            return instead;                                                                        \
        if (kind == KIND_OWN) {                                                                    \
            struct hone_heap_mark before = hone_heap_mark();                                       \
            return told(before, real arguments, size);                                             \
        }                                                                                          \
        return real arguments;                                                                     \
    }                                                                                              \
    HONE_EXPORT void *symbol parameters;                                                           \
    HONE_HOOK void *symbol parameters                                                              \
    {                                                                                              \
        void *(*real)parameters = (void *(*)parameters)HANDED_ON(symbol);                          \
        return HONE_LIKELY(real != NULL) ? real arguments : seen_##symbol arguments;               \
    }

NEW(_Znwm, (size_t size), (size), malloc(size))
NEW(_Znam, (size_t size), (size), malloc(size))
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), malloc(size))
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), malloc(size))
NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment),
    memalign(alignment, size))
NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment),
    memalign(alignment, size))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *nothrow),
    (size, alignment, nothrow), memalign(alignment, size))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void *nothrow),
    (size, alignment, nothrow), memalign(alignment, size))

#define DELETE(symbol, parameters, arguments)                                                      \
    static struct function of_##symbol = {.name = #symbol};                                        \
    HONE_HOOK __attribute__((noinline)) static void seen_##symbol parameters                       \
    {                                                                                              \
        enum kind kind = kind_of(&of_##symbol);                                                    \
        void(*real) parameters = (void(*) parameters)of_##symbol.real;                             \
        if (HONE_UNLIKELY(!real)) {                                                                \
            free(block);                                                                           \
            return;                                                                                \
        }                                                                                          \
        if (kind == KIND_OWN && HONE_UNLIKELY(hone_heap_may_be_tracked(block)))                    \
            hone_heap_released(block);                                                             \
        real arguments;                                                                            \
    }                                                                                              \
    HONE_EXPORT void symbol parameters;                                                            \
    HONE_HOOK void symbol parameters                                                               \
    {                                                                                              \
        void(*real) parameters = (void(*) parameters)HANDED_ON(symbol);                            \
        if (HONE_LIKELY(real != NULL))                                                             \
            real arguments;                                                                        \
        else                                                                                       \
            seen_##symbol arguments;                                                               \
    }

DELETE(_ZdlPv, (void *block), (block))
DELETE(_ZdaPv, (void *block), (block))
DELETE(_ZdlPvm, (void *block, size_t size), (block, size))
DELETE(_ZdaPvm, (void *block, size_t size), (block, size))
DELETE(_ZdlPvRKSt9nothrow_t, (void *block, const void *nothrow), (block, nothrow))
DELETE(_ZdaPvRKSt9nothrow_t, (void *block, const void *nothrow), (block, nothrow))
DELETE(_ZdlPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
DELETE(_ZdaPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
DELETE(_ZdlPvmSt11align_val_t, (void *block, size_t size, size_t alignment),
       (block, size, alignment))
DELETE(_ZdaPvmSt11align_val_t, (void *block, size_t size, size_t alignment),
       (block, size, alignment))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const void *nothrow),
       (block, alignment, nothrow))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t alignment, const void *nothrow),
       (block, alignment, nothrow))

static struct function *const all[] = {
    &of__Znwm,
    &of__Znam,
    &of__ZnwmRKSt9nothrow_t,
    &of__ZnamRKSt9nothrow_t,
    &of__ZnwmSt11align_val_t,
    &of__ZnamSt11align_val_t,
    &of__ZnwmSt11align_val_tRKSt9nothrow_t,
    &of__ZnamSt11align_val_tRKSt9nothrow_t,
    &of__ZdlPv,
    &of__ZdaPv,
    &of__ZdlPvm,
    &of__ZdaPvm,
    &of__ZdlPvRKSt9nothrow_t,
    &of__ZdaPvRKSt9nothrow_t,
    &of__ZdlPvSt11align_val_t,
    &of__ZdaPvSt11align_val_t,
    &of__ZdlPvmSt11align_val_t,
    &of__ZdaPvmSt11align_val_t,
    &of__ZdlPvSt11align_val_tRKSt9nothrow_t,
    &of__ZdaPvSt11align_val_tRKSt9nothrow_t,
};

static int find_ourselves(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct hone_image *image = context;
    return hone_image_read(info, image) && hone_image_holds(image, (uintptr_t)__start_hone_hooks);
}

// All of them: later, the loader's lock may be held by whoever waits for us, or for ever, in a
// forked child; and who asks the loader in vain changes what dlerror() tells the program.
void hone_new_find(void)
{
    const char *missing[HONE_ARRAY_LENGTH(all)];
    size_t count = 0;
    bool some = dlsym(RTLD_NEXT, "_Znwm") != NULL;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(all); i++) {
        if (some)
            (void)find(all[i]);
        if (all[i]->real)
            continue;
        missing[count++] = all[i]->name;
        atomic_store_explicit(&all[i]->kind, KIND_HANDED_ON, memory_order_release);
    }
    struct hone_image image;
    if (count && dl_iterate_phdr(find_ourselves, &image))
        hone_image_withdraw(&image, missing, count);
    // What we asked for in vain is nothing to the program: the loader forgets it with the next
    // answer. dlerror() would do it, too, and allocate, by more than the program may have of its
    // own.
    (void)dlsym(RTLD_NEXT, "malloc");
}
