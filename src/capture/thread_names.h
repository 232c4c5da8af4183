// What names of functions say of a thread: who created it, and what exactly it waits for, where the
// system call tells only that it is a lock.
#ifndef HONE_CAPTURE_THREAD_NAMES_H
#define HONE_CAPTURE_THREAD_NAMES_H

#include "capture/waits.h"
#include "profile/profile.h"

// The function that created a thread: the innermost of the stack that is no part of a language's
// own library (std::thread, std::thread::spawn). False: the stack has no names.
bool hone_creator_line(const struct hone_profile *profile, uint32_t stack,
                       struct hone_profile_line *ret);

// "mutex", "condition", "join", … by the library's function that waits; else hone_wait_name(). NULL
// for a thread that does not wait.
const char *hone_wait_detail(const struct hone_profile *profile, uint32_t stack,
                             enum hone_wait wait);

#endif
