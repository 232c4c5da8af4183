"""Drawings and listings of `hone pprof` beside those of `go tool pprof`, compared to the byte.

Where nodes or calls agree in everything that pprof orders them by, it orders them by chance: it may
try again, and where even that cannot help, lines are compared without their order and without the
numbers of nodes.

    HONE_BUILD=build python3 tests/graph_test.py [WORD]…      cells that contain every word
"""

import html.parser
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import harness
import pprof_matrix
from harness import HONE

DRAWINGS = """
-dot
-dot -lines -nodecount=12
-dot -addresses -noinlines
-dot -files
-dot -filefunctions -edgefraction=0.05
-dot -trim=false
-dot -call_tree -nodecount=25
-dot -mean -unit=auto
-callgrind
-list=.
"""

# Filters, units and the like, on one.
LINES = """
-dot -nodecount=7
-dot -nodecount=0
-dot -nodefraction=0.05 -divide_by=3
-dot -sample_index=0 -unit=ms
-dot -cum
-dot -compact_labels -focus=f1
-dot -relative_percentages -focus=f1 -ignore=f2
-dot -hide=f[0-4] -show=f
-dot -show_from=f2 -prune_from=f3
-dot -tagfocus=running
-dot -tagignore=waiting -taghide=request
-dot -tagshow=state -tagroot=state
-dot -tagleaf=thread -focus=nothing
-dot -drop_negative
-dot -noinlines -call_tree
-callgrind -cum
-callgrind -unit=ms
-callgrind -focus=f1 -noinlines
-callgrind -mean -sample_index=0
-list=f1 -noinlines
-list=f[12] -focus=f3 -unit=ms
-list=f1 -source_path=/nowhere:/tmp -trim_path=/src
-list=f1 -mean -divide_by=2
-list=f3 -drop_negative -relative_percentages
-list=nothing_of_this_name
"""

SPECIAL = """
-dot -diff_base={second} {random}
-dot -diff_base={second} -drop_negative {random}
-dot -diff_base={second} -trim=false {random}
-dot -base={second} {random}
-dot -diff_base={random} {random}
-callgrind -diff_base={second} {random}
-dot {random} {second}
"""

TRIES = 3


def unordered(output):
    """What is left when neither the order of lines nor the numbers of nodes count."""
    return sorted(re.sub(rb'\b(N+|node)\d+', rb'\1', output).splitlines())


class Matrix(pprof_matrix.Matrix):
    """Equal means: equal to what pprof says at some time. What both tell of files that are not here
    is compared by others."""

    def outcome(self, program, words):
        found = super().outcome(program, words)
        output = re.sub(rb'on path /\S+/tmp\w+$', b'on path HERE', found['output'],
                        flags=re.MULTILINE)
        return {**found, 'output': output, 'errors': b''}

    def judge(self, line):
        for _ in range(TRIES):
            result = super().judge(line)
            if not result.difference:
                return result
        words = self.split(line)
        theirs = self.outcome([self.go], words)
        ours = self.outcome([str(pprof_matrix.HONE), 'pprof'], words)
        if unordered(theirs['output']) == unordered(ours['output']) and all(
                theirs[key] == ours[key] for key in theirs if key != 'output'):
            return result._replace(difference='')
        return result


def cells(names):
    found = [f'{line} {{{name}}}' for name in names for line in pprof_matrix.lines(DRAWINGS)]
    found += [f'{line} {{random}}' for line in pprof_matrix.lines(LINES)]
    return found + pprof_matrix.lines(SPECIAL)


def run(words):
    with tempfile.TemporaryDirectory() as directory, Matrix(directory) as matrix:
        chosen = [line for line in cells(matrix.profiles) if all(word in line for word in words)]
        return matrix.run_all(chosen)


class Graph(unittest.TestCase):
    def test_drawings_are_those_of_pprof(self):
        bad = [result for result in run([]) if result.difference]
        self.assertFalse(bad, ''.join(f'\n--- {cell.cell}\n{cell.difference}' for cell in bad))


ROW = re.compile(r'^ *(\S+) +(\S+) +([0-9a-f]+): ', re.MULTILINE)

SORTER = r"""
__attribute__((noinline)) static int compare(int a, int b) { return a < b ? -1 : a > b; }
static inline int larger(const int *v, int k)
{
    return compare(v[k - 1], v[k]) > 0; // <b>no tag</b> & no entity
}
__attribute__((noinline)) void sort(int *v, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = i; k > 0 && larger(v, k); k--) {
            int t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
}
int main(void)
{
    int v[600];
    volatile int sum = 0;
    for (int round = 0; round < 1500; round++) {
        for (int i = 0; i < 600; i++)
            v[i] = (i * 7919) % 601;
        sort(v, 600);
        sum += v[3];
    }
    return sum == 1;
}
"""


class Balance(html.parser.HTMLParser):
    """Elements that were opened and are not closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag != 'meta':
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


class Commands(harness.TestCase):
    def sorter(self):
        """A program at a fixed address, which is what pprof can disassemble."""
        source, program = (os.path.join(self.tmp, name) for name in ('sorter.c', 'sorter'))
        with open(source, 'w', encoding='ascii') as file:
            file.write(SORTER)
        subprocess.run(['gcc', '-O1', '-g', '-no-pie', source, '-o', program], check=True)
        return os.path.join(self.record_well(program).directory, 'cpu.prof')

    def hone(self, *arguments, status=0, **options):
        done = subprocess.run([HONE, *arguments], capture_output=True, timeout=120, check=False,
                              cwd=self.tmp, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr.decode() if status else done.stdout

    def pprof(self, *arguments):
        return subprocess.run(['go', 'tool', 'pprof', '-symbolize=none', *arguments], cwd=self.tmp,
                              check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout

    def test_a_recording_as_a_graph(self):
        profile = self.sorter()
        self.assertEqual(self.hone('dot', profile), self.pprof('-dot', profile))
        self.assertEqual(self.hone('dot', '-n', '3', '--by', 'lines', '--type', '0', profile),
                         self.pprof('-dot', '-nodecount=3', '-lines', '-sample_index=0', profile))

    def test_pictures(self):
        profile = self.sorter()
        picture = xml.etree.ElementTree.fromstring(self.hone('svg', profile))
        spaces = {'svg': 'http://www.w3.org/2000/svg'}
        self.assertEqual(picture.find('svg:title', spaces).text, 'sorter')
        self.assertIn('sort', {text.text for text in picture.iter(f'{{{spaces["svg"]}}}text')})
        self.assertIn('viewBox', picture.find('svg:script', spaces).text)
        for kind, start in ('png', b'\x89PNG'), ('pdf', b'%PDF'), ('ps', b'%!PS'), ('gif', b'GIF'):
            self.assertTrue(self.hone('pprof', f'-{kind}', profile).startswith(start), kind)

    def test_without_graphviz(self):
        said = self.hone('svg', self.sorter(), status=1, env={'PATH': self.tmp})
        self.assertIn("Graphviz's 'dot' is not here", said)
        self.assertIn('package graphviz', said)

    def test_a_page_of_source_and_machine_code(self):
        profile = self.sorter()
        page = self.hone('weblist', '^(sort|larger)$', profile).decode()
        balance = Balance()
        balance.feed(page)
        self.assertEqual(balance.open, [])
        self.assertIn('// &lt;b&gt;no tag&lt;/b&gt; &amp; no entity', page)
        self.assertIn('<h2>sort</h2>', page)
        # Every instruction of sort is on one of its lines or on one of what was inlined there.
        code = self.hone('disasm', '^sort$', profile).decode()
        shown = re.sub('<[^>]*>', '', page.replace('<div', '\n<div'))
        wanted = {row[2]: row[:2] for row in ROW.findall(code)}
        self.assertGreater(len(wanted), 10)
        self.assertEqual({row[2]: row[:2] for row in ROW.findall(shown)}, wanted)

    def test_inlined_calls_are_shown_where_they_were_called(self):
        page = self.hone('weblist', '^sort$', self.sorter()).decode()
        self.assertRegex(page, r'<span class="call">return compare\(.*</span> '
                               r'<small>sorter.c:5</small>')

    def test_values_and_addresses_of_machine_code_are_those_of_pprof(self):
        """Its instructions are in Plan 9's spelling, ours in that of the GNU tools, and it leaves out
        the last byte of each function, often its whole last instruction."""
        profile = self.sorter()
        for function in 'sort', 'compare':
            ours, theirs = (ROW.findall(text.decode()) for text in (
                self.hone('pprof', f'-disasm={function}', profile),
                self.pprof(f'-disasm={function}', profile)))
            self.assertGreater(len(theirs), 3)
            self.assertEqual(ours[:len(theirs)], theirs)
            self.assertLessEqual(len(ours), len(theirs) + 1)


def main(words):
    results = run(words)
    bad = [result for result in results if result.difference]
    for result in bad:
        print(f'--- {result.cell}\n{result.difference}')
    print(f'{len(results)} cells, {len(bad)} different')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
