"""Leaks: what nothing points to at a program's end, against what the program knows and what
LeakSanitizer finds in it."""

import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections import namedtuple

import harness
from harness import HONE, workload
from heap_built import ARCHIVE
from pprof import Profile

Found = namedtuple('Found', 'objects bytes')
NOTHING = Found(0, 0)
REACHES = ('unreachable', 'indirect', 'reachable', 'mapped')


def found_in(profile):
    """Objects and bytes by reach."""
    found = dict.fromkeys(REACHES, NOTHING)
    for sample in profile.samples:
        reach = sample.labels['reach'][0]
        objects, size, kept, kept_size = sample.values
        before = found[reach]
        found[reach] = Found(before.objects + objects + kept, before.bytes + size + kept_size)
    return found


def leaked(found):
    return Found(found['unreachable'].objects + found['indirect'].objects,
                 found['unreachable'].bytes + found['indirect'].bytes)


def lsan(program, *arguments, preload=False):
    """What LeakSanitizer says of a program: (objects, bytes) in all, and the objects that are
    leaked directly. Its report goes to a file, for some programs close stderr before it."""
    log = os.path.join(harness.BUILD, f'lsan-{os.getpid()}')
    environment = dict(os.environ, LSAN_OPTIONS=f'exitcode=0:log_path={log}')
    if preload:
        environment['LD_PRELOAD'] = preload
    done = subprocess.run([program, *arguments], env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False)
    report = ''
    for name in os.listdir(harness.BUILD):
        if name.startswith(os.path.basename(log) + '.'):
            path = os.path.join(harness.BUILD, name)
            with open(path, encoding='utf-8', errors='replace') as file:
                report += file.read()
            os.unlink(path)
    if done.returncode < 0 or 'FATAL' in report:
        raise unittest.SkipTest(f'LeakSanitizer does not run here: {done.returncode} {report[:200]}')
    whole = re.findall(r'SUMMARY: LeakSanitizer: (\d+) byte\(s\) leaked in (\d+)', report)
    direct = re.findall(r'Direct leak of \d+ byte\(s\) in (\d+)', report)
    return (Found(int(whole[0][1]), int(whole[0][0])) if whole else NOTHING,
            sum(int(objects) for objects in direct))


class TestCase(harness.TestCase):
    def record_leaks(self, *program, options=('--heap-rate', '1'), **run):
        recording = self.record(*program, options=('-t', 'heap', *options), **run)
        profile = Profile.read(os.path.join(recording.directory, 'leaks.prof'))
        self.assertEqual(profile.problems(), [])
        return recording, profile

    def show(self, *arguments, status=0):
        done = subprocess.run([HONE, 'leaks', *arguments], capture_output=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return done.stdout.decode()


EVENT_LOOP = r'''
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
struct loop {
    int fd, turns;
    struct epoll_event *events;
};
static void *run(void *unused)
{
    struct loop *loop = calloc(1, sizeof *loop);
    loop->fd = epoll_create1(0);
    loop->events = malloc(64 * sizeof *loop->events);
    for (;;) {
        loop->turns += epoll_wait(loop->fd, loop->events, 64, -1);
        write(2, "ended\n", 6);
    }
    return unused;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    usleep(100000);
    puts("done");
    return 7;
}
'''

# A block of each of 2^17 stacks, none of which is kept.
MANY_STACKS = r'''
#include <stdlib.h>
static void *volatile last;
void one(int depth, unsigned way);
void other(int depth, unsigned way);
#define STEP(name)                                                                                 \
    __attribute__((noinline)) void name(int depth, unsigned way)                                   \
    {                                                                                              \
        if (!depth)                                                                                \
            last = malloc(24);                                                                     \
        else if (way & 1)                                                                          \
            one(depth - 1, way >> 1);                                                              \
        else                                                                                       \
            other(depth - 1, way >> 1);                                                            \
        __asm__ volatile("" ::: "memory");                                                         \
    }
STEP(one)
STEP(other)
int main(void)
{
    for (unsigned way = 0; way < 1u << 17; way++)
        one(17, way);
    last = NULL;
    return 0;
}
'''


# Leaks that LeakSanitizer finds, too: then it ends the program itself.
SANITIZED = r'''
#include <stdlib.h>
static void lose(int depth)
{
    void *volatile blocks[512];
    if (depth)
        lose(depth - 1);
    for (int i = 0; i < 9; i++)
        blocks[0] = malloc(99);
}
static void wipe(int depth)
{
    volatile char below[4096];
    for (int i = 0; i < 4096; i++)
        below[i] = 0;
    if (depth)
        wipe(depth - 1);
}
int main(void)
{
    lose(9);
    wipe(30);
}
'''


class Truth(TestCase):
    """To the block and the byte."""

    def test_leaks_are_those_that_the_program_made(self):
        for mode in ('plain', 'objects', 'threads', 'maps', 'clean'):
            with self.subTest(mode=mode):
                recording, profile = self.record_leaks(workload('leaks'), mode)
                self.assertEqual(recording.status, 3)
                truth = Found(*map(int, recording.stdout.split()))
                self.assertEqual(leaked(found_in(profile)), truth)

    def test_as_leak_sanitizer(self):
        if not os.path.exists(workload('leaks_lsan')):
            self.skipTest('the compiler has no LeakSanitizer')
        for mode in ('plain', 'objects', 'threads', 'clean'):
            with self.subTest(mode=mode):
                expected, direct = lsan(workload('leaks_lsan'), mode)
                found = found_in(self.record_leaks(workload('leaks'), mode)[1])
                self.assertEqual(leaked(found), expected)
                self.assertEqual(found['unreachable'].objects, direct)

    def test_memory_that_the_program_mapped_is_told_apart(self):
        found = found_in(self.record_leaks(workload('leaks'), 'maps')[1])
        self.assertEqual(found['mapped'], Found(2, 64))
        self.assertEqual(found['unreachable'], Found(2, 100))

    def test_real_programs(self):
        """Debian's, whose leaks LeakSanitizer finds, too."""
        library = '/usr/lib/x86_64-linux-gnu/liblsan.so.0'
        if not os.path.exists(library):
            self.skipTest('no LeakSanitizer to preload')
        for program in (('/usr/bin/sort', '/etc/passwd'),
                        ('/usr/bin/tar', 'cf', '/dev/null', '/etc/passwd')):
            with self.subTest(program=program):
                expected, _ = lsan(*program, preload=library)
                found = found_in(self.record_leaks(*program)[1])
                self.assertEqual(leaked(found), expected)

    def test_every_orderly_end_and_no_other(self):
        for how in ('return', 'exit', '_exit', 'exit_group'):
            recording, profile = self.record_leaks(workload('leaks'), 'plain', how)
            self.assertEqual(recording.status, 3)
            truth = Found(*map(int, recording.stdout.split()))
            self.assertEqual(leaked(found_in(profile)), truth, how)
        for how in ('quick_exit', 'kill'):
            recording, profile = self.record_leaks(workload('leaks'), 'plain', how)
            self.assertEqual(profile.samples, [])
            self.assertRegex('\n'.join(profile.comments),
                             r'it ended without exit\(\) or _exit\(\): by a signal, say, or by quick_exit\(\)')
        self.assertEqual(self.show('--fail-above', '0', recording.directory, status=1)
                         .count('Note: not covered'), 1)

    def test_a_program_that_exec_replaces_is_not_looked_through_and_that_is_said(self):
        recording, profile = self.record_leaks(
            sys.executable, '-c', 'import os, sys; os.execv(sys.argv[1], sys.argv[1:])',
            workload('leaks'), 'clean')
        note, = [comment for comment in profile.comments
                 if comment.startswith('not looked through: 1 program that execve()')]
        self.assertGreater(int(re.search(r'while (\d+) blocks', note)[1]), 100)
        self.assertEqual(recording.session['heap']['leaks']['processes_not'], 1)
        self.assertEqual(recording.session['heap']['leaks']['processes_looked_through'], 1)
        shown = self.show('--fail-above', '0', recording.directory)  # nor is it called a leak
        self.assertIn('nothing that was found, but not all was looked through', shown)
        self.assertIn('Note: ' + note, shown)

    def test_blocks_that_constructors_made_before_we_began_are_told(self):
        library, program = (os.path.join(self.tmp, name) for name in ('libearly.so', 'early'))
        for source, output, flags in (
                ('#include <stdlib.h>\nstatic void *volatile last;\n__attribute__((constructor)) '
                 'static void make(void) { for (int i = 0; i < 100; i++) last = malloc(900); '
                 'last = NULL; }\nvoid in_library(void) {}', library, ('-shared', '-fPIC')),
                ('void in_library(void);int main(void) { in_library(); return 0; }', program,
                 (library, f'-Wl,-rpath,{self.tmp}'))):
            subprocess.run(['cc', '-x', 'c', '-', '-x', 'none', *flags, '-o', output], check=True,
                           input=source.encode(), timeout=60)
        recording, profile = self.record_leaks(program)
        note, = [c for c in profile.comments if c.startswith('not known: leaks of ')]
        blocks, size = map(int, re.match(r'not known: leaks of (\d+) blocks of (\d+) bytes, made '
                                         'before Hone began', note).groups())
        self.assertGreaterEqual(blocks, 100)
        self.assertGreaterEqual(size, 90000)
        shown = self.show('--fail-above', '0', recording.directory)
        self.assertIn('nothing that was found, but not every block is known', shown)
        self.assertIn('Note: ' + note, shown)
        heap = subprocess.run([HONE, 'heap', recording.directory], capture_output=True, check=True,
                              timeout=60).stdout.decode()
        self.assertIn(f'every block was counted, but for {blocks} made before Hone began\n', heap)

    def test_one_that_still_runs_was_not_ended_by_a_signal(self):
        recording, profile = self.record_leaks(
            'sh', '-c', '(sleep 1; exit 0) <&- >&- 2>&- & exit 0')
        self.assertGreaterEqual(recording.session['processes_left_running'], 1)
        reasons = [c for c in profile.comments if c.startswith('not covered: leaks of')]
        self.assertNotEqual(reasons, [])
        for reason in reasons:
            self.assertIn('it still ran when the recording ended', reason)

    def build(self, name, source, *flags):
        program = os.path.join(self.tmp, name)
        made = subprocess.run(['cc', '-x', 'c', '-', *flags, '-o', program], capture_output=True,
                              input=source.encode(), timeout=60, check=False)
        return program if made.returncode == 0 else None

    def test_what_a_sanitizer_ends_says_so(self):
        program = self.build('sanitized', SANITIZED, '-fsanitize=address')
        if not program:
            self.skipTest('the compiler has no AddressSanitizer')
        environment = dict(os.environ, ASAN_OPTIONS='verify_asan_link_order=0:detect_leaks=1')
        recording, profile = self.record_leaks(program, env=environment)
        if b'SUMMARY: AddressSanitizer: ' not in recording.stderr:
            self.skipTest('LeakSanitizer does not run here')
        reason, = [c for c in profile.comments if c.startswith('not covered: leaks of')]
        self.assertIn('a sanitizer ends it by an exit of its own', reason)

    def test_static_programs(self):
        program, inside = os.path.join(self.tmp, 'static'), ARCHIVE
        made = os.path.join(harness.BUILD, 'workloads', 'leaks.p', 'leaks.cpp.o')
        subprocess.run(['g++', made, '-o', program, '-static', *inside, '-lpthread'], check=True,
                       timeout=60)
        for mode, how in (('plain', 'return'), ('plain', 'exit'), ('plain', '_exit'),
                          ('plain', 'exit_group'), ('objects', 'return'), ('threads', 'return'), ('maps', 'return'),
                          ('clean', 'return')):
            with self.subTest(mode=mode, how=how):
                recording, profile = self.record_leaks(program, mode, how)
                self.assertEqual(recording.status, 3)
                truth = Found(*map(int, recording.stdout.split()))
                self.assertEqual(leaked(found_in(profile)), truth)
        _, profile = self.record_leaks(program, 'forks')
        self.assertEqual(leaked(found_in(profile)), Found(2 + 4, 2 * 70 + 4 * 90))

    def test_static_programs_with_sampled_blocks(self):
        program, inside = os.path.join(self.tmp, 'static'), ARCHIVE
        made = os.path.join(harness.BUILD, 'workloads', 'leaks.p', 'leaks.cpp.o')
        subprocess.run(['g++', made, '-o', program, '-static', *inside, '-lpthread'], check=True,
                       timeout=60)
        _, profile = self.record_leaks(program, 'plain',
                                       options=('--leaks', 'yes', '--heap-rate', '10000'))
        self.assertGreaterEqual(leaked(found_in(profile)).bytes, 900000)

    def test_forked_children_have_leaks_of_their_own(self):
        _, profile = self.record_leaks(workload('leaks'), 'forks')
        self.assertEqual(leaked(found_in(profile)), Found(2 + 4, 2 * 70 + 4 * 90))

    def test_sampled_blocks(self):
        recording, profile = self.record_leaks(workload('leaks'), 'plain',
                                               options=('--leaks', 'yes', '--heap-rate', '10000'))
        found = leaked(found_in(profile))
        # Of 300 000 bytes each: sampled for sure.
        self.assertGreaterEqual(found.objects, 3)
        self.assertGreaterEqual(found.bytes, 900000)
        self.assertIn('only sampled blocks are known', self.show(recording.directory))

    def test_many_that_end_at_once_are_all_looked_through(self):
        """More than there are places to wait at: the others wait for one."""
        source, program = (os.path.join(self.tmp, name) for name in ('crowd.c', 'crowd'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write(r'''
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int gate[2];
    char go;
    if (pipe(gate))
        return 1;
    for (int i = 0; i < 150; i++)
        if (fork() == 0) {
            *(void *volatile *)malloc(1000) = NULL;
            close(gate[1]);
            return (int)read(gate[0], &go, 1); // until all are there
        }
    close(gate[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}''')
        subprocess.run(['gcc', '-O1', source, '-o', program], check=True)
        recording, profile = self.record_leaks(program)
        self.assertEqual([c for c in profile.comments if c.startswith('not covered')], [])
        found = leaked(found_in(profile))
        self.assertEqual((found.objects, found.bytes), (150, 150000), self.show(recording.directory))

    def test_what_falls_back_to_sampling_says_why(self):
        for limit in '-v 2000000', '-d 2000000':
            with self.subTest(limit=limit):
                recording, _ = self.record_leaks('sh', '-c', f'ulimit {limit}; exec "$@"', 'sh',
                                                 workload('leaks'), 'plain')
                shown = self.show(recording.directory)
                self.assertIn('only sampled blocks are known', shown)
                self.assertIn('memory is limited, and counting every block takes much of it '
                              '(ulimit -v, ulimit -d)', shown)
                self.assertNotIn('--heap-rate 1', shown)

    def test_what_is_lost_is_not_called_counted(self):
        """More stacks than there is room for: some blocks are lost, and nobody says otherwise."""
        source, program = (os.path.join(self.tmp, name) for name in ('many.c', 'many'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write(MANY_STACKS)
        subprocess.run(['cc', '-O1', source, '-o', program], check=True, timeout=60)
        recording, profile = self.record_leaks(program,
                                               options=('--heap-rate', '1', '--memory', '4MiB'))
        lost = [re.match(r'lost: (\d+) allocations: those of them that leaked', comment)
                for comment in profile.comments]
        lost, = [int(found[1]) for found in lost if found]
        self.assertEqual(leaked(found_in(profile)).objects + lost, 1 << 17)
        self.assertIn(f'Note: lost: {lost} allocations', self.show(recording.directory))
        heap = subprocess.run([HONE, 'heap', recording.directory], capture_output=True, check=True,
                              timeout=60).stdout.decode()
        self.assertIn('Exact: every block was counted, but for what was lost\n', heap)
        self.assertIn(f'{lost} records', heap)
        self.assertIn('exact, but for what was lost', self.info(recording))

    def info(self, recording):
        heap = os.path.join(recording.directory, 'heap.prof')
        return subprocess.run([HONE, 'info', heap], capture_output=True, check=True,
                              timeout=60).stdout.decode()

    def test_one_that_allocates_nothing_does_not_fall_back(self):
        recording, _ = self.record_leaks('true')
        self.assertNotIn('sampled', self.show(recording.directory))

    def test_looked_for_only_when_asked(self):
        for options, there in ((('--heap-rate', '1', '--leaks', 'no'), False),
                               (('--heap-rate', '1MiB'), False), (('--heap-rate', '1'), True)):
            recording = self.record(workload('leaks'), 'plain', options=('-t', 'heap', *options))
            self.assertEqual(os.path.exists(os.path.join(recording.directory, 'leaks.prof')), there)


# Keeps blocks by memory that it mapped itself, in a part of which threads have their stacks. The last
# one is pointed to by what was the stack of a thread that has ended.
BESIDE_STACKS = r'''
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
enum { MAPPED = 4 << 20, STACK = 256 << 10 };
static pthread_barrier_t ready;
static void *wait(void *unused)
{
    pthread_barrier_wait(&ready);
    for (;;)
        pause();
    return unused;
}
static void *end(void *unused)
{
    return unused;
}
static char *map(void) // apart from others
{
    char *at = mmap(NULL, MAPPED + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(at + MAPPED, 4096, PROT_NONE);
    return at;
}
static pthread_t start(char *stack, void *(*routine)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, STACK);
    pthread_create(&thread, &attributes, routine, NULL);
    return thread;
}
__attribute__((noinline)) static void keep(char *at, size_t size)
{
    *(void **)at = malloc(size);
}
__attribute__((noinline)) static void wipe(void)
{
    for (volatile char below[16384], *at = below; at < below + sizeof below; at++)
        *at = 0;
}
int main(void)
{
    pthread_barrier_init(&ready, NULL, 2);
    char *one = map(), *other = map(), *stack = one + MAPPED / 2, *last = other + MAPPED - STACK;
    start(stack, wait);
    pthread_barrier_wait(&ready);
    keep(one, 1001);
    keep(stack - 64, 1002);
    keep(stack + STACK + 8192, 1003);
    pthread_join(start(last, end), NULL);
    pthread_join(start(last - STACK, end), NULL);
    keep(other, 2001);
    keep(last - STACK - 64, 2002);
    keep(last + 64, 3001);
    wipe();
    return 0;
}
'''


class Stacks(TestCase):
    def kept(self, compiler, *arguments):
        source, program = (os.path.join(self.tmp, name) for name in ('beside.c', 'beside'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write(BESIDE_STACKS)
        subprocess.run([compiler, '-O1', '-g', '-pthread', source, '-o', program, *arguments],
                       check=True, timeout=60)
        _, profile = self.record_leaks(program)
        return {(sample.labels['reach'][0], sample.values[1] + sample.values[3])
                for sample in profile.samples if sample.has('keep')}

    MAPPED = {('mapped', size) for size in (1001, 1002, 1003, 2001, 2002)}

    def test_memory_beside_stacks_that_the_program_gave_is_no_stack(self):
        self.assertEqual(self.kept('cc'), self.MAPPED | {('unreachable', 3001)})

    def test_of_a_static_program(self):
        self.assertEqual(self.kept('cc', '-static', *ARCHIVE),
                         self.MAPPED | {('unreachable', 3001)})

    @unittest.skipUnless(shutil.which('musl-gcc'), 'musl-gcc is not installed')
    def test_of_musl(self):
        kept = self.kept('musl-gcc', '-static', *ARCHIVE)
        self.assertEqual(kept, self.MAPPED | {('unreachable', 3001)})


class Harmless(TestCase):
    def ends_when(self, number):
        """Starts a recording of a program of one second, sends hone a signal, and waits for the
        program's end."""
        directory = os.path.join(self.tmp, f'killed-{number}')
        hone = subprocess.Popen([HONE, 'record', '-q', '-t', 'heap', '--heap-rate', '1', '-o',
                                 directory, workload('leaks'), 'grow', 'return', '1'],
                                stdout=subprocess.PIPE)
        program = None
        while program is None:
            time.sleep(0.02)
            with open(f'/proc/{hone.pid}/task/{hone.pid}/children', encoding='utf-8') as file:
                for pid in file.read().split():
                    with open(f'/proc/{pid}/cmdline', 'rb') as command:
                        if command.read().startswith(workload('leaks').encode()):
                            program = int(pid)
        descriptor = os.pidfd_open(program)
        hone.send_signal(number)
        ready, _, _ = select.select([descriptor], [], [], 60)
        os.close(descriptor)
        hone.send_signal(signal.SIGCONT)
        hone.communicate(timeout=60)
        return bool(ready)

    def test_program_ends_when_hone_is_dead_or_stands(self):
        self.assertTrue(self.ends_when(signal.SIGKILL))
        self.assertTrue(self.ends_when(signal.SIGSTOP))

    def test_a_loop_that_has_its_data_in_a_register(self):
        """As event loops have it, compiled as they are: it waits for ever, and its block is known
        to nobody else."""
        source = os.path.join(self.tmp, 'loop.c')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(EVENT_LOOP)
        program = os.path.join(self.tmp, 'loop')
        self.assertEqual(self.run_plain('gcc', '-O2', '-g', '-pthread', source, '-o', program).returncode, 0)
        recording, profile = self.record_leaks(program)
        self.assertEqual((recording.status, recording.stdout), (7, b'done\n'))
        if platform.machine() == 'x86_64':  # elsewhere it is told that registers were not read
            self.assertEqual(leaked(found_in(profile)), NOTHING)
        else:
            self.assertIn('registers of 1 thread were not read', '\n'.join(profile.comments))

    def test_a_program_that_is_debugged_is_left_alone(self):
        if not shutil.which('strace'):
            self.skipTest('no strace')
        recording = self.record('strace', '-f', '-o', '/dev/null', workload('leaks'), 'plain',
                                options=('-t', 'heap', '--heap-rate', '1'))
        profile = Profile.read(os.path.join(recording.directory, 'leaks.prof'))
        self.assertEqual(recording.status, 3)
        self.assertEqual(recording.stdout.split()[0], b'41')
        self.assertIn('a debugger has it', '\n'.join(profile.comments))


    def test_a_large_reservation_does_not_delay_the_end(self):
        _, profile = self.record_leaks(sys.executable, '-c', '''
import mmap, os
mine = mmap.mmap(-1, 4 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
mine[3 << 40] = 1
os._exit(0)''')
        took, = [float(re.search(r'in ([0-9.]+) s', c)[1]) for c in profile.comments
                 if 'looked through' in c and c.startswith('# leaks')]
        self.assertLess(took, 2)

    def test_one_that_is_killed_while_it_is_looked_through(self):
        """Its parent, which is not hone, gets its status, and the recording ends."""
        source, program = (os.path.join(self.tmp, name) for name in ('many.c', 'many'))
        with open(source, 'w', encoding='utf-8') as file:
            file.write('#include <stdlib.h>\nvoid **all;\nint main(void) { all = calloc(3000000, 8);'
                       'for (int i = 0; i < 3000000; i++) all[i] = malloc(24); return 0; }\n')
        subprocess.run(['cc', '-O1', '-fno-builtin', source, '-o', program], check=True)
        directory = os.path.join(self.tmp, 'killed')
        with subprocess.Popen([HONE, 'record', '-q', '-t', 'heap', '--heap-rate', '1', '-o',
                               directory, 'sh', '-c', f'{program}; echo status $?'],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as hone:
            self.addCleanup(lambda: hone.poll() is None and hone.kill())
            killed, until = False, time.monotonic() + 60
            while not killed and time.monotonic() < until and hone.poll() is None:
                for name in filter(str.isdigit, os.listdir('/proc')):
                    try:
                        with open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as file:
                            words = file.read().rpartition(')')
                        same = os.readlink(f'/proc/{name}/exe') == program
                    except OSError:
                        continue
                    if same and words[2].split()[0] == 't':  # stopped by who traces it
                        os.kill(int(name), signal.SIGKILL)
                        killed = True
                time.sleep(0.002)
            self.assertTrue(killed, 'it was never seen to be looked through')
            out, err = hone.communicate(timeout=60)
        self.assertEqual((out, hone.returncode), (b'status 137\n', 0), err)


class View(TestCase):
    def test_worst_comes_first_and_known_ones_are_left_out(self):
        recording, _ = self.record_leaks(workload('leaks'), 'plain')
        text = self.show(recording.directory)
        self.assertTrue(text.startswith('Leaked: 880.60kB in 41 blocks at '), text)
        self.assertLess(text.index('878.91kB in 3 blocks, unreachable'),
                        text.index('1000B in 10 blocks, unreachable'))
        self.assertIn('      lose_blocks  leaks.cpp:', text)
        # Sentences are broken for terminals only.
        self.assertLessEqual(max(len(line) for line in text.splitlines()
                                 if not line.startswith(('Growth', 'Note'))), 80)
        path = os.path.join(self.tmp, 'known.txt')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('# known\nleak:^lose_blocks$\nleak:lose_*_free\n')
        text = self.show('--suppressions', path, recording.directory)
        self.assertTrue(text.startswith('Leaked: 256B in 8 blocks at '), text)
        self.assertIn('Suppressed: 879.88kB in 13 blocks by leak:^lose_blocks$', text)
        self.assertRegex(text, r'cannot tell, \d moments? in .* are needed\n')
        self.assertNotIn('1 moments', text)
        self.show('--fail-above', '256', '--suppressions', path, recording.directory)
        self.show('--fail-above', '255B', '--suppressions', path, recording.directory, status=1)

    def test_what_is_below_a_threshold_is_counted_and_not_listed(self):
        recording, _ = self.record_leaks(workload('leaks'), 'plain')
        text = self.show('--threshold', '1KiB', recording.directory)
        self.assertTrue(text.startswith('Leaked: 880.60kB in 41 blocks at 6 stacks\n'), text)
        self.assertIn('Below the threshold: 1.70kB in 38 blocks at 5 stacks', text)
        self.assertEqual(text.count(', unreachable'), 1)

    def test_json(self):
        recording, _ = self.record_leaks(workload('leaks'), 'plain')
        shown = json.loads(self.show('--json', recording.directory))
        self.assertEqual(shown['leaks']['leaked'], {'bytes': 901736, 'blocks': 41})
        rows = shown['leaks']['rows']
        self.assertEqual(sum(row['unreachable']['blocks'] for row in rows), 34)
        self.assertEqual(rows[0]['stack'][0]['function'], 'lose_blocks')
        self.assertEqual(shown['growth']['heap']['verdict'], 'too short')
        self.assertIsNone(shown['growth']['heap']['bytes_per_second'])

    def test_what_was_not_looked_through_is_not_nothing(self):
        recording, _ = self.record_leaks(sys.executable, '-c',
                                         'import os; os.kill(os.getpid(), 9)')
        shown = self.show(recording.directory)
        self.assertIn('Leaked: not known, no process was looked through at its end', shown)
        self.assertIn('by a signal', shown)
        self.assertNotIn(' 0 ', shown.split('Growth')[0])
        leaks = json.loads(self.show('--json', recording.directory))['leaks']
        self.assertIsNone(leaks['leaked'])
        self.assertIsNone(leaks['reachable'])
        self.show('--fail-above', '0', recording.directory, status=1)

    def test_what_is_no_profile_is_refused_in_the_words_of_other_views(self):
        said = [subprocess.run([HONE, view, '/etc/passwd'], capture_output=True, timeout=60,
                               check=False).stderr for view in ('leaks', 'heap')]
        self.assertEqual(*said)
        self.assertIn(b'a text in no format that is known', said[0])

    def test_json_counts_what_lies_below_the_threshold(self):
        recording, profile = self.record_leaks(workload('leaks'), 'plain')
        leaks = json.loads(self.show('--json', '--threshold', '1GiB', recording.directory))['leaks']
        self.assertEqual(leaks['rows'], [])
        below = leaks['below_threshold']
        self.assertEqual(Found(below['blocks'], below['bytes']), leaked(found_in(profile)))
        self.assertGreater(below['stacks'], 0)

    def test_status(self):
        recording, _ = self.record_leaks(workload('leaks'), 'clean')
        self.show('--fail-above', '0', recording.directory)
        self.show('--fail-above', 'much', recording.directory, status=2)
        self.show(os.path.join(recording.directory, 'heap.prof'), status=1)
        empty = os.path.join(self.tmp, 'empty')
        os.mkdir(empty)
        self.show(empty, status=1)
