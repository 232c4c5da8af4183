"""Pitfalls of profilers inside a process: processes that copy, replace and end themselves.

Every program here checks itself and says so by its output and status; several run at 10 000 Hz,
where a signal is always about to arrive. rows.py names the pitfalls.
"""

import unittest

import harness
from harness import NS, workload


class Fork(harness.TestCase):
    """Copies that take longer than the time between two signals; children that are not ours."""

    def check(self, how, number):
        recording = self.record(workload('forks'), 'storm', how, str(number), rate=10000)
        self.assertEqual((recording.status, recording.stdout),
                         (0, f'done {number}\n'.encode()), recording.stderr)
        self.assertEqual(recording.profile.problems(), [])

    def test_fork_storm(self):
        self.check('fork', 1000)

    def test_vfork_storm(self):
        self.check('vfork', 2000)

    def test_clone_storm(self):
        self.check('clone', 1000)

    def test_posix_spawn_storm(self):
        self.check('spawn', 400)

    def test_fork_of_a_process_with_much_memory_comes_to_its_end(self):
        # Copying the page tables of 400 MB takes far longer than 0.1 ms: a profiler whose signal
        # interrupts fork() makes it start again for ever.
        code = ('import os\nblock = bytearray(400 << 20)\n'
                'for i in range(0, len(block), 4096): block[i] = 1\n'
                'for _ in range(10):\n'
                '    pid = os.fork()\n'
                '    if pid == 0: os._exit(0)\n'
                '    assert os.waitpid(pid, 0)[1] == 0\n'
                'print("done")')
        recording = self.record('/usr/bin/python3', '-c', code, rate=10000, timeout=100)
        self.assertEqual((recording.status, recording.stdout), (0, b'done\n'), recording.stderr)


class Exec(harness.TestCase):
    def test_a_chain_of_execs_is_not_killed_by_a_late_signal(self):
        for rate in (1000, 10000):
            with self.subTest(rate=rate):
                recording = self.record(workload('forks'), 'chain', '400', rate=rate)
                self.assertEqual((recording.status, recording.stdout), (0, b'done 400\n'),
                                 recording.stderr)

    def test_exec_into_a_static_program(self):
        # Nothing of ours is in the new program: a signal would meet the default action.
        for _ in range(20):
            recording = self.record('sh', '-c', f'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; '
                                    f'exec {workload("static")} 7', rate=10000)
            self.assertEqual((recording.status, recording.stdout), (7, b'static\n'),
                             recording.stderr)

    def test_exec_from_a_thread_while_others_work(self):
        code = ('import os, threading, time\n'
                'for _ in range(4): threading.Thread(target=lambda: [sum(range(9999)) '
                'for _ in range(10**6)], daemon=True).start()\n'
                'time.sleep(0.1)\n'
                'threading.Thread(target=lambda: os.execv("/bin/echo", ["echo", "done"])).start()\n'
                'time.sleep(60)\n')
        for _ in range(10):
            recording = self.record('/usr/bin/python3', '-c', code, rate=10000)
            self.assertEqual((recording.status, recording.stdout), (0, b'done\n'),
                             recording.stderr)

    def test_an_emptied_environment_ends_the_recording_there_and_says_so(self):
        recording = self.record('env', '-i', workload('split'), 'functions', '300')
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertEqual(set(recording.truth), {'red', 'green', 'blue'})
        if recording.profile.total() < 0.25 * NS:
            text = '\n'.join(recording.profile.comments).lower()
            self.assertRegex(text, r'not covered|ld_preload|environment|could not be followed')
            self.assertNotIn('less cpu time than one period', text)


if __name__ == '__main__':
    unittest.main()
