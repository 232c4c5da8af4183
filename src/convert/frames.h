// What writers print of a profile's stacks: frames with names, numbered, the same one wherever it
// occurs. Private to this room.
#ifndef HONE_CONVERT_FRAMES_H
#define HONE_CONVERT_FRAMES_H

#include "base/arena.h"
#include "profile/profile.h"

// A function, inlined ones too, or what is known of an address without one.
struct hone_frame {
    struct hone_str name; // never empty: "[libz.so.1]" or "<unknown>" where there is no function
    uint32_t function;    // 0 none
    uint32_t mapping;     // 0 unknown
    int64_t line;         // 0 unless frames are told apart by line
};

// The frames of a location, outermost function first, are at[first[location] …
// first[location + 1]), at least one; all but the first are inlined. Number 0 is that of no
// location.
struct hone_frames {
    uint32_t count;
    struct hone_frame *frames;
    uint32_t *first;
    uint32_t *at;
    struct hone_arena text;
};

// Frames are told apart by function and mapping, and by line if asked for.
// Returns 0 or -ENOMEM; done is due in both cases.
int hone_frames_init(struct hone_frames *frames, const struct hone_profile *profile, bool lines);
void hone_frames_done(struct hone_frames *frames);

// A stack as it is printed.
struct hone_run {
    uint32_t *at; // frames, root first
    uint32_t room;
    uint32_t count;
};

// Returns 0 or -ENOMEM.
int hone_run_of(const struct hone_frames *frames, const struct hone_profile *profile,
                uint32_t stack, struct hone_run *ret);
void hone_run_done(struct hone_run *run);

#endif
