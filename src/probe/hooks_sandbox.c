// Programs that lock themselves in (seccomp). A sample needs system calls that the sandbox may
// answer with the program's end, and nobody can ask it beforehand; so sampling ends at its door,
// and the profile says so. Calls made by syscall(2) are seen where they matter.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/syscall.h"

#include <errno.h>
#include <linux/seccomp.h>
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
    if (HONE_UNLIKELY(option == PR_SET_SECCOMP))
        hone_enter_sandbox();
    long r = hone_syscall5(SYS_prctl, option, words[0], words[1], words[2], words[3]);
    if (r < 0 && r > -4096) {
        errno = (int)-r;
        return -1;
    }
    return (int)r;
}

HONE_EXPORT long syscall(long number, ...)
{
    long words[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(arguments, long);
    va_end(arguments);
    if (HONE_UNLIKELY(number == SYS_seccomp && words[0] != SECCOMP_GET_ACTION_AVAIL &&
                      words[0] != SECCOMP_GET_NOTIF_SIZES))
        hone_enter_sandbox();
    if (HONE_UNLIKELY(number == SYS_execve))
        return execve((const char *)words[0], (char *const *)words[1], (char *const *)words[2]);
    long r;
    if (!hone_signal_by_syscall(number, words, &r))
        r = hone_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    if (r < 0 && r > -4096) {
        errno = (int)-r;
        return -1;
    }
    return r;
}
