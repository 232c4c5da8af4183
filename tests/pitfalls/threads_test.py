"""Pitfalls: threads and stacks of every kind.
"""

import os
import platform
import subprocess
import unittest

import harness
from harness import NS, workload
from seccomp_filter import EPERM, refuse_perf


LENT = r'''
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static char stacks[2][1 << 16];
static volatile int ended;
static void work(double seconds)
{
    struct timespec now;
    double until = -1;
    do {
        for (volatile int i = 0; i < 10000; i++) {}
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        double at = now.tv_sec + now.tv_nsec / 1e9;
        until = until < 0 ? at + seconds : until;
        if (at >= until) break;
    } while (1);
}
__attribute__((noinline, noclone)) static int lent(void *unused)
{
    work(0.4);
    __sync_fetch_and_add(&ended, 1);
    for (;;) syscall(SYS_exit, 0);
}
__attribute__((noinline, noclone)) static void own(void)
{
    work(0.4);
    __asm__ volatile("" ::: "memory");
}
int main(void)
{
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    for (int i = 0; i < 2; i++)
        if (clone(lent, stacks[i] + sizeof stacks[i], flags, NULL) < 0) return 1;
    own();
    while (ended < 2) usleep(1000);
    printf("%d ended\n", ended);
    return 0;
}
'''


# A thread that blocks all signals by a system call that nobody sees, and then works.
MUTE = r'''
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
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
static void *mute(void *unused)
{
    unsigned long all = -1, r = SYS_rt_sigprocmask;
    register long size __asm__("r10") = 8;
    __asm__ volatile("syscall" : "+a"(r) : "D"(SIG_BLOCK), "S"(&all), "d"(0), "r"(size)
                     : "rcx", "r11", "memory");
    work(0.4);
    return 0;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, mute, 0);
    work(0.4);
    return pthread_join(thread, 0);
}
'''


# Threads of 0.2 ms, `at once` of them, for two seconds. `exec`, `seccomp`, `dup2` and `fork` are done
# meanwhile again and again; `room` counts how many descriptors can be had besides.
DRAWING = r'''
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static volatile int over;
static long cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}
static void *brief(void *rests)
{
    for (long end = cpu_ns() + 200000; cpu_ns() < end;)
        for (volatile int i = 0; i < 1000; i++) {}
    if (rests) usleep(20000);
    return NULL;
}
static void *start_them(void *at_once)
{
    pthread_t threads[200];
    long count = (long)at_once;
    while (!over) {
        for (long i = 0; i < count; i++) pthread_create(&threads[i], NULL, brief, (void *)(count > 9));
        for (long i = 0; i < count; i++) pthread_join(threads[i], NULL);
    }
    return NULL;
}
static void *trouble(void *what)
{
    char *const none[] = {"none", NULL};
    for (int i = 0; !over; i++, usleep(300)) {
        if (!strcmp(what, "exec")) execv("/nonexistent/none", none);
        if (!strcmp(what, "seccomp")) prctl(PR_SET_SECCOMP, 2, 0, 0, 0);
        if (!strcmp(what, "dup2")) close(dup2(0, 1000 + i % 8));
        if (!strcmp(what, "fork")) { int child = fork(); if (!child) _exit(0); waitpid(child, NULL, 0); }
    }
    return NULL;
}
static int count_open(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}
static int count_room(void)
{
    static int fds[4096];
    int count = 0;
    while (count < 4096 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
    for (int i = 0; i < count; i++) close(fds[i]);
    return count;
}
int main(int argc, char **argv)
{
    pthread_t makers[2], other;
    int before = count_open(), room = count_room(), now;
    for (int i = 0; i < 2; i++) pthread_create(&makers[i], NULL, start_them, (void *)atol(argv[2]));
    pthread_create(&other, NULL, trouble, argv[1]);
    for (int i = 0; i < 20; i++) {
        usleep(100000);
        if (!strcmp(argv[1], "room") && (now = count_room()) < room) room = now;
    }
    over = 1;
    for (int i = 0; i < 2; i++) pthread_join(makers[i], NULL);
    pthread_join(other, NULL);
    printf("more %d room %d\n", count_open() - before, room);
    return 3;
}
'''


class Threads(harness.TestCase):
    def check_short(self, number):
        recording = self.record_well(workload('threads'), 'short', str(number), rate=10000,
                                     stopwatch=True)
        profile, true_ns = recording.profile, recording.truth['brief']
        # Half a period of each thread comes after its last sample; starting one costs as well.
        self.assertGreater(profile.cumulative()['brief'], 0.9 * true_ns)
        self.assertLess(profile.cumulative()['brief'], 1.05 * true_ns)
        self.assertLess(profile.total(), 1.02 * recording.usage.cpu_ns)
        in_brief = sum(s.values[0] for s in profile.samples if s.has('brief'))
        self.assertGreater(in_brief, 0.6 * 10000 * true_ns / NS)
        self.assertGreater(len({tuple(s.labels['tid']) for s in profile.samples}), 0.95 * number)

    def test_two_thousand_short_threads(self):
        self.check_short(2000)

    def test_two_hundred_at_once(self):
        recording = self.record_well(workload('threads'), 'many', '200', '10')
        self.assertGreater(recording.profile.cumulative()['crowd'],
                           0.9 * recording.truth['crowd'])


class Stacks(harness.TestCase):
    def check(self, kind):
        recording = self.record_well(workload('odd'), kind, '600', rate=10000)
        profile = recording.profile
        self.assertGreater(profile.cumulative()['on_tiny'], 0.9 * recording.truth['on_tiny'])
        # Stacks end at the start of the thread or of the coroutine: nothing is cut.
        cut = profile.total(where=lambda s: s.has('[truncated]'))
        self.assertLess(cut, 0.005 * profile.total())

    def test_small_stacks(self):
        self.check('tiny')

    def test_small_alternate_stacks(self):
        self.check('tinyalt')

    def test_alternate_stacks_while_unwinding(self):
        recording = self.record(workload('sigs'), 'altstack', '600')
        self.assertEqual((recording.status, recording.stdout), (0, b'sent 1 received 1\n'))
        profile = recording.profile
        self.assertGreater(profile.total(where=lambda s: s.has('on_other_stack')
                                         and s.has('main')), 0.5 * NS)
        self.assert_complete(profile)

    def test_fibers(self):
        recording = self.record_well(workload('fibers'), '700')
        profile = recording.profile
        for name, ns in recording.truth.items():
            self.assertGreater(profile.cumulative()[name], 0.9 * ns - 4e6, name)
        cut = profile.total(where=lambda s: s.has('[truncated]'))
        self.assertLess(cut, 0.005 * profile.total())


class ShortThreads(harness.TestCase):
    def test_each_part_of_threads_shorter_than_a_period_gets_its_share(self):
        recording = self.record_well(workload('threads'), 'crumbs', '8000', rate=1000,
                                     options=['--types', 'cpu'])
        profile, truth = recording.profile, recording.truth
        self.assert_shares({name: profile.cumulative()[name] for name in truth},
                           profile.total('samples'), truth)
        # The first threads show that there are such; the start of each in the kernel and in the
        # C library is the kernel's count as well, and nobody's sample.
        seen = sum(profile.total(where=lambda s, n=name: s.has(n)) for name in truth)
        self.assertGreater(seen, 0.85 * sum(truth.values()))
        self.assert_total(profile, recording.session['program_cpu_ns'], within=0.08)

    def record_drawing(self, kind, at_once, *prefix):
        program = os.path.join(self.tmp, 'drawing')
        subprocess.run(['cc', '-O1', '-w', '-x', 'c', '-', '-o', program, '-pthread'],
                       input=DRAWING, text=True, check=True)
        command = (*prefix, program, kind, str(at_once))
        recording = self.record(*command, rate=1000)
        self.assertEqual(recording.status, 3, recording.stderr)
        # They did draw: whole periods alone would give such threads nothing.
        profile = recording.profile
        self.assertGreater(profile.total(where=lambda s: s.has('brief')), 0.5 * profile.total())
        more, room = map(int, recording.stdout.split()[1::2])
        return more, room, command

    def test_their_events_are_closed_whoever_else_closes_all(self):
        for kind in ('exec', 'seccomp', 'dup2', 'fork'):
            with self.subTest(kind=kind):
                more, _, _ = self.record_drawing(kind, 4)
                self.assertEqual(more, 0)

    def test_their_events_leave_room_for_the_programs_descriptors(self):
        _, room, command = self.record_drawing('room', 100, 'prlimit', '--nofile=1130:1130')
        plain = int(self.run_plain(*command).stdout.split()[-1])
        # A third of what is above 1000 at most, and what any recording needs.
        self.assertGreater(room, plain - 130 / 3 - 16)
        self.assertLess(room, plain - 4)


class Timers(harness.TestCase):
    def test_setitimer_bias(self):
        # Each thread gets its own share, though they take turns on few processors.
        recording = self.record_well(workload('split'), 'threads', '1500')
        profile = recording.profile
        sums = {name: profile.total(where=lambda s, n=name: s.labels['thread'] == (n,)
                                    or s.labels['thread'] == [n]) for name in recording.truth}
        self.assert_shares(sums, profile.total('samples'), recording.truth)

    def test_one_process_wide_timer(self):
        # One signal a tick for all threads together: each carries what its thread has used.
        recording = self.record_well(workload('threads'), 'many', '4', '400',
                                     options=['--engine', 'process-timer'])
        profile = recording.profile
        self.assertIn('process-timer', '\n'.join(profile.comments))
        self.assertGreater(profile.cumulative()['crowd'], 0.9 * recording.truth['crowd'])
        self.assertLess(profile.cumulative()['crowd'], 1.05 * recording.truth['crowd'])

    def test_timer_create_limits(self):
        # The quota of pending signals counts timers: most of these threads get none.
        recording = self.record('prlimit', '--sigpending=10:10', workload('threads'), 'many', '40',
                                '20', options=['--engine', 'thread-timer'],
                                **({'user': 65534, 'group': 65534, 'extra_groups': []}
                                   if os.getuid() == 0 and not os.chmod(self.tmp, 0o777) else {}))
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = recording.profile
        sampled = profile.total(where=lambda s: s.has('crowd') and not s.has('[never sampled]'))
        if sampled < 0.9 * recording.truth['crowd']:
            self.assertRegex('\n'.join(profile.comments), r'not covered: \d+ threads')

    def test_threads_without_storage_of_their_own(self):
        # By libc's clone(): what our handlers know of the thread that made them is theirs, too.
        source, program = os.path.join(self.tmp, 'lent.c'), os.path.join(self.tmp, 'lent')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(LENT)
        subprocess.run(['cc', '-O1', '-o', program, source], check=True, capture_output=True,
                       timeout=60)
        recording = self.record(program, rate=1000)
        self.assertEqual((recording.status, recording.stdout), (0, b'2 ended\n'), recording.stderr)
        profile = recording.profile
        self.assertGreater(profile.cumulative()['own'], 0.9 * 0.4 * NS)
        self.assertRegex('\n'.join(profile.comments), 'not covered: 2 threads')
        recording = self.record(program, rate=1000, options=('--engine', 'outside'))
        self.assertGreater(recording.profile.cumulative()['lent'], 0.9 * 0.8 * NS)

    def test_threads_that_get_their_names_late(self):
        # The last thing it does: nobody who only looks from time to time sees it.
        code = ('import ctypes, threading, time\n'
                'name = ctypes.CDLL(None).pthread_setname_np\n'
                'def late_name():\n'
                '    end = time.thread_time() + 0.5\n'
                '    while time.thread_time() < end: sum(range(500))\n'
                '    assert name(ctypes.c_ulong(threading.get_ident()), b"named late") == 0\n'
                'thread = threading.Thread(target=late_name)\n'
                'thread.start()\n'
                'thread.join()\n')
        profile = self.record_well('/usr/bin/python3', '-c', code).profile
        named = profile.total(where=lambda s: list(s.labels['thread']) == ['named late'])
        self.assertGreater(named, 0.45 * NS)

    def test_names_of_threads_where_only_the_heap_is_recorded(self):
        code = ('import ctypes, threading\n'
                'libc = ctypes.CDLL(None)\n'
                'def allocate():\n'
                '    for _ in range(200): libc.malloc(ctypes.c_ulong(4096))\n'
                '    assert libc.pthread_setname_np(ctypes.c_ulong(threading.get_ident()), b"keeper") == 0\n'
                'thread = threading.Thread(target=allocate)\n'
                'thread.start()\n'
                'thread.join()\n')
        recording = self.record('/usr/bin/python3', '-c', code,
                                options=('--types', 'heap', '--heap-rate', '4096'))
        self.assertEqual(recording.status, 0)
        kept = sum(s.values[1] for s in recording.heap.samples if 'keeper' in s.labels['thread'])
        self.assertGreater(kept, 200 * 4096 / 2)

    def test_threads_that_no_hook_sees(self):
        # pthread_create() of libc itself, as a library finds it that is bound to it.
        code = ('import ctypes, time\n'
                'libc = ctypes.CDLL("libc.so.6")\n'
                'def unseen_work(unused):\n'
                '    end = time.thread_time() + 0.5\n'
                '    while time.thread_time() < end: sum(range(500))\n'
                '    return 0\n'
                'routine = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(unseen_work)\n'
                'thread = ctypes.c_ulong()\n'
                'assert libc.pthread_create(ctypes.byref(thread), None, routine, None) == 0\n'
                'libc.pthread_join(thread, None)\n'
                'print("joined")\n')
        recording = self.record_well('/usr/bin/python3', '-c', code)
        self.assertEqual(recording.stdout, b'joined\n')
        main = max(int(str(s.labels['pid'][0])) for s in recording.profile.samples)
        other = recording.profile.total(where=lambda s: int(str(s.labels['tid'][0])) != main)
        self.assertGreater(other, 0.45 * NS)

    @unittest.skipUnless(platform.machine() == 'x86_64', 'made by an instruction of this machine')
    def test_a_thread_that_never_lets_the_signal_in_is_told_as_such(self):
        program = os.path.join(self.tmp, 'mute')
        subprocess.run(['cc', '-O1', '-w', '-x', 'c', '-', '-o', program, '-pthread'], input=MUTE,
                       text=True, check=True, timeout=60)
        for engine in ('perf-trap', 'thread-timer'):
            with self.subTest(engine=engine):
                profile = self.record_well(program, rate=1000, options=('--engine', engine)).profile
                told = profile.total(where=lambda s: s.has('[not sampled]') and s.has('mute'))
                self.assertGreater(told, 0.9 * 0.4 * NS)
                self.assertLess(profile.total(where=lambda s: s.has('[never sampled]')), 0.02 * NS)
                self.assertRegex('\n'.join(profile.comments), r'not sampled: 0\.[34]\d+ s of 1 process '
                                 '.*kept the signal out.*; try --engine outside')

        # Why the engine is no better one is another matter.
        profile = self.record_well(program, rate=1000, preexec_fn=refuse_perf(EPERM)).profile
        comments = '\n'.join(profile.comments)
        self.assertIn('perf-trap: not permitted', comments)
        self.assertRegex(comments, r'not sampled: .*kept the signal out.*; try --engine outside')


if __name__ == '__main__':
    unittest.main()
