"""`hone record --types wall`: what every thread does and waits for, without touching any of them.

A program's own clock around a call that waits says when the thread had a CPU again, the scheduler
when it was woken: what lies between is `runnable`. So a state is right when it lies between what
the program says and that, less the thread's runnable time.
"""

import json
import os
import re
import shutil
import subprocess
import time
import unittest
from collections import Counter, namedtuple

import harness
from harness import HONE, NS, workload
from starts import completeness

Wait = namedtuple('Wait', 'state function tid ns life_ns')
MS = NS // 1000
SLACK_NS = 25 * MS      # a thread's start and end, printing, and what a busy machine adds


def waits(stdout):
    return [Wait(words[1], words[2], *map(int, words[3:]))
            for words in (line.split() for line in stdout.decode().splitlines())
            if words[0] == 'wait']


def states(profile, where=lambda sample: True):
    """Nanoseconds by state."""
    i, sums = profile.index('wall'), Counter()
    for sample in filter(where, profile.samples):
        sums[sample.labels['state'][0]] += sample.values[i]
    return sums


def of_thread(tid):
    return lambda sample: sample.labels['tid'] == [tid]


def unprivileged(program):
    return ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', *program)


class States(harness.TestCase):
    program, engine = 'waits', 'switches'
    slack_ns = 25 * MS      # a thread's start and end, printing, and what a busy machine adds

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.recording = None

    def setUp(self):
        super().setUp()
        cls = type(self)
        if cls.recording is None:       # one for all: a recording of two seconds and 17 threads
            cls.recording = self.record(workload(self.program), '2000', options=(
                '--types', 'cpu,wall', '--wall-engine', self.engine))
            self.assertEqual(cls.recording.status, 0, cls.recording.stderr)
            _ = cls.recording.wall, cls.recording.profile
            cls.session = cls.recording.session
        self.wall, self.waits = self.recording.wall, waits(self.recording.stdout)

    def test_the_file_is_correct(self):
        self.assertEqual(self.wall.problems(), [])
        self.assertEqual(self.wall.sample_types, [('samples', 'count'), ('wall', 'nanoseconds')])
        self.assertEqual(self.wall.default_type, 'wall')
        self.assertEqual(self.wall.period_type, ('wall', 'nanoseconds'))
        self.assertEqual(self.wall.period, 10 * MS)

    def test_nothing_that_waits_ends_early(self):
        self.assertEqual(len(self.waits), 17)
        self.assertIn(b'early 0\ninterrupted 0\n', self.recording.stdout)

    def test_each_state_has_its_time_in_the_function_that_waits(self):
        for wait in self.waits:
            if wait.function.startswith('nap'):
                continue        # seen by chance
            own = states(self.wall, of_thread(wait.tid))
            there = states(self.wall, lambda s, w=wait: of_thread(w.tid)(s) and s.has(w.function))
            slack = self.slack_ns + wait.ns // 100
            with self.subTest(wait=wait):
                self.assertLessEqual(there[wait.state], wait.ns + slack, own)
                self.assertGreaterEqual(there[wait.state], wait.ns - own['runnable'] - slack, own)

    def test_short_waits_are_known_together(self):
        """Whatever was seen of them."""
        naps = [w for w in self.waits if w.function.startswith('nap')]
        own = states(self.wall, of_thread(naps[0].tid))
        said = sum(w.ns for w in naps)
        self.assertLessEqual(own['sleep'], said + self.slack_ns)
        self.assertGreaterEqual(own['sleep'] + own['unknown'],
                                said - own['runnable'] - own['on-cpu'] - self.slack_ns, own)

    def test_states_add_up_to_each_thread_s_life(self):
        for wait in self.waits:
            own = states(self.wall, of_thread(wait.tid))
            with self.subTest(wait=wait):
                # It lived before and after its own clock was read, above all when it had no CPU.
                self.assertGreaterEqual(sum(own.values()), wait.life_ns * 0.99)
                self.assertLessEqual(sum(own.values()) - own['runnable'],
                                     wait.life_ns * 1.01 + self.slack_ns)

    def test_states_add_up_to_the_wall_clock(self):
        facts = self.session['wall']
        total = self.wall.total('wall')
        self.assertAlmostEqual(sum(facts['states_ns'].values()), total, delta=1000)
        self.assertAlmostEqual(total / facts['lifetime_ns'], 1, delta=0.01)
        # The first thread lives as long as the recording.
        first = min(s.labels['tid'][0] for s in self.wall.samples)
        life = sum(states(self.wall, of_thread(first)).values())
        self.assertAlmostEqual(life / self.wall.duration_ns, 1, delta=0.05)

    def test_stacks_of_waiting_threads_are_complete(self):
        found = completeness(self.wall, lambda s: s.labels['state'][0] not in
                             ('on-cpu', 'runnable', 'unknown'))
        self.assertGreaterEqual(found.share, 0.995, found.broken.most_common(8))

    def test_time_on_the_cpu_agrees_with_the_cpu_profile(self):
        worker = next(w for w in self.waits if w.function == 'worker')
        cpu = self.recording.profile.total('cpu', of_thread(worker.tid))
        on_cpu = states(self.wall, of_thread(worker.tid))['on-cpu']
        # The scheduler's clock runs on while a hypervisor takes the CPU away; the CPU clock may not.
        self.assertGreater(on_cpu, 0.93 * cpu)
        self.assertLess(on_cpu, 1.4 * cpu)
        self.assertGreater(self.wall.total('wall', lambda s: s.has('worker')), 0.9 * on_cpu)

    def test_session_json_tells(self):
        facts = self.session['wall']
        self.assertEqual(facts['file'], 'wall.prof')
        self.assertEqual(facts['rate_hz'], 100)
        self.assertTrue(facts['taken'])
        self.assertGreaterEqual(facts['threads'], 18)
        self.assertEqual(facts['losses']['switch_records_lost'], 0)
        self.assertEqual(self.session['cpu']['file'], 'cpu.prof')

    def test_comments_tell(self):
        text = '\n'.join(self.wall.comments)
        self.assertRegex(text, r'# wall rate: 100 looks a second asked, [\d.]+ reached')
        self.assertRegex(text, r'# states: on-cpu [\d.]+%, .*lock [\d.]+%')
        self.assertRegex(text, r'# blocked stacks: (100.00|99.\d+)% of the blocked time that was seen in ')


class WithFramePointers(States):
    """Nobody tells the frame pointer of a blocked thread: it is found, and is the right one."""
    program = 'waits_fp'

    def test_callers_are_the_right_ones(self):
        found = 0
        for sample in self.wall.samples:
            names = [frame.function for frame in sample.stack]
            for function in (n for n in names if n.startswith('in_')):
                at = names.index(function)
                with self.subTest(stack=names):
                    self.assertEqual(names[at + 1:at + 3], [function[3:], 'start_thread'])
                found += 1
        self.assertGreater(found, 12)
        self.assertGreater(self.session['wall']['stacks_with_found_frame_pointer'], 10)


class Drawn(States):
    """Stacks that the kernel copies; where that is not permitted, as above."""
    engine = 'ebpf'


class Polled(States):
    """Where perf events are not permitted, which many systems do not permit to everybody."""
    engine = 'polling'
    slack_ns = 100 * MS     # it is a while until a new thread is met


def perf_is_permitted():
    with open('/proc/sys/kernel/perf_event_paranoid', encoding='ascii') as file:
        return os.geteuid() == 0 or int(file.read()) < 3


@unittest.skipUnless(perf_is_permitted(), 'needs perf events')
class WithoutLibrary(States):
    """Static: everything is done from outside."""
    program = 'waits_static'
    slack_ns = 40 * MS


class Programs(harness.TestCase):
    def wall_of(self, *program, options=('--types', 'wall'), **more):
        recording = self.record(*program, options=options, **more)
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertEqual(recording.wall.problems(), [])
        return recording

    def test_drawn_stacks_of_what_has_ended_are_told(self):
        """Most of these end before they are looked at."""
        recording = self.wall_of('sh', '-c', 'i=0; while [ $i -lt 100 ]; do '
                                 'sleep 0.002; i=$((i+1)); done')
        facts = recording.session['wall']
        if facts['engine'] == 'ebpf':
            unread = facts['losses']['draws_unread']
            self.assertGreater(unread, 0)
            self.assertIn(f'# lost: {unread} drawn stacks, their processes had ended before they',
                          '\n'.join(recording.wall.comments))

    def test_a_program_that_only_computes_does_not_wait(self):
        """The clean control."""
        recording = self.wall_of(workload('split'), 'functions', '1000')
        sums = states(recording.wall)
        busy = sums['on-cpu'] + sums['runnable']
        self.assertLessEqual(sum(sums.values()) - busy, 0.05 * sum(sums.values()), sums)
        self.assertGreater(sums['on-cpu'], 0.9 * sum(recording.truth.values()))
        shares = recording.wall.cumulative('wall')
        true = sum(recording.truth.values())
        for name, ns in recording.truth.items():
            self.assertAlmostEqual(shares[name] / sums['on-cpu'], ns / true, delta=0.08)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to give a file away')
    def test_programs_that_gain_rights_are_watched_whole(self):
        """The kernel ends the events on them at their exec; they are opened anew."""
        path = self.with_rights()
        for engine in ('ebpf', 'switches'):
            with self.subTest(engine=engine):
                wall = self.wall_of('sh', '-c', f'{path} functions 400; sleep 0.1; {path} threads 300',
                                    options=('--types', 'wall', '--wall-engine', engine))
                if wall.session['wall']['engine'] == 'polling':
                    self.skipTest('needs perf events')
                profile = wall.wall
                # One that had become such a program before it was watched is as any other.
                self.assertIn(wall.session['wall']['losses']['gained_rights'], (1, 2))
                self.assertEqual(wall.session['wall']['losses']['gained_rights_gone'], 0)
                seen = profile.total('wall', lambda s: s.labels['process'] == ['rights']
                                     and s.labels['state'] == ['on-cpu'])
                told = sum(wall.truth.values())
                self.assertGreater(told, 500 * MS)
                self.assertLessEqual(abs(seen - told), 0.1 * told + 50 * MS, f'{seen} of {told} ns')
                self.assertIn('rights of another', '\n'.join(profile.comments))

    def of_forked_at_once(self, program, *options):
        """Of a child that becomes `program` at once, without a switch in between: nanoseconds by
        process and state, and of each process number."""
        launcher = os.path.join(self.tmp, 'launcher')
        subprocess.run(['cc', '-x', 'c', '-', '-o', launcher], check=True, text=True, input="""
            #include <sys/wait.h>
            #include <unistd.h>
            int main(int count, char **arguments)
            {
                int child = fork(), status = count;
                if (child)
                    return waitpid(child, &status, 0) != child || status;
                execv(arguments[1], arguments + 1);
                _exit(9);
            }""")
        recording = self.wall_of(launcher, *program,
                                 options=('--types', 'cpu,wall', *options))
        wall = recording.wall
        i, sums, by_pid = wall.index('wall'), Counter(), Counter()
        for sample in wall.samples:
            sums[sample.labels['process'][0], sample.labels['state'][0]] += sample.values[i]
            by_pid[sample.labels['pid'][0]] += sample.values[i]
        return recording, sums, by_pid

    def test_a_child_that_becomes_another_program_at_once_is_counted_once(self):
        for options in (('--wall-engine', 'ebpf'), ('--wall-engine', 'switches'),
                        ('--wall-engine', 'polling'), ('--engine', 'outside')):
            with self.subTest(options=options):
                recording, sums, by_pid = self.of_forked_at_once(
                    (workload('split'), 'functions', '600'), *options)
                child, parent = sorted(by_pid.values())
                # It lives as long as its parent waits for it.
                self.assertLessEqual(child, 1.01 * parent, by_pid)
                self.assertGreaterEqual(child, 0.99 * parent - 3 * SLACK_NS, by_pid)
                self.assertLessEqual(abs(sums['launcher', 'child'] - child),
                                     0.01 * child + 3 * SLACK_NS, sums)
                own = sum(ns for (name, _), ns in sums.items() if name == 'split')
                self.assertGreaterEqual(own, 0.99 * child - 3 * SLACK_NS, sums)
                told = sum(recording.truth.values())
                on_cpu = sum(ns for (_, state), ns in sums.items() if state == 'on-cpu')
                self.assertLessEqual(abs(on_cpu - told), 0.1 * told + 50 * MS, sums)

    def with_rights(self):
        """A busy program that belongs to another user and runs with his rights."""
        path = os.path.join(self.tmp, 'rights')
        shutil.copy(workload('split'), path)
        if os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('the temporary directory ignores setuid')
        os.chown(path, 65534, -1)
        os.chmod(path, 0o4755)
        return path

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to give a file away')
    def test_a_forked_program_that_gains_rights_has_its_own_name(self):
        path = self.with_rights()
        for engine in ('ebpf', 'switches', 'polling'):
            with self.subTest(engine=engine):
                recording, sums, _ = self.of_forked_at_once((path, 'functions', '400'),
                                                            '--wall-engine', engine)
                told = sum(recording.truth.values())
                self.assertLessEqual(abs(sums['rights', 'on-cpu'] - told), 0.1 * told + 50 * MS,
                                     sums)
                self.assertLessEqual(sums['launcher', 'on-cpu'], 50 * MS, sums)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root to give a file away')
    def test_a_known_process_that_becomes_a_program_with_rights_has_its_name_from_there_on(self):
        path = self.with_rights()
        script = (f'(n=0; while [ $n -lt 400000 ]; do n=$((n + 1)); done; '
                  f'exec {path} functions 400); true')
        recording = self.wall_of('sh', '-c', script,
                                 options=('--types', 'cpu,wall', '--wall-engine', 'polling'))
        wall = recording.wall

        def on_cpu(name):
            return wall.total('wall', lambda s: s.labels['process'] == [name]
                              and s.labels['state'] == ['on-cpu'])

        told = sum(recording.truth.values())
        self.assertLessEqual(abs(on_cpu('rights') - told), 0.1 * told + 50 * MS)
        counted = recording.profile.total('cpu', lambda s: s.labels['process'] != ['rights'])
        self.assertGreater(on_cpu('sh'), 0.7 * counted)
        self.assertLess(on_cpu('sh'), 1.3 * counted + 50 * MS)
        self.assertGreater(counted, 100 * MS)

    def test_short_waits_have_their_shares(self):
        """Of n looks a share p is right within sqrt(p (1 - p) / n).

        Two kinds of waits in turn, both shorter than two looks are apart: the shorter one is seen
        rarely, and counts for more than it lasted. Where others use the CPUs, waking up takes as
        long as the shorter one: how the account weighs them is tested in capture/wall_test.c."""
        recording = self.wall_of(workload('waits'), '4000',
                                 options=('--types', 'wall', '--wall-frequency', '400'))
        naps = {w.function: w for w in waits(recording.stdout) if w.function.startswith('nap')}

        def of_nap(name):
            return lambda s: (of_thread(naps[name].tid)(s) and s.has(name)
                              and s.labels['state'] == ['sleep'])

        wall = recording.wall
        seen = {name: wall.total('wall', of_nap(name)) for name in naps}
        looks = sum(wall.total('samples', of_nap(name)) for name in naps)
        self.assertGreater(looks, 50)
        # 1 and 4 ms and the timer's slack. The program's own clock counts its waiting for a CPU too.
        true = 1.05 / 5.1
        error = (true * (1 - true) / looks) ** 0.5
        self.assertAlmostEqual(seen['nap_short'] / sum(seen.values()), true,
                               delta=3.5 * error + 0.07, msg=f'{looks} looks')

    def build(self, name, source):
        path = os.path.join(self.tmp, name)
        subprocess.run(['gcc', '-O1', '-pthread', '-x', 'c', '-o', path, '-'], input=source, text=True,
                       check=True)
        return path

    def test_a_program_that_another_thread_than_the_first_begins(self):
        """It goes on under the number of the process, and its own is nobody's."""
        slept = 'static void *sleeps(void *next) { for (int i = 0; i < 100; i++) usleep(2000); ' \
                'if (next) execl(next, next, (char *)0); return next; }\n'
        head = '#include <pthread.h>\n#include <unistd.h>\n' + slept
        second = self.build('second', head + 'int main(void) { pthread_t t; '
                            'pthread_create(&t, 0, sleeps, 0); sleeps(0); pthread_join(t, 0); }')
        first = self.build('first', head + 'int main(int n, char **words) { pthread_t t; '
                           'pthread_create(&t, 0, sleeps, words[n - 1]); pthread_join(t, 0); }')
        for engine in ('ebpf', 'switches'):
            with self.subTest(engine=engine):
                wall = self.wall_of(first, second, options=('--types', 'wall', '--wall-engine', engine))
                if wall.session['wall']['engine'] == 'polling':
                    self.skipTest('needs perf events')
                for process, threads in (('first', 1), ('second', 2)):
                    sums = states(wall.wall, lambda s, p=process: s.labels['process'] == [p])
                    self.assertLess(sums['on-cpu'], 100 * MS, (process, sums))
                    self.assertGreater(sums['sleep'], threads * 180 * MS, (process, sums))
                    self.assertLess(sums['sleep'], threads * 400 * MS, (process, sums))

    def test_no_more_is_computed_than_there_are_processors_for(self):
        """Threads that begin to wait all the time are told of now and then, and asked for in between."""
        program = self.build('crowd', """
            #include <pthread.h>
            #include <stdio.h>
            #include <sys/resource.h>
            #include <time.h>
            #include <unistd.h>
            static double now(void)
            {
                struct timespec t;
                clock_gettime(CLOCK_MONOTONIC, &t);
                return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
            }
            static void *work(void *end)
            {
                while (now() < *(double *)end) {
                    for (volatile int i = 0; i < 5000; i++)
                        ;
                    usleep(50);
                }
                return end;
            }
            int main(void)
            {
                pthread_t threads[32];
                double end = now() + 1;
                for (int i = 0; i < 32; i++)
                    pthread_create(&threads[i], 0, work, &end);
                for (int i = 0; i < 32; i++)
                    pthread_join(threads[i], 0);
                struct rusage usage;
                getrusage(RUSAGE_SELF, &usage);
                printf("%ld %ld\\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, usage.ru_nvcsw);
            }""")
        recording = self.wall_of(program, options=('--types', 'wall,block'))
        us, waits = map(int, recording.stdout.split())
        sums = states(recording.wall)
        self.assertAlmostEqual(sums['on-cpu'], us * 1000, delta=0.05 * us * 1000 + 20 * MS)
        if recording.session['block']['engine'] != 'polling':
            block = harness.Profile.read(os.path.join(recording.directory, 'block.prof'))
            self.assertAlmostEqual(block.total('contentions'), waits, delta=0.01 * waits + 100)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_of_the_whole_machine_each_thread_has_its_states(self):
        """Also of a program that came and went meanwhile, by the kernel's own account of it."""
        for engine in ('ebpf', 'switches'):
            directory = os.path.join(self.tmp, 'machine-' + engine)
            hone = subprocess.Popen([HONE, 'record', '-q', '-a', '-t', 'wall', '--wall-engine', engine,
                                     '-d', '4s', '-o', directory])
            time.sleep(1.5)
            told = subprocess.run([workload('blocks'), 'turns', '10000', 'pipe'], text=True,
                                  stdout=subprocess.PIPE, check=True).stdout
            self.assertEqual(hone.wait(timeout=60), 0)
            profile = harness.Profile.read(os.path.join(directory, 'wall.prof'))
            turns = re.findall(r'turns (\w+) (\d+) (\d+)\nkernel \d+ (\d+) (\d+) (\d+)', told)
            self.assertEqual(len(turns), 2)
            for function, tid, _, *ns in turns:
                run, delay, life = map(int, ns)
                with self.subTest(engine=engine, function=function):
                    sums = states(profile, lambda s, tid=tid: s.labels['tid'] == [int(tid)])
                    slack = 0.05 * life + 10 * MS
                    self.assertAlmostEqual(sum(sums.values()), life, delta=slack)
                    self.assertAlmostEqual(sums['on-cpu'], run, delta=slack)
                    self.assertAlmostEqual(sums['runnable'], delay, delta=slack)

    def test_stacks_below_large_buffers_are_complete(self):
        """The kernel copies so much of a stack, and no further than to a page that is not there. The
        first short wait of each kind tells that, so the others have it."""
        for engine in ('ebpf', 'switches', 'polling'):
            with self.subTest(engine=engine):
                recording = self.wall_of(workload('roomy'), '900',
                                         options=('--types', 'wall', '--wall-engine', engine))
                for name in ('wait_below_unused', 'wait_below_used'):
                    told = completeness(recording.wall, lambda s, name=name: s.has(name))
                    self.assertGreater(told.total, 900 * MS)
                    self.assertGreater(told.share, 0.98, (name, told.broken))

    def test_only_what_was_asked_for_is_written(self):
        wall = self.wall_of(workload('idle'), '100')
        self.assertEqual(sorted(os.listdir(wall.directory)), ['session.json', 'wall.prof'])
        self.assertIsNone(wall.session['cpu']['file'])
        top = subprocess.run([HONE, 'top', wall.directory], capture_output=True, check=False)
        self.assertIn(b'Type: wall', top.stdout)
        self.assertIn(b'nanosleep', top.stdout)
        cpu = self.record(workload('idle'), '100', options=('--types', 'cpu'))
        self.assertEqual(sorted(os.listdir(cpu.directory)), ['cpu.prof', 'session.json'])
        self.assertIsNone(cpu.session['wall'])
        both = self.record(workload('idle'), '100', options=('--types', 'all'))
        self.assertEqual(sorted(os.listdir(both.directory)),
                         ['allocs.prof', 'block.prof', 'cpu.prof', 'heap-time.prof', 'heap.prof',
                          'mutex.prof', 'session.json', 'threads-time.prof', 'threads.prof',
                          'wall.prof'])
        self.assertIn(b'wall.prof', both.stderr)

    def test_an_idle_program_sleeps(self):
        recording = self.wall_of(workload('idle'), '700')
        self.assertEqual(recording.stdout, b'slept\n')
        sums = states(recording.wall)
        self.assertGreaterEqual(sums['sleep'], 700 * MS - sums['runnable'] - SLACK_NS)
        self.assertLessEqual(sums['sleep'], 700 * MS + SLACK_NS)

    def test_programs_that_follow_one_another(self):
        """Children, and what a process becomes: each part has its own program."""
        recording = self.wall_of('sh', '-c', 'sleep 0.4; ' + workload('idle') + ' 300 >&2; '
                                 'exec ' + workload('idle') + ' 500')
        i = recording.wall.index('wall')
        sums = Counter()
        for sample in recording.wall.samples:
            sums[sample.labels['process'][0], sample.labels['state'][0]] += sample.values[i]
        runnable = states(recording.wall)['runnable']
        for (process, state), ns in {('sleep', 'sleep'): 400 * MS, ('idle', 'sleep'): 800 * MS,
                                     ('sh', 'child'): 700 * MS}.items():
            with self.subTest(process=process):
                self.assertGreaterEqual(sums[process, state], ns - runnable - SLACK_NS, sums)
                if process != 'sh':           # which also waits for their starts and ends
                    self.assertLessEqual(sums[process, state], ns + 2 * SLACK_NS, sums)

    def test_recording_may_end_before_the_program(self):
        recording = self.wall_of(workload('idle'), '1500',
                                 options=('--types', 'wall', '-d', '500ms'))
        sums = states(recording.wall)
        self.assertEqual(recording.stdout, b'slept\n')
        self.assertLessEqual(abs(sum(sums.values()) - recording.wall.duration_ns),
                             0.05 * recording.wall.duration_ns)
        self.assertGreater(sums['sleep'] + sums['runnable'], 350 * MS)

    def test_terminal_disk_and_file_states_by_descriptor(self):
        recording = self.wall_of('sh', '-c', '(sleep 0.5; echo) | cat', input=None,
                                 stdin=subprocess.DEVNULL)
        sums = states(recording.wall)
        self.assertGreater(sums['pipe'], 300 * MS - sums['runnable'])

    @unittest.skipUnless(perf_is_permitted(), 'needs perf events')
    def test_a_process_that_runs_already(self):
        with subprocess.Popen([workload('waits'), '3000', '3'], stdout=subprocess.PIPE) as program:
            self.assertEqual(program.stdout.readline(), b'ready\n')
            directory = os.path.join(self.tmp, 'attached')
            done = subprocess.run([HONE, 'record', '-t', 'wall', '-d', '700ms', '-o', directory,
                                   '-p', str(program.pid)], capture_output=True, timeout=60,
                                  check=False)
            out, _ = program.communicate(timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b'early 0\ninterrupted 0\n', out)
        wall = harness.Profile.read(os.path.join(directory, 'wall.prof'))
        self.assertEqual(wall.problems(), [])
        sums = states(wall)
        self.assertGreater(sums['signal'], 3 * 450 * MS)
        self.assertGreater(sums['sleep'], 450 * MS)
        self.assertEqual(set(sums), {'signal', 'sleep'})
        self.assertEqual(completeness(wall).share, 1)

    def test_states_of_a_process_that_runs_already_add_up_to_the_duration(self):
        with subprocess.Popen(['sleep', '30']) as program:
            self.addCleanup(program.kill)
            directory = os.path.join(self.tmp, 'attached')
            done = subprocess.run([HONE, 'record', '-q', '-t', 'wall', '-d', '1s', '-o', directory,
                                   '-p', str(program.pid)], capture_output=True, timeout=60,
                                  check=False)
            program.kill()
        self.assertEqual(done.returncode, 0, done.stderr)
        wall = harness.Profile.read(os.path.join(directory, 'wall.prof'))
        with open(os.path.join(directory, 'session.json'), encoding='utf-8') as file:
            duration_ns = json.load(file)['duration_ns']
        # To attach takes 50 ms or more, which are not the recording's.
        self.assertLessEqual(abs(wall.total('wall') - duration_ns), 0.01 * duration_ns)

    @unittest.skipUnless(os.geteuid() == 0, 'needs another user to be')
    def test_without_privileges(self):
        directory = os.path.join(self.tmp, 'nobody')
        os.mkdir(directory)
        os.chmod(directory, 0o777)
        done = subprocess.run(unprivileged([HONE, 'record', '-t', 'wall', '-o',
                                            os.path.join(directory, 's'), workload('waits'),
                                            '700']),
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b'early 0\ninterrupted 0\n', done.stdout)
        wall = harness.Profile.read(os.path.join(directory, 's', 'wall.prof'))
        for wait in waits(done.stdout):
            own = states(wall, of_thread(wait.tid))
            with self.subTest(wait=wait):
                self.assertGreaterEqual(sum(own.values()), wait.life_ns * 0.99)
                if not wait.function.startswith('nap'):
                    self.assertGreaterEqual(own[wait.state],
                                            wait.ns - own['runnable'] - 2 * SLACK_NS, own)


class Reading(harness.TestCase):
    def test_looking_at_threads_without_pause_does_not_keep_from_reading_samples(self):
        # The recorder's loop wakes up for the wall clock more often than it reads, and nobody comes or
        # goes. What was read while the thread lived shows in the thread's name: the kernel keeps 15
        # bytes of it; of one that is gone only the program's name is known.
        path = os.path.join(self.tmp, 'a-name-of-more-than-fifteen-bytes')
        os.symlink(workload('split'), path)
        for engine in ('switches', 'polling'):
            with self.subTest(engine=engine):
                recording = self.record_well(
                    path, 'functions', '1000', options=(
                        '--types', 'cpu,wall', '--wall-frequency', '1000', '--wall-engine', engine))
                self.assertEqual({s.labels['thread'][0] for s in recording.profile.samples},
                                 {os.path.basename(path)[:15]})


class Cost(harness.TestCase):
    def test_idle_threads_cost_next_to_nothing(self):
        """By the CPU clocks of the recorder and of the program, both of which do nothing else."""
        threads, seconds = 5000, 12
        with subprocess.Popen([HONE, 'record', '-q', '-t', 'cpu,wall', '-o',
                               os.path.join(self.tmp, 's'), workload('waits'),
                               str(1000 * seconds), str(threads)], stdout=subprocess.PIPE) as run:
            self.assertEqual(run.stdout.readline(), b'ready\n')
            with open(f'/proc/{run.pid}/task/{run.pid}/children', encoding='ascii') as file:
                program = int(file.read().split()[0])

            def used(seconds):
                before, clock = cpu_ns(run.pid) + cpu_ns(program), time.monotonic_ns()
                time.sleep(seconds)
                return ((cpu_ns(run.pid) + cpu_ns(program) - before) /
                        (time.monotonic_ns() - clock))

            # That their starts are seen and the stacks of all are read takes a while.
            shares = [used(2) for _ in range(5)]
            share = shares[-1]
            out, _ = run.communicate(timeout=60)
        print(f'\n{threads} idle threads: {100 * share:.2f} % of a core', end=' ', flush=True)
        self.assertIn(b'early 0\ninterrupted 0\n', out)
        with open(os.path.join(self.tmp, 's', 'session.json'), encoding='utf-8') as file:
            told = json.load(file)['wall']
        self.assertLess(share, 0.05, (shares, told))     # 0.6 % where nobody else computes
        wall = harness.Profile.read(os.path.join(self.tmp, 's', 'wall.prof'))
        sums = states(wall)
        # All of them were met, and where they wait was read of nearly all.
        self.assertEqual(len({s.labels['tid'][0] for s in wall.samples}), threads + 1)
        self.assertGreater(sums['signal'], 0.9 * sum(sums.values()), sums)


def cpu_ns(pid):
    """Of the recorder, which has one thread, exactly; of a program with many to the clock's tick."""
    with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
        fields = file.read().rpartition(')')[2].split()
    if fields[17] == '1':
        with open(f'/proc/{pid}/schedstat', encoding='ascii') as file:
            return int(file.read().split()[0])
    return (int(fields[11]) + int(fields[12])) * NS // os.sysconf('SC_CLK_TCK')


class Stopped(harness.TestCase):
    STOP = ' & P=$!; sleep 0.3; kill -STOP $P; sleep 1; kill -CONT $P; sleep 0.2; kill $P; wait'

    def check_is_stopped(self, engine):
        # One in no system call, and one that would go on with its own.
        for process, command in (('busybody', './busybody'), ('tail', 'tail -f /dev/null')):
            with self.subTest(process=process):
                recording = self.record('sh', '-c', command + self.STOP, cwd=self.tmp, options=(
                    '-t', 'cpu,wall', '--wall-engine', engine))
                own = states(recording.wall, lambda s, p=process: s.labels['process'] == [p])
                self.assertAlmostEqual(own['stopped'], NS, delta=200 * MS, msg=str(own))
                self.assertLess(own['page-fault'] + own['other'], 50 * MS, str(own))

    def setUp(self):
        super().setUp()
        script = os.path.join(self.tmp, 'busybody')
        with open(script, 'w', encoding='ascii') as file:
            file.write('#!/bin/sh\nwhile :; do :; done\n')
        os.chmod(script, 0o755)

    def test_who_is_stopped_is_so_whatever_it_did(self):
        self.check_is_stopped('auto')

    def test_who_is_stopped_is_so_without_copies(self):
        self.check_is_stopped('switches')

    def test_who_is_stopped_is_so_by_polling(self):
        self.check_is_stopped('polling')


@unittest.skipUnless(os.geteuid() == 0, 'needs namespaces')
class PidNamespaces(harness.TestCase):
    def check_counts_once(self, *options, unwatched=0):
        inside = ('unshare', '--pid', '--fork', '--mount-proc')
        if subprocess.run((*inside, 'true'), capture_output=True, check=False).returncode:
            self.skipTest('no namespaces here')
        recording = self.record(*inside, workload('waits'), '2000', options=('-t', 'cpu,wall', *options))
        profile, session = recording.wall, recording.session
        own = [s for s in profile.samples if s.labels['process'] == ['waits']]
        facts = session['wall']
        self.assertLessEqual(facts['losses']['threads_not_watched'], unwatched)
        self.assertAlmostEqual(sum(facts['states_ns'].values()), facts['lifetime_ns'],
                               delta=0.01 * facts['lifetime_ns'])
        pids = {p['pid'] for p in session['processes']}
        self.assertEqual({s.labels['pid'][0] for s in profile.samples} - pids, set())
        self.assertGreater(min(s.labels['pid'][0] for s in own), 9)  # inside it is 1

    def test_process_in_one_of_its_own_counts_once(self):
        self.check_counts_once()

    def test_process_in_one_of_its_own_counts_once_by_polling(self):
        # What unshare forks becomes the program at once.
        self.check_counts_once('--wall-engine', 'polling', unwatched=1)


if __name__ == '__main__':
    unittest.main()
