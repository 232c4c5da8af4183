// A signal that the program sends to its process while the thread that the kernel chose blocks it,
// as the program believes. Really nobody blocks our signal, so it is kept here until a thread waits
// for it, lets it through, or is found that never blocked it.
//
// Who waits is woken by another signal, which it blocks meanwhile and waits for as well: so no
// moment is left between looking here and waiting in which the waking could be lost.
#include "probe/probe.h"
#include "probe/real.h"

#include "core/clock.h"

#include <errno.h>
#include <string.h>

enum { EMPTY, BUSY, FULL, WAITERS = 64, OFFERED = 128 };

static _Atomic int state;
static siginfo_t kept;
static _Atomic uint32_t waiters[WAITERS]; // thread ids; 0: free
static __thread bool waits;

// Tells our own messages from the program's signals.
static const char mark;

static int waker(int signal)
{
    return signal == SIGURG ? SIGTRAP : SIGURG;
}

static void queue(uint32_t tid, int signal, const siginfo_t *info)
{
    (void)hone_syscall4(SYS_rt_tgsigqueueinfo, hone_probe.pid, tid, signal, info);
}

static void tell(uint32_t tid, int signal)
{
    siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};
    info.si_value.sival_ptr = (void *)&mark;
    queue(tid, signal, &info);
}

static bool is_told(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &mark;
}

bool hone_pending_take(siginfo_t *ret)
{
    int full = FULL;
    if (HONE_LIKELY(!atomic_compare_exchange_strong(&state, &full, BUSY)))
        return false;
    *ret = kept;
    atomic_store(&state, EMPTY);
    return true;
}

bool hone_pending_is(void)
{
    return atomic_load(&state) == FULL;
}

void hone_pending_after_fork(void)
{
    atomic_store(&state, EMPTY);
    for (int i = 0; i < WAITERS; i++)
        atomic_store(&waiters[i], 0);
}

bool hone_pending_offered(const siginfo_t *info)
{
    return is_told(info);
}

void hone_pending_hand_on(int signal, const siginfo_t *info)
{
    queue((uint32_t)hone_syscall0(SYS_gettid), signal, info);
}

void hone_pending_wake_self(int signal)
{
    if (waits)
        tell((uint32_t)hone_syscall0(SYS_gettid), waker(signal));
}

void hone_pending_keep(int signal, const siginfo_t *info, bool handled)
{
    int empty = EMPTY;
    if (!atomic_compare_exchange_strong(&state, &empty, BUSY))
        return; // as a second one is that comes while the first is pending
    kept = *info;
    atomic_store(&state, FULL);
    if (!hone_is_our_process())
        return;
    bool woken = false;
    for (int i = 0; i < WAITERS; i++) {
        uint32_t tid = atomic_load(&waiters[i]);
        if (tid)
            tell(tid, waker(signal));
        woken |= tid != 0;
    }
    if (woken || !handled)
        return;
    uint32_t tids[OFFERED];
    size_t others = hone_other_threads(tids, OFFERED);
    for (size_t i = 0; i < others && i < OFFERED; i++)
        tell(tids[i], signal);
}

static _Atomic uint32_t *enlist(void)
{
    uint32_t tid = (uint32_t)hone_syscall0(SYS_gettid);
    for (int i = 0; i < WAITERS; i++) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_strong(&waiters[i], &nobody, tid))
            return &waiters[i];
    }
    return NULL;
}

// Until then, what is left of the time.
static const struct timespec *left(uint64_t end_ns, struct timespec *ret)
{
    if (end_ns == UINT64_MAX)
        return NULL;
    uint64_t now_ns = hone_now_ns();
    uint64_t left_ns = end_ns > now_ns ? end_ns - now_ns : 0;
    *ret = (struct timespec){(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
    return ret;
}

int hone_pending_wait(int signal, const sigset_t *set, siginfo_t *ret,
                      const struct timespec *timeout, bool (*take_own)(siginfo_t *))
{
    int wake = waker(signal), r;
    uint64_t end_ns = timeout ? hone_now_ns() + hone_timespec_ns(*timeout) : UINT64_MAX;
    sigset_t with = *set, only, before;
    (void)sigdelset(&with, signal);
    (void)sigaddset(&with, wake);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, wake);
    (void)hone_real()->pthread_sigmask(SIG_BLOCK, &only, &before);
    waits = true;
    _Atomic uint32_t *place = enlist();
    siginfo_t stray = {0};
    int code = 0;
    for (;;) {
        struct timespec rest;
        if (take_own(ret) || hone_pending_take(ret)) {
            r = signal;
            break;
        }
        r = hone_real()->sigtimedwait(&with, ret, left(end_ns, &rest));
        code = errno;
        if (r == wake && is_told(ret))
            continue;
        if (r == wake && sigismember(set, wake) != 1) {
            stray = *ret; // the program's, which does not wait for it
            if (sigismember(&before, wake) == 1)
                continue;
            r = -1;
            code = EINTR;
        } else if (r < 0 && code == EINTR && (take_own(ret) || hone_pending_take(ret))) {
            r = signal;
        }
        break;
    }
    waits = false;
    if (place)
        atomic_store(place, 0);
    // A message that came too late would be the program's signal from here on.
    static const struct timespec at_once;
    siginfo_t late;
    while (hone_real()->sigtimedwait(&only, &late, &at_once) == wake)
        if (!is_told(&late))
            stray = late;
    if (stray.si_signo)
        queue((uint32_t)hone_syscall0(SYS_gettid), wake, &stray);
    (void)hone_real()->pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return r;
}
