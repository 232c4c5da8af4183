"""Allocations that do not reach a preloaded malloc() by themselves, and what changes while a program
runs: against what the programs counted."""

import ctypes
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import unittest

import harness
from harness import BUILD, HONE
from heap_test import TestCase, by_function
from pprof import Profile

SOURCES = os.path.join(os.path.dirname(__file__), '..')
FLAGS = ['-O2', '-g', '-fno-builtin', '-fno-optimize-sibling-calls', '-w']
X86 = platform.machine() == 'x86_64'

# Functions in a library, and a program that calls them. NAME is what the report calls them.
LIBRARY = r'''
#include <stdlib.h>
static void *volatile kept;
__attribute__((noinline)) void keep_in_library(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        void **block = malloc(size);
        *block = kept;
        kept = block;
    }
}
__attribute__((noinline)) void drop_in_library(long n, size_t size)
{
    for (long i = 0; i < n; i++)
        free(realloc(calloc(1, size), 2 * size));
}
'''
DEEPBIND = r'''
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    void *library = dlopen(argv[1], RTLD_DEEPBIND | (atoi(argv[2]) ? RTLD_NOW : RTLD_LAZY));
    if (!library)
        return puts(dlerror()), 1;
    void (*keep)(long, size_t) = dlsym(library, "keep_in_library");
    void (*drop)(long, size_t) = dlsym(library, "drop_in_library");
    keep(3000, 100);
    drop(2000, 50);
    puts("keep_in_library 3000 300000 3000 300000");
    puts("drop_in_library 4000 300000 0 0");
    return dlclose(library);
}
'''
# An allocator that is a few lines long: blocks of powers of two in lists.
ALLOCATOR = r'''
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
static struct block { struct block *next; size_t class; } *lists[48];
static char *room, *room_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static inline __attribute__((always_inline)) void *take(size_t size)
{
    size_t class = 5;
    while (((size_t)1 << class) < size + 16)
        class++;
    pthread_mutex_lock(&lock);
    struct block *block = lists[class];
    if (block)
        lists[class] = block->next;
    else {
        if ((size_t)(room_end - room) < (size_t)1 << class) {
            size_t bytes = (size_t)1 << (class > 22 ? class : 22);
            room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            room_end = room + bytes;
        }
        block = (struct block *)room;
        room += (size_t)1 << class;
    }
    block->class = class;
    pthread_mutex_unlock(&lock);
    return (char *)block + 16;
}
VISIBLE void *NAME(malloc)(size_t size) { return take(size); }
VISIBLE void NAME(free)(void *at)
{
    if (!at)
        return;
    struct block *block = (struct block *)((char *)at - 16);
    pthread_mutex_lock(&lock);
    block->next = lists[block->class];
    lists[block->class] = block;
    pthread_mutex_unlock(&lock);
}
VISIBLE void *NAME(calloc)(size_t n, size_t size)
{
    void *at = take(n * size);
    return memset(at, 0, n * size);
}
VISIBLE void *NAME(realloc)(void *at, size_t size)
{
    void *moved = take(size);
    if (at) {
        size_t had = ((size_t)1 << ((struct block *)((char *)at - 16))->class) - 16;
        memcpy(moved, at, had < size ? had : size);
        NAME(free)(at);
    }
    return moved;
}
'''
OWN_ALLOCATOR = '#include <pthread.h>\n#define VISIBLE __attribute__((noinline))\n' \
    '#define NAME(name) name\n' + ALLOCATOR
HIDDEN_ALLOCATOR = '#include <pthread.h>\n#define VISIBLE __attribute__((noinline, noclone, visibility("hidden")))\n' \
    '#define NAME(name) je_##name\n' + ALLOCATOR + r'''
#define malloc je_malloc
#define free je_free
#define calloc je_calloc
#define realloc je_realloc
const char *volatile says = "<jemalloc>: no, but it says so";
'''
CALLS = LIBRARY + r'''
#include <stdio.h>
int main(void)
{
    keep_in_library(3000, 100);
    drop_in_library(2000, 50);
    puts("keep_in_library 3000 300000 3000 300000");
    puts("drop_in_library 4000 300000 0 0");
    return 0;
}
'''
CALLS_LIBRARY = r'''
#include <stdio.h>
#include <stdlib.h>
void keep_in_library(long n, size_t size);
void drop_in_library(long n, size_t size);
int main(void)
{
    keep_in_library(3000, 100);
    drop_in_library(2000, 50);
    puts("keep_in_library 3000 300000 3000 300000");
    puts("drop_in_library 4000 300000 0 0");
    return 0;
}
'''


def shared(name):
    return subprocess.run(['gcc', f'-print-file-name=lib{name}.so'], capture_output=True,
                          check=True, text=True).stdout.strip()


class Built(TestCase):
    def build(self, name, source, *arguments, compiler='gcc'):
        suffix = '.cpp' if compiler == 'g++' else '.c'
        written, made = os.path.join(self.tmp, name + suffix), os.path.join(self.tmp, name)
        with open(written, 'w', encoding='utf-8') as file:
            file.write(source)
        done = subprocess.run([compiler, *FLAGS, written, '-o', made,
                               '-I', os.path.join(SOURCES, 'include'), *arguments],
                              capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors='replace'))
        return made

    def heap_linked_with(self, *arguments):
        made = os.path.join(self.tmp, 'heap')
        compiled = os.path.join(BUILD, 'workloads', 'heap.p', 'heap.cpp.o')
        subprocess.run(['g++', compiled, '-o', made, *arguments, '-lpthread'], check=True,
                       capture_output=True, timeout=120)
        return made

    def assert_counted(self, *program, **options):
        plain = self.run_plain(*program)
        self.assertEqual(plain.returncode, 0, plain.stderr)
        recording = self.record_heap(*program, size='1', **options)
        self.assertEqual(recording.stdout, plain.stdout)
        truth = self.truth(recording)
        self.assertGreater(len(truth), 1)
        self.assertEqual(by_function(recording.heap, truth), truth, recording.heap.comments)
        return recording

    def assert_told(self, recording, *words):
        comments = [c for c in recording.heap.comments if all(word in c for word in words)]
        self.assertEqual(len(comments), 1, recording.heap.comments)


class Imports(Built):
    """Modules whose import tables lead past a preloaded library."""

    def check_deepbind(self, now):
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC')
        self.assert_counted(self.build('program', DEEPBIND, '-ldl'), library, now)

    def test_a_library_that_looks_into_its_own_first(self):
        self.check_deepbind('1')

    def test_the_same_bound_at_the_first_call(self):
        self.check_deepbind('0')

    def test_the_same_beside_another_allocator(self):
        """The library's blocks are glibc's, the program's another one's."""
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC')
        program = self.build('program', DEEPBIND, '-ldl')
        self.assert_counted(program, library, '1', env={**os.environ, 'LD_PRELOAD': self.build(
            'own.so', OWN_ALLOCATOR, '-shared', '-fPIC')})

    def test_a_cxx_library_that_only_its_loader_sees(self):
        """Its runtime is in nobody else's scope: what it makes by `new` is aligned as asked for,
        and a size that cannot be had is an exception."""
        library = self.build('libcxx.so', r'''
#include <cstdint>
#include <new>
extern "C" int aligned(int n)
{
    int good = 0;
    for (int i = 0; i < n; i++) {
        void *block = ::operator new(100, std::align_val_t(256));
        good += reinterpret_cast<std::uintptr_t>(block) % 256 == 0;
        ::operator delete(block, std::align_val_t(256));
    }
    return good;
}
extern "C" int refused(std::size_t size)
{
    try {
        ::operator delete(::operator new(size));
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}
''', '-shared', '-fPIC', '-fno-builtin', compiler='g++')
        program = self.build('loader', r'''
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
    if (!library)
        return 9;
    int (*aligned)(int) = (int (*)(int))dlsym(library, "aligned");
    int (*refused)(unsigned long) = (int (*)(unsigned long))dlsym(library, "refused");
    printf("%d %d\n", aligned(1000), refused(1ul << 62));
    return 0;
}
''', '-ldl')
        for size in ('512KiB', '1'):
            with self.subTest(rate=size):
                recording = self.record_heap(program, library, size=size)
                self.assertEqual((recording.status, recording.stdout), (0, b'1000 1\n'))

    def test_sealed_pages_are_sealed_again(self):
        """What the loader has made read-only is so afterwards, and the program runs on."""
        source = DEEPBIND.replace('return dlclose(library);', r"""
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "library.so"))
            fprintf(stderr, "%.4s\n", strchr(line, ' ') + 1);
    return 0;""").replace('#include <stdio.h>', '#include <stdio.h>\n#include <string.h>')
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC', '-Wl,-z,relro,-z,now')
        program = self.build('program', source, '-ldl')
        plain = self.run_plain(program, library, '1')
        recording = self.record_heap(program, library, '1', size='1', options=('-q',))
        self.assertIn(b'r--p\nrw-p', plain.stderr)
        for what in (b'rw-p', b'r-xp', b'rwxp'):
            self.assertEqual(recording.stderr.count(what), plain.stderr.count(what))

    def test_attached_late(self):
        """Not preloaded but opened, when the program has run for a while."""
        source = r'''
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
''' + LIBRARY + r'''
int main(int argc, char **argv)
{
    if (argc == 2) {
        unsetenv("LD_PRELOAD");
        execl(argv[0], argv[0], argv[1], "again", NULL);
    }
    keep_in_library(100, 100);
    void *before = malloc(10000);
    if (!dlopen(argv[1], RTLD_NOW))
        return puts(dlerror()), 1;
    free(before);
    keep_in_library(3000, 100);
    drop_in_library(2000, 50);
    puts("keep_in_library 3000 300000 3000 300000");
    puts("drop_in_library 4000 300000 0 0");
    return 0;
}'''
        self.assert_counted(self.build('program', source, '-ldl'),
                            os.path.join(BUILD, 'libhone.so'))


# Blocks of each kind that an allocator may make by another of its functions.
KINDS = r"""
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
static void *volatile kept[8];
#define KIND(name, call) __attribute__((noinline)) void name(long n) \
{ for (long i = 0; i < n; i++) { void *at = 0; call; kept[i % 8] = at; } }
KIND(by_calloc, at = calloc(1, 100))
KIND(by_posix_memalign, if (posix_memalign(&at, 64, 100)) at = 0)
KIND(by_memalign, at = memalign(64, 100))
KIND(by_aligned_alloc, at = aligned_alloc(64, 128))
KIND(by_realloc, at = malloc(10); at = realloc(at, 5000))
int main(int argc, char **argv)
{
    long n = atol(argv[1]);
    by_calloc(n), by_posix_memalign(n), by_memalign(n), by_aligned_alloc(n), by_realloc(n);
    printf("by_calloc %ld %ld %ld %ld\n", n, n * 100, n, n * 100);
    printf("by_posix_memalign %ld %ld %ld %ld\n", n, n * 100, n, n * 100);
    printf("by_memalign %ld %ld %ld %ld\n", n, n * 100, n, n * 100);
    printf("by_aligned_alloc %ld %ld %ld %ld\n", n, n * 128, n, n * 128);
    printf("by_realloc %ld %ld %ld %ld\n", 2 * n, n * 5010, n, n * 5000);
    return 0;
}
"""
# The same allocator, where all go through its malloc() as others see it.
INNER_ALLOCATOR = OWN_ALLOCATOR.replace('NAME(calloc)', 'NAME(own_calloc)') \
    .replace('NAME(realloc)', 'NAME(own_realloc)') + r"""
#include <errno.h>
void *calloc(size_t n, size_t size) { return memset(malloc(n * size), 0, n * size); }
void *realloc(void *at, size_t size)
{
    void *moved = malloc(size);
    if (at) {
        size_t had = ((size_t)1 << ((struct block *)((char *)at - 16))->class) - 16;
        memcpy(moved, at, had < size ? had : size);
        free(at);
    }
    return moved;
}
void *aligned_alloc(size_t alignment, size_t size)
{
    char *at = malloc(size + alignment + 16);
    size_t over = (size_t)(at + 16) & (alignment - 1);
    struct block *own = (struct block *)(at - 16);
    at += 16 + (over ? alignment - over : 0);
    ((struct block *)(at - 16))->class = own->class;
    return at;
}
void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
int posix_memalign(void **ret, size_t alignment, size_t size)
{
    return (*ret = memalign(alignment, size)) ? 0 : ENOMEM;
}
"""


class Inner(Built):
    """Allocators that make one kind of block by another of their functions, which is hooked."""

    def check(self, program, **options):
        recording = self.assert_counted(program, '1000', **options)
        self.assertFalse([c for c in recording.heap.comments if c.startswith('lost: ')])
        hooks = [f.function for s in recording.heap.samples for f in s.stack
                 if 'due_' in f.function or f.function.startswith('inner_')]
        self.assertEqual(hooks, [])
        n = 50000
        sampled = self.record_heap(program, str(n), size='4KiB', **options)
        truth = self.truth(sampled)
        found = by_function(sampled.heap, truth)
        for name, tally in truth.items():
            # 1200 samples and more: one in 35, and five times that.
            self.assertAlmostEqual(found[name][1] / tally[1], 1, delta=0.15, msg=name)

    def test_one_that_is_preloaded(self):
        self.check(self.build('program', KINDS), env={**os.environ, 'LD_PRELOAD': self.build(
            'inner.so', INNER_ALLOCATOR, '-shared', '-fPIC')})

    @unittest.skipUnless(shutil.which('musl-gcc'), 'musl-gcc is not installed')
    def test_musl(self):
        self.check(self.build('program', KINDS, compiler='musl-gcc'))

    def test_the_ones_that_do_not(self):
        program = self.build('program', KINDS)
        for name in ('jemalloc', 'tcmalloc', 'mimalloc'):
            with self.subTest(allocator=name):
                self.check(program, env={**os.environ, 'LD_PRELOAD': shared(name)})


# Blocks of a size that no allocator has a class for; how many bytes they have.
ODD_BLOCKS = r'''
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    static void *volatile blocks[1000];
    size_t usable = 0;
    for (int i = 0; i < 1000; i++)
        usable += malloc_usable_size(blocks[i] = malloc(4097));
    return printf("%zu\n", usable) < 0;
}
'''


@unittest.skipUnless(X86, 'functions are changed on x86-64 only')
class Inside(Built):
    """Allocators that are linked into the program, where no import table leads to them."""

    def check(self, *arguments):
        recording = self.assert_counted(self.heap_linked_with(*arguments))
        self.assert_told(recording, 'allocator: ', self.tmp)
        program = self.build('odd', ODD_BLOCKS, *arguments, '-lstdc++', '-lm', '-lpthread')
        truth = int(self.run_plain(program).stdout)
        waste = self.waste(program)
        self.assertGreaterEqual(truth, 1000 * 4097)
        self.assertGreaterEqual(waste['usable_bytes'], truth)
        self.assertLess(waste['usable_bytes'], truth + (1 << 20))  # and what else was allocated

    def waste(self, program):
        heap = self.record_heap(program, size='1').session['heap']
        self.assertGreater(heap['allocated']['objects'], 0)
        return heap['waste']

    def test_waste_is_not_known_where_the_allocator_does_not_tell(self):
        self.assertIsNone(self.waste(self.build('program', OWN_ALLOCATOR + CALLS)))
        self.assertIsNone(self.waste(self.build('program', HIDDEN_ALLOCATOR + CALLS)))

    def test_jemalloc(self):
        self.check('-l:libjemalloc.a')

    def test_tcmalloc(self):
        self.check('-Wl,--whole-archive', '-l:libtcmalloc_minimal.a', '-Wl,--no-whole-archive')

    def test_one_of_the_program_itself(self):
        self.assert_counted(self.build('program', OWN_ALLOCATOR + CALLS))

    def test_the_same_under_names_of_its_own(self):
        self.assert_counted(self.build('program', HIDDEN_ALLOCATOR + CALLS))

    def test_without_symbols_it_is_named(self):
        program = self.build('program', HIDDEN_ALLOCATOR + CALLS, '-s')
        recording = self.record_heap(program, size='1')
        self.assert_told(recording, 'not covered: ', program, 'jemalloc inside')

    def test_in_a_library_that_binds_its_own(self):
        library = self.build('libown.so', OWN_ALLOCATOR + LIBRARY, '-shared', '-fPIC',
                             '-Wl,-Bsymbolic')
        program = self.build('program', CALLS_LIBRARY, library, f'-Wl,-rpath,{self.tmp}')
        self.assert_counted(program, env={**os.environ, 'LD_PRELOAD': shared('mimalloc')})
        # Where it is everybody's allocator, what it calls itself is not told from what others do.
        self.assert_told(self.record_heap(program, size='1'), 'not covered: ', 'bound inside')

    def test_a_loop_to_its_beginning_is_left_alone(self):
        """A function whose first instructions are jumped to cannot give them away: it works as it
        did, and the profile says so."""
        source = HIDDEN_ALLOCATOR.replace('VISIBLE void *NAME(malloc)(size_t size) { return '
                                          'take(size); }', r'''
void *take_it(size_t size) { return take(size); }
void *je_malloc(size_t size);
__asm__(".text\n.globl je_malloc\n.type je_malloc, @function\nje_malloc:\n"
        "  xor %eax, %eax\n1: inc %eax\n  cmp $3, %eax\n  jne 1b\n  jmp take_it\n"
        ".size je_malloc, . - je_malloc\n");''')
        program = self.build('program', source + CALLS)
        plain = self.run_plain(program)
        recording = self.record_heap(program, size='1')
        self.assertEqual(recording.stdout, plain.stdout)
        self.assert_told(recording, 'not covered: ', 'cannot be hooked safely')

    def test_callers_that_know_which_registers_it_uses(self):
        """A compiler keeps values over calls in registers that a function of the same file leaves
        alone, though others may change them, and does not align the stack for it."""
        source = r'''
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
static char room[1ul << 28];
static _Atomic size_t used;
__attribute__((noinline)) void *malloc(size_t size)
{
    return room + atomic_fetch_add(&used, (size + 31) & ~(size_t)15) + 16;
}
__attribute__((noinline)) void free(void *block)
{
    if (block)
        atomic_fetch_sub(&used, 0);
}
__attribute__((noinline)) void keep_all(long n)
{
    double a = n, b = a / 3, c = a / 7, d = a / 11;
    long e = n * 3, f = n * 5, g = n * 7, h = n * 11;
    for (long i = 0; i < n; i++) {
        char *block = malloc(100);
        block[i & 63] = 1;
        if (i & 1)
            free(block);
        a += b; b += c; c += d; d += a;
        e += f; f += g; g += h; h += e;
    }
    fprintf(stderr, "%.9g %.9g %.9g %.9g %ld %ld %ld %ld\n", a, b, c, d, e, f, g, h);
}
int main(void)
{
    keep_all(99);
    puts("keep_all 99 9900 50 5000\nnothing 0 0 0 0");
    return 0;
}'''
        program = self.build('program', source)
        code = subprocess.run(['objdump', '-d', '--no-show-raw-insn', program],
                              capture_output=True, check=True, text=True).stdout
        body = code[code.index('<keep_all>:'):]
        body = body[:body.index('\n\n')]
        self.assertRegex(body, r'%xmm\d', 'this compiler makes nothing of what it knows')
        plain = self.run_plain(program)
        for size in ('1', '1KiB'):
            recording = self.record_heap(program, size=size, options=('-q',))
            self.assertEqual(recording.stderr, plain.stderr)
        self.assert_counted(program)

    def test_samples_in_a_changed_function_are_its_own(self):
        """The CPU's samples in the copy of a function's beginning have whole stacks."""
        source = HIDDEN_ALLOCATOR + LIBRARY + r'''
int main(void)
{
    drop_in_library(6000000, 50);
    return 0;
}'''
        recording = self.record(self.build('program', source),
                                options=('-t', 'cpu,heap', '--heap-rate', '1GiB'))
        self.assertEqual(recording.status, 0, recording.stderr)
        self.assert_complete(recording.profile)

    def test_a_static_program_with_libhone_inside(self):
        recording = self.assert_counted(self.build(
            'program', CALLS, '-static', '-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'),
            '-Wl,--no-whole-archive'))
        self.assert_told(recording, 'allocator: ', self.tmp)

    def test_what_is_not_covered_is_not_nothing(self):
        made = self.build('program', CALLS, '-static', '-s', '-Wl,--whole-archive',
                          os.path.join(BUILD, 'libhone.a'), '-Wl,--no-whole-archive')
        recording = self.record_heap(made, size='1')
        heap = recording.session['heap']
        self.assertEqual([heap[key] for key in ('allocated', 'peak_bytes', 'temporary', 'waste')],
                         [None] * 4)
        shown = json.loads(subprocess.run([HONE, 'heap', '--json', recording.directory],
                                          capture_output=True, check=True).stdout)
        self.assertEqual([shown['exact'], shown['allocated'], shown['live']], [False, None, None])
        shown = subprocess.run([HONE, 'heap', recording.directory], capture_output=True,
                               check=True).stdout.decode()
        self.assertIn('no symbols', shown)
        self.assertNotIn('Exact', shown)
        self.assertNotRegex(shown, r'(?m)^(allocated|live|peak) +0')

    # Of the C++ library's operators, the compiler has split parts off.
    CXX = CALLS.replace('extern', 'extern "C"') \
        .replace('int main(void)\n{', r"""
#include <iostream>
__attribute__((noinline)) void by_new(long n)
{
    for (long i = 0; i < n; i++)
        kept = new int[20], delete[] new (std::nothrow) int[10];
}
int main()
{
    by_new(1000);
    puts("by_new 2000 120000 1000 80000");
    std::cout << std::flush;""") \
        .replace('void **block = malloc', 'void **block = (void **)malloc') \
        .replace('#include <stdlib.h>', '#include <new>\n#include <stdlib.h>', 1)

    def check_cxx(self, *arguments):
        recording = self.assert_counted(self.build('program', self.CXX, *arguments,
                                                   compiler='g++'))
        self.assertEqual([c for c in recording.heap.comments if c.startswith('not covered: ')], [])

    def test_a_static_program_of_streams_with_libhone_inside(self):
        self.check_cxx('-static', '-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'),
                       '-Wl,--no-whole-archive', '-pthread')

    def test_one_with_the_cxx_library_inside(self):
        self.check_cxx('-static-libstdc++')


class Allocators(Built):
    """Those that a program is linked with, or that are preloaded, as shared libraries."""

    def check(self, name):
        self.assert_counted(self.heap_linked_with('-l' + name))
        recording = self.assert_counted(harness.workload('heap'),
                                        env={**os.environ, 'LD_PRELOAD': shared(name)})
        self.assert_told(recording, 'allocator: ', name)

    def test_jemalloc(self):
        self.check('jemalloc')

    def test_tcmalloc(self):
        self.check('tcmalloc_minimal')

    def test_mimalloc(self):
        self.check('mimalloc')

    def test_jemalloc_by_its_own_calls(self):
        source = r'''
#include <jemalloc/jemalloc.h>
#include <stdio.h>
__attribute__((noinline)) void by_its_own(long n, size_t size)
{
    for (long i = 0; i < n; i++) {
        void *block = rallocx(mallocx(size, MALLOCX_ALIGN(64)), 2 * size, 0);
        if (i % 2)
            dallocx(block, 0);
        else if (i % 4)
            sdallocx(block, 2 * size, 0);
    }
}
int main(void)
{
    by_its_own(4000, 100);
    puts("by_its_own 8000 1200000 1000 200000");
    puts("nothing 0 0 0 0");
    return 0;
}'''
        self.assert_counted(self.build('program', source, '-ljemalloc'))


class Mappings(Built):
    SOURCE = r'''
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
enum { MB = 1 << 20 };
static char *map(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
__attribute__((noinline)) void keep_maps(void)
{
    for (int i = 0; i < 10; i++)
        map(3 * MB);
}
__attribute__((noinline)) void drop_maps(void)
{
    for (int i = 0; i < 10; i++)
        munmap(map(3 * MB), 3 * MB);
}
__attribute__((noinline)) void cut_maps(void)
{
    for (int i = 0; i < 10; i++) {
        char *at = map(4 * MB);
        munmap(at + 3 * MB, MB);
        munmap(at, MB);
        if (i % 2)
            munmap(at + MB, 2 * MB);
    }
}
__attribute__((noinline)) void grow_maps(void)
{
    mremap(map(MB), MB, 5 * MB, MREMAP_MAYMOVE);
}
__attribute__((noinline)) void replace_maps(void)
{
    mmap(map(2 * MB), 2 * MB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
__attribute__((noinline)) void fail_to_map(void)
{
    munmap(map(MB) + 1, MB);
}
int main(void)
{
    void *big = malloc(64 * MB);
    keep_maps();
    drop_maps();
    cut_maps();
    grow_maps();
    replace_maps();
    fail_to_map();
    puts("keep_maps 10 31457280 10 31457280");
    puts("drop_maps 10 31457280 0 0");
    puts("cut_maps 10 41943040 5 20971520");
    puts("grow_maps 2 6291456 1 5242880");
    puts("replace_maps 2 4194304 1 2097152");
    puts("fail_to_map 1 1048576 1 1048576");
    return big == NULL;
}'''

    def test_counted_where_asked_for(self):
        recording = self.assert_counted(self.build('program', self.SOURCE),
                                        options=('--heap-maps',))
        # The allocator's own are not: of the large block there is one.
        main_only = [s for s in recording.heap.samples if s.stack[0].function == 'main']
        self.assertEqual(sum(s.values[0] for s in main_only), 1)

    def test_not_counted_otherwise(self):
        recording = self.record_heap(self.build('program', self.SOURCE), size='1')
        self.assertFalse(any(s.has('keep_maps') for s in recording.heap.samples))


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

    SHARED = ('-L', BUILD, '-lhone', f'-Wl,-rpath,{BUILD}')
    ARCHIVE = ('-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'), '-Wl,--no-whole-archive')

    def program(self, body, linked=SHARED):
        return self.build('program', self.PROGRAM + body + '}', *linked)

    def counts(self, recording):
        return [by_function(recording.heap, [name])[name].objects
                for name in ('first', 'second', 'third')]

    def test_from_inside(self):
        # With libhone.a inside, libhone.so is preloaded as well, and does the work; the program's
        # calls may be those that the loader finds first.
        for linked in (self.SHARED, self.ARCHIVE, (*self.ARCHIVE, '-rdynamic'),
                       (*self.ARCHIVE, '-static')):
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
    return 0;''', self.ARCHIVE)
        self.assertEqual(self.run_plain(program).stdout, b'0 0 0\n')
        recording = self.record(program, options=('-t', 'heap,mutex'))
        self.assertEqual(recording.stdout, b'1 1 1\n')
        mark, = recording.session['marks']
        self.assertEqual((mark['name'], mark['pid']),
                         ('half', recording.session['processes'][0]['pid']))

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

    def test_what_cannot_be_changed(self):
        def refused(*arguments):
            done = subprocess.run([HONE, 'heap-rate', *arguments], capture_output=True, timeout=60)
            return done.returncode, done.stderr.decode()

        status, text = refused('64KiB', str(os.getpid()))
        self.assertEqual(status, 1)
        self.assertIn('not being recorded', text)
        self.assertEqual(refused('64KiB')[0], 2)
        self.assertEqual(refused('much', '1')[0], 2)
        self.assertEqual(refused('64KiB', 'x')[0], 2)
        status, text = refused('64KiB', '4194305')
        self.assertEqual(status, 1)
        self.assertIn('no such process', text)
        recording = self.record(self.program('change(argv[1], "0");'), HONE,
                                options=('-t', 'cpu'))
        self.assertEqual(recording.status, 3)
        self.assertIn(b'is not one of the heap', recording.stderr)


class Corners(Built):
    """Where other hooks of malloc() have crashed, hung or miscounted."""

    # Threads that allocate and end, one after the other; children that are forked while they do;
    # a handler that allocates, wherever it comes; allocations in the end of a thread's own data.
    BUSY = r'''
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef SIMPLE
#define HERE __attribute__((noinline))
static char room[1ul << 30];
static _Atomic size_t used;
HERE void *malloc(size_t size)
{
    return room + atomic_fetch_add(&used, (size + 31) & ~(size_t)15) + 16;
}
static _Atomic size_t given_back;
HERE void free(void *block)
{
    if (block)
        atomic_fetch_add(&given_back, 1);
}
HERE void *calloc(size_t n, size_t size)
{
    return n ? memset(malloc(n * size), 0, n * size) : NULL;
}
HERE void *realloc(void *block, size_t size)
{
    void *moved = malloc(size);
    return block ? memcpy(moved, block, size) : moved;
}
static void on_alarm(int number)
{
    (void)number;
    free(malloc(5000));
}
#endif
static pthread_key_t key;
static void at_end(void *block)
{
    free(block);
    free(malloc(100));
}
static void *in_thread(void *argument)
{
    pthread_setspecific(key, malloc(1000));
    for (int i = 0; i < 200; i++)
        free(calloc(1, 64 + i));
    return argument;
}
__attribute__((noinline)) static void counted(void)
{
    for (int i = 0; i < 20000; i++)
        free(malloc(1000));
}
static void *beside(void *end)
{
    while (!*(volatile int *)end) {
        free(malloc(333));
        usleep(10);
    }
    return NULL;
}
int main(void)
{
    volatile int end = 0;
    pthread_t other;
    pthread_key_create(&key, at_end);
    pthread_create(&other, NULL, beside, (void *)&end);
#ifdef SIMPLE
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 300}, {0, 300}}, NULL);
#endif
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, in_thread, NULL);
        pid_t child = fork();
        if (child == 0) {
            in_thread(NULL);
            exit(7);
        }
        int status;
        while (waitpid(child, &status, 0) < 0)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
            return 2;
        pthread_join(thread, NULL);
    }
    counted();
    end = 1;
    pthread_join(other, NULL);
#ifdef SIMPLE
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
#endif
    puts("counted 20000 20000000 0 0");
    return 0;
}'''

    def check_busy(self, size, *arguments, env=None):
        program = self.build('busy', self.BUSY, *arguments, '-lpthread')
        recording = self.record_heap(program, size=size, env=env)
        self.assertEqual(recording.stdout, b'counted 20000 20000000 0 0\n')
        return recording

    def test_threads_and_forks(self):
        for name in (None, 'jemalloc', 'tcmalloc_minimal', 'mimalloc'):
            with self.subTest(allocator=name):
                env = {**os.environ, 'LD_PRELOAD': shared(name)} if name else None
                recording = self.check_busy('1', env=env)
                truth = self.truth(recording)
                self.assertEqual(by_function(recording.heap, truth), truth, recording.heap.comments)
        self.check_busy('4KiB')

    @unittest.skipUnless(X86, 'functions are changed on x86-64 only')
    def test_a_handler_that_allocates(self):
        """Wherever it interrupts: what it allocates inside of a hook is let through and told."""
        recording = self.check_busy('1', '-DSIMPLE')
        found = by_function(recording.heap, ['counted'])['counted'].objects
        self.assertGreater(found, 20000 - 2000)
        self.check_busy('4KiB', '-DSIMPLE')

    def test_before_anything_began(self):
        """A library's constructor that comes before ours allocates, and its blocks end later."""
        library = self.build('libfirst.so', r'''
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
void *from_the_beginning[64];
__attribute__((constructor)) static void begin(void)
{
    for (int i = 0; i < 64; i++)
        from_the_beginning[i] = i % 2 ? malloc(100 * i + 1) : calloc(i + 1, 100);
    dlsym(RTLD_DEFAULT, "there_is_no_such_function");
}''', '-shared', '-fPIC')
        program = self.build('program', CALLS.replace('int main(void)\n{', '''
extern void *from_the_beginning[64];
int main(void)
{
    for (int i = 0; i < 64; i++)
        free(i % 3 ? realloc(from_the_beginning[i], 10) : from_the_beginning[i]);
'''), library, f'-Wl,-rpath,{self.tmp}')
        recording = self.assert_counted(program)
        self.assert_told(recording, 'before the probe began')

    def test_a_forked_child_has_nothing_of_its_parent(self):
        """What a thread has not told of the total when it forks is its parent's."""
        program = self.build('program', r'''
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    void *volatile kept[3];
    for (int i = 0; i < 3; i++)
        kept[i] = malloc(100);
    for (int i = 0; i < 4; i++)
        if (fork() == 0)
            return 0; // by exit(), which ends its accounts
    while (wait(NULL) > 0)
        ;
    return 0;
}''')
        recording = self.record_heap(program, size='1')
        self.assert_told(recording, 'every block counted, 3 allocations', ' 300 bytes at the peak')

    def test_an_exit_in_mid_allocation(self):
        """The new-handler of C++ throws out of a hook: the next allocations are counted."""
        source = r'''
#include <cstdio>
#include <cstdlib>
#include <new>
static char *volatile block;
__attribute__((noinline)) void after(void)
{
    for (int i = 0; i < 1000; i++)
        delete[] (block = new char[100]);
}
int main()
{
    for (int i = 0; i < 10; i++) {
        try {
            volatile size_t much = (size_t)1 << 62;
            block = new char[much];
            return 1;
        } catch (const std::bad_alloc &) {
        }
    }
    after();
    puts("after 1000 100000 0 0\nnothing 0 0 0 0");
}'''
        for arguments in ([], ['-ljemalloc'], *([['-l:libjemalloc.a']] if X86 else [])):
            with self.subTest(arguments=arguments):
                self.assert_counted(self.build('throws', source, *arguments, '-lpthread',
                                               compiler='g++'))


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
