// One body for all walks, compiled into each kind: the fast path, which follows three registers by
// packed rows. Whatever a row cannot say goes through hone_walker_step().
#ifndef HONE_UNWIND_WALK_BODY_H
#define HONE_UNWIND_WALK_BODY_H

#include "unwind/walk_trail.h"

static inline enum hone_walk_end end_of(enum hone_step step)
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

// `tracker` is a constant NULL where no trail is kept, `foreign` a constant true in the walk of
// another process: walks of our own pay nothing for it.
__attribute__((always_inline, no_sanitize("address"))) static inline void
hone_walker_walk(struct hone_walker *walker, struct hone_position at, struct hone_tracker *tracker,
                 bool foreign)
{
    struct hone_unwinder *unwinder = walker->unwinder;
    enum hone_step step = HONE_STEP_ON;
    size_t count = walker->first;
    while (count < walker->max) {
        if (HONE_UNLIKELY(walker->landing) && count == 1)
            at = (struct hone_position){at.address + 1, at.sp, at.fp, true};
        if (tracker)
            count = hone_tracker_pass(walker, tracker, &at, count);
        walker->addresses[count++] = at.address;
        uint64_t row = hone_cache_get(hone_cache_set(unwinder, at.address),
                                      hone_cache_key(at.address, walker->generation));
        if (HONE_UNLIKELY(row == HONE_ROW_NONE))
            row = hone_walker_find_row(walker, at.address);

        if (HONE_LIKELY(hone_row_kind(row) - HONE_ROW_SP <= HONE_ROW_FP - HONE_ROW_SP) &&
            !(foreign && walker->fp_unknown)) {
            uint64_t base = hone_row_kind(row) == HONE_ROW_SP ? at.sp : at.fp;
            uint64_t cfa = base + (uint64_t)hone_row_offset(row);
            int64_t fp_at = hone_row_fp_at(row);
            uint64_t below = hone_row_return_below(row);
            uint64_t return_at = cfa - below;
            uint64_t saved_at = fp_at ? cfa + (uint64_t)fp_at : return_at;
            // Bitwise: one branch that is never taken.
            if (HONE_LIKELY((unsigned)(cfa > at.sp) & (cfa % HONE_WORD_BYTES == 0) &
                            (HONE_CALL_PUSHES || (below && !walker->sp_lost)) &
                            hone_memory_inside(&walker->memory, return_at) &
                            hone_memory_inside(&walker->memory, saved_at))) {
                uint64_t shift = foreign ? walker->memory.shift : 0;
                uint64_t return_address = hone_arch_code(HONE_LOAD(return_at + shift));
                uint64_t saved = HONE_LOAD(saved_at + shift);
                if (tracker)
                    hone_tracker_follow(tracker, &at, hone_trail_by_row(row), true);
                if (HONE_UNLIKELY(return_address == 0)) {
                    step = hone_walker_without_caller(walker, fp_at ? saved : at.fp);
                    break;
                }
                at.address = return_address - 1;
                at.sp = cfa;
                at.fp = fp_at ? saved : at.fp;
                at.exact = false;
                continue;
            }
        }
        // A copy, so that `at` itself, which has no address, stays in registers.
        struct hone_position to = at;
        walker->stepped = HONE_TRAIL_NOT_REUSABLE;
        step = hone_walker_step(walker, &to, row, count - 1);
        const struct hone_position from = at;
        at = to;
        if (HONE_UNLIKELY(step == HONE_STEP_REPLACED)) {
            count--;
            step = HONE_STEP_ON;
            continue;
        }
        if (tracker)
            hone_tracker_follow(tracker, &from, walker->stepped, step == HONE_STEP_ON);
        if (step != HONE_STEP_ON)
            break;
    }
    walker->result->count = (uint32_t)count;
    walker->result->end = end_of(step);
    walker->result->stale = walker->stale;
    if (foreign) {
        walker->result->end_address = at.address;
        walker->result->end_sp = at.sp;
        walker->result->end_fp_unknown = walker->fp_unknown;
    }
}

#endif
