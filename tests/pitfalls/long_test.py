"""Pitfalls that show only in the long run: not part of the quick tests."""

import unittest

import harness
import libraries_test
import threads_test


class Long(harness.TestCase):
    PLUGINS = libraries_test.Loading.PLUGINS

    def test_four_threads_load_and_unload_for_a_minute(self):
        # 15 seconds of CPU time each: a minute on two processors that others use as well.
        libraries_test.Loading.check(self, 15000, 1000)

    def test_ten_thousand_short_threads(self):
        threads_test.Threads.check_short(self, 10000)


if __name__ == '__main__':
    unittest.main()
