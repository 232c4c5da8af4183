"""Signals, and ends that nobody planned: what reaches the program, and what stays of the profile."""

import contextlib
import ctypes
import os
import pty
import select
import signal
import subprocess
import sys
import time
import unittest

import harness
from harness import HONE, NS, workload


class Started(harness.TestCase):
    """Recordings that the test meets while they run."""

    def start(self, *program, options=(), **popen):
        self._runs += 1
        self.directory = os.path.join(self.tmp, f'session-{self._runs}')
        process = subprocess.Popen([HONE, 'record', '-o', self.directory, *options, '--', *program],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, **popen)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()


class Signals(Started):
    CATCHER = '''
import os, signal, sys, time
got = []
for name in ("INT", "TERM", "HUP", "USR1", "USR2", "QUIT", "WINCH", "CONT"):
    signal.signal(getattr(signal, "SIG" + name), lambda n, f: got.append(n))
print("ready", os.getpid(), flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end and len(got) < 2: sum(range(1000))
print("got", *got, "after", time.process_time_ns(), flush=True)
sys.exit(9)
'''

    def test_signals_are_passed_on_once_and_the_recording_goes_on(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1,
                       signal.SIGUSR2, signal.SIGQUIT):
            with self.subTest(signal=number.name):
                process = self.start('/usr/bin/python3', '-c', self.CATCHER, '1.0')
                self.assertTrue(process.stdout.readline().startswith(b'ready'))
                time.sleep(0.2)
                process.send_signal(number)
                out, err = process.communicate(timeout=30)
                words = out.decode().split()
                self.assertEqual(words[:3], ['got', str(int(number)), 'after'])
                self.assertEqual(process.returncode, 9, err)
                profile = harness.Profile.read(os.path.join(self.directory, 'cpu.prof'))
                self.assertGreater(profile.total(), 0.9 * int(words[3]),
                                   'the end of the program is missing')

    # Every signal that a program can handle, in the form that tells who sent what.
    TELLER = '''
import signal, sys
numbers = {int(word) for word in sys.argv[1:]}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
while True:
    info = signal.sigwaitinfo(numbers)
    print(info.si_signo, info.si_code, flush=True)
    if info.si_signo == signal.SIGTERM: break
sys.exit(9)
'''
    CATCHABLE = sorted(set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33,
                                            signal.SIGTERM})

    def teller(self, *options):
        process = self.start('/usr/bin/python3', '-c', self.TELLER, *map(str, self.CATCHABLE),
                             str(int(signal.SIGTERM)), options=('--types', 'cpu', *options),
                             start_new_session=True)
        self.addCleanup(self.end_group, process)
        self.assertEqual(process.stdout.readline(), b'ready\n')
        time.sleep(0.1)
        return process

    @staticmethod
    def end_group(process):
        """Where the program has lost who stood in its place, it is ended all the same."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def end_teller(self, process):
        """What it was told besides, and that the recording lives to its end."""
        time.sleep(0.15)
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 9, err)
        harness.Profile.read(os.path.join(self.directory, 'cpu.prof'))
        return out.splitlines()[:-1]

    def test_every_signal_that_can_be_caught_is_passed_on_and_ends_no_recording(self):
        for options in ((), ('--engine', 'outside')):
            process = self.teller(*options)
            for number in self.CATCHABLE:
                with self.subTest(signal=number, options=options):
                    for send in (os.kill, os.killpg):
                        send(process.pid, number)
                        if not select.select([process.stdout], [], [], 5)[0]:
                            self.fail('nothing came')
                        self.assertEqual(process.stdout.readline().split()[0], b'%d' % number)
            self.assertEqual(self.end_teller(process), [])

    def test_signals_that_queue_come_as_often_as_they_were_sent_and_with_their_value(self):
        process = self.teller()
        number = signal.SIGRTMIN + 6
        os.kill(process.pid, signal.SIGSTOP)
        for i in range(5):
            os.kill(process.pid, number)
            os.killpg(process.pid, number)
            sigqueue(process.pid, number, 1000 + i)
        os.kill(process.pid, signal.SIGCONT)
        lines = self.end_teller(process)
        self.assertEqual(lines.count(b'%d 0' % number), 10, lines)
        self.assertEqual(lines.count(b'%d -1' % number), 5, lines)

    def test_a_value_is_passed_on(self):
        code = r'''
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    puts("ready");
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        sigwaitinfo(&set, &info);
        printf("%d %d %d %p\n", info.si_signo, info.si_code, (int)info.si_pid, info.si_value.sival_ptr);
    }
    return 3;
}
'''
        path = os.path.join(self.tmp, 'told')
        subprocess.run(['cc', '-o', path, '-x', 'c', '-'], input=code, text=True, check=True)
        process = self.start(path, start_new_session=True)
        self.addCleanup(self.end_group, process)
        self.assertEqual(process.stdout.readline(), b'ready\n')
        for number in (signal.SIGUSR1, signal.SIGRTMIN):
            sigqueue(process.pid, number, 0x123456789abcdef)
            self.assertEqual(process.stdout.readline(),
                             b'%d -1 %d 0x123456789abcdef\n' % (number, os.getpid()))
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 3)

    def test_who_asks_us_to_stop_stops_the_program_and_its_parent_sees_it(self):
        for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            for send in (os.kill, os.killpg):
                for group in (True, False):     # who goes on: all, or only who is known
                    with self.subTest(signal=number, send=send.__name__, group=group):
                        process = self.start('/usr/bin/python3', '-c', 'import time\nprint("ready", '
                                             'flush=True)\ntime.sleep(1)\nraise SystemExit(5)',
                                             options=('--types', 'cpu'), process_group=0)
                        self.addCleanup(self.end_group, process)
                        process.stdout.readline()
                        program = Killed.children(process.pid)[0]
                        send(process.pid, number)
                        end = time.monotonic() + 10
                        seen = (0, 0)
                        while not seen[0] and time.monotonic() < end:
                            seen = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
                            time.sleep(0.01)
                        self.assertEqual(seen[0], process.pid, 'nobody sees that it stops')
                        self.assertTrue(os.WIFSTOPPED(seen[1]))
                        self.assertEqual(os.WSTOPSIG(seen[1]), number)
                        self.assertEqual(state_of(program), 'T')
                        (os.killpg if group else os.kill)(process.pid, signal.SIGCONT)
                        process.communicate(timeout=30)
                        self.assertEqual(process.returncode, 5)

    def test_who_handles_a_request_to_stop_goes_on_and_so_do_we(self):
        process = self.teller()
        os.kill(process.pid, signal.SIGTTIN)
        self.assertEqual(process.stdout.readline(), b'%d 0\n' % signal.SIGTTIN)
        self.assertIn(state_of(process.pid), 'RS')
        self.assertEqual(self.end_teller(process), [])

    def test_no_signal_loses_a_recording_of_what_runs(self):
        program = subprocess.Popen(['sleep', '60'])
        self.addCleanup(self.end, program)
        for number in (signal.SIGRTMIN + 3, signal.SIGPROF, signal.SIGXCPU, signal.SIGSEGV,
                       signal.SIGABRT, signal.SIGTERM):
            with self.subTest(signal=number):
                self._runs += 1
                directory = os.path.join(self.tmp, f'session-{self._runs}')
                process = subprocess.Popen([HONE, 'record', '-o', directory, '-p', str(program.pid)],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.addCleanup(self.end, process)
                time.sleep(0.7)
                process.send_signal(number)
                _, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 0, err)
                self.assertTrue(os.path.exists(os.path.join(directory, 'cpu.prof')), err)

    COUNTER = '''
import os, signal, sys, time
names = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "WINCH")
for name in names:
    signal.signal(getattr(signal, "SIG" + name), lambda n, f: os.write(1, b"%d\\n" % n))
if sys.argv[1] == "leaves": os.setpgid(0, 0)
print("ready", flush=True)
time.sleep(60)
'''

    def counter(self, group='stays', **popen):
        process = self.start('/usr/bin/python3', '-c', self.COUNTER, group, start_new_session=True, **popen)
        self.assertEqual(process.stdout.readline(), b'ready\n')
        return process

    def send_one(self, process, send, number):
        """The next that the program gets is this: nothing of those before comes twice."""
        send(process.pid, number)
        self.assertEqual(process.stdout.readline(), b'%d\n' % number)
        time.sleep(0.02)

    def end_counter(self, process):
        """What the program got, with one signal more that shows that nothing else comes."""
        time.sleep(0.15)    # what is passed on late
        os.kill(process.pid, signal.SIGALRM)
        got = [int(line) for line in iter(process.stdout.readline, b'%d\n' % signal.SIGALRM)]
        children = Killed.children(process.pid)
        os.kill(children[0], signal.SIGKILL)
        process.communicate(timeout=30)
        return got

    NUMBERS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1,
               signal.SIGUSR2, signal.SIGWINCH)

    def test_what_is_sent_to_the_group_or_to_us_alone_reaches_the_program_once(self):
        # As an interactive shell's kill %1 and supervisors do, and as timeout(1) and killers by number.
        process = self.counter()
        for send in (os.killpg, os.killpg, os.kill, os.kill, os.killpg, os.kill, os.killpg):
            for number in self.NUMBERS:
                self.send_one(process, send, number)
        self.assertEqual(self.end_counter(process), [])

    def test_signals_to_the_group_at_any_rate_are_never_more_than_were_sent(self):
        process = self.counter()
        for pause in (0, 0.0001, 0.0003, 0.001):
            for _ in range(100):
                os.killpg(process.pid, signal.SIGUSR1)
                time.sleep(pause)
        got = self.end_counter(process)
        self.assertLessEqual(len(got), 400)
        self.assertGreater(len(got), 10, 'some of those with a pause are seen one by one')

    def test_a_group_that_stood_and_goes_on_gets_its_signals_once(self):
        process = self.counter()
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGUSR1)
        os.kill(process.pid, signal.SIGCONT)    # us alone; we take the program along
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGUSR2)
        self.assertEqual(self.end_counter(process), [signal.SIGUSR1, signal.SIGUSR2])

    def test_a_program_that_left_the_group_gets_what_the_job_is_sent(self):
        # With nobody in its place it could not have left: it would be the group's leader.
        process = self.counter('leaves')
        os.killpg(process.pid, signal.SIGUSR1)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGUSR2)
        time.sleep(0.1)
        self.assertEqual(self.end_counter(process), [signal.SIGUSR1, signal.SIGUSR2])

    def test_who_watches_the_group_is_killed_and_signals_are_passed_on_still(self):
        process = self.counter()
        watching = [child for child in Killed.children(process.pid) if comm(child) == 'hone-sentinel']
        self.assertEqual(len(watching), 1)
        os.kill(watching[0], signal.SIGKILL)
        for number in self.NUMBERS:
            self.send_one(process, os.kill, number)
        self.assertEqual(self.end_counter(process), [])

    def test_nobody_stays_when_we_are_killed(self):
        process = self.counter()
        children = Killed.children(process.pid)
        program = children[0]
        process.kill()
        process.wait(10)
        end = time.monotonic() + 10
        while alive := [pid for pid in children[1:] if os.path.exists(f'/proc/{pid}')]:
            self.assertLess(time.monotonic(), end, [comm(pid) for pid in alive])
            time.sleep(0.02)
        os.kill(program, signal.SIGKILL)

    def test_who_does_not_read_what_we_say_does_not_end_the_program(self):
        # The second is recorded from outside, which is told before it starts.
        for options, program, status in (((), ('sh', '-c', 'sleep 0.2; exit 7'), 7),
                                         ((), (workload('static'), '5'), 5)):
            with self.subTest(program=program):
                self._runs += 1
                directory = os.path.join(self.tmp, f'session-{self._runs}')
                unread, stderr = os.pipe()
                os.close(unread)
                done = subprocess.run([HONE, 'record', '-o', directory, *options, '--', *program],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                      check=False, timeout=60)
                os.close(stderr)
                self.assertEqual(done.returncode, status)
                harness.Profile.read(os.path.join(directory, 'cpu.prof'))

    def test_the_program_has_its_own_way_with_broken_pipes(self):
        for restore in (True, False):       # by default, and ignored as Python has it
            plain = self.run_plain(workload('mirror'), restore_signals=restore)
            done = self.record(workload('mirror'), restore_signals=restore)
            self.assertEqual(ignored_by(done.stdout), ignored_by(plain.stdout))
        done = self.record('sh', '-c', 'kill -PIPE $$')
        self.assertEqual(done.status, -signal.SIGPIPE)

    def test_a_signal_that_ends_the_program_ends_as_it_does_without_us(self):
        process = self.start(workload('threads'), 'many', '1', '20000')
        time.sleep(0.7)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertIn(process.returncode, (-signal.SIGTERM, 128 + signal.SIGTERM))
        profile = harness.Profile.read(os.path.join(self.directory, 'cpu.prof'))
        self.assertEqual(profile.problems(), [])
        self.assertGreater(profile.cumulative()['crowd'], 0.2 * NS)

    def test_ctrl_c_reaches_the_program_once(self):
        try:
            harness.needs_terminal()
            leader, follower = pty.openpty()
        except OSError as error:
            self.skipTest(f'no terminals here: {error}')
        directory = os.path.join(self.tmp, 'session')
        process = subprocess.Popen(
            [sys.executable, '-c', 'import os, fcntl, sys, termios; os.setsid(); '
             'fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])',
             HONE, 'record', '-o', directory, '--', '/usr/bin/python3', '-c', self.CATCHER, '1.5'],
            stdin=follower, stdout=follower, stderr=follower)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        os.close(follower)
        seen = b''
        typed = False
        while True:
            ready, _, _ = select.select([leader], [], [], 30)
            self.assertTrue(ready, f'nothing happens after {seen!r}')
            try:
                data = os.read(leader, 4096)
            except OSError:
                break
            if not data:
                break
            seen += data
            if not typed and b'ready' in seen:
                typed = True
                time.sleep(0.2)
                os.write(leader, b'\x03')
        os.close(leader)
        self.assertEqual(process.wait(30), 9, seen)
        self.assertRegex(seen, rb'got 2 after', 'wanted SIGINT once')
        self.assertTrue(os.path.exists(os.path.join(directory, 'cpu.prof')))


    # What a shell does: a job of its own in the terminal's foreground, which it waits for.
    SHELL = '''
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
ready, go = os.pipe()
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.read(ready, 1)
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
os.setpgid(job, job)
os.tcsetpgrp(0, job)
os.write(go, b"x")
for resume in (lambda: os.killpg(job, signal.SIGCONT), lambda: os.kill(job, signal.SIGCONT)):
    print("stopped by", os.WSTOPSIG(os.waitpid(job, os.WUNTRACED)[1]), flush=True)
    resume()
print("ended with", os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]), flush=True)
'''

    def test_a_program_that_stops_itself_stops_the_job_and_goes_on_with_it(self):
        # As editors and pagers do at Ctrl-Z: only the program stops. The shell continues the whole job,
        # or (the second time) only the process that it knows.
        try:
            harness.needs_terminal()
            pid, terminal = pty.fork()
        except OSError as error:
            self.skipTest(f'no terminals here: {error}')
        directory = os.path.join(self.tmp, 'session')
        if pid == 0:
            os.execv(sys.executable, [
                sys.executable, '-c', self.SHELL, HONE, 'record', '-o', directory, '--',
                sys.executable, '-c', 'import os, signal\nfor _ in range(2): '
                'os.kill(os.getpid(), signal.SIGTSTP)\nraise SystemExit(7)'])
        self.addCleanup(os.close, terminal)
        seen = b''
        while b'ended with 7\r\n' not in seen:
            ready, _, _ = select.select([terminal], [], [], 20)
            if not ready:
                os.kill(pid, signal.SIGKILL)    # the terminal goes with it, and the job's group
                os.waitpid(pid, 0)
                self.fail(f'nobody sees that the program stopped: {seen!r}')
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
        os.waitpid(pid, 0)
        self.assertEqual(seen.count(b'stopped by'), 2, seen)
        self.assertIn(b'ended with 7', seen)
        self.assertTrue(os.path.exists(os.path.join(directory, 'cpu.prof')))

    def test_a_parent_that_ignores_the_ends_of_its_children(self):
        # Nobody can wait for a child then, and an exec inherits it: so does the program, and only it.
        code = ('import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); '
                'os.execv(sys.argv[1], sys.argv[1:])')
        plain = self.run_plain(sys.executable, '-c', code, workload('mirror'))
        done = self.run_plain(sys.executable, '-c', code, HONE, 'record', '-o',
                              os.path.join(self.tmp, 'session'), workload('mirror'), timeout=30)
        self.assertEqual(done.returncode, plain.returncode, done.stderr)
        ignored = [line for line in plain.stdout.splitlines() if line.startswith(b'SigIgn')]
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith(b'SigIgn')],
                         ignored)
        self.assertTrue(ignored)


class Killed(Started):
    @staticmethod
    def children(pid):
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            return [int(word) for word in file.read().split()]

    def program_of(self, process):
        """The process that works: hone's child, or a child of that."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for pid in self.children(process.pid):
                try:
                    with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                        name = file.read().strip()
                except OSError:     # it has ended: what comes before hone
                    continue
                if name == 'threads':
                    return pid
            time.sleep(0.02)
        self.fail('the program did not start')

    def test_kill_9_after_two_seconds_keeps_the_data(self):
        process = self.start(workload('threads'), 'many', '1', '20000')
        pid = self.program_of(process)
        time.sleep(2)
        end = time.monotonic() + 30     # where others keep the machine busy
        while (used := cpu_of(pid)) < 0.6 * NS and time.monotonic() < end:
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=30)
        self.assertIn(process.returncode, (-9, 137))
        profile = harness.Profile.read(os.path.join(self.directory, 'cpu.prof'))
        self.assertEqual(profile.problems(), [])
        self.assertGreater(profile.cumulative()['crowd'], used - 0.05 * NS)
        self.assertGreater(used, 0.5 * NS)
        self.assert_complete(profile)

    # A /dev/shm of one's own, for other recordings on this machine remove what they find abandoned.
    OWN_SHARED = ('unshare', '--mount', 'sh', '-c', 'mount -t tmpfs hone-test /dev/shm && exec "$@"', 'sh')

    def begin_in_shared_memory(self, around=(), **popen):
        """A recording that runs: its process, its program's number, and how to see what it sees."""
        if os.getuid() or self.run_plain(*self.OWN_SHARED, 'true').returncode:
            self.skipTest('needs root, and to mount')
        self._runs += 1
        self.directory = os.path.join(self.tmp, f'session-{self._runs}')
        process = subprocess.Popen(
            [*(around or self.OWN_SHARED), HONE, 'record', '-o', self.directory, '--',
             workload('threads'), 'many', '1', '20000'], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **popen)
        self.addCleanup(self.end, process)
        pid = self.program_of(process)
        self.addCleanup(lambda: os.path.exists(f'/proc/{pid}') and os.kill(pid, signal.SIGKILL))
        return process, pid, ('nsenter', '-m', '-r', '-t', str(pid))

    def keeper_of(self, process, pid):
        """It comes just after the program, and leaves its session."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for child in self.children(process.pid):
                if child != pid and os.getsid(child) == child:
                    return child
            time.sleep(0.01)
        self.fail('nobody cleans up')

    @staticmethod
    def shared(pid):
        return {name for name in os.listdir(f'/proc/{pid}/root/dev/shm') if name.startswith('hone.')}

    def leftovers(self, pid, seconds=10):
        """What stays in the shared memory of the program, after the keeper had time."""
        end = time.monotonic() + seconds
        while (left := self.shared(pid)) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def test_a_killed_recorder_leaves_nothing_in_shared_memory(self):
        process, pid, _ = self.begin_in_shared_memory()
        self.assertEqual(len(self.shared(pid)), 1, 'no session to leave behind')
        self.keeper_of(process, pid)
        process.kill()
        self.assertEqual(process.wait(10), -signal.SIGKILL)
        self.assertEqual(self.leftovers(pid), set())
        self.assertNotIn(state_of(pid), 'ZX', 'the program died with its profiler')
        # Nobody who waits for the end of the recorder's output waits for what cleans up.
        os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=10)

    def test_signals_to_the_whole_group_do_not_end_what_cleans_up(self):
        process, pid, _ = self.begin_in_shared_memory(start_new_session=True)
        keeper = self.keeper_of(process, pid)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            os.kill(keeper, number)
        process.kill()
        self.assertEqual(self.leftovers(pid), set())

    def test_what_a_recorder_and_its_keeper_leave_the_next_one_removes(self):
        process, pid, within = self.begin_in_shared_memory()
        keeper = self.keeper_of(process, pid)
        # A keeper that is killed alone does no harm.
        os.kill(keeper, signal.SIGKILL)
        process.kill()
        process.wait(10)
        self.assertEqual(len(self.leftovers(pid, seconds=0.5)), 1)
        # A recording that runs keeps its own.
        running, other, _ = self.begin_in_shared_memory(around=within)
        self.assertEqual(self.run_plain(*within, HONE, 'record', '-o',
                                        os.path.join(self.tmp, 'next'), '/bin/true').returncode, 0)
        self.assertEqual(len(self.shared(pid)), 1, 'one that still runs, and no other')
        os.kill(other, signal.SIGTERM)
        running.communicate(timeout=30)
        self.assertEqual(self.shared(pid), set())
        self.assertTrue(os.path.exists(os.path.join(self.directory, 'cpu.prof')))

    def test_a_session_whose_owner_has_another_number_here_is_not_removed(self):
        # In a container that shares /dev/shm, its processes have other numbers.
        inside = ('unshare', '--pid', '--fork', '--mount-proc')
        if subprocess.run([*inside, 'true'], capture_output=True, check=False).returncode:
            self.skipTest('no namespaces here')
        process, pid, within = self.begin_in_shared_memory()
        before = self.shared(pid)
        done = self.run_plain(*within, *inside, HONE, 'record', '-o',
                              os.path.join(self.tmp, 'inside'), '/bin/true')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.shared(pid), before)

    def test_kill_9_of_everything_leaves_no_wrong_profile(self):
        process = self.start(workload('threads'), 'many', '1', '20000')
        pid = self.program_of(process)
        time.sleep(1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        # The program lives on unharmed while its reader is gone.
        time.sleep(0.5)
        self.assertTrue(os.path.exists(f'/proc/{pid}/stat'))
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            self.assertNotIn(file.read().split()[2], 'ZX', 'the program died with its profiler')
        os.kill(pid, signal.SIGKILL)
        path = os.path.join(self.directory, 'cpu.prof')
        if os.path.exists(path):
            self.assertEqual(harness.Profile.read(path).problems(), [])
        for file in os.listdir(self.directory) if os.path.isdir(self.directory) else []:
            done = self.run_plain(HONE, 'info', os.path.join(self.directory, file))
            self.assertIn(done.returncode, (0, 1), (file, done))


def sigqueue(pid, number, value):
    if ctypes.CDLL(None).sigqueue(pid, number, ctypes.c_void_p(value)):
        raise OSError('sigqueue')


def comm(pid):
    with open(f'/proc/{pid}/comm', encoding='ascii') as file:
        return file.read().strip()


def ignored_by(status):
    """The signals that a process ignores, from what it prints of itself."""
    line, = (line for line in status.splitlines() if line.startswith(b'SigIgn'))
    return line


def state_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        return file.read().rpartition(')')[2].split()[0]


def cpu_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        words = file.read().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) * NS // os.sysconf('SC_CLK_TCK')


if __name__ == '__main__':
    unittest.main()
