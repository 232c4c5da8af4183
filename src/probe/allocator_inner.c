// Allocators that make a block of one kind by another function that we hook: musl's calloc() calls
// malloc(), its memalign() and posix_memalign() aligned_alloc(). The inner call is nobody's but the
// allocator's, so the block is counted once, by the hook that the program called.
//
// Which functions do so is seen at their first calls. Those that do keep a function of ours in
// front, which keeps the inner hooks quiet; the others cost what they did.
#include "probe/allocator.h"
#include "probe/heap.h"

// Larger blocks move without a copy being made.
enum { MOVES_BY_COPY = 64 << 10 };

static struct hone_allocator real;

struct quiet {
    int64_t countdown;
    uint64_t outer;
    uint32_t told;
};

// Until the end, each call of a hook is told, and not counted.
static inline __attribute__((always_inline)) struct quiet be_quiet(void)
{
    struct hone_heap_thread *self = &hone_heap_self;
    struct quiet before = {self->countdown, self->quiet, self->told};
    self->quiet = (uintptr_t)__builtin_frame_address(0);
    self->countdown = -1;
    return before;
}

// Whether a hook was called meanwhile.
static inline __attribute__((always_inline)) bool end_quiet(struct quiet before)
{
    struct hone_heap_thread *self = &hone_heap_self;
    bool called = self->told != before.told;
    self->countdown = before.countdown;
    self->quiet = before.outer;
    return called;
}

// `sure`: a call that would have been made by an inner one, if that is how it works.
#define INNER(function, result, parameters, arguments, sure)                                       \
    HONE_HOOK static result inner_##function parameters                                            \
    {                                                                                              \
        struct quiet before = be_quiet();                                                          \
        result made = real.function arguments;                                                     \
        if (!end_quiet(before) && (sure))                                                          \
            __atomic_store_n(&hone_allocator.function, real.function, __ATOMIC_RELAXED);           \
        return made;                                                                               \
    }

INNER(calloc, void *, (size_t count, size_t size), (count, size), made &&count &&size)
INNER(realloc, void *, (void *block, size_t size), (block, size),
      block &&made &&made != block && size < MOVES_BY_COPY)
INNER(aligned_alloc, void *, (size_t alignment, size_t size), (alignment, size), made &&size)
INNER(posix_memalign, int, (void **ret, size_t alignment, size_t size), (ret, alignment, size),
      made == 0 && size)
INNER(memalign, void *, (size_t alignment, size_t size), (alignment, size), made &&size)
INNER(valloc, void *, (size_t size), (size), made &&size)
INNER(pvalloc, void *, (size_t size), (size), made &&size)

const struct hone_allocator *hone_allocator_real(void)
{
    return &real;
}

void hone_allocator_begin(const struct hone_allocator *found)
{
    real = *found;
    struct hone_allocator next = *found;
    next.calloc = inner_calloc;
    next.realloc = inner_realloc;
    next.aligned_alloc = inner_aligned_alloc;
    next.posix_memalign = inner_posix_memalign;
    next.memalign = inner_memalign;
    next.valloc = inner_valloc;
    next.pvalloc = inner_pvalloc;
    hone_allocator = next;
}
