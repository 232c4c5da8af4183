"""Pitfalls: programs that use the signals a profiler would like to have.
"""

import os
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


class OwnSignals(harness.TestCase):
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
        program = os.path.join(self.tmp, 'actions')
        subprocess.run(['cc', '-x', 'c', '-', '-o', program], input=ACTIONS, text=True, check=True)
        recording = self.record(program)
        self.assertEqual(recording.status, 0)
        self.assertEqual(recording.stdout, self.run_plain(program).stdout)
        self.assertEqual(recording.stdout.count(b'flags'), 13)

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
