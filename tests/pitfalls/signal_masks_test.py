"""Pitfalls: programs that block the signals a profiler would like to have, and what they start.
"""

import unittest

from signal_programs import SignalsTestCase

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


class Masks(SignalsTestCase):
    """What is blocked stays blocked, and what was sent comes once for each time."""

    def test_threads_block_what_their_creator_blocks(self):
        self.as_without_us('inherited', INHERITED, b'blocked: blocked 1, pending 0, calls 0\n')

    def test_what_is_blocked_in_steps_goes_on_to_other_programs(self):
        for step in ('others-out', 'hold', 'syscall', 'none'):
            program = self.compiled('steps', MASK_IN_STEPS)
            recording = self.record(program, step)
            self.assertEqual(recording.status, 0, recording.stderr)
            self.assertEqual(recording.stdout, self.run_plain(program, step).stdout)
            self.assertIn(b'00\n' if step == 'none' else b'10\n', recording.stdout)

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


if __name__ == '__main__':
    unittest.main()
