// What a sample works with: a stack of its own and room for the frames. Private to this room.
//
// Threads, Signals: safe; an area belongs to whoever took it.
#ifndef HONE_PROBE_AREAS_H
#define HONE_PROBE_AREAS_H

#include "probe/probe.h"

#include <stdalign.h>

enum { HONE_AREA_STACK_BYTES = 32 * 1024 }; // a walk takes 5 KiB, one that adopts a module 12

struct hone_area {
    alignas(64) unsigned char stack[HONE_AREA_STACK_BYTES];
    uint64_t addresses[HONE_STACK_MAX];
};

// NULL when all are taken.
HONE_SIGSAFE struct hone_area *hone_area_take(void);
HONE_SIGSAFE void hone_area_give_back(const struct hone_area *area);

// The same by an owner who may be left by a jump before he gives it back. Whoever finds that out,
// in the same thread, gives back all that he has.
HONE_SIGSAFE struct hone_area *hone_area_take_as(const void *owner);
HONE_SIGSAFE void hone_areas_abandon(const void *owner);

// Whether both stack pointers are known to lie in the calling thread's own stack, in this order. No
// system call, and nothing is touched.
HONE_SIGSAFE bool hone_area_same_own_stack(uint64_t low, uint64_t high);

// Whether what begins there may lie in the calling thread's own stack: where the size of that is
// not known, as far as it is looked at.
HONE_SIGSAFE bool hone_area_may_be_own_stack(uint64_t low);

// Walks the calling thread's stack from `registers`; the frames, at most `max`, go to
// area->addresses.
HONE_SIGSAFE void hone_area_walk(struct hone_area *area, const struct hone_thread *self,
                                 const struct hone_registers *registers, size_t max,
                                 struct hone_walk *ret);
// From a hook: as many as the recording wants and the hooks' own, which hone_heap_hook_frames()
// takes off. So do the two below, which wait for a moment for a module that is new; where that was
// too short the walk is `stale`, and may not stand for others like it.
HONE_SIGSAFE size_t hone_area_frames_from_hook(void);

// The same for who remembers what was found to be the thread's stack.
struct hone_own_stack;
HONE_SIGSAFE void hone_area_walk_own(struct hone_area *area, const struct hone_thread *self,
                                     struct hone_own_stack *stack,
                                     const struct hone_registers *registers, struct hone_walk *ret);

// The same for who has an area and a trail of its own, from `caller` on (NULL: from here). `high`
// is where the thread's stack ends, as far as it is known from the last time (0: not), and `low`
// how far down that is sure. From a stack pointer of `roomy` up, there is room to work on it.
struct hone_own_stack {
    uint64_t low, high, roomy;
};
HONE_SIGSAFE void hone_area_rewalk(struct hone_area *area, struct hone_trail *trail,
                                   struct hone_own_stack *stack,
                                   const struct hone_registers *registers,
                                   const struct hone_caller *caller, struct hone_walk *ret);

// Whether work may be done on the program's own stack. Else it is done on an area's, and signals
// must wait: a handler of the program's may look for its frames, as that of a garbage collector
// does, or need more room than an area has.
static inline bool hone_stack_has_room(const struct hone_own_stack *stack, uint64_t sp)
{
    return sp >= stack->roomy && sp < stack->high;
}

// Works on the area's stack, signals waiting.
HONE_SIGSAFE void hone_area_call(struct hone_area *area, void (*work)(void *), void *argument);

// Whether the calling thread is on the stack that it gave to its handlers.
HONE_SIGSAFE bool hone_is_on_alternate_stack(void);

// The same, and whether there is room to work on that stack. Nobody works on an area meanwhile: a
// signal would begin the alternate stack anew, on top of the handler that is on it.
enum hone_alternate { HONE_ALTERNATE_NOT_ON, HONE_ALTERNATE_ROOMY, HONE_ALTERNATE_TIGHT };
HONE_SIGSAFE enum hone_alternate hone_alternate_stack(uint64_t sp);

// Whether the signal of that context, whose stack pointer was sp, began the alternate stack.
static inline bool hone_came_to_alternate(const ucontext_t *context, uint64_t sp)
{
    uint64_t low = (uintptr_t)context->uc_stack.ss_sp, bytes = context->uc_stack.ss_size;
    return (uintptr_t)context - low < bytes && sp - low - 1 >= bytes;
}

// Where they lie: the program's words are in them.
struct hone_scan_places;
void hone_areas_tell(struct hone_scan_places *ret);

// Forgets those of the parent's other threads that a forked child copied in mid-work.
void hone_areas_after_fork(void);

#endif
