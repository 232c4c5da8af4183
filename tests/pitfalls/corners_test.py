"""Pitfalls: what programs do that a profiler inside them is easily caught by. None of it may go
another way because of us."""

import os
import platform
import signal
import subprocess
import unittest

import harness
from harness import workload

ENGINES = ('perf-trap', 'perf-signal', 'thread-timer', 'process-timer')


class Corners(harness.TestCase):
    def check(self, *arguments, **options):
        self.assertEqual(self.run_plain(workload('corners'), *arguments).stdout[-5:], b'fine\n')
        recording = self.record(workload('corners'), *arguments, **options)
        self.assertEqual((recording.status, recording.stdout[-5:]), (0, b'fine\n'),
                         f'{arguments}: {recording.stdout} {recording.stderr}')
        self.assertEqual(recording.profile.problems(), [])
        return recording

    def test_fork_while_another_thread_holds_a_lock_of_the_loader(self):
        self.check('forks', '100')

    def test_thread_that_begins_while_the_program_locks_itself_in(self):
        for engine in ENGINES:
            with self.subTest(engine):
                self.check('lock', '50', options=('--engine', engine))

    def test_execveat_by_syscall(self):
        self.check('execveat', '200', rate=10000)

    def test_child_that_libc_does_not_know_of(self):
        recording = self.check('raw')
        self.assertGreater(recording.profile.cumulative()['child_work'],
                           0.9 * recording.truth['child_work'])

    def test_signal_to_the_process_reaches_who_takes_it(self):
        for engine, number in (('perf-trap', signal.SIGTRAP), ('thread-timer', signal.SIGURG)):
            for kind in ('sigwait', 'handler'):
                with self.subTest(engine, kind=kind):
                    self.check(kind, str(int(number)), options=('--engine', engine))

    # Each call is made by a child, with a stack that is 8 bytes off what the convention wants.
    MISALIGNED = r'''
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#define CALL "and $-16, %%rsp\n sub $8, %%rsp\n"
#define NAMED(function) " call *%[" #function "]\n"
#define TO(function) [function] "r"(function)
#define CHILD(name, ...) \
    if (!(child = fork())) \
        asm volatile(__VA_ARGS__); \
    if (waitpid(child, &status, 0) != child) return 1; \
    printf("%s %x\n", name, status);
int main(void)
{
    char *words[] = {"true", NULL};
    int status;
    pid_t child;
    CHILD("exit", CALL "mov $5, %%edi\n" NAMED(_exit) :: TO(_exit) : "memory", "rdi")
    CHILD("exec", CALL "mov %0, %%rdi\n mov %1, %%rsi\n xor %%edx, %%edx\n" NAMED(execve)
          :: "b"("/bin/true"), "r"(words), TO(execve) : "memory", "rdi", "rsi", "rdx")
    CHILD("memory", CALL "mov $64, %%edi\n" NAMED(malloc) "mov %%rax, %%rdi\n" NAMED(free)
          "mov $3, %%edi\n" NAMED(close) "mov $7, %%edi\n" NAMED(_exit)
          :: [malloc] "b"(malloc), [free] "r"(free), [close] "r"(close), [_exit] "r"(_exit)
          : "memory", "rdi", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11")
    return 0;
}'''

    @unittest.skipUnless(platform.machine() == 'x86_64', 'its assembly')
    def test_callers_whose_stack_is_not_aligned(self):
        source, program = (os.path.join(self.tmp, name) for name in ('callers.c', 'callers'))
        with open(source, 'w', encoding='ascii') as file:
            file.write(self.MISALIGNED)
        subprocess.run(['cc', '-O1', '-fno-builtin', source, '-o', program], check=True)
        plain = self.run_plain(program)
        self.assertEqual(plain.stdout, b'exit 500\nexec 0\nmemory 700\n')
        for options in (('-t', 'cpu'), ('-t', 'cpu,heap', '--heap-rate', '1'), ('-t', 'all')):
            with self.subTest(options):
                self.assertEqual(self.record(program, options=options).stdout, plain.stdout)

    def test_close_range_beyond_all_descriptors(self):
        self.check('range')

    def test_who_only_asks_for_seccomp_is_sampled_on(self):
        recording = self.check('ask')
        found = recording.profile.cumulative()
        for name in ('before', 'after'):
            self.assertGreater(found[name], 0.9 * recording.truth[name])
        self.assertNotRegex('\n'.join(recording.profile.comments), 'sandbox|not sampled')

    def test_time_after_the_descriptor_was_closed_is_nobodys(self):
        recording = self.check('close')
        self.check_rest(recording, 'before', 'after', 'closed our descriptor')

    def test_time_in_a_sandbox_is_nobodys(self):
        recording = self.record_well(workload('sandbox'), 'lock')
        self.check_rest(recording, 'outside', 'locked_in', 'sandbox')

    def check_rest(self, recording, seen, unseen, why):
        """Nothing that was not sampled is given to what was."""
        found = recording.profile.cumulative()
        self.assertLess(found[seen], recording.truth[seen] + 0.1 * recording.truth[unseen])
        self.assertNotIn(unseen, found)
        self.assertGreater(found['[not sampled]'], 0.7 * recording.truth[unseen])
        self.assertRegex('\n'.join(recording.profile.comments),
                         f'(?m)^not sampled: [0-9.]+ s of 1 process such as .*{why}')
        self.assertGreater(recording.session['losses']['not_sampled_ns'], 0)
