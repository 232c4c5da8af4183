// Changing a recording while it runs, from outside: through the memory that it shares with its
// processes.
#ifndef HONE_CAPTURE_STEER_H
#define HONE_CAPTURE_STEER_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

// Sets the mean number of bytes between two sampled allocations (0: none) of the recording that a
// process is part of, for all of its processes. Returns 0 or a negative errno with err filled.
int hone_steer_heap_rate(pid_t pid, uint64_t bytes, struct hone_error *err);

#endif
