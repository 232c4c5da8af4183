"""Pitfalls: programs that use the signals a profiler would like to have.
"""

import os
import shutil
import subprocess
import unittest

import harness
from harness import NS, workload

ACTIONS = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
struct kernel_action { void *handler; unsigned long flags; void *restorer, *mask; };
static void handler(int signal) { (void)signal; }
static void show(const char *name)
{
    struct sigaction by_libc = {0};
    struct kernel_action kernels = {0};
    sigaction(SIGTRAP, NULL, &by_libc);
    syscall(SYS_rt_sigaction, SIGTRAP, NULL, &kernels, 8L);
    printf("%s: ours %d %d, flags %x %lx, restorer %d %d, mask %lx %p\n", name,
           by_libc.sa_handler == handler, kernels.handler == (void *)handler, by_libc.sa_flags,
           kernels.flags, by_libc.sa_restorer != NULL, kernels.restorer != NULL,
           *(unsigned long *)&by_libc.sa_mask, kernels.mask);
}
int main(void)
{
    show("first");
    struct sigaction all = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_NODEFER | 0x20000400};
    sigfillset(&all.sa_mask);
    sigaction(SIGTRAP, &all, NULL);
    show("all");
    struct sigaction once = {.sa_handler = handler, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
    sigaction(SIGTRAP, &once, &once); // the old one comes where the new one was
    printf("old flags %x\n", once.sa_flags);
    once.sa_flags = SA_RESETHAND;
    sigaction(SIGTRAP, &once, NULL);
    raise(SIGTRAP);
    show("once");
    signal(SIGTRAP, SIG_IGN);
    show("signal");
    sysv_signal(SIGTRAP, handler);
    show("sysv");
    struct kernel_action raw = {handler, SA_RESTART, NULL, NULL}, old;
    syscall(SYS_rt_sigaction, SIGTRAP, &raw, &old, 8L);
    printf("old flags %lx, restorer %d\n", old.flags, old.restorer != NULL);
    show("raw");
    raw.flags = 0x4000000, raw.restorer = (void *)handler;
    syscall(SYS_rt_sigaction, SIGTRAP, &raw, NULL, 8L);
    show("restorer");
    signal(SIGTRAP, SIG_DFL);
    show("default");
    signal(SIGURG, SIG_DFL);
    printf("other flags %d\n", sigaction(SIGURG, NULL, &once));
    sigaction(SIGTRAP, &once, NULL);
    show("taken over");
    show("end");
    return 0;
}
"""

# Handlers that do not ask for the alternate stack, of which there is one that is too small for them.
BELOW = r"""
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
static struct { char guard[32768], stack[16384]; } alternate;
static sigjmp_buf back;
static volatile int calls, nested, wrong, jumps, handling;
static void on_alternate(int signal)
{
    char local[8000];
    memset(local, signal, sizeof local);
    __asm__ volatile("" : : "r"(local) : "memory");
    nested++;
}
static void handler(int signal, siginfo_t *info, void *context)
{
    char local[20000];
    memset(local, signal, sizeof local);
    __asm__ volatile("" : : "r"(local) : "memory");
    stack_t now;
    sigaltstack(NULL, &now);
    char *own = __builtin_frame_address(0);
    wrong += now.ss_flags || info->si_signo != SIGTRAP;
    wrong += own >= alternate.guard && own < alternate.guard + sizeof alternate;
    if (handling++ == 0)
        raise(SIGUSR1); // begins the alternate stack anew
    calls++;
    handling--;
    if (jumps)
        siglongjmp(back, 1);
}
int main(void)
{
    memset(alternate.guard, 7, sizeof alternate.guard);
    stack_t stack = {.ss_sp = alternate.stack, .ss_size = sizeof alternate.stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = handler;
    sigaction(SIGTRAP, &action, NULL);
    struct sigaction other = {.sa_flags = SA_ONSTACK};
    other.sa_handler = on_alternate;
    sigaction(SIGUSR1, &other, NULL);
    volatile double sum = 0;
    for (int i = 0; i < 2000; i++) {
        double half = i * 0.5;
        raise(SIGTRAP);
        __asm__ volatile("" : "+m"(half));
        sum += half;
    }
    for (jumps = 1; jumps <= 100; jumps++)
        if (!sigsetjmp(back, 1))
            raise(SIGTRAP);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 0; i < (int)sizeof alternate.guard; i++)
        wrong += alternate.guard[i] != 7;
    printf("calls %d, nested %d, wrong %d, sum %.1f, blocked %d\n", calls, nested, wrong, sum,
           sigismember(&mask, SIGTRAP));
    return 0;
}
"""

REFUSED = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
struct kernel_action { void *handler; unsigned long flags; void *restorer, *mask; };
static void show(const char *name, long r)
{
    int code = r < 0 ? errno : 0;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    struct sigaction now;
    sigaction(SIGTRAP, NULL, &now);
    printf("%s: %ld %d, blocked %d, ignored %d\n", name, r, code, sigismember(&mask, SIGTRAP),
           now.sa_handler == SIG_IGN);
}
int main(void)
{
    void *none = (void *)8, *readable = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kernel_action ignore = {.handler = SIG_IGN}, normal = {.handler = SIG_DFL};
    unsigned long trap = 1ul << (SIGTRAP - 1);
    show("action", syscall(SYS_rt_sigaction, SIGTRAP, none, NULL, 8L));
    show("old action", syscall(SYS_rt_sigaction, SIGTRAP, &ignore, none, 8L));
    show("old action, readable", syscall(SYS_rt_sigaction, SIGTRAP, &normal, readable, 8L));
    show("set", syscall(SYS_rt_sigprocmask, SIG_BLOCK, none, NULL, 8L));
    show("how", syscall(SYS_rt_sigprocmask, 77L, &trap, NULL, 8L));
    show("old set", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &trap, none, 8L));
    show("old set, readable", syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &trap, readable, 8L));
    show("no set", syscall(SYS_rt_sigprocmask, 77L, NULL, &trap, 8L));
    return 0;
}
"""

# The older calls, and what waits for a signal that is ignored then.
OLDER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile int calls;
static void handler(int signal) { (void)signal; calls++; }
static const char *named(void (*found)(int))
{
    return found == SIG_DFL ? "default" : found == SIG_IGN ? "ignore" : found == SIG_HOLD ? "hold"
         : found == SIG_ERR ? "error" : found == handler ? "handler" : "other";
}
static void show(const char *name, void (*was)(int))
{
    struct sigaction now;
    sigset_t mask, pending;
    sigaction(SIGTRAP, NULL, &now);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigpending(&pending);
    printf("%s: was %s, %s, flags %x, mask %d, blocked %d, pending %d, calls %d\n", name, named(was),
           named(now.sa_handler), now.sa_flags, sigismember(&now.sa_mask, SIGTRAP),
           sigismember(&mask, SIGTRAP), sigismember(&pending, SIGTRAP), calls);
}
static void *in_another(void *unused) { signal(SIGTRAP, SIG_IGN); return unused; }
int main(void)
{
    show("signal", signal(SIGTRAP, handler));
    errno = 0;
    show("signal error", signal(SIGTRAP, SIG_ERR));
    printf("%d\n", errno);
    show("set", sigset(SIGTRAP, handler));
    raise(SIGTRAP);
    show("hold", sigset(SIGTRAP, SIG_HOLD));
    raise(SIGTRAP);
    show("held", sigset(SIGTRAP, SIG_HOLD));
    show("let go", sigset(SIGTRAP, handler));
    show("let go again", sigset(SIGTRAP, SIG_IGN));
    sigignore(SIGTRAP);
    show("ignored", SIG_DFL);
    for (int i = 0; i < 4; i++) {
        pthread_t other;
        signal(SIGTRAP, handler);
        sighold(SIGTRAP);
        if (i & 1)
            kill(getpid(), SIGTRAP);
        else
            raise(SIGTRAP);
        show("waits", SIG_DFL);
        if (i < 2)
            sigignore(SIGTRAP);
        else if (pthread_create(&other, NULL, in_another, NULL) == 0)
            pthread_join(other, NULL);
        show("waited", signal(SIGTRAP, handler));
        sigrelse(SIGTRAP);
        show("let in", SIG_DFL);
    }
    return 0;
}
"""

# siginterrupt() is libc's own change of an action, which signal() remembers in glibc.
INTERRUPT = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
static void handler(int signal) { (void)signal; }
static void show(const char *name, int r)
{
    int code = r < 0 ? errno : 0;
    struct sigaction now;
    sigaction(SIGTRAP, NULL, &now);
    printf("%s: %d %d, flags %x, mask %d, handler %d\n", name, r, code, now.sa_flags,
           sigismember(&now.sa_mask, SIGTRAP), now.sa_handler == handler);
}
int main(void)
{
    show("first", siginterrupt(SIGTRAP, 1));
    signal(SIGTRAP, handler);
    show("handler", siginterrupt(SIGTRAP, 0));
    signal(SIGTRAP, handler);
    show("restart", 0);
    show("interrupt", siginterrupt(SIGTRAP, 1));
    signal(SIGTRAP, handler);
    show("interrupt still", 0);
    sigset(SIGTRAP, handler);
    show("set", siginterrupt(SIGTRAP, 0));
    show("kill", siginterrupt(SIGKILL, 1));
    show("none", siginterrupt(1000, 1));
    return 0;
}
"""

# Names that some libc has and another one has not, or that mean something else there. The default
# action of SIGUSR1 would end the program.
NAMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
typedef void (*call_function(int, void (*)(int)))(int);
static volatile int calls;
static void handler(int signal) { (void)signal; calls++; }
int main(int count, char **names)
{
    for (int i = 1; i < count; i++)
        for (int turn = 0; turn < 2; turn++) {
            int number = turn ? SIGTRAP : SIGUSR1;
            call_function *set = (call_function *)dlsym(RTLD_DEFAULT, names[i]);
            struct sigaction now = {.sa_handler = SIG_DFL};
            sigaction(number, &now, NULL);
            if (!set || set(number, handler) != SIG_DFL)
                return 1;
            sigaction(number, NULL, &now);
            printf("%s %d: flags %x, mask %d, ", names[i], number, now.sa_flags,
                   sigismember(&now.sa_mask, number));
            raise(number);
            sigaction(number, NULL, &now);
            printf("calls %d, kept %d\n", calls, now.sa_handler == handler);
        }
    return 0;
}
"""

# What threads and processes take over of whoever starts them.
INHERITED = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>
static __thread int calls;
static void handler(int signal) { (void)signal; calls++; }
static void show(const char *name)
{
    sigset_t mask, pending;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    sigpending(&pending);
    printf("%s: blocked %d, pending %d, calls %d\n", name, sigismember(&mask, SIGTRAP),
           sigismember(&pending, SIGTRAP), calls);
    fflush(stdout);
}
static void *thread(void *name)
{
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    for (volatile long i = 0; i < 20000000; i++)
        ;
    show(name);
    raise(SIGTRAP); // of this thread; with musl, pthread_kill() may merge with one of ours
    show("after its own");
    pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
    show("let in");
    return NULL;
}
static int c11_thread(void *name) { thread(name); return 0; }
static void start(const char *name, pthread_attr_t *attributes)
{
    pthread_t other;
    if (pthread_create(&other, attributes, thread, (void *)name) == 0)
        pthread_join(other, NULL);
}
int main(void)
{
    sigset_t trap;
    thrd_t other;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    signal(SIGTRAP, handler);
    start("open", NULL);
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    start("blocked", NULL);
    if (thrd_create(&other, c11_thread, "of C11") == thrd_success)
        thrd_join(other, NULL);
    show("creator");
#ifdef __GLIBC__
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    start("without a mask", &attributes);
    pthread_attr_setsigmask_np(&attributes, &trap);
    start("of its own mask", &attributes);
    pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
    start("of its own mask alone", &attributes);
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    sigemptyset(&trap);
    pthread_attr_setsigmask_np(&attributes, &trap);
    start("of an empty mask", &attributes);
#endif
    raise(SIGTRAP);
    show("before fork");
    if (fork() == 0) {
        show("child");
        start("thread of the child", NULL);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
"""


# A handler that works on an alternate stack of the smallest size that the system names, and 500 bytes.
SMALL_STACK = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
static volatile int calls;
static void work(long ns)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    long end = now.tv_sec * 1000000000 + now.tv_nsec + ns;
    do {
        for (volatile int i = 0; i < 1000; i++) {}
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000000000 + now.tv_nsec < end);
}
static void handler(int number) { work(5000000); calls++; }
int main(int argc, char **argv)
{
    int first = !strcmp(argv[1], "first");
    long frame = getauxval(AT_MINSIGSTKSZ);
    stack_t stack = {.ss_size = (frame ? frame : 2048) + 500};
    stack.ss_sp = malloc(stack.ss_size);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK}, shown;
    struct itimerval timer = {{0, 10000}, {0, 10000}};
    if (first) sigaltstack(&stack, NULL);
    sigaction(SIGALRM, &action, NULL);
    if (!first) sigaltstack(&stack, NULL);
    sigaction(SIGALRM, NULL, &shown);
    setitimer(ITIMER_REAL, &timer, NULL);
    work(300000000);
    printf("called %d, trap in the mask %d, urg %d\n", calls > 5, sigismember(&shown.sa_mask, SIGTRAP),
           sigismember(&shown.sa_mask, SIGURG));
    return 0;
}
"""


# A handler on such a stack that looks at what is blocked, and one that does not return.
SMALL_STACK_SEEN = r"""
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
static jmp_buf back;
static sigset_t all, seen;
static volatile int traps;
static void trap(int number) { traps++; }
static void looks(int number)
{
    sigset_t usr1;
    sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, &seen);
    sigprocmask(SIG_SETMASK, &seen, NULL);
}
static void leaves(int number)
{
    sigset_t own;
    sigemptyset(&own), sigaddset(&own, number);
    sigprocmask(SIG_UNBLOCK, &own, NULL);
    longjmp(back, 1);
}
int main(void)
{
    static char memory[4096];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = looks, .sa_flags = SA_ONSTACK};
    signal(SIGTRAP, trap);
    errno = 0;
    sigaltstack(&stack, NULL);
    printf("errno %d\n", errno);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = leaves;
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR1);
    raise(SIGTRAP);
    printf("shown %d, traps %d\n", sigismember(&seen, SIGTRAP), traps);
    if (!setjmp(back)) raise(SIGUSR2);
    raise(SIGTRAP);
    printf("traps %d\n", traps);
    return 0;
}
"""


# What is blocked in several steps, and goes on to another program.
MASK_IN_STEPS = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    sigset_t both, usr2;
    unsigned long bits = 1ul << (SIGTRAP - 1);
    char *const look[] = {"grep", "SigBlk", "/proc/self/status", NULL};
    char *const without_us[] = {"LD_PRELOAD=", "HONE_SESSION=", NULL};
    sigemptyset(&both), sigaddset(&both, SIGUSR2), usr2 = both, sigaddset(&both, SIGTRAP);
    sigprocmask(SIG_BLOCK, &both, NULL);
    if (!strcmp(argv[1], "others-out")) sigprocmask(SIG_UNBLOCK, &usr2, NULL);
    else sigprocmask(SIG_UNBLOCK, &both, NULL);
    if (!strcmp(argv[1], "hold")) sighold(SIGTRAP);
    if (!strcmp(argv[1], "syscall")) syscall(SYS_rt_sigprocmask, SIG_BLOCK, &bits, NULL, 8);
    execve("/bin/grep", look, without_us);
    return 1;
}
"""


# A program that may change no handler any more, and then makes such a stack.
SMALL_STACK_LOCKED_IN = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
static void handler(int number) {}
int main(void)
{
    static char memory[3000];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    sigaction(SIGALRM, &action, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    sigaltstack(&stack, NULL);
    puts("alive");
    return 0;
}
"""


# What a program blocks of our signal its children and successors block, and what waits goes on waiting.
MASK_AT_EXEC = r"""
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static sigjmp_buf jump;
static void handler(int number) {}
static void show(const char *name, int number)
{
    sigset_t mask, waiting;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigpending(&waiting);
    printf("%s: blocked %d, pending %d\n", name, sigismember(&mask, number),
           sigismember(&waiting, number));
    fflush(stdout);
}
int main(int argc, char **argv)
{
    int number = atoi(argv[1]), status;
    const char *step = argc > 2 ? argv[2] : "";
    char *const child[] = {argv[0], argv[1], "child", NULL};
    extern char **environ;
    posix_spawnattr_t attributes;
    sigset_t set, none;
    sigemptyset(&set), sigemptyset(&none);
    sigaddset(&set, number);
    signal(number, handler);
    if (!strcmp(step, "child")) { show("child", number); return 0; }
    if (!strcmp(step, "exec")) {
        show("after exec", number);
        for (int turn = 0; turn < 3; turn++) {
            pid_t pid = 0;
            posix_spawnattr_init(&attributes);
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
            posix_spawnattr_setsigmask(&attributes, turn == 1 ? &set : &none);
            posix_spawn(&pid, argv[0], NULL, turn ? &attributes : NULL, child, environ);
            waitpid(pid, &status, 0);
        }
        execl("/nonexistent", "none", NULL);
        show("after one that failed", number);
        if (fork() == 0) { execv(argv[0], child); _exit(1); }
        wait(&status);
        if (vfork() == 0) { execv(argv[0], child); _exit(1); }
        wait(&status);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        sigfillset(&set);
        if (sigsetjmp(jump, 1) == 0) {
            sigprocmask(SIG_BLOCK, &set, NULL);
            siglongjmp(jump, 1);
        }
        execv(argv[0], child);
        return 1;
    }
    show("begun", number);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(number);
#ifdef __GLIBC__
    int bits = sigsetmask(0x7fffffff);
    if (sigblock(0) != (0x7fffffff & ~(1 << 8 | 1 << 18))) return 2;
    sigsetmask(0), sigblock(bits);
#endif
    execl(argv[0], argv[0], argv[1], "exec", NULL);
    return 1;
}
"""


# Each one that a program sends to itself comes, also where libc blocks all signals as it sends.
SENT_TO_SELF = r"""
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
static volatile sig_atomic_t calls;
static void handler(int signal) { calls += signal == SIGTRAP; }
int main(void)
{
    int refused = 0;
    signal(SIGTRAP, handler);
    for (int i = 0; i < 100000; i++) {
        refused += raise(SIGTRAP) != 0;
        refused += raise(SIGTRAP) != 0;
    }
    printf("refused %d, came %d\n", refused, (int)calls);
    return 0;
}
"""


WAITED_FOR = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static void show(const char *name, int signal, const siginfo_t *info)
{
    printf("%s: %d of %d, code %d, by us %d\n", name, signal, info->si_signo, info->si_code,
           info->si_pid == getpid());
}
int main(void)
{
    static const struct timespec second = {.tv_sec = 1};
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 2; i++) {
        int number = i ? SIGTRAP : SIGUSR1;
        raise(number);
        show("raised", sigwaitinfo(&set, &info), &info);
        kill(getpid(), number);
        show("killed", sigtimedwait(&set, &info, &second), &info);
        pthread_kill(pthread_self(), number);
        show("thread killed", sigwaitinfo(&set, &info), &info);
        sigqueue(getpid(), number, (union sigval){.sival_int = 7});
        show("queued", sigwaitinfo(&set, &info), &info);
    }
    return 0;
}
"""


class OwnSignals(harness.TestCase):
    """Programs that use the signals a profiler would like to have."""

    def compiled(self, name, source, compiler='cc'):
        program = os.path.join(self.tmp, name)
        subprocess.run([compiler, '-w', '-x', 'c', '-', '-o', program, '-pthread'], input=source, text=True,
                       check=True)
        return program

    def check(self, kind, output, rate):
        recording = self.record(workload('sigs'), kind, '600', rate=rate)
        self.assertEqual((recording.status, recording.stdout), (0, output), recording.stderr)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        return profile

    def test_they_work_as_without_us(self):
        for rate in (1000, 10000):
            for kind, output in (('prof', b'received some\n'), ('alarm', b'received some\n'),
                                 ('trap', b'sent 2000 received 2000\n'),
                                 ('segv', b'sent 2000 received 2000\n'),
                                 ('altstack', b'sent 1 received 1\n'),
                                 ('steal', b'strangers 0\n'), ('raw', b'strangers 0\n'),
                                 ('mask', b'before 0 blocked 1 pending 1 received 0, '
                                          b'then pending 0 received 1\n')):
                with self.subTest(kind=kind, rate=rate):
                    profile = self.check(kind, output, rate)
                    self.assert_complete(profile)

    def test_a_handler_of_its_own_does_not_end_the_profile_silently(self):
        # After half its work the program installs handlers for all signals that we might use.
        profile = self.check('steal', b'strangers 0\n', 1000)
        if profile.cumulative()['work'] < 1.1 * NS:
            self.assertRegex('\n'.join(profile.comments).lower(), r'sigtrap|handler|signal')

    def test_death_by_sigtrap_is_death_by_sigtrap(self):
        recording = self.record(workload('sigs'), 'trapdie', '100', rate=10000)
        self.assertIn(recording.status, (-5, 128 + 5))

    def test_who_ends_itself_by_sigtrap_is_no_riddle(self):
        for command, status in (((workload('sigs'), 'trapdie', '100'), -5),
                                (('sh', '-c', f'{workload("sigs")} trapdie 100; exit $?'), 133)):
            recording = self.record(*command)
            self.assertEqual(recording.status, status)
            self.assertNotIn('SIGTRAP', '\n'.join(recording.profile.comments))

    def test_actions_are_shown_as_libc_and_the_kernel_show_them(self):
        program = self.compiled('actions', ACTIONS)
        recording = self.record(program)
        self.assertEqual(recording.status, 0)
        self.assertEqual(recording.stdout, self.run_plain(program).stdout)
        self.assertEqual(recording.stdout.count(b'flags'), 13)

    def test_a_handler_runs_on_the_stack_that_it_asked_for(self):
        program = self.compiled('below', BELOW)
        for rate in (1000, 10000):
            recording = self.record(program, rate=rate)
            self.assertEqual(recording.status, 0, recording.stderr)
            self.assertEqual(recording.stdout, self.run_plain(program).stdout)
            self.assertTrue(recording.stdout.startswith(b'calls 2100, '), recording.stdout)

    def test_who_waits_is_told_of_signals_as_libc_tells_of_them(self):
        self.as_without_us('waited', WAITED_FOR, b'queued: 5 of 5, code -1, by us 1')

    def test_what_the_kernel_refuses_is_refused(self):
        program = self.compiled('refused', REFUSED)
        recording = self.record(program)
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertEqual(recording.stdout, self.run_plain(program).stdout)
        self.assertEqual(recording.stdout.count(b' -1 '), 7)

    def test_older_calls_do_what_libc_does(self):
        compilers = ['cc'] + (['musl-gcc'] if shutil.which('musl-gcc') else [])
        for compiler in compilers:
            program = self.compiled(f'older-{compiler}', OLDER, compiler)
            recording = self.record(program)
            self.assertEqual(recording.status, 0, recording.stderr)
            self.assertEqual(recording.stdout, self.run_plain(program).stdout)
            self.assertIn(b'held: was hold, handler, ', recording.stdout)

    def as_without_us(self, name, source, said, *arguments, compilers=('cc', 'musl-gcc'),
                      options=()):
        for compiler in filter(shutil.which, compilers):
            with self.subTest(compiler=compiler):
                program = self.compiled(f'{name}-{compiler}', source, compiler)
                recording = self.record(program, *arguments, rate=10000, options=options)
                self.assertEqual(recording.status, 0, recording.stderr)
                self.assertEqual(recording.stdout.decode(),
                                 self.run_plain(program, *arguments).stdout.decode())
                self.assertIn(said, recording.stdout)

    def test_who_lets_the_signal_interrupt_calls_changes_its_own_action_only(self):
        self.as_without_us('interrupt', INTERRUPT, b'interrupt still: 0 0, ')

    def test_names_that_mean_something_else_in_another_libc(self):
        self.as_without_us('names', NAMES, b'__sysv_signal 5: ', 'signal', 'bsd_signal',
                           '__sysv_signal', 'sigset')

    def test_names_that_a_libc_lacks_do_what_they_do_elsewhere(self):
        self.as_without_us('names', NAMES, b'ssignal 5: ', 'ssignal', 'sysv_signal',
                           compilers=('cc',))
        if not shutil.which('musl-gcc'):
            self.skipTest('no musl-gcc')
        plain = self.run_plain(os.path.join(self.tmp, 'names-cc'), 'ssignal', 'sysv_signal').stdout
        program = self.compiled('names-musl', NAMES, 'musl-gcc')
        recording = self.record(program, 'ssignal', 'sysv_signal')
        self.assertEqual(recording.status, 0, recording.stderr)
        told = [line.rsplit(b'flags', 1)[1].split(b',', 1)[1] for line in plain.splitlines()]
        for line, rest in zip(recording.stdout.splitlines(), told):
            self.assertIn(rest.split(b', ', 1)[1], line)    # calls, kept
        self.assertEqual(len(recording.stdout.splitlines()), len(told))

    def test_threads_block_what_their_creator_blocks(self):
        self.as_without_us('inherited', INHERITED, b'blocked: blocked 1, pending 0, calls 0\n')

    def test_alternate_stacks_without_room_for_ours(self):
        program = self.compiled('small', SMALL_STACK)
        for order in ('first', 'last'):
            for engine in ('perf-trap', 'perf-signal', 'thread-timer', 'process-timer'):
                with self.subTest(order=order, engine=engine):
                    recording = self.record(program, order, rate=5000, options=('--engine', engine))
                    self.assertEqual(recording.status, 0, recording.stderr)
                    self.assertEqual(recording.stdout, self.run_plain(program, order).stdout)
                    self.assertEqual(recording.stdout, b'called 1, trap in the mask 0, urg 0\n')

    def test_what_such_handlers_see_and_leave(self):
        self.as_without_us('seen', SMALL_STACK_SEEN, b'errno 0\nshown 0, traps 1\ntraps 2\n')

    def test_what_is_blocked_in_steps_goes_on_to_other_programs(self):
        for step in ('others-out', 'hold', 'syscall', 'none'):
            program = self.compiled('steps', MASK_IN_STEPS)
            recording = self.record(program, step)
            self.assertEqual(recording.status, 0, recording.stderr)
            self.assertEqual(recording.stdout, self.run_plain(program, step).stdout)
            self.assertIn(b'00\n' if step == 'none' else b'10\n', recording.stdout)

    def test_such_stacks_in_a_sandbox(self):
        self.as_without_us('locked', SMALL_STACK_LOCKED_IN, b'alive\n', compilers=('cc',))

    def test_what_is_blocked_stays_so_in_other_programs(self):
        for number, name, engine in ((5, 'TRAP', 'perf-trap'), (23, 'URG', 'thread-timer')):
            options = ('--engine', engine)
            with self.subTest(engine=engine):
                self.as_without_us('masks', MASK_AT_EXEC, b'after exec: blocked 1', str(number),
                                   options=options)
                program = self.compiled('masks', MASK_AT_EXEC)
                command = ('env', f'--block-signal={name}', program, str(number), 'child')
                recording = self.record(*command, rate=10000, options=options)
                self.assertEqual(recording.status, 0, recording.stderr)
                self.assertEqual(recording.stdout, b'child: blocked 1, pending 0\n')

    def test_who_sends_it_to_itself_gets_each(self):
        self.as_without_us('self', SENT_TO_SELF, b'refused 0, came 200000\n')

    def test_calls_that_may_be_interrupted_are_not(self):
        # A blocking read in one thread while another works: EINTR would end the read.
        code = ('import os, threading, time\n'
                'r, w = os.pipe()\n'
                'def late():\n'
                '    end = time.thread_time() + 0.5\n'
                '    while time.thread_time() < end: pass\n'
                '    os.write(w, b"x")\n'
                'threading.Thread(target=late).start()\n'
                'print(os.read(r, 1))\n')
        recording = self.record('/usr/bin/python3', '-c', code, rate=10000)
        self.assertEqual((recording.status, recording.stdout), (0, b"b'x'\n"), recording.stderr)


if __name__ == '__main__':
    unittest.main()
