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
#include <sys/signalfd.h>

const bool hone_has_hooks = true;

// What the program believes to be installed: the entry that `which` names. A change fills the other
// one first, so handlers read without waiting and take the old or the new one.
static struct {
    _Atomic int signal; // ours; 0: none yet
    _Atomic uint32_t which;
    struct sigaction actions[2];
} program;

static bool is_ours(int signal)
{
    return signal && signal == atomic_load_explicit(&program.signal, memory_order_relaxed);
}

static void (*installed)(int, siginfo_t *, void *);

void hone_signal_at_exec(bool going)
{
    int signal = atomic_load_explicit(&program.signal, memory_order_relaxed);
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
    bool again = is_ours(signal); // a forked child arms itself: ours is there already
    if (hone_real()->sigaction(signal, &ours, &before))
        return -errno;
    if (!again) {
        learn_of_libc(signal, ours.sa_flags);
        program.actions[0] = before;
        atomic_store_explicit(&program.which, 0, memory_order_release);
        atomic_store_explicit(&program.signal, signal, memory_order_release);
    }
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    (void)hone_real()->pthread_sigmask(SIG_UNBLOCK, &set, NULL);
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

// The program believes that the calling thread blocks our signal.
static __thread bool thread_blocks;
// One that came meanwhile and waits, as a blocked signal does: until the program ignores them.
static _Atomic uint32_t ignored;     // how often it did
static __thread uint32_t pending_at; // that count when it came, plus one; 0: none
static __thread siginfo_t pending;

static bool is_pending(void)
{
    return pending_at == atomic_load_explicit(&ignored, memory_order_relaxed) + 1;
}

void hone_signal_pass_on(int signal, siginfo_t *info, void *ucontext)
{
    uint32_t which = atomic_load_explicit(&program.which, memory_order_acquire) & 1;
    struct sigaction action = program.actions[which];
    if (hone_pending_offered(info) && (thread_blocks || !hone_pending_take(info)))
        return;
    if (thread_blocks && info->si_code == SI_TKILL) {
        pending = *info;
        pending_at = atomic_load_explicit(&ignored, memory_order_relaxed) + 1;
        hone_pending_wake_self(signal);
        return;
    }
    if (thread_blocks && info->si_code <= 0) {
        hone_pending_keep(signal, info,
                          action.sa_handler != SIG_IGN &&
                              (action.sa_handler != SIG_DFL || signal == SIGTRAP));
        return;
    }
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
        int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
        if (kept->sa_handler == SIG_IGN || (kept->sa_handler == SIG_DFL && ours != SIGTRAP)) {
            siginfo_t dropped;
            atomic_fetch_add_explicit(&ignored, 1, memory_order_relaxed);
            (void)hone_pending_take(&dropped);
        }
    }
}

static int swap_action(const struct sigaction *action, struct sigaction *before)
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

// The mask without our signal.
static const sigset_t *without_ours(const sigset_t *set, sigset_t *copy)
{
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    if (!set || !ours || sigismember(set, ours) != 1)
        return set;
    *copy = *set;
    (void)sigdelset(copy, ours);
    return copy;
}

// Nor does a handler of the program keep ours out while it runs.
HONE_EXPORT int sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    if (HONE_UNLIKELY(is_ours(signal)))
        return swap_action(action, before);
    struct sigaction copy;
    if (action && without_ours(&action->sa_mask, &copy.sa_mask) == &copy.sa_mask) {
        sigset_t mask = copy.sa_mask;
        copy = *action;
        copy.sa_mask = mask;
        action = &copy;
    }
    return hone_real()->sigaction(signal, action, before);
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
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    long r = hone_syscall4(SYS_rt_sigaction, ours, NULL, before, sizeof shown.mask);
    if (r == 0)
        *before = shown;
    return r;
}

// What waited comes now, if the thread blocks it no more.
static void hand_out(void)
{
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    siginfo_t kept;
    if (!thread_blocks && is_pending()) {
        pending_at = 0;
        hone_pending_hand_on(ours, &pending);
    }
    if (!thread_blocks && hone_pending_take(&kept))
        hone_pending_hand_on(ours, &kept);
}

// What the program changes in its mask of our signal happens in its belief only.
static void believe(int how, bool named)
{
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    if (!ours)
        return;
    if (how == SIG_SETMASK)
        thread_blocks = named;
    else if (named)
        thread_blocks = how == SIG_BLOCK;
    hand_out();
}

bool hone_signal_by_syscall(long number, const long words[4], long *ret)
{
    if (words[3] != sizeof(uint64_t))
        return false;
    if (number == SYS_rt_sigaction && is_ours((int)words[0])) {
        *ret = swap_kernel_action((const void *)words[1], (void *)words[2]);
        return true;
    }
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    if (number != SYS_rt_sigprocmask || !ours)
        return false;
    uint64_t bit = (uint64_t)1 << (ours - 1), mask;
    bool blocked = thread_blocks, named = false;
    if (words[1]) {
        if (!hone_safe_copy(&mask, (uint64_t)words[1], sizeof mask)) {
            *ret = -EFAULT;
            return true;
        }
        named = mask & bit;
        if (words[0] != SIG_UNBLOCK)
            mask &= ~bit;
    }
    *ret = hone_syscall4(number, words[0], words[1] ? &mask : NULL, words[2], words[3]);
    // The old mask's place comes last there: the new one is in force even if that is no memory.
    if (words[1] && (*ret == 0 || *ret == -EFAULT))
        believe((int)words[0], named);
    if (*ret == 0 && words[2] && blocked)
        *(uint64_t *)words[2] |= bit;
    return true;
}

typedef void handler_function(int);

static handler_function *swap_handler(struct sigaction action, handler_function *handler)
{
    struct sigaction before;
    action.sa_handler = handler;
    (void)swap_action(&action, &before);
    return before.sa_handler;
}

HONE_EXPORT handler_function *signal(int signal, handler_function *handler)
{
    if (HONE_LIKELY(!is_ours(signal)))
        return hone_real()->signal(signal, handler);
    struct sigaction action = {.sa_flags = SA_RESTART};
    if (hone_real_is_glibc()) {
        if (handler == SIG_ERR) {
            errno = EINVAL;
            return SIG_ERR;
        }
        (void)sigaddset(&action.sa_mask, signal);
    }
    return swap_handler(action, handler);
}

// Older names of the same call. Their handlers are reset by the first signal (System V) or not
// (BSD), which for a signal that is not ours libc itself sees to.

handler_function *bsd_signal(int, handler_function *); // libc has it, its headers do not

HONE_EXPORT handler_function *bsd_signal(int number, handler_function *handler)
{
    return HONE_LIKELY(!is_ours(number)) ? hone_real()->bsd_signal(number, handler)
                                         : signal(number, handler);
}

HONE_EXPORT handler_function *ssignal(int number, handler_function *handler)
{
    return HONE_LIKELY(!is_ours(number)) ? hone_real()->ssignal(number, handler)
                                         : signal(number, handler);
}

HONE_EXPORT handler_function *sysv_signal(int number, handler_function *handler)
{
    if (HONE_LIKELY(!is_ours(number)))
        return hone_real()->sysv_signal(number, handler);
    return swap_handler((struct sigaction){.sa_flags = (int)(SA_RESETHAND | SA_NODEFER)}, handler);
}

HONE_EXPORT handler_function *__sysv_signal(int number, handler_function *handler)
{
    return sysv_signal(number, handler);
}

static bool believe_blocked(bool blocks)
{
    bool before = thread_blocks;
    thread_blocks = blocks;
    hand_out();
    return before;
}

HONE_EXPORT handler_function *sigset(int number, handler_function *handler)
{
    if (HONE_LIKELY(!is_ours(number)))
        return hone_real()->sigset(number, handler);
    struct sigaction before;
    if (handler == SIG_HOLD)
        swap_kept(NULL, &before);
    else
        before.sa_handler = swap_handler((struct sigaction){0}, handler);
    return believe_blocked(handler == SIG_HOLD) ? SIG_HOLD : before.sa_handler;
}

HONE_EXPORT int sigignore(int number)
{
    if (HONE_LIKELY(!is_ours(number)))
        return hone_real()->sigignore(number);
    (void)swap_handler((struct sigaction){0}, SIG_IGN);
    return 0;
}

HONE_EXPORT int sighold(int number)
{
    if (HONE_LIKELY(!is_ours(number)))
        return hone_real()->sighold(number);
    (void)believe_blocked(true);
    return 0;
}

HONE_EXPORT int sigrelse(int number)
{
    if (HONE_LIKELY(!is_ours(number)))
        return hone_real()->sigrelse(number);
    (void)believe_blocked(false);
    return 0;
}

// Whether a set that the program gives names our signal. Asked before the call: the set may be
// where the old one is written to.
static bool names_ours(const sigset_t *set)
{
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    return set && ours && sigismember(set, ours) == 1;
}

static void show_belief(sigset_t *before, bool blocked)
{
    int ours = atomic_load_explicit(&program.signal, memory_order_relaxed);
    if (before && ours && blocked)
        (void)sigaddset(before, ours);
}

HONE_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
    sigset_t copy;
    const sigset_t *without = how == SIG_UNBLOCK ? set : without_ours(set, &copy);
    bool blocked = thread_blocks, given = set, named = names_ours(set);
    int r = hone_real()->sigprocmask(how, without, before);
    if (r == 0) {
        if (given)
            believe(how, named);
        show_belief(before, blocked);
    }
    return r;
}

HONE_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    sigset_t copy;
    const sigset_t *without = how == SIG_UNBLOCK ? set : without_ours(set, &copy);
    bool blocked = thread_blocks, given = set, named = names_ours(set);
    int r = hone_real()->pthread_sigmask(how, without, before);
    if (r == 0) {
        if (given)
            believe(how, named);
        show_belief(before, blocked);
    }
    return r;
}

HONE_EXPORT int sigpending(sigset_t *ret)
{
    int r = hone_real()->sigpending(ret);
    if (r == 0 && (is_pending() || hone_pending_is()))
        (void)sigaddset(ret, atomic_load_explicit(&program.signal, memory_order_relaxed));
    return r;
}

// Who waits for any signal would be handed ours, when a period ends inside the wait: so ours is
// taken out. One of the program's that waits in our keeping is handed out instead, and one that
// comes interrupts the wait.

static bool take_own(siginfo_t *ret)
{
    if (!is_pending())
        return false;
    *ret = pending;
    pending_at = 0;
    return true;
}

HONE_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *ret, const struct timespec *timeout)
{
    if (!names_ours(set) || hone_probe.locked_in)
        return hone_real()->sigtimedwait(set, ret, timeout);
    siginfo_t unasked;
    return hone_pending_wait(atomic_load_explicit(&program.signal, memory_order_relaxed), set,
                             ret ? ret : &unasked, timeout, take_own);
}

HONE_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *ret)
{
    return sigtimedwait(set, ret, NULL);
}

HONE_EXPORT int sigwait(const sigset_t *set, int *ret)
{
    int saved = errno, r;
    do
        r = sigtimedwait(set, NULL, NULL);
    while (r < 0 && errno == EINTR);
    int code = r < 0 ? errno : 0;
    errno = saved;
    if (r > 0)
        *ret = r;
    return code;
}

HONE_EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
    sigset_t copy;
    return hone_real()->signalfd(fd, without_ours(set, &copy), flags);
}
