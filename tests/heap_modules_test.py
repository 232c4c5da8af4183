"""Libraries that come and go where another one has just been, each allocating: every block is counted
at the stack that it was made at, whoever lay at those addresses before."""

import os
import re
import unittest

from heap_built import Built
from heap_test import by_function

# Two libraries of the same layout, whose frames differ in size: rules of the one lead astray in the
# other. N is 1 or 2.
LIBRARY = r'''
#include <stdlib.h>
#define NAME_(a, b) a##b
#define NAME(a, b) NAME_(a, b)
#define FUNCTION __attribute__((noipa)) void
FUNCTION NAME(make_, N)(void)
{
    void *at = malloc(40);
    __asm__ volatile("" ::"r"(at) : "memory");
    free(at);
    __asm__ volatile("nop");
}
FUNCTION NAME(deeper_, N)(long depth)
{
    volatile long frame[N * 4];
    frame[0] = depth;
    if (depth > 0)
        NAME(deeper_, N)(depth - 1);
    else
        NAME(make_, N)();
    __asm__ volatile("nop");
}
void entry(long depth)
{
    NAME(deeper_, N)(depth);
    __asm__ volatile("nop");
}
'''
HEAD = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char **paths;
static void *(*open_it)(const char *, int) = dlopen;
static int (*close_it)(void *) = dlclose;
static void *last;
static long made[2], same;
static void use(int which, int calls)
{
    void *library = open_it(paths[which], RTLD_NOW);
    void (*entry)(long) = (void (*)(long))dlsym(library, "entry");
    same += last == (void *)entry;
    last = (void *)entry;
    for (int i = 0; i < calls; i++, made[which]++)
        entry(i % 5);
    close_it(library);
}
static int tell(void)
{
    printf("make_1 %ld %ld 0 0\nmake_2 %ld %ld 0 0\n", made[0], made[0] * 40, made[1], made[1] * 40);
    fprintf(stderr, "same place %ld\n", same);
    return 0;
}
'''
# Each thread has its library, and they take turns at one place.
TWO_THREADS = HEAD + r'''
static void *run(void *which)
{
    for (int i = 0; i < 5000; i++)
        use(which != NULL, 5);
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t threads[2];
    paths = argv + 1;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run, i ? paths : NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return tell();
}
'''
UNSEEN = HEAD + r'''
int main(int argc, char **argv)
{
    paths = argv + 1;
    close_it = (int (*)(void *))dlsym(dlopen("libc.so.6", RTLD_NOW), "dlclose");
    for (int i = 0; i < 100; i++)
        use(i % 2, 20);
    return tell();
}
'''
# A library that opens and closes others, and binds itself before us.
HOST = r'''
#include <dlfcn.h>
void use_it(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);
    void (*entry)(long) = (void (*)(long))dlsym(library, "entry");
    for (int i = 0; i < 20; i++)
        entry(i % 5);
    dlclose(library);
}
'''
DEEPLY_BOUND = HEAD + r'''
int main(int argc, char **argv)
{
    void *host = dlopen(argv[3], RTLD_DEEPBIND | (argc > 4 ? RTLD_NOW : RTLD_LAZY));
    void (*use_it)(const char *) = (void (*)(const char *))dlsym(host, "use_it");
    paths = argv + 1;
    for (int i = 0; i < 100; i++, made[i % 2] += 20)
        use_it(paths[i % 2]);
    same = 1;
    return tell();
}
'''
# Two libraries that have one path in turn.
REPLACED = HEAD + r'''
#include <unistd.h>
int main(int argc, char **argv)
{
    long each[2] = {0};
    paths = argv + 3;
    for (int i = 0; i < 20; i++) {
        unlink(argv[3]);
        link(argv[1 + i % 2], argv[3]);
        use(0, 7);
        if (argc > 4)
            usleep(atoi(argv[4]));
        each[i % 2] += 7;
    }
    memcpy(made, each, sizeof each);
    return tell();
}
'''
# 512 stacks of the program's own, between the libraries. At the end it tells what it shares.
MANY_STACKS = HEAD + r'''
#define FUNCTION __attribute__((noipa)) void
FUNCTION right(int depth, unsigned way);
FUNCTION left(int depth, unsigned way)
{
    if (depth)
        (way & 1 ? left : right)(depth - 1, way >> 1);
    else
        free(malloc(24));
    __asm__ volatile("nop # left");
}
FUNCTION right(int depth, unsigned way)
{
    if (depth)
        (way & 1 ? left : right)(depth - 1, way >> 1);
    else
        free(malloc(24));
    __asm__ volatile("nop # right");
}
int main(int argc, char **argv)
{
    char line[200];
    int rounds = atoi(argv[3]);
    paths = argv + 1;
    for (int i = 0; i < rounds; i++) {
        use(i % 2, 5);
        for (unsigned way = 0; way < 512; way++)
            left(9, way);
    }
    FILE *file = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, "RssShmem", 8))
            fputs(line, stderr);
    return tell();
}
'''

# Threads open libraries of all kinds, and meet most of them for the first time where they lie.
STRANGERS = r'''
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
enum { THREADS = 8, LIBRARIES = 60 };
static long made[LIBRARIES];
static char **paths;
static void *run(void *number)
{
    unsigned seed = (long)number * 77 + 1;
    for (time_t end = time(NULL) + 3; time(NULL) < end;) {
        int which = rand_r(&seed) % LIBRARIES, calls = rand_r(&seed) % 40;
        void *library = dlopen(paths[which], RTLD_NOW);
        void (*entry)(long) = (void (*)(long))dlsym(library, "entry");
        for (int i = 0; i < calls; i++)
            entry(rand_r(&seed) % 6);
        __atomic_fetch_add(&made[which], calls, __ATOMIC_RELAXED);
        dlclose(library);
    }
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    paths = argv + 1;
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < LIBRARIES; i++)
        printf("make_%d %ld %ld 0 0\n", 10 + i, made[i], made[i] * 40);
    return 0;
}
'''
# One library, at a new place each time, or not.
MANY_PLACES = HEAD + r'''
#include <sys/mman.h>
int main(int argc, char **argv)
{
    paths = argv + 1;
    for (int i = 0; i < 4500; i++) {
        use(0, 1);
        if (argc == 2)
            mmap((void *)((unsigned long)last & -4096ul), 4096, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    }
    return tell();
}
'''
# Children are made while threads open and close a library, and ask for one that is there.
FORKS = HEAD + r'''
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int done;
static void *run(void *which)
{
    while (!done)
        use(0, 5);
    return which;
}
int main(int argc, char **argv)
{
    int left = 0;
    pthread_t threads[2];
    paths = argv + 1;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 0; i < 100 && !left; i++) {
        pid_t child = fork();
        if (!child) {
            dlclose(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD));
            _exit(0);
        }
        int waited = 0;
        for (; waited < 3000 && waitpid(child, NULL, WNOHANG) != child; waited++)
            usleep(1000);
        if (waited == 3000) {
            left++;
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        }
    }
    done = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%d left waiting\n", left);
    return 0;
}
'''


class Modules(Built):
    def record_turns(self, program, *arguments, build_id='sha1'):
        libraries = [self.build(f'library_{n}.so', LIBRARY, '-shared', '-fPIC', f'-DN={n}',
                                f'-Wl,--build-id={build_id}')
                     for n in (1, 2)]
        program = self.build('program', program, '-ldl', '-lpthread')
        recording = self.record_heap(program, *libraries, *arguments, size='1', options=('-q',))
        same = int(re.search(rb'same place (\d+)', recording.stderr)[1])
        if not same:
            self.skipTest('no library came to lie where another one was')
        return recording

    def assert_each_at_its_own(self, recording, root):
        truth = self.truth(recording)
        found = by_function(recording.heap, truth)
        self.assertEqual({name: found[name].objects for name in truth},
                         {name: truth[name].objects for name in truth}, recording.heap.comments)
        for sample in recording.heap.samples:
            names = [frame.function for frame in sample.stack]
            of = {name[-1] for name in names if re.fullmatch(r'(make|deeper)_[12]', name)}
            if of:
                self.assertEqual(len(of), 1, names)
                self.assertEqual(names.count('entry'), 1, names)
                self.assertIn(root, names)

    def test_two_threads_open_and_close_at_one_place(self):
        for build_id in ('sha1', 'none', '0xdeadbeefdeadbeef'):
            with self.subTest(build_id):
                recording = self.record_turns(TWO_THREADS, build_id=build_id)
                self.assert_each_at_its_own(recording, 'run')

    def test_one_whose_file_was_replaced_is_not_named_by_the_new_one(self):
        path = os.path.join(self.tmp, 'plug.so')
        for build_id in ('sha1', 'none'):
            with self.subTest(build_id):
                recording = self.record_turns(REPLACED, path, build_id=build_id)
                names = by_function(recording.heap, ['make_1', 'make_2'])
                # With a build id it may have its names, if the recorder came by before and holds it.
                known = [names[name].objects for name in names]
                if build_id == 'none' or known != [70, 70]:
                    self.assertEqual(known, [0, 70])
                    self.assert_told(recording, f'names: none of {path}: the file was replaced')

    def test_one_that_was_held_before_its_file_was_replaced_is_named_by_it(self):
        # Each stays for longer than it takes the recorder to come by.
        recording = self.record_turns(REPLACED, os.path.join(self.tmp, 'plug.so'), '80000')
        names = by_function(recording.heap, ['make_1', 'make_2'])
        self.assertEqual([names[name].objects for name in names], [70, 70])

    def test_opened_and_closed_by_one_that_is_deeply_bound(self):
        host = self.build('host.so', HOST, '-shared', '-fPIC', '-ldl')
        for at_once in ((), ('now',)):
            recording = self.record_turns(DEEPLY_BOUND, host, *at_once)
            self.assert_each_at_its_own(recording, 'main')

    def test_many_threads_meet_many_libraries(self):
        """Who meets one while another thread is at another one waits for a moment."""
        library = self.build('library_10.so', LIBRARY, '-shared', '-fPIC', '-DN=10',
                             '-Wl,--build-id,-Bsymbolic')
        with open(library, 'rb') as file:
            contents = file.read()
        build_id = contents.split(b'\x14\0\0\0\x03\0\0\0GNU\0')[1][:20]
        libraries = [library]
        for n in range(11, 70):
            libraries.append(os.path.join(self.tmp, f'library_{n}.so'))
            other = contents.replace(build_id, bytes([n]) * 20)
            with open(libraries[-1], 'wb') as file:
                file.write(other.replace(b'make_10', b'make_%d' % n))
        program = self.build('program', STRANGERS, '-ldl', '-lpthread')
        recording = self.record_heap(program, *libraries, size='1', options=('-q',))
        self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])
        self.assert_each_at_its_own(recording, 'run')

    def test_one_without_a_build_id_comes_back_any_number_of_times(self):
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC', '-DN=1',
                             '-Wl,--build-id=none')
        program = self.build('program', MANY_PLACES, '-ldl')
        recording = self.record_heap(program, library, 'one place', size='1', options=('-q',))
        self.assert_each_at_its_own(recording, 'main')
        self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])

    def test_closed_behind_our_back(self):
        """By the C library's own function; the next one is opened as usual."""
        recording = self.record_turns(UNSEEN)
        self.assert_each_at_its_own(recording, 'main')

    def test_a_child_that_is_forked_meanwhile_opens_and_closes(self):
        """Nobody has the loader's lock on our behalf when the process is forked."""
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC', '-DN=1')
        program = self.build('program', FORKS, '-ldl', '-lpthread')
        for types in (('cpu',), ('cpu,heap', '--heap-rate', '1')):
            recording = self.record(program, library, options=('-q', '--types', *types))
            self.assertEqual(recording.stdout, b'0 left waiting\n')

    def test_what_has_no_room_is_told_wherever_its_stacks_are(self):
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC', '-DN=1')
        program = self.build('program', MANY_PLACES, '-ldl')
        for types in ('heap', 'cpu,heap,mutex'):
            recording = self.record_heap(program, library, size='1', types=types, options=('-q',))
            self.assert_told(recording, 'lost: ', ' modules or their names')

    def test_who_stays_keeps_what_is_counted_for_him(self):
        """The memory shared does not grow with each library that is closed."""
        shared = []
        for rounds in ('10', '150'):
            recording = self.record_turns(MANY_STACKS, rounds)
            self.assert_each_at_its_own(recording, 'main')
            self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])
            shared.append(int(re.search(rb'RssShmem:\s*(\d+)', recording.stderr)[1]))
        self.assertLess(shared[1], shared[0] + 2000, 'KiB')


if __name__ == '__main__':
    unittest.main()
