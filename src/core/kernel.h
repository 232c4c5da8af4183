// What the running kernel can do that it does not say when it is asked.
#ifndef HONE_CORE_KERNEL_H
#define HONE_CORE_KERNEL_H

#include "core/core.h"

#include <stdbool.h>

// Whether a release, such as "5.15.0-91-generic", is that version or a later one.
bool hone_release_is_from(const char *release, unsigned major, unsigned minor);

// Until Linux 5.19 a perf event's trap that is due while SIGTRAP is blocked, as libc does for
// moments, ends the program; from then on it waits.
bool hone_kernel_keeps_traps(void);

#endif
