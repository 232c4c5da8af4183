// The trail of a thread's last walk, being replaced by that of this one. Where both meet, what is
// left is not walked but verified: one load and compare for each return address and saved register.
// Private to the walks of our own process.
#ifndef HONE_UNWIND_WALK_TRAIL_H
#define HONE_UNWIND_WALK_TRAIL_H

#include "unwind/walker.h"

// What a trail frame saved, where no row says so. Programs without rules keep frame pointers
// (Chromium); to find out that one leads to the caller and not past it takes microseconds, and need
// not be done again while the frame, its frame pointer and its return address are the same.
enum {
    HONE_TRAIL_NOT_REUSABLE = 1,
    HONE_TRAIL_BY_FRAME_POINTER =
        HONE_CALL_PUSHES ? -2 * (int)HONE_WORD_BYTES : HONE_TRAIL_NOT_REUSABLE,
};

// Frames of the last walk are passed one by one; new
// ones collect at the front, in the room that passing makes, and move to their place at the end.
struct hone_tracker {
    struct hone_trail *trail;
    uint32_t old;   // first frame of the last walk not passed yet
    uint32_t fresh; // frames of this walk
    uint32_t run;   // a run of verified frames, to the last, begins here; or the end: none
    bool overflow;
};

static void track(struct hone_tracker *tracker, struct hone_trail_frame frame)
{
    if (tracker->fresh < tracker->old && tracker->fresh < tracker->run)
        tracker->trail->frames[tracker->fresh++] = frame;
    else
        tracker->overflow = true;
}

// What a trail frame remembers of its row.
static inline int64_t hone_tracker_saved_by(uint64_t row)
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
    return HONE_CALL_PUSHES ? HONE_WORD_BYTES : (uint64_t)saved >> 32;
}

// Frames verified one after another from tracker->old on. Their addresses are written, but for the
// last one's, which becomes the position to go on from.
__attribute__((no_sanitize("address"))) static size_t verify(struct hone_walker *walker,
                                                             struct hone_tracker *tracker,
                                                             struct hone_position *at, size_t count)
{
    const struct hone_trail_frame *frame = &tracker->trail->frames[tracker->old];
    const struct hone_trail_frame *last = &tracker->trail->frames[HONE_STACK_DEPTH_MAX - 1];
    const uint64_t low = walker->memory.low;
    const uint64_t size = walker->memory.words_end - low;
    size_t begin = count;
    for (; frame < last && frame->saved != HONE_TRAIL_NOT_REUSABLE && count + 1 < walker->max;
         frame++) {
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
    *at = (struct hone_position){frame->ip, frame->sp, frame->fp, false};
    if (frame == last)
        tracker->run = run; // stays where it is, we hope
    else
        for (; run < tracker->old; run++)
            track(tracker, tracker->trail->frames[run]);
    return count;
}

// Before each frame: whether the last walk came by here.
static inline size_t hone_tracker_pass(struct hone_walker *walker, struct hone_tracker *tracker,
                                       struct hone_position *at, size_t count)
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
static inline void hone_tracker_follow(struct hone_tracker *tracker,
                                       const struct hone_position *from, int64_t saved,
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

// Returns how many outermost frames stayed where they were.
static inline uint32_t hone_tracker_settle(struct hone_tracker *tracker)
{
    struct hone_trail *trail = tracker->trail;
    trail->first = HONE_STACK_DEPTH_MAX;
    if (tracker->overflow)
        return 0;
    trail->first = tracker->run - tracker->fresh;
    __builtin_memmove(&trail->frames[trail->first], trail->frames,
                      tracker->fresh * sizeof trail->frames[0]);
    return HONE_STACK_DEPTH_MAX - tracker->run;
}

#endif
