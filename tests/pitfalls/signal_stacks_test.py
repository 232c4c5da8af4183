"""Pitfalls: handlers on stacks that have no room for a profiler's own.
"""

import unittest

from signal_programs import SignalsTestCase

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

SMALL_STACK_SEEN = r"""
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
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
    // Room for the frame, and for the loader, which keeps as much where it looks up a function.
    long frame = getauxval(AT_MINSIGSTKSZ);
    stack_t stack = {.ss_size = 2 * (frame ? frame : 2048)};
    stack.ss_sp = malloc(stack.ss_size);
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


class Stacks(SignalsTestCase):
    """Handlers on the stacks that they asked for, however small."""

    def test_a_handler_runs_on_the_stack_that_it_asked_for(self):
        program = self.compiled('below', BELOW)
        for rate in (1000, 10000):
            recording = self.record(program, rate=rate)
            self.assertEqual(recording.status, 0, recording.stderr)
            self.assertEqual(recording.stdout, self.run_plain(program).stdout)
            self.assertTrue(recording.stdout.startswith(b'calls 2100, '), recording.stdout)

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

    def test_such_stacks_in_a_sandbox(self):
        self.as_without_us('locked', SMALL_STACK_LOCKED_IN, b'alive\n', compilers=('cc',))


if __name__ == '__main__':
    unittest.main()
