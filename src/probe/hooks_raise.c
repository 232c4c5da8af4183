// Sending our signal to oneself, which comes at once where the program lets it in.
//
// musl blocks all signals meanwhile, by its own system call: a period that ends there waits as
// well, and of two of one number that wait for a thread the kernel keeps the first, so the
// program's would be lost. It is sent with nothing blocked instead: a period that ends inside the
// call is told after it, when the program's is already there.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>

// pthread_kill() has had two forms in glibc, which answer differently for a thread that has ended:
// no function of ours may stand in front of it.
HONE_EXPORT int raise(int number)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->raise(number);
    hone_mask_let_in();
    if (hone_real_is_glibc() || hone_probe.locked_in)
        return hone_real()->raise(number);
    int r = (int)hone_syscall2(SYS_tkill, hone_syscall0(SYS_gettid), number);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}
