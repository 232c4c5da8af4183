// An arena: things that die together. Allocation is a pointer bump; nothing in it is freed alone.
//
//     struct hone_arena arena = {0};                       // zero is ready for use
//     char *name = hone_arena_copy(&arena, text, len + 1); // lives as long as the arena
//     hone_arena_done(&arena);
//
// Threads: one at a time.
#ifndef HONE_BASE_ARENA_H
#define HONE_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct hone_arena_block;

struct hone_arena {
    struct hone_arena_block *blocks; // newest first
    char *at;                        // free space in the newest block
    char *end;
    size_t total_bytes; // of all blocks
};

// len bytes, aligned to 16, not cleared. Returns NULL when memory is out.
void *hone_arena_alloc(struct hone_arena *arena, size_t len);

// The same, cleared; count * size is checked for overflow.
void *hone_arena_zalloc(struct hone_arena *arena, size_t count, size_t size);

// A copy of len bytes (not aligned: meant for text).
char *hone_arena_copy(struct hone_arena *arena, const void *bytes, size_t len);

// Formatted text with its final NUL.
__attribute__((format(printf, 2, 3))) char *hone_arena_format(struct hone_arena *arena,
                                                              const char *format, ...);

// Frees everything; the arena is then empty and may be used again.
void hone_arena_done(struct hone_arena *arena);

#define hone_arena_new(arena, type) ((type *)hone_arena_zalloc((arena), 1, sizeof(type)))

#endif
