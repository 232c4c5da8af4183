"""The heap: what a program allocates and keeps, against what it counted itself."""

import glob
import json
import math
import os
import shutil
import subprocess
import sys
import unittest
from collections import namedtuple

import harness
from harness import HONE, workload
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

    def test_a_static_program_has_the_reason_in_its_profile(self):
        for size in ('1', '512KiB'):
            with self.subTest(size=size):
                recording = self.record(workload('static'),
                                        options=('-t', 'heap', '--heap-rate', size))
                shown = subprocess.run([HONE, 'heap', recording.directory], capture_output=True,
                                       check=True, timeout=60).stdout.decode()
                self.assertIn('the heap is not covered', shown)
                self.assertIn('allocated              -  not known\n', shown)

    def test_it_says_which_part_of_the_stacks_was_cut(self):
        for depth, cut in (('512', '# heap stacks: 100.00% of '), ('4', 'heap stacks: '),
                           ('2', 'heap stacks: 0.00% of '), ('1', 'heap stacks: 0.00% of ')):
            with self.subTest(depth=depth):
                heap = self.record_heap(workload('heap'), size='1',
                                        options=('--depth', depth)).heap
                # The frames that are left are the program's, not those of Hone's hooks.
                self.assertTrue(any(s.has('fill_and_empty') for s in heap.samples))
                comments = heap.comments
                told, = [comment for comment in comments if 'heap stacks' in comment]
                self.assertTrue(told.startswith(cut), told)
                self.assertTrue(told.endswith(' allocations in complete ones'), told)

    def test_info_tells_no_error_of_sampling(self):
        recording = self.record_heap(workload('heap'), size='1')
        shown = subprocess.run([HONE, 'info', os.path.join(recording.directory, 'heap.prof')],
                               capture_output=True, check=True).stdout.decode()
        self.assertIn('every block was counted', shown)
        self.assertNotIn('95 of 100', shown)

    def test_allocs_has_the_same_values(self):
        recording = self.record_heap(workload('heap'), size='1')
        allocs = Profile.read(os.path.join(recording.directory, 'allocs.prof'))
        self.assertEqual([name for name, _ in allocs.sample_types], list(KINDS))
        self.assertEqual(allocs.default_type, 'alloc_space')
        self.assertEqual(recording.heap.default_type, 'inuse_space')
        for kind in KINDS:
            self.assertEqual(allocs.total(kind), recording.heap.total(kind))


    @unittest.skipUnless(glob.glob('/usr/lib/*/libjemalloc.so.2'), 'no jemalloc')
    def test_blocks_of_eight_bytes_side_by_side(self):
        jemalloc = glob.glob('/usr/lib/*/libjemalloc.so.2')[0]
        for size in (1, 8, 24):
            recording = self.record_heap('env', f'LD_PRELOAD={jemalloc}', workload('heap_seeds'),
                                         '2', '5000', '0', str(size), size='1')
            self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])
            found = by_function(recording.heap, ['make_small'])['make_small']
            self.assertEqual(found, Tally(10000, 10000 * size, 5000, 5000 * size))

    def test_blocks_beyond_four_gib(self):
        """They need no memory as long as nobody touches them; and one grows where it lies or moves."""
        gib, mib = 1 << 30, 1 << 20
        recording = self.record_heap(sys.executable, '-c', """
import ctypes
libc = ctypes.CDLL(None)
for name in 'malloc', 'realloc', 'free':
    getattr(libc, name).restype = ctypes.c_void_p
malloc = lambda size: ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size)))
kept, grown, freed = malloc((4 << 30) + 100), malloc(3 << 30), malloc(5 << 30)
grown = ctypes.c_void_p(libc.realloc(grown, ctypes.c_size_t(6 << 30)))
libc.free(freed)
print(bool(kept and grown and freed))""", size='1')
        if recording.stdout != b'True\n':
            self.skipTest('the kernel does not give out so much')
        self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])
        total = sum(s.values[1] for s in recording.heap.samples)
        self.assertEqual(total // gib, 4 + 3 + 5 + 6)
        live = sum(s.values[3] for s in recording.heap.samples)
        self.assertEqual(live // gib, 10)
        self.assertLess(live % gib, 64 * mib)
        peak = Profile.read(os.path.join(recording.directory, 'heap-peak.prof'))
        self.assertEqual(peak.total('inuse_space') // gib, 15)


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


    def test_of_many_that_live_each_end_is_known(self):
        """At this rate a block of 48 bytes is left out once in 10^10 times."""
        recording = self.record_heap(workload('heap'), size='2')
        truth = self.truth(recording)
        # The recorder may come too late for so many, on a machine that has other work.
        lost = '\n'.join(c for c in recording.heap.comments if c.startswith('lost'))
        self.assertLess(len(lost), 1, lost)
        self.assertEqual(by_function(recording.heap, truth), truth)

    def test_is_unbiased(self):
        """Over 200 seeds, a thread each: the mean of what they say lies within three standard errors
        of the truth, for small and huge blocks, for all and for those that live."""
        threads, small, huge, rate = 200, 1000, 3, 512 << 10
        recording = self.record_heap(workload('heap_seeds'), str(threads), str(small), str(huge))
        for name, size, made, live in (('make_small', 1000, small, small - small // 2),
                                       ('make_huge', 1 << 20, huge, 1)):
            own = [s for s in recording.heap.samples if s.has(name)]
            self.assertTrue(own, name)
            p = -math.expm1(-size / rate)
            for objects, space, true in (('alloc_objects', 'alloc_space', made),
                                         ('inuse_objects', 'inuse_space', live)):
                error = math.sqrt(true * (1 - p) / p / threads)
                for kind, unit in ((objects, 1), (space, size)):
                    index = recording.heap.index(kind)
                    mean = sum(s.values[index] for s in own) / unit / threads
                    # Values are whole numbers, and what rounding takes away the next one gets.
                    self.assertLessEqual(abs(mean - true), 3 * error + 2 / threads / unit,
                                         f'{name}, {kind}: {mean:.2f} of {true}, {error:.2f}')

    def test_huge_blocks_of_many_sizes_are_not_rounded_away(self):
        """Each is a sample of its own, which stands for 1.16 blocks."""
        recording = self.record_heap(sys.executable, '-c', '''
import ctypes
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
kept = [malloc((2 << 20) + 16 * i) for i in range(1000)]''', size='1MiB')
        for profile in (recording.heap, Profile.read(os.path.join(recording.directory,
                                                                  'heap-time.prof'))):
            count = profile.index('inuse_objects')
            live = sum(s.values[count] for s in profile.samples
                       if abs(s.values[count + 1]) >= 2 << 20)
            # The variance of one is (1 - p) / p, here 0.157.
            self.assertAlmostEqual(live, 1000, delta=5 * (1000 * .157) ** .5)

    def test_each_seed_draws_of_its_own(self):
        recording = self.record_heap(workload('heap_seeds'), '20', '1000', '1')
        sums = {}
        for sample in recording.heap.samples:
            if sample.has('make_small'):
                tid = tuple(sample.labels['tid'])
                sums[tid] = sums.get(tid, 0) + sample.values[0]
        self.assertGreater(len(set(sums.values())), 1)

    def test_a_sample_tells_its_size(self):
        recording = self.record_heap(workload('heap_seeds'), '8', '1000', '4')
        sizes = {number for s in recording.heap.samples if s.has('make_huge')
                 for number in s.labels['bytes']}
        self.assertEqual(sizes, {1 << 20})


class Shown(TestCase):
    """`hone heap` and the views of a sample type."""

    def hone(self, *words, cwd=None):
        done = subprocess.run([HONE, *words], capture_output=True, check=False, cwd=cwd)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors='replace'))
        return done.stdout.decode()

    def test_heap_agrees_with_what_the_program_counted(self):
        recording = self.record_heap(workload('heap'), size='1')
        truth = self.truth(recording)
        found = json.loads(self.hone('heap', '--json', '-n', '100', recording.directory))
        self.assertTrue(found['exact'])
        for kind, field in (('allocated', 'alloc'), ('live', 'inuse')):
            self.assertEqual(found[kind]['bytes'], recording.heap.total(f'{field}_space'))
            self.assertEqual(found[kind]['objects'], recording.heap.total(f'{field}_objects'))
            self.assertEqual(found[kind]['bytes_error'], 0)
            # What each thread's own start allocates is in the loader's functions.
            functions = {row['function']: row['amounts'] for row in found[f'{kind}_functions']}
            expected = {name: t for name, t in truth.items()
                        if (t.bytes if kind == 'allocated' else t.live_bytes)}
            self.assertGreater(len(expected), 3)
            for name, t in expected.items():
                if name not in functions:        # it allocates through another
                    continue
                self.assertEqual((functions[name]['objects'], functions[name]['bytes']),
                                 (t.objects, t.bytes) if kind == 'allocated' else
                                 (t.live_objects, t.live_bytes), name)
            self.assertGreater(len(functions.keys() & expected.keys()), 3)
        every = json.loads(self.hone('heap', '--json', '-n', '0', recording.directory))
        self.assertEqual(every['allocated_functions'], found['allocated_functions'])
        text = self.hone('heap', recording.directory)
        self.assertIn('Exact: every block was counted', text)
        self.assertIn('libc.so.6', text)
        self.assertLessEqual(max(map(len, text.splitlines()[2:9])), 80)

    def test_heap_of_a_sampled_one_tells_its_error(self):
        recording = self.record_heap(workload('heap_seeds'), '20', '5000', '4')
        found = json.loads(self.hone('heap', '--json', recording.directory))
        self.assertFalse(found['exact'])
        p = -math.expm1(-1000 / (512 << 10))
        small = sum(s.values[0] for s in recording.heap.samples if s.has('make_small'))
        row = next(r for r in found['allocated_functions'] if r['function'] == 'make_small')
        self.assertEqual(row['caller'], 'work')
        self.assertAlmostEqual(row['amounts']['objects_error'], math.sqrt(small * (1 / p - 1)),
                               delta=1)
        self.assertRegex(self.hone('heap', recording.directory), r'make_small ← work')

    def test_the_newest_recording_and_others(self):
        folder = os.path.join(self.tmp, 'profiles')
        os.mkdir(folder)
        recording = self.record_heap(workload('heap'), size='1', types='cpu,heap')
        shutil.copytree(recording.directory, os.path.join(folder, 'one'))
        self.assertIn('allocated', self.hone('heap', cwd=self.tmp))
        self.assertIn('Type: inuse_space', self.hone('top', '-inuse_space', cwd=self.tmp))
        self.assertIn('Type: cpu', self.hone('top', cwd=self.tmp))
        os.unlink(os.path.join(folder, 'one', 'heap.prof'))
        done = subprocess.run([HONE, 'heap'], capture_output=True, check=False, cwd=self.tmp)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'no heap.prof')
        done = subprocess.run([HONE, 'heap', recording.path], capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)

    def test_what_has_no_heap_says_why(self):
        recording = self.record_well(workload('static'))
        done = subprocess.run([HONE, 'heap', recording.directory], capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'has no heap', 'from outside')

    def test_each_view_takes_the_types_as_pprof_does(self):
        recording = self.record_heap(workload('heap'), size='1', types='cpu,heap')
        for kind in KINDS:
            total = recording.heap.total(kind)
            for view in ('top', 'tree', 'call-tree', 'hot-path', 'traces', 'info'):
                for option in (f'-{kind}', f'--{kind.replace("_", "-")}', f'-type={kind}',
                               f'-sample_index={kind}'):
                    text = self.hone(view, option, recording.directory)
                    self.assertIn(f'Type: {kind}', text, view)
            rows = self.hone('collapsed', f'-{kind}', recording.directory).splitlines()
            self.assertEqual(sum(int(row.rsplit(' ', 1)[1]) for row in rows), total)
            self.assertIn(kind, self.hone('flame', f'-{kind}', recording.directory))
            self.assertIn(kind, self.hone('dot', f'-{kind}', recording.directory))
            self.assertIn(f'Type: {kind}', self.hone('peek', f'-{kind}', 'new', recording.directory))
        text = self.hone('top', '-source', '-alloc_space', recording.directory)
        self.assertRegex(text, r'heap\.cpp:\d+')
        self.assertEqual(text, self.hone('top', '--by', 'lines', '-alloc_space',
                                         recording.directory))
        done = subprocess.run([HONE, 'top', '-alloc_space=2', recording.directory],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.hone('diff', '-alloc_space', recording.directory, recording.directory)


class Pressure(TestCase):
    """The share of CPU time that a program pays for its memory, of programs that know theirs."""

    def pressure(self, allocating, computing):
        recording = self.record_well(workload('pressure'), str(allocating), str(computing))
        done = subprocess.run([HONE, 'heap', '--json', recording.directory], capture_output=True,
                              check=True)
        return recording.truth, json.loads(done.stdout)['cpu_for_memory']

    def test_one_that_only_allocates(self):
        _, found = self.pressure(700, 0)
        self.assertGreater(found['share'], 0.75)
        self.assertGreater(found['allocator'], 0.7)
        self.assertIsNone(found['page_faults'])      # the engine does not tell them apart

    def test_one_that_only_computes(self):
        _, found = self.pressure(0, 500)
        self.assertLess(found['share'], 0.02)

    def test_one_that_does_both(self):
        truth, found = self.pressure(400, 600)
        true = truth['allocate'] / (truth['allocate'] + truth['compute'])
        # The loop around malloc() and free(), and the clock that it looks at, are no allocator.
        self.assertLess(found['low'], true + 0.02)
        self.assertGreater(found['high'], 0.75 * true)


class Default(TestCase):
    """What is recorded when nobody says what."""

    def test_cpu_and_heap(self):
        recording = self.record_well(workload('heap_seeds'), '20', '1000', '1')
        files = set(os.listdir(recording.directory))
        self.assertLessEqual({'cpu.prof', 'heap.prof', 'session.json'}, files)
        self.assertNotIn('wall.prof', files)
        self.assertNotIn('allocs.prof', files)
        self.assertEqual(recording.heap.problems(), [])
        self.assertGreater(recording.heap.total('inuse_space', where=lambda s: s.has('make_huge')),
                           10 << 20)
        self.assertTrue(any('one sample in 524288 bytes' in c for c in recording.heap.comments))
        self.assert_one_clear_line(recording.stderr, 'heap')

    def test_types_as_go_calls_them(self):
        for options, files in ((('-memprofile',), {'heap.prof'}), (('--cpuprofile',), {'cpu.prof'}),
                               (('-cpuprofile', '-memprofile'), {'cpu.prof', 'heap.prof'}),
                               (('-profile',), {'cpu.prof', 'heap.prof'}),
                               (('-t', 'threads', '-memprofile'), {'threads.prof', 'heap.prof'})):
            directory = os.path.join(self.tmp, ''.join(options).replace('-', ''))
            subprocess.run([HONE, 'record', '-q', *options, '-o', directory, 'true'], check=True,
                           capture_output=True, timeout=60)
            self.assertEqual({name for name in os.listdir(directory)
                              if name in ('cpu.prof', 'heap.prof', 'threads.prof')}, files)

    def test_options_of_the_heap_are_refused_where_it_is_not_recorded(self):
        for option in (('--heap-rate', '1'), ('--leaks', 'yes'), ('--heap-maps',)):
            done = subprocess.run([HONE, 'record', '-t', 'cpu', *option, '-o',
                                   os.path.join(self.tmp, 'none'), 'true'], capture_output=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 2, option)
            self.assertEqual(done.stderr.decode(), f'hone: record: {" ".join(option[:1])}'
                             f'{" yes" if "yes" in option else ""} is of the heap; add heap to the '
                             'types that are recorded\n')

    def test_what_is_static_has_its_cpu_recorded_and_says_so(self):
        recording = self.record_well(workload('static'))
        self.assertEqual(sorted(os.listdir(recording.directory)), ['cpu.prof', 'session.json'])
        self.assertRegex(self.assert_one_clear_line(recording.stderr, 'heap'), 'not covered')
        self.assertIn('from outside', recording.session['heap']['not_covered'])
        self.assertTrue(any('not covered: the heap' in c for c in recording.profile.comments))

    def test_what_only_the_inside_tells_is_not_asked_for_outside(self):
        mark = os.path.join(self.tmp, 'mark')
        for options in (('-t', 'heap', '--engine', 'outside', 'touch', mark),
                        ('-t', 'heap', '-p', str(os.getpid()), '-d', '1s'),
                        ('-t', 'mutex', '-a', '-d', '1s')):
            with self.subTest(options):
                directory = os.path.join(self.tmp, 'none')
                done = self.run_plain(harness.HONE, 'record', '-o', directory, *options)
                self.assertEqual(done.returncode, 2)
                self.assert_one_clear_line(done.stderr, 'from outside')
                self.assertFalse(os.path.exists(directory))
                self.assertFalse(os.path.exists(mark))


if __name__ == '__main__':
    unittest.main()
