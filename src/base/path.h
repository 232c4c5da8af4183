// Paths as text: no file system is asked.
#ifndef HONE_BASE_PATH_H
#define HONE_BASE_PATH_H

#include "base/arena.h"
#include "base/str.h"

// The shortest path that means the same where no symbolic links are: "./a//b/../c.h" is "a/c.h".
// Returns the text itself when it is that already; at is NULL when memory is out. NUL-terminated
// when text is.
struct hone_str hone_path_clean(struct hone_arena *arena, struct hone_str text);

#endif
