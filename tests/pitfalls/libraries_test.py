"""Pitfalls: libraries that come, go, and stand in the way.
"""

import os
import unittest

import harness
from harness import NS, workload


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


if __name__ == '__main__':
    unittest.main()
