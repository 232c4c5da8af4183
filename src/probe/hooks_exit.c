// An end without destructors: forked children often take it. In a vfork child, which borrows its
// parent's memory, nothing of ours ends.
#include "probe/probe.h"

#include "core/syscall.h"

#include <stdlib.h>
#include <unistd.h>

HONE_EXPORT __attribute__((noreturn)) void _exit(int status)
{
    if (hone_is_our_process())
        hone_process_leave(HONE_PROCESS_EXITED);
    for (;;)
        (void)hone_syscall1(SYS_exit_group, status);
}

HONE_EXPORT __attribute__((noreturn)) void _Exit(int status)
{
    _exit(status);
}
