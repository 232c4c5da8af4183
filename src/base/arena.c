#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hone_arena_block {
    struct hone_arena_block *next;
    size_t padding; // keeps what follows aligned to 16
    char bytes[];
};

// First block small, so that an arena for one name costs little; then doubling up to 1 MiB, so
// that big ones need few calls.
enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

static int grow(struct hone_arena *arena, size_t len)
{
    size_t size = arena->total_bytes ? arena->total_bytes : FIRST_BLOCK;
    if (size > LARGEST_BLOCK)
        size = LARGEST_BLOCK;
    if (size < len)
        size = len;
    struct hone_arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return -1;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->at = block->bytes;
    arena->end = block->bytes + size;
    arena->total_bytes += size;
    return 0;
}

static void *bump(struct hone_arena *arena, size_t len, size_t align)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    uintptr_t at = ((uintptr_t)arena->at + align - 1) & ~(uintptr_t)(align - 1);
    if (!arena->at || at > (uintptr_t)arena->end || len > (uintptr_t)arena->end - at) {
        if (grow(arena, len))
            return NULL;
        at = (uintptr_t)arena->at;
    }
    arena->at = (char *)at + len;
    return (void *)at;
}

void *hone_arena_alloc(struct hone_arena *arena, size_t len)
{
    return bump(arena, len, 16);
}

void *hone_arena_zalloc(struct hone_arena *arena, size_t count, size_t size)
{
    size_t len;
    if (__builtin_mul_overflow(count, size, &len))
        return NULL;
    void *memory = bump(arena, len, 16);
    return memory ? memset(memory, 0, len) : NULL;
}

char *hone_arena_copy(struct hone_arena *arena, const void *bytes, size_t len)
{
    char *copy = bump(arena, len, 1);
    if (copy && len)
        memcpy(copy, bytes, len);
    return copy;
}

char *hone_arena_format(struct hone_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = len < 0 ? NULL : bump(arena, (size_t)len + 1, 1);
    if (text)
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void hone_arena_done(struct hone_arena *arena)
{
    for (struct hone_arena_block *block = arena->blocks; block;) {
        struct hone_arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct hone_arena){0};
}
