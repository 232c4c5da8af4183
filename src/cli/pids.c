#include "cli/pids.h"

#include "cli/options.h"

#include <limits.h>
#include <stdlib.h>

int hone_pids_read(const char *text, pid_t pids[HONE_PIDS_MAX], struct hone_error *err)
{
    int count = 0;
    for (const char *at = text;; at++) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || pid > INT_MAX || (*end && *end != ','))
            return hone_misused(err, "--pid: '%s' is no list of process numbers such as 12,34",
                                text);
        if (count == HONE_PIDS_MAX)
            return hone_misused(err, "--pid: more than %d processes", HONE_PIDS_MAX);
        pids[count++] = (pid_t)pid;
        at = end;
        if (!*at)
            return count;
    }
}
