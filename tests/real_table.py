#!/usr/bin/env python3
"""real_table.py [--types LIST] [--write] [PROGRAM…]: records thirty and more real programs at
1000 Hz, each beside a run without us, and prints a table; with --write into docs/programs.md.

The packages are those of `tools/deps test programs`; what is not installed is left out and named.
HONE_BUILD names the build to measure. Takes some ten minutes on two processors.
"""

import argparse
import os
import re
import sys
import tempfile
import traceback

import harness
import more_programs
import programs
import real
import servers
from harness import NS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
DOCUMENT = os.path.join(ROOT, 'docs', 'programs.md')
BEGIN, END = '<!-- table: tests/real_table.py --write -->', '<!-- end of table -->'
HEAD = ('program', 'kind', 'CPU s', 'samples/s', 'complete %', 'total off %', 'same')
WALL = ('wall complete %',)

# Why stacks of these end early, where the profile itself can only say that they do.
CAUSES = {
    'java': 'the virtual machine writes code without frame pointers and unwind rules',
    'luajit': 'traces are code without frame pointers and unwind rules',
    'guile': 'its compiler writes code without frame pointers and unwind rules',
    'php': 'PCRE compiles regular expressions to code without frame pointers',
    'sbcl': 'foreign calls out of compiled Lisp',
    'ocamlopt': 'recursion deeper than the limit of 1024 frames',
}


class Case(harness.TestCase):
    def runTest(self):
        """Only for its methods."""


def subjects(names):
    everything = programs.PROGRAMS + more_programs.PROGRAMS + servers.SERVERS
    return [p for p in everything if not names or p.name in names]


def is_installed(program):
    if isinstance(program, servers.Server):
        return servers.installed(program)
    return programs.installed(program)


def shown_version(program):
    command = program.comm if isinstance(program, servers.Server) else program.command[0]
    if program.name == 'chromium':
        command = 'chromium'
    return real.version(command)[1]


def engine_note(profile):
    """The engines, where not all processes had the best one."""
    found = re.findall(r'engine: ([\w-]+), (\d+)', '\n'.join(profile.comments))
    others = [name for name, _ in found if name != 'perf-trap']
    return f'some of it by {", ".join(others)}' if others else ''


def cells_of(measured):
    """The row behind name and kind, and its notes."""
    program = measured.program
    if measured.refusal:
        return ('', '', '', '', 'not recorded'), [measured.refusal.removeprefix('hone: ')]
    profile, complete = measured.profile, measured.complete()
    seen = profile.total(where=lambda s: not s.has('[exec and loader]')) / measured.kernel_ns
    notes = [f'CHANGED: {", ".join(measured.changed)}'] if measured.changed else []
    if seen < 0.5:
        notes += [note.removeprefix('not covered: ') for note in measured.not_covered()][-1:]
        return (f'{measured.kernel_ns / NS:.2f}', '', '', '', 'not covered' if not measured.changed
                else 'no'), notes
    claim = re.search(r'stacks: ([\d.]+)% of the sampled', '\n'.join(profile.comments))
    if 'Go' in program.kind and claim:
        # Where Go's stacks begin only its own tables tell, which are what Hone read.
        complete = complete._replace(share=float(claim[1]) / 100)
        notes.append("complete by Hone's own word")
    if complete.share < 0.995:
        cut = re.findall(r'stacks truncated: (\d+), (.*)', '\n'.join(profile.comments))
        notes.append(CAUSES.get(program.name) or
                     '; '.join(f'{number} stacks: {cause}' for number, cause in cut))
    note = engine_note(profile)
    rate, off = f'{measured.rate:.0f}', f'{100 * measured.off:+.2f}'
    if 'nobody waited for' in '\n'.join(profile.comments):
        rate = off = ''
        notes.append('the kernel counts only children that somebody waited for: '
                     f'{profile.total() / NS:.2f} s were sampled')
    return (f'{measured.kernel_ns / NS:.2f}', rate, f'{100 * complete.share:.2f}', off, 'no' if measured.changed else 'yes'), \
        notes + ([note] if note else []) + [str(p) for p in profile.problems()[:1]]


def wall_cells(measured):
    wall = None if measured.refusal or 'Go' in measured.program.kind else measured.wall()
    if wall is None:
        return ('',)
    return (f'{100 * real.completeness(wall).share:.2f}',)


def measure_all(names, types):
    rows, left_out = [], []
    with tempfile.TemporaryDirectory(prefix='hone-programs-') as inputs:
        os.chmod(inputs, 0o755)
        programs.make_inputs(inputs)
        more_programs.make_inputs(inputs)
        for program in subjects(names):
            if not is_installed(program):
                left_out.append(program.name)
                continue
            case = Case()
            case.setUp()
            try:
                options = ['--types', types] if types else []
                measured = real.measure(case, program, inputs, options)
                cells, notes = cells_of(measured)
                if types and 'wall' in types:
                    cells += wall_cells(measured)
            except Exception:       # the others are still worth measuring
                traceback.print_exc()
                cells, notes = ('', '', '', '', 'FAILED'), ['the measurement failed']
            finally:
                case.doCleanups()
            name = f'{program.name} {shown_version(program)}'.strip()
            rows.append((name, program.kind, *cells, '; '.join(notes)))
            print(*rows[-1], sep=' | ', flush=True)
    return rows, left_out


def table(rows, head):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '|'.join(
        ' --- ' if name in ('program', 'kind', 'same', 'notes') else ' ---: ' for name in head) + '|']
    return '\n'.join(lines + ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |'
                              for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--types', help='what to record, as of hone record (cpu)')
    parser.add_argument('--write', action='store_true', help='put the table into docs/programs.md')
    parser.add_argument('programs', nargs='*', metavar='PROGRAM')
    options = parser.parse_args()
    rows, left_out = measure_all(options.programs, options.types)
    head = HEAD + (WALL if options.types and 'wall' in options.types else ()) + ('notes',)
    text = table(rows, head)
    if left_out:
        text += f'\n\nNot installed, so not measured: {", ".join(left_out)}.'
    if options.write:
        with open(DOCUMENT, encoding='utf-8') as file:
            before, _, rest = file.read().partition(BEGIN)
        with open(DOCUMENT, 'w', encoding='utf-8') as file:
            file.write(f'{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}')
    elif sys.stdout.isatty():
        print(text)
    return 1 if any('FAILED' in row or 'CHANGED' in row[-1] for row in rows) else 0


if __name__ == '__main__':
    sys.exit(main())
