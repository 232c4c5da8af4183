// A heap profiler that does nothing: preloaded, its malloc() and free() hand on to the C library's.
// What it costs is what standing in front of an allocator costs, by a jump more; what a profiler
// that is preloaded costs more is its own. Only these two functions: for bench/heap_pairs.c.
#include <stddef.h>

void *__libc_malloc(size_t size);
void __libc_free(void *block);

// As a profiler has them: addresses that it looked up.
static void *(*volatile real_malloc)(size_t) = __libc_malloc;
static void (*volatile real_free)(void *) = __libc_free;

void *malloc(size_t size)
{
    return real_malloc(size);
}

void free(void *block)
{
    real_free(block);
}
