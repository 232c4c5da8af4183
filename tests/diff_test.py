"""hone diff, hot-path and call-tree: whole programs compared, and profiles whose truth is known."""

import json
import os
import subprocess
import sys
import unittest

import harness
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
