// Callers of code without rules, told by that code itself: what is left of the function is followed
// to where it returns (arch/way_out_*.c), which says where its return address lies and its caller's
// frame pointer. Kept in the address's row, as a rule would be.
#include "unwind/trail_word.h"

enum {
    LOOKED_AT_MAX = 1000, // instructions behind one address
    STACK_ALIGNMENT = 16, // where functions are called
};

// The row that the code at an address tells, as if there were rules for it; HONE_ROW_BAD: none.
static uint64_t ask_code(struct hone_walker *walker, const struct hone_position *at)
{
    const struct hone_module *module = hone_modules_listed(walker->unwinder->modules, at->address);
    if (!hone_module_is_code(module, at->address))
        return HONE_ROW_BAD;
    const struct hone_code_range range = {module->text_start, module->text_end};
    const unsigned given = walker->code_left < LOOKED_AT_MAX ? walker->code_left : LOOKED_AT_MAX;
    unsigned left = given;
    struct hone_way_out out;
    const bool told = hone_arch_way_out(&walker->memory, at->address + !at->exact, !at->exact,
                                        &range, &left, &out);
    walker->code_left -= given - left;
    if (!told && left == 0 && given < LOOKED_AT_MAX)
        return HONE_ROW_NONE; // another walk has more to spend
    if (!told || out.fp_at % HONE_WORD_BYTES || out.fp_at < INT16_MIN * HONE_WORD_BYTES)
        return HONE_ROW_BAD;
    return (uint64_t)(uint32_t)out.cfa << 32 |
           (uint64_t)(uint16_t)(out.fp_at / HONE_WORD_BYTES) << 16 |
           (out.by_fp ? HONE_ROW_FP : HONE_ROW_SP);
}

static uint64_t row_by_code(struct hone_walker *walker, const struct hone_position *at)
{
    struct hone_row_slot *set = hone_cache_set(walker->unwinder, at->address);
    const uint64_t key = hone_cache_key(at->address, walker->generation);
    const uint64_t kept = hone_cache_get(set, key);
    const uint64_t told = hone_row_extra(kept);
    if (!hone_walker_may_cache(walker))
        return ask_code(walker, at);
    if (hone_row_kind(kept) != HONE_ROW_NO_RULES)
        return HONE_ROW_BAD;
    if (told)
        return (kept & ~(uint64_t)0xffff) | told;
    const uint64_t row = ask_code(walker, at);
    if (row != HONE_ROW_NONE)
        hone_cache_put(set, key, (row & ~(uint64_t)15) | (row & 15) << 4 | HONE_ROW_NO_RULES);
    return row;
}

bool hone_walker_follow_code(struct hone_walker *walker, struct hone_position *at)
{
    const uint64_t row = row_by_code(walker, at);
    const enum hone_row_kind kind = hone_row_kind(row);
    if ((kind != HONE_ROW_SP && kind != HONE_ROW_FP) || (kind == HONE_ROW_FP && walker->fp_unknown))
        return false;
    const uint64_t cfa = (kind == HONE_ROW_SP ? at->sp : at->fp) + (uint64_t)hone_row_offset(row);
    const int64_t fp_at = hone_row_fp_at(row);
    uint64_t return_address, fp = at->fp;
    if (cfa <= at->sp || cfa - at->sp > HONE_FRAME_BYTES_MAX || cfa % STACK_ALIGNMENT ||
        !hone_memory_load(&walker->memory, cfa - HONE_WORD_BYTES, &return_address) ||
        (fp_at && !hone_memory_load(&walker->memory, cfa + (uint64_t)fp_at, &fp)) ||
        !hone_walker_called(walker, return_address))
        return false;
    walker->fp_unknown &= !fp_at;
    walker->stepped = hone_trail_by_row(row);
    *at = (struct hone_position){return_address - 1, cfa, fp, false};
    return true;
}
