// Sending our signal to oneself. musl blocks all signals while it does, by its own system call: a
// period that ends there waits as well, and of two of one number that wait for a thread the kernel
// keeps the first, so the program's would be lost. It is sent with nothing blocked instead: a
// period that ends inside the call is told after it, when the program's is already there.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>

static bool is_sent_by_us(int number)
{
    return HONE_UNLIKELY(hone_signal_is_ours(number)) && !hone_real_is_glibc() &&
           !hone_probe.locked_in;
}

// By the same system call as musl's, for a filter may know no other.
static int send_to_self(int number)
{
    return (int)hone_syscall2(SYS_tkill, hone_syscall0(SYS_gettid), number);
}

HONE_EXPORT int raise(int number)
{
    if (!is_sent_by_us(number))
        return hone_real()->raise(number);
    int r = send_to_self(number);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

HONE_EXPORT int pthread_kill(pthread_t thread, int number)
{
    if (!is_sent_by_us(number) || !pthread_equal(thread, pthread_self()))
        return hone_real()->pthread_kill(thread, number);
    return -send_to_self(number);
}
