"""hone doctor: what it says works is what a recording does in the same surroundings.

The surroundings are made narrow one at a time: another user, filters on system calls, namespaces,
a small /dev/shm, a library that is missing.
"""

import json
import os
import re
import shutil
import subprocess
import unittest

import harness
from harness import BUILD, HONE, workload
from seccomp_filter import EPERM, KILL, PERF_EVENT_OPEN, refuse_perf

PARANOID = '/proc/sys/kernel/perf_event_paranoid'
ROOT = os.geteuid() == 0


def paranoid():
    with open(PARANOID, encoding='ascii') as file:
        return file.read().strip()


NOBODY = ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all',
          '--bounding-set=-all')


class Doctor(harness.TestCase):
    def doctor(self, *arguments, prefix=(), hone=HONE, **options):
        done = subprocess.run([*prefix, hone, 'doctor', '--json', *arguments], capture_output=True,
                              text=True, timeout=120, check=False, cwd=self.tmp, **options)
        self.assertEqual(done.stderr, '')
        findings = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if findings['works'] else 1)
        for finding in findings['findings']:
            self.assertEqual(set(finding), {'topic', 'name', 'mark', 'what', 'why', 'next'})
            self.assertIn(finding['mark'], ('good', 'less', 'bad', 'fact', 'unknown'))
        return findings

    def finding(self, findings, name):
        found = [f for f in findings['findings'] if f['name'] == name]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def copy(self):
        """Our build where everybody can reach it."""
        place = os.path.join(self.tmp, 'copy')
        os.makedirs(place, exist_ok=True)
        for name in ('hone', 'libhone.so'):
            shutil.copy(os.path.join(BUILD, name), place)
        return os.path.join(place, 'hone')

    def recorded_engine(self, prefix=(), hone=HONE, **options):
        """The engine that a recording uses in the same surroundings."""
        program = shutil.copy(workload('split'), self.tmp)
        os.chmod(self.tmp, 0o777)
        directory = os.path.join(self.tmp, f'seen-{len(os.listdir(self.tmp))}')
        done = subprocess.run([*prefix, hone, 'record', '-o', directory, program, 'functions',
                               '100'], capture_output=True, text=True, timeout=120, check=False,
                              cwd=self.tmp, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        comments = harness.Profile.read(os.path.join(directory, 'cpu.prof')).comments
        engines = [c.split()[2].rstrip(',') for c in comments if c.startswith('# engine: ')]
        self.assertEqual(len(engines), 1, comments)
        return engines[0]

    # ---- the machine ----------------------------------------------------------------------

    def test_it_names_the_engine_that_a_recording_uses(self):
        findings = self.doctor()
        self.assertEqual(findings['engine'], self.recorded_engine())
        self.assertEqual(findings['works'], findings['engine'] == 'perf-trap')
        self.assertIsNone(findings['recordable'])
        best = self.finding(findings, findings['engine'])
        self.assertIn(best['mark'], ('good', 'less'))
        self.assertGreater(findings['rate_hz'], 0)
        self.assertEqual(self.finding(findings, 'libhone.so')['what'],
                         os.path.join(BUILD, 'libhone.so'))

    def test_text_fits_80_columns_but_for_what_is_to_be_typed(self):
        done = subprocess.run([HONE, 'doctor', HONE], capture_output=True, text=True, timeout=120,
                              check=False)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^'hone record' (uses the engine perf-trap|uses|cannot)")
        for line in lines:
            words = line[25:].split()
            if '→' not in line and len(words) > 1:
                self.assertLessEqual(len(line), 80, line)
        marks = {line[2] for line in lines if line.startswith('  ')}
        self.assertLessEqual(marks, set('✓~✗? '))

    @unittest.skipUnless(ROOT, 'needs root to become nobody')
    def test_nobody(self):
        hone = self.copy()
        findings = self.doctor(prefix=NOBODY, hone=hone)
        self.assertEqual(findings['engine'], self.recorded_engine(prefix=NOBODY, hone=hone))
        trap = self.finding(findings, 'perf-trap')
        if int(paranoid()) >= 2:
            self.assertEqual(trap['mark'], 'bad')
            self.assertIn(f'perf_event_paranoid is {paranoid()}', trap['what'])
            self.assertEqual(trap['next'], 'sudo sysctl kernel.perf_event_paranoid=1')
            self.assertFalse(findings['works'])

    @unittest.skipUnless(ROOT, 'needs root to permit more')
    def test_what_it_advises_helps(self):
        hone, before = self.copy(), paranoid()
        try:
            with open(PARANOID, 'w', encoding='ascii') as file:
                file.write('1')
        except OSError:
            self.skipTest(f'{PARANOID} cannot be written here')
        try:
            findings = self.doctor(prefix=NOBODY, hone=hone)
            self.assertEqual(findings['engine'], self.recorded_engine(prefix=NOBODY, hone=hone))
        finally:
            with open(PARANOID, 'w', encoding='ascii') as file:
                file.write(before)
        self.assertEqual(findings['engine'], 'perf-trap')
        self.assertTrue(findings['works'])

    @unittest.skipUnless(PERF_EVENT_OPEN, 'no number of perf_event_open for this machine')
    def test_a_filter_that_refuses_perf_events(self):
        findings = self.doctor(preexec_fn=refuse_perf(EPERM))
        self.assertEqual(findings['engine'], 'thread-timer')
        self.assertEqual(findings['engine'], self.recorded_engine(preexec_fn=refuse_perf(EPERM)))
        self.assertIn('perf_event_open', self.finding(findings, 'seccomp')['what'])
        self.assertEqual(self.finding(findings, 'seccomp')['mark'], 'less')
        self.assertIn('seccomp', self.finding(findings, 'perf-trap')['what'])
        self.assertFalse(findings['works'])
        self.assertEqual(self.finding(self.doctor(), 'seccomp')['mark'], 'good')  # the control

    @unittest.skipUnless(PERF_EVENT_OPEN, 'no number of perf_event_open for this machine')
    def test_a_filter_that_kills_ends_attempts_and_not_the_doctor(self):
        findings = self.doctor(preexec_fn=refuse_perf(KILL))
        self.assertIn('killed', self.finding(findings, 'perf-trap')['what'])
        self.assertIn(self.finding(findings, 'thread-timer')['mark'], ('less', 'good'))
        self.assertEqual(findings['engine'], self.recorded_engine(preexec_fn=refuse_perf(KILL)))

    @unittest.skipUnless(PERF_EVENT_OPEN, 'no number of perf_event_open for this machine')
    def test_where_perf_events_kill_everything_else_is_recorded(self):
        directory = os.path.join(self.tmp, 'session')
        options = {'preexec_fn': refuse_perf(KILL), 'capture_output': True, 'timeout': 120,
                   'check': False}
        done = subprocess.run([HONE, 'record', '-q', '-t', 'cpu,wall,threads', '-o', directory,
                               workload('split'), 'functions', '300'], **options)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        wall = harness.Profile.read(os.path.join(directory, 'wall.prof'))
        self.assertGreater(wall.total('wall'), 0.28e9)
        done = subprocess.run([HONE, 'record', '-q', '--engine', 'outside', '-o', directory + '2',
                               'true'], **options)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'perf_event_open')
        self.assertFalse(os.path.exists(directory + '2'))

    def test_a_program_that_is_not_there_is_told_first(self):
        done = subprocess.run([HONE, 'doctor', 'nosuch'], capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout.splitlines()[0], "cannot run 'nosuch'")

    def test_a_filter_that_kills_for_what_no_recording_does_without(self):
        mark = os.path.join(self.tmp, 'mark')
        pidfd_open = 434  # on all machines
        done = subprocess.run([HONE, 'record', '-o', os.path.join(self.tmp, 'session'), 'touch',
                               mark], preexec_fn=refuse_perf(KILL, pidfd_open),
                              capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, 'pidfd_open')
        self.assertFalse(os.path.exists(mark))

    def unshared(self, *options):
        command = ('unshare', *options)
        if subprocess.run([*command, 'true'], capture_output=True, check=False).returncode:
            self.skipTest(f'{" ".join(command)} is not permitted here')
        return command

    def test_root_of_a_user_namespace_is_no_root(self):
        prefix = self.unshared('--user', '--map-root-user')
        findings = self.doctor(prefix=prefix)
        self.assertIn('no root outside', self.finding(findings, 'container')['what'])
        self.assertEqual(findings['engine'], self.recorded_engine(prefix=prefix))

    def test_little_shared_memory(self):
        prefix = self.unshared('--mount')
        mounted = (*prefix, 'sh', '-c', 'mount -t tmpfs -o size=1m,noexec tmpfs /dev/shm && "$@"',
                   'sh')
        if subprocess.run([*mounted, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('nothing can be mounted here')
        room = self.finding(self.doctor(prefix=mounted), '/dev/shm')
        self.assertEqual((room['mark'], room['what']), ('less', '1 MiB free, noexec'))
        self.assertTrue(room['next'])

    def test_a_library_that_is_missing_or_broken(self):
        hone = self.copy()
        library = os.path.join(os.path.dirname(hone), 'libhone.so')
        with open(library, 'r+b') as file:
            file.truncate(64)
        findings = self.doctor(hone=hone)
        self.assertEqual(self.finding(findings, 'libhone.so')['mark'], 'bad')
        self.assertFalse(findings['works'])
        self.assertFalse(self.doctor('true', hone=hone)['recordable'])
        os.unlink(library)
        findings = self.doctor(hone=hone)
        self.assertIn('cannot find', self.finding(findings, 'libhone.so')['what'])

    def test_it_leaves_nothing_behind(self):
        before = set(os.listdir('/dev/shm'))
        self.doctor('true')
        self.assertEqual({name for name in set(os.listdir('/dev/shm')) - before
                          if name.startswith('hone')}, set())
        self.assertEqual(os.listdir(self.tmp), [])

    # ---- programs -------------------------------------------------------------------------

    # Functions that call others: those that do not need no frame of their own.
    SOURCE = '__attribute__((noipa)) int one(int x) { return x; }\n' + \
        ''.join(f'int f{i}(int x) {{ return one(x * {i}) + 1; }}\n' for i in range(80)) + \
        'int main(int argc, char **argv) { (void)argv; return f3(argc) - f7(argc) > 99; }\n'

    def build(self, *options, name='program'):
        path = os.path.join(self.tmp, name)
        subprocess.run(['cc', '-O1', '-x', 'c', '-', '-o', path, *options], input=self.SOURCE,
                       text=True, check=True, capture_output=True)
        return path

    def test_a_program_with_everything(self):
        program = self.build('-g', '-fno-omit-frame-pointer', '-Wl,--build-id')
        findings = self.doctor(program)
        self.assertTrue(findings['recordable'])
        self.assertEqual(self.finding(findings, 'names')['what'],
                         'functions, inlined calls and lines, from the file itself')
        self.assertRegex(self.finding(findings, 'build id')['what'], '^[0-9a-f]{40}$')
        share = int(self.finding(findings, 'frame pointers')['what'].split()[1])
        self.assertGreater(share, 80)
        self.assertEqual(self.finding(findings, 'stacks')['mark'], 'good')
        self.assertIn('glibc', self.finding(findings, 'linked')['what'])

    def test_a_program_with_little(self):
        program = self.build('-s', '-fomit-frame-pointer', '-Wl,--build-id=none')
        findings = self.doctor(program)
        self.assertTrue(findings['recordable'])
        self.assertIn('stripped', self.finding(findings, 'names')['what'])
        self.assertEqual(self.finding(findings, 'build id')['mark'], 'less')
        share = int(self.finding(findings, 'frame pointers')['what'].split()[1])
        self.assertLess(share, 10)

    def with_start_files_of_its_own(self, *options):
        """The options are the program's, rules and lines are there for one function alone."""
        source = os.path.join(self.tmp, 'first.c')
        with open(source, 'w', encoding='ascii') as file:
            file.write('int first(int x) { return x; }\n')
        first = f'{source}.o'
        subprocess.run(['cc', '-g', '-c', source, '-o', first], check=True)
        return self.build(*options, '-x', 'none', first)

    def test_rules_of_a_few_functions_are_not_the_programs(self):
        program = self.with_start_files_of_its_own('-fno-asynchronous-unwind-tables')
        stacks = self.finding(self.doctor(program), 'stacks')
        self.assertEqual(stacks['mark'], 'less')
        share = int(re.fullmatch(r'unwind rules \(.eh_frame\) cover (\d+) % of its code',
                                 stacks['what'])[1])
        self.assertLess(share, 20)
        self.assertIn('searched', stacks['why'])
        control = self.finding(self.doctor(self.with_start_files_of_its_own()), 'stacks')
        self.assertEqual((control['mark'], control['what']),
                         ('good', 'unwind rules (.eh_frame) cover 100 % of its code'))

    def test_lines_of_a_few_functions_are_not_the_programs(self):
        names = self.finding(self.doctor(self.with_start_files_of_its_own()), 'names')
        self.assertEqual(names['mark'], 'less')
        share = int(re.search(r'lines for (?:less than )?(\d+) % of its code', names['what'])[1])
        self.assertLess(share, 20)
        control = self.finding(self.doctor(self.with_start_files_of_its_own('-g')), 'names')
        self.assertEqual(control['what'],
                         'functions, inlined calls and lines, from the file itself')

    @unittest.skipUnless(shutil.which('musl-gcc'), 'needs musl-gcc')
    def test_a_static_program_of_musl(self):
        """Its start files have rules, its C library has none."""
        path = os.path.join(self.tmp, 'static')
        subprocess.run(['musl-gcc', '-static', '-g', '-O1', '-x', 'c', '-', '-o', path],
                       input=self.SOURCE, text=True, check=True)
        findings = self.doctor(path)
        stacks = self.finding(findings, 'stacks')
        self.assertEqual(stacks['mark'], 'less')
        self.assertIn('truncated', stacks['why'])
        self.assertEqual(self.finding(findings, 'names')['mark'], 'less')

    def test_a_separate_debug_file_is_named(self):
        program = self.build('-g', '-Wl,--build-id')
        debug = f'{program}.debug'
        subprocess.run(['objcopy', '--only-keep-debug', program, debug], check=True)
        subprocess.run(['objcopy', '--strip-all', f'--add-gnu-debuglink={debug}', program],
                       check=True)
        self.assertEqual(self.finding(self.doctor(program), 'names')['what'],
                         f'functions, inlined calls and lines, from {debug}')

    def test_programs_that_cannot_be_preloaded(self):
        self.assertFalse(self.doctor('no-such-program')['recordable'])
        program = self.build('-static')
        findings = self.doctor(program)
        self.assertEqual(self.finding(findings, 'linked')['what'], 'statically')
        recorded = subprocess.run([HONE, 'record', '-o', f'{self.tmp}/r', program], check=False,
                                  capture_output=True, text=True)
        refused = 'cannot record' in recorded.stderr
        self.assertEqual(findings['recordable'], not refused)  # the recorder's own judgement

    @unittest.skipUnless(ROOT, 'needs root to give a file away')
    def test_a_program_with_the_rights_of_another_user(self):
        program = self.build()
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        recordable = self.finding(self.doctor(program), 'recordable')
        self.assertEqual(recordable['mark'], 'good')  # from outside, for root
        self.assertIn('from outside', recordable['what'])
        self.assertIn('setuid', recordable['what'])

    def test_a_go_program(self):
        recordable = self.finding(self.doctor(os.path.realpath(shutil.which('go'))), 'recordable')
        self.assertIn('from outside', recordable['what'])
        self.assertIn('Go', recordable['what'])

    def test_a_script(self):
        script = os.path.join(self.tmp, 'script')
        with open(script, 'w', encoding='ascii') as file:
            file.write('#!/bin/sh -e\nexit 0\n')
        os.chmod(script, 0o755)
        findings = self.doctor(script)
        self.assertTrue(findings['recordable'])
        self.assertIn('/bin/sh -e', self.finding(findings, 'kind')['what'])

    def test_misuse(self):
        done = subprocess.run([HONE, 'doctor', 'a', 'b'], capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stderr.count('\n')), (2, 1))


if __name__ == '__main__':
    unittest.main()
