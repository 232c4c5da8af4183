// The trail of a thread's last walk, being replaced by that of this one. Where both meet, what is
// left is not walked but verified: one load and compare for each return address and saved register.
// Private to the walks of our own process.
#ifndef HONE_UNWIND_WALK_TRAIL_H
#define HONE_UNWIND_WALK_TRAIL_H

#include "unwind/trail_word.h"

static inline bool hone_trail_is_reusable(const struct hone_trail_frame *frame)
{
    return (uint32_t)frame->saved != HONE_TRAIL_NOT_REUSABLE;
}

static inline int64_t hone_trail_fp_at(const struct hone_trail_frame *frame)
{
    return (int32_t)(uint32_t)frame->saved;
}

static inline uint64_t hone_trail_return_below(const struct hone_trail_frame *frame)
{
    return HONE_CALL_PUSHES ? HONE_WORD_BYTES : frame->saved >> HONE_TRAIL_RETURN_SHIFT & 0xffff;
}

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

// Frames verified one after another from tracker->old on. Their addresses are written, but for the
// last one's, which becomes the position to go on from.
__attribute__((no_sanitize("address"))) static size_t verify(struct hone_walker *walker,
                                                             struct hone_tracker *tracker,
                                                             struct hone_position *at, size_t count)
{
    struct hone_trail_frame *frame = &tracker->trail->frames[tracker->old];
    const struct hone_trail_frame *last = &tracker->trail->frames[HONE_STACK_DEPTH_MAX - 1];
    const struct hone_trail_frame *end = last;
    if ((size_t)(last - frame) >= walker->max - count)
        end = frame + (walker->max - count - 1); // the position's own address is written, too
    const uint64_t low = walker->memory.low;
    const uint64_t size = walker->memory.words_end - low;
    size_t begin = count;
    uint64_t *to = walker->addresses + count;
    uint64_t fp = at->fp;
    frame->fp = fp;
    for (; frame < end && hone_trail_is_reusable(frame); frame++) {
        const uint64_t sp = frame[1].sp;
        const uint64_t return_at = sp - hone_trail_return_below(frame);
        if (return_at - low >= size || hone_arch_code(HONE_LOAD(return_at)) != frame[1].ip + 1)
            break;
        const int64_t fp_from = hone_trail_fp_at(frame);
        if (fp_from) {
            const uint64_t fp_at = sp + (uint64_t)fp_from;
            if (fp_at - low >= size)
                break;
            const uint64_t next_fp = HONE_LOAD(fp_at);
            if (next_fp != frame[1].fp && frame[1].saved & HONE_TRAIL_FP_MATTERS)
                break;
            fp = next_fp;
        } else if (fp != frame[1].fp && frame[1].saved & HONE_TRAIL_FP_MATTERS) {
            break;
        }
        frame[1].fp = fp;
        *to++ = frame->ip;
    }
    count = (size_t)(to - walker->addresses);
    if (count == begin)
        return count;
    walker->result->reused += (uint32_t)(count - begin);
    uint32_t run = tracker->old;
    tracker->old = (uint32_t)(frame - tracker->trail->frames);
    *at = (struct hone_position){frame->ip, frame->sp, fp, false};
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
    if (frame->sp == at->sp && frame->ip == at->address &&
        (frame->fp == at->fp || !(frame->saved & HONE_TRAIL_FP_MATTERS)))
        return verify(walker, tracker, at, count);
    return count;
}

// After each step, from a frame at `from`.
static inline void hone_tracker_follow(struct hone_tracker *tracker,
                                       const struct hone_position *from, uint64_t saved,
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

// The fresh frames go to where they belong, from the outermost to the innermost, and are told in
// which of them fp matters. Beyond the last frame of all it does, for all we know. Returns how many
// outermost frames stayed where they were.
static inline uint32_t hone_tracker_settle(struct hone_tracker *tracker)
{
    struct hone_trail *trail = tracker->trail;
    trail->first = HONE_STACK_DEPTH_MAX;
    if (tracker->overflow)
        return 0;
    uint64_t matters = tracker->run < HONE_STACK_DEPTH_MAX
                           ? trail->frames[tracker->run].saved & HONE_TRAIL_FP_MATTERS
                           : HONE_TRAIL_FP_MATTERS;
    struct hone_trail_frame *to = &trail->frames[tracker->run];
    for (uint32_t i = tracker->fresh; i-- > 0;) {
        const struct hone_trail_frame *from = &trail->frames[i];
        // Word by word: what was just stored so and is loaded as a whole makes the processor wait.
        const uint64_t ip = from->ip, sp = from->sp, fp = from->fp, saved = from->saved;
        if (saved & HONE_TRAIL_BY_FP || !hone_trail_is_reusable(from))
            matters = HONE_TRAIL_FP_MATTERS;
        else if (hone_trail_fp_at(from))
            matters = 0;
        to--;
        to->ip = ip;
        to->sp = sp;
        to->fp = fp;
        to->saved = (saved & ~HONE_TRAIL_FP_MATTERS) | matters;
    }
    trail->first = (uint32_t)(to - trail->frames);
    return HONE_STACK_DEPTH_MAX - tracker->run;
}

#endif
