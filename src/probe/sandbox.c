// Programs that lock themselves in (seccomp). A sample needs system calls that the sandbox may
// answer with the program's end, and nobody can ask it beforehand; so sampling ends at its door,
// and the profile says so. What a program does by syscall(2) is seen where it matters: there, and
// where processes and threads begin, change and end.
#include "probe/probe.h"

#include "core/load.h"
#include "core/syscall.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CLEAR_HANDLERS 0x100000000u // CLONE_CLEAR_SIGHAND, which older libraries do not name

long hone_sandbox_give(long r)
{
    if (r < 0 && r > -4096) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

void hone_sandbox_words(va_list arguments, long *ret, int count)
{
    for (int i = 0; i < count; i++)
        ret[i] = va_arg(arguments, long);
}

int hone_sandbox_prctl(int option, const long words[4])
{
    struct hone_door door;
    if (HONE_UNLIKELY(option == PR_SET_SECCOMP))
        hone_sandbox_before(&door);
    long r = hone_syscall5(SYS_prctl, option, words[0], words[1], words[2], words[3]);
    if (HONE_UNLIKELY(option == PR_SET_SECCOMP))
        hone_sandbox_after(&door, r == 0);
    return (int)hone_sandbox_give(r);
}

// A number above 0 says that another thread could not follow, and then nothing has happened; or it
// is the descriptor that was asked for.
static long lock_in(const long words[6])
{
    struct hone_door door;
    hone_sandbox_before(&door);
    long r = hone_syscall3(SYS_seccomp, words[0], words[1], words[2]);
    hone_sandbox_after(
        &door, r == 0 || (r > 0 && (words[1] & (long)SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0));
    return r;
}

// A child that shares neither memory nor descriptors goes on as a forked one does, though libc does
// not know of it: see hooks_clone.c. One with a stack of its own comes back to somewhere else.
struct child {
    uint64_t flags, stack;
};

static bool makes_child(long number, const long words[6], struct child *ret)
{
    uint64_t asked[6]; // of struct clone_args, all in 64 bits: flags first, the stack sixth
    switch (number) {
#ifdef SYS_fork
    case SYS_fork:
        *ret = (struct child){0, 0};
        return true;
#endif
    case SYS_clone:
        *ret = (struct child){(uint32_t)words[0], (uint64_t)words[1]};
        return true;
#ifdef SYS_clone3
    case SYS_clone3:
        if (!hone_safe_copy(asked, (uint64_t)words[0], sizeof asked))
            return false; // the kernel will say so
        *ret = (struct child){asked[0], asked[5]};
        return true;
#endif
    default:
        return false;
    }
}

static void follow(const struct child *child, bool is_child)
{
    bool apart = !(child->flags & (CLONE_VM | CLONE_FILES | CLONE_SETTLS));
    if (!apart && !is_child && !(child->flags & (CLONE_THREAD | CLONE_VFORK)) &&
        hone_is_our_process())
        hone_count(&hone_counters()->threads_uncovered, 1);
    if (!apart || !is_child || child->stack)
        return;
    if (child->flags & CLEAR_HANDLERS)
        hone_signal_cleared();
    hone_after_fork_in_child();
}

bool hone_sandbox_minds(long number)
{
    switch (number) {
    case SYS_seccomp:
    case SYS_prctl:
    case SYS_ptrace:
    case SYS_exit:
    case SYS_exit_group:
#ifdef SYS_fork
    case SYS_fork:
#endif
    case SYS_clone:
#ifdef SYS_clone3
    case SYS_clone3:
#endif
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
        return true;
    default:
        return false;
    }
}

long hone_sandbox_syscall(long number, const long words[6])
{
    const struct hone_engine_kind *traced = NULL;
    struct child child;
    bool makes = makes_child(number, words, &child);
    switch (number) {
    case SYS_seccomp:
        if (words[0] == SECCOMP_SET_MODE_STRICT || words[0] == SECCOMP_SET_MODE_FILTER)
            return hone_sandbox_give(lock_in(words));
        break;
    case SYS_prctl:
        return hone_sandbox_prctl((int)words[0], words + 1);
    case SYS_ptrace:
        if (words[0] == PTRACE_TRACEME)
            traced = hone_traced_before();
        break;
    case SYS_exit:
        hone_thread_ends();
        break;
    case SYS_exit_group:
        hone_process_end();
        break;
    default:
        break;
    }
    long r;
    if (!hone_signal_by_syscall(number, words, &r))
        r = hone_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    hone_traced_after(traced, r == 0);
    if (HONE_UNLIKELY(makes && r >= 0))
        follow(&child, r == 0);
    return hone_sandbox_give(r);
}
