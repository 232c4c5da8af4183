// Walks of our own process, from registers to a stack.
#include "unwind/walk_body.h"

enum {
    SEARCH_TRIES = 128,   // calls looked at in one walk: some 100 us, for a walk may not starve who
                          // it is made for
    CODE_LEFT = 4000,     // instructions followed in one walk: likewise
    ROWS_SINCE_BITS = 15, // of the generation: one less than keys have
};

// Forgets rows of generations whose keys come again.
static void renew_rows(struct hone_unwinder *unwinder, uint32_t generation)
{
    const uint32_t since = generation >> ROWS_SINCE_BITS;
    uint32_t before = atomic_load_explicit(&unwinder->rows_since, memory_order_acquire);
    if (HONE_LIKELY(before == since))
        return;
    for (uint64_t i = 0; i < (unwinder->set_mask + 1) * HONE_ROW_WAYS; i++) {
        atomic_store_explicit(&unwinder->rows[i].row, 0, memory_order_relaxed);
        atomic_store_explicit(&unwinder->rows[i].check, 0, memory_order_relaxed);
    }
    // Release: who finds it done finds no row of before.
    atomic_store_explicit(&unwinder->rows_since, since, memory_order_release);
}

// A load outside the window: moves the window to another stack, or to pages that prove readable.
static bool outside(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    struct hone_walker *walker = (struct hone_walker *)memory;
    const struct hone_stack *stack = hone_walker_stack(walker, address);
    uint64_t page = address & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (stack) {
        walker->probed = false;
        memory->low = stack->low;
        memory->words_end = stack->high - (HONE_WORD_BYTES - 1);
    } else if (!hone_safe_probe(address)) {
        return false;
    } else if (address - page > HONE_PAGE_BYTES - HONE_WORD_BYTES) {
        return hone_safe_load(address, ret); // on two pages
    } else {
        uint64_t window_end = memory->words_end + (HONE_WORD_BYTES - 1);
        if (!walker->probed || window_end != page)
            memory->low = page;
        walker->probed = true;
        memory->words_end = page + HONE_PAGE_BYTES - (HONE_WORD_BYTES - 1);
    }
    return hone_memory_load(memory, address, ret);
}

__attribute__((always_inline)) static inline void
start(struct hone_walker *walker, struct hone_unwinder *unwinder,
      const struct hone_registers *registers, const struct hone_stack *stacks, size_t stack_count)
{
    walker->memory = (struct hone_memory){.outside = outside};
    walker->probed = false;
    walker->stacks = stacks;
    walker->stack_count = stack_count;
    walker->unwinder = unwinder;
    // Relaxed: a row of a module that goes away just now is as right as one a moment ago.
    walker->generation = hone_modules_generation(unwinder->modules);
    walker->innermost = registers;
    walker->stack_switches = 0;
    walker->stale = false;
    walker->landing = false;
    walker->search_tries = SEARCH_TRIES;
    walker->code_left = CODE_LEFT;
    walker->sp_lost = false;
    walker->fp_unknown = false;
    walker->searches = true;
    walker->known = hone_all_known;
    walker->first = 0;
    walker->full_index = 0;
    walker->full_begun = false;

    uint64_t sp = registers->r[HONE_REGISTER_SP];
    const struct hone_stack *stack = hone_walker_stack(walker, sp);
    if (stack) {
        walker->memory.low = stack->low;
        walker->memory.words_end = stack->high - (HONE_WORD_BYTES - 1);
    }
}

void hone_walker_start(struct hone_walker *walker, struct hone_unwinder *unwinder,
                       const struct hone_registers *registers, const struct hone_stack *stacks,
                       size_t stack_count)
{
    start(walker, unwinder, registers, stacks, stack_count);
    renew_rows(unwinder, walker->generation);
}

// Where a walk breaks off, the last return address may be the first wrong thing that was read: it
// stays only when a call stands before it.
void hone_walker_drop_unfounded(struct hone_walker *walker)
{
    struct hone_walk *result = walker->result;
    const uint64_t *addresses = walker->addresses;
    if (result->end != HONE_WALK_COMPLETE && result->end != HONE_WALK_TOO_DEEP &&
        result->count > walker->first + 1 &&
        !hone_arch_follows_call(&walker->memory, addresses[result->count - 1] + 1))
        result->count--;
}

// At the very end of _Unwind_Resume() and its like, what the rules take for the return address is
// where an exception lands. No call stands before that, and the rules that hold there begin at it.
bool hone_walker_lands(struct hone_walker *walker)
{
    enum { CUT_AT_ONCE = 4 };
    const struct hone_walk *result = walker->result;
    return result->end != HONE_WALK_COMPLETE && result->count >= 2 &&
           result->count <= CUT_AT_ONCE && !walker->first && !walker->landing && !result->guessed &&
           !hone_arch_follows_call(&walker->memory, walker->addresses[1] + 1);
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_walk(struct hone_unwinder *unwinder, const struct hone_registers *registers,
                 const struct hone_stack *stacks, size_t stack_count, uint64_t *ret_addresses,
                 size_t max, struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct hone_walker walker;
    walker.addresses = ret_addresses;
    walker.max = max;
    walker.result = ret;
    hone_walker_start(&walker, unwinder, registers, stacks, stack_count);
    hone_walker_walk(&walker, hone_position_of(registers), NULL, false);
    if (HONE_UNLIKELY(hone_walker_lands(&walker))) {
        hone_walker_start(&walker, unwinder, registers, stacks, stack_count);
        walker.landing = true;
        hone_walker_walk(&walker, hone_position_of(registers), NULL, false);
    }
    hone_walker_drop_unfounded(&walker);
    return ret->count;
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_rewalk_from(struct hone_unwinder *unwinder, struct hone_trail *trail,
                        const struct hone_registers *registers, const struct hone_caller *caller,
                        const struct hone_stack *stacks, size_t stack_count,
                        uint64_t *ret_addresses, size_t max, struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct hone_walker walker;
    walker.addresses = ret_addresses;
    walker.max = max;
    walker.result = ret;
    start(&walker, unwinder, registers, stacks, stack_count);
    // A trail of zeros is an empty one.
    bool valid = trail->first && trail->generation == walker.generation;
    struct hone_tracker tracker = {
        .trail = trail,
        .old = valid ? trail->first : HONE_STACK_DEPTH_MAX,
        .run = HONE_STACK_DEPTH_MAX,
    };
    if (HONE_UNLIKELY(!valid))
        renew_rows(unwinder, walker.generation);
    trail->first = 0; // of no use to a handler that interrupts us
    // Of what is walked during a dlclose() no walk during one makes use. After it the trail is good
    // if nothing has gone.
    trail->generation = walker.generation & ~1u;
    struct hone_position at = hone_position_of(registers);
    if (caller && caller->frames < max) {
        walker.first = caller->frames;
        at = (struct hone_position){caller->address, caller->sp, caller->fp, false};
    }
    hone_walker_walk(&walker, at, &tracker, false);
    ret->same = hone_tracker_settle(&tracker);
    if (HONE_LIKELY(ret->end == HONE_WALK_COMPLETE))
        return ret->count; // as it is: none of the below
    if (HONE_UNLIKELY(hone_walker_lands(&walker))) {
        trail->first = 0; // what it says of this walk is wrong
        ret->same = 0;
        hone_walker_start(&walker, unwinder, registers, stacks, stack_count);
        walker.landing = true;
        hone_walker_walk(&walker, hone_position_of(registers), NULL, false);
    }
    hone_walker_drop_unfounded(&walker);
    return ret->count;
}

static inline void put_word(struct hone_imprint *imprint, uint32_t i, uint32_t from, uint64_t word)
{
    imprint->words[i] = word;
    // The half of a word that it is: less significant halves come first on all our machines.
    __builtin_memcpy((char *)imprint->at + i * sizeof from, &from, sizeof from);
}

// Made for each walk that is made, of every frame: what counts here is each instruction.
__attribute__((no_sanitize("address"))) bool hone_imprint_take(struct hone_imprint *ret,
                                                               const struct hone_trail *trail,
                                                               const struct hone_caller *caller,
                                                               const struct hone_walk *walk)
{
    const struct hone_trail_frame *frame = &trail->frames[trail->first];
    const struct hone_trail_frame *last = &trail->frames[HONE_STACK_DEPTH_MAX - 1];
    if (walk->end != HONE_WALK_COMPLETE || !walk->by_rule || !trail->first ||
        trail->first == HONE_STACK_DEPTH_MAX || frame->sp != caller->sp ||
        frame->ip != caller->address)
        return false;
    ret->address = caller->address;
    ret->sp = caller->sp;
    ret->fp = caller->fp;
    ret->fp_matters = (frame->saved & HONE_TRAIL_FP_MATTERS) != 0;
    const uint64_t sp = caller->sp;
    uint64_t end = 0, from = 0;
    uint32_t count = 0;
    for (; frame < last; frame++) {
        const uint64_t cfa = frame[1].sp - sp;
        const int64_t fp_at = hone_trail_fp_at(frame);
        const bool fp_too = fp_at && frame[1].saved & HONE_TRAIL_FP_MATTERS;
        from = cfa - hone_trail_return_below(frame);
        if (!hone_trail_is_reusable(frame) || count + fp_too >= HONE_IMPRINT_MAX ||
            from > UINT32_MAX)
            return false;
        put_word(ret, count++, (uint32_t)from, HONE_LOAD(sp + from));
        end = end > from ? end : from;
        if (fp_too) {
            from = cfa + (uint64_t)fp_at;
            if (from > UINT32_MAX)
                return false;
            put_word(ret, count++, (uint32_t)from, HONE_LOAD(sp + from));
            end = end > from ? end : from;
        }
    }
    if (count == 0)
        return false;
    for (; count % HONE_IMPRINT_STEP; count++)
        put_word(ret, count, (uint32_t)from, ret->words[count - 1]);
    ret->count = count;
    ret->bytes = end + HONE_WORD_BYTES;
    return true;
}

size_t hone_unwind_rewalk(struct hone_unwinder *unwinder, struct hone_trail *trail,
                          const struct hone_registers *registers, const struct hone_stack *stacks,
                          size_t stack_count, uint64_t *ret_addresses, size_t max,
                          struct hone_walk *ret)
{
    return hone_unwind_rewalk_from(unwinder, trail, registers, NULL, stacks, stack_count,
                                   ret_addresses, max, ret);
}

void hone_unwind_init(struct hone_unwinder *ret, struct hone_modules *modules, void *memory,
                      size_t size_bytes)
{
    uint64_t sets = size_bytes / (HONE_ROW_WAYS * sizeof(struct hone_row_slot));
    while (sets & (sets - 1))
        sets &= sets - 1; // down to a power of two
    *ret = (struct hone_unwinder){.modules = modules, .rows = memory, .set_mask = sets - 1};
}

const char *hone_walk_end_name(enum hone_walk_end end)
{
    static const char *const names[HONE_WALK_END_COUNT] = {
        "complete", "too deep",      "no rule",        "unreadable",       "bad frame",
        "bad rule", "stale modules", "copy too short", "unknown register",
    };
    return end < HONE_WALK_END_COUNT ? names[end] : "unknown";
}
