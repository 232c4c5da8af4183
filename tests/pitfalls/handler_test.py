"""Pitfalls: what a handler may do in somebody else's thread, and what it may do to a stack."""

import unittest

import harness
from harness import workload


class Handler(harness.TestCase):
    """Nothing that takes a lock, nothing that the program can see."""

    def check(self, *program, lines, options=()):
        recording = self.record(*program, rate=10000, options=options)
        self.assertEqual((recording.status, recording.stdout.decode().splitlines()), (0, lines),
                         recording.stderr)
        self.assertEqual(recording.profile.problems(), [])
        return recording.profile

    def test_malloc_in_the_handler(self):
        self.check(workload('guarded'), 'calls', workload('libplugin.so'),
                   lines=['calls 0', 'done some'])

    def test_dl_iterate_phdr_in_a_signal_handler(self):
        # Another engine: its handler is another one.
        self.check(workload('guarded'), 'calls', workload('libplugin.so'),
                   lines=['calls 0', 'done some'], options=['--engine', 'thread-timer'])

    def test_an_unwinder_that_initialises_lazily(self):
        # The first exception of a program loads nothing and allocates nothing more than without us.
        self.check(workload('guarded'), 'calls', workload('libplugin.so'),
                   lines=['calls 0', 'done some'], options=['--engine', 'perf-trap-user'])

    def test_handler_reentry(self):
        self.check(workload('guarded'), 'alarm', lines=['inside 0', 'done some'])

    def test_sampling_bursts(self):
        # A period that is shorter than a sample takes would leave the program no time.
        done = self.run_plain(harness.HONE, 'record', '-F', '1000000', '--', '/bin/true',
                              cwd=self.tmp)
        self.assertEqual(done.returncode, 2, done.stderr)
        recording = self.record_well(workload('deep'), '64', '100', rate=20000, timeout=60)
        self.assertEqual(recording.stdout, b'depth 64\n')

    def test_errno_is_kept(self):
        self.check(workload('guarded'), 'errno', lines=['changed 0', 'done some'])

    def test_eintr_is_never_seen(self):
        for kind, number in (('poll', 600), ('nanosleep', 600), ('epoll', 200), ('read', 600),
                             ('select', 600), ('futex', 600), ('sigsuspend', 600)):
            with self.subTest(wait=kind):
                self.check(workload('eintr'), kind, str(number),
                           lines=['interrupted 0', f'waited {number}'])


class Stacks(harness.TestCase):
    """Stacks that are nobody's, broken, or left in unusual ways."""

    def check(self, kind, ms=600, **options):
        recording = self.record_well(workload('odd'), kind, str(ms), **options)
        if 'skipped' in recording.truth:
            self.skipTest('not on this machine')
        (name, ns), = recording.truth.items()
        self.assertGreater(recording.profile.cumulative()[name], 0.9 * ns, recording.stdout)
        return recording.profile

    def assert_cut_visibly(self, profile):
        """Stacks that end early say so in the profile: in each of them, and in its comments."""
        self.assertRegex('\n'.join(profile.comments), r'stacks truncated: \d+')
        self.assertGreater(profile.cumulative()['[truncated]'], 0.5 * profile.total())

    def test_unreadable_stack(self):
        self.assert_cut_visibly(self.check('wild'))

    def test_corrupt_frame_pointer(self):
        self.check('garbage')

    def test_longjmp(self):
        # longjmp() itself is where one sample in 200 falls.
        self.assert_complete(self.check('jump', rate=10000), least=0.999)

    def test_tail_calls(self):
        profile = self.check('tail', rate=10000)
        self.assert_complete(profile, least=0.999)  # with a wrong rule some still seem complete
        self.assert_only(profile, {'main', '[exec and loader]', '_dl_start', '_start'}, most=0.05)

    def test_vdso(self):
        profile = self.check('vdso')
        self.assert_complete(profile)
        inside = profile.total(where=lambda s: '[vdso]' in (s.leaf.mapping.file
                                                            if s.leaf.mapping else ''))
        self.assertGreater(inside, 0.2 * profile.total(), 'the vDSO is not seen')

    def test_jit_and_unknown_code(self):
        profile = self.check('jit')
        self.assert_complete(profile)
        self.assertGreater(profile.cumulative()['[unknown code]'], 0.9 * 6e8)
        self.assertGreater(profile.cumulative()['main'], 0.9 * 6e8)

    def test_a_backtrace_that_stops_early_silently(self):
        profile = self.check('bare')
        self.assert_cut_visibly(profile)
        self.assertGreater(profile.cumulative()['[unknown code]'], 0.9 * 6e8)

    def test_fixed_size_stack_tables(self):
        # More stacks than any table of ours holds: each sample has one of its own.
        recording = self.record_well(workload('odd'), 'paths', '1500', rate=10000, stopwatch=True)
        profile = recording.profile
        self.assertGreater(profile.cumulative()['paths'], 0.95 * recording.truth['branch'])
        distinct = len({tuple(f.location for f in s.stack) for s in profile.samples})
        self.assertGreater(distinct, 0.6 * profile.total('samples'))
        self.assertRegex('\n'.join(profile.comments), 'samples lost: 0')
        self.assert_rate(profile, recording.usage.cpu_ns, 10000, least=0.7)

    def test_code_without_frame_pointers(self):
        profile = self.record_well(workload('recurse'), '200', '700').profile
        self.assert_complete(profile)
        deep = [sum(f.function in ('descend', 'descend_wide') for f in s.stack)
                for s in profile.samples if s.leaf.function in ('spin', 'bottom')]
        self.assertEqual(set(deep), {200})


if __name__ == '__main__':
    unittest.main()
