"""Signals, and ends that nobody planned: what reaches the program, and what stays of the profile."""

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
                with open(f'/proc/{pid}/comm', encoding='ascii') as file:
                    if file.read().strip() == 'threads':
                        return pid
            time.sleep(0.02)
        self.fail('the program did not start')

    def test_kill_9_after_two_seconds_keeps_the_data(self):
        process = self.start(workload('threads'), 'many', '1', '20000')
        pid = self.program_of(process)
        time.sleep(2)
        used = cpu_of(pid)
        os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=30)
        self.assertIn(process.returncode, (-9, 137))
        profile = harness.Profile.read(os.path.join(self.directory, 'cpu.prof'))
        self.assertEqual(profile.problems(), [])
        self.assertGreater(profile.cumulative()['crowd'], used - 0.05 * NS)
        self.assertGreater(used, 0.5 * NS)
        self.assert_complete(profile)

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


def cpu_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        words = file.read().rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) * NS // os.sysconf('SC_CLK_TCK')


if __name__ == '__main__':
    unittest.main()
