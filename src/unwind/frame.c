#include "unwind/frame.h"

#include "unwind/arch/arch.h"
#include "unwind/expression.h"

static enum hone_step block(const struct hone_cfi *cfi, int64_t at, const struct hone_frame *frame,
                            const uint64_t *first, struct hone_memory *memory, uint64_t *ret)
{
    const uint8_t *end = cfi->frames.at + cfi->frames.size;
    return hone_expression(cfi->frames.at + at, end, frame, first, memory, ret);
}

static enum hone_step find_cfa(const struct hone_frame *frame, const struct hone_cfi *cfi,
                               const struct hone_rules *rules, struct hone_memory *memory,
                               uint64_t *ret)
{
    if (rules->cfa_is_expression)
        return block(cfi, rules->cfa_expression, frame, NULL, memory, ret);
    if (!(frame->known & 1ull << rules->cfa_register))
        return HONE_STEP_UNKNOWN;
    *ret = frame->r[rules->cfa_register] + (uint64_t)rules->cfa_offset;
    return HONE_STEP_ON;
}

static enum hone_step recover(const struct hone_frame *frame, const struct hone_cfi *cfi,
                              hone_rule rule, uint64_t cfa, struct hone_memory *memory,
                              uint64_t *ret)
{
    int64_t value = hone_rule_value(rule);
    uint64_t at = cfa + (uint64_t)value;
    enum hone_step step;
    switch (hone_rule_kind(rule)) {
    case HONE_RULE_VAL_OFFSET:
        *ret = at;
        return HONE_STEP_ON;
    case HONE_RULE_REGISTER:
        if (!(frame->known & 1ull << value))
            return HONE_STEP_UNKNOWN;
        *ret = frame->r[value];
        return HONE_STEP_ON;
    case HONE_RULE_VAL_EXPRESSION:
        return block(cfi, value, frame, &cfa, memory, ret);
    case HONE_RULE_EXPRESSION:
        step = block(cfi, value, frame, &cfa, memory, &at);
        if (step != HONE_STEP_ON)
            return step;
        __attribute__((fallthrough));
    case HONE_RULE_OFFSET:
        return hone_memory_load(memory, at, ret) ? HONE_STEP_ON : HONE_STEP_UNREADABLE;
    case HONE_RULE_SAME:
    case HONE_RULE_UNDEFINED:
        break;
    }
    return HONE_STEP_BAD_RULE;
}

// gcc says of realigned stacks that the caller's fp is saved at *fp, in the two instructions too
// where fp still is, or again is, the caller's own. The frame's own lies between sp and CFA.
static bool is_callers_fp_still(const struct hone_frame *frame, const struct hone_cfi *cfi,
                                const struct hone_rules *rules, uint64_t cfa)
{
    hone_rule rule = rules->registers[HONE_REGISTER_FP];
    int64_t at = hone_rule_value(rule);
    if (hone_rule_kind(rule) != HONE_RULE_EXPRESSION || rules->cfa_is_expression ||
        cfi->frames.size - (uint64_t)at < sizeof hone_arch_fp_at_fp)
        return false;
    for (size_t i = 0; i < sizeof hone_arch_fp_at_fp; i++)
        if (cfi->frames.at[at + (int64_t)i] != hone_arch_fp_at_fp[i])
            return false;
    uint64_t fp = frame->r[HONE_REGISTER_FP];
    return fp < frame->r[HONE_REGISTER_SP] || fp >= cfa;
}

// A register without which the walk goes on, until a rule needs it.
static bool may_be_lost(enum hone_step step, unsigned column, const struct hone_memory *memory)
{
    if (column == HONE_REGISTER_IP || column == HONE_REGISTER_SP)
        return false;
    if (step == HONE_STEP_UNREADABLE)
        return hone_memory_is_partial(memory);
    return step == HONE_STEP_UNKNOWN && column != HONE_REGISTER_FP;
}

enum hone_step hone_frame_step(struct hone_frame *frame, const struct hone_cfi *cfi,
                               const struct hone_rules *rules, bool signal_frame,
                               struct hone_memory *memory)
{
    hone_rule return_rule = rules->registers[HONE_REGISTER_RETURN];
    enum hone_rule_kind return_kind = hone_rule_kind(return_rule);
    if (return_kind == HONE_RULE_UNDEFINED)
        return HONE_STEP_OUTERMOST;
    // Where calls set a register, it is there until this function calls another one.
    if (return_kind == HONE_RULE_SAME && (HONE_CALL_PUSHES || !frame->exact))
        return HONE_STEP_BAD_RULE;
    if (return_kind == HONE_RULE_SAME && !(frame->known & 1ull << HONE_REGISTER_RETURN))
        return HONE_STEP_UNKNOWN;
    uint64_t cfa;
    enum hone_step step = find_cfa(frame, cfi, rules, memory, &cfa);
    if (step != HONE_STEP_ON)
        return step;

    struct hone_frame caller = *frame;
    caller.r[HONE_REGISTER_SP] = cfa; // unless a rule says otherwise
    // glibc's aarch64 resolver of symbols forgets what the linker's stub before it has pushed: the
    // return address would lie above its own frame.
    if (!HONE_CALL_PUSHES && return_kind == HONE_RULE_OFFSET && hone_rule_value(return_rule) >= 0)
        caller.r[HONE_REGISTER_SP] += (uint64_t)hone_rule_value(return_rule) + 8;
    for (unsigned i = 0; i < HONE_REGISTER_COUNT; i++) {
        enum hone_rule_kind kind = hone_rule_kind(rules->registers[i]);
        // A lost register keeps its bits: whoever declares it lost does not need it.
        if (kind == HONE_RULE_SAME || kind == HONE_RULE_UNDEFINED)
            continue;
        if (i == HONE_REGISTER_FP && is_callers_fp_still(frame, cfi, rules, cfa))
            continue;
        step = recover(frame, cfi, rules->registers[i], cfa, memory, &caller.r[i]);
        if (step == HONE_STEP_ON) {
            caller.known |= 1ull << i;
        } else if (may_be_lost(step, i, memory)) {
            caller.known &= ~(1ull << i);
        } else {
            return step;
        }
    }
    caller.r[HONE_REGISTER_IP] = hone_arch_code(caller.r[HONE_REGISTER_RETURN]);
    caller.known |= 1ull << HONE_REGISTER_IP;
    caller.exact = signal_frame;
    *frame = caller;
    return HONE_STEP_ON;
}
