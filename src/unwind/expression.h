// DWARF expressions (DWARF 4 section 2.5) as call frame information uses them.
#ifndef HONE_UNWIND_EXPRESSION_H
#define HONE_UNWIND_EXPRESSION_H

#include "unwind/cfi.h"
#include "unwind/frame.h"
#include "unwind/memory.h"

// Evaluates the expression whose length is at `at` (of `end`), on a stack that holds `*first` to
// begin with, if given. `frame` is the callee's.
//
// Returns  HONE_STEP_ON and the value, or why there is none.
HONE_SIGSAFE enum hone_step hone_expression(const uint8_t *at, const uint8_t *end,
                                            const struct hone_frame *frame, const uint64_t *first,
                                            struct hone_memory *memory, uint64_t *ret);

#endif
