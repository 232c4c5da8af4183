"""Drawings and listings of `hone pprof` beside those of `go tool pprof`, compared to the byte.

Where nodes or calls agree in everything that pprof orders them by, it orders them by chance: it may
try again, and where even that cannot help, lines are compared without their order and without the
numbers of nodes.

    HONE_BUILD=build python3 tests/graph_test.py [WORD]…      cells that contain every word
"""

import re
import sys
import tempfile
import unittest

import pprof_matrix

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
    with tempfile.TemporaryDirectory() as directory:
        matrix = Matrix(directory)
        chosen = [line for line in cells(matrix.profiles) if all(word in line for word in words)]
        return matrix.run_all(chosen)


class Graph(unittest.TestCase):
    def test_drawings_are_those_of_pprof(self):
        bad = [result for result in run([]) if result.difference]
        self.assertFalse(bad, ''.join(f'\n--- {cell.cell}\n{cell.difference}' for cell in bad))


def main(words):
    results = run(words)
    bad = [result for result in results if result.difference]
    for result in bad:
        print(f'--- {result.cell}\n{result.difference}')
    print(f'{len(results)} cells, {len(bad)} different')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
