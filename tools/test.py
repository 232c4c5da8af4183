#!/usr/bin/env python3
"""Runs everything that can be checked and ends with one line: N passed, N failed.

    tools/test.py [--quick] [--only SUITE]…

A test that did not run is counted as skipped or failed, never as passed. One that measures something
and failed by chance is run again, up to three times: it is told, and counted as repeated.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get('BUILD', ROOT / 'build')).resolve()
LOGS = BUILD / 'test-logs'


class Count(namedtuple('Count', 'passed failed skipped repeated', defaults=(0, 0, 0, 0))):
    def __add__(self, other):
        return Count(*(a + b for a, b in zip(self, other)))

    def __str__(self):
        skipped = f', {self.skipped} skipped' if self.skipped else ''
        repeated = f' ({self.repeated} repeated)' if self.repeated else ''
        return f'{self.passed} passed, {self.failed} failed{skipped}{repeated}'


def run(name, command, **options):
    """The finished process and its output, which also goes to a log."""
    done = subprocess.run(command, cwd=ROOT, text=True, errors='replace', check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    with open(LOGS / f'{name}.log', 'a', encoding='utf-8') as log:
        log.write(f'$ {" ".join(map(str, command))}\n{done.stdout}\n')
    return done


def show_failure(title, output):
    lines = output.strip().splitlines()
    print(f'--- {title}', *lines[-60:], sep='\n', flush=True)


def of_command(name, command, **options):
    """A command that is one test."""
    done = run(name, command, **options)
    if done.returncode == 0:
        return Count(passed=1)
    show_failure(f'{name}: {" ".join(map(str, command))}', done.stdout)
    return Count(failed=1)


def compiled(name, directory, *options):
    """Configures and builds; a Count with a failure when that does not work, otherwise None."""
    fresh = not (directory / 'build.ninja').exists()
    setup = ['meson', 'setup', directory] if fresh else ['meson', 'configure', directory]
    for command in (setup + list(options), ['ninja', '-C', directory]):
        done = run(name, command)
        if done.returncode != 0:
            show_failure(f'{name}: {" ".join(map(str, command))}', done.stdout)
            return Count(failed=1)
    return None


SYNTHESIS = re.compile(r'Synthesis: Tested: (\d+) \| Passing: (\d+)')


def of_executable(test):
    """One entry of Meson's log. A Criterion executable says how many tests it ran."""
    output = f'{test.get("stdout", "")}\n{test.get("stderr", "")}'
    said = SYNTHESIS.search(re.sub(r'\x1b\[[0-9;]*m', '', output))
    good = test['result'] in ('OK', 'EXPECTEDFAIL')
    if test['result'] == 'SKIP':
        return Count(skipped=1)
    if not good:
        show_failure(f'{test["name"]}: {test["result"]}', output)
    if not said:
        return Count(passed=1) if good else Count(failed=1)
    tested, passed = map(int, said.groups())
    skipped = output.count('[SKIP]')
    failed = tested - passed
    return Count(passed, max(failed, 0 if good else 1), skipped)


def of_meson(name, directory, *arguments, **options):
    log = directory / 'meson-logs' / 'testlog.json'
    log.unlink(missing_ok=True)
    done = run(name, ['meson', 'test', '-C', directory, '--no-rebuild', *arguments], **options)
    if not log.exists():
        show_failure(name, done.stdout)
        return Count(failed=1)
    tests = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    return sum(map(of_executable, tests), Count()) if tests else Count(failed=1)


RAN = re.compile(r'^Ran (\d+) tests? in', re.MULTILINE)
FACTS = re.compile(r'^(?:OK|FAILED)(?: \((.*)\))?$', re.MULTILINE)


def of_unittest(name, file, **environment):
    done = run(name, [sys.executable, '-m', 'unittest', 'discover', '-v', '-s', file.parent,
                      '-p', file.name],
               env={**os.environ, 'HONE_BUILD': str(BUILD),
                    'PYTHONPATH': str(ROOT / 'tests'), **environment})
    ran, facts = RAN.search(done.stdout), FACTS.search(done.stdout)
    if not ran or not facts:
        show_failure(f'{name}: {file.name}', done.stdout)
        return Count(failed=1)
    repeated = re.findall(r'REPEATED .*', done.stdout)
    for line in repeated:
        print(line, flush=True)
    words = dict(word.split('=') for word in (facts.group(1) or '').split(', ') if word)
    failed = sum(int(words.get(key, 0)) for key in ('failures', 'errors', 'unexpected successes'))
    skipped = int(words.get('skipped', 0))
    if failed or done.returncode != 0:
        show_failure(f'{name}: {file.name}', done.stdout)
        failed = max(failed, 1)
    return Count(max(int(ran.group(1)) - failed - skipped, 0), failed, skipped, len(repeated))


# --- suites ---------------------------------------------------------------------------------------

def unit(quick):
    return (compiled('unit', BUILD, '-Dtests=true') or
            of_meson('unit', BUILD, '--no-suite', 'checks', *(('--no-suite', 'long') if quick else ()),
                     '--timeout-multiplier', '3'))


def checks(_quick):
    return (compiled('checks', BUILD, '-Dtests=true') or
            of_meson('checks', BUILD, '--suite', 'checks', '--timeout-multiplier', '3'))


def programs(quick):
    """Whole programs: those that compare CPU times one after the other."""
    files = [f for f in sorted((ROOT / 'tests').rglob('*_test.py'))
             if f.name not in (LONG if quick else CONTAINED)]
    failure = compiled('programs', BUILD, '-Dtests=true')
    if failure:
        return failure
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        count = sum(pool.map(functools.partial(of_unittest, 'programs'),
                             (f for f in files if f.name in UNTIMED)), Count())
    return sum((of_unittest('programs', f) for f in files if f.name not in UNTIMED), count)


# Compares what elfutils says, which keeps memory until the end, and single-steps through libraries
# while a sanitizer's own calls come in between: both check code that other tests sanitize too.
UNSANITIZED = {'rows agree with elfutils', 'rows agree with elfutils, aarch64',
               'walk at every instruction'}
# Threads and processes that share memory. The others are walks of stacks, of which the thread
# sanitizer makes its own, or use no threads.
THREADED = ['session', 'profile ways', 'profile operations', 'view text']


def tests_of(directory):
    with open(directory / 'meson-info' / 'intro-tests.json', encoding='utf-8') as tests:
        return [test['name'] for test in json.load(tests)]


def sanitizers(_quick):
    """The unit tests again, where a wild access, an overflow or a leak ends the test."""
    directory = ROOT / 'build-asan'
    options = ['-Dtests=true', '-Db_sanitize=address,undefined', '-Db_lundef=false']
    strict = {'ASAN_OPTIONS': 'detect_stack_use_after_return=1:strict_string_checks=1',
              'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1'}
    return (compiled('sanitizers', directory, *options) or
            of_meson('sanitizers', directory, '--timeout-multiplier', '6',
                     *(name for name in tests_of(directory) if name not in UNSANITIZED),
                     env={**os.environ, **strict}))


def threads(_quick):
    """The unit tests of what several threads share, where a race ends the test."""
    directory = ROOT / 'build-tsan'
    options = ['-Dtests=true', '-Db_sanitize=thread', '-Db_lundef=false']
    return (compiled('threads', directory, *options) or
            of_meson('threads', directory, '--timeout-multiplier', '8', *THREADED,
                     env={**os.environ, 'TSAN_OPTIONS': 'halt_on_error=1'}))


def lint(_quick):
    return (compiled('lint', BUILD, '-Dtests=true') or
            of_command('lint', [ROOT / 'tools' / 'lint', BUILD]))


def fuzz(_quick):
    """Every fuzzer over its corpus, and a little of new inputs: `make fuzz` tries for longer."""
    return of_command('fuzz', [ROOT / 'tools' / 'fuzz', '20'])


# Whole programs whose tests take a minute or more; each idea is also met in a shorter one.
LONG = {'heap_real_test.py', 'hostile_test.py', 'long_test.py', 'machines_test.py', 'outside_test.py',
        'perfdata_test.py', 'pprof_matrix_long_test.py', 'pprof_test.py', 'processes_test.py',
        'real_test.py'}
# Whose cells another one has, too.
CONTAINED = {'pprof_matrix_test.py'}
# What reads and prints, and measures nothing: these may run beside each other.
UNTIMED = {'cli_test.py', 'convert_test.py', 'fetch_test.py', 'flame_test.py', 'legacy_test.py',
           'library_test.py', 'part_test.py', 'pprof_shell_test.py', 'profile_library_test.py', 'speedscope_test.py', 'views_test.py'}
QUICK = [unit, checks, programs]
ALL = QUICK + [sanitizers, threads, lint, fuzz]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='leave out what takes long')
    parser.add_argument('--only', action='append', metavar='SUITE',
                        choices=[suite.__name__ for suite in ALL])
    options = parser.parse_args()
    # Whoever is started in the background of a script ignores it, and what we start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    suites = QUICK if options.quick else ALL
    if options.only:
        suites = [suite for suite in ALL if suite.__name__ in options.only]

    LOGS.mkdir(parents=True, exist_ok=True)
    for log in LOGS.iterdir():
        log.unlink()
    total = Count()
    for suite in suites:
        started = time.monotonic()
        count = suite(options.quick)
        print(f'{suite.__name__:12} {count} ({time.monotonic() - started:.0f} s)', flush=True)
        total += count
    print(total)
    return 1 if total.failed or not total.passed else 0


if __name__ == '__main__':
    sys.exit(main())
