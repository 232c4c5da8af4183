"""Pitfalls: programs that use the signals a profiler would like to have.
"""

import unittest

import harness
from harness import NS, workload


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
                                 ('steal', b'strangers 0\n'), ('raw', b'strangers 0\n'),
                                 ('mask', b'before 0 blocked 1 pending 1 received 0, '
                                          b'then pending 0 received 1\n')):
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


if __name__ == '__main__':
    unittest.main()
