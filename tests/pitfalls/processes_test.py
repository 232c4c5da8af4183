"""Pitfalls of profilers inside a process: processes that copy, replace and end themselves.

Every program here checks itself and says so by its output and status; several run at 10 000 Hz,
where a signal is always about to arrive. rows.py names the pitfalls.
"""

import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import NS, workload


# Prints how many children died of each kind: by execl(), by execv() that was looked up in libc, by
# a program that is not there and then one that is, and one that gives SIGTRAP its default action.
PAST_HOOKS = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef INNER
static void work(long n) { for (volatile long i = 0; i < n; i++) {} }
static int child(int kind)
{
    int (*found)(const char *, char *const *) = dlsym(dlopen("libc.so.6", RTLD_LAZY), "execv");
    char *words[] = {"true", NULL};
    pid_t pid = fork();
    if (pid == 0) {
        work(200000);
        if (kind == 0) execl("/bin/true", "true", NULL);
        if (kind == 1) found("/bin/true", words);
        if (kind == 2) { execv("/nowhere/true", words); work(3000000); execvp("true", words); }
        if (kind == 3) { signal(SIGTRAP, SIG_DFL); work(60000000); _exit(0); }
        _exit(9);
    }
    int status;
    return waitpid(pid, &status, 0) != pid || status != 0;
}
void run(void)
{
    int died[4] = {0};
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < (kind < 3 ? 60 : 1); i++)
            died[kind] += child(kind);
    printf("died: %d %d %d %d\n", died[0], died[1], died[2], died[3]);
}
#else
int main(int argc, char **argv)
{
    void *library = dlopen(argv[argc - 1], RTLD_NOW | RTLD_DEEPBIND);
    void (*run)(void) = library ? (void (*)(void))dlsym(library, "run") : NULL;
    if (!run) return 1;
    run();
    return 0;
}
#endif
'''


class Fork(harness.TestCase):
    """Copies that take longer than the time between two signals; children that are not ours."""

    def check(self, how, number):
        recording = self.record(workload('forks'), 'storm', how, str(number), rate=10000)
        self.assertEqual((recording.status, recording.stdout),
                         (0, f'done {number}\n'.encode()), recording.stderr)
        self.assertEqual(recording.profile.problems(), [])

    def test_fork_storm(self):
        self.check('fork', 1000)

    def test_vfork_storm(self):
        self.check('vfork', 2000)

    def test_clone_storm(self):
        self.check('clone', 1000)

    def test_posix_spawn_storm(self):
        self.check('spawn', 400)

    def test_fork_of_a_process_with_much_memory_comes_to_its_end(self):
        # Copying the page tables of 400 MB takes far longer than 0.1 ms: a profiler whose signal
        # interrupts fork() makes it start again for ever.
        code = ('import os\nblock = bytearray(400 << 20)\n'
                'for i in range(0, len(block), 4096): block[i] = 1\n'
                'for _ in range(10):\n'
                '    pid = os.fork()\n'
                '    if pid == 0: os._exit(0)\n'
                '    assert os.waitpid(pid, 0)[1] == 0\n'
                'print("done")')
        recording = self.record('/usr/bin/python3', '-c', code, rate=10000, timeout=100)
        self.assertEqual((recording.status, recording.stdout), (0, b'done\n'), recording.stderr)


class Exec(harness.TestCase):
    def test_a_chain_of_execs_is_not_killed_by_a_late_signal(self):
        for rate in (1000, 10000):
            with self.subTest(rate=rate):
                recording = self.record(workload('forks'), 'chain', '400', rate=rate)
                self.assertEqual((recording.status, recording.stdout), (0, b'done 400\n'),
                                 recording.stderr)

    def test_calls_of_libc_s_own_functions_come_to_us(self):
        # A library that looks into its own dependencies first, and what dlsym() finds in libc.
        source, library, program = (os.path.join(self.tmp, name)
                                    for name in ('inner.c', 'inner.so', 'outer'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write(PAST_HOOKS)
        for flags, target in (('-DINNER -shared -fPIC', library), ('-DOUTER', program)):
            subprocess.run(['cc', '-O1', *flags.split(), '-o', target, source], check=True,
                           capture_output=True, timeout=60)
        for rate in (1000, 10000):
            with self.subTest(rate=rate):
                recording = self.record(program, library, rate=rate)
                self.assertEqual((recording.status, recording.stdout), (0, b'died: 0 0 0 0\n'),
                                 recording.stderr)

    def test_exec_into_a_static_program(self):
        # Nothing of ours is in the new program: a signal would meet the default action.
        for _ in range(20):
            recording = self.record('sh', '-c', f'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; '
                                    f'exec {workload("static")} 7', rate=10000)
            self.assertEqual((recording.status, recording.stdout), (7, b'static\n'),
                             recording.stderr)

    def test_exec_from_a_thread_while_others_work(self):
        code = ('import os, threading, time\n'
                'for _ in range(4): threading.Thread(target=lambda: [sum(range(9999)) '
                'for _ in range(10**6)], daemon=True).start()\n'
                'time.sleep(0.1)\n'
                'threading.Thread(target=lambda: os.execv("/bin/echo", ["echo", "done"])).start()\n'
                'time.sleep(60)\n')
        for _ in range(10):
            recording = self.record('/usr/bin/python3', '-c', code, rate=10000)
            self.assertEqual((recording.status, recording.stdout), (0, b'done\n'),
                             recording.stderr)

    def test_a_wrapper_that_preloads_something_else_is_followed(self):
        recording = self.record_well('sh', '-c', 'LD_PRELOAD=libm.so.6 exec '
                                     f'{workload("split")} functions 400')
        self.assertGreater(recording.profile.cumulative()['by_functions'], 0.38 * NS)
        # Its own library stays, behind ours; one who clears the list is left alone.
        recording = self.record('sh', '-c', 'LD_PRELOAD=libm.so.6 printenv LD_PRELOAD; '
                                'LD_PRELOAD= printenv LD_PRELOAD')
        self.assertRegex(recording.stdout, rb'\A\S+/libhone\.so:libm\.so\.6\n\n\Z')

    # How a program is started with an environment: by a call of libc's.
    STARTS = {
        'execve': 'os.execve(path, args, env)',
        'fexecve': 'os.execve(os.open(path, os.O_RDONLY), args, env)',
        'posix_spawn': 'os.waitpid(os.posix_spawn(path, args, env), 0)',
        'posix_spawnp': 'os.waitpid(os.posix_spawnp(name, args, env), 0)',
        'subprocess': 'subprocess.run([path, *args[1:]], env=env)',
    }

    def start(self, how, env, *args, **options):
        code = (f'import os, subprocess, sys\nenv = {env}\npath, name, args = sys.argv[1], '
                f'os.path.basename(sys.argv[1]), sys.argv[1:]\n'
                f'os.environ["PATH"] = os.path.dirname(path)\n{self.STARTS[how]}\n')
        return self.record('/usr/bin/python3', '-c', code, *args, **options)

    def test_an_environment_of_its_own_is_followed(self):
        for how in self.STARTS:
            for env in ('{}', '{**os.environ, "LD_PRELOAD": "libm.so.6"}'):
                with self.subTest(how=how, env=env):
                    recording = self.start(how, env, workload('split'), 'functions', '200')
                    self.assertEqual(recording.status, 0, recording.stderr)
                    self.assertEqual(set(recording.truth), {'red', 'green', 'blue'})
                    self.assertGreater(recording.profile.cumulative()['by_functions'], 0.18 * NS)

    def test_what_is_put_back_and_what_is_left_alone(self):
        ours, session = r'LD_PRELOAD=\S+/libhone\.so', r'HONE_SESSION=/\S+'
        for how in ('execve', 'posix_spawn'):
            for env, expected in (
                    ('{}', rf'{ours}\n{session}\n'),
                    ('{"A": "1"}', rf'A=1\n{ours}\n{session}\n'),
                    ('{"LD_PRELOAD": "libm.so.6"}', rf'{ours}:libm\.so\.6\n{session}\n'),
                    # Who takes us away on purpose has his will.
                    ('{"LD_PRELOAD": ""}', r'LD_PRELOAD=\n'),
                    ('{"HONE_SESSION": "/x"}', r'HONE_SESSION=/x\n')):
                with self.subTest(how=how, env=env):
                    recording = self.start(how, env, '/usr/bin/env')
                    self.assertEqual(recording.status, 0, recording.stderr)
                    self.assertRegex(recording.stdout.decode(), rf'\A{expected}\Z')

    def test_a_program_with_rights_of_its_own_gets_the_environment_that_it_was_given(self):
        if os.getuid():
            self.skipTest('needs root to make a setuid program')
        program = os.path.join(self.tmp, 'env')
        shutil.copy('/usr/bin/env', program)
        os.chmod(program, 0o4755)
        for how in ('fexecve', 'posix_spawn'):
            with self.subTest(how=how):
                recording = self.start(how, '{"A": "1"}', program)
                self.assertEqual(recording.stdout, b'A=1\n', recording.stderr)

    def test_a_library_that_cannot_be_reached_is_not_put_back(self):
        # The loader would complain on the program's stderr.
        if self.run_plain('unshare', '--mount', 'true').returncode:
            self.skipTest('cannot mount here')
        program, empty = os.path.join(self.tmp, 'split'), os.path.join(self.tmp, 'empty')
        shutil.copy(workload('split'), program)
        os.mkdir(empty)
        for how in ('execve', 'posix_spawn'):
            with self.subTest(how=how):
                code = (f'import ctypes, os, sys\n'
                        f'path, args, env = sys.argv[3], sys.argv[3:], {{}}\n'
                        f'assert ctypes.CDLL(None).mount(sys.argv[1].encode(), '
                        f'sys.argv[2].encode(), None, 4096, None) == 0\n{self.STARTS[how]}\n')
                recording = self.record('unshare', '--mount', '/usr/bin/python3', '-c', code, empty,
                                        harness.BUILD, program, 'functions', '200')
                self.assertEqual(recording.status, 0, recording.stderr)
                self.assertEqual(set(recording.truth), {'red', 'green', 'blue'})
                self.assertNotIn(b'ld.so', recording.stderr)


class Children(harness.TestCase):
    def test_fork_child_inherits_locks_and_no_timers(self):
        # What handlers of other threads had taken when a process was copied would add up.
        recording = self.record(workload('lineage'), '400', '3', rate=20000)
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = recording.profile
        self.assertGreater(profile.cumulative()['youngest'], 0.9 * recording.truth['youngest'])
        # Some are left out where a thread would not get on between two of them.
        lost = re.search(r'lost: (\d+) samples, too many handlers', '\n'.join(profile.comments))
        self.assertLess(int(lost[1]) if lost else 0, 0.1 * profile.total('samples'))

    def test_vfork_shares_memory(self):
        # The child's exec must not stop the sampling of the parent.
        recording = self.record_well(workload('forks'), 'vfork', '600')
        for name, ns in recording.truth.items():
            self.assertGreater(recording.profile.cumulative()[name], 0.95 * ns - 2e6, name)
        self.assertEqual(set(recording.truth), {'child_work', 'parent_work'})

    def test_a_signal_after_the_timer_is_deleted(self):
        # Sampling stops while signals are on their way in other threads.
        for ms in (150, 250, 350):
            with self.subTest(after=ms):
                recording = self.record(workload('threads'), 'many', '16', '100', rate=20000,
                                        options=['-d', f'{ms}ms'])
                self.assertEqual(recording.status, 0, recording.stderr)
                self.assertIn('crowd', recording.truth)

    def test_only_linked_costs_nothing(self):
        # Preloaded, but nobody records: no handler, no descriptor, no thread.
        kept = [line for line in self.run_plain(workload('mirror')).stdout.splitlines()
                if not line.startswith(b'environment')]
        here = {**os.environ, 'LD_PRELOAD': os.path.join(harness.BUILD, 'libhone.so')}
        with_us = [line for line in self.run_plain(workload('mirror'), env=here).stdout.splitlines()
                   if not line.startswith(b'environment')]
        self.assertEqual(with_us, kept)
        self.assertTrue(any(line.startswith(b'SigCgt') for line in kept))

    def test_setuid_with_the_library_linked_in(self):
        if os.getuid() or os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('needs root, and a file system with set-user-id')
        source, program = (os.path.join(self.tmp, name) for name in ('own.c', 'own'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write('int hone_recording(void); int main(void) { return hone_recording(); }')
        subprocess.run(['cc', '-static', '-o', program, source, '-Wl,--whole-archive',
                        os.path.join(harness.BUILD, 'libhone.a'), '-Wl,--no-whole-archive'],
                       check=True, capture_output=True, timeout=60)
        code = ('import os, sys; os.setgid(65534); os.setuid(65534); '
                'print("recording", os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]))')
        for mode, expected in ((0o755, b'recording 1\n'), (0o4755, b'recording 0\n')):
            os.chmod(program, mode)
            recording = self.record('/usr/bin/python3', '-c', code, program)
            self.assertEqual(recording.stdout, expected, recording.stderr)


if __name__ == '__main__':
    unittest.main()
