// The heap: which allocations are sampled, and what becomes of them. The hooks stand in front of
// the program's allocator, whichever that is: they look at sizes and addresses and hand everything
// on.
//
//   hooks_heap.c   malloc() and its family, C++'s new and delete   heap.c       what is sampled
//   allocator.c    the functions behind the hooks                  heap_live.c  blocks to be freed
//   heap_exact.c   at a rate of one byte: every block is counted, see heap_keeper.h; heap_count.h
//                  is the short way there
//   heap_left.c    what a handler jumped out of
//   hooks_map.c    mmap() and its family, where they are counted
//   others.h       allocators that the hooks do not stand in front of
//
// A block of `size` bytes is sampled with the probability 1 - exp(-size / rate): each thread counts
// bytes down from an exponential draw, so that every byte has the same chance and what was drawn
// before tells nothing (as in tcmalloc and Go). It stands for 1 / probability blocks of its size.
//
// What a program pays: for an allocation one subtraction and a branch, for a release one load and a
// branch. Nothing is allocated, and nothing is recorded while the allocator itself runs: a block
// after it was made, its end before it is given back.
//
// Threads: all.  Signals: an allocation inside a signal handler, where that interrupts another one
// in our hands, is let through and counted.
#ifndef HONE_PROBE_HEAP_H
#define HONE_PROBE_HEAP_H

#include "probe/heap_blocks.h"
#include "probe/probe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The hooks and what they call lie together, so that their frames can be told from the program's.
#define HONE_HOOK __attribute__((section("hone_hooks"), noinline))
// Those that are called most begin with a line of the cache, and go straight through it where they
// have next to nothing to do: each jump on the way, and each line more, costs up to a nanosecond.
#define HONE_LINE __attribute__((aligned(64)))
extern const char __start_hone_hooks[] __attribute__((visibility("hidden")));
extern const char __stop_hone_hooks[] __attribute__((visibility("hidden")));

static inline bool hone_heap_is_hook(uint64_t address)
{
    const uint64_t low = (uintptr_t)__start_hone_hooks, high = (uintptr_t)__stop_hone_hooks;
    return address - low < high - low;
}

// And where a frame pointer leads to the caller's stack pointer, they keep one.
#if defined(__x86_64__) && defined(HONE_FRAME_POINTERS)
#define HONE_HOOKS_KEEP_FRAMES 1
#else
#define HONE_HOOKS_KEEP_FRAMES 0
#endif

struct hone_heap_thread {
    int64_t countdown; // bytes until the next sample or look at the rate; below zero: now
    int64_t rest;      // bytes from there to the sample
    uint64_t random;   // state of the draws; 0: not seeded
    uint64_t rate;     // that the countdown was drawn for; 0: not sampling
    uint64_t inside;   // the stack pointer of who takes a sample, or tells its end; 0: nobody
    uint64_t quiet;    // the stack pointer of who makes the call that counts; 0: nobody
    uint32_t own;      // what is allocated now is allocated for us: not the program's
    uint32_t told;     // grows with each call of hone_heap_allocated()
    uint16_t other;    // the block is of an allocator that hone_allocator knows nothing of
    uint8_t whole;     // it has as many bytes as were asked for: it is a mapping
    bool asks;         // whether it is on its handlers' stack, which lies in its own
    // Where that stack lies, if the kernel does not say so while a handler is on it
    // (SS_AUTODISARM).
    uint32_t disarmed_bytes;
    uint64_t disarmed_low;
    size_t (*usable)(void *); // of the other allocator; NULL: nobody knows
};

extern __thread struct hone_heap_thread hone_heap_self __attribute__((visibility("hidden")));

// --- one at a time in a thread, heap_left.c ------------------------------------------------------

// A handler of the program's may interrupt what we do in its thread, and allocate: false, and that
// is let through. Or it may jump out of it (longjmp(), an exception) and never come back: that is
// found out by the next one to enter from a place on the stack that ours was in.
bool hone_heap_was_left(uint64_t here);

static inline __attribute__((always_inline)) bool hone_heap_enter(void)
{
    uint64_t here = (uintptr_t)__builtin_frame_address(0);
    if (HONE_UNLIKELY(hone_heap_self.inside) && !hone_heap_was_left(here))
        return false;
    hone_heap_self.inside = here;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static inline void hone_heap_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    hone_heap_self.inside = 0;
}

// --- deciding, in the hooks ----------------------------------------------------------------------

// Whether an allocation of so many bytes must be told to hone_heap_allocated().
static inline bool hone_heap_is_due(size_t size)
{
    struct hone_heap_thread *self = &hone_heap_self;
    int64_t left = (int64_t)((uint64_t)self->countdown - size);
    self->countdown = left;
    return (left | (int64_t)size) < 0; // a size that no block can have turns `left` round
}

// Whether a hook further in has counted what a call allocates, as where an operator new() calls
// malloc(): each that counts changes one of these.
struct hone_heap_mark {
    int64_t countdown;
    uint32_t told;
};

static inline struct hone_heap_mark hone_heap_mark(void)
{
    return (struct hone_heap_mark){hone_heap_self.countdown, hone_heap_self.told};
}

// After the call: as hone_heap_is_due(), for what nobody has counted yet.
static inline bool hone_heap_is_due_since(struct hone_heap_mark before, size_t size)
{
    struct hone_heap_mark now = hone_heap_mark();
    return now.countdown == before.countdown && now.told == before.told && hone_heap_is_due(size);
}

// How many tracked blocks lie in the same 256 bytes, modulo 16 MiB; 255: that many or more. So one
// line of the processor's cache answers for 16 KiB of heap.
enum { HONE_HEAP_FILTER_SHIFT = 8, HONE_HEAP_FILTER_SLOTS = 65536 };
extern _Atomic uint8_t hone_heap_filter[HONE_HEAP_FILTER_SLOTS]
    __attribute__((visibility("hidden")));

static inline _Atomic uint8_t *hone_heap_filter_of(const void *block)
{
    return &hone_heap_filter[(uintptr_t)block >> HONE_HEAP_FILTER_SHIFT &
                             (HONE_HEAP_FILTER_SLOTS - 1)];
}

// Whether the end of a block must be told to hone_heap_released(): false for nearly all.
static inline bool hone_heap_may_be_tracked(const void *block)
{
    return atomic_load_explicit(hone_heap_filter_of(block), memory_order_relaxed) != 0;
}

// --- heap.c --------------------------------------------------------------------------------------

// Unwanted: for good, unless the program only asked what a sandbox is like.
enum hone_heap_state { HONE_HEAP_UNKNOWN, HONE_HEAP_UNWANTED, HONE_HEAP_WANTED };
extern _Atomic enum hone_heap_state hone_heap_state __attribute__((visibility("hidden")));
// What the program has asked for: its rate plus one; 0: nothing.
extern _Atomic uint64_t hone_heap_wished __attribute__((visibility("hidden")));
uint64_t hone_heap_rate_wished(uint64_t rate);

// Mean bytes between samples now; 0: none are taken.
static inline uint64_t hone_heap_rate(void)
{
    const struct hone_session_header *header = hone_probe.writer.header;
    if (atomic_load_explicit(&hone_heap_state, memory_order_acquire) != HONE_HEAP_WANTED ||
        !hone_probe.writer.process || atomic_load_explicit(&header->stop, memory_order_relaxed))
        return 0;
    uint64_t rate = atomic_load_explicit(&header->heap_rate, memory_order_relaxed);
    return HONE_UNLIKELY(atomic_load_explicit(&hone_heap_wished, memory_order_relaxed))
               ? hone_heap_rate_wished(rate)
               : rate;
}

// A block that was just made (NULL: that failed), after hone_heap_is_due().
void hone_heap_allocated(const void *block, size_t size);
// A block that is about to be freed.
void hone_heap_released(const void *block);

// A block that may be freed or moved leaves our tables before the call, for once its memory is
// given back another thread may get it; and returns, or is told to have ended, after it.
struct hone_heap_taken {
    uint64_t sampled; // 0: it was not
    uint64_t size;    // of a sampled one
    bool counted;     // as `block` says
    struct hone_block block;
    const void *address;
};
void hone_heap_take(const void *block, struct hone_heap_taken *ret);
void hone_heap_put_back(const void *block, const struct hone_heap_taken *taken);
void hone_heap_ended(const struct hone_heap_taken *taken, bool moved);

// How many of a walk's innermost frames are the hooks' own; of the others no more are left than the
// recording wants. `caller`: where it began, NULL: in the hooks.
uint32_t hone_heap_hook_frames(const uint64_t *addresses, const struct hone_caller *caller,
                               struct hone_walk *walk);

// The session wants the heap, or not. Before that is known, allocations are only counted. In a
// forked child again: its parent's blocks are the parent's.
void hone_heap_begin(bool wanted);
// The process's own rate (mean bytes between samples, 0: none), until the recording's changes.
void hone_heap_wish(uint64_t rate);
// And back to the recording's.
void hone_heap_wish_nothing(void);
bool hone_heap_is_wanted(void);
// Mappings are counted, too.
extern bool hone_heap_maps __attribute__((visibility("hidden")));
static inline bool hone_heap_counts_maps(void)
{
    return hone_heap_maps;
}
void hone_maps_find(void);
void hone_maps_after_fork(void);
// Where the tracked ones are written down, if that is there.
void hone_maps_tell(struct hone_scan_range *ret);
void hone_heap_after_fork(void);
// What the calling thread has counted is told to the process, and its keeper free for others: the
// process ends, or the thread, which may allocate a little on its way.
void hone_heap_thread_leave(void);
void hone_heap_thread_ends(void);

// --- heap_live.c ---------------------------------------------------------------------------------

// Blocks whose release is waited for, by address. False when there is no room.
bool hone_heap_live_add(const void *block, uint64_t tracked, uint64_t size);
bool hone_heap_live_any(void);
// What it was added with; 0: it is not among them.
uint64_t hone_heap_live_find(const void *block, uint64_t *ret_size);
// The same, and takes it out.
uint64_t hone_heap_live_take(const void *block, uint64_t *ret_size);
// The calling thread was left by a jump while it changed them.
void hone_heap_live_abandon(void);
// Locks that other threads of the parent held are nobody's in a forked child.
void hone_heap_live_after_fork(void);
void hone_heap_live_tell(struct hone_scan_places *ret);

// --- heap_scan.c ---------------------------------------------------------------------------------

// The process ends in an orderly way: waits until it was looked for leaks from outside, if somebody
// does, once. The end goes on when that takes too long.
void hone_heap_scan(void);
// Blocks of the time before it was known whether anybody counts: they are looked through, too.
void hone_heap_tell_early(struct hone_scan_places *ret);
// Data of ours that may hold the program's addresses; see struct hone_scan_places.
void hone_heap_tell_own(struct hone_scan_places *ret, const void *data, size_t bytes);

#endif
