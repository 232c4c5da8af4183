"""Programs with a sanitizer's runtime inside: they run as alone, and still find errors."""

import os
import subprocess

import harness
from harness import HONE


class Sanitized(harness.TestCase):
    SANITIZED = r"""
#include <stdlib.h>
int main(int argc, char **argv)
{
    volatile double x = 1;
    for (long i = 0; i < 50000000; i++)
        x *= 1.0000001;
    char *memory = malloc(10);
    free(memory);
    return argc > 1 ? memory[3] : 7;
}
"""

    def test_sanitized_programs_run_and_still_find_errors(self):
        source, program = os.path.join(self.tmp, 'sane.c'), os.path.join(self.tmp, 'sane')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(self.SANITIZED)
        if subprocess.run(['cc', '-g', '-w', '-fsanitize=address', '-o', program, source],
                          capture_output=True, check=False).returncode:
            self.skipTest('no AddressSanitizer for this compiler')
        # By itself and as the child of another program.
        for command in ([program], ['sh', '-c', f'{program}; exit $?']):
            recording = self.record(*command)
            self.assertEqual(recording.status, 7, recording.stderr)
            self.assertTrue(any(sample.count('main') for sample in recording.profile.samples),
                            recording.stderr)
        wrong = self.record(program, 'wrong')
        self.assertIn(b'heap-use-after-free', wrong.stderr)
        findings = subprocess.run([HONE, 'doctor', program], capture_output=True, text=True,
                                  check=False).stdout
        self.assertIn('libasan.so', findings)

    THREADS_SANITIZED = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int turns;
static void *work(void *unused)
{
    for (int i = 0; i < 200000; i++) {
        pthread_mutex_lock(&lock);
        turns++;
        pthread_mutex_unlock(&lock);
        free(malloc(64));
    }
    return unused;
}
int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("%d\n", turns);
    return 22;
}
"""

    def test_programs_with_thread_sanitizer_are_recorded_from_outside(self):
        source, program = os.path.join(self.tmp, 'sane.c'), os.path.join(self.tmp, 'sane')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(self.THREADS_SANITIZED)
        if subprocess.run(['cc', '-O1', '-g', '-fsanitize=thread', '-o', program, source, '-pthread'],
                          capture_output=True, check=False).returncode or \
                self.run_plain(program).returncode != 22:
            self.skipTest('no ThreadSanitizer here')
        told = self.run_plain(HONE, 'doctor', program).stdout.decode()
        self.assertIn('outside', told)
        self.assertNotIn('recorded with it', told)
        recording = self.record(program, options=('-t', 'cpu,heap'))
        self.assertEqual((recording.status, recording.stdout), (22, b'600000\n'), recording.stderr)
        self.assert_one_clear_line(recording.stderr, 'ThreadSanitizer', 'outside')
        self.assertTrue(any(sample.has('work') for sample in recording.profile.samples))
        for _ in range(4):
            child = self.record('sh', '-c', f'{program}; exit $?', options=('-t', 'all'), rate=5000)
            self.assertEqual((child.status, child.stdout), (22, b'600000\n'), child.stderr)
            self.assertIn('ThreadSanitizer', '\n'.join(child.profile.comments))
