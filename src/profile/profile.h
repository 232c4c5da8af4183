// profile: the pprof model in memory, a library that others use too. Its header is theirs:
// include/hone/profile.h says what the room is for, what it promises and what it leaves to others.
// Here is what our own rooms use with it.
#ifndef HONE_PROFILE_PROFILE_H
#define HONE_PROFILE_PROFILE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/str.h"
#include "hone/profile.h"

// Adds a comment made of words and of what strangers wrote: control characters become visible
// signs, so that it is one line, and what is longer than a kilobyte is cut.
__attribute__((format(printf, 2, 3))) void hone_profile_comment(struct hone_profile *profile,
                                                                const char *format, ...);

#endif
