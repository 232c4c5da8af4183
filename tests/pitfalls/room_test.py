"""Pitfalls: programs that count their memory, lock it, or leave a core.
"""

import os
import resource
import subprocess
import sys
import unittest

import harness
from harness import workload

KIB, MB = 1024, 1000000


def room(done):
    return {name.decode(): int(kb) * KIB for name, kb in (line.split() for line in done.stdout.splitlines())}


class Room(harness.TestCase):
    """What a recording takes of a program's room."""

    def both(self, *program, options=(), **run):
        alone = self.run_plain(*program, **run)
        self.assertEqual(alone.returncode, 0, alone.stderr)
        recording = self.record(*program, options=options, **run)
        self.assertEqual(recording.status, 0, recording.stderr)
        return alone, recording

    def test_address_space(self):
        for options, most in (((), 16 * MB), (('-t', 'all'), 20 * MB), (('-t', 'heap'), 16 * MB)):
            with self.subTest(options=options):
                alone, recording = self.both(workload('room'), 'size', options=options)
                added = room(recording)['VmPeak'] - room(alone)['VmPeak']
                self.assertLess(added, most)

    def test_a_limit_of_its_own_leaves_the_program_what_it_needs(self):
        _, recording = self.both(workload('room'), 'limit')
        self.assertEqual(recording.profile.problems(), [])
        self.assertGreater(recording.profile.cumulative()['in_thread'], 0)

    def test_locked_memory(self):
        alone = self.run_plain(workload('room'), 'lock')
        if alone.returncode:
            self.skipTest('may not lock that much')
        _, recording = self.both(workload('room'), 'lock')
        self.assertLess(room(recording)['VmRSS'] - room(alone)['VmRSS'], 8 * MB)
        self.assertGreater(recording.profile.total(), 0)

    @unittest.skipUnless(os.getuid() == 0, 'needs root to become somebody else')
    def test_who_may_lock_little_can_still_do_so(self):
        os.chmod(self.tmp, 0o777)
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        may = 8 << 20 # what the kernel grants unasked
        if 0 <= limit[1] < may:
            self.skipTest('may lock less')
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (may, limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_MEMLOCK, limit)
        for kind in ('lock', 'lock-forks'):
            with self.subTest(kind=kind):
                self.both(workload('room'), kind, user=65534, group=65534, extra_groups=[])

    def test_many_children_that_lock_all(self):
        if self.run_plain(workload('room'), 'lock').returncode:
            self.skipTest('may not lock that much')
        recording = self.record_well(workload('room'), 'lock-forks', stopwatch=True)
        self.assertLess(recording.usage.cpu_ns, 400000000)

    def test_a_core(self):
        with open('/proc/sys/kernel/core_pattern', encoding='ascii') as file:
            if file.read().strip() != 'core':
                self.skipTest('cores go elsewhere')
        core = os.path.join(self.tmp, 'core')
        def run(command):
            subprocess.run(['prlimit', '--core=unlimited', *command], cwd=self.tmp,
                           capture_output=True, timeout=60, check=False)
            size = os.stat(core).st_size
            os.remove(core)
            return size
        alone = run([workload('room'), 'abort'])
        directory = os.path.join(self.tmp, 'session')
        recorded = run([harness.HONE, 'record', '-o', directory, '--', workload('room'), 'abort'])
        self.assertGreater(harness.Profile.read(os.path.join(directory, 'cpu.prof')).total(), 0)
        self.assertLess(recorded - alone, 1 * MB)

    def test_long_streams_and_closed_descriptors(self):
        """More than a window's records at once, by a program that has closed all descriptors."""
        code = ('import os\n'
                'os.closerange(3, 70000)\n'
                'kept = []\n'
                'def grow(n):\n'
                '    kept.append(bytearray(100)) if n == 0 else grow(n - 1)\n'
                'for i in range(60000): grow(i % 200)\n'
                'print(sum("hone" in line and "rw-s" in line for line in open("/proc/self/maps")))\n')
        recording = self.record('env', 'PYTHONMALLOC=malloc', sys.executable, '-c', code,
                                options=('-t', 'heap', '--heap-rate', '64'))
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assertGreater(int(recording.stdout), 2)
        self.assertEqual(recording.heap.problems(), [])
        self.assertNotIn('lost', '\n'.join(recording.heap.comments))
        total = sum(s.values[0] for s in recording.heap.samples)
        self.assertGreater(total, 60000)


if __name__ == '__main__':
    unittest.main()
