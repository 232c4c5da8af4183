// Older calls that set a signal's action. Of a signal that is not ours libc itself sees to what
// they mean. Where it lacks one, only who asks for it by its name finds ours, which does what it
// does in other libcs.
#include "probe/probe.h"
#include "probe/real.h"

#include <errno.h>

typedef hone_signal_handler handler_function;

// The handlers of these are reset by the first signal (System V) or not (BSD).

handler_function *bsd_signal(int, handler_function *); // libc has it, its headers do not

HONE_EXPORT handler_function *bsd_signal(int number, handler_function *handler)
{
    if (HONE_UNLIKELY(hone_signal_is_ours(number) || !hone_real()->bsd_signal))
        return signal(number, handler);
    return hone_real()->bsd_signal(number, handler);
}

HONE_EXPORT handler_function *ssignal(int number, handler_function *handler)
{
    if (HONE_UNLIKELY(hone_signal_is_ours(number) || !hone_real()->ssignal))
        return signal(number, handler);
    return hone_real()->ssignal(number, handler);
}

HONE_EXPORT handler_function *sysv_signal(int number, handler_function *handler)
{
    struct sigaction action = {.sa_flags = (int)(SA_RESETHAND | SA_NODEFER)}, before;
    if (HONE_UNLIKELY(hone_signal_is_ours(number)))
        return hone_signal_swap_handler(action, handler);
    if (HONE_LIKELY(hone_real()->sysv_signal != NULL))
        return hone_real()->sysv_signal(number, handler);
    action.sa_handler = handler;
    return hone_real()->sigaction(number, &action, &before) ? SIG_ERR : before.sa_handler;
}

// Of musl, this is another name of signal().
HONE_EXPORT handler_function *__sysv_signal(int number, handler_function *handler)
{
    if (HONE_UNLIKELY(hone_signal_is_ours(number)))
        return hone_real_is_glibc() ? sysv_signal(number, handler) : signal(number, handler);
    if (HONE_LIKELY(hone_real()->own_sysv_signal != NULL))
        return hone_real()->own_sysv_signal(number, handler);
    return sysv_signal(number, handler);
}

HONE_EXPORT handler_function *sigset(int number, handler_function *handler)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->sigset(number, handler);
    struct sigaction before;
    if (handler == SIG_HOLD)
        (void)hone_signal_swap(NULL, &before);
    else
        before.sa_handler = hone_signal_swap_handler((struct sigaction){0}, handler);
    return hone_mask_believe(handler == SIG_HOLD) ? SIG_HOLD : before.sa_handler;
}

HONE_EXPORT int sigignore(int number)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->sigignore(number);
    (void)hone_signal_swap_handler((struct sigaction){0}, SIG_IGN);
    return 0;
}

HONE_EXPORT int sighold(int number)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->sighold(number);
    (void)hone_mask_believe(true);
    return 0;
}

HONE_EXPORT int sigrelse(int number)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->sigrelse(number);
    (void)hone_mask_believe(false);
    return 0;
}

// libc's own would change the action that is really there: ours.
HONE_EXPORT int siginterrupt(int number, int interrupts)
{
    if (HONE_LIKELY(!hone_signal_is_ours(number)))
        return hone_real()->siginterrupt(number, interrupts);
    struct sigaction action;
    (void)hone_signal_swap(NULL, &action);
    hone_signal_interrupts = interrupts && hone_real_is_glibc();
    action.sa_flags &= ~SA_RESTART;
    action.sa_flags |= interrupts ? 0 : SA_RESTART;
    return hone_signal_swap(&action, NULL);
}
