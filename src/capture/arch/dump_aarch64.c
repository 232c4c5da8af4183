#include "capture/dump_parts.h"

#include <errno.h>

// The kernel has taken a call's first argument away before the thread stops: a call that our stop
// has ended could not be taken up again.
const bool hone_dump_can_stop = false;

int hone_dump_registers(pid_t tid, struct hone_registers *ret)
{
    (void)tid;
    (void)ret;
    return -ENOTSUP;
}
