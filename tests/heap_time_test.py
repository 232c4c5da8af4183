"""The heap over time: the peak, changes by interval, marks, and what only counting every block knows,
against what a program knew of itself (workloads/stages)."""

import json
import math
import os
import subprocess
import sys
import time
import unittest
from collections import Counter, namedtuple

import harness
import heap_built
from harness import HONE, workload
from pprof import Profile

Amount = namedtuple('Amount', 'objects bytes')


class Truth:
    """What workloads/stages printed."""

    def __init__(self, stdout):
        self.changes, self.peak = {}, {}
        self.temporary, self.moved, self.usable, self.held, self.marks = {}, {}, {}, {}, []
        for line in stdout.decode().splitlines():
            what, *words = line.split()
            numbers = [int(word) for word in words if word.lstrip('-').isdigit()]
            if what == 'change':
                self.changes[words[0], words[1]] = Amount(*numbers)
            elif what == 'peak':
                self.peak[words[0]] = Amount(*numbers)
            elif what == 'mark':
                self.marks.append(words[0])
                assert numbers == [1], line
            else:
                getattr(self, what)[words[0]] = numbers if what == 'held' else numbers[0]
        self.functions = {function for _, function in self.changes} | self.peak.keys() | {'churn'}


def label(sample, key):
    found = sample.labels[key]
    assert len(found) == 1, found
    return found[0]


def sums(profile, key):
    """Objects and bytes of the samples, by what `key` makes of each; None is left out."""
    found = {}
    kinds = [name for name, _ in profile.sample_types]
    objects, space = kinds.index('inuse_objects'), kinds.index('inuse_space')
    for sample in profile.samples:
        name = key(sample)
        if name is not None:
            had = found.get(name, Amount(0, 0))
            found[name] = Amount(had.objects + sample.values[objects],
                                 had.bytes + sample.values[space])
    return {name: amount for name, amount in found.items() if amount != (0, 0)}


class TestCase(harness.TestCase):
    def record_heap(self, *program, size='1', options=(), **run):
        recording = self.record(*program, options=('-t', 'heap', '--heap-rate', size, *options),
                                **run)
        self.assertEqual(recording.status, 0,
                         f'{program}: {recording.stderr.decode(errors="replace")}')
        return recording

    def profile_of(self, recording, name):
        profile = Profile.read(os.path.join(recording.directory, name))
        changes = {'a negative value'} if name == 'heap-time.prof' else set()
        self.assertEqual(set(profile.problems()) - changes, set())
        return profile


class Stages(TestCase):
    """One recording, of which each test asks something else."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls is not Stages:
            return
        case = cls('record_heap')
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.recording = case.record_heap(workload('stages'))
        cls.truth = Truth(cls.recording.stdout)
        cls.time = case.profile_of(cls.recording, 'heap-time.prof')
        cls.heap = cls.recording.session['heap']

    def function(self, sample):
        return next((name for name in self.truth.functions if sample.has(name)), None)

    def site(self, name):
        """What session.json says of a function's sites."""
        return [site for site in self.heap['sites'] if name in site['stack']]

    def test_changes_between_marks(self):
        def key(sample):
            function = self.function(sample)
            return function and (label(sample, 'generation'), function)
        self.assertEqual(sums(self.time, key), self.truth.changes)

    def test_marks_are_listed_and_part_the_time(self):
        marks = self.recording.session['marks']
        self.assertEqual([mark['name'] for mark in marks], self.truth.marks)
        self.assertEqual(self.recording.session['marks_refused'], 0)
        times = [mark['time_ms'] for mark in marks]
        self.assertEqual(times, sorted(times))
        # A change is told at the end of its interval, so not before its generation began.
        begins = dict(zip(self.truth.marks, times), start=0)
        early = [(sample.labels, sample.values) for sample in self.time.samples
                 if label(sample, 'time') < int(begins[label(sample, 'generation')])]
        self.assertEqual(early, [])
        # And each stage lasts some while, in which the next one has not begun.
        late = [(sample.labels, sample.values) for sample in self.time.samples
                if label(sample, 'generation') == 'start' and
                label(sample, 'time') > begins['churned'] + 11]
        self.assertEqual(late, [])

    def test_sum_is_what_lives_at_the_end(self):
        def stack(sample):
            return tuple((frame.address, frame.function) for frame in sample.stack)
        self.assertEqual(sums(self.time, stack), sums(self.recording.heap, stack))

    def test_peak_by_site(self):
        profile = self.profile_of(self.recording, 'heap-peak.prof')
        found = sums(profile, self.function)
        self.assertEqual({name: found.get(name) for name in self.truth.peak}, self.truth.peak)
        self.assertEqual(found.keys() - self.truth.peak.keys(), {'extend'})  # lived throughout
        total = profile.total('inuse_space')
        self.assertAlmostEqual(self.heap['peak_bytes'], total, delta=total / 1000)

    def test_peak_has_its_time(self):
        times = {mark['name']: mark['time_ms'] for mark in self.recording.session['marks']}
        self.assertTrue(times['peaked'] <= self.heap['peak_time_ms'] <= times['fallen'],
                        (times, self.heap['peak_time_ms']))

    def test_temporary(self):
        self.assertEqual(sum(site['temporary']['objects'] for site in self.site('churn')),
                         self.truth.temporary['churn'])
        others = [site for name in ('grow', 'extend', 'hand_over') for site in self.site(name)]
        self.assertEqual({site['temporary']['objects'] for site in others}, {0})

    def test_reallocations(self):
        self.assertEqual(sum(site['reallocated'] for site in self.site('extend')),
                         self.truth.moved['extend'])
        self.assertEqual({site['reallocated'] for site in self.site('grow')}, {0})

    def test_sizes(self):
        sizes = Counter()
        for site in self.site('extend'):
            for bin_ in site['sizes']:
                sizes[bin_['up_to_bytes']] += bin_['objects']
        expected = Counter(max(8, 1 << (800 * i - 1).bit_length()) for i in range(1, 101))
        self.assertEqual(+sizes, expected)
        churned = [b for site in self.site('churn') for b in site['sizes'] if b['objects']]
        self.assertEqual(churned, [{'up_to_bytes': 64, 'objects': 5000}])

    def test_lifetimes(self):
        for name, (count, least_ns) in self.truth.held.items():
            bins = [b for site in self.site(name) for b in site['lifetimes'] if b['objects']]
            self.assertEqual(sum(b['objects'] for b in bins), count, name)
            # The counter's unit and its calibration: a thousandth.
            self.assertEqual([b for b in bins if b['below_ns'] < least_ns * 0.999], [], name)
        churned = sum(b['objects'] for site in self.site('churn') for b in site['lifetimes'])
        self.assertEqual(churned, 5000)

    def test_waste(self):
        for name, usable in self.truth.usable.items():
            sites = self.site(name)
            self.assertEqual(sum(site['waste']['usable_bytes'] for site in sites), usable, name)
            self.assertEqual(sum(site['waste']['bytes'] for site in sites),
                             usable - sum(site['allocated']['bytes'] for site in sites), name)

    def test_totals_are_the_profiles(self):
        heap = self.recording.heap
        for key, kinds in (('allocated', ('alloc_objects', 'alloc_space')),
                           ('live', ('inuse_objects', 'inuse_space'))):
            self.assertEqual([self.heap[key]['objects'], self.heap[key]['bytes']],
                             [heap.total(kind) for kind in kinds])
        self.assertEqual(self.heap['mode'], 'exact')
        self.assertEqual(self.heap['rate'], 1)
        self.assertEqual(len(self.heap['allocators']), 1)
        self.assertEqual(self.heap['not_covered'], [])

    def test_resident_memory_is_seen_from_outside(self):
        held = self.heap['fragmentation']
        self.assertIsNotNone(held)
        # The program keeps megabytes; our own tables, as large again, are not its.
        self.assertGreater(held['resident_bytes'], held['live_bytes'])
        self.assertLess(held['resident_bytes'], 2 * held['live_bytes'] + (1 << 20))

    def test_memory_that_the_program_mapped_is_no_fragmentation(self):
        recording = self.record_heap(sys.executable, '-c', '''
import mmap, time
mine = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, 100 << 20, 4096): mine[page] = 1
time.sleep(1)''')
        held = recording.session['heap']['fragmentation']
        self.assertTrue(held is None or held['resident_bytes'] < 50 << 20, held)

    def test_difference_between_marks_is_a_filter(self):
        path = os.path.join(self.recording.directory, 'heap-time.prof')
        done = self.run_plain(HONE, 'top', '--tag-focus', 'generation=^peaked$', '--unit', 'B', path)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {words[-1]: words[0] for words in map(str.split, done.stdout.decode().splitlines())
                if len(words) >= 6}
        self.assertEqual(rows['grow'], f"{self.truth.changes['peaked', 'grow'].bytes}B", rows)
        self.assertEqual(rows['hand_over'], f"{self.truth.changes['peaked', 'hand_over'].bytes}B")
        self.assertNotIn('quicken', rows)


class Sampled(TestCase):
    def test_changes_add_up_to_what_lives(self):
        recording = self.record_heap(workload('stages'), '1', size='512')
        profile = self.profile_of(recording, 'heap-time.prof')
        self.assertGreater(len(profile.samples), 10)
        self.assertIn('peaked', {label(sample, 'generation') for sample in profile.samples})
        live = recording.heap
        # Each row of heap.prof and each site of heap-time.prof is rounded once.
        for kind in ('inuse_objects', 'inuse_space'):
            self.assertLessEqual(abs(profile.total(kind) - live.total(kind)),
                                 len(live.samples) + len(profile.samples), kind)
        heap = recording.session['heap']
        self.assertEqual(heap['mode'], 'sampled')
        self.assertNotIn('peak_bytes', heap)
        self.assertFalse(os.path.exists(os.path.join(recording.directory, 'heap-peak.prof')))


class SmallPeaks(heap_built.Built):
    """Heaps of a few bytes, and of many threads with a few bytes each."""

    def peak(self, source, *arguments):
        recording = self.record_heap(self.build('program', source, *arguments), size='1')
        return recording.session['heap']

    def test_a_few_blocks(self):
        heap = self.peak(r'''
#include <stdlib.h>
int main(void)
{
    for (int i = 0; i < 100; i++) {
        void *volatile a = malloc(10), *volatile b = malloc(20);
        free(b);
        free(a);
    }
    return 0;
}''')
        self.assertEqual(heap['peak_bytes'], 30)

    THREADS = r'''
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
enum { THREADS = 200, BLOCKS = 10, SIZE = 40 };
static pthread_barrier_t barrier;
static void *in_thread(void *argument)
{
    void *volatile blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(SIZE);
    pthread_barrier_wait(&barrier);
    while (STAY)
        pause();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return argument;
}
int main(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + STAY);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, in_thread, NULL);
    if (STAY)
        return pthread_barrier_wait(&barrier) * 0;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}'''

    def test_many_threads(self):
        heap = self.peak(self.THREADS, '-DSTAY=0', '-lpthread')
        # Their blocks and what the C library makes for each thread, but for a 4096th in each.
        self.assertGreaterEqual(heap['peak_bytes'], (200 * 10 * 40 + 200 * 200) * (1 - 200 / 4096))

    def test_many_threads_that_are_there_at_the_end(self):
        heap = self.peak(self.THREADS, '-DSTAY=1', '-lpthread')
        self.assertGreaterEqual(heap['live']['bytes'], 200 * 10 * 40)
        self.assertGreaterEqual(heap['peak_bytes'], heap['live']['bytes'])


class Lives(heap_built.Built):
    """How long blocks of busy stacks lived, of which only some are timed, against what they did."""

    BLOCKS, BATCHES, AGAIN, LONG_NS = 2000, 105, 3, 5000000
    # Which of a stack's blocks are freed at once.
    SHORT = ('random() % 10 < 3', 'i % 2', 'i % 16 < 8', 'i % 16 == 0', 'i < 100000', 'i < 1024')
    BUSY = [f'busy_{i}' for i in range(AGAIN * len(SHORT))]

    SOURCE = r'''
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static void *volatile kept[40][4000];
static int keeps[40];
#define STACK(name, number, size, short) \
    static long name##_short; \
    static __attribute__((noinline)) void name(long from, long to) \
    { \
        for (long i = from; i < to; i++) { \
            int soon = (short); \
            void *volatile block = malloc(size); \
            if (soon) \
                free(block); \
            else \
                kept[number][keeps[number]++] = block; \
            name##_short += soon; \
        } \
    }
static void end_batch(void)
{
    struct timespec left = {0, LONG_NS};
    while (nanosleep(&left, &left))
        ;
    for (int i = 0; i < 40; i++)
        while (keeps[i])
            free(kept[i][--keeps[i]]);
}
STACK(quiet, 39, 20000, i % 2)
'''

    def program(self, busy):
        made = ''.join(f'STACK({name}, {i}, 64, {self.SHORT[i % len(self.SHORT)]})\n'
                       for i, name in enumerate(busy))
        calls = ' '.join(f'{name}(i * {self.BLOCKS}, (i + 1) * {self.BLOCKS});' for name in busy)
        told = ' '.join(f'printf("{name} %ld\\n", {name}_short);' for name in (*busy, 'quiet'))
        return self.build('program', f'''{self.SOURCE}{made}
int main(void)
{{
    quiet(0, 1000);
    for (long i = 0; i < {self.BATCHES if busy else 1}; i++) {{
        {calls}
        end_batch();
    }}
    {told}
    return 0;
}}''', f'-DLONG_NS={self.LONG_NS}')

    def recorded(self, busy):
        recording = self.record_heap(self.program(busy), size='1')
        words = [line.split() for line in recording.stdout.decode().splitlines()]
        shown = [subprocess.run([HONE, 'heap', *options, recording.directory], capture_output=True,
                                check=True).stdout.decode() for options in ((), ('--json',))]
        self.assertIn('Blocks by life', shown[0])
        return recording.session['heap'], {name: int(n) for name, n in words}, *shown

    def site(self, heap, name):
        sites = [site for site in heap['sites'] if name in site['stack']]
        self.assertEqual(len(sites), 1, name)
        return sites[0]

    def parts(self, lifetimes):
        """Blocks freed before the long ones were, and how far that may be off."""
        bins = [b for b in lifetimes if b['below_ns'] and b['below_ns'] < self.LONG_NS * 0.999]
        return (sum(b['objects'] for b in bins),
                math.sqrt(sum(b['objects_error_95'] ** 2 for b in bins)))

    def assert_exact(self, heap, truth):
        site = self.site(heap, 'quiet')
        self.assertEqual(sum(b['objects'] for b in site['lifetimes']), 1000)
        self.assertEqual(site['lifetimes_timed'], 1000)
        self.assertEqual({b['objects_error_95'] for b in site['lifetimes']}, {0})
        # Some wait for the processor before they are freed.
        self.assertTrue(truth['quiet'] - 2 <= self.parts(site['lifetimes'])[0] <= truth['quiet'])

    def test_estimates_are_right_within_what_they_say(self):
        heap, truth, text, _ = self.recorded(self.BUSY)
        self.assert_exact(heap, truth)
        count, off = self.BLOCKS * self.BATCHES, []
        all_short = 0
        for name in self.BUSY:
            site = self.site(heap, name)
            self.assertEqual(sum(b['objects'] for b in site['lifetimes']), count, name)
            timed = 1024 + (count - 1024) / 16
            self.assertAlmostEqual(site['lifetimes_timed'], timed, delta=5 * math.sqrt(timed))
            short, error = self.parts(site['lifetimes'])
            share = truth[name] / count
            # Each of the first ones is known, so that less is to be estimated.
            said = 1.96 * count * math.sqrt(share * (1 - share) / timed)
            if truth[name] > 1024:
                self.assertTrue(0.9 * said < error < 1.1 * said, (name, error, said))
            off.append((abs(short - truth[name]) / error, name, short, truth[name]))
            all_short += truth[name]
        # One of 20 is farther off than is said; five of 18, once in a thousand times.
        self.assertLess(sum(by > 1 for by, *_ in off), 5, off)
        self.assertLess(max(off)[0], 2, off)
        short, error = self.parts(heap['lifetimes'])
        self.assertLess(abs(short - all_short), 2 * error + 1000)
        freed = heap['allocated']['objects'] - heap['live']['objects']
        self.assertEqual(sum(b['objects'] for b in heap['lifetimes']), freed)
        self.assertIn(f"estimated: {heap['lifetimes_timed']} of {freed} freed were timed", text)
        lives = text[text.index('Blocks by life'):]
        self.assertRegex(lives, r'up to +\S+ +\d+ ±\d+(\.\d)?% +\d+\.\d%')

    def test_few_are_exact_and_nothing_is_said(self):
        heap, truth, text, as_json = self.recorded([])
        self.assert_exact(heap, truth)
        self.assertEqual(heap['lifetimes_timed'], sum(b['objects'] for b in heap['lifetimes']))
        for word in ('timed', 'estimated', '±'):
            self.assertNotIn(word, text)
        found = json.loads(as_json)
        self.assertEqual(found['lifetimes_timed'], heap['lifetimes_timed'])
        self.assertEqual({b['objects_error_95'] for b in found['lifetimes_ns']}, {0})


class Processes(TestCase):
    def test_several_in_one_file(self):
        recording = self.record_heap(
            '/bin/sh', '-c', f'{workload("stages")} 1; {workload("stages")} 1 & wait')
        truth = Truth(b'')
        lines = recording.stdout.splitlines(keepends=True)
        truth = Truth(b''.join(lines[:len(lines) // 2]))
        profile = self.profile_of(recording, 'heap-time.prof')

        def site(sample):
            function = next((name for name in truth.functions if sample.has(name)), None)
            return function and (label(sample, 'pid'), function)
        found = sums(profile, site)
        self.assertEqual(found, sums(recording.heap, site))
        self.assertEqual(len({pid for pid, _ in found}), 2)
        live = Counter()
        for (_, function), amount in truth.changes.items():
            live[function] += amount.objects
        self.assertEqual({objects for (_, name), (objects, _) in found.items() if name == 'grow'},
                         {live['grow']})


    def test_peak_is_of_those_that_lived_together(self):
        one = f"{sys.executable} -c 'x = bytearray(40000000); x = None'"
        recording = self.record_heap('/bin/sh', '-c', '; '.join([one] * 3))
        heap = recording.session['heap']
        own = sorted(p['peak_bytes'] for p in heap['processes'] if p['peak_bytes'])
        self.assertGreater(own[0 - 3], 40000000)
        self.assertLess(heap['peak_bytes'], own[-1] + 5000000)
        self.assertGreaterEqual(heap['peak_bytes'], own[-1])
        shown = subprocess.run([HONE, 'heap', recording.directory], capture_output=True,
                               check=True).stdout.decode()
        self.assertIn('processes lived then', shown)
        self.assertIn('Live at the peak of each process', shown)


class Outside(TestCase):
    """hone mark."""

    def start(self, *options, program=('sleep', '60')):
        self._runs += 1
        directory = os.path.join(self.tmp, f'marked-{self._runs}')
        process = subprocess.Popen([HONE, 'record', '-q', '-o', directory, *options, '--', *program],
                                   stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, directory

    def mark(self, *words):
        return self.run_plain(HONE, 'mark', *words)

    def mark_when_it_runs(self, *words):
        end = time.monotonic() + 60
        while True:
            done = self.mark(*words)
            if done.returncode == 0 or time.monotonic() > end:
                self.assertEqual(done.returncode, 0, done.stderr)
                return done
            time.sleep(0.02)

    def finish(self, process, directory):
        process.terminate()
        process.wait()
        return harness.Recording(subprocess.CompletedProcess([], 0, b'', b''), directory,
                                 None).session['marks']

    def test_recording_by_its_folder(self):
        first, first_directory = self.start('-t', 'heap')
        self.mark_when_it_runs('one', first_directory)
        second, second_directory = self.start('-t', 'cpu')
        self.mark_when_it_runs('two', second_directory)
        self.mark_when_it_runs('three', os.path.relpath(first_directory))
        self.mark_when_it_runs('four', str(second.pid))
        self.assertEqual([mark['name'] for mark in self.finish(first, first_directory)],
                         ['one', 'three'])
        self.assertEqual([mark['name'] for mark in self.finish(second, second_directory)],
                         ['two', 'four'])

    def test_newest_without_a_name(self):
        # Others may be recording on this machine: in a place of our own only where that is so.
        process, directory = self.start('-t', 'heap')
        self.mark_when_it_runs('here', directory)
        told = self.mark('newest')
        self.assertEqual(told.returncode, 0, told.stderr)
        names = [mark['name'] for mark in self.finish(process, directory)]
        if f'process {process.pid}' in told.stderr.decode():
            self.assertEqual(names, ['here', 'newest'])

    def test_nothing_runs_there(self):
        done = self.mark('name', os.path.join(self.tmp, 'nowhere'))
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'no recording', 'nowhere')

    def test_misuse(self):
        for words in ((), ('',), ('x' * 48,), ('a', 'b', 'c')):
            self.assertEqual(self.mark(*words).returncode, 2, words)

    def test_no_room_for_one_more(self):
        process, directory = self.start('-t', 'heap')
        self.mark_when_it_runs('0', directory)
        for number in range(1, 64):
            self.assertEqual(self.mark(str(number), directory).returncode, 0)
        done = self.mark('64', directory)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, '64 marks')
        self.assertEqual([mark['name'] for mark in self.finish(process, directory)],
                         [str(number) for number in range(64)])


if __name__ == '__main__':
    unittest.main()
