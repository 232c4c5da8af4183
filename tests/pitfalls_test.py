"""What has broken other profilers inside a process, one test for each.

Every program here checks itself and says so by its output and status; several run at 10 000 Hz,
where a signal is always about to arrive.
"""

import os
import resource
import unittest

import harness
from harness import NS, workload


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

    def test_an_emptied_environment_ends_the_recording_there_and_says_so(self):
        recording = self.record('env', '-i', workload('split'), 'functions', '300')
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertEqual(set(recording.truth), {'red', 'green', 'blue'})
        if recording.profile.total() < 0.25 * NS:
            text = '\n'.join(recording.profile.comments).lower()
            self.assertRegex(text, r'not covered|ld_preload|environment|could not be followed')
            self.assertNotIn('less cpu time than one period', text)


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
                                 ('steal', b'strangers 0\n')):
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


class Threads(harness.TestCase):
    def test_two_thousand_short_threads(self):
        recording = self.record_well(workload('threads'), 'short', '2000', rate=10000,
                                     stopwatch=True)
        self.assert_rate(recording.profile, recording.usage.cpu_ns, 10000, least=0.9)

    def test_two_hundred_at_once(self):
        recording = self.record_well(workload('threads'), 'many', '200', '10')
        self.assertGreater(recording.profile.cumulative()['crowd'],
                           0.9 * recording.truth['crowd'])


class Libraries(harness.TestCase):
    def test_loading_and_unloading_at_10000_hz(self):
        profile = self.record_well(workload('dl'), workload('libplugin.so'), '1500',
                                   rate=10000).profile
        self.assert_complete(profile)

    def test_a_preload_of_the_users_own_is_kept(self):
        # libearly.so starts a thread from its constructor; without it, no such function runs.
        recording = self.record_well(workload('split'), 'functions', '700',
                                     env={**os.environ, 'LD_PRELOAD': workload('libearly.so')})
        self.assertGreater(recording.profile.cumulative()['early_bird'], 0.4 * NS)


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

    def test_no_locked_memory_and_no_queued_signals(self):
        self.assert_seen_or_said(self.check((resource.RLIMIT_MEMLOCK, 0),
                                            (resource.RLIMIT_SIGPENDING, 0)))

    def test_files_of_the_program_may_not_grow(self):
        # The shared memory is a file, too: its writer is the reader, not the program.
        self.assert_seen_or_said(self.check((resource.RLIMIT_FSIZE, 1 << 16)))


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


if __name__ == '__main__':
    unittest.main()
