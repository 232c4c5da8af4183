"""Growth: sites whose memory grows while a program runs, and those that are not to be accused."""

import gzip
import json
import os
import subprocess
import unittest

from harness import HONE
from heap_built import Built
from leaks_test import TestCase


def changes_over_time(sites, seconds, duration=0, pid=lambda second: 1, comments=()):
    """A heap-time.prof: bytes that a site takes in each second, and in which process."""
    strings, functions, locations, samples = [''], [], [], []

    def text(word):
        if word not in strings:
            strings.append(word)
        return strings.index(word)

    def number(value):
        value &= (1 << 64) - 1
        out = b''
        while value >= 0x80:
            out += bytes([value & 0x7f | 0x80])
            value >>= 7
        return out + bytes([value])

    def field(tag, value):
        return number(tag << 3) + number(value) if isinstance(value, int) else \
            number(tag << 3 | 2) + number(len(value)) + value
    types = field(1, field(1, text('inuse_objects')) + field(2, text('count'))) + \
        field(1, field(1, text('inuse_space')) + field(2, text('bytes')))
    for at, (name, change) in enumerate(sites.items(), 1):
        functions.append(field(5, field(1, at) + field(2, text(name))))
        locations.append(field(4, field(1, at) + field(4, field(1, at))))
        for second in range(1, seconds + 1):
            if change(second):
                samples.append(field(2, field(1, at) + field(2, 1) + field(2, change(second)) +
                                     field(3, field(1, text('time')) + field(3, second * 1000)) +
                                     field(3, field(1, text('pid')) + field(3, pid(second)))))
    comments = b''.join(field(13, text(comment)) for comment in comments)
    return gzip.compress(types + b''.join(samples + locations + functions) + comments +
                         b''.join(field(6, word.encode()) for word in strings) +
                         field(10, duration * 1000000000))


class Planted(Built):
    """Leaks of 1, 5 and 10 MB/s in a program that runs, beside a cache with a bound and a heap that
    shrinks. How much is leaked follows the clock, so the rates are what they are on any machine."""

    SOURCE = r'''
#include <stdlib.h>
#include <time.h>
enum { BLOCK = 64 << 10, CACHED = 400, AT_FIRST = 2000, SECONDS = 9 };
static void *volatile leaked;
static void *cache[CACHED], *shrinking[AT_FIRST];
static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}
#define LEAK(name, rate)                                                                           \
    __attribute__((noinline)) static void name(double passed)                                      \
    {                                                                                              \
        static double bytes;                                                                       \
        for (; bytes + BLOCK <= passed * (rate); bytes += BLOCK)                                   \
            leaked = malloc(BLOCK);                                                                \
        __asm__ volatile("" ::: "memory");                                                         \
    }
LEAK(leak_1, 1e6)
LEAK(leak_5, 5e6)
LEAK(leak_10, 10e6)
__attribute__((noinline)) static void cached(double passed)
{
    static long made;
    for (; made < passed * 400; made++) {
        free(cache[made % CACHED]);
        cache[made % CACHED] = malloc(BLOCK);
    }
}
__attribute__((noinline)) static void shrinks(double passed)
{
    static long freed;
    for (int i = 0; !passed && i < AT_FIRST; i++)
        shrinking[i] = malloc(BLOCK);
    for (; freed < passed * 150 && freed < AT_FIRST; freed++)
        free(shrinking[freed]);
}
int main(void)
{
    double begun = now();
    for (double passed = 0; passed < SECONDS; passed = now() - begun) {
        leak_1(passed);
        leak_5(passed);
        leak_10(passed);
        cached(passed);
        shrinks(passed);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return 0;
}'''
    RATES = {'leak_1': 1e6, 'leak_5': 5e6, 'leak_10': 10e6}

    def test_they_are_found_where_they_are_and_others_are_not_accused(self):
        """Counted, and sampled at a rate that leaves one block of 50 out: both at the same time."""
        program = self.build('planted', self.SOURCE)
        sessions = {rate: os.path.join(self.tmp, f'planted-{rate}') for rate in ('1', '16KiB')}
        running = [subprocess.Popen([HONE, 'record', '-q', '-t', 'heap', '--heap-rate', rate, '-o',
                                     session, '--', program])
                   for rate, session in sessions.items()]
        self.assertEqual([process.wait(timeout=120) for process in running], [0, 0])
        for rate, session in sessions.items():
            with self.subTest(rate=rate):
                done = subprocess.run([HONE, 'leaks', '--json', session], capture_output=True,
                                      check=True)
                found = {site['stack'][0]['function']: site
                         for site in json.loads(done.stdout)['growth']['sites']}
                self.assertEqual({name: site['verdict'] for name, site in found.items()},
                                 dict.fromkeys(self.RATES, 'fast'))
                for name, true in self.RATES.items():
                    self.assertAlmostEqual(found[name]['bytes_per_second'] / true, 1, delta=.2)


class Growth(TestCase):
    def judge(self, sites, seconds, **recording):
        path = os.path.join(self.tmp, 'heap-time.prof')
        with open(path, 'wb') as file:
            file.write(changes_over_time(sites, seconds, **recording))
        return self.show(path), json.loads(self.show('--json', path))['growth']

    def test_the_site_that_grows_is_told(self):
        text, growth = self.judge({
            'leaks': lambda second: 5_000_000,
            'fills': lambda second: 20_000_000 if second < 20 else 0,
            'shrinks': lambda second: 200_000_000 if second == 1 else -3_000_000,
            'collected': lambda second: -90_000_000 if second % 10 == 0 else 10_000_000}, 60)
        self.assertEqual([site['stack'][0]['function'] for site in growth['sites']], ['leaks'])
        self.assertEqual(growth['sites'][0]['verdict'], 'fast')
        self.assertEqual(growth['sites'][0]['bytes_per_second'], 5e6)
        self.assertIn('5.00 MB/s (5.00 to 5.00), fast: 286.10MB live', text)
        path = os.path.join(self.tmp, 'heap-time.prof')
        self.assertIn('5.00 MB/s', self.show('-threshold=280MB', path))
        text = self.show('-threshold=301MB', path)
        self.assertNotIn('5.00 MB/s', text)
        self.assertIn('Growth: 1 of 4 sites grow, below the threshold; ', text)

    def test_slow_growth_takes_long_to_tell(self):
        rate = {'leaks': lambda second: 100_000_000 // 3600}
        self.assertEqual(self.judge(rate, 900)[1]['sites'], [])
        _, growth = self.judge(rate, 3600)
        self.assertEqual([site['verdict'] for site in growth['sites']], ['slow'])

    def test_load_and_idle_is_steady(self):
        load = {'load': lambda second: 20_000_000}
        _, growth = self.judge(load, 60)
        self.assertEqual([site['verdict'] for site in growth['sites']], ['fast'])
        text, growth = self.judge(load, 60, duration=600)
        self.assertEqual(growth['sites'], [])
        self.assertEqual(growth['heap']['verdict'], 'steady')
        self.assertEqual(growth['heap']['bytes_per_second'], 0)
        self.assertIn('Growth: 0 of 1 sites grow; the whole heap by 0.00 MB/s', text)

    INTERVALS = ('# changes in intervals of 100 ms',)

    def test_moments_in_which_nothing_changed_count(self):
        """From the beginning of the recording to its end, of which the first fifth is left out."""
        for name, change in (('nothing', lambda second: 0),
                             ('a blip', lambda second: 1000 if second == 14 else 0),
                             ('one at the end', lambda second: 1000 if second == 20 else 0)):
            with self.subTest(name=name):
                text, growth = self.judge({'site': change}, 20, duration=20,
                                          comments=self.INTERVALS)
                self.assertEqual(growth['heap']['verdict'], 'steady')
                self.assertEqual(growth['heap']['bytes_per_second'], 0)
                self.assertAlmostEqual(growth['heap']['seconds'], 16, delta=.2)
                self.assertIn('the whole heap by 0.00 MB/s', text)

    def test_nothing_is_known_of_a_heap_that_nobody_saw(self):
        _, growth = self.judge({}, 20, duration=20, comments=(
            *self.INTERVALS, 'not covered: the heap of process 1 a: it has its own'))
        self.assertEqual(growth['heap']['verdict'], 'too short')

    def test_a_program_that_does_not_change_is_steady(self):
        program = os.path.join(self.tmp, 'flat')
        subprocess.run(['cc', '-x', 'c', '-', '-o', program], check=True, timeout=60, input=b'''
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    void *volatile block = malloc(1);
    free(block);
    return (int)sleep(7);
}''')
        recording = self.record(program, options=('-t', 'heap', '--heap-rate', '1', '--leaks', 'no'))
        growth = json.loads(self.show('--json', recording.directory))['growth']['heap']
        self.assertEqual(growth['verdict'], 'steady')
        self.assertGreater(growth['seconds'], 5)

    def test_what_is_undecided_is_not_acquitted(self):
        """It grows surely, by 0.9 MB/s, but so unevenly that it may be 1 MB/s."""
        def noise(second):
            return second * 7 % 11 * 700_000
        text, growth = self.judge({
            'grows': lambda second: 900_000 + noise(second) - noise(second - 1)}, 30)
        self.assertEqual(growth['heap']['verdict'], 'undecided')
        self.assertEqual((growth['sites'], growth['sites_undecided']), ([], 1))
        self.assertGreater(growth['heap']['low'], 0)
        self.assertGreater(growth['heap']['high'], 1e6)
        self.assertIn('Growth: 0 of 1 sites grow, 1 undecided; the whole heap by ', text)
        self.assertIn('), undecided\n', text)
        self.assertIn('how fast, a longer recording would tell', text)

    def test_what_ended_processes_left_is_no_growth(self):
        left = {'sort': lambda second: 5_000_000}
        text, growth = self.judge(left, 60, pid=lambda second: 100 + second)
        self.assertEqual(growth['sites'], [])
        self.assertEqual(growth['processes'], 60)
        self.assertEqual(growth['heap']['verdict'], 'several processes')
        self.assertIsNone(growth['heap']['bytes_per_second'])
        self.assertIn('0 of 1 sites grow; each of 60 processes is judged on its own', text)

    def test_short_windows_have_no_verdict(self):
        text, growth = self.judge({'leaks': lambda second: 50_000_000}, 5)
        self.assertEqual(growth['heap']['verdict'], 'too short')
        self.assertIn('Growth: cannot tell', text)


if __name__ == '__main__':
    unittest.main()
