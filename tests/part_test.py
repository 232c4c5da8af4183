"""A part of a profile, in every view: filters, a base, and where profiles come from mean the same."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import HONE, workload
from pprof_profiles import Maker

# Every view, with what it is to show of the program below.
VIEWS = (['top', '--all', '-n', '0'], ['tree', '--all'], ['peek', '.'], ['traces'], ['collapsed'], ['raw'],
         ['call-tree', '--all'], ['hot-path'], ['flame'], ['flame', '--inverted'],
         ['flame', '--sandwich', '^(red|green)$'], ['dot', '--all'], ['svg', '--all'],
         ['list', '.'], ['disasm', '.'], ['weblist', '.'], ['tags'], ['info'])
NAMED = [view for view in VIEWS if view[0] not in ('tags', 'info', 'raw')]  # functions are told

FILTERS = ('focus', 'ignore', 'hide', 'show', 'show-from', 'tag-focus', 'tag-ignore', 'no-inlines',
           'kernel')
INPUT = ('seconds', 'timeout', 'tls-cert', 'tls-key', 'tls-ca')


def run(*arguments, **options):
    return subprocess.run([HONE, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, **options)


def has(text, name, view):
    """Whether a view shows a function: in machine code, others are named by calls of them."""
    if view[0] == 'disasm':
        return re.search(rf'(?m)^ROUTINE =* {name}$', text) is not None
    if view[0] == 'list':
        return re.search(rf'(?m)^ROUTINE =* {name} in ', text) is not None
    # Paths may be called so, too, and options are told.
    rest = re.sub(r'(?:/[\w.+-]+)+|\w+=\^?[\w|()^$]+|“[^”]*”', '', text)
    return re.search(rf'\b{name}\b', rest) is not None


class Parts(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = tempfile.mkdtemp(prefix='hone-part-')
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        directory = os.path.join(cls.shared, 'session')
        subprocess.run([HONE, 'record', '-q', '-o', directory, workload('split'), 'functions',
                        '500'], check=True, capture_output=True)
        cls.file = os.path.join(directory, 'cpu.prof')

    def shown(self, view, *options, said=''):
        done = run(*view, *options, self.file)
        self.assertEqual(done.returncode, 0, f'{view} {options}: {done.stderr}')
        self.assertEqual(done.stderr, said, f'{view} {options}')
        return done.stdout

    def check(self, options, there, gone):
        for view in NAMED:
            with self.subTest(view=view, options=options):
                text = self.shown(view, *options)
                if view[0] == 'weblist':  # functions that stand together are a section
                    for name in {'main', 'by_functions'} & {*there, *gone}:
                        self.assertEqual(f'<h2>{name}</h2>' in text, name in there, name)
                    continue
                for name in there:
                    if view[0] not in ('hot-path', 'svg') and '--sandwich' not in view:
                        self.assertTrue(has(text, name, view), f'{name} is missing')
                for name in gone:
                    self.assertFalse(has(text, name, view), f'{name} is there')

    def test_without_filters_all_are_there(self):
        self.check((), ('main', 'by_functions', 'red', 'green', 'blue'), ())

    def test_focus_and_ignore_choose_stacks(self):
        self.check(('--focus', '^red$'), ('main', 'by_functions', 'red'), ('green', 'blue'))
        self.check(('--ignore', '^(green|blue)$'), ('main', 'by_functions', 'red'),
                   ('green', 'blue'))

    def test_hide_and_show_cut_stacks(self):
        # With what is inlined there, or its code would still be some of a sample's.
        self.check(('--hide', '^(by_functions|clock_ns|thread_cpu_ns)$'),
                   ('main', 'red', 'green', 'blue'), ('by_functions',))
        self.check(('--show', '^(red|green)$'), ('red', 'green'), ('main', 'by_functions', 'blue'))
        self.check(('--show-from', '^by_functions$'), ('by_functions', 'red', 'green'), ('main',))

    def test_inlined_functions_count_to_their_callers(self):
        for view in NAMED:
            if view[0] in ('disasm', 'weblist'):
                continue  # what is inlined is part of its caller's code
            with self.subTest(view=view):
                self.assertFalse(has(self.shown(view, '--no-inlines'), 'spin', view))
                if view[0] not in ('hot-path', 'svg'):
                    self.assertTrue(has(self.shown(view), 'spin', view))

    def test_labels_choose_samples(self):
        for view in VIEWS:
            with self.subTest(view=view):
                if '--sandwich' in view or view[0] in ('list', 'disasm', 'weblist', 'peek'):
                    continue  # functions that nobody has are an error
                if view[0] not in ('hot-path', 'tags', 'info'):
                    self.assertTrue(has(self.shown(view, '--tag-focus', 'process=split'), 'red',
                                        view))
                if view[0] != 'raw':  # which still lists places that no sample is at
                    self.assertFalse(has(self.shown(view, '--tag-ignore', 'process=split'), 'red',
                                         view))

    def test_what_matches_nothing_is_said_and_shown_as_nothing(self):
        for view in VIEWS:
            with self.subTest(view=view):
                done = run(*view, '--focus', 'nosuch', self.file)
                lines = done.stderr.splitlines()
                self.assertEqual(lines[0], "hone: --focus 'nosuch' matches nothing in this profile")
                if view[0] != 'raw':
                    self.assertFalse(has(done.stdout, 'red', view))
                self.assertIn(done.returncode, (0, 1))
                self.assertEqual(len(lines), 1 if done.returncode == 0 else 3, done.stderr)

    def test_shares_stay_those_of_the_whole(self):
        whole = re.search(r'([\d.]+)% +red$', self.shown(['top', '-cum', '--all']), re.M)[1]
        only = ('--focus', '^red$', '--show', '^red$')
        self.assertIn(f'{whole}% ', self.shown(['call-tree'], *only))
        self.assertIn(f'{whole}% ', self.shown(['hot-path'], *only))
        self.assertIn(f'>red\n', self.shown(['flame'], *only))
        share = re.search(r'>red\n[^,]*, ([\d.]+) %', self.shown(['flame'], *only))[1]
        self.assertAlmostEqual(float(share), float(whole), delta=0.06)
        facts = re.search('"facts":"([^"]*)"', self.shown(['flame'], *only))[1]
        self.assertRegex(facts, r'^[\d.]+ m?s of [\d.]+ m?s cpu .* · focus=\^red\$ · show=\^red\$')

    def test_information_is_of_the_part(self):
        def numbers(text):
            return [int(n) for n in re.search(r'(\d+) samples? of (\d+) stacks?', text).groups()]
        whole = self.shown(['info'])
        part = self.shown(['info'], '--focus', '^red$')
        self.assertIn('Active filters:\n   focus=^red$\n', part)
        self.assertTrue(0 < numbers(part)[0] < numbers(whole)[0])
        self.assertTrue(0 < numbers(part)[1] < numbers(whole)[1])
        self.assertNotIn('green', part)

    def test_units_are_those_that_are_asked_for(self):
        for view in (['call-tree'], ['hot-path'], ['disasm', '.'], ['top'], ['tree'], ['list', '.']):
            self.assertRegex(self.shown(view, '--unit', 'us'), r'\d+us ', view)

    def test_every_view_has_the_options_and_says_so(self):
        completion = run('--generate', 'completion').stdout
        manual = run('--generate', 'man').stdout.replace('\\-', '-')
        for view in sorted({view[0] for view in VIEWS}):
            help_ = run('help', view).stdout
            section = completion.split(f'\n    {view})\n')[1].split('\n        ;;\n')[0]
            page = manual.split(f'.SS hone {view}\n')[1].split('.SS hone ')[0]
            for option in FILTERS + INPUT + ('base', 'diff-base', 'normalize', 'type', 'output'):
                self.assertRegex(help_, rf'--{option}\b', view)
                self.assertIn(f'--{option} ', section, view)
                self.assertRegex(page, rf'--{option}\b', view)

    def test_pprofs_spelling_will_do(self):
        for ours, theirs in (('--tag-focus=process=split', '-tagfocus=process=split'),
                             ('--show-from=red', '-show_from=red'), ('--no-inlines', '-noinlines')):
            self.assertEqual(self.shown(['top'], ours), self.shown(['top'], theirs))


class Differences(harness.TestCase):
    """What became more and what less, by functions, wherever they lie and whoever called them."""

    def setUp(self):
        super().setUp()
        self.old = self.make('old.prof', 0, {'same': 50, 'less': 40, 'gone': 10})
        self.new = self.make('new.prof', 7, {'same': 50, 'less': 25, 'fresh': 35})

    def make(self, name, shift, values):
        """The same functions at other addresses, in another thread."""
        maker = Maker([('samples', 'count')], period=None)
        main = maker.place(0x1000 + shift, [('main', 'main.c', 1)])
        for i, (function, value) in enumerate(values.items()):
            place = maker.place(0x2000 + 16 * i + shift, [(function, 'main.c', 9)])
            maker.sample([place, main], [value], {'thread': 1 + shift})
        path = os.path.join(self.tmp, name)
        maker.write(path)
        return path

    def shown(self, *view):
        done = run(*view, '--base', self.old, self.new)
        self.assertEqual((done.returncode, done.stderr), (0, ''), view)
        return done.stdout

    def test_trees_net_what_functions_take(self):
        text = self.shown('call-tree', '--all')
        self.assertRegex(text, r'(?m)^ +10 .* all$')
        self.assertRegex(text, r'(?m)^ +35 .* fresh$')
        self.assertRegex(text, r'(?m)^ +-15 .* less$')
        self.assertRegex(text, r'(?m)^ +-10 .* gone$')
        self.assertIn('fresh', self.shown('hot-path'))
        self.assertIn('a difference', self.shown('info'))

    def test_flames_show_what_became_more(self):
        for more in ([], ['--reversed'], ['--sandwich', 'main']):
            text = self.shown('flame', *more)
            names = re.findall(r'<title>([^\n]*)\n(\d+), ', text)
            self.assertEqual(dict(names).get('fresh'), '35', (more, names))
            self.assertEqual({name for name, _ in names} & {'same', 'less', 'gone'}, set())
            self.assertIn('2 stacks of negative value are not shown', text)
            self.assertIn('35 ', re.search('"facts":"([^"]*)"', text)[1])
            self.assertIn(' more samples', text)

    def test_a_difference_of_nothing_is_nothing(self):
        for view in (['call-tree'], ['hot-path'], ['flame'], ['top'], ['tree'], ['dot']):
            done = run(*view, '--base', self.old, self.old)
            self.assertEqual(done.returncode, 0, (view, done.stderr))


if __name__ == '__main__':
    unittest.main()
