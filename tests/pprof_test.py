"""What Hone writes is what `go tool pprof` reads, and Hone's own views agree with both.

Every number is compared three ways: pprof's, that of tests/pprof.py, and that of `hone`.
"""

import os
import re
import subprocess
import unittest
from collections import Counter

import harness
from harness import HONE, workload
from starts import Module


def go_pprof(*arguments, **options):
    environment = {**os.environ, 'HOME': os.environ.get('HOME', '/tmp'), 'PPROF_TMPDIR': '/tmp',
                   'GOFLAGS': '-mod=mod'}
    done = subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', *arguments],
                          capture_output=True, text=True, timeout=120, check=False,
                          env=environment, **options)
    if done.returncode:
        raise AssertionError(f'go tool pprof {arguments}: {done.stderr}')
    return done.stdout


def parse_top(text):
    """Function to (flat, cum) in nanoseconds."""
    rows = {}
    for line in text.splitlines():
        found = re.match(r'\s*(\d+)(?:ns)?\s+\S+%\s+\S+%\s+(\d+)(?:ns)?\s+\S+%\s+(.*?)\s*$', line)
        if found:
            name = found[3].removesuffix(' (inline)').removesuffix(' (partial-inline)')
            flat, cum = rows.get(name, (0, 0))
            rows[name] = flat + int(found[1]), cum + int(found[2])
    return rows


class Differential(harness.TestCase):
    PROGRAMS = {'inlined calls': ['split', 'functions', '1200'],
                'threads': ['threads', 'many', '4', '200'],
                'processes': ['forks', 'fork', '500'],
                'C++': ['throw', '1000'],
                'recursion': ['recurse', '60', '800']}

    def each(self, judge):
        for name, program in self.PROGRAMS.items():
            with self.subTest(name):
                recording = self.record_well(workload(program[0]), *program[1:])
                self.assertGreater(len(recording.profile.samples), 0)
                judge(recording)

    def test_raw_has_the_same_samples_locations_and_mappings(self):
        def judge(recording):
            profile, text = recording.profile, go_pprof('-raw', recording.path)
            sections = re.split(r'(?m)^(Samples|Locations|Mappings):?$', text)
            parts = dict(zip(sections[1::2], sections[2::2]))

            # pprof numbers locations anew, so stacks are compared by address.
            address = {int(number): int(at, 16) for number, at in
                       re.findall(r'(?m)^\s+(\d+): 0x([0-9a-f]+)', parts['Locations'])}
            theirs, ours = Counter(), Counter()
            for count, ns, stack in re.findall(r'(?m)^\s+(\d+)\s+(\d+): ([\d ]+)$',
                                               parts['Samples']):
                stack = tuple(address[int(number)] for number in stack.split())
                theirs[stack, 'samples'] += int(count)
                theirs[stack, 'cpu'] += int(ns)
            for sample in profile.samples:
                stack = tuple(profile.locations[n][0].address for n in sample.locations)
                ours[stack, 'samples'] += sample.values[0]
                ours[stack, 'cpu'] += sample.values[1]
            self.assertEqual(theirs, ours)

            mappings = re.findall(r'(?m)^\d+: 0x([0-9a-f]+)/0x([0-9a-f]+)/0x([0-9a-f]+) ',
                                  parts['Mappings'])
            used = {m for frames in profile.locations.values() for m in [frames[0].mapping] if m}
            self.assertLessEqual({(m.start, m.limit, m.offset) for m in used},
                                 {tuple(int(n, 16) for n in row) for row in mappings})
            comments = go_pprof('-comments', recording.path)
            for comment in profile.comments:
                self.assertIn(comment, comments)
        self.each(judge)

    def test_top_agrees(self):
        def judge(recording):
            profile = recording.profile
            rows = parse_top(go_pprof('-top', '-unit=ns', '-nodefraction=0', '-nodecount=100000',
                                      recording.path))
            flat, cumulative = profile.flat(), profile.cumulative()
            named = {name: (flat[name], cumulative[name]) for name in cumulative if name}
            theirs = {name: row for name, row in rows.items() if name in named}
            self.assertEqual(theirs, named)
        self.each(judge)

    def test_traces_sum_up_to_the_total(self):
        def judge(recording):
            text = go_pprof('-traces', '-unit=ns', recording.path)
            values = re.findall(r'(?m)^\s*(\d+)(?:ns)? {3}\S', text)
            self.assertEqual(sum(map(int, values)), recording.profile.total())
        self.each(judge)

    def test_tags_are_process_and_thread(self):
        recording = self.record_well(workload('split'), 'threads', '900')
        text = go_pprof('-tags', '-unit=ns', recording.path)
        for word in ('process:', 'thread:', 'red', 'green', 'blue'):
            self.assertIn(word, text)

    def test_pprof_can_filter_merge_and_subtract(self):
        recording = self.record_well(workload('split'), 'functions', '1000')
        rows = parse_top(go_pprof('-top', '-unit=ns', '-focus=^green$', '-nodefraction=0',
                                  recording.path))
        self.assertEqual(rows['green'][1], recording.profile.cumulative()['green'])
        self.assertNotIn('blue', rows)
        rows = parse_top(go_pprof('-top', '-unit=ns', '-nodefraction=0', recording.path,
                                  recording.path))
        self.assertEqual(rows['green'][1], 2 * recording.profile.cumulative()['green'])
        text = go_pprof('-top', '-unit=ns', '-base=' + recording.path, recording.path)
        self.assertRegex(text, r'(of|for) 0')

    def test_pprof_lists_source(self):
        recording = self.record_well(workload('split'), 'functions', '1000')
        text = go_pprof('-list=^red$', '-unit=ns', recording.path)
        self.assertRegex(text, r'ROUTINE =+ red in .*workloads/split\.c')
        line = re.search(r'(?m)^\s+\S+\s+(\d+)ns\s+\d+:\s+spin\(rounds\);', text)
        whole = re.search(r'(?m)^\s+\S+\s+(\d+)ns \(flat, cum\)', text)
        self.assertTrue(line and whole, text)
        self.assertEqual(int(whole[1]), recording.profile.cumulative()['red'])
        # But for samples on the way into the function and out of it.
        self.assertGreater(int(line[1]), 0.98 * int(whole[1]))

    def test_addresses_mean_what_the_symbol_table_says(self):
        # Only right mapping starts, limits and offsets lead from an address back to the file.
        def judge(recording):
            checked = 0
            for frames in recording.profile.locations.values():
                outer = frames[-1]
                # nm does not know the stubs that call into libraries.
                if not outer.mapping or not outer.mapping.file.startswith(harness.BUILD) \
                        or outer.function.endswith('@plt'):
                    continue
                module = Module(outer.mapping.file)
                at = module.address(outer.address - outer.mapping.start + outer.mapping.offset)
                owners = [name for low, high, name in symbols(outer.mapping.file)
                          if low <= at < high]
                function = outer.function.replace('(anonymous namespace)::', '')
                # gcc cuts functions in parts: debug information names the whole, nm the part.
                self.assertIn(function.split('(')[0],
                              [re.sub(r'\.(part|cold|isra|constprop)\b.*', '', name).split('(')[0]
                               for name in owners])
                checked += 1
            self.assertGreater(checked, 2)
        self.each(judge)


def symbols(path):
    """Address ranges of functions, as nm sees them, demangled. One without a size, as the C library
    writes those of a program's start, goes to the next."""
    text = subprocess.run(['nm', '-n', '-S', '-C', path], capture_output=True, text=True,
                          check=True).stdout
    known = [(int(found[1], 16), int(found[2] or '0', 16), found[3]) for found in
             re.finditer(r'(?m)^([0-9a-f]+)(?: ([0-9a-f]+))? [tTwW] (.*)$', text)]
    for i, (low, size, name) in enumerate(known):
        later = [at for at, _, _ in known[i + 1:] if at > low]
        high = low + size if size else later[0] if later else low + 1
        yield low, high, name.replace('(anonymous namespace)::', '')


class OwnViews(harness.TestCase):
    def hone(self, *arguments):
        done = subprocess.run([HONE, *arguments], capture_output=True, text=True, timeout=60,
                              check=False, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_collapsed_is_the_profile_line_by_line(self):
        for program in Differential.PROGRAMS.values():
            with self.subTest(program=program):
                recording = self.record_well(workload(program[0]), *program[1:])
                total = 0
                for line in self.hone('collapsed', recording.path).splitlines():
                    stack, _, value = line.rpartition(' ')
                    self.assertTrue(stack)
                    total += int(value)
                self.assertIn(total, (recording.profile.total('cpu'),
                                      recording.profile.total('samples')))

    def test_top_shows_the_split(self):
        recording = self.record_well(workload('split'), 'functions', '1500')
        text = self.hone('top', '-cum', recording.path)
        self.assertRegex(text, r'\bred\b')
        share = re.search(r'(?m)^.*?([\d.]+)%\s+red\b', text)
        self.assertTrue(share, text)
        self.assertAlmostEqual(float(share[1]), 60, delta=6)

    def test_views_take_the_newest_session(self):
        self.run_plain(HONE, 'record', workload('split'), 'functions', '300', cwd=self.tmp)
        for view in ('top', 'tree', 'traces', 'collapsed', 'info'):
            with self.subTest(view=view):
                self.assertIn('red' if view != 'info' else 'cpu', self.hone(view))

    def test_flame_is_an_svg_that_needs_no_network(self):
        recording = self.record_well(workload('split'), 'functions', '500')
        text = self.hone('flame', recording.path)
        if '<svg' not in text:
            files = [f for f in os.listdir(self.tmp) if f.endswith('.svg')]
            self.assertTrue(files, text)
            with open(os.path.join(self.tmp, files[0]), encoding='utf-8') as file:
                text = file.read()
        self.assertIn('<svg', text)
        self.assertIn('by_functions', text)
        outside = [url for url in re.findall(r'https?://[^\s"\'<>]+', text) if 'w3.org' not in url]
        self.assertEqual(outside, [])


if __name__ == '__main__':
    unittest.main()
