// The program's view of the signal that we use. Its own handler, if it sets one, is remembered and
// told of signals that are not ours; ours stays installed, for a perf event that meets the default
// action would end the program. And it may not block that signal: a thread that does, as many
// servers' threads do, would never be sampled.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>
#include <string.h>

const bool hone_has_hooks = true;

// What the program believes to be installed: the entry that `which` names. A change fills the other
// one first, so handlers read without waiting and take the old or the new one.
static struct {
    _Atomic int signal; // ours; 0: none yet
    _Atomic uint32_t which;
    struct sigaction actions[2];
} program;

int hone_signal_ours(void)
{
    return atomic_load_explicit(&program.signal, memory_order_relaxed);
}

bool hone_signal_is_ours(int signal)
{
    return signal && signal == hone_signal_ours();
}

bool hone_signal_is_default(void)
{
    uint32_t which = atomic_load_explicit(&program.which, memory_order_acquire) & 1;
    return program.actions[which].sa_handler == SIG_DFL;
}

static void (*installed)(int, siginfo_t *, void *);

void hone_signal_at_exec(bool going)
{
    int signal = hone_signal_ours();
    uint32_t which = atomic_load_explicit(&program.which, memory_order_acquire) & 1;
    if (!signal || program.actions[which].sa_handler != SIG_IGN)
        return;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (going)
        (void)hone_real()->sigaction(signal, &ignore, NULL);
    else
        (void)hone_signal_install(signal, installed);
}

// What libc adds to an action before it hands it to the kernel, and shows when it is asked: on most
// machines a flag and the place where handlers return to.
static int libc_flags;
static void (*libc_restorer)(void);

static void learn_of_libc(int signal, int flags)
{
    struct sigaction found = {.sa_restorer = NULL};
    if (hone_real()->sigaction(signal, NULL, &found))
        return;
    libc_flags = found.sa_flags & ~flags;
    libc_restorer = found.sa_restorer;
}

int hone_signal_install(int signal, void (*handler)(int, siginfo_t *, void *))
{
    installed = handler;
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    ours.sa_sigaction = handler;
    // Nothing interrupts the handler: it is short, and works in memory that it must not share with
    // itself.
    (void)sigfillset(&ours.sa_mask);
    struct sigaction before;
    int ours_before = hone_signal_ours(); // in a forked child, which arms itself, the same
    if (hone_real()->sigaction(signal, &ours, &before))
        return -errno;
    if (ours_before != signal) {
        learn_of_libc(signal, ours.sa_flags);
        program.actions[0] = before;
        atomic_store_explicit(&program.which, 0, memory_order_release);
        atomic_store_explicit(&program.signal, signal, memory_order_release);
    }
    hone_mask_install(ours_before, signal);
    hone_altstack_keep_out();
    return 0;
}

// The default action, as if we were not there. For the trap: the program ends by it.
static void take_default(int signal)
{
    if (signal != SIGTRAP)
        return; // SIGURG is ignored
    hone_count(&hone_counters()->own_ends, 1);
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)hone_real()->sigaction(signal, &action, NULL);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    (void)raise(signal);
    (void)hone_real()->pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void hone_signal_pass_on(int signal, siginfo_t *info, void *ucontext)
{
    uint32_t which = atomic_load_explicit(&program.which, memory_order_acquire) & 1;
    struct sigaction action = program.actions[which];
    if (hone_mask_keeps(signal, info,
                        action.sa_handler != SIG_IGN &&
                            (action.sa_handler != SIG_DFL || signal == SIGTRAP)))
        return;
    if (action.sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
        take_default(signal); // a breakpoint instruction cannot be ignored
        return;
    }
    if (action.sa_flags & (int)SA_RESETHAND)
        program.actions[which].sa_handler = SIG_DFL;
    sigset_t mask = action.sa_mask, before;
    if (!(action.sa_flags & SA_NODEFER))
        (void)sigaddset(&mask, signal);
    const ucontext_t *interrupted = ucontext;
    sigset_t all = interrupted->uc_sigmask;
    (void)sigorset(&mask, &mask, &all);
    (void)hone_real()->pthread_sigmask(SIG_SETMASK, &mask, &before);
    if (!(action.sa_flags & SA_ONSTACK))
        hone_handler_enter_below(signal, info, ucontext, action.sa_sigaction);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(signal, info, ucontext);
    else
        action.sa_handler(signal);
    (void)hone_real()->pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// Flags that the kernel keeps; it forgets others (UAPI_SA_FLAGS, 5.11 and later).
#define KERNEL_FLAGS                                                                               \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |             \
     (int)SA_RESETHAND | 0x800 /* SA_EXPOSE_TAGBITS */ | 0x4000000 /* SA_RESTORER */)

// As the kernel keeps it, and shows it.
static void swap_kept(const struct sigaction *action, struct sigaction *before)
{
    uint32_t which = atomic_load_explicit(&program.which, memory_order_acquire) & 1;
    if (before)
        *before = program.actions[which];
    if (action) {
        struct sigaction *kept = &program.actions[1 - which];
        *kept = *action;
        kept->sa_flags &= KERNEL_FLAGS;
        (void)sigdelset(&kept->sa_mask, SIGKILL);
        (void)sigdelset(&kept->sa_mask, SIGSTOP);
        atomic_store_explicit(&program.which, 1 - which, memory_order_release);
        int ours = hone_signal_ours();
        if (kept->sa_handler == SIG_IGN || (kept->sa_handler == SIG_DFL && ours != SIGTRAP))
            hone_mask_drop_pending();
    }
}

void hone_signal_cleared(void)
{
    static const struct sigaction none;
    struct sigaction was;
    int ours = hone_signal_ours();
    if (!ours || hone_probe.locked_in)
        return;
    swap_kept(NULL, &was);
    if (was.sa_handler != SIG_IGN)
        swap_kept(&none, NULL);
    (void)hone_signal_install(ours, installed);
}

int hone_signal_swap(const struct sigaction *action, struct sigaction *before)
{
    if (!action) {
        swap_kept(NULL, before);
        return 0;
    }
    struct sigaction wanted = *action; // which may be where the old one is written to
    wanted.sa_flags |= libc_flags;
    wanted.sa_restorer = libc_restorer;
    swap_kept(&wanted, before);
    return 0;
}

// Nor does a handler of the program keep ours out while it runs, but where a stack is too small.
HONE_EXPORT int sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    int ours = hone_signal_ours();
    if (HONE_UNLIKELY(ours && signal == ours))
        return hone_signal_swap(action, before);
    struct sigaction copy;
    if (action && ours) {
        copy = *action;
        (void)(hone_altstack_keeps_out(action) ? sigaddset(&copy.sa_mask, ours)
                                               : sigdelset(&copy.sa_mask, ours));
        action = &copy;
    }
    int r = hone_real()->sigaction(signal, action, before);
    if (r == 0 && before && ours)
        (void)sigdelset(&before->sa_mask, ours);
    return r;
}

// The kernel's own form of the same, of programs that make these calls by syscall(2).
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static long swap_kernel_action(const struct kernel_action *action, struct kernel_action *before)
{
    struct sigaction wanted = {0}, was;
    struct kernel_action given = {0}, shown;
    if (action && !hone_safe_copy(&given, (uintptr_t)action, sizeof given))
        return -EFAULT;
    wanted.sa_handler = given.handler;
    wanted.sa_flags = (int)given.flags;
    wanted.sa_restorer = given.restorer;
    memcpy(&wanted.sa_mask, &given.mask, sizeof given.mask);
    swap_kept(action ? &wanted : NULL, &was);
    shown = (struct kernel_action){.handler = was.sa_handler, .restorer = was.sa_restorer};
    shown.flags = (unsigned)was.sa_flags;
    memcpy(&shown.mask, &was.sa_mask, sizeof shown.mask);
    if (!before)
        return 0;
    // The kernel says whether it can be written to, and writes what is there really.
    int ours = hone_signal_ours();
    long r = hone_syscall4(SYS_rt_sigaction, ours, NULL, before, sizeof shown.mask);
    if (r == 0)
        *before = shown;
    return r;
}

bool hone_signal_by_syscall(long number, const long words[4], long *ret)
{
    if (words[3] != sizeof(uint64_t))
        return false;
    if (number == SYS_rt_sigaction && hone_signal_is_ours((int)words[0])) {
        *ret = swap_kernel_action((const void *)words[1], (void *)words[2]);
        return true;
    }
    return number == SYS_rt_sigprocmask && hone_mask_by_syscall(words, ret);
}

hone_signal_handler *hone_signal_swap_handler(struct sigaction action, hone_signal_handler *handler)
{
    struct sigaction before;
    action.sa_handler = handler;
    (void)hone_signal_swap(&action, &before);
    return before.sa_handler;
}

bool hone_signal_interrupts;

HONE_EXPORT hone_signal_handler *signal(int signal, hone_signal_handler *handler)
{
    if (HONE_LIKELY(!hone_signal_is_ours(signal)))
        return hone_real()->signal(signal, handler);
    struct sigaction action = {.sa_flags = hone_signal_interrupts ? 0 : SA_RESTART};
    if (hone_real_is_glibc()) {
        if (handler == SIG_ERR) {
            errno = EINVAL;
            return SIG_ERR;
        }
        (void)sigaddset(&action.sa_mask, signal);
    }
    return hone_signal_swap_handler(action, handler);
}
