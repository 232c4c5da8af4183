// What a program is, before it is started: can libhone.so be preloaded into it? In the outcomes
// from HONE_TARGET_UNPRELOADABLE on, ret_path is written too.
#ifndef HONE_CAPTURE_TARGET_H
#define HONE_CAPTURE_TARGET_H

#include "base/error.h"

#include <stddef.h>

enum {
    HONE_TARGET_MISSING = 1, // no such program: what a shell calls status 127
    HONE_TARGET_UNRUNNABLE,  // there, but cannot be executed: 126
    HONE_TARGET_UNPRELOADABLE,
    HONE_TARGET_OUTSIDE,       // nothing can be preloaded, but it can be recorded from outside
    HONE_TARGET_OUTSIDE_RIGHTS // likewise, and it runs with rights of its own
};

// Finds the program as execvp() would, and follows the interpreter of a script. Writes its path
// (of size bytes). Returns 0; an outcome above with the reason and the next step in err; or a
// negative errno.
int hone_target_check(const char *program, char *ret_path, size_t size, struct hone_error *err);

#endif
