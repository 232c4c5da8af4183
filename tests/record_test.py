"""`hone record` is invisible to the program and honest to its user."""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
import unittest

import harness
from harness import HONE, NS, workload

OURS = ('LD_PRELOAD=', 'HONE_', 'ASAN_OPTIONS=') # what a recording may add to the environment
SIGTRAP_BIT = 1 << (signal.SIGTRAP - 1)


def shell_status(*command, **options):
    """The status as a shell shows it: $? after the command."""
    done = subprocess.run(['sh', '-c', '"$@"; echo "status $?" >&2', 'sh', *command],
                          capture_output=True, timeout=60, check=False, **options)
    return int(re.findall(rb'status (\d+)', done.stderr)[-1]), done


class Unchanged(harness.TestCase):
    def test_output_arguments_and_surroundings(self):
        arguments = ['a', '', 'with space', '-o', '--', 'ü']
        data = bytes(range(256)) * 300
        plain = self.run_plain(workload('mirror'), *arguments, input=data)
        recorded = self.record(workload('mirror'), *arguments, input=data)
        self.assertEqual(recorded.status, plain.returncode)

        def sift(output):
            kept, caught, added = [], 0, []
            for line in output.splitlines(keepends=True):
                if line.startswith(b'environment ') and line[12:].decode().startswith(OURS):
                    added.append(line)
                elif line.startswith(b'SigCgt:'):
                    caught = int(line.split()[1], 16)
                elif line.startswith(b'descriptor '):
                    added.append(line)
                else:
                    kept.append(line)
            return kept, caught, added

        kept, caught, added = sift(recorded.stdout)
        plain_kept, plain_caught, plain_added = sift(plain.stdout)
        self.assertEqual(kept, plain_kept)
        self.assertEqual(caught & ~SIGTRAP_BIT, plain_caught, 'signals caught')
        # The control: this comparison sees the profiler at all.
        self.assertTrue(any(b'LD_PRELOAD' in line for line in added))
        low = [line for line in plain_added if line.startswith(b'descriptor')]
        self.assertEqual([l for l in added if re.match(rb'descriptor \d$', l.strip())], low,
                         'a program that opens a file must get the number it would have got')

    def test_standard_error_of_the_program_comes_through_untouched(self):
        recorded = self.record('sh', '-c', 'echo one >&2; printf "no newline" >&2')
        self.assertTrue(recorded.stderr.startswith(b'one\nno newline'), recorded.stderr)

    def test_program_output_is_not_mixed_with_ours(self):
        recorded = self.record(workload('split'), 'functions', '300')
        self.assertRegex(recorded.stdout, rb'\Ared \d+\ngreen \d+\nblue \d+\n\Z')

    def test_a_pipeline_streams(self):
        done = subprocess.run(
            ['sh', '-c', 'seq 200000 | "$1" record -o "$2" -- cat | tail -1', 'sh', HONE,
             os.path.join(self.tmp, 'session')], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.stdout, b'200000\n')

    def test_a_reader_that_leaves_ends_the_program(self):
        start = time.monotonic()
        done = subprocess.run(
            ['bash', '-c', 'set -o pipefail; "$1" record -o "$2" -- yes | head -1; '
             'echo ${PIPESTATUS[0]}', 'bash', HONE, os.path.join(self.tmp, 'session')],
            capture_output=True, timeout=60, check=False)
        self.assertEqual(done.stdout, b'y\n141\n')
        self.assertLess(time.monotonic() - start, 20)


class ExitStatus(harness.TestCase):
    def test_exit_codes(self):
        for code in (0, 1, 3, 42, 126, 255):
            with self.subTest(code=code):
                self.assertEqual(self.record(workload('exits'), str(code), '5').status, code)

    def test_signals_look_as_without_us(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV,
                       signal.SIGHUP, signal.SIGTRAP, signal.SIGPROF):
            with self.subTest(signal=number.name):
                command = [workload('exits'), 'signal', str(int(number)), '20']
                plain, _ = shell_status(*command, cwd=self.tmp)
                recorded, _ = shell_status(HONE, 'record', '-o',
                                           os.path.join(self.tmp, number.name), '--', *command,
                                           cwd=self.tmp)
                self.assertEqual(plain, 128 + number)
                self.assertEqual(recorded, plain)

    def test_the_profile_of_a_failing_program_is_kept(self):
        for command in (['3', '300'], ['signal', '9', '300'], ['signal', '11', '300']):
            with self.subTest(command=command):
                recording = self.record(workload('exits'), *command)
                self.assertEqual(recording.profile.problems(), [])
                self.assertGreater(recording.profile.cumulative()['last_work'], 0.25 * NS)


class CannotRun(harness.TestCase):
    """One clear line, the status that a shell would give, and nothing left behind."""

    def check(self, program, status, *words, **options):
        recording = self.record(program, **options)
        self.assertEqual(recording.status, status, recording.stderr)
        self.assert_one_clear_line(recording.stderr, *words)
        self.assertFalse(os.path.exists(recording.directory), 'a session of nothing')

    def test_missing_program(self):
        self.check('no-such-program-anywhere', 127, 'no-such-program-anywhere')
        self.check('/no/such/program', 127, '/no/such/program')

    def test_directory(self):
        self.check('/usr', 126, '/usr')

    def test_file_that_may_not_be_executed(self):
        path = os.path.join(self.tmp, 'plain')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('#!/bin/sh\n')
        os.chmod(path, 0o644)
        self.check(path, 126, path, 'permission denied')

    def test_garbage_that_may_be_executed(self):
        path = os.path.join(self.tmp, 'garbage')
        with open(path, 'wb') as file:
            file.write(b'\x7fELF' + bytes(200))
        os.chmod(path, 0o755)
        self.check(path, 126, 'cannot record', path)

    @unittest.skipUnless(os.getuid() == 0, 'needs root to become somebody else')
    def test_programs_that_an_ordinary_user_may_not_read_or_run(self):
        for mode, words in ((0o711, ['cannot look at']), (0o700, ['cannot run'])):
            path = os.path.join(self.tmp, f'mode-{mode:o}')
            shutil.copy(workload('exits'), path)
            os.chmod(path, mode)
            with self.subTest(mode=oct(mode)):
                done = self.run_plain(HONE, 'record', '-o', '/tmp/no-such-session', '--', path, '0',
                                      '10', user=65534, group=65534, extra_groups=[], cwd='/tmp')
                self.assertEqual(done.returncode, 126, done.stderr)
                self.assert_one_clear_line(done.stderr, path, 'permission denied', *words)

    def test_an_engine_that_cannot_work_in_the_program(self):
        self.check(workload('static'), 126, 'linked statically', options=['--engine', 'perf-trap'])

    def test_script_without_an_interpreter_line_runs_as_it_would_without_us(self):
        path = os.path.join(self.tmp, 'script')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('echo from a script; exit 5\n')
        os.chmod(path, 0o755)
        plain = self.run_plain('env', path)
        recording = self.record(path)
        self.assertEqual((recording.status, recording.stdout), (plain.returncode, plain.stdout))
        self.assertEqual(recording.status, 5)

    def test_no_program_at_all_is_misuse(self):
        done = self.run_plain(HONE, 'record')
        self.assertEqual(done.returncode, 2)
        self.assertTrue(done.stderr.startswith(b'hone: '), done.stderr)

    def test_wrong_options_are_misuse_and_nothing_runs(self):
        mark = os.path.join(self.tmp, 'mark')
        for options in (['-F', '0'], ['-F', 'fast'], ['--no-such-option'], ['--types', 'nonsense'],
                        ['-d', 'soon'], ['-F', '-5']):
            with self.subTest(options=options):
                done = self.run_plain(HONE, 'record', *options, '--', 'touch', mark, cwd=self.tmp)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertFalse(os.path.exists(mark))


class Directory(harness.TestCase):
    def test_an_existing_directory_is_refused_and_kept(self):
        directory = os.path.join(self.tmp, 'there')
        os.mkdir(directory)
        with open(os.path.join(directory, 'cpu.prof'), 'w', encoding='utf-8') as file:
            file.write('precious')
        mark = os.path.join(self.tmp, 'mark')
        done = self.run_plain(HONE, 'record', '-o', directory, '--', 'touch', mark)
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, directory)
        self.assertFalse(os.path.exists(mark), 'refused after the program ran')
        self.assertEqual(os.listdir(directory), ['cpu.prof'])
        with open(os.path.join(directory, 'cpu.prof'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'precious')

    def test_default_directory_names_program_and_time(self):
        done = self.run_plain(HONE, 'record', workload('split'), 'functions', '100', cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        names = os.listdir(os.path.join(self.tmp, 'profiles'))
        self.assertEqual(len(names), 1)
        self.assertRegex(names[0], r'^split_\d{8}_\d{6}$')

    def test_two_recordings_in_one_second_do_not_meet(self):
        for _ in range(3):
            done = self.run_plain(HONE, 'record', '/bin/true', cwd=self.tmp)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(os.listdir(os.path.join(self.tmp, 'profiles'))), 3)

    @unittest.skipUnless(os.getuid() == 0, 'needs root to become somebody else')
    def test_a_directory_that_may_not_be_written(self):
        os.chmod(self.tmp, 0o755)
        mark = '/tmp/hone-test-mark-%d' % os.getpid()
        done = self.run_plain(HONE, 'record', '-o', os.path.join(self.tmp, 'session'), '--',
                              'touch', mark, user=65534, group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_one_clear_line(done.stderr, 'session', 'permission denied')
        self.assertFalse(os.path.exists(mark), 'refused after the program ran')

    def test_a_place_below_a_file_is_no_folder(self):
        below = os.path.join(self.tmp, 'file', 'session')
        open(os.path.dirname(below), 'w', encoding='utf-8').close()
        done = self.run_plain(HONE, 'record', '-o', below, '--', 'true')
        self.assertEqual(done.returncode, 1)
        self.assert_one_clear_line(done.stderr, below, 'not a directory')

    @unittest.skipUnless(os.getuid() == 0, 'needs root to mount')
    def test_a_full_disk_spoils_neither_program_nor_truth(self):
        small = os.path.join(self.tmp, 'small')
        os.mkdir(small)
        mounted = self.run_plain('mount', '-t', 'tmpfs', '-o', 'size=64k', 'hone-test', small)
        if mounted.returncode:
            self.skipTest('cannot mount here: ' + mounted.stderr.decode())
        self.addCleanup(self.run_plain, 'umount', small)
        for left in (0, 4096):
            with self.subTest(bytes_left=left):
                with open(os.path.join(small, 'filler'), 'wb', buffering=0) as file:
                    file.write(bytes(65536 - left))
                directory = os.path.join(small, f'session-{left}')
                done = self.run_plain(HONE, 'record', '-o', directory, '--',
                                      workload('split'), 'functions', '400')
                self.assertRegex(done.stdout, rb'\Ared \d+\ngreen \d+\nblue \d+\n\Z',
                                 'the program was disturbed')
                self.assertNotEqual(done.returncode, 0, 'there is no profile, and it says success')
                self.assert_one_clear_line(done.stderr, 'no space left')
                path = os.path.join(directory, 'cpu.prof')
                if os.path.exists(path):        # there was room for it, but not for all
                    self.assertEqual(harness.Profile.read(path).problems(), [])
                os.unlink(os.path.join(small, 'filler'))
                shutil.rmtree(directory, ignore_errors=True)


class NotCovered(harness.TestCase):
    """What cannot be recorded is refused in one line before it runs."""

    def check(self, recording, *words):
        self.assertEqual((recording.status, recording.stdout), (126, b''))
        self.assert_one_clear_line(recording.stderr, 'cannot record', *words)
        self.assertFalse(os.path.exists(recording.directory), 'a session of nothing')

    def test_static_child_of_a_covered_program(self):
        recording = self.record('sh', '-c', f'{workload("split")} functions 200 >/dev/null; '
                                f'{workload("static")} 7')
        self.assertEqual((recording.status, recording.stdout), (7, b'static\n'))
        self.assertGreater(recording.profile.cumulative()['by_functions'], 0.15 * NS)
        self.assertEqual(recording.profile.cumulative()['unseen'], 0)
        self.assertRegex('\n'.join(recording.profile.comments), r'(?i)not covered|static')

    @unittest.skipUnless(os.getuid() == 0, 'needs root to make a setuid program')
    def test_setuid_program(self):
        path = os.path.join(self.tmp, 'setuid')
        shutil.copy(workload('exits'), path)
        os.chmod(path, 0o755 | stat.S_ISUID)
        open_to_all = os.path.join(self.tmp, 'out')
        os.mkdir(open_to_all)
        os.chmod(open_to_all, 0o777)
        if os.statvfs(self.tmp).f_flag & os.ST_NOSUID:
            self.skipTest('the temporary directory ignores setuid')
        directory = os.path.join(open_to_all, 'session')
        done = self.run_plain(HONE, 'record', '-o', directory, '--', path, '7', '100',
                              user=65534, group=65534, extra_groups=[])
        self.check(harness.Recording(done, directory, None), path, 'setuid')


class Duration(harness.TestCase):
    def test_a_folder_without_a_name_is_a_mistake(self):
        done = self.run_plain(harness.HONE, 'record', '-o', '', 'true')
        self.assertEqual(done.returncode, 2)
        self.assert_one_clear_line(done.stderr, '-o')

    def test_d_ends_the_recording_and_not_the_program(self):
        recording = self.record_well(workload('split'), 'functions', '2500', options=['-d', '1s'])
        self.assertEqual(set(recording.truth), {'red', 'green', 'blue'}, 'the program did not end')
        total = recording.profile.total()
        self.assertGreater(total, 0.4 * NS)
        self.assertLess(total, 1.3 * NS)
        self.assertLess(recording.profile.duration_ns, 1.3 * NS)

    def test_a_duration_that_is_longer_than_the_program_changes_nothing(self):
        start = time.monotonic()
        recording = self.record_well(workload('split'), 'functions', '300', options=['-d', '1h'])
        self.assertLess(time.monotonic() - start, 30)
        self.assertGreater(recording.profile.total(), 0.25 * NS)


class Children(harness.TestCase):
    def check(self, kind):
        recording = self.record_well(workload('forks'), kind, '600')
        cumulative = recording.profile.cumulative()
        for name, ns in recording.truth.items():
            self.assertLessEqual(abs(cumulative[name] - ns), 0.03 * ns + 2e6,
                                 f'{kind}: {name} {cumulative[name] / NS:.3f} s, '
                                 f'true {ns / NS:.3f} s')
        self.assertEqual(set(recording.truth), {'child_work', 'parent_work'})
        self.assert_complete(recording.profile)

        # The label tells the two processes apart: each function belongs to one of them.
        owners = {name: {(*s.labels['process'], *s.labels['pid']) for s in recording.profile.samples
                         if s.has(name)} for name in recording.truth}
        self.assertEqual([len(o) for o in owners.values()], [1, 1], owners)
        self.assertNotEqual(*owners.values())

    def test_fork(self):
        self.check('fork')

    def test_vfork_and_exec(self):
        self.check('vfork')

    def test_clone_with_a_function(self):
        self.check('clone')

    def test_posix_spawn(self):
        self.check('spawn')

    def test_fork_from_a_second_thread(self):
        self.check('thread')

    def test_child_of_the_last_moment_is_told(self):
        # As daemon() does: nobody has heard of the child when its parent has ended. It ends after the
        # recording, however long that takes.
        code = ('import os, sys\nif os.fork(): os._exit(4)\nos.closerange(0, 3)\n'
                'os.read(int(sys.argv[1]), 1)\n')
        for _ in range(5):
            waits, ends = os.pipe()
            try:
                recording = self.record('/usr/bin/python3', '-S', '-c', code, str(waits),
                                        pass_fds=[waits])
            finally:
                os.close(waits)
                os.close(ends)
            self.assertEqual(recording.status, 4)
            self.assertEqual(recording.session['processes_left_running'], 1)
            self.assertIn('recording ended while 1 process went on; '
                          'run a daemon in the foreground to record it', recording.profile.comments)

    def test_daemon_that_outlives_its_parent(self):
        self.check('daemon')

    def test_shell_pipelines(self):
        recording = self.record_well('sh', '-c', f'{workload("split")} functions 400 | cat; '
                                     f'{workload("recurse")} 50 400')
        cumulative = recording.profile.cumulative()
        self.assertGreater(cumulative['by_functions'], 0.38 * NS)
        self.assertGreater(cumulative['bottom'], 0.38 * NS)


class Memory(harness.TestCase):
    def test_inside_the_program_less_than_8_mib(self):
        code = ['-c', 'import json; x = list(range(300000)); [json.dumps(x) for _ in range(20)]']
        times = os.path.join(self.tmp, 'plain')
        self.run_plain(workload('stopwatch'), times, '/usr/bin/python3', *code)
        recording = self.record_well('/usr/bin/python3', *code, rate=10000, stopwatch=True)
        more = recording.usage.resident_bytes - harness.Usage(times).resident_bytes
        self.assertGreater(recording.profile.total('samples'), 1000)
        self.assertLess(more, 8 << 20, 'resident memory that recording takes')


class Names(harness.TestCase):
    """A program is called by what was executed: one file may have several names."""

    options = ()

    def names(self, *program, options=(), **run):
        recording = self.record(*program, options=(*self.options, *options), **run)
        self.assertEqual(recording.status, 0, recording.stderr)
        return {name for s in recording.profile.samples for name in s.labels['process']}, recording

    def test_a_link_is_what_was_meant(self):
        for make in (os.symlink, os.link):
            path = os.path.join(self.tmp, f'{make.__name__}-server')
            shutil.copy(workload('forks'), os.path.join(self.tmp, 'forks-check'))
            make(os.path.join(self.tmp, 'forks-check'), path)
            for called in (path, f'./{os.path.basename(path)}'):
                with self.subTest(make=make.__name__, called=called):
                    names, recording = self.names(called, 'fork', '300', cwd=self.tmp)
                    self.assertEqual(names, {os.path.basename(path)}, 'also when it forks')
                    self.check_files(recording, path)
            os.unlink(os.path.join(self.tmp, 'forks-check'))

    def check_files(self, recording, path):
        self.assertEqual(recording.session['processes'][0]['program'], path)
        self.assertEqual(recording.profile.mappings[1].file, path)
        self.assertGreater(recording.profile.cumulative()['child_work'], 0.2 * NS)

    def test_found_in_path(self):
        os.symlink(workload('split'), os.path.join(self.tmp, 'found'))
        names, _ = self.names('found', 'functions', '200',
                              env={**os.environ, 'PATH': self.tmp})
        self.assertEqual(names, {'found'})

    def test_a_script_is_called_by_its_own_name_and_its_interpreter_stays_the_program(self):
        path = os.path.join(self.tmp, 'counting')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('#!/bin/bash\nfor ((i = 0; i < 200000; i++)); do :; done\n')
        os.chmod(path, 0o755)
        names, recording = self.names(path)
        self.assertEqual(names, {'counting'})
        self.assertEqual(os.path.basename(recording.session['processes'][0]['program']), 'bash')

    def test_the_name_of_an_open_file_says_nothing(self):
        code = ('import os, sys; os.execv("/proc/self/exe", ["/some/where/applet", "-c", '
                '"sum(range(60000000))"])')
        names, _ = self.names('/usr/bin/python3', '-c', code)
        self.assertIn('applet' if not self.options else
                      os.path.basename(os.path.realpath('/usr/bin/python3')), names)
        self.assertNotIn('exe', names)
        code = ('import os, sys; os.execve(os.open(sys.argv[1], os.O_RDONLY), '
                '["split", "functions", "200"], os.environ)')
        names, _ = self.names('/usr/bin/python3', '-c', code, workload('split'))
        self.assertIn('split', names)
        self.assertEqual([name for name in names if name.isdigit()], [])


class NamesFromOutside(Names):
    options = ('--engine', 'outside')

    def check_files(self, recording, path):
        self.assertGreater(recording.profile.cumulative()['child_work'], 0.2 * NS)

    def test_one_that_was_sampled_in_its_exec(self):
        """Before its program is mapped only the kernel's name of it is known. Its many arguments make
        that last."""
        path = os.path.join(self.tmp, 'again.py')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('import os, sys\n'
                       'left = int(sys.argv[1])\n'
                       'if left:\n'
                       '    os.execv("/proc/self/exe", ["/some/where/applet", __file__, '
                       'str(left - 1)] + ["x" * 131000] * 30)\n')
        names, recording = self.names('sh', '-c', f'ulimit -s 65536; exec python3 {path} 12',
                                      rate=10000)
        in_exec = [s for s in recording.profile.samples
                   if s.has('[exec and loader]') and s.has('load_elf_binary')]
        self.assertGreater(len(in_exec), 0)
        self.assertIn(os.path.basename(os.path.realpath('/usr/bin/python3')), names)
        self.assertNotIn('exe', names)

    def test_one_that_runs_already(self):
        path = os.path.join(self.tmp, 'a-name-of-more-than-fifteen-bytes')
        os.symlink(workload('split'), path)
        with subprocess.Popen([path, 'functions', '3000'], stdout=subprocess.DEVNULL) as program:
            directory = os.path.join(self.tmp, 'attached')
            done = self.run_plain(HONE, 'record', '-d', '500ms', '-o', directory, '-p',
                                  str(program.pid))
            self.assertEqual(done.returncode, 0, done.stderr)
            program.kill()
        profile = harness.Profile.read(os.path.join(directory, 'cpu.prof'))
        self.assertEqual({name for s in profile.samples for name in s.labels['process']},
                         {os.path.basename(path)})


class Contents(harness.TestCase):
    """What a session holds."""

    def test_session_json(self):
        recording = self.record_well(workload('split'), 'functions', '500', rate=500)
        session = recording.session
        version = self.run_plain(HONE, '--version').stdout.decode()
        self.assertIn(session['versions']['hone'], version)
        self.assertEqual(session['command'], [workload('split'), 'functions', '500'])
        self.assertEqual(session['program_ended'], {'status': 0})
        cpu = session['cpu']
        self.assertEqual(cpu['rate_hz'], 500)
        self.assertAlmostEqual(cpu['rate_reached_hz'], 500, delta=25)
        self.assertEqual(cpu['samples'], recording.profile.total('samples'))
        self.assertEqual(cpu['cpu_ns'], recording.profile.total('cpu'))
        self.assertEqual(cpu['stacks']['complete'], cpu['samples'])
        # null where nobody can know: what the kernel drops of events that nobody opened.
        self.assertTrue(all(n is None or isinstance(n, int) for n in session['losses'].values()))
        self.assertEqual(session['losses']['samples_without_memory'], 0)
        self.assertEqual(session['losses']['threads_not_covered'], 0)
        process = session['processes'][0]
        self.assertEqual(process['program'], workload('split'))
        self.assertTrue(process['engine'])

    def test_cpu_profile_head(self):
        before = time.time_ns()
        recording = self.record_well(workload('split'), 'functions', '500')
        profile = recording.profile
        self.assertEqual(profile.sample_types, [('samples', 'count'), ('cpu', 'nanoseconds')])
        self.assertEqual(profile.period_type, ('cpu', 'nanoseconds'))
        self.assertEqual(profile.period, 1_000_000)
        self.assertLessEqual(before, profile.time_ns)
        self.assertLess(profile.time_ns, time.time_ns())
        self.assertLess(0.4 * NS, profile.duration_ns)
        self.assertLess(profile.duration_ns, 60 * NS)

    def test_comments_say_engine_rates_and_losses(self):
        profile = self.record_well(workload('split'), 'functions', '500').profile
        text = '\n'.join(profile.comments).lower()
        for word in ('engine:', 'rate:', '1000 hz', 'lost: 0', 'stacks:', 'complete'):
            self.assertIn(word, text)

    def test_mappings_have_build_ids_and_names(self):
        profile = self.record_well(workload('split'), 'functions', '500').profile
        main = next(m for m in profile.mappings.values() if m.file == workload('split'))
        notes = self.run_plain('readelf', '-n', workload('split')).stdout.decode()
        found = re.search(r'Build ID: ([0-9a-f]+)', notes)
        self.assertEqual(main.build_id, found[1] if found else '')
        self.assertTrue(main.has_functions and main.has_filenames and main.has_lines)
        frame = next(f for s in profile.samples for f in s.stack if f.function == 'red')
        self.assertTrue(frame.file.endswith('workloads/split.c'), frame)
        with open(os.path.join(os.path.dirname(__file__), '../workloads/split.c'),
                  encoding='utf-8') as file:
            lines = file.read().splitlines()
        caller = next(caller for s in profile.samples for f, caller in zip(s.stack, s.stack[1:])
                      if f.function in ('red', 'green', 'blue'))
        self.assertEqual(caller.function, 'by_functions')
        self.assertRegex(lines[caller.line - 1], r'\b(red|green|blue)\(')

    def test_inlined_calls_are_frames(self):
        profile = self.record_well(workload('split'), 'functions', '500').profile
        inlined = next(s for s in profile.samples if s.leaf.function == 'spin')
        self.assertIn(inlined.stack[1].function, ('red', 'green', 'blue'))
        self.assertEqual(inlined.stack[0].location, inlined.stack[1].location)

    def test_every_sample_names_process_and_thread(self):
        recording = self.record_well(workload('split'), 'threads', '900')
        for sample in recording.profile.samples:
            self.assertIn('process', sample.labels)
            self.assertIn('thread', sample.labels)

    def test_time_of_short_threads_is_explained_by_them(self):
        source, program = os.path.join(self.tmp, 'short.c'), os.path.join(self.tmp, 'short')
        with open(source, 'w', encoding='utf-8') as file:
            file.write("""
#include <pthread.h>
static void *work(void *argument) { return argument; }
int main(void)
{
    for (int i = 0; i < 4000; i++) {
        pthread_t thread;
        pthread_create(&thread, 0, work, 0);
        pthread_join(thread, 0);
    }
}
""")
        subprocess.run(['cc', '-o', program, source, '-pthread'], check=True)
        comments = '\n'.join(self.record_well(program).profile.comments)
        self.assertNotIn('setuid', comments)

    def test_truncating_the_session_leaves_what_was_read(self):
        script = ('i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 0.3;'
                  'env -u LD_PRELOAD truncate -s 0 "$HONE_SESSION"; sleep 0.3; :')
        recording = self.record('sh', '-c', script)
        self.assertIn(b'truncated', recording.stderr)
        self.assertTrue(recording.profile.samples)
        self.assertIn("lost: all from", '\n'.join(recording.profile.comments))

    def test_closing_table_names_the_hottest_function_and_the_next_command(self):
        recording = self.record_well(workload('split'), 'functions', '800')
        text = recording.stderr.decode()
        self.assertRegex(text, r'(?m)^.*\b(red|spin)\b')
        self.assertRegex(text, r'hone (top|flame|web|tree)')
        # It is not in profiles/, where the commands look by themselves.
        self.assertIn(f"'hone top {recording.directory}'", text)
        whole = subprocess.run([HONE, 'top', recording.directory], capture_output=True, text=True,
                               check=True).stdout
        head, rows = text.split('flat  flat%', 1)
        self.assertIn(rows.splitlines()[1], whole, 'other units than the view has')
        self.assertLessEqual(len(head.splitlines()), 4, text)
        self.assertNotIn('\x1b', text, 'escape sequences outside a terminal')

    def test_a_program_without_cpu_says_why_the_profile_is_empty(self):
        # At this rate: what a start costs is a few milliseconds, or more where memory is slow.
        recording = self.record_well(workload('idle'), '400', rate=20)
        self.assertEqual(recording.stdout, b'slept\n')
        self.assertLessEqual(recording.profile.total('samples'), 3)
        if not recording.profile.samples:
            text = '\n'.join(recording.profile.comments).lower()
            self.assertRegex(text, r'no samples|empty')
            self.assertRegex(text, r'cpu')
            self.assertRegex(recording.stderr.decode().lower(), r'no samples|empty')

    def test_types_cpu_is_accepted_and_others_are_named(self):
        for option in (['--types', 'cpu'], ['--types=profile'], ['-types=cpu']):
            recording = self.record(workload('exits'), '0', '100', options=option)
            self.assertEqual(recording.status, 0, recording.stderr)


if __name__ == '__main__':
    unittest.main()
