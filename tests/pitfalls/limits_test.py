"""Pitfalls: limits, privileges and sandboxes.
"""

import os
import resource
import shutil
import subprocess
import unittest

import harness
from harness import NS, workload

ARCHIVE = ('-Wl,--whole-archive', os.path.join(harness.BUILD, 'libhone.a'), '-Wl,--no-whole-archive')

RAW = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static long raw(long number, long a, long b, long c)
{
    register long fourth __asm__("r10") = 0, fifth __asm__("r8") = 0;
    long r;
    __asm__ volatile("syscall" : "=a"(r)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                     : "rcx", "r11", "memory");
    return r;
}
static void burn(void)
{
    struct timespec used;
    do
        for (volatile int i = 0; i < 1000000; i++)
            ;
    while (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0 && used.tv_sec < 1);
}
"""

RAW_FILTER = RAW + r"""
int main(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = {4, rules};
    burn();
    raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0);
    raw(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&filter);
    for (volatile int i = 0; i < 100000000; i++)
        ;
    raw(SYS_exit_group, 4, 0, 0);
}
"""

# By libc's function, which is seen; the program is ended by its own filter.
SEEN_FILTER = RAW_FILTER.replace('raw(SYS_prctl,', 'prctl(').replace(
    'raw(SYS_exit_group, 4, 0, 0);', 'syscall(SYS_getppid);').replace('SYS_exit_group, 0, 1', 'SYS_getppid, 1, 0')

RAW_TRAP = RAW + r"""
#include <signal.h>
int main(void)
{
    static const long none[4];
    long r;
    burn();
    register long size __asm__("r10") = 8;
    __asm__ volatile("syscall" : "=a"(r) : "a"(SYS_rt_sigaction), "D"(SIGTRAP), "S"(none), "d"(0),
                     "r"(size) : "rcx", "r11", "memory");
    for (volatile int i = 0; i < 2000000000; i++)
        ;
    return 4;
}
"""

RAW_DAEMON = RAW + r"""
int main(void)
{
    if (fork())
        _exit(0);
    setsid();
    if (fork())
        _exit(0);
    for (int fd = 0; fd < 70000; fd++)
        raw(SYS_close, fd, 0, 0);
    burn();
}
"""


class Limits(harness.TestCase):
    """Little room for descriptors, memory, stacks and locked pages."""

    def check(self, *limits):
        names = {resource.RLIMIT_NOFILE: 'nofile', resource.RLIMIT_AS: 'as',
                 resource.RLIMIT_MEMLOCK: 'memlock', resource.RLIMIT_STACK: 'stack',
                 resource.RLIMIT_SIGPENDING: 'sigpending', resource.RLIMIT_FSIZE: 'fsize'}
        arguments = [f'--{names[what]}={value}:{value}' for what, value in limits]
        recording = self.record('prlimit', *arguments, workload('split'), 'functions', '400')
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertRegex(recording.stdout, rb'\Ared \d+\ngreen \d+\nblue \d+\n\Z')
        self.assertEqual(recording.profile.problems(), [])
        return recording.profile

    def assert_seen_or_said(self, profile):
        if profile.cumulative()['by_functions'] < 0.35 * NS:
            self.assertRegex('\n'.join(profile.comments).lower(),
                             r'no samples|not covered|uncovered|cannot|could not|limit')

    def test_few_descriptors(self):
        for number in (4, 16):
            with self.subTest(descriptors=number):
                self.assert_seen_or_said(self.check((resource.RLIMIT_NOFILE, number)))

    def test_little_address_space(self):
        # 64 MB: no room for a reservation of gigabytes in the program.
        self.assert_seen_or_said(self.check((resource.RLIMIT_AS, 64 << 20)))

    def test_too_little_address_space_is_named(self):
        # There is room for libhone.so, and then for no part of the session.
        for limit in range(8000, 14000, 500):
            recording = self.record('sh', '-c', f'ulimit -v {limit}; exec "$@"', 'sh',
                                    workload('split'), 'functions', '50')
            comments = '\n'.join(recording.profile.comments)
            if recording.status == 0 and 'address space' in comments:
                break
        self.assertRegex(comments, r"address space is limited \('ulimit -v'\)")
        self.assertNotIn('setuid', comments)

    def test_too_few_descriptors_of_the_recorder_are_named(self):
        done = self.run_plain('prlimit', '--nofile=8:8', harness.HONE, 'record', '-o',
                              os.path.join(self.tmp, 'session'), 'true')
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'at most 8 may be open', done.stderr)
        self.assertIn(b'ulimit -n', done.stderr)

    def test_few_descriptors_of_a_recorder_outside_are_for_samples(self):
        threads, cpus = 11, os.cpu_count()
        code = ('import threading, time\n'
                f'for _ in range({threads - 1}):\n'
                '    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n'
                'print("started", flush=True)\n'
                'while True: pass\n')
        program = subprocess.Popen(['/usr/bin/python3', '-c', code], stdout=subprocess.PIPE)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        program.stdout.readline()
        # A thread has an anchor, and for each CPU an event for samples, one for ends, one for counts.
        for number, counted in ((threads * (2 * cpus + 1) + 14, False), (4000, True)):
            directory = os.path.join(self.tmp, f'session-{number}')
            done = self.run_plain('prlimit', f'--nofile={number}:{number}', harness.HONE, 'record',
                                  '-d', '1s', '-p', str(program.pid), '-o', directory)
            self.assertEqual(done.returncode, 0, done.stderr)
            profile = harness.Profile.read(os.path.join(directory, 'cpu.prof'))
            self.assertGreater(profile.total(), 0.2 * NS)
            self.assertEqual('not counted: ' not in '\n'.join(profile.comments), counted)

    @unittest.skipIf(os.getuid() != 0, 'makes a setuid program')
    def test_a_recorder_outside_that_runs_out_of_descriptors_late(self):
        # At a program that gains rights, where events are opened anew.
        program = os.path.join(self.tmp, 'other-sleep')
        shutil.copy('/bin/sleep', program)
        os.chown(program, 65534, 0)
        os.chmod(program, 0o4755)
        os.chmod(self.tmp, 0o755)
        many = f'for i in $(seq 800); do (:); [ $i = 300 ] && {program} 0.4 & done; wait; exit 7'
        for number in (22, 23, 24, 26):
            directory = os.path.join(self.tmp, f'late-{number}')
            done = self.run_plain('prlimit', f'--nofile={number}:{number}', harness.HONE, 'record',
                                  '--engine', 'outside', '-o', directory, '--', 'sh', '-c', many)
            self.assertIn(done.returncode, (1, 7), done.stderr)

    def test_no_locked_memory_and_no_queued_signals(self):
        self.assert_seen_or_said(self.check((resource.RLIMIT_MEMLOCK, 0),
                                            (resource.RLIMIT_SIGPENDING, 0)))

    def test_files_of_the_program_may_not_grow(self):
        # The shared memory is a file, too: its writer is the reader, not the program.
        self.assert_seen_or_said(self.check((resource.RLIMIT_FSIZE, 1 << 16)))


    def test_files_of_the_recorder_may_not_grow(self):
        # A clear word, and not its end by SIGXFSZ.
        mark = os.path.join(self.tmp, 'mark')
        done = self.run_plain('prlimit', '--fsize=10240:10240', harness.HONE, 'record', '-o',
                              os.path.join(self.tmp, 'session'), '--', 'touch', mark)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_clear_line(done.stderr, 'file too large')
        self.assertIn(b'ulimit -f', done.stderr)
        self.assertFalse(os.path.exists(mark))
        # Where they may grow to what the word names, less memory has to do.
        done = self.run_plain('prlimit', f'--fsize={5 << 20}', harness.HONE, 'record', '-q', '-o',
                              os.path.join(self.tmp, 'small'), '--', 'touch', mark)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertTrue(os.path.exists(mark))

    def test_small_stack(self):
        directory = os.path.join(self.tmp, 'small-stack')
        done = self.run_plain('prlimit', '--stack=65536:65536', harness.HONE, 'record', '-o', directory,
                              '--', 'sh', '-c', 'ulimit -s; exec "$@"', 'sh', workload('split'),
                              'functions', '400')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[0], b'64') # the program keeps its limit
        profile = harness.Recording(done, directory, None).profile
        self.assert_complete(profile)


class Privilege(harness.TestCase):
    @unittest.skipUnless(os.getuid() == 0, 'needs root to become somebody else')
    def test_an_ordinary_user_gets_a_profile(self):
        os.chmod(self.tmp, 0o777)
        recording = self.record_well(workload('split'), 'functions', '1000', user=65534,
                                     group=65534, extra_groups=[])
        profile = recording.profile
        self.assert_shares(profile.cumulative(), profile.total('samples'), recording.truth)
        self.assert_complete(profile)

    @unittest.skipUnless(os.getuid() == 0, 'needs root to become somebody else')
    def test_a_program_that_drops_its_privileges_is_followed(self):
        code = ('import os, time\n'
                'os.setgid(65534); os.setuid(65534)\n'
                'end = time.process_time() + 0.5\n'
                'def after_the_drop():\n'
                '    while time.process_time() < end: sum(range(1000))\n'
                'after_the_drop(); print("done")\n')
        recording = self.record_well('/usr/bin/python3', '-c', code)
        self.assertEqual(recording.stdout, b'done\n')
        self.assertGreater(recording.profile.total(), 0.45 * NS)

    def test_another_working_directory_and_root_do_not_matter(self):
        recording = self.record_well('sh', '-c', f'cd / && exec {workload("split")} functions 300')
        self.assertGreater(recording.profile.cumulative()['by_functions'], 0.28 * NS)


# Locks itself in by one of libc's functions, from where on prctl() and clock_gettime() end it; then
# leaves the usual way.
DOORS = r"""
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *volatile kept;
static void *work(void *unused)
{
    for (int i = 0; i < 10000; i++) {
        kept = malloc(100);
        free(kept);
    }
    return unused;
}
int main(int argc, char **argv)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {5, rules};
    work(NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int failed = argc > 1 && !strcmp(argv[1], "syscall")
                     ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)
                     : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
    pthread_t thread;
    if (failed || pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL))
        return 1;
    work(NULL);
    return 4;
}
"""

# The same with its own way to the kernel, by the names of libc's.
OWN_DOORS = DOORS.replace('int main(', RAW[RAW.index('static long raw'):RAW.index('static void burn')] +
                          r"""
int prctl(int option, ...)
{
    __builtin_va_list words;
    __builtin_va_start(words, option);
    long first = __builtin_va_arg(words, long), second = __builtin_va_arg(words, long);
    return raw(SYS_prctl, option, first, second);
}
int main(""")


class Sandbox(harness.TestCase):
    def test_seccomp(self):
        # Any system call but four ends this program from here on.
        recording = self.record_well(workload('sandbox'), 'lock', rate=10000)
        self.assertEqual(set(recording.truth), {'outside', 'locked_in'})
        self.assertGreater(recording.profile.cumulative()['outside'],
                           0.9 * recording.truth['outside'])
        self.assertRegex('\n'.join(recording.profile.comments), 'sandbox')

    def test_a_static_program_is_seen_at_its_door(self):
        for linked in (('-static',), ('-static-pie', '-fPIE'), ()):
            program = self.compiled(DOORS, *linked, *ARCHIVE)
            for how in ('prctl', 'syscall'):
                with self.subTest(linked=linked, how=how):
                    self.assertEqual(self.run_plain(program, how).returncode, 4)
                    for types in ('heap', 'cpu,heap'):
                        recording = self.record(program, how, options=('-t', types, '--heap-rate', '1'))
                        self.assertEqual(recording.status, 4, recording.stderr)
                        self.assertIn('in a sandbox', '\n'.join(recording.heap.comments))
                        self.assertEqual(sum(s.values[0] for s in recording.heap.samples), 10000)

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'its own system calls are those of x86')
    def test_a_static_program_with_doors_of_its_own_is_not_asked_its_name(self):
        program = self.compiled(OWN_DOORS.replace('SYS_clock_gettime', 'SYS_ptrace'), '-static', *ARCHIVE)
        self.assertEqual(self.run_plain(program).returncode, 4)
        recording = self.record(program, options=('-t', 'heap', '--heap-rate', '1', '--leaks', 'no'))
        self.assertEqual(recording.status, 4, recording.stderr)

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'its own system calls are those of x86')
    def test_a_filter_that_nobody_could_see_is_told(self):
        # In a library that makes them itself: prctl(PR_SET_SECCOMP) by an instruction.
        recording = self.record(self.compiled(RAW_FILTER))
        self.assertEqual(recording.status, -31)
        self.assertRegex('\n'.join(recording.profile.comments),
                         'ended by SIGSYS while it was sampled.*--engine outside')

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'its own system calls are those of x86')
    def test_a_shell_whose_program_such_a_filter_ends_says_so_too(self):
        recording = self.record('sh', '-c', f'{self.compiled(RAW_FILTER)}; exit $?')
        self.assertEqual(recording.status, 128 + 31)
        self.assertRegex('\n'.join(recording.profile.comments),
                         'a program that the first one started was ended by SIGSYS while it was '
                         'sampled.*--engine outside')

    def test_who_is_ended_by_a_filter_of_its_own_is_no_riddle(self):
        program = self.compiled(SEEN_FILTER)
        for command, status in (((program,), -31), (('sh', '-c', f'{program}; exit $?'), 128 + 31),
                                (('sh', '-c', 'exit 159'), 159)):
            recording = self.record(*command)
            self.assertEqual(recording.status, status)
            self.assertNotIn('SIGSYS', '\n'.join(recording.profile.comments))

    def test_who_sends_itself_the_signal_of_filters_is_told_of_none(self):
        work = 'x = sum(range(3000000)); '
        sends = ('signal.raise_signal(31)', 'os.kill(os.getpid(), 31)',
                 'subprocess.run(["kill", "-SYS", str(os.getpid())])')
        for send in sends:
            code = f'import os, signal, subprocess; {work}{send}'
            recording = self.record('/usr/bin/python3', '-c', code)
            self.assertEqual(recording.status, -31)
            self.assertNotIn('SIGSYS', '\n'.join(recording.profile.comments))
            # Nobody can look at one below, so what is said of it holds for both.
            recording = self.record('sh', '-c', f"/usr/bin/python3 -c '{code}'; exit $?")
            self.assertEqual(recording.status, 128 + 31)
            self.assertRegex('\n'.join(recording.profile.comments),
                             'SIGSYS while it was sampled: unless it was sent that signal')

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'its own system calls are those of x86')
    def test_who_takes_our_signal_unseen_is_told(self):
        program = self.compiled(RAW_TRAP)
        for command, status, who in (((program,), -5, 'the program'),
                                     (('sh', '-c', f'{program}; exit $?'), 128 + 5,
                                      'a program that the first one started')):
            recording = self.record(*command)
            if 'perf-trap' not in str(recording.session['processes']):
                self.skipTest('needs the engine perf-trap')
            self.assertEqual(recording.status, status)
            self.assertRegex('\n'.join(recording.profile.comments),
                             f'{who} was ended by SIGTRAP.*--engine thread-timer')

    @unittest.skipUnless(os.uname().machine == 'x86_64', 'its own system calls are those of x86')
    def test_a_daemon_that_closes_all_by_itself_is_told_first(self):
        recording = self.record('sh', '-c', f'{self.compiled(RAW_DAEMON)} & sleep 2; :', rate=100)
        self.assertEqual(recording.status, 0, recording.stderr)
        told = [c for c in recording.profile.comments if not c.startswith('#')]
        self.assertRegex(told[0], 'closed our descriptor.*--engine thread-timer')
        self.assertNotRegex('\n'.join(told), 'run it longer')

    def compiled(self, source, *linked):
        program = os.path.join(self.tmp, 'program')
        done = subprocess.run(['cc', '-O1', '-x', 'c', '-o', program, '-', '-x', 'none', *linked],
                              input=source, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        return program

    def check_without(self, kind, engine):
        directory = os.path.join(self.tmp, f'session-{kind}')
        done = self.run_plain(workload('sandbox'), kind, harness.HONE, 'record', '-o', directory,
                              '--', workload('split'), 'functions', '600')
        self.assertEqual(done.returncode, 0, done.stderr)
        profile = harness.Profile.read(os.path.join(directory, 'cpu.prof'))
        text = '\n'.join(profile.comments)
        self.assertRegex(text, engine)
        self.assertRegex(text, 'perf-trap: not permitted')
        return profile

    def test_perf_event_limits(self):
        profile = self.check_without('no-perf', 'engine: thread-timer')
        self.assertGreater(profile.cumulative()['by_functions'], 0.55 * NS)

    def test_without_any_timer_the_profile_says_why_it_is_empty(self):
        profile = self.check_without('no-timer', 'not covered: 1 process')
        self.assertEqual(profile.total('samples'), 0)
        self.assertRegex('\n'.join(profile.comments), 'empty')


@unittest.skipUnless(os.getuid() == 0, 'needs root to mount')
class SharedMemory(harness.TestCase):
    """A /dev/shm of one's own that has little room."""

    def check(self, size):
        directory = os.path.join(self.tmp, f'session-{size}')
        script = (f'mount -t tmpfs -o size={size} hone-test /dev/shm || exit 99; '
                  f'exec "{harness.HONE}" record -F 10000 -o "{directory}" -- '
                  f'"{workload("odd")}" paths 900')
        done = self.run_plain('unshare', '--mount', 'sh', '-c', script)
        if done.returncode == 99 or b'unshare' in done.stderr:
            self.skipTest('cannot mount here')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, rb'^branch \d+\n$')
        return harness.Profile.read(os.path.join(directory, 'cpu.prof'))

    def test_full_from_the_start(self):
        self.assertGreater(self.check('64k').cumulative()['paths'], 0.7e9)

    def test_full_in_the_middle(self):
        profile = self.check('1m')
        self.assertEqual(profile.problems(), [])
        self.assertGreater(profile.total(), 0.3e9)


if __name__ == '__main__':
    unittest.main()
