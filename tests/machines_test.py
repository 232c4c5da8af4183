"""Other machines and C libraries: aarch64 under qemu, musl, static programs that link libhone.a.

The truth is what tests/machines/everywhere.c says of itself: CPU time by kind, functions by name.
"""

import bisect
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from collections import Counter, namedtuple

import harness
from harness import BUILD, HONE

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..'))
SOURCES = os.path.join(ROOT, 'tests', 'machines')
# Functions that only these kinds of work call, all of which main() or a thread begins.
OWN = {'burn', 'compare', 'deep', 'on_signal', 'thread_ns', 'cpu_ns'}
# What a kind's stack holds, below the function that the kind is named after.
INSIDE = {'kind_sort': 'compare', 'kind_deep': 'deep', 'kind_signal': 'on_signal',
          'kind_loop': 'burn'}
AARCH64_ROOT = '/usr/aarch64-linux-gnu'


def needs(package, *programs):
    for program in programs:
        if not shutil.which(program):
            raise unittest.SkipTest(f'no {program}: the package {package} is not installed')


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, timeout=300, **options)


def compile_everywhere(compiler, to, *arguments, source='everywhere.c'):
    run(compiler, '-O1', '-g', os.path.join(SOURCES, source), '-o', to, '-pthread', *arguments)
    return to


def with_archive(directory):
    return ('-Wl,--whole-archive', os.path.join(directory, 'libhone.a'), '-Wl,--no-whole-archive')


def kinds_of(functions):
    """The kind of work that a stack belongs to: by the names in it."""
    return [name for name in functions if name.startswith('kind_') or name == 'in_thread']


class Everywhere(harness.TestCase):
    """Judges stacks given as (functions innermost first, CPU time), whoever recorded them."""

    def judge(self, stacks, stdout, samples, whole=0.995):
        truth = {}
        for line in stdout.decode().splitlines():
            name, ns = line.split()
            truth[name] = truth.get(name, 0) + int(ns)
        sums, inside, lost, total = Counter(), Counter(), Counter(), 0
        for functions, ns in stacks:
            kinds = kinds_of(functions)
            total += ns
            # The child of kind_fork runs kind_loop: its time is no part of the truth.
            if 'kind_fork' in functions:
                sums['kind_fork'] += ns
                continue
            if kinds:
                sums[kinds[-1]] += ns
                inside[kinds[-1]] += ns * (INSIDE.get(kinds[-1], kinds[-1]) in functions)
            if (kinds or OWN.intersection(functions)) and not {'main', 'in_thread'}.intersection(
                    functions):
                lost[functions[-1] if functions else '?'] += ns
        self.assert_shares(sums, samples, truth, errors=4)
        for kind, name in INSIDE.items():
            if truth.get(kind):
                self.assertGreater(inside[kind], 0.4 * sums[kind], f'{kind} without {name}')
        self.assertLessEqual(sum(lost.values()), (1 - whole) * total,
                             f'stacks that do not reach main: {lost.most_common(5)}')
        return sums

    def judge_profile(self, recording, whole=0.995):
        self.assertEqual(recording.status, 5, recording.stderr)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        cpu = profile.index('cpu')
        stacks = [([f.function for f in s.stack if f.function], s.values[cpu])
                  for s in profile.samples
                  if not any(f.function in ('[exec and loader]', '[never sampled]')
                             for f in s.stack)]
        cut = sum(ns for functions, ns in stacks if '[truncated]' in functions)
        self.assertLessEqual(cut, (1 - whole) * profile.total(), 'stacks cut short')
        return self.judge(stacks, recording.stdout, profile.total('samples'), whole)

    def assert_engine(self, recording, engine):
        self.assertTrue(any(f'engine: {engine},' in comment
                            for comment in recording.profile.comments), recording.profile.comments)


class Musl(Everywhere):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        needs('musl-tools', 'musl-gcc')

    def musl(self, name, *arguments, **options):
        return compile_everywhere('musl-gcc', os.path.join(self.tmp, name), *arguments, **options)

    def test_dynamic_program_is_recorded_like_any_other(self):
        recording = self.record(self.musl('dynamic'), stopwatch=True)
        sums = self.judge_profile(recording)
        self.assert_engine(recording, 'perf-trap')
        self.assertGreater(sums['kind_fork'], 0, 'the child of the fork')
        self.assertTrue(any('stacks searched' in c for c in recording.profile.comments),
                        'musl has no unwind rules: the profile must say what was searched for')
        self.assert_total(recording.profile, recording.usage.cpu_ns)

    def test_static_program_with_the_archive(self):
        program = self.musl('static', '-static', *with_archive(BUILD))
        self.assertEqual(self.run_plain(program, 'loop').returncode, 5)
        recording = self.record(program)
        self.judge_profile(recording, whole=0.97)
        self.assert_engine(recording, 'perf-trap-user')

    def test_static_program_without_it_is_recorded_from_outside(self):
        recording = self.record(self.musl('bare', '-static'))
        self.assertEqual(recording.status, 5, recording.stderr)
        self.assert_one_clear_line(recording.stderr, 'statically', 'outside')
        # Most functions of musl have no rules: stacks that end in one are told.
        self.assertGreater(recording.profile.total('samples'), 300)
        self.assertIn('stacks truncated', '\n'.join(recording.profile.comments))

    def test_exec_goes_from_one_library_to_the_other_and_back(self):
        glibc = compile_everywhere('gcc', os.path.join(self.tmp, 'glibc'))
        recording = self.record_exec(self.musl('musl'), glibc)
        recording = self.record_exec(glibc, self.musl('musl'))
        self.assertEqual(recording.status, 5)

    def record_exec(self, first, second):
        recording = self.record(first, 'loop', 'exec', second)
        self.assertEqual(recording.status, 5, recording.stderr)
        names = {name for s in recording.profile.samples for name in s.labels['process']
                 if s.has('kind_loop')}
        self.assertEqual(names, {os.path.basename(first), os.path.basename(second)})
        self.assertEqual(len(recording.stdout.splitlines()), 2)
        return recording

    def test_library_loaded_late_is_met_by_its_first_sample(self):
        late, main = (os.path.join(self.tmp, name) for name in ('late.c', 'main.c'))
        with open(late, 'w', encoding='utf-8') as file:
            file.write('void late(void) { for (volatile long i = 0; i < 200000000; i++); }\n')
        with open(main, 'w', encoding='utf-8') as file:
            file.write('#include <dlfcn.h>\nint main(int n, char **v) {\n'
                       'void *library = dlopen(v[1], RTLD_NOW);\n'
                       'void (*late)(void) = (void (*)(void))dlsym(library, "late");\n'
                       'late(); return n == 2 ? 5 : 6; }\n')
        library, program = os.path.join(self.tmp, 'late.so'), os.path.join(self.tmp, 'program')
        run('musl-gcc', '-O1', '-g', '-shared', '-fPIC', late, '-o', library)
        run('musl-gcc', '-O1', '-g', main, '-o', program)
        recording = self.record(program, library)
        self.assertEqual(recording.status, 5, recording.stderr)
        profile = recording.profile
        in_late = profile.total(where=lambda s: s.has('late'))
        self.assertGreater(in_late, 0.9 * profile.total(where=lambda s: not s.has(
            '[exec and loader]')))
        self.assertGreater(profile.total(where=lambda s: s.has('late') and s.has('main')),
                           0.99 * in_late)


    def test_threads_that_are_cancelled_at_any_instruction(self):
        # musl runs their ends on a stack that is not aligned.
        source, program = (os.path.join(self.tmp, name) for name in ('cancel.c', 'cancel'))
        with open(source, 'w', encoding='ascii') as file:
            file.write(r'''
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static volatile long turns;
static void *busy(void *unused)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        turns++;
}
int main(void)
{
    int wrong = 0;
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, busy, NULL);
        usleep(1500 + i * 7);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        wrong += result != PTHREAD_CANCELED;
    }
    printf("%d\n", wrong);
    return 4;
}''')
        run('musl-gcc', '-O1', '-g', source, '-o', program)
        for options in ((), ('--engine', 'thread-timer'), ('-t', 'wall'), ('-t', 'all')):
            with self.subTest(options):
                recording = self.record(program, options=options)
                self.assertEqual((recording.status, recording.stdout), (4, b'0\n'), recording.stderr)


class StaticGlibc(Everywhere):
    """Programs that bring libhone.a along. Without hooks sampling sees user code only."""

    def check(self, *arguments):
        program = compile_everywhere('gcc', os.path.join(self.tmp, 'program'), *arguments,
                                     *with_archive(BUILD))
        self.assertEqual(self.run_plain(program, 'loop').returncode, 5)
        recording = self.record(program)
        sums = self.judge_profile(recording)
        self.assert_complete(recording.profile)
        self.assertGreater(sums['kind_fork'], 0, 'the child of the fork')
        return recording

    def test_static(self):
        self.assert_engine(self.check('-static', '-no-pie'), 'perf-trap-user')

    def test_static_that_can_lie_anywhere(self):
        self.assert_engine(self.check('-static-pie', '-fPIE'), 'perf-trap-user')

    def test_dynamic_with_the_archive_is_recorded_once(self):
        # libhone.so is preloaded as well, sees more, and does the work.
        recording = self.check()
        self.assert_engine(recording, 'perf-trap')
        self.assertEqual(len({p['pid'] for p in recording.session['processes']}),
                         len(recording.session['processes']))

    def test_exec_of_another_such_program(self):
        program = compile_everywhere('gcc', os.path.join(self.tmp, 'program'), '-static',
                                     *with_archive(BUILD))
        other = os.path.join(self.tmp, 'other')
        shutil.copy(program, other)
        recording = self.record(program, 'loop', 'exec', other)
        self.assertEqual(recording.status, 5, recording.stderr)
        self.assertEqual({name for s in recording.profile.samples if s.has('kind_loop')
                          for name in s.labels['process']}, {'program', 'other'})

    def test_exceptions(self):
        program = compile_everywhere('g++', os.path.join(self.tmp, 'throwing'), '-static',
                                     *with_archive(BUILD), source='throwing.cpp')
        recording = self.record(program)
        self.assertEqual(recording.status, 5, recording.stderr)
        self.assertRegex(recording.stdout.decode(), r'caught \d+ wrong 0')
        # libgcc writes over its own frame before an exception lands: some of these are cut.
        self.assert_complete(recording.profile, least=0.96, errors=3)


Session = namedtuple('Session', 'status stdout processes stacks ends samples')


class Names:
    """Functions of an ELF file by address, from its symbols."""

    def __init__(self, path):
        text = run('nm', '-n', '--defined-only', path).stdout.decode()
        rows = [line.split() for line in text.splitlines()]
        rows = [(int(w[0], 16), w[2]) for w in rows if len(w) == 3 and w[1] in 'tTwWi']
        self.starts, self.names = [a for a, _ in rows], [n for _, n in rows]

    def __getitem__(self, address):
        at = bisect.bisect_right(self.starts, address) - 1
        return self.names[at] if at >= 0 else None


class Aarch64(Everywhere):
    """The part that lives in other programs, built by the cross compiler and run under qemu."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        needs('gcc-aarch64-linux-gnu', 'aarch64-linux-gnu-gcc')
        needs('g++-aarch64-linux-gnu', 'aarch64-linux-gnu-g++')
        needs('qemu-user', 'qemu-aarch64')
        cls.build = tempfile.mkdtemp(prefix='hone-aarch64-')
        cls.addClassCleanup(shutil.rmtree, cls.build)
        run('meson', 'setup', cls.build, '--cross-file', os.path.join(ROOT, 'tools', 'cross',
                                                                      'aarch64.ini'),
            '-Dguest_only=true', '-Dtests=true', cwd=ROOT)
        run('ninja', '-C', cls.build)

    def compile(self, name, *arguments, compiler='aarch64-linux-gnu-gcc', **options):
        return compile_everywhere(compiler, os.path.join(self.tmp, name), *arguments, **options)

    def session(self, program, *arguments, preload=True, qemu=()):
        out = os.path.join(self.tmp, 'out')
        loaded = ('-E', 'LD_PRELOAD=' + os.path.join(self.build, 'libhone.so')) if preload else ()
        done = subprocess.run([os.path.join(BUILD, 'src', 'session', 'session_run'), out,
                               'qemu-aarch64', '-L', AARCH64_ROOT, *qemu, *loaded, program,
                               *arguments], capture_output=True, timeout=120, check=False)
        names, modules, frames, ends, weights = Names(program), {}, {}, {}, Counter()
        processes, samples = [], 0
        with open(out, encoding='utf-8') as lines:
            for words in map(str.split, lines):
                if words[0] == 'module':
                    modules.setdefault(words[1], []).append(
                        (*(int(word, 16) for word in words[3:6]), words[6]))
                elif words[0] == 'stack':
                    frames[words[1], words[2]] = [self.name(names, modules[words[1]], program,
                                                            int(word, 16)) for word in words[4:]]
                    ends[words[1], words[2]] = int(words[3])
                elif words[0] == 'cpu':
                    weights[words[1], words[4]] += int(words[3])
                    samples += 1
                elif words[0] == 'process':
                    processes.append(words[2:])
        stacks = [(frames[stack], ns) for stack, ns in weights.items()]
        return Session(done.returncode, done.stdout, processes, stacks,
                       [(ends[stack], frames[stack]) for stack in weights], samples)

    @staticmethod
    def name(names, modules, program, address):
        for start, end, bias, path in modules:
            if start <= address < end:
                inside = os.path.basename(path)
                return (names[address - bias] or inside) if path == program else inside
        return '?'

    def check(self, session, whole=0.995):
        self.assertEqual(session.status, 5, session)
        self.assertEqual([stack for end, stack in session.ends if end != 0], [])
        sums = self.judge(session.stacks, session.stdout, session.samples, whole)
        self.assertGreater(sums['kind_fork'], 0, 'the child of the fork')

    def test_libraries_need_what_is_on_the_list(self):
        libraries = [os.path.join(self.build, name) for name in ('libhone.so', 'libhone.a')]
        done = subprocess.run(['python3', os.path.join(ROOT, 'tools/checks/guest_symbols.py'),
                               os.path.join(ROOT, 'tools/checks/guest_symbols.txt'), *libraries],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        facts = run('readelf', '--wide', '-h', '-d', libraries[0]).stdout.decode()
        self.assertIn('AArch64', facts)
        self.assertEqual(re.findall(r'\(NEEDED\).*\[(.*)\]', facts), ['libc.so.6'])
        # One object without the mark turns the protection off for the whole program.
        notes = run('readelf', '--wide', '-n', libraries[1]).stdout.decode()
        self.assertEqual(notes.count('BTI, PAC'), notes.count('File: '))

    def test_unit_tests_pass_under_qemu(self):
        done = subprocess.run(['meson', 'test', '-C', self.build, '--timeout-multiplier', '4'],
                              capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:])
        self.assertGreaterEqual(len(re.findall(r' OK ', done.stdout)), 5, done.stdout)

    def test_recording_by_the_preloaded_library(self):
        session = self.session(self.compile('preloaded'))
        self.check(session)
        self.assertEqual({process[0] for process in session.processes}, {'thread-timer'})

    def test_recording_by_the_archive_in_a_static_program(self):
        session = self.session(self.compile('static', '-static', *with_archive(self.build)),
                               preload=False)
        self.check(session)
        self.assertEqual({process[0] for process in session.processes}, {'process-timer'})

    def test_signed_return_addresses_at_any_instruction(self):
        program = self.compile('signed', '-mbranch-protection=standard')
        code = run('aarch64-linux-gnu-objdump', '-d', program).stdout
        self.assertIn(b'paciasp', code)
        self.check(self.session(program, qemu=('-cpu', 'max', '-singlestep')))

    def test_code_without_frame_pointers_on_a_processor_without_signatures(self):
        self.check(self.session(self.compile('plain', '-fomit-frame-pointer'),
                                qemu=('-cpu', 'cortex-a57', '-singlestep')))

    def test_exceptions_thrown_through(self):
        program = self.compile('throwing', compiler='aarch64-linux-gnu-g++',
                               source='throwing.cpp')
        session = self.session(program)
        self.assertEqual(session.status, 5, session)
        self.assertRegex(session.stdout.decode(), r'caught \d+ wrong 0')
        self.assertGreater(session.samples, 20)
        # libgcc writes over its own frame before an exception lands: those few are cut, and say so.
        cut = [stack for end, stack in session.ends if end != 0]
        self.assertLessEqual(len(cut), 0.1 * len(session.ends), cut)
        # Or the loader, which binds what libgcc calls then.
        for stack in cut:
            self.assertIn('libgcc_s.so.1', stack[:2], stack)

    def test_program_of_another_machine_is_refused_in_one_line(self):
        done = self.run_plain(HONE, 'record', '-o', os.path.join(self.tmp, 'r'),
                              self.compile('foreign'))
        self.assertEqual(done.returncode, 126)
        self.assert_one_clear_line(done.stderr, 'another kind of machine')


if __name__ == '__main__':
    unittest.main()
