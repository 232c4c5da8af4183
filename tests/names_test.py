"""Where names come from: compilers of generated code, servers of debug files, indexes of before."""

import glob
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import unittest

import harness
from harness import HONE, workload

FIBONACCI = '''
function fibonacciNumber(n) { return n < 2 ? n : fibonacciNumber(n - 1) + fibonacciNumber(n - 2); }
function busyLoop() { let sum = 0; for (let i = 0; i < 30; i++) sum += fibonacciNumber(25); return sum; }
let all = 0;
for (let turn = 0; turn < 50; turn++) all += busyLoop();
console.log(all > 0);
'''


def names_comment(recording):
    return [text for text in recording.profile.comments if text.startswith('names:')]


class PackedSections(harness.TestCase):
    def test_debug_sections_packed_by_zstd_are_read(self):
        program = os.path.join(self.tmp, 'packed')
        if subprocess.run(['objcopy', '--compress-debug-sections=zstd', workload('split'), program],
                          capture_output=True, check=False).returncode:
            self.skipTest('objcopy knows no zstd')
        recording = self.record_well(program, 'functions', '100')
        files = {frame.file for sample in recording.profile.samples for frame in sample.stack
                 if frame.function == 'red'}
        self.assertEqual({os.path.basename(file) for file in files}, {'split.c'})


class FilesThatWentAway(harness.TestCase):
    """Every upgrade of a package replaces programs that run."""

    def setUp(self):
        super().setUp()
        self.path, self.other = (os.path.join(self.tmp, name) for name in ('server', 'upgrade'))
        shutil.copy(workload('split'), self.path)
        shutil.copy(workload('threads'), self.other)

    def check_named(self, change, *strip):
        for tool in strip:
            subprocess.run(['objcopy', '--remove-section', '.note.gnu.build-id', tool], check=True)
        recording = self.record_well('sh', '-c', f'"$0" functions 700 & sleep 0.3; {change}; wait', self.path,
                                     cwd=self.tmp)
        self.assertGreater(recording.profile.cumulative().get('red', 0), 0)
        self.assertEqual(names_comment(recording), [])

    def check_attached(self, change):
        program = subprocess.Popen([self.path, 'functions', '3000'], stdout=subprocess.DEVNULL)
        try:
            self.assertIsNone(program.poll())
            subprocess.run(change, shell=True, cwd=self.tmp, check=True)
            directory = os.path.join(self.tmp, 'attached')
            subprocess.run([HONE, 'record', '-d', '0.5', '-o', directory, '-p', str(program.pid)],
                           check=True, capture_output=True)
        finally:
            program.kill()
            program.wait()
        profile = harness.Profile.read(os.path.join(directory, 'cpu.prof'))
        self.assertGreater(profile.cumulative().get('red', 0), 0, profile.cumulative())

    def test_program_that_was_deleted_while_it_was_recorded(self):
        self.check_named('rm server')

    def test_program_that_was_replaced_while_it_was_recorded(self):
        self.check_named('mv upgrade server')

    def test_program_without_build_id_is_not_named_after_the_one_that_replaced_it(self):
        self.check_named('mv upgrade server', self.path, self.other)

    def test_program_that_was_overwritten_has_no_names_and_that_is_said(self):
        recording = self.record_well('sh', '-c', '"$0" functions 300; cat upgrade > server', self.path, cwd=self.tmp)
        self.assertGreater(recording.profile.cumulative().get('[server]', 0), 0)
        said = f'names: none of {self.path}: the file was replaced by another one since it was started'
        self.assertEqual(names_comment(recording), [said])
        self.assertIn(said.encode(), self.run_plain(HONE, 'info', recording.directory).stdout)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_running_program_that_was_deleted_before(self):
        self.check_attached('rm server')

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_running_program_that_was_replaced_before(self):
        self.check_attached('mv upgrade server')


class GeneratedCode(harness.TestCase):
    def tearDown(self):
        for path in glob.glob('/tmp/perf-*.map'):
            if not os.path.exists(f'/proc/{re.search(r"[0-9]+", os.path.basename(path))[0]}'):
                os.unlink(path)

    def jit(self, how, *around, **options):
        recording = self.record_well(*around, workload('jit'), how, '900', cwd=self.tmp, **options)
        return recording, recording.truth, recording.profile.flat()

    def test_jitdump_names_code_by_its_time(self):
        _, truth, flat = self.jit('dump')
        for name in ('early', 'late', 'beside'):
            self.assertAlmostEqual(flat.get(name, 0), truth[name], delta=0.1 * truth[name],
                                   msg=f'{name} of {flat}')

    def test_jitdump_names_lines(self):
        recording, _, _ = self.jit('dump')
        places = {(frame.function, frame.file, frame.line)
                  for sample in recording.profile.samples for frame in sample.stack
                  if frame.function in ('early', 'late', 'beside')}
        self.assertEqual(places, {('early', 'generated.src', 10), ('late', 'generated.src', 20),
                                  ('beside', 'generated.src', 30)})

    def test_perf_map_names_code_by_its_last_entry(self):
        _, truth, flat = self.jit('map')
        both = truth['early'] + truth['late']
        self.assertAlmostEqual(flat.get('late', 0), both, delta=0.1 * both, msg=flat)
        self.assertAlmostEqual(flat.get('beside', 0), truth['beside'], delta=0.1 * truth['beside'])
        self.assertNotIn('early', flat)

    def test_code_that_nobody_names_is_unknown_and_says_what_to_do(self):
        recording, truth, flat = self.jit('none')
        everything = sum(truth.values())
        self.assertAlmostEqual(flat.get('[unknown code]', 0), everything, delta=0.1 * everything)
        self.assertRegex(' '.join(names_comment(recording)), 'generated code .* jit: .*perf map')

    def test_code_that_no_compiler_made_is_unknown_and_no_compiler_is_asked_for_names(self):
        for options in ((), ('--engine', 'outside')):
            with self.subTest(options=options):
                recording, truth, flat = self.jit('file', options=options)
                everything = sum(truth.values())
                self.assertGreater(sum(ns for name, ns in flat.items() if name.startswith('[')),
                                   0.9 * everything, flat)
                self.assertEqual(names_comment(recording), [])

    def test_file_of_another_user_is_not_believed(self):
        if os.geteuid() != 0:
            self.skipTest('needs root to make a file of another user')
        script = ('import os, sys\npath = f"/tmp/perf-{os.getpid()}.map"\n'
                  'open(path, "w").write("0 ffffffffffffffff liar\\n")\nos.chown(path, 4711, 4711)\n'
                  'os.execv(sys.argv[1], sys.argv[1:])')
        _, _, flat = self.jit('none', sys.executable, '-c', script)
        self.assertNotIn('liar', flat)
        self.assertIn('[unknown code]', flat)

    def test_perf_map_in_another_root_and_pid_namespace(self):
        inside = ('unshare', '--pid', '--fork', '--mount', '--mount-proc')
        if subprocess.run([*inside, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('no namespaces here')
        # Its /tmp is its own and ends with it, as a container's does; a build that lies there stays.
        script = ('exec 9<"$0"; mount -t tmpfs none /tmp && case $0 in /tmp/*) mkdir -p "$0" && '
                  'mount -c --bind /proc/self/fd/9 "$0";; esac && "$@"; rc=$?; sleep 0.3; exit $rc')
        _, truth, flat = self.jit('map', *inside, 'sh', '-c', script, harness.BUILD)
        self.assertAlmostEqual(flat.get('beside', 0), truth['beside'], delta=0.1 * truth['beside'],
                               msg=flat)

    def node(self, *options):
        if not shutil.which('node'):
            self.skipTest('no node here')
        script = os.path.join(self.tmp, 'fib.js')
        with open(script, 'w', encoding='utf-8') as file:
            file.write(FIBONACCI)
        recording = self.record('node', *options, script, cwd=self.tmp)
        self.assertEqual(recording.status, 0, recording.stderr)
        return recording

    def test_node_names_its_functions(self):
        for option in ('--perf-basic-prof', '--perf-prof'):
            with self.subTest(option=option):
                recording = self.node(option)
                flat, total = recording.profile.flat(), recording.profile.total()
                named = sum(ns for name, ns in flat.items() if 'fibonacciNumber' in name)
                self.assertGreater(named, 0.5 * total, flat.most_common(20))
                self.assertLess(flat.get('[unknown code]', 0), 0.03 * named, flat.most_common(20))
                self.assertEqual(names_comment(recording), [])

    def test_node_without_its_option_is_told_of_it(self):
        recording = self.node()
        self.assertGreater(recording.profile.flat()['[unknown code]'],
                           0.5 * recording.profile.total())
        self.assertRegex(' '.join(names_comment(recording)), '--perf-basic-prof')


SOURCE = '''
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static inline __attribute__((always_inline)) unsigned long inlined_step(unsigned long x)
{
    x ^= x << 13; x ^= x >> 7; return x ^ x << 17;
}
__attribute__((noinline)) static unsigned long hidden_worker(unsigned long x)
{
    for (long i = 0; i < 1000000; i++) x = inlined_step(x);
    return x;
}
int main(void)
{
    unsigned long x = 88172645463325252UL;
    while (clock() < CLOCKS_PER_SEC / 2) x = hidden_worker(x);
    printf("%d\\n", x != 0);
}
'''


class DebugFiles(harness.TestCase):
    def setUp(self):
        super().setUp()
        source, self.program = self.path('worker.c'), self.path('worker')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(SOURCE)
        self.served = self.path('served')
        os.mkdir(self.served)
        for command in (['gcc', '-O2', '-g', '-Wl,--build-id', source, '-o', self.program],
                        ['objcopy', '--only-keep-debug', self.program,
                         os.path.join(self.served, 'worker.debug')],
                        ['strip', self.program]):
            subprocess.run(command, check=True)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def environment(self, **more):
        return {**os.environ, 'HONE_CACHE': self.path('cache'),
                'DEBUGINFOD_CACHE_PATH': self.path('fetched'), **more}

    def test_nothing_is_fetched_unless_asked(self):
        recording = self.record_well(self.program, env=self.environment(
            DEBUGINFOD_URLS='http://127.0.0.1:1'))
        self.assertNotIn('hidden_worker', recording.profile.flat())
        self.assertEqual(names_comment(recording), [])
        self.assertFalse(os.path.exists(self.path('fetched')))

    def test_option_without_servers_says_so_before_anything_runs(self):
        environment = self.environment()
        environment.pop('DEBUGINFOD_URLS', None)
        recording = self.record('touch', self.path('ran'), options=['--debuginfod'],
                                env=environment)
        self.assertEqual(recording.status, 1)
        self.assertRegex(recording.stderr.decode(), r'\$DEBUGINFOD_URLS')
        self.assertFalse(os.path.exists(self.path('ran')))

    def test_servers_that_do_not_answer_cost_names_only(self):
        recording = self.record_well(self.program, options=['--debuginfod'], env=self.environment(
            DEBUGINFOD_URLS='http://127.0.0.1:1'))
        self.assertRegex(' '.join(names_comment(recording)), 'cannot fetch its debug file')

    # In a network of its own: the server listens everywhere.
    SERVER = '''
import fcntl, os, socket, struct, subprocess, sys, time, urllib.request
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 0x41))
alone = {**os.environ, 'DEBUGINFOD_URLS': ''}  # or it would ask itself
server = subprocess.Popen(['debuginfod', '-p', '8002', '-d', ':memory:', '-F', sys.argv[1]],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd='/', env=alone)
try:
    for _ in range(300):
        try:
            text = urllib.request.urlopen('http://127.0.0.1:8002/metrics', timeout=5).read()
            if (b'thread_work_total{role="scan"}' in text and
                    b'thread_work_pending{role="scan"} 0' in text and
                    b'file-s-upsert' in text):
                break
        except OSError:
            pass
        time.sleep(0.1)
    status = subprocess.run(sys.argv[2:]).returncode
finally:
    server.terminate()
    server.wait()
sys.exit(status)
'''

    def in_network(self, *command):
        inside = ['unshare', '--net'] + ([] if os.geteuid() == 0 else ['--map-root-user'])
        if subprocess.run([*inside, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('no network namespaces here')
        if not shutil.which('debuginfod'):
            self.skipTest('no debuginfod here')
        return [*inside, sys.executable, '-c', self.SERVER, self.served, *command]

    def fetching(self, number):
        return self.in_network(HONE, 'record', '--debuginfod', '-o', self.path(f'session-{number}'),
                               '--', self.program)

    def judge(self, number):
        profile = harness.Profile.read(os.path.join(self.path(f'session-{number}'), 'cpu.prof'))
        self.assertEqual(profile.problems(), [])
        self.assertGreater(profile.cumulative().get('hidden_worker', 0), 0.8 * profile.total())
        self.assertGreater(profile.cumulative().get('inlined_step', 0), 0.5 * profile.total())
        self.assertTrue(any(frame.function == 'inlined_step' and frame.line and
                            frame.file.endswith('/worker.c')
                            for sample in profile.samples for frame in sample.stack))

    def test_debug_file_comes_from_a_server_and_a_pipe_sees_no_progress(self):
        environment = self.environment(DEBUGINFOD_URLS='http://127.0.0.1:8002')
        done = subprocess.run(self.fetching(1), env=environment, capture_output=True, timeout=120,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(b'debug information of', done.stderr)
        self.judge(1)

    def test_terminal_sees_progress(self):
        try:
            harness.needs_terminal()
            leader, follower = pty.openpty()
        except OSError as error:
            self.skipTest(f'no terminals here: {error}')
        environment = self.environment(DEBUGINFOD_URLS='http://127.0.0.1:8002')
        with open(self.path('stdout'), 'wb') as stdout:
            process = subprocess.Popen(
                [sys.executable, '-c', 'import os, fcntl, sys, termios; os.setsid(); '
                 'fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])',
                 *self.fetching(2)],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=follower, env=environment)
        os.close(follower)
        seen = b''
        while select.select([leader], [], [], 60)[0]:
            try:
                data = os.read(leader, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
        os.close(leader)
        self.assertEqual(process.wait(60), 0, seen)
        self.assertRegex(seen, b'debug information of [^\r]*worker')
        self.judge(2)


class Index(harness.TestCase):
    def test_second_recording_uses_what_the_first_one_kept(self):
        cache = os.path.join(self.tmp, 'cache')
        environment = {**os.environ, 'HONE_CACHE': cache}
        first = self.record_well(workload('split'), 'functions', '400', env=environment)
        kept = {entry.name: entry.stat() for entry in os.scandir(os.path.join(cache, 'symbols'))}
        second = self.record_well(workload('split'), 'functions', '400', env=environment)
        now = {entry.name: entry.stat() for entry in os.scandir(os.path.join(cache, 'symbols'))}
        # libc has a debug file; its index was read and not made again.
        self.assertGreater(len(kept), 0)
        self.assertEqual({name: stat.st_ino for name, stat in now.items() if name in kept},
                         {name: stat.st_ino for name, stat in kept.items()})
        for recording in (first, second):
            self.assertGreater(recording.profile.cumulative()['red'], 0)

    def test_empty_variable_keeps_nothing(self):
        environment = {**os.environ, 'HONE_CACHE': '', 'HOME': self.tmp,
                       'XDG_CACHE_HOME': os.path.join(self.tmp, 'xdg')}
        self.record_well(workload('split'), 'functions', '200', env=environment)
        self.assertFalse(os.path.exists(os.path.join(self.tmp, 'xdg')))
        self.assertFalse(os.path.exists(os.path.join(self.tmp, '.cache')))


if __name__ == '__main__':
    unittest.main(verbosity=2)
