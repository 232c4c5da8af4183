"""libhone.a in a static program, libhone.so linked by name: recorded by the same command."""

import os
import shutil
import subprocess
import unittest

import harness
from harness import BUILD, HONE

PROGRAM = r'''
#include <hone/hone.h>
#include <pthread.h>
#include <stdio.h>
static void *in_thread(void *work)
{
    volatile unsigned long *sum = work;
    for (unsigned long i = 0; i < 400000000; i++)
        *sum += i;
    return work;
}
int main(void)
{
    unsigned long first = 0, second = 0;
    pthread_t thread;
    printf("recording %d, version %s\n", hone_recording(), hone_version());
    if (pthread_create(&thread, NULL, in_thread, &first))
        return 1;
    in_thread(&second);
    pthread_join(thread, NULL);
    return first == second ? 5 : 6;
}
'''


class Linked(harness.TestCase):
    def build(self, *arguments):
        source, program = os.path.join(self.tmp, 'main.c'), os.path.join(self.tmp, 'program')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(PROGRAM)
        include = os.path.join(os.path.dirname(__file__), '..', 'include')
        subprocess.run(['cc', '-g', '-O1', '-I', include, '-o', program, source, *arguments],
                       check=True, capture_output=True, timeout=60)
        return program

    def check(self, program, engine):
        plain = self.run_plain(program)
        self.assertEqual(plain.returncode, 5, plain.stderr)
        self.assertTrue(plain.stdout.startswith(b'recording 0, version '), plain.stdout)

        recording = self.record(program)
        self.assertEqual(recording.status, 5, recording.stderr)
        self.assertTrue(recording.stdout.startswith(b'recording 1, version '), recording.stdout)
        profile = recording.profile
        self.assertEqual(profile.problems(), [])
        self.assertTrue(any(f'engine: {engine},' in comment for comment in profile.comments),
                        profile.comments)
        self.assert_complete(profile)
        self.assertGreater(profile.cumulative()['in_thread'], 0.95 * profile.total())
        self.assertEqual(len({tuple(s.labels['tid']) for s in profile.samples if s.has('in_thread')}), 2)

    def test_static_program_with_libhone_a(self):
        archive = os.path.join(BUILD, 'libhone.a')
        program = self.build('-static', '-Wl,--whole-archive', archive, '-Wl,--no-whole-archive')
        # Without hooks an exec could be hit by a period's end in the kernel: user code only.
        self.check(program, 'perf-trap-user')

    def test_program_with_libhone_so_linked(self):
        program = self.build('-L', BUILD, '-lhone', f'-Wl,-rpath,{BUILD}')
        self.check(program, 'perf-trap')

    def test_static_program_without_it_is_recorded_from_outside(self):
        program = self.build('-static', '-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'),
                             '-Wl,--no-whole-archive')
        stripped = os.path.join(self.tmp, 'stripped')
        shutil.copy(program, stripped)
        subprocess.run(['objcopy', '--remove-section=.note.hone', stripped], check=True, timeout=60)
        done = self.run_plain(HONE, 'record', '-o', os.path.join(self.tmp, 'r'), stripped)
        self.assert_one_clear_line(done.stderr, 'statically', 'from outside')


if __name__ == '__main__':
    unittest.main()
