"""What tests of the heap build: allocators, libraries, programs that count what they allocate."""

import os
import platform
import subprocess

from harness import BUILD
from heap_test import TestCase, by_function

SOURCES = os.path.join(os.path.dirname(__file__), '..')
FLAGS = ['-O2', '-g', '-fno-builtin', '-fno-optimize-sibling-calls', '-w']
X86 = platform.machine() == 'x86_64'
# Links libhone.a into a program, all of it.
ARCHIVE = ('-Wl,--whole-archive', os.path.join(BUILD, 'libhone.a'), '-Wl,--no-whole-archive')

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
        ours = [[frame.function for frame in sample.stack] for sample in recording.heap.samples
                if any(frame.mapping and os.path.basename(frame.mapping.file) == 'libhone.so'
                       for frame in sample.stack)]
        self.assertEqual(ours, [], 'frames of the profiler')
        return recording

    def assert_told(self, recording, *words):
        comments = [c for c in recording.heap.comments if all(word in c for word in words)]
        self.assertEqual(len(comments), 1, recording.heap.comments)
