"""Pitfalls of who stands in front of an allocator."""

import glob
import os
import unittest

import harness
from harness import workload


def shared(name):
    found = glob.glob(f'/usr/lib/*/lib{name}.so.[0-9]*')
    if not found:
        raise unittest.SkipTest(f'no lib{name}')
    return found[0]


class Heap(harness.TestCase):
    PLUGINS = (('libplugin.so', 'plugin_work'), ('libplugin1.so', 'first_work'))

    def test_lock_order_between_allocator_and_loader(self):
        """The loader allocates while it holds its lock: four threads load and unload libraries
        while every block is counted. Who takes both locks in the other order stands still."""
        recording = self.record(workload('dlmany'), '1500',
                                *(f'{workload(file)}:{name}' for file, name in self.PLUGINS),
                                rate=100, options=('-t', 'heap', '--heap-rate', '1'), timeout=60)
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertIn('loads', recording.truth)
        self.assertGreater(recording.heap.total('alloc_objects'), 100)

    def test_an_allocator_with_its_own_profiler_on(self):
        """jemalloc samples every block and calls its own unwinder for each, in the middle of the
        allocation: counts stay exact, and its profile is written."""
        prefix = os.path.join(self.tmp, 'je')
        environment = {**os.environ, 'LD_PRELOAD': shared('jemalloc'), 'MALLOC_CONF':
                       f'prof:true,lg_prof_sample:0,prof_final:true,prof_prefix:{prefix}'}
        plain = self.run_plain(workload('heap'), env={**os.environ, 'LD_PRELOAD':
                                                      shared('jemalloc')})
        recording = self.record(workload('heap'), env=environment,
                                options=('-t', 'heap', '--heap-rate', '1'))
        self.assertEqual((recording.status, recording.stdout), (plain.returncode, plain.stdout))
        truth = {words[0]: int(words[1]) for words in
                 map(str.split, plain.stdout.decode().splitlines())}
        self.assertGreater(len(truth), 8)
        # A new thread's own memory is no block of the program's.
        own = [s for s in recording.heap.samples
               if not any('pthread_create' in f.function for f in s.stack)]
        counted = {name: sum(s.values[0] for s in own if s.has(name)) for name in truth}
        self.assertEqual(counted, truth)
        self.assertTrue(glob.glob(prefix + '*'), 'the allocator has written no profile')


if __name__ == '__main__':
    unittest.main()
