// Functions that allocate and that our own hooks do not stand in front of: those of a second
// allocator, those that a module calls past us, those of an allocator that is linked into the
// program. Each is given a hook of its own, which the places that call it are made to call:
//
//   others.c    the hooks, which use general registers only, and which function needs what kind
//   imports.c   modules' import tables        entries.c   the first bytes of the functions
//
// A function may reach another one that has a hook, as an operator new() does that calls malloc():
// then the inner hook counts the block and the outer one does not.
#ifndef HONE_PROBE_OTHERS_H
#define HONE_PROBE_OTHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// By what the arguments mean.
enum hone_other_kind {
    HONE_OTHER_NONE,
    HONE_OTHER_SIZE,           // (size, …): malloc(), operator new(), mallocx()
    HONE_OTHER_ALIGNMENT_SIZE, // (alignment, size): memalign()
    HONE_OTHER_COUNT_SIZE,     // (count, size): calloc()
    HONE_OTHER_POSIX_MEMALIGN, // (where to, alignment, size)
    HONE_OTHER_BLOCK_SIZE,     // (block, size, …): realloc(), rallocx()
    HONE_OTHER_BLOCK_ARRAY,    // (block, count, size): reallocarray()
    HONE_OTHER_BLOCK,          // (block, …): free(), operator delete(), sdallocx()
    HONE_OTHER_END,            // (status): _exit(), of a static program; by no name here
    HONE_OTHER_KINDS
};

// What a function of this name is: of the C and C++ libraries, and of jemalloc, tcmalloc and
// mimalloc under their own names. `length` bytes of it.
enum hone_other_kind hone_other_kind_of(const char *name, size_t length);

// Whether such a name may begin so, of `room` bytes at most: most of a program's do not.
static inline bool hone_other_may_be(const char *name, size_t room)
{
    if (room < 5 || !name[0] || !name[1] || !name[2] || !name[3])
        return false;
    if (name[0] != '_')
        return __builtin_strchr("mcrfapvjtsd", name[0]) != NULL;
    return name[1] == 'r' ||
           (name[1] == 'Z' && ((name[2] == 'n' && (name[3] == 'w' || name[3] == 'a')) ||
                               (name[2] == 'd' && (name[3] == 'l' || name[3] == 'a'))));
}

// C++'s new or delete, by its name.
bool hone_other_is_operator(const char *name);

// The hook for a function; the same each time. NULL: all are in use.
//
// Threads  one at a time.
void *hone_other_hook(enum hone_other_kind kind, void *function);

// Calls work(argument) and leaves all registers but the general ones as they are.
void hone_keeping_vectors(void (*work)(void *), void *argument);

// Where a changed function goes, by way of its island, to a hook that is on the stack: all
// registers stay what they are, but for the result's.
void hone_gate(void);
void hone_gate_without_result(void);

// A hook of ours, whichever.
bool hone_is_hook(uint64_t address);

#endif
