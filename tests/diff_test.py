"""hone diff, hot-path and call-tree: whole programs compared, and profiles whose truth is known."""

import json
import os
import subprocess
import sys
import unittest

import harness
import pprof_profiles
from harness import HONE

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'browser'))
from profiles import Profile  # noqa: E402


class TestCase(harness.TestCase):
    def hone(self, *arguments, status=0):
        done = subprocess.run([HONE, *arguments], capture_output=True, text=True, timeout=120,
                              check=False, cwd=self.tmp)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done.stderr if status == 2 else done.stdout

    def profile(self, name, stacks):
        """Stacks and their number of samples, of 1 ms each."""
        profile = Profile('samples', 'count')
        for stack, value in stacks.items():
            profile.add(tuple(stack.split(';')), value)
        path = os.path.join(self.tmp, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        profile.write(path)
        return name


class Compared(TestCase):
    BASE = {'main;parse': 5000, 'main;render': 9000, 'main;rare': 2}
    SLOWER = {'main;parse': 7000, 'main;render': 9050, 'main;rare': 2}

    def test_json_has_each_row_with_limits_and_verdict(self):
        self.profile('a.prof', self.BASE)
        self.profile('b.prof', self.SLOWER)
        found = json.loads(self.hone('diff', '--json', '--all', 'a.prof', 'b.prof'))
        rows = {row['name']: row for row in found['rows']}
        self.assertEqual(rows['parse']['verdict'], 'more')
        self.assertEqual((rows['parse']['base'], rows['parse']['new']), (5000, 7000))
        self.assertTrue(0.25 < rows['parse']['low'] < 0.4 < rows['parse']['high'] < 0.55)
        self.assertEqual(rows['render']['verdict'], 'cannot tell')
        self.assertFalse(rows['rare']['tested'])
        self.assertEqual(found['whole']['verdict'], 'more')
        self.assertEqual(found['different'], 1)

    def test_status_tells_ci_only_what_is_sure(self):
        self.profile('a.prof', self.BASE)
        self.profile('b.prof', self.SLOWER)
        self.profile('few.prof', {'main;parse': 50, 'main;render': 55})
        self.profile('few2.prof', {'main;parse': 55, 'main;render': 60})
        self.assertIn('FAIL', self.hone('diff', '--fail-above', '5%', 'a.prof', 'b.prof', status=1))
        self.assertIn('PASS', self.hone('diff', '--fail-above', '25%', 'a.prof', 'b.prof'))
        self.assertIn('PASS', self.hone('diff', '--fail-above', '5', 'b.prof', 'a.prof'))
        unsure = self.hone('diff', '--fail-above', '5%', 'few.prof', 'few2.prof')
        self.assertIn('CANNOT TELL', unsure)
        self.assertRegex(unsure, r'It would take about [\d,]+ samples a side')
        shares = self.hone('diff', '--normalize', 'share', '--fail-above', '5%', 'a.prof', 'b.prof',
                           status=1)
        self.assertRegex(shares, r'FAIL.*: parse')

    def test_runs_of_a_side_are_files_or_directories(self):
        for side, stacks in (('old', self.BASE), ('new', self.SLOWER)):
            for run in range(3):
                self.profile(f'{side}/run{run}/cpu.prof',
                             {stack: value + 20 * run for stack, value in stacks.items()})
        by_directory = json.loads(self.hone('diff', '--json', 'old', 'new'))
        self.assertEqual(by_directory['base']['runs'], 3)
        by_name = json.loads(self.hone('diff', '--json', 'old/run0', 'old/run1', 'old/run2', 'vs',
                                       'new/run0', 'new/run1/cpu.prof', 'new/run2'))
        self.assertEqual(by_name, by_directory)
        self.assertEqual(by_name['rows'][0]['name'], 'parse')
        self.assertEqual(by_name['rows'][0]['verdict'], 'more')

    def test_what_is_not_clear_is_misuse(self):
        self.profile('a.prof', self.BASE)
        for arguments, words in ((['a.prof', 'a.prof', 'a.prof'], 'vs'),
                                 (['vs', 'a.prof'], 'both sides'),
                                 (['a.prof', 'vs', 'a.prof', 'vs', 'a.prof'], 'once'),
                                 (['--fail-above', 'much', 'a.prof', 'a.prof'], 'percentage'),
                                 (['--fail-above', '-5%', 'a.prof', 'a.prof'], 'percentage'),
                                 (['a.prof'], 'needs')):
            self.assertIn(words, self.hone('diff', *arguments, status=2), arguments)

    def test_a_flame_graph_is_written_beside_the_table(self):
        self.profile('a.prof', self.BASE)
        self.profile('b.prof', self.SLOWER)
        self.hone('diff', '--flame', 'diff.svg', 'a.prof', 'b.prof')
        with open(os.path.join(self.tmp, 'diff.svg'), encoding='utf-8') as file:
            self.assertIn('before 5', file.read())

    def test_the_same_recordings_give_the_same_bytes(self):
        self.profile('a.prof', self.BASE)
        self.profile('b.prof', self.SLOWER)
        seen = set()
        for _ in range(3):
            table = self.hone('diff', '--all', '--flame', 'diff.svg', 'a.prof', 'b.prof')
            with open(os.path.join(self.tmp, 'diff.svg'), 'rb') as file:
                seen.add((table, file.read()))
        self.assertEqual(len(seen), 1)


class Parts(TestCase):
    """A part of each recording is compared as if it were all of it."""

    BASE = {'main;parse;lex': 3000, 'main;parse': 2000, 'main;render': 9000, 'main;rare': 2}
    NEW = {'main;parse;lex': 5000, 'main;parse': 2000, 'main;render': 4000, 'main;rare': 2}

    def setUp(self):
        super().setUp()
        self.profile('a.prof', self.BASE)
        self.profile('b.prof', self.NEW)

    def compare(self, *arguments):
        found = json.loads(self.hone('diff', '--json', '--all', *arguments, 'a.prof', 'b.prof'))
        return found, {row['name']: row for row in found['rows']}

    def test_each_filter_keeps_its_part(self):
        for filters, whole, names in (
                (['--focus', '^parse$'], (5000, 7000), {'lex', 'parse'}),
                (['--ignore', '^parse$'], (9002, 4002), {'render', 'rare'}),
                (['-ignore=render'], (5002, 7002), {'lex', 'parse', 'rare'}),
                (['--hide', 'lex|rare'], (14002, 11002), {'parse', 'render', 'main'}),
                (['--show', '^parse$'], (5000, 7000), {'parse'}),
                (['--focus', 'parse', '--hide', 'lex'], (5000, 7000), {'parse'})):
            found, rows = self.compare(*filters)
            self.assertEqual((found['whole']['base'], found['whole']['new']), whole, filters)
            self.assertEqual(set(rows), names, filters)
        found, rows = self.compare('--show-from', '^parse$', '-cum')
        self.assertEqual(found['filters'], ['show-from=^parse$'])
        self.assertEqual(set(rows), {'parse', 'lex'})
        self.assertEqual((rows['parse']['base'], rows['parse']['new']), (5000, 7000))
        self.assertNotIn('filters', self.compare()[0])

    def test_verdict_and_status_are_the_parts(self):
        self.assertIn('PASS', self.hone('diff', '--fail-above', '5%', 'a.prof', 'b.prof'))
        told = self.hone('diff', '--fail-above', '5%', '--focus', '^parse$', 'a.prof', 'b.prof',
                         status=1)
        self.assertIn('Active filters:\n   focus=^parse$\n', told)
        self.assertIn('FAIL', told)

    def test_labels_choose_samples(self):
        made = pprof_profiles.Maker([('samples', 'count')])
        place = made.place(1, [('work', 'w.c', 1)])
        for thread, count in ((1, 400), (2, 600)):
            made.sample([place], [count], {'thread': thread, 'name': f't{thread}'})
        made.write(os.path.join(self.tmp, 'labels.pb.gz'))
        for filters, value in ((['--tag-focus', 'name=t1'], 400), (['--tag-ignore', 'thread=1'], 600)):
            found = json.loads(self.hone('diff', '--json', *filters, 'labels.pb.gz', 'labels.pb.gz'))
            self.assertEqual(found['whole']['base'], value)

    def test_inlined_functions_count_to_their_callers(self):
        made = pprof_profiles.Maker([('samples', 'count')])
        made.sample([made.place(1, [('inner', 'w.c', 1), ('outer', 'w.c', 2)])], [500])
        made.write(os.path.join(self.tmp, 'inlined.pb.gz'))
        for filters, name in (([], 'inner'), (['--no-inlines'], 'outer')):
            found = json.loads(self.hone('diff', '--json', *filters, 'inlined.pb.gz',
                                         'inlined.pb.gz'))
            self.assertEqual([row['name'] for row in found['rows']], [name])

    def test_the_picture_says_what_it_is_a_part_of(self):
        self.hone('diff', '--flame', 'part.svg', '--focus', '^parse$', 'a.prof', 'b.prof')
        with open(os.path.join(self.tmp, 'part.svg'), encoding='utf-8') as file:
            picture = file.read()
        self.assertIn('focus=^parse$', picture)
        self.assertIn('before 5', picture)
        self.assertNotIn('render', picture)

    def run_hone(self, *arguments):
        return subprocess.run([HONE, 'diff', *arguments], capture_output=True, check=False,
                              timeout=120, cwd=self.tmp)

    def test_what_matches_nothing_is_told_once_and_what_one_side_lacks_with_a_way_out(self):
        self.profile('fresh.prof', {**self.NEW, 'main;fresh': 500})
        done = self.run_hone('--ignore', 'nobody', 'a.prof', 'a.prof', 'vs', 'b.prof')
        self.assertEqual(done.returncode, 0)
        self.assert_one_clear_line(done.stderr, "--ignore 'nobody' matches nothing")
        self.assertEqual(self.run_hone('--ignore', 'fresh', 'a.prof', 'fresh.prof').stderr, b'')
        done = self.run_hone('--focus', 'fresh', 'a.prof', 'fresh.prof')
        self.assertEqual((done.returncode, done.stdout), (1, b''))
        self.assert_one_clear_line(done.stderr, 'the base side has no samples')
        self.assert_one_clear_line(done.stderr, "'--match REGEX'")
        done = self.run_hone('--focus', '(', 'a.prof', 'b.prof')
        self.assertEqual((done.returncode, done.stdout), (2, b''))
        self.assert_one_clear_line(done.stderr, "'('")

    def test_rows_of_any_kind_and_a_number_of_those_that_match(self):
        for by in ('functions', 'lines', 'files', 'filefunctions', 'addresses'):
            self.assertIn('more ', self.hone('diff', '--by', by, '--focus', 'lex', 'a.prof',
                                             'b.prof'), by)
        self.assertIn(' rare\n', self.hone('diff', '-n', '1', '--match', 'rare', 'a.prof', 'b.prof'))
        told = self.hone('diff', '-n', '1', '--match', 'lex|rare', 'a.prof', 'b.prof')
        self.assertIn(' lex\n', told)
        self.assertNotIn(' rare\n', told)
        self.assertIn('1 more row, the smallest, is not shown', told)

    def test_values_in_a_unit_of_choice(self):
        made = pprof_profiles.Maker([('cpu', 'nanoseconds')])
        made.sample([made.place(1, [('work', 'w.c', 1)])], [2500000000])
        made.write(os.path.join(self.tmp, 'cpu.pb.gz'))
        self.assertIn(' 2.50s ', self.hone('diff', 'cpu.pb.gz', 'cpu.pb.gz'))
        self.assertIn(' 2500ms ', self.hone('diff', '--unit', 'ms', 'cpu.pb.gz', 'cpu.pb.gz'))


class Programs(TestCase):
    """A program of which a function takes twice as much is told from itself."""

    SOURCE = '''
volatile unsigned long sink;
__attribute__((noinline)) void parse(long n) { for (long i = 0; i < n; i++) sink += i ^ 3; }
__attribute__((noinline)) void render(long n) { for (long i = 0; i < n; i++) sink += i * 5; }
int main(void) { for (int i = 0; i < 1500; i++) { parse(TIMES * 300000); render(600000); } }
'''

    def build(self, name, times):
        subprocess.run(['cc', '-O1', '-g', f'-DTIMES={times}', '-x', 'c', '-', '-o',
                        os.path.join(self.tmp, name)], input=self.SOURCE, text=True, check=True)

    def test_a_slower_function_is_found(self):
        for name, times in (('before', 1), ('after', 2)):
            self.build(name, times)
            self.hone('record', '-F', '1000', '-o', name + '.out', './' + name)
        found = json.loads(self.hone('diff', '--json', '--normalize', 'share', 'before.out',
                                     'after.out'))
        rows = {row['name']: row for row in found['rows']}
        self.assertEqual(rows['parse']['verdict'], 'more')
        self.assertEqual(rows['render']['verdict'], 'less')
        path = self.hone('hot-path', 'after.out')
        self.assertRegex(path, r'main\n')
        tree = self.hone('call-tree', 'after.out')
        self.assertRegex(tree, r'[├└] parse\n')
        self.assertIn('95 of 100', self.hone('info', 'after.out'))


if __name__ == '__main__':
    unittest.main()
