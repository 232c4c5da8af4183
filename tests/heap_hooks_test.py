"""Allocations that do not reach a preloaded malloc() by themselves, against what programs counted."""

import json
import os
import shutil
import subprocess
import unittest

import harness
from harness import BUILD, HONE
from heap_built import (CALLS, CALLS_LIBRARY, DEEPBIND, HIDDEN_ALLOCATOR, LIBRARY, OWN_ALLOCATOR,
                        X86, Built, shared)
from heap_test import by_function


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


# C++ with operators of its own, which count, and a constructor that waits for a thread of its own:
# both use `new` for the first time while the loader is at work.
OWN_OPERATORS = r'''
#include <cstdlib>
#include <new>
#include <thread>
static int news, deletes;
void *operator new(std::size_t size) { __atomic_fetch_add(&news, 1, 5); return std::malloc(size + TAG); }
void operator delete(void *block) noexcept { __atomic_fetch_add(&deletes, 1, 5); std::free(block); }
void operator delete(void *block, std::size_t) noexcept { operator delete(block); }
static int *volatile kept;
struct Starts {
    Starts() { std::thread([] { delete (kept = new int(TAG)); }).join(); }
};
static Starts starts;
extern "C" int used()
{
    for (int i = 0; i < 100; i++)
        delete (kept = new int(TAG));
    return TAG * 1000000 + news * 1000 + deletes;
}
'''
# Opens them, in turn, again and again: something else may lie where one of them lay.
OPENER = r'''
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    for (int turn = 0; turn < 4; turn++) {
        void *opened[8];
        (void)dlopen("/nonexistent/library.so", RTLD_NOW);
        printf("%s\n", dlerror());
        for (int i = 1; i < argc; i++)
            if (!(opened[i] = dlopen(argv[1 + (i + turn) % (argc - 1)], RTLD_NOW | RTLD_LOCAL)))
                return puts(dlerror()), 1;
        printf("%s\n", dlerror());
        for (int i = 1; i < argc; i++)
            printf("%d\n", ((int (*)(void))dlsym(opened[i], "used"))());
        printf("%s\n", dlerror());
        for (int i = 1; i < argc; i++)
            if (i != 2 || turn % 2)
                dlclose(opened[i]);
    }
    return 0;
}
'''


class Operators(Built):
    """Libraries in C++ that a program in C opens have `new` and `delete` of their own, each."""

    def test_each_library_calls_its_own(self):
        libraries = [self.build(f'operators{tag}.so', OWN_OPERATORS, '-shared', '-fPIC', f'-DTAG={tag}',
                                *more, compiler='g++')
                     for tag, more in ((1, ()), (2, ('-static-libstdc++', '-static-libgcc')), (3, ()))]
        program = self.build('opener', OPENER, '-ldl')
        plain = self.run_plain(program, *libraries)
        self.assertEqual(plain.returncode, 0, plain.stdout)
        self.assertIn(b'\n3', plain.stdout)
        preloaded = {**os.environ, 'LD_PRELOAD': os.path.join(BUILD, 'libhone.so')}
        alone = subprocess.run([program, *libraries], env=preloaded, capture_output=True, timeout=60,
                               check=False)
        self.assertEqual((alone.returncode, alone.stdout), (0, plain.stdout), alone.stderr)
        for size in ('1', '512KiB'):
            recording = self.record_heap(program, *libraries, size=size, options=('-q',))
            self.assertEqual((recording.status, recording.stdout), (0, plain.stdout))


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


# An allocator with little more than it must have: it does not tell how large blocks are, nor has it
# functions for aligned ones; no byte before a block may be read; and it sets itself up at its first
# call, by functions that profilers stand in front of.
BARE_ALLOCATOR = r'''
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
enum { PAGE = 4096, PAGES = 1 << 20 };
static char *room;
static unsigned sizes[PAGES];
static _Atomic size_t used = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void begin(void)
{
    struct sigaction action;
    sigaction(SIGSEGV, NULL, &action);
    sigaction(SIGSEGV, &action, NULL);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    room = mmap(NULL, (size_t)PAGE * PAGES, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
void *malloc(size_t size)
{
    pthread_once(&once, begin);
    size_t pages = size / PAGE + 1, at = atomic_fetch_add(&used, pages + 1);
    if (at + pages > PAGES)
        return NULL;
    sizes[at] = size;
    mprotect(room + at * PAGE, pages * PAGE, PROT_READ | PROT_WRITE);
    return room + at * PAGE;
}
static size_t size_of(void *block)
{
    return sizes[((char *)block - room) / PAGE];
}
void free(void *block)
{
    if (block)
        mprotect(block, (size_of(block) / PAGE + 1) * PAGE, PROT_NONE);
}
void *calloc(size_t count, size_t size)
{
    return malloc(count * size);
}
void *realloc(void *block, size_t size)
{
    void *moved = malloc(size);
    if (moved && block) {
        memcpy(moved, block, size_of(block) < size ? size_of(block) : size);
        free(block);
    }
    return moved;
}
'''
# What is called of it, and what its C library has to do instead.
PARTLY = r'''
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
static void *volatile kept[200];
__attribute__((noinline)) void keep(int n)
{
    for (int i = 0; i < n; i++)
        kept[i] = malloc(100);
}
__attribute__((noinline)) void keep_pages(int n)
{
    for (int i = 0; i < n; i++)
        kept[100 + i] = pvalloc(10);
}
__attribute__((noinline)) void drop(int n)
{
    for (int i = 0; i < n; i++)
        free(realloc(calloc(1, 50), 100));
}
int main(void)
{
    keep(100);
    keep_pages(10);
    drop(200);
    puts("keep 100 10000 100 10000");
    puts("keep_pages 10 100 10 100");
    puts("drop 400 30000 0 0");
    return 0;
}
'''


class Partly(Built):
    """Allocators of which some functions are missing: the C library's are another allocator's."""

    def test_one_that_has_little(self):
        bare = self.build('bare.so', BARE_ALLOCATOR, '-shared', '-fPIC')
        recording = self.assert_counted('env', f'LD_PRELOAD={bare}', self.build('program', PARTLY))
        self.assertIsNone(recording.session['heap']['waste'])
        sampled = self.record_heap('env', f'LD_PRELOAD={bare}',
                                   os.path.join(self.tmp, 'program'), size='1KiB')
        self.assertEqual(sampled.stdout, recording.stdout)

    def test_jemalloc_lacks_one(self):
        self.assert_counted('env', f"LD_PRELOAD={shared('jemalloc')}",
                            self.build('program', PARTLY))


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
