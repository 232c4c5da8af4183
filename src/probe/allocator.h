// The functions that the heap's hooks stand in front of: the next definitions after ours in the
// loader's order. Each entry is callable from the first instruction of the program on: until the
// real function is known, it is one of ours that looks it up.
//
// Looking up may allocate itself, once: that comes from a small static store, whose blocks are
// never given back.
#ifndef HONE_PROBE_ALLOCATOR_H
#define HONE_PROBE_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

// Functions that an allocator may lack: then the C library's is called, which is another one.
enum {
    HONE_ALLOCATOR_ALIGNED_ALLOC = 1,
    HONE_ALLOCATOR_POSIX_MEMALIGN = 2,
    HONE_ALLOCATOR_MEMALIGN = 4,
    HONE_ALLOCATOR_VALLOC = 8,
    HONE_ALLOCATOR_PVALLOC = 16,
};

struct hone_allocator {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    // NULL where the C library has no such function.
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    // NULL, too, where it is not of the file that has malloc(): it would misread blocks.
    size_t (*malloc_usable_size)(void *);
    // Of those above, which malloc_usable_size() must not be asked about.
    unsigned strangers;
    // Whether its reallocarray() calls no realloc() that we would see.
    bool own_reallocarray;
};

extern struct hone_allocator hone_allocator __attribute__((visibility("hidden")));

// allocator_inner.c: from here on they are called, by functions of ours where one of them may call
// another one that is hooked; and as they were found, NULL before that.
void hone_allocator_begin(const struct hone_allocator *found);
const struct hone_allocator *hone_allocator_real(void);

// Looks the functions up, unless that was done.
void hone_allocator_find(void);

// The same for C++'s new and delete.
void hone_new_find(void);

// A block of the static store, which the program may hand back.
bool hone_allocator_is_early(const void *block);
// The same where there are hooks.
enum { HONE_ALLOCATOR_EARLY_BYTES = 64 << 10 };
extern unsigned char hone_allocator_early[] __attribute__((visibility("hidden")));
static inline bool hone_allocator_holds_early(const void *block)
{
    return (size_t)((const unsigned char *)block - hone_allocator_early) <
           HONE_ALLOCATOR_EARLY_BYTES;
}
// How many bytes may be read there, of such a block.
size_t hone_allocator_early_size(const void *block);

// Whether a function belongs to the same file as the program's malloc(), and that is not the C
// library: then it is part of an allocator, which calls its own inner functions.
bool hone_allocator_has(const void *function);

// Our hook in front of a function of this name, if it stands in front of this one, or whichever it
// stands in front of (function NULL). NULL: it does not, or there is none.
void *hone_allocator_hook(const char *name, const void *function);

// Whether a module that is loaded at this address is the C library; and whether our hooks stand in
// front of what it defines.
bool hone_allocator_is_libc(const void *base);
bool hone_allocator_is_at(const void *base);
// Whether an address is in an allocator of its own, and not the C library's.
bool hone_allocator_is_called_from(const void *address);

// Path of the file whose malloc() the program uses; NULL: unknown.
const char *hone_allocator_path(void);

#endif
