// What a frame of a trail says of the step to its caller:
//
//   63  62   61                       48 47                            32 31                     0
//  +---+---+---+-----------------------+--------------------------------+-------------------------+
//  |   | L | F |                       |  return address below the CFA  |  fp saved, from the CFA |
//  +---+---+---+-----------------------+--------------------------------+-------------------------+
//
// fp saved: 0 where it was not; 1: the step cannot be verified. F: the CFA was found by fp. L: what
// fp holds in this frame matters, for a frame from here on is found by it before it is loaded anew.
// Most code uses the register for other things: what is saved of it there is another value every
// time, and does not matter.
#ifndef HONE_UNWIND_TRAIL_WORD_H
#define HONE_UNWIND_TRAIL_WORD_H

#include "unwind/walker.h"

#define HONE_TRAIL_NOT_REUSABLE ((uint64_t)1)
#define HONE_TRAIL_BY_FP ((uint64_t)1 << 61)
#define HONE_TRAIL_FP_MATTERS ((uint64_t)1 << 62)
enum { HONE_TRAIL_RETURN_SHIFT = 32 };

static inline uint64_t hone_trail_saved(int64_t fp_at, uint64_t return_below)
{
    return (uint32_t)fp_at | return_below << HONE_TRAIL_RETURN_SHIFT;
}

// Where no row says it. Programs without rules keep frame pointers (Chromium); to find out that one
// leads to the caller and not past it takes microseconds, and need not be done again while the
// frame, its frame pointer and its return address are the same.
static inline uint64_t hone_trail_by_frame_pointer(void)
{
    return HONE_CALL_PUSHES
               ? hone_trail_saved(-2 * HONE_WORD_BYTES, HONE_WORD_BYTES) | HONE_TRAIL_BY_FP
               : HONE_TRAIL_NOT_REUSABLE;
}

// What a trail frame remembers of its row, one of the two common ones.
static inline uint64_t hone_trail_by_row(uint64_t row)
{
    _Static_assert(HONE_ROW_SP == 1 && HONE_ROW_FP == 2, "one bit tells them apart");
    return hone_trail_saved(hone_row_fp_at(row), hone_row_return_below(row)) |
           (row & HONE_ROW_FP) * (HONE_TRAIL_BY_FP / HONE_ROW_FP);
}

#endif
