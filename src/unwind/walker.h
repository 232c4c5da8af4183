// What the parts of a walk share: where it is, and what it knows. Private to this room.
//
//     walk.c          begins and ends walks of our own process; walk_foreign.c those of another one
//     walk_body.h     the fast path, one body for all of them
//     walk_trail.h    the trail of a thread's last walk, verified instead of walked again
//     trail_word.h    what a trail keeps of each step
//     walk_step.c     every step that the fast path does not make itself
//     walk_code.c     callers that no rule tells, but the code that will return to them
//     walk_search.c   and those that this does not tell either, looked for on the stack
#ifndef HONE_UNWIND_WALKER_H
#define HONE_UNWIND_WALKER_H

#include "unwind/arch/arch.h"
#include "unwind/cache.h"
#include "unwind/frame.h"
#include "unwind/row.h"
#include "unwind/unwind.h"

enum {
    HONE_WORD_BYTES = 8,
    HONE_FRAME_BYTES_MAX = 8 << 20, // between one frame pointer and the next, where no rule vouches
};

static const uint64_t hone_all_known = (1ull << HONE_REGISTER_COUNT) - 1;

// What the fast path knows of a frame.
struct hone_position {
    uint64_t address; // to look up
    uint64_t sp, fp;
    bool exact;
};

struct hone_walker {
    struct hone_memory memory; // first: whoever reads outside its window finds us by it
    bool probed;               // the window is of pages that we probed
    const struct hone_stack *stacks;
    size_t stack_count;

    struct hone_unwinder *unwinder;
    uint32_t generation; // odd: modules may be going away, so nothing that is cached is of it
    uint64_t *addresses;
    size_t max;
    size_t first; // frames that are passed over: the walk starts beyond them
    struct hone_walk *result;

    const struct hone_registers *innermost;
    uint64_t known; // of its registers
    unsigned stack_switches;
    bool stale;
    bool landing;           // the innermost frame's caller is a landing pad
    unsigned search_tries;  // left
    unsigned code_left;     // instructions to look at
    bool sp_lost;           // a frame pointer led here, which does not say where the frame ends
    bool fp_unknown;        // of the frame we are at; only in another process
    uint64_t stepped;       // what a trail may say of the step made just now
    bool searches;          // for callers of code without rules
    struct hone_frame full; // all registers of frame number full_index, once they are needed
    size_t full_index;
    bool full_begun; // until then they are innermost's, of frame number 0
};

static inline const struct hone_stack *hone_walker_stack(const struct hone_walker *walker,
                                                         uint64_t address)
{
    for (size_t i = 0; i < walker->stack_count; i++) {
        const struct hone_stack *stack = &walker->stacks[i];
        if (address >= stack->low && address < stack->high &&
            stack->high - address >= HONE_WORD_BYTES)
            return stack;
    }
    return NULL;
}

static inline bool hone_module_is_code(const struct hone_module *module, uint64_t address)
{
    return module && address - module->text_start < module->text_end - module->text_start;
}

static inline bool hone_walker_may_cache(const struct hone_walker *walker)
{
    return !(walker->generation & 1);
}

// No return address: whoever starts a stack by hand clears the frame pointer as well.
static inline enum hone_step hone_walker_without_caller(const struct hone_walker *walker,
                                                        uint64_t fp)
{
    if (walker->fp_unknown)
        return HONE_STEP_UNKNOWN;
    return fp == 0 ? HONE_STEP_OUTERMOST : HONE_STEP_BAD_FRAME;
}

// Where a walk starts. Not through memory: a struct that was just stored word by word and is loaded
// as a whole makes the processor wait.
static inline struct hone_position hone_position_of(const struct hone_registers *registers)
{
    return (struct hone_position){registers->r[HONE_REGISTER_IP], registers->r[HONE_REGISTER_SP],
                                  registers->r[HONE_REGISTER_FP], true};
}

static inline void hone_walker_begin_full(struct hone_walker *walker)
{
    if (walker->full_begun)
        return;
    __builtin_memcpy(walker->full.r, walker->innermost->r, sizeof walker->full.r);
    walker->full.known = walker->known;
    walker->full.exact = true;
    walker->full_begun = true;
}

// walk.c
void hone_walker_start(struct hone_walker *walker, struct hone_unwinder *unwinder,
                       const struct hone_registers *registers, const struct hone_stack *stacks,
                       size_t stack_count);
void hone_walker_drop_unfounded(struct hone_walker *walker);
bool hone_walker_lands(struct hone_walker *walker);

// walk_step.c
uint64_t hone_walker_find_row(struct hone_walker *walker, uint64_t address);
enum hone_step hone_walker_step(struct hone_walker *walker, struct hone_position *at, uint64_t row,
                                size_t index);

// walk_code.c
bool hone_walker_follow_code(struct hone_walker *walker, struct hone_position *at);

// walk_search.c
bool hone_walker_called(struct hone_walker *walker, uint64_t word); // whether a call has left it

// How well a call explains that a function runs at some address, of which only this is known: it is
// code of a module, and without rules. Where the call led to no more than a function's length
// before that address the value is where, for the nearer the better.
enum hone_explanation {
    HONE_EXPLAINS_NOTHING, // no call, or one into another module
    HONE_CALLED_OTHERS,    // it led to code with rules, which hardly jumps here
    HONE_CALLED_SOMETHING, // it does not say where it led
    HONE_CALLED_NEIGHBOUR, // it led to other such code, from where one may have jumped here
};
uint64_t hone_walker_explains(struct hone_walker *walker, const struct hone_module *module,
                              uint64_t word, uint64_t address);
bool hone_walker_rescue(struct hone_walker *walker, struct hone_position *ret);
enum hone_step hone_walker_search(struct hone_walker *walker, struct hone_position *at,
                                  uint64_t high, uint64_t best);

#endif
