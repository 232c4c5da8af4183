"""Pitfalls: threads and stacks of every kind.
"""

import unittest

import harness
from harness import NS, workload


class Threads(harness.TestCase):
    def test_two_thousand_short_threads(self):
        recording = self.record_well(workload('threads'), 'short', '2000', rate=10000,
                                     stopwatch=True)
        self.assert_rate(recording.profile, recording.usage.cpu_ns, 10000, least=0.9)

    def test_two_hundred_at_once(self):
        recording = self.record_well(workload('threads'), 'many', '200', '10')
        self.assertGreater(recording.profile.cumulative()['crowd'],
                           0.9 * recording.truth['crowd'])


if __name__ == '__main__':
    unittest.main()
