// The memory that a process has from the kernel for its heap, as far as one can see from outside.
#ifndef HONE_CAPTURE_HELD_H
#define HONE_CAPTURE_HELD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

// Resident and swapped memory of glibc's heap and arenas. Not what the program mapped itself, nor
// blocks that have a mapping of their own, which cannot be told from that. False: it cannot be
// seen.
bool hone_held_read(pid_t pid, uint64_t *ret_bytes);

// The same of a text in the format of /proc/PID/smaps.
bool hone_held_parse(FILE *smaps, uint64_t *ret_bytes);

#endif
