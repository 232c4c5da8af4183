// The rules of one address packed into a word, for the walk that follows only ip, sp and fp.
//
//   63            32 31      16 15            4 3    0
//  +----------------+----------+---------------+------+
//  |   CFA offset   | fp saved |     extra     | kind |
//  +----------------+----------+---------------+------+
//
// "fp saved" is its distance from the CFA in words, 0 for not saved. Where calls push the return
// address it lies just below the CFA; where they do not, "extra" of the first two kinds is how many
// words below, 0 for not saved. Of code without rules "extra" is the kind that its own instructions
// tell of (HONE_ROW_SP or HONE_ROW_FP), 0 before they were asked and HONE_ROW_BAD when they tell of
// none. A row of zeros is none.
#ifndef HONE_UNWIND_ROW_H
#define HONE_UNWIND_ROW_H

#include "unwind/cfi.h"

enum hone_row_kind {
    HONE_ROW_NONE = 0,
    HONE_ROW_SP,       // CFA = sp + offset
    HONE_ROW_FP,       // CFA = fp + offset
    HONE_ROW_FP_DEREF, // CFA = *(fp + offset) + extra words: gcc's realigned stacks
    HONE_ROW_SP_DEREF, // CFA = *(sp + offset) + extra words: hand-written code with an aligned sp
    HONE_ROW_PLT,      // CFA = sp + offset, and a word more from byte `extra` of an entry's 16 on
    HONE_ROW_OUTERMOST,
    HONE_ROW_GENERAL,  // anything else: hone_frame_step()
    HONE_ROW_NO_RULES, // a module without rules for this address
    HONE_ROW_BAD,      // or with broken ones
};

enum { HONE_ROW_EXTRA_MAX = 0xfff };

static inline enum hone_row_kind hone_row_kind(uint64_t row)
{
    return (enum hone_row_kind)(row & 15);
}

static inline int64_t hone_row_offset(uint64_t row)
{
    return (int64_t)row >> 32;
}

// In bytes from the CFA.
static inline int64_t hone_row_fp_at(uint64_t row)
{
    return (int64_t)(int16_t)(row >> 16) * 8;
}

static inline uint64_t hone_row_extra(uint64_t row)
{
    return row >> 4 & HONE_ROW_EXTRA_MAX;
}

// How far below the CFA the return address lies, in bytes; 0: it is in its register.
static inline uint64_t hone_row_return_below(uint64_t row)
{
    return HONE_CALL_PUSHES ? 8 : 8 * hone_row_extra(row);
}

// Packs what hone_cfi_rules() found; HONE_ROW_GENERAL when it does not fit.
HONE_SIGSAFE uint64_t hone_row_pack(const struct hone_cfi *cfi, const struct hone_rules *rules,
                                    bool signal_frame);

#endif
