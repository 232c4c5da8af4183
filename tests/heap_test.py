"""The heap: what a program allocates and keeps, against what it counted itself."""

import math
import os
import unittest
from collections import namedtuple

import harness
from harness import workload
from pprof import Profile

Tally = namedtuple('Tally', 'objects bytes live_objects live_bytes')
KINDS = ('alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space')


class TestCase(harness.TestCase):
    def record_heap(self, *program, size='512KiB', types='heap,allocs', options=(), **run):
        recording = self.record(*program, options=('-t', types, '--heap-rate', size, *options),
                                **run)
        self.assertEqual(recording.status, 0,
                         f'{program}: {recording.stderr.decode(errors="replace")}')
        self.assertEqual(recording.heap.problems(), [])
        return recording

    @staticmethod
    def truth(recording):
        """What workloads/heap printed, by function."""
        return {name: Tally(*map(int, numbers)) for name, *numbers in
                (line.split() for line in recording.stdout.decode().splitlines())}


def by_function(profile, names):
    """The four values of the samples below each function, but for what a new thread takes."""
    found = {}
    for name in names:
        own = [s for s in profile.samples if s.has(name) and
               not any('pthread_create' in f.function for f in s.stack)]
        values = [sum(s.values[i] for s in own) for i in range(4)]
        found[name] = Tally(*values)
    return found


class Exact(TestCase):
    """Every block, at the byte."""

    def test_each_kind_of_call(self):
        recording = self.record_heap(workload('heap'), size='1')
        truth = self.truth(recording)
        self.assertGreater(len(truth), 8)
        self.assertEqual(by_function(recording.heap, truth), truth)

    def test_allocs_has_the_same_values(self):
        recording = self.record_heap(workload('heap'), size='1')
        allocs = Profile.read(os.path.join(recording.directory, 'allocs.prof'))
        self.assertEqual([name for name, _ in allocs.sample_types], list(KINDS))
        self.assertEqual(allocs.default_type, 'alloc_space')
        self.assertEqual(recording.heap.default_type, 'inuse_space')
        for kind in KINDS:
            self.assertEqual(allocs.total(kind), recording.heap.total(kind))


class Sampled(TestCase):
    def test_is_within_its_error(self):
        """A block of s bytes is sampled with p = 1 - exp(-s / rate) and counts as 1 / p: n of them
        have the variance n (1 - p) / p."""
        rate = 16384
        recording = self.record_heap(workload('heap'), '4', size=str(rate))
        truth = self.truth(recording)
        found = by_function(recording.heap, truth)
        for name, true in truth.items():
            for objects, seen in ((true.objects, found[name].objects),
                                  (true.live_objects, found[name].live_objects)):
                if not objects or name in ('grow_realloc', 'drop_new'):
                    continue
                p = -math.expm1(-true.bytes / true.objects / rate)
                error = math.sqrt(true.objects * (1 - p) / p)
                self.assertLessEqual(abs(seen - objects), 4.5 * error + 1,
                                     f'{name}: {seen} of {objects}, error {error:.0f}')
        self.assertEqual(recording.status, 0)


if __name__ == '__main__':
    unittest.main()
