// Which signals a thread blocks, as the program sees it. Ours it may not block: a thread that does,
// as many servers' threads do, would never be sampled. So what the program changes in its mask of
// our signal happens in its belief only, and one that comes meanwhile waits here, as a blocked one
// does.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>

// The program believes that the calling thread blocks our signal.
static __thread bool thread_blocks;
// The others of the set by which it did.
static __thread uint64_t blocked_with;
// One that came meanwhile and waits, as a blocked signal does: until the program ignores them.
static _Atomic uint32_t ignored;     // how often it did
static __thread uint32_t pending_at; // that count when it came, plus one; 0: none
static __thread siginfo_t pending;

static bool is_pending(void)
{
    return pending_at == atomic_load_explicit(&ignored, memory_order_relaxed) + 1;
}

bool hone_mask_blocks(void)
{
    return thread_blocks;
}

void hone_mask_drop_pending(void)
{
    siginfo_t dropped;
    atomic_fetch_add_explicit(&ignored, 1, memory_order_relaxed);
    (void)hone_pending_take(&dropped);
}

bool hone_mask_keeps(int signal, siginfo_t *info, bool handled)
{
    if (hone_pending_offered(info) && (thread_blocks || !hone_pending_take(info)))
        return true;
    if (!thread_blocks || info->si_code > 0)
        return false;
    if (info->si_code == SI_TKILL) {
        pending = *info;
        pending_at = atomic_load_explicit(&ignored, memory_order_relaxed) + 1;
        hone_pending_wake_self(signal);
        return true;
    }
    hone_pending_keep(signal, info, handled);
    return true;
}

const sigset_t *hone_mask_without_ours(const sigset_t *set, sigset_t *copy)
{
    int ours = hone_signal_ours();
    if (!set || !ours || sigismember(set, ours) != 1)
        return set;
    *copy = *set;
    (void)sigdelset(copy, ours);
    return copy;
}

// The program has asked for our signal by signalfd(), where it cannot be seen: one that waits would
// have been read there, and must not end the program.
static _Atomic bool read_by_descriptor;

// What waited comes now, if the thread blocks it no more.
static void hand_out(void)
{
    int ours = hone_signal_ours();
    siginfo_t kept;
    bool drop =
        atomic_load_explicit(&read_by_descriptor, memory_order_relaxed) && hone_signal_is_default();
    if (!thread_blocks && is_pending()) {
        pending_at = 0;
        if (!drop)
            hone_pending_hand_on(ours, &pending);
    }
    if (!thread_blocks && hone_pending_take(&kept) && !drop)
        hone_pending_hand_on(ours, &kept);
}

static uint64_t first_word(const sigset_t *set)
{
    uint64_t word;
    memcpy(&word, set, sizeof word); // as the kernel's
    return word;
}

// What the program changes in its mask of our signal happens in its belief only.
static void believe(int how, bool named)
{
    int ours = hone_signal_ours();
    if (!ours)
        return;
    if (how == SIG_SETMASK)
        thread_blocks = named;
    else if (named)
        thread_blocks = how == SIG_BLOCK;
    hand_out();
}

bool hone_mask_believe(bool blocks)
{
    bool before = thread_blocks;
    blocked_with = 0;
    thread_blocks = blocks;
    hand_out();
    return before;
}

void hone_mask_begin(bool blocks)
{
    int ours = hone_signal_ours();
    if (!ours)
        return;
    thread_blocks = blocks;
    if (hone_probe.locked_in)
        return;
    sigset_t set, before;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, ours);
    // It does really where its attributes have a mask, and every thread of C11 in musl until 1.2.4.
    if (hone_real()->pthread_sigmask(SIG_UNBLOCK, &set, &before) == 0 &&
        sigismember(&before, ours) == 1)
        thread_blocks = true;
}

static void change_really(int how, int signal)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal);
    (void)hone_real()->pthread_sigmask(how, &set, NULL);
}

void hone_mask_let_in(void)
{
    if (!thread_blocks && hone_altstack_lets_in())
        change_really(SIG_UNBLOCK, hone_signal_ours());
}

void hone_mask_install(int before, int ours)
{
    sigset_t now;
    if (before != ours) {
        if (before && thread_blocks)
            change_really(SIG_BLOCK, before);
        // Before it is let in: one that waits already comes then, and is kept.
        thread_blocks = hone_real()->pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 &&
                        sigismember(&now, ours) == 1;
    }
    change_really(SIG_UNBLOCK, ours);
}

// The mask may have been set by what we do not see: siglongjmp(), setcontext(). Then none of those
// that were blocked together is blocked any more.
static bool blocks_still(void)
{
    sigset_t now;
    return thread_blocks &&
           (!blocked_with || (hone_real()->pthread_sigmask(SIG_BLOCK, NULL, &now) == 0 &&
                              (first_word(&now) & blocked_with)));
}

// A new program begins with what the thread blocks really, which may be more than it believes: a
// handler on a small stack may have been left by longjmp().
void hone_mask_at_spawn(bool going)
{
    int ours = hone_signal_ours();
    if (ours && !hone_probe.locked_in)
        change_really(going && blocks_still() ? SIG_BLOCK : SIG_UNBLOCK, ours);
}

// And with what waits for it.
void hone_mask_at_exec(bool going)
{
    int ours = hone_signal_ours();
    siginfo_t kept;
    hone_mask_at_spawn(going);
    if (!ours || !going || hone_probe.locked_in || !blocks_still() || !hone_is_our_process())
        return; // the memory of a vfork child is its parent's
    if (is_pending()) {
        pending_at = 0;
        hone_pending_hand_on(ours, &pending);
    }
    if (hone_pending_take(&kept))
        hone_pending_hand_on(ours, &kept);
}

void hone_mask_after_fork(void)
{
    pending_at = 0; // signals that wait are not inherited
}

// Of a call of syscall(2).
bool hone_mask_by_syscall(const long words[4], long *ret)
{
    int ours = hone_signal_ours();
    if (!ours)
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
    *ret = hone_syscall4(SYS_rt_sigprocmask, words[0], words[1] ? &mask : NULL, words[2], words[3]);
    // The old mask's place comes last there: the new one is in force even if that is no memory.
    if (words[1] && (*ret == 0 || *ret == -EFAULT)) {
        blocked_with = named ? 0 : blocked_with;
        believe((int)words[0], named);
    }
    if (*ret == 0 && words[2] && blocked)
        *(uint64_t *)words[2] |= bit;
    return true;
}

// Whether a set that the program gives names our signal. Asked before the call: the set may be
// where the old one is written to.
static bool names_ours(const sigset_t *set)
{
    int ours = hone_signal_ours();
    return set && ours && sigismember(set, ours) == 1;
}

static void show_belief(sigset_t *before, bool blocked)
{
    int ours = hone_signal_ours();
    if (before && ours && blocked)
        (void)sigaddset(before, ours);
    else if (before && ours)
        (void)sigdelset(before, ours); // kept out of a handler on a small stack
}

static int change_mask(int (*change)(int, const sigset_t *, sigset_t *), int how,
                       const sigset_t *set, sigset_t *before)
{
    sigset_t copy;
    const sigset_t *without = how == SIG_UNBLOCK ? set : hone_mask_without_ours(set, &copy);
    bool blocked = thread_blocks, given = set, named = names_ours(set);
    uint64_t others = given ? first_word(without) : 0;
    // Who unblocks the signal of a handler is about to leave it by longjmp(), with what we kept
    // out.
    if (how == SIG_UNBLOCK && given && !named && !blocked && hone_altstack_lets_in()) {
        copy = *set;
        (void)sigaddset(&copy, hone_signal_ours());
        without = &copy;
    }
    int r = change(how, without, before);
    if (r == 0) {
        if (how == SIG_UNBLOCK)
            blocked_with &= ~others;
        else if (named)
            blocked_with = others;
        if (given)
            believe(how, named);
        show_belief(before, blocked);
    }
    return r;
}

HONE_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
    return change_mask(hone_real()->sigprocmask, how, set, before);
}

HONE_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    return change_mask(hone_real()->pthread_sigmask, how, set, before);
}

// BSD's calls, as glibc has them: the first 32 signals as bits.
static int change_mask_by_bits(int how, int bits)
{
    sigset_t set, before;
    (void)sigemptyset(&set);
    memcpy(&set, &bits, sizeof bits);
    return sigprocmask(how, &set, &before) ? -1 : (int)first_word(&before);
}

int sigblock(int bits); // not every libc has them
int sigsetmask(int bits);

HONE_EXPORT int sigblock(int bits)
{
    return change_mask_by_bits(SIG_BLOCK, bits);
}

HONE_EXPORT int sigsetmask(int bits)
{
    return change_mask_by_bits(SIG_SETMASK, bits);
}

HONE_EXPORT int sigpending(sigset_t *ret)
{
    int r = hone_real()->sigpending(ret);
    if (r == 0 && (is_pending() || hone_pending_is()))
        (void)sigaddset(ret, hone_signal_ours());
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
    siginfo_t unasked, *info = ret ? ret : &unasked;
    int r = hone_pending_wait(hone_signal_ours(), set, info, timeout, take_own);
    // As glibc tells it of signals that come to it.
    if (r > 0 && info->si_code == SI_TKILL && hone_real_is_glibc())
        info->si_code = SI_USER;
    return r;
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
    bool named = names_ours(set);
    int r = hone_real()->signalfd(fd, hone_mask_without_ours(set, &copy), flags);
    if (r >= 0 && named)
        atomic_store_explicit(&read_by_descriptor, true, memory_order_relaxed);
    return r;
}
