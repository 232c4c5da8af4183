"""Pitfalls: limits, privileges and sandboxes.
"""

import os
import resource
import unittest

import harness
from harness import NS, workload


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


    def test_files_of_the_recorder_may_not_grow(self):
        # A clear word, and not its end by SIGXFSZ.
        mark = os.path.join(self.tmp, 'mark')
        done = self.run_plain('prlimit', '--fsize=10240:10240', harness.HONE, 'record', '-o',
                              os.path.join(self.tmp, 'session'), '--', 'touch', mark)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_clear_line(done.stderr, 'file too large')
        self.assertIn(b'ulimit -f', done.stderr)
        self.assertFalse(os.path.exists(mark))


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


class Sandbox(harness.TestCase):
    def test_seccomp(self):
        # Any system call but four ends this program from here on.
        recording = self.record_well(workload('sandbox'), 'lock', rate=10000)
        self.assertEqual(set(recording.truth), {'outside', 'locked_in'})
        self.assertGreater(recording.profile.cumulative()['outside'],
                           0.9 * recording.truth['outside'])
        self.assertRegex('\n'.join(recording.profile.comments), 'sandbox')

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
