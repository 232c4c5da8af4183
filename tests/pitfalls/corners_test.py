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


# A vfork child takes our numbers, in a table of its own; then the program closes all it has.
BORROWER = r"""
#define _GNU_SOURCE
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(void)
{
    if (vfork() == 0) {
        for (int i = 1000; i < 1010; i++) dup2(0, i);
        _exit(0);
    }
    wait(NULL);
    for (int i = 3; i < 1100; i++) close(i);
    for (volatile clock_t start = clock(); clock() - start < CLOCKS_PER_SEC / 2;) {}
    return 0;
}
"""

# One thread takes the number of another's event, which then comes to an exec that fails.
TAKEN_NUMBER = r"""
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static sem_t begun, taken;
static void *other(void *unused)
{
    char *const none[] = {"none", NULL};
    sem_post(&begun);
    sem_wait(&taken);
    execv("/nonexistent/none", none);
    return NULL;
}
int main(void)
{
    pthread_t thread;
    int numbers[64], count = 0, open_still = 0, null = open("/dev/null", O_RDWR);
    sem_init(&begun, 0, 0), sem_init(&taken, 0, 0);
    pthread_create(&thread, NULL, other, NULL);
    sem_wait(&begun);
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(directory));)
        if (atoi(entry->d_name) >= 1000 && count < 64) numbers[count++] = atoi(entry->d_name);
    for (int i = 0; i < count; i++) dup2(null, numbers[i]);
    sem_post(&taken);
    pthread_join(thread, NULL);
    for (int i = 0; i < count; i++) open_still += fcntl(numbers[i], F_GETFD) >= 0;
    printf("taken %d, open %d\n", count, open_still);
    return 0;
}
"""


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

    def compiled(self, source):
        program = os.path.join(self.tmp, 'program')
        subprocess.run(['cc', '-O1', '-w', '-x', 'c', '-', '-o', program, '-pthread'], input=source,
                       text=True, check=True)
        return program

    def test_a_vfork_child_that_takes_our_numbers(self):
        recording = self.record_well(self.compiled(BORROWER))
        self.assertGreater(recording.profile.total(where=lambda s: s.has('main')), 0.4e9)

    def test_a_number_that_another_threads_event_had_is_not_closed(self):
        program = self.compiled(TAKEN_NUMBER)
        for engine in ENGINES:
            with self.subTest(engine):
                recording = self.record(program, options=('--engine', engine))
                taken, still = recording.stdout.decode().split(', open ')
                self.assertEqual(taken.split()[-1], still.strip())
                if engine == 'perf-signal':
                    self.assertNotEqual(still.strip(), '0')

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
