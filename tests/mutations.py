#!/usr/bin/env python3
"""mutations.py [--keep DIR] [WORD…]: takes the protection against each pitfall out, one at a time, and
runs the test that must fail then, and passed before. Prints a table: caught, MISSED, DOES NOT
BUILD, FAILS ANYWAY.

tests/pitfalls/rows.py is the list; with words, only rows whose name holds one of them. Works on a copy
of the tree, which --keep leaves for the next time. All of it takes about an hour; a test that
hangs is a test that failed.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests' / 'pitfalls'))

from rows import ROWS   # noqa: E402

PATIENCE = 240          # seconds for one test


def quiet(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors='replace', check=False, **options)


def copy_tree(to):
    listed = quiet('git', 'ls-files', '-co', '--exclude-standard', cwd=ROOT).stdout.splitlines()
    for name in listed:
        source, target = ROOT / name, to / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # An unchanged file keeps its time, so nothing is built again for it.
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copy(source, target)


def end_session(leader):
    """Ends what a test that failed has left running: a damaged recorder may leave its program."""
    for stat in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text(errors='replace').rpartition(')')[2].split()
            if int(fields[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except OSError:
            pass    # it has ended by itself


class Tree:
    def __init__(self, directory):
        self.directory, self.build = directory, directory / 'build'
        copy_tree(directory)
        if not (self.build / 'build.ninja').exists():
            done = quiet('meson', 'setup', self.build, '-Dtests=true', cwd=directory)
            if done.returncode:
                sys.exit(f'mutations: cannot configure {self.build}:\n{done.stdout[-2000:]}')
        with open(self.build / 'meson-info' / 'intro-targets.json', encoding='utf-8') as file:
            named = [os.path.relpath(name, self.build) for target in json.load(file)
                     for name in target['filename'] if target['build_by_default']]
        self.targets = [name for name in named if name in ('hone', 'libhone.so', 'libhone.a')
                        or name.startswith('workloads/')]
        self.sound = {}  # what was said of each test without damage; empty: it passes
        done = quiet('ninja', '-C', str(self.build))
        if done.returncode:
            sys.exit(f'mutations: cannot build {self.build}:\n{done.stdout[-2000:]}')

    def make(self, test):
        """Builds what the test needs. Returns whether that worked, and what was said."""
        everything = test.startswith('unit:')
        done = quiet('ninja', '-C', str(self.build), *([] if everything else self.targets))
        return done.returncode == 0, done.stdout

    def passes(self, test):
        if test.startswith('unit:'):
            command = ['meson', 'test', '-C', str(self.build), '--no-rebuild', test[5:]]
            where = self.directory
        else:
            file, _, name = test.partition(':')
            path = self.directory / 'tests' / file
            command = [sys.executable, '-m', 'unittest', f'{path.stem}.{name}']
            where = path.parent
        environment = {**os.environ, 'HONE_BUILD': str(self.build),
                       'PYTHONPATH': str(self.directory / 'tests')}
        process = subprocess.Popen(command, cwd=where, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
            return process.returncode == 0, output.decode(errors='replace')
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return False, 'it hangs'
        finally:
            end_session(process.pid)

    def fails_without_damage(self, test):
        """A test that cannot pass here would find every damage. Returns what it says then."""
        if test not in self.sound:
            passed, said = self.passes(test)
            self.sound[test] = '' if passed else said
        return self.sound[test]

    def apply(self, edits):
        """Returns what brings the files back."""
        before = {}
        for name, search, replacement in edits:
            path = self.directory / name
            text = path.read_text(encoding='utf-8')
            if text.count(search) != 1:
                sys.exit(f'mutations: {name} does not hold this once: {search!r}')
            before.setdefault(path, text)
            path.write_text(text.replace(search, replacement), encoding='utf-8')
        return before


def try_row(tree, row):
    built, said = tree.make(row.test)
    said = tree.fails_without_damage(row.test) if built else said
    if said:
        return 'FAILS ANYWAY', said
    before = tree.apply(row.edits)
    try:
        built, said = tree.make(row.test)
        if not built:
            return 'DOES NOT BUILD', said
        passed, said = tree.passes(row.test)
        return ('MISSED' if passed else 'caught'), said
    finally:
        for path, text in before.items():
            path.write_text(text, encoding='utf-8')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--keep', metavar='DIR', type=pathlib.Path,
                        help='where the copy is and stays')
    parser.add_argument('--log', metavar='FILE', help='what the tests said')
    parser.add_argument('words', nargs='*', metavar='WORD')
    options = parser.parse_args()
    rows = [row for row in ROWS if row.edits and
            (not options.words or any(word in row.name for word in options.words))]
    if not rows:
        sys.exit('mutations: no row has such a name')
    directory = options.keep or pathlib.Path(tempfile.mkdtemp(prefix='hone-mutations-'))
    failures = 0
    try:
        tree = Tree(directory)
        for row in rows:
            started = time.monotonic()
            verdict, said = try_row(tree, row)
            failures += verdict != 'caught'
            print(f'{verdict:14} {row.name}  [{row.test}]  {time.monotonic() - started:.0f} s',
                  flush=True)
            if options.log:
                with open(options.log, 'a', encoding='utf-8') as log:
                    log.write(f'=== {verdict}: {row.name}\n{said[-3000:]}\n')
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    print(f'{len(rows) - failures} of {len(rows)} caught')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
