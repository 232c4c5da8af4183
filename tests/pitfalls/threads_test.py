"""Pitfalls: threads and stacks of every kind.
"""

import os
import subprocess
import unittest

import harness
from harness import NS, workload


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


if __name__ == '__main__':
    unittest.main()
