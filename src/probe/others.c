#include "probe/others.h"

#include "probe/allocator.h"
#include "probe/entries.h"
#include "probe/heap.h"

#include <errno.h>
#include <string.h>

// --- names ---------------------------------------------------------------------------------------

static const struct name {
    const char *name;
    enum hone_other_kind kind;
} plain[] =
    {
        {"malloc", HONE_OTHER_SIZE},
        {"free", HONE_OTHER_BLOCK},
        {"calloc", HONE_OTHER_COUNT_SIZE},
        {"realloc", HONE_OTHER_BLOCK_SIZE},
        {"aligned_alloc", HONE_OTHER_ALIGNMENT_SIZE},
        {"posix_memalign", HONE_OTHER_POSIX_MEMALIGN},
        {"memalign", HONE_OTHER_ALIGNMENT_SIZE},
        {"valloc", HONE_OTHER_SIZE},
        {"pvalloc", HONE_OTHER_SIZE},
        {"reallocarray", HONE_OTHER_BLOCK_ARRAY},
        {"cfree", HONE_OTHER_BLOCK},
        {"free_sized", HONE_OTHER_BLOCK},
        {"free_aligned_sized", HONE_OTHER_BLOCK},
        // jemalloc's
        {"mallocx", HONE_OTHER_SIZE},
        {"rallocx", HONE_OTHER_BLOCK_SIZE},
        {"dallocx", HONE_OTHER_BLOCK},
        {"sdallocx", HONE_OTHER_BLOCK},
},
  tcmalloc[] =
      {
          {"new", HONE_OTHER_SIZE},
          {"new_nothrow", HONE_OTHER_SIZE},
          {"newarray", HONE_OTHER_SIZE},
          {"newarray_nothrow", HONE_OTHER_SIZE},
          {"new_aligned", HONE_OTHER_SIZE},
          {"newarray_aligned", HONE_OTHER_SIZE},
          {"delete", HONE_OTHER_BLOCK},
          {"delete_sized", HONE_OTHER_BLOCK},
          {"delete_nothrow", HONE_OTHER_BLOCK},
          {"deletearray", HONE_OTHER_BLOCK},
          {"deletearray_sized", HONE_OTHER_BLOCK},
          {"deletearray_nothrow", HONE_OTHER_BLOCK},
},
  mimalloc[] = {
      {"zalloc", HONE_OTHER_SIZE},
      {"malloc_small", HONE_OTHER_SIZE},
      {"zalloc_small", HONE_OTHER_SIZE},
      {"mallocn", HONE_OTHER_COUNT_SIZE},
      {"malloc_aligned", HONE_OTHER_SIZE},
      {"zalloc_aligned", HONE_OTHER_SIZE},
      {"realloc_aligned", HONE_OTHER_BLOCK_SIZE},
      {"reallocf", HONE_OTHER_BLOCK_SIZE},
      {"reallocn", HONE_OTHER_BLOCK_ARRAY},
      {"free_size", HONE_OTHER_BLOCK},
      {"free_size_aligned", HONE_OTHER_BLOCK},
      {"free_aligned", HONE_OTHER_BLOCK},
      {"new", HONE_OTHER_SIZE},
      {"new_nothrow", HONE_OTHER_SIZE},
      {"new_aligned", HONE_OTHER_SIZE},
      {"new_n", HONE_OTHER_COUNT_SIZE},
};

static bool starts(const char *name, size_t length, const char *prefix)
{
    size_t bytes = strlen(prefix);
    return length >= bytes && memcmp(name, prefix, bytes) == 0;
}

static enum hone_other_kind find(const struct name *names, size_t count, const char *name,
                                 size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i].name) == length && memcmp(names[i].name, name, length) == 0)
            return names[i].kind;
    return HONE_OTHER_NONE;
}

// Operators, as the Itanium C++ ABI names them: `_Znwm`, `_ZdaPvmSt11align_val_t`.
static enum hone_other_kind of_operator(const char *name, size_t length)
{
    if (starts(name, length, "_Znwm") || starts(name, length, "_Znam")) {
        // Placement new has a pointer of the program's behind the size.
        bool ours = length == 5 || starts(name + 5, length - 5, "St11align_val_t") ||
                    starts(name + 5, length - 5, "RKSt9nothrow_t");
        return ours ? HONE_OTHER_SIZE : HONE_OTHER_NONE;
    }
    if (starts(name, length, "_ZdlPv") || starts(name, length, "_ZdaPv")) {
        bool ours = length == 6 || name[6] == 'm' ||
                    starts(name + 6, length - 6, "St11align_val_t") ||
                    starts(name + 6, length - 6, "RKSt9nothrow_t");
        return ours ? HONE_OTHER_BLOCK : HONE_OTHER_NONE;
    }
    return HONE_OTHER_NONE;
}

bool hone_other_is_operator(const char *name)
{
    return name[0] == '_' && name[1] == 'Z';
}

enum hone_other_kind hone_other_kind_of(const char *name, size_t length)
{
    // As most names are not among them, nearly all end here.
    if (length < 4 || !strchr("mcrfapvj_tsd", name[0]))
        return HONE_OTHER_NONE;
    if (name[0] == '_' && name[1] == 'Z')
        return of_operator(name, length);
    enum hone_other_kind kind = HONE_OTHER_NONE;
    if (starts(name, length, "tc_"))
        kind = find(tcmalloc, HONE_ARRAY_LENGTH(tcmalloc), name + 3, length - 3);
    else if (starts(name, length, "mi_"))
        kind = find(mimalloc, HONE_ARRAY_LENGTH(mimalloc), name + 3, length - 3);
    if (kind)
        return kind;
    static const char *const prefixes[] = {"je_", "_rjem_", "tc_", "mi_"};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(prefixes); i++) {
        size_t bytes = strlen(prefixes[i]);
        if (starts(name, length, prefixes[i]))
            return find(plain, HONE_ARRAY_LENGTH(plain), name + bytes, length - bytes);
    }
    return find(plain, HONE_ARRAY_LENGTH(plain), name, length);
}

// --- hooks ---------------------------------------------------------------------------------------

// What these do with registers beyond the general ones is nobody's business.
struct work {
    const void *block;
    size_t size;
    const void *real; // that made the block
    struct hone_heap_taken *taken;
    bool moved;
};

HONE_HOOK static void work_allocated(void *argument)
{
    const struct work *at = argument;
    size_t (*before)(void *) = hone_heap_self.usable;
    hone_heap_self.usable = hone_entry_usable((uintptr_t)at->real);
    hone_heap_self.other++;
    hone_heap_allocated(at->block, at->size);
    hone_heap_self.other--;
    hone_heap_self.usable = before;
}

HONE_HOOK static void work_released(void *argument)
{
    const struct work *at = argument;
    hone_heap_released(at->block);
}

HONE_HOOK static void work_take(void *argument)
{
    const struct work *at = argument;
    hone_heap_take(at->block, at->taken);
}

HONE_HOOK static void work_put_back(void *argument)
{
    const struct work *at = argument;
    hone_heap_put_back(at->block, at->taken);
}

HONE_HOOK static void work_ended(void *argument)
{
    const struct work *at = argument;
    hone_heap_ended(at->taken, at->moved);
}

HONE_HOOK static void tell_due(const void *real, const void *block, size_t size)
{
    struct work work = {.block = block, .size = size, .real = real};
    hone_keeping_vectors(work_allocated, &work);
}

static inline void tell(struct hone_heap_mark before, const void *real, const void *block,
                        size_t size)
{
    if (HONE_UNLIKELY(hone_heap_is_due_since(before, size)))
        tell_due(real, block, size);
}

typedef void *size_function(size_t, size_t, size_t);
typedef int memalign_function(void **, size_t, size_t);
typedef void *block_function(void *, size_t, size_t);
typedef void release_function(void *, size_t, size_t, size_t);

HONE_HOOK static void *by_size(size_function *real, size_t size, size_t second, size_t third)
{
    struct hone_heap_mark before = hone_heap_mark();
    void *block = real(size, second, third);
    tell(before, (const void *)(uintptr_t)real, block, size);
    return block;
}

HONE_HOOK static void *by_alignment_size(size_function *real, size_t alignment, size_t size,
                                         size_t third)
{
    struct hone_heap_mark before = hone_heap_mark();
    void *block = real(alignment, size, third);
    tell(before, (const void *)(uintptr_t)real, block, size);
    return block;
}

HONE_HOOK static void *by_count_size(size_function *real, size_t count, size_t size, size_t third)
{
    struct hone_heap_mark before = hone_heap_mark();
    void *block = real(count, size, third);
    tell(before, (const void *)(uintptr_t)real, block,
         count * size); // cannot overflow when there is a block
    return block;
}

HONE_HOOK static int by_posix_memalign(memalign_function *real, void **ret, size_t alignment,
                                       size_t size)
{
    struct hone_heap_mark before = hone_heap_mark();
    int r = real(ret, alignment, size);
    tell(before, (const void *)(uintptr_t)real, r ? NULL : *ret, size);
    return r;
}

HONE_HOOK static void *resize(block_function *real, void *block, size_t size, size_t second,
                              size_t third)
{
    struct hone_heap_taken taken;
    struct work work = {.block = block, .size = size, .taken = &taken, .moved = size != 0};
    bool tracked = block && hone_heap_may_be_tracked(block);
    if (HONE_UNLIKELY(tracked))
        hone_keeping_vectors(work_take, &work);
    struct hone_heap_mark before = hone_heap_mark();
    void *moved = real(block, second, third);
    if (HONE_UNLIKELY(tracked)) {
        int saved = errno;
        hone_keeping_vectors(!moved && size ? work_put_back : work_ended, &work);
        errno = saved;
    }
    tell(before, (const void *)(uintptr_t)real, moved, size);
    return moved;
}

HONE_HOOK static void *by_block_size(block_function *real, void *block, size_t size, size_t third)
{
    return resize(real, block, size, size, third);
}

HONE_HOOK static void *by_block_array(block_function *real, void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return real(block, count, size);
    return resize(real, block, bytes, count, size);
}

HONE_HOOK static void by_block(release_function *real, void *block, size_t second, size_t third,
                               size_t fourth)
{
    if (HONE_UNLIKELY(hone_heap_may_be_tracked(block))) {
        if (hone_allocator_is_early(block))
            return;
        struct work work = {.block = block};
        hone_keeping_vectors(work_released, &work);
    }
    real(block, second, third, fourth);
}

// What is looked for at a process's end has to be looked for before it.
HONE_HOOK static void work_end(void *unused)
{
    (void)unused;
    hone_process_end();
}

typedef void end_function(int);

HONE_HOOK static void by_end(end_function *real, int status)
{
    hone_keeping_vectors(work_end, NULL);
    real(status);
}

// --- one for each function -----------------------------------------------------------------------

// Written once, before anybody is made to call the hook.
#define HOOKS_8(one, kind, from)                                                                   \
    one(kind, from##0) one(kind, from##1) one(kind, from##2) one(kind, from##3) one(kind, from##4) \
        one(kind, from##5) one(kind, from##6) one(kind, from##7)
#define HOOKS_64(one, kind)                                                                        \
    HOOKS_8(one, kind, 0)                                                                          \
    HOOKS_8(one, kind, 01)                                                                         \
    HOOKS_8(one, kind, 02)                                                                         \
    HOOKS_8(one, kind, 03)                                                                         \
    HOOKS_8(one, kind, 04) HOOKS_8(one, kind, 05) HOOKS_8(one, kind, 06) HOOKS_8(one, kind, 07)
#define HOOKS_16(one, kind) HOOKS_8(one, kind, 0) HOOKS_8(one, kind, 01)

enum { MANY = 64, SOME = 16 };

typedef void any_function(void);

static any_function *of_size[MANY], *of_alignment_size[SOME], *of_count_size[SOME],
    *of_posix_memalign[SOME], *of_block_size[SOME], *of_block_array[SOME], *of_block[MANY],
    *of_end[SOME];

#define SIZE_HOOK(kind, number)                                                                    \
    HONE_HOOK static void *kind##_##number(size_t first, size_t second, size_t third)              \
    {                                                                                              \
        return by_##kind((size_function *)of_##kind[number], first, second, third);                \
    }
#define POSIX_HOOK(kind, number)                                                                   \
    HONE_HOOK static int kind##_##number(void **ret, size_t alignment, size_t size)                \
    {                                                                                              \
        return by_##kind((memalign_function *)of_##kind[number], ret, alignment, size);            \
    }
#define BLOCK_HOOK(kind, number)                                                                   \
    HONE_HOOK static void *kind##_##number(void *block, size_t second, size_t third)               \
    {                                                                                              \
        return by_##kind((block_function *)of_##kind[number], block, second, third);               \
    }
#define RELEASE_HOOK(kind, number)                                                                 \
    HONE_HOOK static void kind##_##number(void *block, size_t second, size_t third, size_t fourth) \
    {                                                                                              \
        by_##kind((release_function *)of_##kind[number], block, second, third, fourth);            \
    }
#define END_HOOK(kind, number)                                                                     \
    HONE_HOOK static void kind##_##number(int status)                                              \
    {                                                                                              \
        by_##kind((end_function *)of_##kind[number], status);                                      \
    }

HOOKS_64(SIZE_HOOK, size)
HOOKS_16(SIZE_HOOK, alignment_size)
HOOKS_16(SIZE_HOOK, count_size)
HOOKS_16(POSIX_HOOK, posix_memalign)
HOOKS_16(BLOCK_HOOK, block_size)
HOOKS_16(BLOCK_HOOK, block_array)
HOOKS_64(RELEASE_HOOK, block)
HOOKS_16(END_HOOK, end)

#define ADDRESS(kind, number) (any_function *)kind##_##number,

static any_function *const hooks_size[] = {HOOKS_64(ADDRESS, size)};
static any_function *const hooks_alignment_size[] = {HOOKS_16(ADDRESS, alignment_size)};
static any_function *const hooks_count_size[] = {HOOKS_16(ADDRESS, count_size)};
static any_function *const hooks_posix_memalign[] = {HOOKS_16(ADDRESS, posix_memalign)};
static any_function *const hooks_block_size[] = {HOOKS_16(ADDRESS, block_size)};
static any_function *const hooks_block_array[] = {HOOKS_16(ADDRESS, block_array)};
static any_function *const hooks_block[] = {HOOKS_64(ADDRESS, block)};
static any_function *const hooks_end[] = {HOOKS_16(ADDRESS, end)};

void *hone_other_hook(enum hone_other_kind kind, void *function)
{
    static const struct {
        any_function **functions;
        any_function *const *hooks;
        size_t count;
    } kinds[HONE_OTHER_KINDS] = {
#define KIND(name) {of_##name, hooks_##name, HONE_ARRAY_LENGTH(hooks_##name)}
        [HONE_OTHER_SIZE] = KIND(size),
        [HONE_OTHER_ALIGNMENT_SIZE] = KIND(alignment_size),
        [HONE_OTHER_COUNT_SIZE] = KIND(count_size),
        [HONE_OTHER_POSIX_MEMALIGN] = KIND(posix_memalign),
        [HONE_OTHER_BLOCK_SIZE] = KIND(block_size),
        [HONE_OTHER_BLOCK_ARRAY] = KIND(block_array),
        [HONE_OTHER_BLOCK] = KIND(block),
        [HONE_OTHER_END] = KIND(end),
    };
    any_function *of = (any_function *)(uintptr_t)function;
    for (size_t i = 0; i < kinds[kind].count; i++) {
        if (!kinds[kind].functions[i])
            kinds[kind].functions[i] = of;
        if (kinds[kind].functions[i] == of)
            return (void *)(uintptr_t)kinds[kind].hooks[i];
    }
    return NULL;
}

bool hone_is_hook(uint64_t address)
{
    return address - (uintptr_t)__start_hone_hooks <
           (uintptr_t)__stop_hone_hooks - (uintptr_t)__start_hone_hooks;
}
