// cli pids: processes as people name them.
#ifndef HONE_CLI_PIDS_H
#define HONE_CLI_PIDS_H

#include "base/error.h"

#include <sys/types.h>

enum { HONE_PIDS_MAX = 256 };

// "1234,1235", of the option --pid. Returns how many, or HONE_MISUSED with err filled.
int hone_pids_read(const char *text, pid_t pids[HONE_PIDS_MAX], struct hone_error *err);

#endif
