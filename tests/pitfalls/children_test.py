"""Pitfalls: children that a program makes past libc, by system calls of its own.
"""

import os
import subprocess
import unittest

import harness
from harness import NS


# A child works, and tells what became of the program's handler.
CHILD = r'''
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static void handler(int signal) {}
static void work(double seconds)
{
    struct timespec now;
    double until = -1, at;
    do {
        for (volatile int i = 0; i < 10000; i++) {}
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        at = now.tv_sec + now.tv_nsec / 1e9;
        until = until < 0 ? at + seconds : until;
    } while (at < until);
}
#define WORK(name) __attribute__((noinline, noclone)) static void name(double seconds) \
    { work(seconds); __asm__ volatile("" ::: "memory"); }
WORK(in_child) WORK(in_parent)
int main(int argc, char **argv)
{
    // What clone3() had first: flags, three places, the signal of its end, no stack, no storage.
    unsigned long flags = strtoul(argv[2], NULL, 16), args[8] = {flags, 0, 0, 0, SIGCHLD};
    struct sigaction action = {.sa_handler = handler};
    int status;
    sigaction(SIGTRAP, &action, NULL);
    long child = !strcmp(argv[1], "clone3") ? syscall(SYS_clone3, args, sizeof args)
                                            : syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) return errno == ENOSYS ? 77 : 1;
    if (child == 0) {
        in_child(0.3);
        sigaction(SIGTRAP, NULL, &action);
        printf("%s\n", action.sa_handler == handler ? "kept" :
                       action.sa_handler == SIG_DFL ? "default" : "other");
        fflush(stdout);
        _exit(6);
    }
    if (waitpid(child, &status, 0) != child || status != 0x600) return 2;
    in_parent(0.3);
    if (syscall(SYS_clone3, 1L, sizeof args) != -1 || (errno != EFAULT && errno != ENOSYS)) return 3;
    return 0;
}
'''

CLONE_FILES, CLONE_VFORK, CLONE_CLEAR_SIGHAND = 0x400, 0x4000, 0x100000000


class Children(harness.TestCase):
    def record_child(self, call, flags, handler='kept', **options):
        source, program = os.path.join(self.tmp, 'child.c'), os.path.join(self.tmp, 'child')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(CHILD)
        subprocess.run(['cc', '-O1', '-w', '-o', program, source], check=True,
                       capture_output=True, timeout=60)
        recording = self.record(program, call, f'{flags:x}', rate=1000, **options)
        if recording.status == 77:
            self.skipTest('no clone3() here')
        self.assertEqual((recording.status, recording.stdout), (0, f'{handler}\n'.encode()),
                         recording.stderr)
        return recording.profile

    def check_followed(self, call, flags, handler='kept', **options):
        for engine in ('perf-trap', 'thread-timer'):
            with self.subTest(engine=engine):
                sums = self.record_child(call, flags, handler,
                                         options=('--engine', engine)).cumulative()
                for name in ('in_child', 'in_parent'):
                    self.assertGreater(sums[name], 0.95 * 0.3 * NS, name)

    def test_clone3_as_fork_is_followed(self):
        self.check_followed('clone3', 0)

    def test_clone3_whose_child_has_no_handlers_is_followed(self):
        self.check_followed('clone3', CLONE_CLEAR_SIGHAND, 'default')

    def test_a_parent_that_waits_is_followed_by_its_child(self):
        self.check_followed('clone3', CLONE_VFORK)

    def test_a_child_that_shares_descriptors_does_not_close_its_parents(self):
        for call in ('clone', 'clone3'):
            with self.subTest(call=call):
                profile = self.record_child(call, CLONE_FILES)
                self.assertGreater(profile.cumulative()['in_parent'], 0.95 * 0.3 * NS)
                self.assertRegex('\n'.join(profile.comments),
                                 'not covered: 1 thread.*or processes made by clone')
        profile = self.record_child(call, CLONE_FILES, options=('--engine', 'outside'))
        self.assertGreater(profile.cumulative()['in_child'], 0.9 * 0.3 * NS)

    def test_what_no_program_told_of_has_a_next_step(self):
        program = harness.workload('split')
        recording = self.record('sh', '-c', f'{program} functions 300; LD_PRELOAD= {program} functions 300')
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertRegex('\n'.join(recording.profile.comments),
                         r'not covered: 0\.[23]\d+ s of CPU time .* no program told of.*--engine outside')


if __name__ == '__main__':
    unittest.main()
