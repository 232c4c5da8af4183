// Every step that the fast path does not make itself: rows that are rare, rules that no row can
// hold, which need all registers followed from the last frame where they were known, code without
// rules, and loads that leave the window.
#include "unwind/trail_word.h"

enum {
    STACK_SWITCHES_MAX = 4,     // towards lower addresses, in one walk
    CODE_BYTES_PER_RULE = 4096, // where functions have no rules there are few for much code
};

// A caller lies above its callee, unless the code between them changed stacks. Where calls push
// nothing, a function that was interrupted may have no frame of its own.
static bool rises(struct hone_walker *walker, uint64_t sp, uint64_t caller_sp, bool interrupted)
{
    if (caller_sp % HONE_WORD_BYTES)
        return false;
    if (caller_sp > sp || (!HONE_CALL_PUSHES && interrupted && caller_sp == sp))
        return true;
    const struct hone_stack *stack = hone_walker_stack(walker, sp);
    if (stack && stack == hone_walker_stack(walker, caller_sp))
        return false;
    return walker->stack_switches++ < STACK_SWITCHES_MAX;
}

// A stack made by hand (makecontext() does it) "returns" to where a function begins, so the address
// looked up lies before it, in nothing, and no call is there. No call: that function has no caller.
static bool is_made_by_hand(struct hone_walker *walker, const struct hone_module *module,
                            uint64_t address)
{
    struct hone_fde fde;
    uint64_t after = address + 1 - module->bias;
    return hone_cfi_find(&module->cfi, after, &fde) == 0 && fde.start == after &&
           !hone_arch_follows_call(&walker->memory, address + 1);
}

// Looks the rules of an address up, and keeps them.
uint64_t hone_walker_find_row(struct hone_walker *walker, uint64_t address)
{
    walker->result->misses++;
    bool stale = false;
    const bool settled = hone_walker_may_cache(walker);
    struct hone_modules *modules = walker->unwinder->modules;
    const struct hone_module *module = settled ? hone_modules_find(modules, address, &stale)
                                               : hone_modules_find_now(modules, address, &stale);
    walker->stale |= stale;
    if (!module)
        return HONE_ROW_NONE; // not kept: a module may come to lie here
    // Modules that never go have the rows of before also while others are going.
    struct hone_row_slot *set = hone_cache_set(walker->unwinder, address);
    const uint64_t key = hone_cache_key(address, walker->generation & ~1u);
    uint64_t row = !settled && module->from_start ? hone_cache_get(set, key) : HONE_ROW_NONE;
    if (row != HONE_ROW_NONE)
        return row;
    row = HONE_ROW_BAD;
    struct hone_fde fde;
    struct hone_rules rules;
    uint64_t until;
    const uint64_t pc = address - module->bias;
    int r = hone_cfi_find(&module->cfi, pc, &fde);
    if (r == HONE_CFI_NONE)
        row = is_made_by_hand(walker, module, address) ? HONE_ROW_OUTERMOST : HONE_ROW_NO_RULES;
    else if (!r && !hone_cfi_rules(&module->cfi, &fde, pc, &rules, &until))
        row = hone_row_pack(&module->cfi, &rules, fde.signal_frame);
    if (settled || module->from_start)
        hone_cache_put(set, key, row);
    return row;
}

// Whether most code of a module has rules. What has none there was written by a compiler of its own
// (the built-ins of V8 lie in the program that way) and keeps frame pointers.
static bool has_rules_elsewhere(const struct hone_walker *walker, uint64_t address)
{
    const struct hone_module *module = hone_modules_listed(walker->unwinder->modules, address);
    return module &&
           module->cfi.hdr.size / 8 * CODE_BYTES_PER_RULE > module->text_end - module->text_start;
}

// The register that calls set, of a frame that was interrupted; 0 of others: theirs is overwritten.
static uint64_t link_register(const struct hone_walker *walker, const struct hone_position *at,
                              size_t index)
{
    if (HONE_CALL_PUSHES || !at->exact || walker->full_index != index)
        return 0;
    return hone_arch_code(walker->full_begun ? walker->full.r[HONE_REGISTER_RETURN]
                                             : walker->innermost->r[HONE_REGISTER_RETURN]);
}

// What a signal handler returns to, known by its code: the frame below has all its registers.
static bool step_signal(struct hone_walker *walker, struct hone_position *at, size_t index)
{
    struct hone_frame frame = {.known = hone_all_known, .exact = true};
    if (!hone_arch_signal_frame(&walker->memory, at->address + !at->exact, at->sp, frame.r) ||
        !rises(walker, at->sp, frame.r[HONE_REGISTER_SP], false))
        return false;
    walker->result->slow = true;
    walker->full = frame;
    walker->full_begun = true;
    walker->full_index = index + 1;
    *at = (struct hone_position){frame.r[HONE_REGISTER_IP], frame.r[HONE_REGISTER_SP],
                                 frame.r[HONE_REGISTER_FP], true};
    return true;
}

// Interrupted code without rules, in a linker's stub or in a function that saves nothing: the
// register is its way back, unless it leads into the same such code (after a call of its own).
static bool step_by_link(struct hone_walker *walker, struct hone_position *at, uint64_t link)
{
    if (!link || !hone_arch_follows_call(&walker->memory, link))
        return false;
    bool stale;
    struct hone_modules *modules = walker->unwinder->modules;
    const struct hone_module *here = hone_modules_find(modules, at->address, &stale);
    const struct hone_module *caller = hone_modules_find(modules, link, &stale);
    struct hone_fde fde;
    if (caller == here &&
        (!here || hone_cfi_find(&here->cfi, link - 1 - here->bias, &fde) == HONE_CFI_NONE))
        return false;
    uint64_t sp = at->sp + hone_arch_stub_pushed(&walker->memory, at->address);
    *at = (struct hone_position){link - 1, sp, at->fp, false};
    return true;
}

// The end of a chain of frame pointers on a stack made by hand, as Go makes them: "returns" into
// known code, where no call is.
static bool ends_chain(struct hone_walker *walker, uint64_t return_address)
{
    bool stale;
    const struct hone_module *module =
        hone_modules_find(walker->unwinder->modules, return_address, &stale);
    return module && return_address - module->text_start < module->text_end - module->text_start &&
           !hone_arch_follows_call(&walker->memory, return_address);
}

// Code without rules: the frame pointer, when what it points to looks like a frame.
static enum hone_step step_without_rules(struct hone_walker *walker, struct hone_position *at,
                                         size_t index, bool in_module)
{
    bool innermost = index == 0;
    uint64_t return_address = 0, fp = 0;
    enum hone_step nothing = walker->stale ? HONE_STEP_STALE : HONE_STEP_NO_RULE;
    const uint64_t link = link_register(walker, at, index);
    if (!innermost && step_signal(walker, at, index))
        return HONE_STEP_ON;
    if (innermost && !in_module && !hone_memory_probe(&walker->memory, at->address)) {
        // A call into the void: nothing has run there, so all is as the call left it.
        const uint64_t pushed = HONE_CALL_PUSHES ? HONE_WORD_BYTES : 0;
        return_address = link;
        if ((pushed && !hone_memory_load(&walker->memory, at->sp, &return_address)) ||
            !hone_arch_follows_call(&walker->memory, return_address))
            return nothing;
        walker->result->guessed = true;
        *at = (struct hone_position){return_address - 1, at->sp + pushed, at->fp, false};
        return HONE_STEP_ON;
    }
    if (!HONE_CALL_PUSHES && step_by_link(walker, at, link))
        return HONE_STEP_ON;
    const bool no_fp = walker->fp_unknown;
    if (no_fp && !(walker->searches && in_module))
        return HONE_STEP_UNKNOWN;
    // No call has left this address: the innermost frame's rules are wrong.
    if (index == 1 && !in_module && !at->exact &&
        !hone_arch_follows_call(&walker->memory, at->address + 1))
        return hone_walker_rescue(walker, at) ? HONE_STEP_REPLACED : nothing;
    bool linked = !no_fp && at->fp % HONE_WORD_BYTES == 0 &&
                  at->fp - at->sp <= HONE_FRAME_BYTES_MAX &&
                  hone_memory_load(&walker->memory, at->fp, &fp) &&
                  hone_memory_load(&walker->memory, at->fp + HONE_WORD_BYTES, &return_address);
    return_address = hone_arch_code(return_address);
    bool followed = linked && hone_arch_follows_call(&walker->memory, return_address);
    if (linked && fp == 0 && in_module && !followed && ends_chain(walker, return_address))
        return HONE_STEP_OUTERMOST;
    // A frame pointer may be some outer function's and lead past callers: where most code has none
    // it is not asked first.
    if (HONE_CALL_PUSHES && in_module && walker->searches &&
        !(followed && has_rules_elsewhere(walker, at->address)) &&
        hone_walker_follow_code(walker, at))
        return HONE_STEP_ON;
    if (!followed && innermost && in_module && hone_walker_rescue(walker, at))
        return HONE_STEP_ON;
    // From outside only for those who ask: each look at code is dear there, and what is found is
    // less sure.
    if (HONE_CALL_PUSHES && in_module && walker->searches &&
        !(followed && has_rules_elsewhere(walker, at->address))) {
        // A call nearer by may explain more than the one that the frame pointer leads to.
        const struct hone_module *module =
            hone_modules_listed(walker->unwinder->modules, at->address);
        uint64_t value = followed && module
                             ? hone_walker_explains(walker, module, return_address, at->address)
                             : HONE_EXPLAINS_NOTHING;
        enum hone_step step = hone_walker_search(walker, at, followed ? at->fp : UINT64_MAX, value);
        if (step == HONE_STEP_ON || step == HONE_STEP_OUTERMOST)
            return step;
    }
    if (no_fp)
        return HONE_STEP_UNKNOWN;
    // The start of a thread or program in libraries without rules there clears it.
    if (at->fp == 0 && in_module)
        return HONE_STEP_OUTERMOST;
    if (linked && return_address == 0)
        return HONE_STEP_OUTERMOST;
    if (!followed)
        return nothing;
    walker->result->frame_pointers = true;
    walker->sp_lost = !HONE_CALL_PUSHES;
    if (in_module)
        walker->stepped = hone_trail_by_frame_pointer();
    *at = (struct hone_position){return_address - 1, at->fp + 2 * HONE_WORD_BYTES, fp, false};
    return HONE_STEP_ON;
}

// One step with whatever registers are known, by the rules themselves.
static enum hone_step step_frame(struct hone_walker *walker, struct hone_frame *frame, size_t index)
{
    uint64_t address = hone_frame_address(frame);
    const struct hone_module *module =
        hone_modules_find(walker->unwinder->modules, address, &walker->stale);
    struct hone_fde fde;
    const uint64_t pc = module ? address - module->bias : 0;
    int r = module ? hone_cfi_find(&module->cfi, pc, &fde) : HONE_CFI_NONE;
    if (r == HONE_CFI_NONE) {
        struct hone_position at = {address, frame->r[HONE_REGISTER_SP], frame->r[HONE_REGISTER_FP],
                                   frame->exact};
        walker->fp_unknown = !(frame->known & 1ull << HONE_REGISTER_FP);
        enum hone_step step = step_without_rules(walker, &at, index, module != NULL);
        frame->r[HONE_REGISTER_IP] = at.address + !at.exact;
        frame->r[HONE_REGISTER_SP] = at.sp;
        frame->r[HONE_REGISTER_FP] = at.fp;
        frame->exact = at.exact;
        return step;
    }
    struct hone_rules rules;
    uint64_t until;
    if (r || hone_cfi_rules(&module->cfi, &fde, pc, &rules, &until))
        return HONE_STEP_BAD_RULE;
    const bool interrupted = frame->exact;
    uint64_t sp = frame->r[HONE_REGISTER_SP];
    enum hone_step step =
        hone_frame_step(frame, &module->cfi, &rules, fde.signal_frame, &walker->memory);
    // longjmp() describes where it jumps, before and after it has moved sp there.
    if (step == HONE_STEP_ON && sp != frame->r[HONE_REGISTER_SP] &&
        !rises(walker, sp, frame->r[HONE_REGISTER_SP], interrupted))
        return HONE_STEP_BAD_FRAME;
    return step;
}

// Rules that need a register which no frame before them has kept are wrong, unless it was not known
// to begin with.
static enum hone_step without_register(const struct hone_walker *walker, enum hone_step step)
{
    return step == HONE_STEP_UNKNOWN && walker->known == hone_all_known ? HONE_STEP_BAD_RULE : step;
}

// A step by rules that no row can hold. What the fast path knows often suffices (a signal frame
// holds every register, and is found by sp); else all registers are followed up to here.
static enum hone_step step_general(struct hone_walker *walker, struct hone_position *at,
                                   size_t index)
{
    walker->result->slow = true;
    if (!HONE_CALL_PUSHES && step_signal(walker, at, index))
        return HONE_STEP_ON;
    hone_walker_begin_full(walker);
    struct hone_frame frame = walker->full;
    if (walker->full_index != index) {
        frame.known = 1ull << HONE_REGISTER_IP | 1ull << HONE_REGISTER_SP |
                      (uint64_t)!walker->fp_unknown << HONE_REGISTER_FP;
        frame.exact = at->exact;
        frame.r[HONE_REGISTER_IP] = at->address + !at->exact;
        frame.r[HONE_REGISTER_SP] = at->sp;
        frame.r[HONE_REGISTER_FP] = at->fp;
    }
    enum hone_step step = step_frame(walker, &frame, index);
    if (step == HONE_STEP_UNKNOWN) {
        while (walker->full_index < index) {
            step = step_frame(walker, &walker->full, walker->full_index);
            if (step == HONE_STEP_REPLACED)
                continue;
            if (step != HONE_STEP_ON)
                return without_register(walker, step);
            walker->full_index++;
        }
        frame = walker->full;
        if (frame.r[HONE_REGISTER_SP] != at->sp || hone_frame_address(&frame) != at->address)
            return HONE_STEP_BAD_RULE;
        step = step_frame(walker, &frame, index);
    }
    if (step != HONE_STEP_ON)
        return without_register(walker, step);
    walker->fp_unknown = !(frame.known & 1ull << HONE_REGISTER_FP);
    if (frame.known == hone_all_known) {
        walker->full = frame;
        walker->full_index = index + 1;
    }
    if (frame.r[HONE_REGISTER_IP] == 0)
        return hone_walker_without_caller(walker, frame.r[HONE_REGISTER_FP]);
    *at = (struct hone_position){hone_frame_address(&frame), frame.r[HONE_REGISTER_SP],
                                 frame.r[HONE_REGISTER_FP], frame.exact};
    return HONE_STEP_ON;
}

// The step to a caller whose sp is `cfa`.
static enum hone_step step_to(struct hone_walker *walker, struct hone_position *at, uint64_t row,
                              uint64_t cfa, size_t index)
{
    if (!rises(walker, at->sp, cfa, at->exact))
        return HONE_STEP_BAD_FRAME;
    uint64_t return_address, fp = at->fp;
    int64_t fp_at = hone_row_fp_at(row);
    uint64_t below = hone_row_return_below(row);
    if (below && !hone_memory_load(&walker->memory, cfa - below, &return_address))
        return HONE_STEP_UNREADABLE;
    bool loaded = fp_at && hone_memory_load(&walker->memory, cfa + (uint64_t)fp_at, &fp);
    if (fp_at && !loaded && !hone_memory_is_partial(&walker->memory))
        return HONE_STEP_UNREADABLE;
    if (!below) {
        if (!at->exact || walker->full_index != index)
            return HONE_STEP_BAD_RULE;
        hone_walker_begin_full(walker);
        return_address = walker->full.r[HONE_REGISTER_RETURN];
    }
    return_address = hone_arch_code(return_address);
    walker->fp_unknown = fp_at ? !loaded : walker->fp_unknown;
    if (return_address == 0)
        return hone_walker_without_caller(walker, fp);
    *at = (struct hone_position){return_address - 1, cfa, fp, false};
    return HONE_STEP_ON;
}

// Any step but the two common ones, and those when they leave the window.
enum hone_step hone_walker_step(struct hone_walker *walker, struct hone_position *at, uint64_t row,
                                size_t index)
{
    uint64_t offset = (uint64_t)hone_row_offset(row);
    enum hone_row_kind kind = hone_row_kind(row);
    uint64_t cfa;
    if (walker->sp_lost) {
        // Code that keeps a frame pointer points with it to where it saved its caller's.
        walker->sp_lost = false;
        if (kind == HONE_ROW_SP && hone_row_fp_at(row))
            return step_to(walker, at, row, at->fp - (uint64_t)hone_row_fp_at(row), index);
        if (kind == HONE_ROW_SP || kind == HONE_ROW_GENERAL)
            return HONE_STEP_NO_RULE;
    }
    if (walker->fp_unknown && (kind == HONE_ROW_FP || kind == HONE_ROW_FP_DEREF))
        return HONE_STEP_UNKNOWN;
    switch (kind) {
    case HONE_ROW_SP:
        return step_to(walker, at, row, at->sp + offset, index);
    case HONE_ROW_FP:
        return step_to(walker, at, row, at->fp + offset, index);
    case HONE_ROW_FP_DEREF:
    case HONE_ROW_SP_DEREF:
        offset += kind == HONE_ROW_FP_DEREF ? at->fp : at->sp;
        if (!hone_memory_load(&walker->memory, offset, &cfa))
            return HONE_STEP_UNREADABLE;
        return step_to(walker, at, row, cfa + HONE_WORD_BYTES * hone_row_extra(row), index);
    case HONE_ROW_PLT:
        cfa = at->sp + offset;
        if (((at->address + !at->exact) & 15) >= hone_row_extra(row))
            cfa += HONE_WORD_BYTES;
        return step_to(walker, at, row, cfa, index);
    case HONE_ROW_OUTERMOST:
        walker->result->by_rule = true;
        return HONE_STEP_OUTERMOST;
    case HONE_ROW_GENERAL:
        return step_general(walker, at, index);
    case HONE_ROW_NO_RULES:
    case HONE_ROW_NONE:
        return step_without_rules(walker, at, index, kind == HONE_ROW_NO_RULES);
    case HONE_ROW_BAD:
        break;
    }
    return HONE_STEP_BAD_RULE;
}
