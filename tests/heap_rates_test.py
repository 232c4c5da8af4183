"""What changes while a program runs, and what other profilers can attach to."""

import ctypes
import os
import platform
import re
import struct
import subprocess
import unittest

import harness
from harness import BUILD, HONE
from heap_built import ARCHIVE, LIBRARY, Built
from heap_test import TestCase, by_function


class Rates(Built):
    """The rate of the samples, changed while the program runs."""
    PROGRAM = r'''
#include <hone/hone.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *volatile kept;
static void keep(long n)
{
    while (n--) {
        void **block = malloc(4096);
        *block = kept;
        kept = block;
    }
}
__attribute__((noinline)) void first(void) { keep(1000); }
__attribute__((noinline)) void second(void) { keep(1000); }
__attribute__((noinline)) void third(void) { keep(1000); }
__attribute__((noinline)) void soon(void) { keep(300); }
static void change(const char *hone, const char *how)
{
    char command[512];
    snprintf(command, sizeof command, "%s heap-rate %s %d", hone, how, getpid());
    if (system(command))
        exit(3);
}
int main(int argc, char **argv)
{
'''

    LIBRARY = PROGRAM.replace('int main(int argc, char **argv)\n{', '''
void inside(void)
{
    static int lock;
    int recording = hone_recording();
    first();
    int none = hone_heap_set_rate(0);
    second();
    int again = hone_heap_set_rate(HONE_HEAP_RATE_OF_RECORDING);
    soon();
    third();
    printf("%d %d %d %d %d\\n", recording, none, again, hone_mark("half"),
           hone_lock_name(&lock, "a lock"));
}''')

    SHARED = ('-L', BUILD, '-lhone', f'-Wl,-rpath,{BUILD}')

    def program(self, body, linked=SHARED):
        return self.build('program', self.PROGRAM + body + '}', *linked)

    def counts(self, recording):
        return [by_function(recording.heap, [name])[name].objects
                for name in ('first', 'second', 'third')]

    def test_from_inside(self):
        # With libhone.a inside, libhone.so is preloaded as well, and does the work; the program's
        # calls may be those that the loader finds first.
        for linked in (self.SHARED, ARCHIVE, (*ARCHIVE, '-rdynamic'),
                       (*ARCHIVE, '-static')):
            with self.subTest(linked=linked):
                program = self.program('''
    first();
    if (hone_heap_set_rate(0))
        return hone_recording();
    second();
    hone_heap_set_rate(HONE_HEAP_RATE_OF_RECORDING);
    soon();
    third();
    return 0;''', linked)
                self.assertEqual(self.run_plain(program).returncode, 0)
                recording = self.record_heap(program, size='1')
                self.assertEqual(self.counts(recording), [1000, 0, 1000])

    def test_other_calls_with_the_archive_inside(self):
        program = self.program('''
    static int lock;
    printf("%d %d %d\\n", hone_recording(), hone_mark("half"), hone_lock_name(&lock, "a lock"));
    return 0;''', ARCHIVE)
        self.assertEqual(self.run_plain(program).stdout, b'0 0 0\n')
        recording = self.record(program, options=('-t', 'heap,mutex'))
        self.assertEqual(recording.stdout, b'1 1 1\n')
        mark, = recording.session['marks']
        self.assertEqual((mark['name'], mark['pid']),
                         ('half', recording.session['processes'][0]['pid']))

    def test_a_library_with_the_archive_inside(self):
        # It is linked, or loaded later: then the loader finds the preloaded library's calls first.
        library = self.build('libinside.so', self.LIBRARY, '-shared', '-fPIC', *ARCHIVE)
        linked = self.build('linked', 'void inside(void);int main(void) { inside(); return 0; }', library,
                            f'-Wl,-rpath,{self.tmp}')
        loading = self.build('loading', f'''
#include <dlfcn.h>
int main(void)
{{
    void *library = dlopen("{library}", RTLD_NOW);
    ((void (*)(void))dlsym(library, "inside"))();
    return 0;
}}''')
        exporting = self.build('exporting', '#include <hone/hone.h>\nvoid inside(void);'
                               'int main(void) { inside(); return hone_recording() != 1; }', library,
                               f'-Wl,-rpath,{self.tmp}', '-rdynamic', *ARCHIVE)
        for program in (linked, loading, exporting):
            with self.subTest(program=program):
                recording = self.record(program, options=('-t', 'heap,mutex', '--heap-rate', '1'))
                self.assertEqual((recording.status, recording.stdout), (0, b'1 0 0 1 1\n'))
                self.assertEqual(len(recording.session['processes']), 1)
                self.assertEqual(self.counts(recording), [1000, 0, 1000])
                self.assertEqual([mark['name'] for mark in recording.session['marks']], ['half'])

    def test_from_outside(self):
        program = self.program('''
    first();
    change(argv[1], "0");
    second();
    change(argv[1], "1");
    soon();
    third();
    return 0;''')
        recording = self.record_heap(program, HONE, size='1')
        self.assertEqual(self.counts(recording), [1000, 0, 1000])

    def test_a_far_away_sample_does_not_keep_a_thread_from_noticing(self):
        program = self.program('''
    first();
    hone_heap_set_rate(4096);
    soon();
    second();
    third();
    return 0;''')
        recording = self.record_heap(program, size='1TiB')
        first, second, third = self.counts(recording)
        self.assertEqual(first, 0)
        # Each block is sampled with a chance of 63 %: fewer than a quarter have one of 1e-100.
        self.assertEqual((second > 250, third > 250), (True, True))
        self.assert_told(recording, 'the rate was changed', 'from 4096')

    def test_whoever_speaks_last_is_heard(self):
        program = self.program('''
    hone_heap_set_rate(0);
    first();
    change(argv[1], "2");
    soon();
    second();
    hone_heap_set_rate(0);
    third();
    return 0;''')
        recording = self.record_heap(program, HONE, size='1')
        self.assertEqual(self.counts(recording), [0, 1000, 0])

    def shown(self, view, recording, file=''):
        return subprocess.run([HONE, view, os.path.join(recording.directory, file)],
                              capture_output=True, check=True, timeout=60).stdout.decode()

    def assert_not_called_exact(self, recording, *said):
        for text in (self.shown('heap', recording), self.shown('info', recording, 'heap.prof'),
                     self.shown('leaks', recording)):
            for part in ('the rate was changed while it ran', *said):
                self.assertIn(part, text)
            self.assertNotIn('every block was counted', text)

    def test_where_it_was_switched_off_no_view_claims_every_block(self):
        said = 'what was allocated while it was 0 is not known'
        outside = self.program('first();change(argv[1], "0");second();return 0;')
        recording = self.record_heap(outside, HONE, size='1')
        self.assert_not_called_exact(recording, said)
        # What only blocks point to that nobody knows is no leak.
        self.assertIn('nothing that was found, but not every block is known',
                      self.shown('leaks', recording))
        inside = self.program('first();hone_heap_set_rate(0);second();return 0;')
        recording = self.record_heap(inside, size='1')
        self.assert_not_called_exact(recording, said)
        heap = recording.session['heap']
        self.assertEqual((heap['mode'], heap['rate_changes'], heap['rate_changes_to_0']),
                         ('mixed', 1, 1))

    def test_a_peak_of_a_part_says_so(self):
        recording = self.record_heap(self.program('''
    first();
    change(argv[1], "1");
    soon();
    second();
    return 0;'''), HONE, size='64KiB')
        shown = self.shown('heap', recording)
        self.assertRegex(shown, r'\npeak +\S+  of what was counted alone')
        self.assert_not_called_exact(recording, 'from 1 to 65536 bytes')
        self.assertEqual(recording.session['heap']['rate_changes'], 1)

    def test_the_same_rate_again_is_no_change(self):
        recording = self.record_heap(self.program('''
    hone_heap_set_rate(1);
    change(argv[1], "1");
    first();
    return 0;'''), HONE, size='1')
        self.assertEqual(recording.session['heap']['rate_changes'], 0)
        self.assertIn('Exact: every block was counted', self.shown('heap', recording))

    def test_what_cannot_be_changed(self):
        def refused(*arguments):
            done = subprocess.run([HONE, 'heap-rate', *arguments], capture_output=True, timeout=60)
            return done.returncode, done.stderr.decode()

        status, text = refused('64KiB', str(os.getpid()))
        self.assertEqual(status, 1)
        self.assertIn('not being recorded', text)
        self.assertEqual(refused('64KiB')[0], 2)
        if not os.access('/proc/1/environ', os.R_OK):
            self.assertIn("cannot look into process 1, which is another user's or protected",
                          refused('64KiB', '1')[1])
        self.assertEqual(refused('much', '1')[0], 2)
        self.assertEqual(refused('64KiB', 'x')[0], 2)
        status, text = refused('64KiB', '4194305')
        self.assertEqual(status, 1)
        self.assertIn('no such process', text)
        recording = self.record(self.program('change(argv[1], "0");'), HONE,
                                options=('-t', 'cpu'))
        self.assertEqual(recording.status, 3)
        self.assertIn(b'is not one of the heap', recording.stderr)


def uprobe_type():
    try:
        with open('/sys/bus/event_source/devices/uprobe/type', encoding='ascii') as file:
            return int(file.read())
    except OSError:
        return None


class Probes(TestCase):
    """USDT: what other profilers attach to."""
    LIBRARY = os.path.join(BUILD, 'libhone.so')

    def notes(self):
        text = subprocess.run(['readelf', '-nW', self.LIBRARY], capture_output=True, check=True,
                              text=True).stdout
        found = {}
        for note in re.finditer(r'Provider: (\S+)\s+Name: (\S+)\s+Location: (\S+), Base: \S+, '
                                r'Semaphore: (\S+)\s+Arguments: ([^\n]*)', text):
            provider, name, location, semaphore, arguments = note.groups()
            found[f'{provider}:{name}'] = (int(location, 16), int(semaphore, 16),
                                           arguments.split())
        return found

    def test_they_are_described(self):
        notes = self.notes()
        self.assertEqual(sorted(notes), ['otel_memory:alloc', 'otel_memory:free'])
        self.assertEqual([len(notes[name][2]) for name in sorted(notes)], [3, 1])
        for location, semaphore, arguments in notes.values():
            self.assertTrue(location and semaphore)
            self.assertTrue(all(a.startswith('8@') for a in arguments), arguments)

    def offset(self, address):
        """In the file, as uprobes want it."""
        text = subprocess.run(['readelf', '-lW', self.LIBRARY], capture_output=True, check=True,
                              text=True).stdout
        for load in re.finditer(r'LOAD\s+(\S+) (\S+) \S+ (\S+)', text):
            at, low, size = (int(word, 16) for word in load.groups())
            if low <= address < low + size:
                return address - low + at
        self.fail(f'{address:#x} is in no segment')

    def count(self, name):
        """Opens a counter of a probe for each CPU: their descriptors."""
        location, semaphore, _ = self.notes()[name]
        path = ctypes.create_string_buffer(os.path.realpath(self.LIBRARY).encode())
        attributes = struct.pack('=IIQQQQQIIQQ', uprobe_type(), 72, self.offset(semaphore) << 32,
                                 0, 0, 0, 0, 0, 0, ctypes.addressof(path), self.offset(location))
        number = {'x86_64': 298, 'aarch64': 241}[platform.machine()]
        descriptors = []
        for cpu in range(os.cpu_count()):
            fd = ctypes.CDLL(None, use_errno=True).syscall(
                number, ctypes.c_char_p(attributes), -1, cpu, -1, ctypes.c_ulong(8))
            if fd < 0:
                self.skipTest(f'no uprobes here: {os.strerror(ctypes.get_errno())}')
            self.addCleanup(os.close, fd)
            descriptors.append(fd)
        return descriptors

    @unittest.skipUnless(uprobe_type() is not None, 'the kernel has no uprobes')
    def test_they_fire_for_each_sample(self):
        counters = {name: self.count(f'otel_memory:{name}') for name in ('alloc', 'free')}
        recording = self.record_heap(harness.workload('heap'), size='16KiB')
        fired = {name: sum(struct.unpack('=Q', os.read(fd, 8))[0] for fd in fds)
                 for name, fds in counters.items()}
        process = recording.session['heap']['processes'][0]
        self.assertGreater(process['samples'], 100)
        # Another recording on this machine may fire, too.
        self.assertGreaterEqual(fired['alloc'], process['samples'])
        self.assertGreaterEqual(fired['free'], process['freed'])
        self.assertGreater(process['freed'], 10)


if __name__ == '__main__':
    unittest.main()
