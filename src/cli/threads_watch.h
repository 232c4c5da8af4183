// cli threads, again and again: how many there are, and whether that grows.
#ifndef HONE_CLI_THREADS_WATCH_H
#define HONE_CLI_THREADS_WATCH_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Prints a line each time, and a verdict at the end. Ends early when all processes have.
int hone_threads_watch(const pid_t *pids, size_t count, uint64_t every_ns, uint64_t times,
                       struct hone_error *err);

#endif
