// The door of a sandbox, where programs call libc: see sandbox.c.
#include "probe/probe.h"

#include "core/syscall.h"

#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

HONE_EXPORT int prctl(int option, ...)
{
    long words[4];
    va_list arguments;
    va_start(arguments, option);
    hone_sandbox_words(arguments, words, 4);
    va_end(arguments);
    return hone_sandbox_prctl(option, words);
}

HONE_EXPORT long syscall(long number, ...)
{
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    hone_sandbox_words(arguments, words, 6);
    va_end(arguments);
    if (number == SYS_execve)
        return execve((const char *)words[0], (char *const *)words[1], (char *const *)words[2]);
    if (number == SYS_execveat)
        return execveat((int)words[0], (const char *)words[1], (char *const *)words[2],
                        (char *const *)words[3], (int)words[4]);
    if (hone_sandbox_minds(number))
        return hone_sandbox_syscall(number, words);
    long r;
    HONE_SYSCALL_HERE(r, number, words[0], words[1], words[2], words[3], words[4], words[5]);
    return hone_sandbox_give(r);
}

bool hone_sandbox_door_is_ours(void)
{
    return true;
}
