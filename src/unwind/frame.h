// One frame with all its registers, and the general step to its caller by any rule that there is.
#ifndef HONE_UNWIND_FRAME_H
#define HONE_UNWIND_FRAME_H

#include "unwind/cfi.h"
#include "unwind/memory.h"

struct hone_frame {
    uint64_t r[HONE_REGISTER_COUNT];
    uint64_t known; // a bit for each register that we have
    bool exact;     // r[IP] is where it was interrupted, not where a call returns to
};

enum hone_step {
    HONE_STEP_ON,         // the frame is its caller now
    HONE_STEP_REPLACED,   // the frame was not what its callee's rules said, and is put right
    HONE_STEP_OUTERMOST,  // it has none
    HONE_STEP_UNKNOWN,    // a register was needed that we do not know: begin further in
    HONE_STEP_UNREADABLE, // a load failed
    HONE_STEP_BAD_RULE,   // broken rules, or beyond our limits
    HONE_STEP_BAD_FRAME,  // the caller would not lie above its callee
    HONE_STEP_NO_RULE,    // no rules and no frame pointer
    HONE_STEP_STALE,      // likewise, in a module that could not be added to the table
};

// The address to look rules up for: inside the call for a caller.
static inline uint64_t hone_frame_address(const struct hone_frame *frame)
{
    return frame->r[HONE_REGISTER_IP] - !frame->exact;
}

// Steps by `rules`. Unless the result is HONE_STEP_ON, the frame is as it was.
HONE_SIGSAFE enum hone_step hone_frame_step(struct hone_frame *frame, const struct hone_cfi *cfi,
                                            const struct hone_rules *rules, bool signal_frame,
                                            struct hone_memory *memory);

#endif
