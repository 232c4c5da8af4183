// The door of a sandbox, where programs call libc: see sandbox.c.
#include "probe/probe.h"

#include "core/syscall.h"

#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

HONE_EXPORT int prctl(int option, ...)
{
    unsigned long words[4];
    va_list arguments;
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        words[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    return hone_sandbox_prctl(option, words);
}

HONE_EXPORT long syscall(long number, ...)
{
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_execve)
        return execve((const char *)words[0], (char *const *)words[1], (char *const *)words[2]);
    if (number == SYS_execveat)
        return execveat((int)words[0], (const char *)words[1], (char *const *)words[2],
                        (char *const *)words[3], (int)words[4]);
    return hone_sandbox_syscall(number, words);
}

bool hone_sandbox_door_is_ours(void)
{
    return true;
}
