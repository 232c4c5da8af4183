// Callers that neither rules nor code tell, looked for on the stack among the words that are
// addresses behind calls. Hand-written loops (glibc's multi-precision arithmetic, libgmp) push
// registers and do not say so, and in libraries without rules (musl's) some functions never return.
#include "unwind/walker.h"

enum {
    RESCUE_WORDS = 64,     // of the stack, where the innermost frame hides its caller
    SEARCH_WORDS = 4096,   // where a frame without rules does
    SEARCH_ON_WORDS = 256, // and how much further when a first one is found
    CALLED_ALIGNMENT = 8,  // of the stack when a function is called, below a multiple of 16
    FUNCTION_BYTES_MAX = 8 << 10,
};

// Two words that look like a frame: the frame pointer may be among the registers pushed.
static bool is_frame_link(struct hone_walker *walker, uint64_t fp, uint64_t above)
{
    uint64_t return_address;
    return fp >= above && fp % HONE_WORD_BYTES == 0 && fp - above <= HONE_FRAME_BYTES_MAX &&
           hone_memory_load(&walker->memory, fp + HONE_WORD_BYTES, &return_address) &&
           hone_arch_follows_call(&walker->memory, return_address);
}

static uint64_t hone_walker_rescue_fp(struct hone_walker *walker, uint64_t fp, uint64_t sp,
                                      uint64_t caller_sp)
{
    if (is_frame_link(walker, fp, caller_sp))
        return fp;
    for (uint64_t at = sp; at < caller_sp - HONE_WORD_BYTES; at += HONE_WORD_BYTES) {
        uint64_t word;
        if (hone_memory_load(&walker->memory, at, &word) && is_frame_link(walker, word, caller_sp))
            return word;
    }
    return fp;
}

// What stands before an address, kept among the rows under a key that no row has: addresses of user
// space leave bit 47 free.
enum before { BEFORE_UNKNOWN, BEFORE_NO_CALL, BEFORE_CALL };

static enum before what_is_before(struct hone_walker *walker, uint64_t address,
                                  uint64_t *ret_target)
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
        if (hone_walker_may_cache(walker))
            hone_cache_put(set, key, kept);
    }
    *ret_target = kept >> 4;
    return (enum before)(kept & 15);
}

bool hone_walker_called(struct hone_walker *walker, uint64_t word)
{
    uint64_t target;
    if (hone_module_is_code(hone_modules_listed(walker->unwinder->modules, word), word))
        return what_is_before(walker, word, &target) == BEFORE_CALL;
    return hone_arch_follows_call(&walker->memory, word); // generated, and not kept
}

uint64_t hone_walker_explains(struct hone_walker *walker, const struct hone_module *module,
                              uint64_t word, uint64_t address)
{
    uint64_t target;
    if (what_is_before(walker, word, &target) != BEFORE_CALL)
        return HONE_EXPLAINS_NOTHING;
    if (!target)
        return HONE_CALLED_SOMETHING;
    if (!hone_module_is_code(module, target))
        return HONE_EXPLAINS_NOTHING;
    struct hone_fde fde;
    if (hone_cfi_find(&module->cfi, target - module->bias, &fde) == 0)
        return HONE_CALLED_OTHERS;
    if (address - target < FUNCTION_BYTES_MAX)
        return target;
    target = hone_arch_jumps_on(&walker->memory, target);
    return hone_module_is_code(module, target) && address - target < FUNCTION_BYTES_MAX
               ? target
               : HONE_CALLED_NEIGHBOUR;
}

// Where calls set a register, its content is the one guess that there is.
static bool rescue_by_link(struct hone_walker *walker, struct hone_position *ret)
{
    const uint64_t *r = walker->innermost->r;
    uint64_t link = hone_arch_code(r[HONE_REGISTER_RETURN]);
    bool stale;
    if (link == ret->address + 1 || !hone_arch_follows_call(&walker->memory, link) ||
        !hone_modules_find(walker->unwinder->modules, link, &stale))
        return false;
    walker->result->guessed = true;
    *ret = (struct hone_position){link - 1, r[HONE_REGISTER_SP], r[HONE_REGISTER_FP], false};
    return true;
}

// The caller of an innermost frame whose rules are missing or wrong. Such code keeps little on the
// stack, so the return address is near: the first that a direct call to this very function left, or
// else the first that any call left.
bool hone_walker_rescue(struct hone_walker *walker, struct hone_position *ret)
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
        if (!hone_memory_load(&walker->memory, sp + i * HONE_WORD_BYTES, &word))
            break;
        // Among those we know: most words are no addresses, and the loader is asked in vain.
        const struct hone_module *caller = hone_modules_listed(walker->unwinder->modules, word);
        if (!caller || word - caller->text_start >= caller->text_end - caller->text_start ||
            !hone_arch_follows_call(&walker->memory, word))
            continue;
        uint64_t target = hone_arch_call_target(&walker->memory, word);
        bool certain = has_rules && target == fde.start + module->bias;
        if (!has_rules && module &&
            hone_walker_explains(walker, module, word, ip) <= HONE_CALLED_OTHERS)
            continue;
        if (found && !certain)
            continue;
        found = true;
        *ret = (struct hone_position){word - 1, sp + (i + 1) * HONE_WORD_BYTES, r[HONE_REGISTER_FP],
                                      false};
        if (certain)
            break;
    }
    if (found)
        ret->fp = hone_walker_rescue_fp(walker, ret->fp, sp, ret->sp);
    walker->result->guessed |= found;
    return found;
}

// Whether a caller at `word` with its frame at `sp` leads on to a caller of its own, as far as its
// rules tell. Most words that only look like an address do not.
static bool leads_on(struct hone_walker *walker, uint64_t word, uint64_t sp)
{
    uint64_t row = hone_cache_get(hone_cache_set(walker->unwinder, word - 1),
                                  hone_cache_key(word - 1, walker->generation));
    if (row == HONE_ROW_NONE)
        row = hone_walker_find_row(walker, word - 1);
    uint64_t next, target;
    if (hone_row_kind(row) != HONE_ROW_SP)
        return true;
    uint64_t at = sp + (uint64_t)hone_row_offset(row) - HONE_WORD_BYTES;
    return hone_memory_load(&walker->memory, at, &next) &&
           hone_module_is_code(hone_modules_listed(walker->unwinder->modules, next), next) &&
           what_is_before(walker, next, &target) == BEFORE_CALL;
}

// Code of a library without rules that does not return: its caller's address is among the next on
// the stack, and a call to this code has left it. So may have older calls, in what was not written
// since; the one counts that explains most, and of equal ones the nearest. The search goes up to
// `high`, for more than explains `best`. Where it meets the end of the stack there is no caller:
// this is what starts a thread or the program. That is kept, for it takes long to find.
enum hone_step hone_walker_search(struct hone_walker *walker, struct hone_position *at,
                                  uint64_t high, uint64_t best)
{
    bool stale;
    struct hone_modules *modules = walker->unwinder->modules;
    const struct hone_module *module = hone_modules_find(modules, at->address, &stale);
    const struct hone_stack *stack = hone_walker_stack(walker, at->sp);
    if (!module || !stack)
        return HONE_STEP_NO_RULE;
    const bool whole = high > stack->high;
    const uint64_t words = ((whole ? stack->high : high) - at->sp) / HONE_WORD_BYTES;
    uint64_t limit = words < SEARCH_WORDS ? words : SEARCH_WORDS;
    const uint64_t own_bytes = walker->unwinder->own_high - walker->unwinder->own_low;
    uint64_t found = 0, found_at = 0;
    for (uint64_t i = 0; i < limit; i++) {
        uint64_t word;
        if (!hone_memory_load(&walker->memory, at->sp + i * HONE_WORD_BYTES, &word))
            return HONE_STEP_UNREADABLE;
        if (!hone_module_is_code(hone_modules_listed(modules, word), word) ||
            word - walker->unwinder->own_low < own_bytes)
            continue;
        if (walker->search_tries == 0)
            return HONE_STEP_NO_RULE;
        walker->search_tries--;
        uint64_t value = hone_walker_explains(walker, module, word, at->address);
        uint64_t slot = at->sp + i * HONE_WORD_BYTES;
        if (value <= best || slot % 16 != CALLED_ALIGNMENT ||
            !leads_on(walker, word, slot + HONE_WORD_BYTES))
            continue;
        if (value > HONE_CALLED_OTHERS && best <= HONE_CALLED_OTHERS && limit > i + SEARCH_ON_WORDS)
            limit = i + SEARCH_ON_WORDS;
        best = value;
        found = word;
        found_at = slot;
    }
    if (found) {
        walker->result->guessed = true;
        uint64_t sp = found_at + HONE_WORD_BYTES;
        *at = (struct hone_position){found - 1, sp,
                                     hone_walker_rescue_fp(walker, at->fp, at->sp, sp), false};
        return HONE_STEP_ON;
    }
    if (words > SEARCH_WORDS || !whole || at->exact)
        return HONE_STEP_NO_RULE;
    if (hone_walker_may_cache(walker))
        hone_cache_put(hone_cache_set(walker->unwinder, at->address),
                       hone_cache_key(at->address, walker->generation), HONE_ROW_OUTERMOST);
    return HONE_STEP_OUTERMOST;
}
