// What names of functions say of who created a thread.
#ifndef HONE_CAPTURE_THREAD_NAMES_H
#define HONE_CAPTURE_THREAD_NAMES_H

#include "profile/profile.h"

// The function that created a thread: the innermost of the stack that is no part of a language's
// own library (std::thread, std::thread::spawn). False: the stack has no names.
bool hone_creator_line(const struct hone_profile *profile, uint32_t stack,
                       struct hone_profile_line *ret);

#endif
