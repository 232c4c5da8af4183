// Arrays that double.
//
// Threads: safe, on different arrays.
#ifndef HONE_BASE_ARRAY_H
#define HONE_BASE_ARRAY_H

#include "base/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// How much room comes next. Where AddressSanitizer looks, no more than is asked for: nearly each
// item that is added moves a small array, and who still points into the old one is found.
static inline uint64_t hone_array_larger(uint32_t room, uint64_t need)
{
#ifdef __SANITIZE_ADDRESS__
    enum { MOVED_EACH_TIME = 1024 };
    if (need <= MOVED_EACH_TIME)
        return need;
#endif
    uint64_t larger = room ? room * 2ull : 64;
    while (larger < need)
        larger *= 2;
    return larger;
}

// Makes room for `need` items of `size` bytes in *array, a pointer to the first one; *room is how
// many there is room for. What is new may hold anything, and is not touched: of a large array the
// half that is never used would become memory. False, and nothing has changed: memory is out, or
// the items cannot be counted any more.
static inline bool hone_array_grow(void *array, uint32_t *room, uint64_t need, size_t size)
{
    void **at = array;
    if (need <= *room)
        return true;
    uint64_t larger = hone_array_larger(*room, need);
    void *memory = larger > UINT32_MAX ? NULL : realloc(*at, larger * size);
    if (!memory)
        return false;
    hone_pages_large(memory, larger * size);
    *at = memory;
    *room = (uint32_t)larger;
    return true;
}

// The same, but what is new is zero.
static inline bool hone_array_reserve(void *array, uint32_t *room, uint64_t need, size_t size)
{
    uint32_t before = *room;
    if (!hone_array_grow(array, room, need, size))
        return false;
    if (*room > before)
        memset(*(char **)array + before * size, 0, (*room - before) * size);
    return true;
}

#endif
