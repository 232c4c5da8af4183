// Who is stuck, as `hone record --deadlock-after` tells it: at once on standard error, and at the
// end as a file of the recording, deadlocks.json.
#ifndef HONE_CLI_STUCK_H
#define HONE_CLI_STUCK_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

// A place for what is found, which children of ours write to and we read. Returns a descriptor, or
// a negative errno.
int hone_stuck_open(void);

// Looks at the process and tells what is found and was not told before; if somebody `asked`, also
// that nothing is. Called in a child.
void hone_stuck_look(int fd, pid_t pid, bool asked, bool debuginfod);

// How many deadlocks were told.
int hone_stuck_count(int fd);

// Writes DIRECTORY/deadlocks.json, if there is anything to be told. Returns 0 or a negative errno
// with err filled.
int hone_stuck_save(int fd, const char *directory, struct hone_error *err);

#endif
