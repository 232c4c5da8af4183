// Every block, counted in place: nothing is written for an allocation but numbers in the session's
// sites, so that what a program allocated is known however it ends, and no stream of events grows.
#ifndef HONE_PROBE_HEAP_EXACT_H
#define HONE_PROBE_HEAP_EXACT_H

#include "probe/heap_blocks.h"
#include "unwind/unwind.h"

#include <stdbool.h>
#include <stddef.h>

// Whether every block can be counted from now on. The hooks must tell of every release then.
bool hone_exact_turn_on(void);
extern _Atomic bool hone_exact_on __attribute__((visibility("hidden")));
static inline bool hone_exact_is_on(void)
{
    return atomic_load_explicit(&hone_exact_on, memory_order_relaxed);
}
static inline bool hone_exact_begin(void)
{
    return HONE_LIKELY(hone_exact_is_on()) || hone_exact_turn_on();
}

// The calling thread's keeper has a new block, of a site of its own: see hone_keeper_site().
struct hone_keeper;
void hone_exact_allocated(struct hone_keeper *keeper, const void *block, size_t size,
                          uint32_t site);

// heap.c: a new block of a stack that is not a recent one, where `caller` called the hook that
// calls this. False, and nothing was done: the stack must not be walked just here.
struct hone_caller;
bool hone_heap_counts_by_walk(struct hone_keeper *keeper, const struct hone_caller *caller,
                              const void *block, size_t size);

// Takes a block out of the table, before its memory is given back. False: it is not in it.
bool hone_exact_take(const void *block, struct hone_block *ret);
// Back in, for it was not freed.
void hone_exact_put_back(const void *block, const struct hone_block *taken);
// It was freed, or moved by realloc().
void hone_exact_ended(const struct hone_block *taken, bool moved);
// Both, of one that is about to be freed. False: it is not in the table.
bool hone_exact_freed(const void *block);

#endif
