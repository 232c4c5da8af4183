"""Pitfalls: programs that use the signals a profiler would like to have.
"""

import os
import shutil
import unittest

from harness import NS, workload
from signal_programs import SignalsTestCase

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


class OwnSignals(SignalsTestCase):
    """Programs that use the signals a profiler would like to have."""

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
