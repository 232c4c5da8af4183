"""Pitfalls: what programs do that a profiler inside them is easily caught by. None of it may go
another way because of us."""

import harness
from harness import workload

ENGINES = ('perf-trap', 'perf-signal', 'thread-timer', 'process-timer')


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

    def test_close_range_beyond_all_descriptors(self):
        self.check('range')
