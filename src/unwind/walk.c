// The walk proper. The fast path follows three registers by packed rows; whatever a row cannot say
// goes through step_odd(), and what needs more registers through step_general(), which follows all
// of them from the last frame where they were known.
//
// Another process is walked by the same steps, on a copy of its stack: `foreign` is a constant
// where the fast path is compiled, so that walks of our own process pay nothing for it.
#include "unwind/arch/arch.h"
#include "unwind/cache.h"
#include "unwind/frame.h"
#include "unwind/row.h"
#include "unwind/unwind.h"

enum {
    WORD_BYTES = 8,
    STACK_SWITCHES_MAX = 4, // towards lower addresses, in one walk
    RESCUE_WORDS = 64,      // of the stack, where the innermost frame hides its caller
    SEARCH_WORDS = 4096,    // where a frame without rules does
    SEARCH_ON_WORDS = 256,  // and how much further when a first one is found
    SEARCH_TRIES = 128, // calls looked at in one walk: some 100 us, for a walk may not starve who
                        // it is made for
    CODE_BYTES_PER_RULE = 4096, // where functions have no rules there are few for much code
    CALLED_ALIGNMENT = 8,       // of the stack when a function is called, below a multiple of 16
    FUNCTION_BYTES_MAX = 8 << 10,
    FRAME_BYTES_MAX = 8 << 20, // between one frame pointer and the next, where no rule vouches
    NOT_REUSABLE = 1,          // what a trail frame saved
};

static const uint64_t all_known = (1ull << HONE_REGISTER_COUNT) - 1;

// What the fast path knows of a frame.
struct position {
    uint64_t address; // to look up
    uint64_t sp, fp;
    bool exact;
};

struct walker {
    struct hone_memory memory; // first: outside() finds us by it
    bool probed;               // the window is of pages that we probed
    const struct hone_stack *stacks;
    size_t stack_count;

    struct hone_unwinder *unwinder;
    uint32_t generation;
    uint64_t *addresses;
    size_t max;
    struct hone_walk *result;

    const struct hone_registers *innermost;
    uint64_t known; // of its registers
    unsigned stack_switches;
    bool stale;
    bool landing;           // the innermost frame's caller is a landing pad
    unsigned search_tries;  // left
    bool sp_lost;           // a frame pointer led here, which does not say where the frame ends
    bool fp_unknown;        // of the frame we are at; only in another process
    struct hone_frame full; // all registers of frame number full_index
    size_t full_index;
};

static const struct hone_stack *stack_of(const struct walker *walker, uint64_t address)
{
    for (size_t i = 0; i < walker->stack_count; i++) {
        const struct hone_stack *stack = &walker->stacks[i];
        if (address >= stack->low && address < stack->high && stack->high - address >= WORD_BYTES)
            return stack;
    }
    return NULL;
}

// A load outside the window: moves the window to another stack, or to pages that prove readable.
static bool outside(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    struct walker *walker = (struct walker *)memory;
    const struct hone_stack *stack = stack_of(walker, address);
    uint64_t page = address & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (stack) {
        walker->probed = false;
        memory->low = stack->low;
        memory->words_end = stack->high - (WORD_BYTES - 1);
    } else if (!hone_safe_probe(address)) {
        return false;
    } else if (address - page > HONE_PAGE_BYTES - WORD_BYTES) {
        return hone_safe_load(address, ret); // on two pages
    } else {
        uint64_t window_end = memory->words_end + (WORD_BYTES - 1);
        if (!walker->probed || window_end != page)
            memory->low = page;
        walker->probed = true;
        memory->words_end = page + HONE_PAGE_BYTES - (WORD_BYTES - 1);
    }
    return hone_memory_load(memory, address, ret);
}

// A caller lies above its callee, unless the code between them changed stacks. Where calls push
// nothing, a function that was interrupted may have no frame of its own.
static bool rises(struct walker *walker, uint64_t sp, uint64_t caller_sp, bool interrupted)
{
    if (caller_sp % WORD_BYTES)
        return false;
    if (caller_sp > sp || (!HONE_CALL_PUSHES && interrupted && caller_sp == sp))
        return true;
    const struct hone_stack *stack = stack_of(walker, sp);
    if (stack && stack == stack_of(walker, caller_sp))
        return false;
    return walker->stack_switches++ < STACK_SWITCHES_MAX;
}

// No return address: whoever starts a stack by hand clears the frame pointer as well.
static enum hone_step without_caller(const struct walker *walker, uint64_t fp)
{
    if (walker->fp_unknown)
        return HONE_STEP_UNKNOWN;
    return fp == 0 ? HONE_STEP_OUTERMOST : HONE_STEP_BAD_FRAME;
}

// A stack made by hand (makecontext() does it) "returns" to where a function begins, so the address
// looked up lies before it, in nothing, and no call is there. No call: that function has no caller.
static bool is_made_by_hand(struct walker *walker, const struct hone_module *module,
                            uint64_t address)
{
    struct hone_fde fde;
    uint64_t after = address + 1 - module->bias;
    return hone_cfi_find(&module->cfi, after, &fde) == 0 && fde.start == after &&
           !hone_arch_follows_call(&walker->memory, address + 1);
}

// Looks the rules of an address up, and keeps them.
__attribute__((noinline)) static uint64_t find_row(struct walker *walker, uint64_t address)
{
    walker->result->misses++;
    bool stale = false;
    const struct hone_module *module =
        hone_modules_find(walker->unwinder->modules, address, &stale);
    walker->stale |= stale;
    if (!module)
        return HONE_ROW_NONE; // not kept: a module may come to lie here
    uint64_t row = HONE_ROW_BAD;
    struct hone_fde fde;
    struct hone_rules rules;
    uint64_t until;
    const uint64_t pc = address - module->bias;
    int r = hone_cfi_find(&module->cfi, pc, &fde);
    if (r == HONE_CFI_NONE)
        row = is_made_by_hand(walker, module, address) ? HONE_ROW_OUTERMOST : HONE_ROW_NO_RULES;
    else if (!r && !hone_cfi_rules(&module->cfi, &fde, pc, &rules, &until))
        row = hone_row_pack(&module->cfi, &rules, fde.signal_frame);
    hone_cache_put(hone_cache_set(walker->unwinder, address),
                   hone_cache_key(address, walker->generation), row);
    return row;
}

// The caller of an innermost frame whose rules are missing or wrong: hand-written loops (glibc's
// multi-precision arithmetic, libgmp) push registers and do not say so. They keep little on the
// stack, so the return address is near: the first that a direct call to this very function left,
// or else the first that any call left.
// The frame pointer may be among the registers pushed.
static bool is_frame_link(struct walker *walker, uint64_t fp, uint64_t above)
{
    uint64_t return_address;
    return fp >= above && fp % WORD_BYTES == 0 && fp - above <= FRAME_BYTES_MAX &&
           hone_memory_load(&walker->memory, fp + WORD_BYTES, &return_address) &&
           hone_arch_follows_call(&walker->memory, return_address);
}

static uint64_t rescue_fp(struct walker *walker, uint64_t fp, uint64_t sp, uint64_t caller_sp)
{
    if (is_frame_link(walker, fp, caller_sp))
        return fp;
    for (uint64_t at = sp; at < caller_sp - WORD_BYTES; at += WORD_BYTES) {
        uint64_t word;
        if (hone_memory_load(&walker->memory, at, &word) && is_frame_link(walker, word, caller_sp))
            return word;
    }
    return fp;
}

static bool is_code_of(const struct hone_module *module, uint64_t address)
{
    return module && address - module->text_start < module->text_end - module->text_start;
}

// What stands before an address, kept among the rows under a key that no row has: addresses of user
// space leave bit 47 free.
enum before { BEFORE_UNKNOWN, BEFORE_NO_CALL, BEFORE_CALL };

static enum before what_is_before(struct walker *walker, uint64_t address, uint64_t *ret_target)
{
    struct hone_row_slot *set = hone_cache_set(walker->unwinder, address);
    const uint64_t key = hone_cache_key(address | 1ull << 47, walker->generation);
    uint64_t kept = hone_cache_get(set, key);
    if (!kept) {
        enum before before =
            hone_arch_follows_call(&walker->memory, address) ? BEFORE_CALL : BEFORE_NO_CALL;
        uint64_t target =
            before == BEFORE_CALL ? hone_arch_call_reaches(&walker->memory, address) : 0;
        kept = target << 4 | before;
        hone_cache_put(set, key, kept);
    }
    *ret_target = kept >> 4;
    return (enum before)(kept & 15);
}

// How well a call explains that a function runs at some address, of which only this is known: it is
// code of a module, and without rules. Where the call led to no more than a function's length
// before that address the value is where, for the nearer the better.
enum explanation {
    EXPLAINS_NOTHING, // no call, or one into another module
    CALLED_OTHERS,    // it led to code with rules, which hardly jumps here
    CALLED_SOMETHING, // it does not say where it led
    CALLED_NEIGHBOUR, // it led to other such code, from where one may have jumped here
};

static uint64_t explains(struct walker *walker, const struct hone_module *module, uint64_t word,
                         uint64_t address)
{
    uint64_t target;
    if (what_is_before(walker, word, &target) != BEFORE_CALL)
        return EXPLAINS_NOTHING;
    if (!target)
        return CALLED_SOMETHING;
    if (!is_code_of(module, target))
        return EXPLAINS_NOTHING;
    struct hone_fde fde;
    if (hone_cfi_find(&module->cfi, target - module->bias, &fde) == 0)
        return CALLED_OTHERS;
    if (address - target < FUNCTION_BYTES_MAX)
        return target;
    target = hone_arch_jumps_on(&walker->memory, target);
    return is_code_of(module, target) && address - target < FUNCTION_BYTES_MAX ? target
                                                                               : CALLED_NEIGHBOUR;
}

// Where calls set a register, its content is the one guess that there is.
static bool rescue_by_link(struct walker *walker, struct position *ret)
{
    const uint64_t *r = walker->innermost->r;
    uint64_t link = hone_arch_code(r[HONE_REGISTER_RETURN]);
    bool stale;
    if (link == ret->address + 1 || !hone_arch_follows_call(&walker->memory, link) ||
        !hone_modules_find(walker->unwinder->modules, link, &stale))
        return false;
    walker->result->guessed = true;
    *ret = (struct position){link - 1, r[HONE_REGISTER_SP], r[HONE_REGISTER_FP], false};
    return true;
}

static bool rescue(struct walker *walker, struct position *ret)
{
    if (!HONE_CALL_PUSHES)
        return rescue_by_link(walker, ret);
    const uint64_t *r = walker->innermost->r;
    uint64_t ip = r[HONE_REGISTER_IP], sp = r[HONE_REGISTER_SP];
    bool stale;
    const struct hone_module *module = hone_modules_find(walker->unwinder->modules, ip, &stale);
    struct hone_fde fde;
    bool has_rules = module && !hone_cfi_find(&module->cfi, ip - module->bias, &fde);
    bool found = false;
    for (unsigned i = 0; i < RESCUE_WORDS; i++) {
        uint64_t word;
        if (!hone_memory_load(&walker->memory, sp + i * WORD_BYTES, &word))
            break;
        // Among those we know: most words are no addresses, and the loader is asked in vain.
        const struct hone_module *caller = hone_modules_listed(walker->unwinder->modules, word);
        if (!caller || word - caller->text_start >= caller->text_end - caller->text_start ||
            !hone_arch_follows_call(&walker->memory, word))
            continue;
        uint64_t target = hone_arch_call_target(&walker->memory, word);
        bool certain = has_rules && target == fde.start + module->bias;
        if (!has_rules && module && explains(walker, module, word, ip) <= CALLED_OTHERS)
            continue;
        if (found && !certain)
            continue;
        found = true;
        *ret = (struct position){word - 1, sp + (i + 1) * WORD_BYTES, r[HONE_REGISTER_FP], false};
        if (certain)
            break;
    }
    if (found)
        ret->fp = rescue_fp(walker, ret->fp, sp, ret->sp);
    walker->result->guessed |= found;
    return found;
}

// Whether a caller at `word` with its frame at `sp` leads on to a caller of its own, as far as its
// rules tell. Most words that only look like an address do not.
static bool leads_on(struct walker *walker, uint64_t word, uint64_t sp)
{
    uint64_t row = hone_cache_get(hone_cache_set(walker->unwinder, word - 1),
                                  hone_cache_key(word - 1, walker->generation));
    if (row == HONE_ROW_NONE)
        row = find_row(walker, word - 1);
    uint64_t next, target;
    if (hone_row_kind(row) != HONE_ROW_SP)
        return true;
    uint64_t at = sp + (uint64_t)hone_row_offset(row) - WORD_BYTES;
    return hone_memory_load(&walker->memory, at, &next) &&
           is_code_of(hone_modules_listed(walker->unwinder->modules, next), next) &&
           what_is_before(walker, next, &target) == BEFORE_CALL;
}

// Code of a C library without rules (musl's): its caller's address is among the next on the stack,
// and a call to this code has left it. So may have older calls, in what was not written since; the
// one counts that explains most, and of equal ones the nearest. The search goes up to `high`, for
// more than explains `best`. Where it meets the end of the stack there is no caller: this is what
// starts a thread or the program. That is kept, for it takes long to find.
static enum hone_step search_caller(struct walker *walker, struct position *at, uint64_t high,
                                    uint64_t best)
{
    bool stale;
    struct hone_modules *modules = walker->unwinder->modules;
    const struct hone_module *module = hone_modules_find(modules, at->address, &stale);
    const struct hone_stack *stack = stack_of(walker, at->sp);
    if (!module || !stack)
        return HONE_STEP_NO_RULE;
    const bool whole = high > stack->high;
    const uint64_t words = ((whole ? stack->high : high) - at->sp) / WORD_BYTES;
    uint64_t limit = words < SEARCH_WORDS ? words : SEARCH_WORDS;
    const uint64_t own_bytes = walker->unwinder->own_high - walker->unwinder->own_low;
    uint64_t found = 0, found_at = 0;
    for (uint64_t i = 0; i < limit; i++) {
        uint64_t word;
        if (!hone_memory_load(&walker->memory, at->sp + i * WORD_BYTES, &word))
            return HONE_STEP_UNREADABLE;
        if (!is_code_of(hone_modules_listed(modules, word), word) ||
            word - walker->unwinder->own_low < own_bytes)
            continue;
        if (walker->search_tries == 0)
            return HONE_STEP_NO_RULE;
        walker->search_tries--;
        uint64_t value = explains(walker, module, word, at->address);
        uint64_t slot = at->sp + i * WORD_BYTES;
        if (value <= best || slot % 16 != CALLED_ALIGNMENT ||
            !leads_on(walker, word, slot + WORD_BYTES))
            continue;
        if (value > CALLED_OTHERS && best <= CALLED_OTHERS && limit > i + SEARCH_ON_WORDS)
            limit = i + SEARCH_ON_WORDS;
        best = value;
        found = word;
        found_at = slot;
    }
    if (found) {
        walker->result->guessed = true;
        uint64_t sp = found_at + WORD_BYTES;
        *at = (struct position){found - 1, sp, rescue_fp(walker, at->fp, at->sp, sp), false};
        return HONE_STEP_ON;
    }
    if (words > SEARCH_WORDS || !whole || at->exact)
        return HONE_STEP_NO_RULE;
    hone_cache_put(hone_cache_set(walker->unwinder, at->address),
                   hone_cache_key(at->address, walker->generation), HONE_ROW_OUTERMOST);
    return HONE_STEP_OUTERMOST;
}

// Whether most code of a module has rules. What has none there was written by a compiler of its own
// (the built-ins of V8 lie in the program that way) and keeps frame pointers.
static bool has_rules_elsewhere(const struct walker *walker, uint64_t address)
{
    const struct hone_module *module = hone_modules_listed(walker->unwinder->modules, address);
    return module &&
           module->cfi.hdr.size / 8 * CODE_BYTES_PER_RULE > module->text_end - module->text_start;
}

// The register that calls set, of a frame that was interrupted; 0 of others: theirs is overwritten.
static uint64_t link_register(const struct walker *walker, const struct position *at, size_t index)
{
    if (HONE_CALL_PUSHES || !at->exact || walker->full_index != index)
        return 0;
    return hone_arch_code(walker->full.r[HONE_REGISTER_RETURN]);
}

// What a signal handler returns to, known by its code: the frame below has all its registers.
static bool step_signal(struct walker *walker, struct position *at, size_t index)
{
    struct hone_frame frame = {.known = all_known, .exact = true};
    if (!hone_arch_signal_frame(&walker->memory, at->address + !at->exact, at->sp, frame.r) ||
        !rises(walker, at->sp, frame.r[HONE_REGISTER_SP], false))
        return false;
    walker->result->slow = true;
    walker->full = frame;
    walker->full_index = index + 1;
    *at = (struct position){frame.r[HONE_REGISTER_IP], frame.r[HONE_REGISTER_SP],
                            frame.r[HONE_REGISTER_FP], true};
    return true;
}

// Interrupted code without rules, in a linker's stub or in a function that saves nothing: the
// register is its way back, unless it leads into the same such code (after a call of its own).
static bool step_by_link(struct walker *walker, struct position *at, uint64_t link)
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
    *at = (struct position){link - 1, sp, at->fp, false};
    return true;
}

// The end of a chain of frame pointers on a stack made by hand, as Go makes them: "returns" into
// known code, where no call is.
static bool ends_chain(struct walker *walker, uint64_t return_address)
{
    bool stale;
    const struct hone_module *module =
        hone_modules_find(walker->unwinder->modules, return_address, &stale);
    return module && return_address - module->text_start < module->text_end - module->text_start &&
           !hone_arch_follows_call(&walker->memory, return_address);
}

// Code without rules: the frame pointer, when what it points to looks like a frame.
static enum hone_step step_without_rules(struct walker *walker, struct position *at, size_t index,
                                         bool in_module)
{
    bool innermost = index == 0;
    uint64_t return_address = 0, fp = 0;
    enum hone_step nothing = walker->stale ? HONE_STEP_STALE : HONE_STEP_NO_RULE;
    const uint64_t link = link_register(walker, at, index);
    if (!innermost && step_signal(walker, at, index))
        return HONE_STEP_ON;
    if (innermost && !in_module && !hone_memory_probe(&walker->memory, at->address)) {
        // A call into the void: nothing has run there, so all is as the call left it.
        const uint64_t pushed = HONE_CALL_PUSHES ? WORD_BYTES : 0;
        return_address = link;
        if ((pushed && !hone_memory_load(&walker->memory, at->sp, &return_address)) ||
            !hone_arch_follows_call(&walker->memory, return_address))
            return nothing;
        walker->result->guessed = true;
        *at = (struct position){return_address - 1, at->sp + pushed, at->fp, false};
        return HONE_STEP_ON;
    }
    if (!HONE_CALL_PUSHES && step_by_link(walker, at, link))
        return HONE_STEP_ON;
    if (walker->fp_unknown)
        return HONE_STEP_UNKNOWN;
    // No call has left this address: the innermost frame's rules are wrong.
    if (index == 1 && !in_module && !at->exact &&
        !hone_arch_follows_call(&walker->memory, at->address + 1))
        return rescue(walker, at) ? HONE_STEP_REPLACED : nothing;
    bool linked = at->fp % WORD_BYTES == 0 && at->fp - at->sp <= FRAME_BYTES_MAX &&
                  hone_memory_load(&walker->memory, at->fp, &fp) &&
                  hone_memory_load(&walker->memory, at->fp + WORD_BYTES, &return_address);
    return_address = hone_arch_code(return_address);
    bool followed = linked && hone_arch_follows_call(&walker->memory, return_address);
    if (linked && fp == 0 && in_module && !followed && ends_chain(walker, return_address))
        return HONE_STEP_OUTERMOST;
    if (!followed && innermost && in_module && rescue(walker, at))
        return HONE_STEP_ON;
    // Only inside: from outside each look at code is dear, and what is found there is less sure.
    if (HONE_CALL_PUSHES && in_module && !hone_memory_is_partial(&walker->memory) &&
        !(followed && has_rules_elsewhere(walker, at->address))) {
        // A frame pointer may be some outer function's and lead past callers: then a call nearer by
        // explains more.
        const struct hone_module *module =
            hone_modules_listed(walker->unwinder->modules, at->address);
        uint64_t value = followed && module ? explains(walker, module, return_address, at->address)
                                            : EXPLAINS_NOTHING;
        enum hone_step step = search_caller(walker, at, followed ? at->fp : UINT64_MAX, value);
        if (step == HONE_STEP_ON || step == HONE_STEP_OUTERMOST)
            return step;
    }
    // The start of a thread or program in libraries without rules there clears it.
    if (at->fp == 0 && in_module)
        return HONE_STEP_OUTERMOST;
    if (linked && return_address == 0)
        return HONE_STEP_OUTERMOST;
    if (!followed)
        return nothing;
    walker->result->frame_pointers = true;
    walker->sp_lost = !HONE_CALL_PUSHES;
    *at = (struct position){return_address - 1, at->fp + 2 * WORD_BYTES, fp, false};
    return HONE_STEP_ON;
}

// One step with whatever registers are known, by the rules themselves.
static enum hone_step step_frame(struct walker *walker, struct hone_frame *frame, size_t index)
{
    uint64_t address = hone_frame_address(frame);
    const struct hone_module *module =
        hone_modules_find(walker->unwinder->modules, address, &walker->stale);
    struct hone_fde fde;
    const uint64_t pc = module ? address - module->bias : 0;
    int r = module ? hone_cfi_find(&module->cfi, pc, &fde) : HONE_CFI_NONE;
    if (r == HONE_CFI_NONE) {
        struct position at = {address, frame->r[HONE_REGISTER_SP], frame->r[HONE_REGISTER_FP],
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
static enum hone_step without_register(const struct walker *walker, enum hone_step step)
{
    return step == HONE_STEP_UNKNOWN && walker->known == all_known ? HONE_STEP_BAD_RULE : step;
}

// A step by rules that no row can hold. What the fast path knows often suffices (a signal frame
// holds every register, and is found by sp); else all registers are followed up to here.
static enum hone_step step_general(struct walker *walker, struct position *at, size_t index)
{
    walker->result->slow = true;
    if (!HONE_CALL_PUSHES && step_signal(walker, at, index))
        return HONE_STEP_ON;
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
    if (frame.known == all_known) {
        walker->full = frame;
        walker->full_index = index + 1;
    }
    if (frame.r[HONE_REGISTER_IP] == 0)
        return without_caller(walker, frame.r[HONE_REGISTER_FP]);
    *at = (struct position){hone_frame_address(&frame), frame.r[HONE_REGISTER_SP],
                            frame.r[HONE_REGISTER_FP], frame.exact};
    return HONE_STEP_ON;
}

// The step to a caller whose sp is `cfa`.
static enum hone_step step_to(struct walker *walker, struct position *at, uint64_t row,
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
        return_address = walker->full.r[HONE_REGISTER_RETURN];
    }
    return_address = hone_arch_code(return_address);
    walker->fp_unknown = fp_at ? !loaded : walker->fp_unknown;
    if (return_address == 0)
        return without_caller(walker, fp);
    *at = (struct position){return_address - 1, cfa, fp, false};
    return HONE_STEP_ON;
}

// Any step but the two common ones, and those when they leave the window.
__attribute__((noinline)) static enum hone_step step_odd(struct walker *walker, struct position *at,
                                                         uint64_t row, size_t index)
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
        return step_to(walker, at, row, cfa + WORD_BYTES * hone_row_extra(row), index);
    case HONE_ROW_PLT:
        cfa = at->sp + offset;
        if (((at->address + !at->exact) & 15) >= hone_row_extra(row))
            cfa += WORD_BYTES;
        return step_to(walker, at, row, cfa, index);
    case HONE_ROW_OUTERMOST:
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

static enum hone_walk_end end_of(enum hone_step step)
{
    switch (step) {
    case HONE_STEP_ON:
        return HONE_WALK_TOO_DEEP;
    case HONE_STEP_OUTERMOST:
        return HONE_WALK_COMPLETE;
    case HONE_STEP_UNREADABLE:
        return HONE_WALK_UNREADABLE;
    case HONE_STEP_BAD_FRAME:
        return HONE_WALK_BAD_FRAME;
    case HONE_STEP_NO_RULE:
        return HONE_WALK_NO_RULE;
    case HONE_STEP_STALE:
        return HONE_WALK_STALE;
    case HONE_STEP_UNKNOWN:
        return HONE_WALK_UNKNOWN_REGISTER;
    case HONE_STEP_REPLACED:
    case HONE_STEP_BAD_RULE:
        break;
    }
    return HONE_WALK_BAD_RULE;
}

// A trail being replaced by that of this walk. Frames of the last walk are passed one by one; new
// ones collect at the front, in the room that passing makes, and move to their place at the end.
struct tracker {
    struct hone_trail *trail;
    uint32_t old;   // first frame of the last walk not passed yet
    uint32_t fresh; // frames of this walk
    uint32_t run;   // a run of verified frames, to the last, begins here; or the end: none
    bool overflow;
};

static void track(struct tracker *tracker, struct hone_trail_frame frame)
{
    if (tracker->fresh < tracker->old && tracker->fresh < tracker->run)
        tracker->trail->frames[tracker->fresh++] = frame;
    else
        tracker->overflow = true;
}

// What a trail frame remembers of its row.
static inline int64_t saved_by(uint64_t row)
{
    if (HONE_CALL_PUSHES)
        return hone_row_fp_at(row);
    return (int64_t)((uint32_t)hone_row_fp_at(row) | hone_row_return_below(row) << 32);
}

static inline int64_t saved_fp_at(int64_t saved)
{
    return HONE_CALL_PUSHES ? saved : (int32_t)saved;
}

static inline uint64_t saved_return_below(int64_t saved)
{
    return HONE_CALL_PUSHES ? WORD_BYTES : (uint64_t)saved >> 32;
}

// Frames verified one after another from tracker->old on. Their addresses are written, but for the
// last one's, which becomes the position to go on from.
__attribute__((no_sanitize("address"))) static size_t
verify(struct walker *walker, struct tracker *tracker, struct position *at, size_t count)
{
    const struct hone_trail_frame *frame = &tracker->trail->frames[tracker->old];
    const struct hone_trail_frame *last = &tracker->trail->frames[HONE_STACK_DEPTH_MAX - 1];
    const uint64_t low = walker->memory.low;
    const uint64_t size = walker->memory.words_end - low;
    size_t begin = count;
    for (; frame < last && frame->saved != NOT_REUSABLE && count + 1 < walker->max; frame++) {
        uint64_t sp = frame[1].sp;
        const int64_t fp_from = saved_fp_at(frame->saved);
        uint64_t return_at = sp - saved_return_below(frame->saved);
        uint64_t fp_at = sp + (uint64_t)fp_from;
        if (return_at - low >= size || hone_arch_code(HONE_LOAD(return_at)) != frame[1].ip + 1)
            break;
        if (fp_from && (fp_at - low >= size || HONE_LOAD(fp_at) != frame[1].fp))
            break;
        walker->addresses[count++] = frame->ip;
    }
    if (count == begin)
        return count;
    walker->result->reused += (uint32_t)(count - begin);
    uint32_t run = tracker->old;
    tracker->old = (uint32_t)(frame - tracker->trail->frames);
    *at = (struct position){frame->ip, frame->sp, frame->fp, false};
    if (frame == last)
        tracker->run = run; // stays where it is, we hope
    else
        for (; run < tracker->old; run++)
            track(tracker, tracker->trail->frames[run]);
    return count;
}

// Before each frame: whether the last walk came by here.
static inline size_t pass(struct walker *walker, struct tracker *tracker, struct position *at,
                          size_t count)
{
    const struct hone_trail_frame *frames = tracker->trail->frames;
    while (tracker->old < HONE_STACK_DEPTH_MAX && frames[tracker->old].sp < at->sp)
        tracker->old++;
    if (tracker->old == HONE_STACK_DEPTH_MAX)
        return count;
    const struct hone_trail_frame *frame = &frames[tracker->old];
    if (frame->sp == at->sp && frame->ip == at->address && frame->fp == at->fp)
        return verify(walker, tracker, at, count);
    return count;
}

// After each step, from a frame at `from`.
static inline void follow(struct tracker *tracker, const struct position *from, int64_t saved,
                          bool stepped)
{
    if (tracker->run < HONE_STACK_DEPTH_MAX) {
        if (!stepped)
            return; // the run's last frame is the walk's, as it was
        uint32_t run = tracker->run;
        tracker->run = HONE_STACK_DEPTH_MAX;
        for (; run < tracker->old; run++)
            track(tracker, tracker->trail->frames[run]);
    }
    track(tracker, (struct hone_trail_frame){from->address, from->sp, from->fp, saved});
}

static void settle(struct tracker *tracker)
{
    struct hone_trail *trail = tracker->trail;
    trail->first = HONE_STACK_DEPTH_MAX;
    if (tracker->overflow)
        return;
    trail->first = tracker->run - tracker->fresh;
    __builtin_memmove(&trail->frames[trail->first], trail->frames,
                      tracker->fresh * sizeof trail->frames[0]);
}

// One body for all walks; `tracker` is a constant NULL in the plain one, `foreign` a constant true
// in that of another process.
__attribute__((always_inline, no_sanitize("address"))) static inline void
walk(struct walker *walker, struct position at, struct tracker *tracker, bool foreign)
{
    struct hone_unwinder *unwinder = walker->unwinder;
    enum hone_step step = HONE_STEP_ON;
    size_t count = 0;
    while (count < walker->max) {
        if (HONE_UNLIKELY(walker->landing) && count == 1)
            at = (struct position){at.address + 1, at.sp, at.fp, true};
        if (tracker)
            count = pass(walker, tracker, &at, count);
        walker->addresses[count++] = at.address;
        uint64_t row = hone_cache_get(hone_cache_set(unwinder, at.address),
                                      hone_cache_key(at.address, walker->generation));
        if (HONE_UNLIKELY(row == HONE_ROW_NONE))
            row = find_row(walker, at.address);

        if (HONE_LIKELY(hone_row_kind(row) - HONE_ROW_SP <= HONE_ROW_FP - HONE_ROW_SP) &&
            !(foreign && walker->fp_unknown)) {
            uint64_t base = hone_row_kind(row) == HONE_ROW_SP ? at.sp : at.fp;
            uint64_t cfa = base + (uint64_t)hone_row_offset(row);
            int64_t fp_at = hone_row_fp_at(row);
            uint64_t below = hone_row_return_below(row);
            uint64_t return_at = cfa - below;
            uint64_t saved_at = fp_at ? cfa + (uint64_t)fp_at : return_at;
            // Bitwise: one branch that is never taken.
            if (HONE_LIKELY((unsigned)(cfa > at.sp) & (cfa % WORD_BYTES == 0) &
                            (HONE_CALL_PUSHES || (below && !walker->sp_lost)) &
                            hone_memory_inside(&walker->memory, return_at) &
                            hone_memory_inside(&walker->memory, saved_at))) {
                uint64_t shift = foreign ? walker->memory.shift : 0;
                uint64_t return_address = hone_arch_code(HONE_LOAD(return_at + shift));
                uint64_t saved = HONE_LOAD(saved_at + shift);
                if (tracker)
                    follow(tracker, &at, saved_by(row), true);
                if (HONE_UNLIKELY(return_address == 0)) {
                    step = without_caller(walker, fp_at ? saved : at.fp);
                    break;
                }
                at.address = return_address - 1;
                at.sp = cfa;
                at.fp = fp_at ? saved : at.fp;
                at.exact = false;
                continue;
            }
        }
        struct position from = at;
        step = step_odd(walker, &at, row, count - 1);
        if (HONE_UNLIKELY(step == HONE_STEP_REPLACED)) {
            count--;
            step = HONE_STEP_ON;
            continue;
        }
        if (tracker)
            follow(tracker, &from, NOT_REUSABLE, step == HONE_STEP_ON);
        if (step != HONE_STEP_ON)
            break;
    }
    walker->result->count = (uint32_t)count;
    walker->result->end = end_of(step);
    if (foreign) {
        walker->result->end_address = at.address;
        walker->result->end_sp = at.sp;
        walker->result->end_fp_unknown = walker->fp_unknown;
    }
}

static struct position start(struct walker *walker, struct hone_unwinder *unwinder,
                             const struct hone_registers *registers,
                             const struct hone_stack *stacks, size_t stack_count)
{
    walker->memory = (struct hone_memory){.outside = outside};
    walker->probed = false;
    walker->stacks = stacks;
    walker->stack_count = stack_count;
    walker->unwinder = unwinder;
    // Relaxed: a row of a module that goes away just now is as right as one a moment ago.
    walker->generation = atomic_load_explicit(&unwinder->modules->generation, memory_order_relaxed);
    walker->innermost = registers;
    walker->stack_switches = 0;
    walker->stale = false;
    walker->landing = false;
    walker->search_tries = SEARCH_TRIES;
    walker->sp_lost = false;
    walker->fp_unknown = false;
    walker->known = all_known;
    __builtin_memcpy(walker->full.r, registers->r, sizeof walker->full.r);
    walker->full.known = all_known;
    walker->full.exact = true;
    walker->full_index = 0;

    uint64_t sp = registers->r[HONE_REGISTER_SP];
    const struct hone_stack *stack = stack_of(walker, sp);
    if (stack) {
        walker->memory.low = stack->low;
        walker->memory.words_end = stack->high - (WORD_BYTES - 1);
    }
    return (struct position){registers->r[HONE_REGISTER_IP], sp, registers->r[HONE_REGISTER_FP],
                             true};
}

// Where a walk breaks off, the last return address may be the first wrong thing that was read: it
// stays only when a call stands before it.
static void drop_unfounded(struct walker *walker)
{
    struct hone_walk *result = walker->result;
    const uint64_t *addresses = walker->addresses;
    if (result->end != HONE_WALK_COMPLETE && result->end != HONE_WALK_TOO_DEEP &&
        result->count > 1 &&
        !hone_arch_follows_call(&walker->memory, addresses[result->count - 1] + 1))
        result->count--;
}

// At the very end of _Unwind_Resume() and its like, what the rules take for the return address is
// where an exception lands. No call stands before that, and the rules that hold there begin at it.
static bool lands(struct walker *walker)
{
    enum { CUT_AT_ONCE = 4 };
    const struct hone_walk *result = walker->result;
    return result->end != HONE_WALK_COMPLETE && result->count >= 2 &&
           result->count <= CUT_AT_ONCE && !walker->landing && !result->guessed &&
           !hone_arch_follows_call(&walker->memory, walker->addresses[1] + 1);
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_walk(struct hone_unwinder *unwinder, const struct hone_registers *registers,
                 const struct hone_stack *stacks, size_t stack_count, uint64_t *ret_addresses,
                 size_t max, struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct walker walker;
    walker.addresses = ret_addresses;
    walker.max = max;
    walker.result = ret;
    walk(&walker, start(&walker, unwinder, registers, stacks, stack_count), NULL, false);
    if (HONE_UNLIKELY(lands(&walker))) {
        struct position at = start(&walker, unwinder, registers, stacks, stack_count);
        walker.landing = true;
        walk(&walker, at, NULL, false);
    }
    drop_unfounded(&walker);
    return ret->count;
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_rewalk(struct hone_unwinder *unwinder, struct hone_trail *trail,
                   const struct hone_registers *registers, const struct hone_stack *stacks,
                   size_t stack_count, uint64_t *ret_addresses, size_t max, struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct walker walker;
    walker.addresses = ret_addresses;
    walker.max = max;
    walker.result = ret;
    struct position at = start(&walker, unwinder, registers, stacks, stack_count);
    // A trail of zeros is an empty one.
    bool valid = trail->first && trail->generation == walker.generation;
    struct tracker tracker = {
        .trail = trail,
        .old = valid ? trail->first : HONE_STACK_DEPTH_MAX,
        .run = HONE_STACK_DEPTH_MAX,
    };
    trail->first = 0; // of no use to a handler that interrupts us
    trail->generation = walker.generation;
    walk(&walker, at, &tracker, false);
    settle(&tracker);
    if (HONE_UNLIKELY(lands(&walker))) {
        trail->first = 0; // what it says of this walk is wrong
        at = start(&walker, unwinder, registers, stacks, stack_count);
        walker.landing = true;
        walk(&walker, at, NULL, false);
    }
    drop_unfounded(&walker);
    return ret->count;
}

// --- another process -----------------------------------------------------------------------------

// `walker` first: it is found by its memory.
struct foreign_walker {
    struct walker walker;
    const struct hone_foreign *foreign;
    struct hone_stack stack; // what the copy is of
    bool beyond;             // something above the copy was wanted
    uint64_t page_at;        // what page holds; 0: nothing
    uint8_t page[HONE_PAGE_BYTES];
};

static void look_into_copy(struct foreign_walker *walker)
{
    struct hone_memory *memory = &walker->walker.memory;
    const struct hone_foreign *foreign = walker->foreign;
    memory->low = walker->stack.low;
    memory->words_end = walker->stack.high - (WORD_BYTES - 1);
    memory->shift = (uintptr_t)foreign->copy - walker->stack.low;
}

// A load outside the window: the copy, or a page that the other process lends us.
static bool outside_foreign(struct hone_memory *memory, uint64_t address, uint64_t *ret)
{
    struct foreign_walker *walker = (struct foreign_walker *)memory;
    const struct hone_foreign *foreign = walker->foreign;
    if (stack_of(&walker->walker, address)) {
        look_into_copy(walker);
        return hone_memory_load(memory, address, ret);
    }
    if (!foreign->stack) {
        // Whoever asked for a larger copy would have had it.
        walker->beyond |= address >= walker->stack.low &&
                          address + WORD_BYTES - walker->stack.high < FRAME_BYTES_MAX;
        return false;
    }
    uint64_t page = address & ~(uint64_t)(HONE_PAGE_BYTES - 1);
    if (address - page > HONE_PAGE_BYTES - WORD_BYTES)
        return foreign->stack(foreign->context, address, ret, sizeof *ret); // on two pages
    if (walker->page_at != page &&
        !foreign->stack(foreign->context, page, walker->page, sizeof walker->page)) {
        walker->page_at = 0;
        return false;
    }
    walker->page_at = page;
    memory->low = page;
    memory->words_end = page + HONE_PAGE_BYTES - (WORD_BYTES - 1);
    memory->shift = (uintptr_t)walker->page - page;
    return hone_memory_load(memory, address, ret);
}

static bool code_foreign(struct hone_memory *memory, void *to, uint64_t from, size_t size)
{
    const struct hone_foreign *foreign = ((struct foreign_walker *)memory)->foreign;
    return foreign->code(foreign->context, from, to, size);
}

static struct position start_foreign(struct foreign_walker *walker, struct hone_unwinder *unwinder,
                                     const struct hone_registers *registers)
{
    size_t stack_count = walker->stack.low < walker->stack.high;
    struct position at = start(&walker->walker, unwinder, registers, &walker->stack, stack_count);
    walker->walker.memory.outside = outside_foreign;
    walker->walker.memory.code = code_foreign;
    if (stack_of(&walker->walker, at.sp))
        look_into_copy(walker);
    walker->walker.known = walker->walker.full.known = walker->foreign->known & all_known;
    walker->walker.fp_unknown = !(walker->foreign->known & 1ull << HONE_REGISTER_FP);
    walker->beyond = false;
    walker->page_at = 0;
    return at;
}

__attribute__((no_sanitize("address"))) size_t
hone_unwind_walk_foreign(struct hone_unwinder *unwinder, const struct hone_registers *registers,
                         const struct hone_foreign *foreign, uint64_t *ret_addresses, size_t max,
                         struct hone_walk *ret)
{
    *ret = (struct hone_walk){0};
    struct foreign_walker walker;
    walker.foreign = foreign;
    uint64_t low = foreign->size_bytes ? foreign->low : registers->r[HONE_REGISTER_SP];
    walker.stack = (struct hone_stack){low, low + foreign->size_bytes};
    walker.walker.addresses = ret_addresses;
    walker.walker.max = max;
    walker.walker.result = ret;
    walk(&walker.walker, start_foreign(&walker, unwinder, registers), NULL, true);
    if (HONE_UNLIKELY(lands(&walker.walker)) && !walker.beyond) {
        struct position at = start_foreign(&walker, unwinder, registers);
        walker.walker.landing = true;
        walk(&walker.walker, at, NULL, true);
    }
    drop_unfounded(&walker.walker);
    if (walker.beyond && ret->end != HONE_WALK_COMPLETE && ret->end != HONE_WALK_TOO_DEEP)
        ret->end = HONE_WALK_COPY_SHORT;
    return ret->count;
}

void hone_unwind_init(struct hone_unwinder *ret, struct hone_modules *modules, void *memory,
                      size_t size_bytes)
{
    uint64_t sets = size_bytes / (HONE_ROW_WAYS * sizeof(struct hone_row_slot));
    while (sets & (sets - 1))
        sets &= sets - 1; // down to a power of two
    *ret = (struct hone_unwinder){modules, memory, sets - 1, 0, 0};
}

const char *hone_walk_end_name(enum hone_walk_end end)
{
    static const char *const names[HONE_WALK_END_COUNT] = {
        "complete", "too deep",      "no rule",        "unreadable",       "bad frame",
        "bad rule", "stale modules", "copy too short", "unknown register",
    };
    return end < HONE_WALK_END_COUNT ? names[end] : "unknown";
}
