// System calls that a filter (seccomp) ends its caller for. Nobody can ask the kernel which those
// are: each is tried in a child, with arguments that the kernel refuses before it does anything.
#ifndef HONE_CAPTURE_DEADLY_H
#define HONE_CAPTURE_DEADLY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_CALL_KILLS = -1, HONE_CALL_UNTRIED = -2 };

// What a system call is answered with here: an errno, or one of the above.
int hone_call_answer(long number);

// Whether who calls perf_event_open is ended; asked once.
bool hone_perf_kills(void);

// Those that a recording can do without, as bits of enum hone_deadly. Asks only where a filter is.
//
// Returns  -EACCES  one that no recording can do without is among them; err names it
int hone_deadly_find(uint32_t *ret, struct hone_error *err);

#endif
