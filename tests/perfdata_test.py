"""perf.data in: real programs, recorded by perf, read by us and, for comparison, by perf script."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from collections import Counter, namedtuple

import harness
from harness import HONE, workload
from pprof import Profile
from starts import completeness

RATE = 1000
# The start of the program or thread, by whatever name its C library gives it.
STARTS = re.compile(r'_start|_dl_start_user|clone3?|__clone3?|start_thread|ret_from_fork_asm')
PERL = '''
sub fib { my $n = shift; return $n < 2 ? $n : fib($n - 1) + fib($n - 2) }
fib(20) for 1..8; my %h; $h{$_ % 5000} .= $_ for 1..600000;
'''
PYTHON = '''
import json
data = [{'a': i, 'b': [str(i)] * 5} for i in range(8000)]
for _ in range(5):
    json.loads(json.dumps(data))
'''
CPP = '''
#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>
static int work(int seed) {
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 30000; i++) map[std::to_string((i * 7919 + seed) % 5000)].push_back(i);
    int sum = 0;
    for (auto &entry : map) {
        std::sort(entry.second.begin(), entry.second.end(), [](int a, int b) { return a > b; });
        sum += entry.second[0];
    }
    return sum;
}
__attribute__((noinline)) int deeper(int depth, int seed) {
    int sum = depth ? deeper(depth - 1, seed) : work(seed);
    asm volatile("" : "+r"(sum));  // no loop instead of calls
    return sum + 1;
}
int main() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++)
        threads.emplace_back([i] { for (int k = 0; k < 12; k++) deeper(20, k + i); });
    for (auto &thread : threads) thread.join();
}
'''

Script = namedtuple('Script', 'samples period stacks')


def perf_can_record():
    try:
        return subprocess.run(['perf', 'record', '-q', '-e', 'cpu-clock', '-o', os.devnull,
                               'true'], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def perf_has_threads():
    return b'--threads[' in subprocess.run(['perf', 'record', '-h'], capture_output=True,
                                           check=False).stderr


def process_of(sample):
    return sample.labels.get('process', [''])[0]


def perf_script(path):
    """What perf itself makes of the file: names of each sample's stack, leaf first."""
    done = subprocess.run(['perf', 'script', '-i', path, '-F', 'comm,pid,tid,period,ip,sym'],
                          capture_output=True, check=True)
    samples = []
    for block in done.stdout.decode(errors='replace').split('\n\n'):
        lines = block.strip('\n').splitlines()
        if lines:
            samples.append((int(lines[0].split()[-1].rstrip(':')),
                            [line.split(None, 1)[1] if ' ' in line.strip() else '' for line in
                             (text.strip() for text in lines[1:])]))
    return Script(len(samples), sum(period for period, _ in samples),
                  [stack for _, stack in samples])


@unittest.skipUnless(perf_can_record(), 'perf is not there, or may not record')
class PerfDataTest(harness.TestCase):
    def perf(self, *command, options=(), name='perf.data', **run):
        path = os.path.join(self.tmp, name)
        done = subprocess.run(['perf', 'record', '-q', '-e', 'cpu-clock', '-F', str(RATE), *options,
                               '-o', path, '--', *command],
                              capture_output=True, timeout=120, check=False, cwd=self.tmp, **run)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def convert(self, path, *options, **run):
        out = os.path.join(self.tmp, 'out.prof')
        done = subprocess.run([HONE, 'convert', *options, path, out], capture_output=True,
                              timeout=120, check=False, **run)
        self.assertEqual(done.returncode, 0, done.stderr)
        profile = Profile.read(out)
        self.assertEqual(profile.problems(), [])
        return profile

    def refuse(self, path, *options):
        """Its one line, without the command's name, and the hint."""
        done = subprocess.run([HONE, 'convert', *options, path, os.path.join(self.tmp, 'no.prof')],
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done)
        return done.stderr.decode().splitlines()

    made = None  # the program, which all tests share

    def compile(self):
        if not PerfDataTest.made or not os.path.exists(PerfDataTest.made):
            directory = tempfile.mkdtemp(prefix='hone-test-')
            self.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
            PerfDataTest.made = os.path.join(directory, 'made')
            with open(PerfDataTest.made + '.cpp', 'w', encoding='utf-8') as file:
                file.write(CPP)
            subprocess.run(['g++', '-O2', '-pthread', PerfDataTest.made + '.cpp', '-o',
                            PerfDataTest.made], check=True)
        return shutil.copy(PerfDataTest.made, self.tmp)

    def assert_same_samples(self, profile, script):
        self.assertGreater(script.samples, 40)
        self.assertEqual(profile.total('samples'), script.samples)
        self.assertEqual(profile.total('cpu'), script.period)

    def assert_same_leaves(self, profile, script, least=0.85):
        """perf may choose another of several names of the same code, and has none for some."""
        ours = Counter()
        for sample in profile.samples:
            ours[sample.stack[0].function] += sample.values[0]
        theirs = Counter(re.sub(r'\+0x.*| \(inlined\)', '', stack[0])
                         for stack in script.stacks if stack)
        named = sum(count for name, count in theirs.items() if name != '[unknown]')
        same = sum(min(count, ours[name]) for name, count in theirs.items())
        self.assertGreaterEqual(same, least * named,
                                f'{theirs.most_common(8)}, {ours.most_common(8)}')

    def assert_as_complete(self, profile, script):
        """Our walks end at a start as often as perf's, give or take a few that chance decides:
        where one ends early goes by the instruction that a sample happens to hit."""
        theirs = sum(1 for stack in script.stacks if stack and STARTS.fullmatch(stack[-1]))
        ours = sum(s.values[0] for s in profile.samples
                   if STARTS.fullmatch(s.root.function) or s.root.function == '[exec and loader]')
        self.assertGreaterEqual(ours, theirs - max(2, 0.01 * theirs))

    # ---- copied stacks --------------------------------------------------------------------

    def check_copies(self, *command, least=0.97, options=()):
        path = self.perf(*command, options=('--call-graph', 'dwarf', *options))
        profile, script = self.convert(path), perf_script(path)
        self.assert_same_samples(profile, script)
        self.assert_same_leaves(profile, script)
        self.assert_as_complete(profile, script)
        self.assertGreaterEqual(completeness(profile).share, least)
        return profile

    def test_copied_stacks_of_perl(self):
        profile = self.check_copies('perl', '-e', PERL)
        self.assertTrue(any(s.has('perl_run') for s in profile.samples))

    def test_copied_stacks_of_threads_in_cpp(self):
        profile = self.check_copies(self.compile())
        deep = [s for s in profile.samples if s.count('deeper(int)', 'deeper') >= 20]
        self.assertGreater(sum(s.values[0] for s in deep), 0.8 * profile.total('samples'))
        self.assertEqual({process_of(s) for s in deep}, {'made'})

    def test_packed_copies_of_python(self):
        # Its stacks are deeper than perf's usual copy; -z packs them.
        self.check_copies('python3', '-c', PYTHON, options=('-z',), least=0.5)

    # ---- the other ways to a stack --------------------------------------------------------

    def test_chains_by_frame_pointers(self):
        path = self.perf(self.compile(), options=('-g',))
        profile, script = self.convert(path), perf_script(path)
        self.assert_same_samples(profile, script)
        self.assert_same_leaves(profile, script)

    def test_no_stacks(self):
        path = self.perf('perl', '-e', PERL)
        profile = self.convert(path)
        self.assertEqual({len(s.locations) for s in profile.samples}, {1})
        self.assertIn('perf was not asked for them (-g)', '\n'.join(profile.comments))

    def test_whole_machine_with_its_processes(self):
        source = self.compile() and PerfDataTest.made + '.cpp'
        path = self.perf('g++', '-O2', '-c', source, '-o', os.devnull, options=('-a', '-g'))
        profile, script = self.convert(path), perf_script(path)
        self.assert_same_samples(profile, script)
        self.assertIn('cc1plus', {process_of(s) for s in profile.samples})

    def test_a_stream_is_read_from_a_pipe(self):
        with open(os.path.join(self.tmp, 'stream'), 'wb') as file:
            subprocess.run(['perf', 'record', '-q', '-e', 'cpu-clock', '-F', str(RATE),
                            '--call-graph', 'dwarf', '-o', '-', '--', 'perl', '-e', PERL],
                           stdout=file, stderr=subprocess.DEVNULL, check=True)
        script = perf_script(file.name)
        with open(file.name, 'rb') as file:
            profile = self.convert('-', stdin=file)
        self.assert_same_samples(profile, script)
        self.assert_as_complete(profile, script)

    # ---- directories ----------------------------------------------------------------------

    @unittest.skipUnless(perf_has_threads(), 'this perf has no --threads')
    def test_directories_of_several_files(self):
        command = self.compile()
        path = self.perf(command, options=('--call-graph', 'dwarf,16384', '--threads'))
        self.assertGreater(os.path.getsize(os.path.join(path, 'data.0')), 0)
        profile, script = self.convert(path), perf_script(path)
        self.assert_same_samples(profile, script)
        self.assert_same_leaves(profile, script)
        self.assert_as_complete(profile, script)
        comments = '\n'.join(profile.comments)
        self.assertNotIn('order:', comments)
        self.assertNotIn('file:', comments)
        # Views take the directory for what it is, not for recordings of ours.
        self.assertIn(b'deeper', self.run_plain(HONE, 'top', path).stdout)

        # One of its files is cut: the others are read as a whole.
        part = next(name for name in sorted(os.listdir(path)) if re.fullmatch(r'data\.\d+', name)
                    and os.path.getsize(os.path.join(path, name)))
        os.truncate(os.path.join(path, part), os.path.getsize(os.path.join(path, part)) // 2 + 1)
        cut = self.convert(path)
        self.assertTrue(0 < cut.total('samples') < profile.total('samples'))
        self.assertIn(f'file: {part}: it ends within the record', '\n'.join(cut.comments))

        # The file with the header alone.
        alone = self.convert(os.path.join(path, 'data'))
        self.assertEqual(alone.total('samples'), 0)
        self.assertIn('its samples are in other files of its directory',
                      '\n'.join(alone.comments))

    @unittest.skipUnless(perf_has_threads(), 'this perf has no --threads')
    def test_packed_directories(self):
        path = self.perf(self.compile(), options=('-g', '-z', '--threads'))
        profile, script = self.convert(path), perf_script(path)
        self.assert_same_samples(profile, script)
        self.assertNotIn('order:', '\n'.join(profile.comments))

    def test_directories_that_are_none(self):
        path = os.path.join(self.tmp, 'folder')
        os.mkdir(path)
        self.assertEqual(self.refuse(path, '--from', 'perf')[0],
                         f"hone: '{path}' is a directory without a file 'data'")
        with open(os.path.join(path, 'data'), 'wb') as file:
            file.write(b'PERFILE2' + (104).to_bytes(8, 'little') + bytes(4))
        self.assertEqual(self.refuse(path), [f"hone: '{path}' is cut off within the header of "
                                             'perf.data'])
        with open(os.path.join(path, 'data'), 'wb') as file:
            file.write(b'2ELIFREP' + bytes(100))
        self.assertEqual(self.refuse(path)[0],
                         f"hone: '{path}' is of a machine with the other byte order")
        os.unlink(os.path.join(path, 'data'))
        done = self.run_plain(HONE, 'convert', path, os.path.join(self.tmp, 'no.prof'))
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'folder', 'holds no')

    # ---- beside our own recording ---------------------------------------------------------

    def test_the_same_shares_as_our_own_recording(self):
        colours = ('red', 'green', 'blue')

        def shares(profile):
            sums = Counter()
            for sample in profile.samples:
                for frame in sample.stack:
                    if frame.function in colours:
                        sums[frame.function] += sample.values[0]
                        break
            return {name: sums[name] / max(1, sum(sums.values())) for name in colours}

        path = self.perf(workload('split'), 'functions', '2000', options=('--call-graph', 'dwarf'))
        theirs = shares(self.convert(path))
        ours = shares(self.record_well(workload('split'), 'functions', '2000').profile)
        for name in colours:
            self.assertAlmostEqual(theirs[name], ours[name], delta=0.08)

    # ---- what is said ---------------------------------------------------------------------

    def test_one_of_several_events(self):
        path = os.path.join(self.tmp, 'perf.data')
        subprocess.run(['perf', 'record', '-q', '-e', 'cpu-clock,page-faults', '-F', '1000', '-g',
                        '-o', path, '--', 'perl', '-e', PERL], check=True, capture_output=True)
        profile = self.convert(path, '--event', 'page-faults')
        self.assertEqual([t[0] for t in profile.sample_types], ['samples', 'page-faults'])
        self.assertGreaterEqual(profile.total('page-faults'), profile.total('samples'))
        self.assertGreater(profile.total('samples'), 0)
        self.assertIn('not in it: cpu-clock', '\n'.join(profile.comments))
        self.assertEqual(self.refuse(path, '--event', 'cycles'),
                         [f"hone: '{path}' has no event 'cycles'",
                          'hone: it has cpu-clock, page-faults'])

    def test_views_read_it_as_it_is(self):
        path = self.perf('perl', '-e', PERL, options=('-g',))
        done = self.run_plain(HONE, 'top', path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b'Perl_', done.stdout)

    def test_cut_files_give_what_is_whole(self):
        path = self.perf('perl', '-e', PERL, options=('--call-graph', 'dwarf'))
        whole = self.convert(path).total('samples')
        with open(path, 'rb') as file:
            data = file.read()
        for share in (0.3, 0.7):
            with open(path, 'wb') as file:
                file.write(data[:int(len(data) * share)])
            profile = self.convert(path)
            self.assertTrue(0 < profile.total('samples') < whole)
            comments = '\n'.join(profile.comments)
            self.assertIn('file: it is shorter than its header says', comments)
            self.assertIn('file: it ends within the record at byte', comments)
        with open(path, 'wb') as file:
            file.write(data[:50])
        self.assertEqual(self.refuse(path),
                         [f"hone: '{path}' is cut off within the header of perf.data"])

    def test_a_program_that_changed_is_not_believed(self):
        program = self.compile()
        path = self.perf(program, options=('--call-graph', 'dwarf'))
        os.rename(program, program + '.old')
        shutil.copy('/bin/true', program)
        profile = self.convert(path, env={**os.environ, 'HOME': self.tmp})
        self.assertFalse(any(s.has('main') or s.has('work(int)') for s in profile.samples))
        self.assertIn('1 are there as another build', '\n'.join(profile.comments))


if __name__ == '__main__':
    unittest.main()
