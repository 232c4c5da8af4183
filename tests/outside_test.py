"""Recording from outside: what cannot be preloaded, what runs already, the whole machine."""

import math
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import unittest
from collections import Counter

import harness
from harness import BUILD, HONE, NS, workload

COLOURS = ('red', 'green', 'blue')
OUTSIDE = ('--engine', 'outside')
KERNEL = '[kernel.kallsyms]'

GO = '''
package main

import "fmt"

//go:noinline
func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func worker(done chan int) { done <- fib(37) }

func main() {
	done := make(chan int)
	for i := 0; i < 3; i++ {
		go worker(done)
	}
	fmt.Println(<-done, <-done, <-done)
}
'''


def perf_level():
    with open('/proc/sys/kernel/perf_event_paranoid', encoding='ascii') as file:
        return int(file.read())


def user_stack(sample):
    return [f for f in sample.stack if not (f.mapping and f.mapping.file == KERNEL)]


def by_function(profile):
    """CPU time by the innermost function of user code."""
    sums = Counter()
    for sample in profile.samples:
        stack = user_stack(sample)
        if stack and not stack[0].function.startswith('['):
            # The loader knows a library by a link, the kernel by its file: 'liblzma.so.5.4.1+0x10'.
            name = re.sub(r'\.so[.\d]*\+', '.so+', stack[0].function)
            sums[name] += sample.values[profile.index('cpu')]
    return sums


@unittest.skipIf(os.getuid() != 0 and perf_level() > 2, 'perf events are not permitted here')
class Outside(harness.TestCase):
    def outside(self, *program, options=(), **run):
        recording = self.record_well(*program, options=[*OUTSIDE, *options], **run)
        self.assertIn('perf-outside', self.engines(recording))
        self.assertEqual(recording.session['losses']['buffer_records_broken'], 0)
        return recording

    def engines(self, recording):
        return ' '.join(c for c in recording.profile.comments if 'engine: ' in c)

    def run_together(self, *programs):
        """Programs that run while the test records them; killed at its end."""
        started = []
        for program in programs:
            process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            started.append(process)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        time.sleep(0.2)
        return started

    def attach(self, *options):
        """Records what runs already."""
        self._runs += 1
        directory = os.path.join(self.tmp, f'session-{self._runs}')
        done = self.run_plain(HONE, 'record', '-o', directory, *options)
        return harness.Recording(done, directory, None)


class Programs(Outside):
    def test_60_30_10_over_functions_and_the_kernels_total(self):
        recording = self.outside(workload('split'), 'functions', '3000', stopwatch=True)
        profile, truth = recording.profile, recording.truth
        self.assertEqual(tuple(truth), COLOURS)
        self.assert_shares(profile.cumulative(), profile.total('samples'), truth)
        self.assert_total(profile, recording.usage.cpu_ns)
        self.assert_rate(profile, recording.usage.cpu_ns)
        self.assert_complete(profile)
        self.assert_only(profile, [*COLOURS, 'by_functions', 'main', '[exec and loader]',
                                   '_dl_start', '_dl_sysdep_start', '_start'])

    def test_60_30_10_over_threads(self):
        recording = self.outside(workload('split'), 'threads', '3000')
        profile, truth = recording.profile, recording.truth
        self.assert_shares(profile.by_label('thread'), profile.total('samples'), truth)
        self.assert_complete(profile)
        for name, ns in truth.items():
            seen = profile.by_label('thread')[name]
            self.assertLessEqual(abs(seen - ns), 0.03 * ns, f'{name}: {seen} of {ns} ns')

    def test_a_deep_stack_is_whole(self):
        profile = self.outside(workload('recurse'), '200', '1000').profile
        bottoms = [s for s in profile.samples if s.has('bottom')]
        self.assertGreater(len(bottoms), 0)
        for sample in bottoms:
            if not any(f.function == '[truncated]' for f in sample.stack):
                self.assertEqual(sample.count('descend', 'descend_wide'), 200)
                self.assertEqual(sample.count('main'), 1)
        if os.getuid() == 0:        # without privileges the copies are smaller
            self.assert_complete(profile)

    def test_a_stack_deeper_than_its_copy_is_cut_and_said_to_be(self):
        profile = self.outside(workload('recurse'), '5000', '500').profile
        cut = [s for s in profile.samples if s.has('bottom') and s.has('[truncated]')]
        self.assertGreater(len(cut), 0)
        self.assertRegex('\n'.join(profile.comments), r'stacks truncated: \d+, ')

    def test_the_same_program_preloaded_gives_the_same_profile(self):
        text = os.path.join(self.tmp, 'text')
        with open(text, 'w', encoding='ascii') as file:
            for i in range(120000):
                file.write(f'{i * 7919 % 100003} the quick {i % 77} brown fox\n')
        program = ['xz', '-6', '-T1', '--keep', '--stdout', text]
        inside = self.record_well(*program).profile
        outside = self.outside(*program).profile
        one, two = by_function(inside), by_function(outside)
        total_one, total_two = sum(one.values()), sum(two.values())
        n_one, n_two = inside.total('samples'), outside.total('samples')
        self.assertGreater(min(n_one, n_two), 300)
        for name, ns in one.items():
            share, other = ns / total_one, two[name] / total_two
            if share < 0.02:
                continue
            error = math.sqrt(share * (1 - share) * (1 / n_one + 1 / n_two))
            # One in a hundred for what other work on the machine does to caches.
            self.assertLessEqual(abs(share - other), 4 * error + 0.01,
                                 f'{name}: {share:.4f} inside, {other:.4f} outside')

    def test_static_program(self):
        recording = self.record(workload('static'), '7')
        self.assertEqual((recording.status, recording.stdout), (7, b'static\n'))
        self.assert_one_clear_line(recording.stderr, 'static', 'from outside')
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        self.assert_complete(profile)
        self.assertAlmostEqual(profile.cumulative()['unseen'] / NS, 0.2, delta=0.02)

    def test_quiet_is_quiet(self):
        recording = self.record(workload('static'), options=['-q'])
        self.assertEqual((recording.status, recording.stderr), (0, b''))

    @unittest.skipUnless(shutil.which('go'), 'no Go compiler')
    def test_go_program(self):
        source, program = os.path.join(self.tmp, 'fib.go'), os.path.join(self.tmp, 'fib')
        with open(source, 'w', encoding='ascii') as file:
            file.write(GO)
        environment = {**os.environ, 'GOCACHE': os.path.join(self.tmp, 'cache'), 'GO111MODULE': 'off'}
        for flags in ([], ['-ldflags=-s -w']):      # stripped ones have the same table
            with self.subTest(flags=flags):
                subprocess.run(['go', 'build', *flags, '-o', program, source], check=True,
                               env=environment, timeout=120)
                recording = self.record(program)
                self.assertEqual((recording.status, recording.stdout),
                                 (0, b'24157817 24157817 24157817\n'))
                self.assert_one_clear_line(recording.stderr, 'Go program', 'from outside')
                profile = recording.profile
                self.assertEqual(profile.problems(), [])
                cut = profile.total(where=lambda s: s.has('[truncated]'))
                self.assertLessEqual(cut, 0.005 * profile.total() + 2e6)
                if not flags:
                    self.assertGreater(profile.cumulative()['main.fib'], 0.9 * profile.total())
                    for sample in profile.samples:
                        if sample.leaf.function == 'main.fib' and not sample.has('[truncated]'):
                            self.assertEqual(sample.count('main.worker'), 1)

    @unittest.skipUnless(os.getuid() == 0, 'needs root')
    def test_program_with_rights_of_its_own(self):
        path = os.path.join(self.tmp, 'rights')
        shutil.copy(workload('split'), path)
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o755 | stat.S_ISUID)
        if os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('the temporary directory ignores setuid')
        recording = self.record_well(path, 'functions', '1500')
        self.assert_one_clear_line(recording.stderr, 'rights', 'from outside')
        profile = recording.profile
        self.assert_shares(profile.cumulative(), profile.total('samples'), recording.truth)
        self.assertEqual(set(profile.by_label('process')), {'rights'})

    @unittest.skipUnless(os.getuid() == 0, 'needs root')
    def test_programs_that_gain_rights_are_sampled_whole(self):
        path = os.path.join(self.tmp, 'rights')
        shutil.copy(workload('split'), path)
        if os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('the temporary directory ignores setgid')
        for mode, owner in ((stat.S_ISUID, (65534, -1)), (stat.S_ISGID, (-1, 8))):
            with self.subTest(mode=mode):
                os.chown(path, *owner)
                os.chmod(path, 0o755 | mode)
                direct = self.record_well(path, 'functions', '1500', options=['-q'])
                self.assert_total(direct.profile, sum(direct.truth.values()), within=0.05)
                below = self.outside('sh', '-c', f'{path} functions 700; {path} threads 700; :')
                seen = below.profile.by_label('process')['rights']
                told = sum(below.truth.values())
                # The kernel ends the events at the exec; they are opened anew a moment later.
                self.assertLessEqual(abs(seen - told), 0.05 * told + 5e7, f'{seen} of {told} ns')
                self.assertEqual(below.session['outside']['gained_rights'], 2)
                self.assertRegex('\n'.join(below.profile.comments), r'2 programs got rights of another')
                self.assertNotIn('libhone.so', '\n'.join(below.profile.comments))

    def test_descriptors_of_events_that_are_over_are_given_back(self):
        path = os.path.join(self.tmp, 'rights')
        shutil.copy(workload('idle'), path)
        if os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('the temporary directory ignores setgid')
        os.chown(path, 65534, -1)
        os.chmod(path, 0o4755)
        turns = 80
        recording = self.outside('sh', '-c', f'for i in $(seq {turns}); do {path} 40 >&2; done; '
                                 'ls /proc/$PPID/fd | wc -l', options=['--types', 'cpu,wall'])
        self.assertGreater(recording.session['outside']['gained_rights'], turns / 2)
        self.assertLess(int(recording.stdout.split()[-1]), 2 * turns * os.cpu_count())

    def test_children_are_followed(self):
        recording = self.outside('sh', '-c', f'{workload("split")} functions 500; '
                                 f'{workload("static")}', stopwatch=True)
        profile = recording.profile
        # One in ten for what the kernel does in exec and exit, where nothing is counted by events.
        self.assert_total(profile, recording.usage.cpu_ns, within=0.1)
        self.assertGreater(profile.cumulative()['unseen'], 0.15 * NS)
        self.assertLessEqual({'split', 'static'}, set(profile.by_label('process')))
        for kind in ('fork', 'vfork'):
            with self.subTest(kind=kind):
                recording = self.outside(workload('forks'), kind, '600')
                for name, ns in recording.truth.items():
                    seen = recording.profile.cumulative()[name]
                    self.assertLessEqual(abs(seen - ns), 0.05 * ns + 5e6, name)
                self.assert_complete(recording.profile)

    def test_libraries_that_come_and_go(self):
        profile = self.outside(workload('dl'), workload('libplugin.so'), '1000').profile
        self.assertGreater(profile.cumulative()['plugin_work'], 0.2 * profile.total())
        self.assert_complete(profile)

    def test_signals_and_status_are_the_programs_own(self):
        recording = self.record(workload('exits'), 'signal', '6', options=OUTSIDE)
        self.assertEqual(recording.status, -signal.SIGABRT)
        recording = self.record('sh', '-c', 'echo out; echo err >&2; exit 9',
                                options=[*OUTSIDE, '-q'])
        self.assertEqual((recording.status, recording.stdout, recording.stderr),
                         (9, b'out\n', b'err\n'))

    def test_time_in_the_kernel_has_the_kernels_frames_or_is_said_to_have_none(self):
        recording = self.outside(workload('syscalls'), '800')
        kernel = recording.profile.total(
            where=lambda s: any(f.mapping and f.mapping.file == KERNEL for f in s.stack))
        if os.getuid() == 0:
            self.assertGreater(kernel, 0.5 * recording.profile.total())
            self.assertGreater(recording.profile.cumulative()['kernel_heavy'],
                               0.9 * recording.profile.total())
        else:
            self.assertRegex('\n'.join(recording.profile.comments), 'kernel may not be sampled')

    @unittest.skipUnless(os.getuid() == 0 and perf_level() <= 2, 'needs another user')
    def test_without_privileges(self):
        os.chmod(self.tmp, 0o777)
        recording = self.outside(workload('split'), 'functions', '1500', stopwatch=True,
                                 user=65534, group=65534, extra_groups=[])
        if perf_level() > 1:
            self.assertIn('perf-outside-user', self.engines(recording))
        profile = recording.profile
        self.assert_shares(profile.cumulative(), profile.total('samples'), recording.truth)
        # What the kernel does for events at each switch is the thread's time, and not the event's:
        # 2.1 % of 1.5 s on a machine with a load of 20.
        self.assert_total(profile, recording.usage.cpu_ns, within=0.04)
        self.assert_complete(profile)

    def test_threads_shorter_than_a_period_are_in_the_total(self):
        # Also below a shell, which has waited for the program before we can look at its clock, and
        # with the events of the wall clock beside those of the CPU.
        program = (workload('threads'), 'crumbs', '5000')
        for command in (program, ('/bin/sh', '-c', ' '.join(program) + '; exit 0')):
            for types in ('cpu', 'cpu,wall'):
                with self.subTest(command=command[0], types=types):
                    recording = self.outside(*command, options=['--types', types])
                    kernel = recording.session['program_cpu_ns']
                    self.assertGreater(kernel, 5000 * 0.3e6)
                    self.assert_total(recording.profile, kernel, within=0.01)
                    self.assertEqual(recording.session['processes_left_running'], 0)
                    text = '\n'.join(recording.profile.comments)
                    self.assertNotIn('went on', text)
                    self.assertNotIn('signal', text)


class Running(Outside):
    def test_a_process_that_has_ended_and_is_not_waited_for_is_refused(self):
        process = subprocess.Popen(['true'])
        self.addCleanup(process.wait)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        done = self.attach('-d', '200ms', '-p', str(process.pid))
        self.assertEqual(done.status, 1)
        self.assert_one_clear_line(done.stderr, str(process.pid), 'has ended')

    def test_a_program_with_threads(self):
        program, = self.run_together([workload('threads'), 'many', '3', '1500'])
        recording = self.attach('-p', str(program.pid))
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        self.assert_complete(profile)
        self.assertEqual(len([t for t, ns in profile.by_label('tid').items() if ns > 0.05 * NS]), 3)
        self.assertGreater(profile.cumulative()['crowd'], 0.97 * profile.total())
        # It ends as if nothing had been.
        out, _ = program.communicate(timeout=60)
        self.assertEqual(program.returncode, 0)
        self.assertRegex(out, rb'\Acrowd \d+\n')

    def test_shares_in_a_running_program(self):
        program, = self.run_together([workload('split'), 'functions', '20000'])
        recording = self.attach('-d', '2s', '--pid', str(program.pid))
        profile = recording.profile
        self.assert_shares(profile.cumulative(), profile.total('samples'),
                           {'red': 60, 'green': 30, 'blue': 10})
        self.assert_complete(profile)
        self.assertEqual(set(profile.by_label('process')), {'split'})

    def test_several_processes_and_threads_and_children_that_they_start_later(self):
        one, two = self.run_together(
            [workload('split'), 'functions', '300'],
            ['sh', '-c', f'sleep 2; {workload("threads")} many 2 400; exec {workload("static")} 3'])
        recording = self.attach(f'-p{one.pid},{two.pid}')
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        self.assertLessEqual({'split', 'threads', 'static'}, set(profile.by_label('process')))
        self.assertGreater(profile.cumulative()['crowd'], 0.6 * NS)
        self.assertGreater(profile.cumulative()['unseen'], 0.15 * NS)
        self.assertEqual(two.wait(timeout=60), 3)

    def test_the_end_of_the_process_ends_the_recording(self):
        program, = self.run_together([workload('split'), 'functions', '700'])
        recording = self.attach('-p', str(program.pid))
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertGreater(recording.profile.total(), 0.1 * NS)
        self.assertEqual(recording.session['program_ended'], None)

    def test_an_interrupt_ends_the_recording_and_not_the_process(self):
        program, = self.run_together([workload('split'), 'functions', '30000'])
        directory = os.path.join(self.tmp, 'interrupted')
        hone = subprocess.Popen([HONE, 'record', '-q', '-o', directory, '-p', str(program.pid)])
        time.sleep(1.5)
        hone.send_signal(signal.SIGINT)
        self.assertEqual(hone.wait(timeout=60), 0)
        self.assertIsNone(program.poll())
        profile = harness.Profile.read(os.path.join(directory, 'cpu.prof'))
        self.assertGreater(profile.cumulative()['by_functions'], 0.1 * NS)

    def test_a_signal_that_was_ignored_before_does_not_end_the_recording(self):
        # As nohup leaves it, and the shell of a script for a job in its background.
        program, = self.run_together([workload('split'), 'functions', '30000'])
        targets = [('-p', str(program.pid))] + ([('-a',)] if os.getuid() == 0 else [])
        for target in targets:
            with self.subTest(target=target):
                directory = os.path.join(self.tmp, 'ignored' + target[0])
                hone = subprocess.Popen(['sh', '-c', 'trap "" HUP INT; exec "$@"', 'sh', HONE, 'record',
                                         '-q', '-t', 'cpu', '-o', directory, *target])
                time.sleep(1.5)
                for number in (signal.SIGHUP, signal.SIGINT):
                    hone.send_signal(number)
                    time.sleep(0.3)
                    self.assertIsNone(hone.poll(), number)
                hone.send_signal(signal.SIGTERM)
                self.assertEqual(hone.wait(timeout=60), 0)
                self.assertTrue(os.path.exists(os.path.join(directory, 'cpu.prof')))

    def test_a_file_that_was_deleted_meanwhile(self):
        path = os.path.join(self.tmp, 'vanishing')
        shutil.copy(workload('split'), path)
        program, = self.run_together([path, 'functions', '20000'])
        os.unlink(path)
        profile = self.attach('-d', '1s', '-p', str(program.pid)).profile
        if os.getuid() == 0:        # the file is reached through the process
            self.assertGreater(profile.total(where=lambda s: not s.has('[truncated]')),
                               0.99 * profile.total())
        self.assertIn(path, {m.file for m in profile.mappings.values()})

    @unittest.skipUnless(os.getuid() == 0, 'needs root')
    def test_the_whole_machine(self):
        self.run_together([workload('split'), 'functions', '20000'],
                          [workload('threads'), 'many', '1', '20000'])
        recording = self.attach('-d', '2s', '-a')
        self.assertEqual(recording.status, 0, recording.stderr)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        sums = profile.cumulative()
        self.assertGreater(sums['by_functions'], 0)
        self.assertGreater(sums['crowd'], 0)
        self.assertLessEqual({'split', 'threads'}, set(profile.by_label('process')))
        here = [s for s in profile.samples if s.has('by_functions')]
        self.assertEqual({tuple(s.labels['process']) for s in here}, {('split',)})

    # ---- what cannot be ----------------------------------------------------------------------

    def refused(self, status, *options, words=(), **run):
        directory = os.path.join(self.tmp, 'refused')
        done = self.run_plain(HONE, 'record', '-o', directory, *options, **run)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assert_one_clear_line(done.stderr, *words)
        self.assertFalse(os.path.exists(directory))

    def test_misuse_is_said_in_one_line(self):
        self.refused(2, '-p', 'many', words=['many', 'process numbers'])
        self.refused(2, '-p', '1,', words=['process numbers'])
        self.refused(2, '-p', '1', 'true', words=["not 'true'"])
        self.refused(2, '-p', '1', '-a', words=['not both'])
        self.refused(2, '-p', '1', '--engine', 'thread-timer', words=['--engine outside'])
        self.refused(2, words=['program'])
        self.refused(1, '-p', '4194303', words=['4194303', 'no such process'])
        self.refused(126, '--engine', 'thread-timer', '--', workload('static'),
                     words=['statically', 'nothing can be preloaded'])

    def test_a_thread_is_no_process_and_whose_it_is_is_said(self):
        program, = self.run_together([workload('threads'), 'many', '1', '20000'])
        tid = max(map(int, os.listdir(f'/proc/{program.pid}/task')))
        self.refused(1, '-p', str(tid), words=[
            f'{tid}: it is a thread of process {program.pid}; record that: -p {program.pid}'])

    @unittest.skipUnless(os.getuid() == 0, 'needs another user')
    def test_other_users_processes_and_the_machine_need_root(self):
        os.chmod(self.tmp, 0o777)
        program, = self.run_together([workload('split'), 'functions', '20000'])
        other = {'user': 65534, 'group': 65534, 'extra_groups': []}
        self.refused(1, '-p', str(program.pid), words=['cannot record', 'not permitted'], **other)
        self.refused(1, '-a', words=['cannot record', 'not permitted'], **other)


if __name__ == '__main__':
    unittest.main()
