#include "unwind/row.h"

#include "unwind/cursor.h"

enum { WORD_BYTES = 8 };

static uint64_t make(enum hone_row_kind kind, int64_t offset, int64_t fp_words, uint64_t extra)
{
    return (uint64_t)offset << 32 | (uint64_t)(uint16_t)fp_words << 16 | extra << 4 |
           (uint64_t)kind;
}

// The two expressions that make up nearly all of those in Debian's libraries.
enum {
    OP_DEREF = 0x06,
    OP_AND = 0x1a,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_GE = 0x2a,
    OP_LIT0 = 0x30,
    OP_LIT3 = 0x33,
    OP_LIT15 = 0x3f,
    OP_BREG0 = 0x70,
};

// breg(fp or sp) offset, deref[, plus_uconst extra].
static uint64_t pack_deref(struct hone_cursor cursor, int64_t fp_words)
{
    uint8_t column = (uint8_t)(hone_cursor_u8(&cursor) - OP_BREG0);
    int64_t offset = hone_cursor_sleb(&cursor);
    if (hone_cursor_u8(&cursor) != OP_DEREF)
        return HONE_ROW_GENERAL;
    uint64_t extra = 0;
    if (hone_cursor_left(&cursor)) {
        if (hone_cursor_u8(&cursor) != OP_PLUS_UCONST)
            return HONE_ROW_GENERAL;
        extra = hone_cursor_uleb(&cursor);
    }
    if (cursor.broken || hone_cursor_left(&cursor) || extra % WORD_BYTES ||
        extra / WORD_BYTES > UINT8_MAX || offset != (int32_t)offset)
        return HONE_ROW_GENERAL;
    if (column == HONE_REGISTER_FP)
        return make(HONE_ROW_FP_DEREF, offset, fp_words, extra / WORD_BYTES);
    if (column == HONE_REGISTER_SP)
        return make(HONE_ROW_SP_DEREF, offset, fp_words, extra / WORD_BYTES);
    return HONE_ROW_GENERAL;
}

// What linkers write for a procedure linkage table, whose entries push a word half-way:
// breg(sp) offset, breg(ip) 0, lit15, and, lit(extra), ge, lit3, shl, plus.
static uint64_t pack_plt(struct hone_cursor cursor)
{
    if (hone_cursor_u8(&cursor) != OP_BREG0 + HONE_REGISTER_SP)
        return HONE_ROW_GENERAL;
    int64_t offset = hone_cursor_sleb(&cursor);
    static const uint8_t middle[] = {OP_BREG0 + HONE_REGISTER_IP, 0, OP_LIT15, OP_AND};
    static const uint8_t tail[] = {OP_GE, OP_LIT3, OP_SHL, OP_PLUS};
    for (size_t i = 0; i < sizeof middle; i++)
        if (hone_cursor_u8(&cursor) != middle[i])
            return HONE_ROW_GENERAL;
    uint8_t literal = hone_cursor_u8(&cursor);
    for (size_t i = 0; i < sizeof tail; i++)
        if (hone_cursor_u8(&cursor) != tail[i])
            return HONE_ROW_GENERAL;
    if (cursor.broken || hone_cursor_left(&cursor) || literal < OP_LIT0 || literal > OP_LIT15 ||
        offset != (int32_t)offset)
        return HONE_ROW_GENERAL;
    return make(HONE_ROW_PLT, offset, 0, literal - OP_LIT0);
}

static uint64_t pack_expression(const struct hone_cfi *cfi, int64_t at, int64_t fp_words)
{
    struct hone_cursor cursor = {cfi->frames.at + at, cfi->frames.at + cfi->frames.size, false};
    uint64_t length = hone_cursor_uleb(&cursor);
    if (cursor.broken || length > hone_cursor_left(&cursor))
        return HONE_ROW_BAD;
    cursor.end = cursor.at + length;
    uint64_t row = pack_deref(cursor, fp_words);
    if (row == HONE_ROW_GENERAL && fp_words == 0)
        row = pack_plt(cursor);
    return row;
}

// Where the return address is, as "extra" says it.
static bool pack_return(hone_rule rule, uint64_t *ret)
{
    *ret = 0;
    if (HONE_CALL_PUSHES)
        return rule == hone_rule_make(HONE_RULE_OFFSET, -WORD_BYTES);
    int64_t below = -hone_rule_value(rule);
    if (hone_rule_kind(rule) == HONE_RULE_SAME)
        return true; // still in its register
    if (hone_rule_kind(rule) != HONE_RULE_OFFSET || below <= 0 || below % WORD_BYTES ||
        below / WORD_BYTES > HONE_ROW_EXTRA_MAX)
        return false;
    *ret = (uint64_t)below / WORD_BYTES;
    return true;
}

uint64_t hone_row_pack(const struct hone_cfi *cfi, const struct hone_rules *rules,
                       bool signal_frame)
{
    hone_rule back = rules->registers[HONE_REGISTER_RETURN];
    if (hone_rule_kind(back) == HONE_RULE_UNDEFINED)
        return HONE_ROW_OUTERMOST;
    hone_rule sp = rules->registers[HONE_REGISTER_SP];
    uint64_t extra = 0;
    if (signal_frame || !pack_return(back, &extra) ||
        (hone_rule_kind(sp) != HONE_RULE_SAME && hone_rule_kind(sp) != HONE_RULE_UNDEFINED))
        return HONE_ROW_GENERAL;

    hone_rule fp = rules->registers[HONE_REGISTER_FP];
    int64_t fp_words = 0;
    if (hone_rule_kind(fp) == HONE_RULE_OFFSET) {
        fp_words = hone_rule_value(fp) / WORD_BYTES;
        if (hone_rule_value(fp) % WORD_BYTES || fp_words == 0 || fp_words != (int16_t)fp_words)
            return HONE_ROW_GENERAL;
    } else if (hone_rule_kind(fp) != HONE_RULE_SAME && hone_rule_kind(fp) != HONE_RULE_UNDEFINED) {
        return HONE_ROW_GENERAL;
    }

    if (rules->cfa_is_expression)
        return HONE_CALL_PUSHES ? pack_expression(cfi, rules->cfa_expression, fp_words)
                                : HONE_ROW_GENERAL;
    if (rules->cfa_offset != (int32_t)rules->cfa_offset)
        return HONE_ROW_GENERAL;
    if (rules->cfa_register == HONE_REGISTER_SP)
        return make(HONE_ROW_SP, rules->cfa_offset, fp_words, extra);
    if (rules->cfa_register == HONE_REGISTER_FP)
        return make(HONE_ROW_FP, rules->cfa_offset, fp_words, extra);
    return HONE_ROW_GENERAL;
}
