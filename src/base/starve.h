// For tests: allocations that fail when asked to, and a count of blocks that nobody freed. The
// test's executable is linked with -Wl,--wrap= for malloc, calloc, realloc, reallocarray and free,
// so that calls from it and from our static libraries come here; a shared library's do not.
//
//     for (long after = 0;; after++) {
//         hone_starve_after = after;             // this many succeed, the next one fails
//         int r = work();
//         bool starved = hone_starve_after < 0;
//         hone_starve_after = -1;                // none fails
//         …
//         if (!starved)
//             break;                             // there was nothing left to fail
//     }
#ifndef HONE_BASE_STARVE_H
#define HONE_BASE_STARVE_H

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__real_reallocarray(void *at, size_t count, size_t size);
void __real_free(void *at);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);
void *__wrap_reallocarray(void *at, size_t count, size_t size);
void __wrap_free(void *at);

static long hone_starve_after = -1; // until one fails; negative: none does
static long hone_starve_blocks;

static bool hone_starve_now(void)
{
    return hone_starve_after >= 0 && hone_starve_after-- == 0;
}

static void *hone_starve_count(void *block)
{
    hone_starve_blocks += block != NULL;
    return block;
}

void *__wrap_malloc(size_t size)
{
    return hone_starve_now() ? NULL : hone_starve_count(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return hone_starve_now() ? NULL : hone_starve_count(__real_calloc(count, size));
}

void *__wrap_realloc(void *at, size_t size)
{
    if (hone_starve_now())
        return NULL;
    return at ? __real_realloc(at, size) : hone_starve_count(__real_realloc(at, size));
}

void *__wrap_reallocarray(void *at, size_t count, size_t size)
{
    if (hone_starve_now())
        return NULL;
    return at ? __real_reallocarray(at, count, size)
              : hone_starve_count(__real_reallocarray(at, count, size));
}

void __wrap_free(void *at)
{
    hone_starve_blocks -= at != NULL;
    __real_free(at);
}

#endif
