"""What recording the heap must not do to a program: its flags, stacks, handlers, threads and forked
children, and what a program may do to its recorder. Against what the programs found themselves."""

import os
import re
import shutil
import subprocess
import unittest

import heap_built
from harness import BUILD
from heap_built import DEEPBIND, LIBRARY, OWN_ALLOCATOR, SOURCES, X86
from heap_test import by_function
from leaks_test import TestCase as LeaksCase


class Built(heap_built.Built):
    def check(self, name, source, *arguments, size='1', options=(), types='heap,allocs', args=()):
        """The program says what it found by its status, and what it counted."""
        program = self.build(name, source, *arguments)
        plain = self.run_plain(program, *args)
        self.assertEqual(plain.returncode, 0, plain.stdout)
        recording = self.record_heap(program, *args, size=size, options=options, types=types)
        self.assertEqual(recording.stdout, plain.stdout)
        return recording

    def check_counted(self, *arguments, **options):
        recording = self.check(*arguments, **options)
        truth = self.truth(recording)
        self.assertGreater(len(truth), 0)
        self.assertEqual(by_function(recording.heap, truth), truth, recording.heap.comments)
        return recording


class Flags(Built):
    """A draw of the next sample is arithmetic: its traces are not the program's."""

    SOURCE = r'''
#define _GNU_SOURCE
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
static void work(void)
{
    for (int i = 0; i < 20000; i++)
        free(malloc(1000));
}
int main(void)
{
    feclearexcept(FE_ALL_EXCEPT);
    work();
    if (fetestexcept(FE_ALL_EXCEPT))
        return 2;
#ifdef TRAPS
    feenableexcept(FE_ALL_EXCEPT);
    work();
    fedisableexcept(FE_ALL_EXCEPT);
#endif
    puts("done");
    return 0;
}'''

    def test_none_is_raised(self):
        for size in ('4KiB', '1'):
            with self.subTest(rate=size):
                self.check('flags', self.SOURCE, '-lm', size=size)

    @unittest.skipUnless(X86, 'other machines need not be able to trap')
    def test_who_traps_on_them_runs_on(self):
        for size in ('4KiB', '1'):
            with self.subTest(rate=size):
                self.check('traps', self.SOURCE, '-lm', '-DTRAPS', size=size)


class Threads(Built):
    def test_many_short_ones_leave_nothing(self):
        """Each allocates in the end of its own data, too, after the last time that we hear of it;
        more start at once than there is room for in what hands them over."""
        recording = self.check_counted('churn', r'''
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
enum { ROUNDS = 250, AT_ONCE = 80 };
static pthread_key_t key;
static void at_end(void *block)
{
    free(block);
    void *volatile other = malloc(200);
    free(other);
}
static void *in_thread(void *argument)
{
    pthread_setspecific(key, malloc(100));
    return argument;
}
static void *nothing(void *argument)
{
    return argument;
}
static long pages(void)
{
    long size = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld", &size) != 1)
        exit(3);
    fclose(file);
    return size;
}
int main(void)
{
    long after_some = 0;
    pthread_attr_t attributes;
    // What the C library keeps of threads that ended is the same from the first rounds on.
    mallopt(M_ARENA_MAX, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    // Ours is made with the first thread: this one's end comes after it.
    pthread_t first;
    if (pthread_create(&first, NULL, nothing, NULL) || pthread_join(first, NULL))
        return 4;
    pthread_key_create(&key, at_end);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t threads[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++)
            if (pthread_create(&threads[k], &attributes, in_thread, NULL))
                return 4;
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
        if (i == ROUNDS / 16)
            after_some = pages();
    }
    if (pages() - after_some > 64 * 256)
        return 2; // 64 MB
    printf("in_thread %d %d 0 0\nat_end %d %d 0 0\n", ROUNDS * AT_ONCE, ROUNDS * AT_ONCE * 100,
           ROUNDS * AT_ONCE, ROUNDS * AT_ONCE * 200);
    return 0;
}''', '-lpthread')
        self.assertEqual([c for c in recording.heap.comments if c.startswith('lost')], [])


class Stacks(Built):
    """Where handlers of the program run, and what becomes of stacks that it gave them."""

    # A handler looks where it runs: as a garbage collector does that stops threads by a signal.
    HANDLERS = r'''
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
enum { SMALL = 24 << 10, BELOW = 128 << 10 };
static volatile uintptr_t low, high;
static volatile sig_atomic_t elsewhere, handled;
static void on_alarm(int number)
{
    (void)number;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    handled++;
    elsewhere += here < low || here >= high;
}
__attribute__((noinline)) static void counted(void)
{
    for (int i = 0; i < 600000; i++)
        free(malloc(100));
}
static void find_stack(void)
{
    pthread_attr_t attributes;
    void *stack;
    size_t bytes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &bytes);
    pthread_attr_destroy(&attributes);
    low = (uintptr_t)stack;
    high = low + bytes;
}
static void *in_thread(void *argument)
{
    sigset_t all;
    find_stack();
    sigfillset(&all);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    counted();
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    return argument;
}
int main(void)
{
    sigset_t all;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 200}, {0, 200}}, NULL);
    in_thread(NULL);
    // One of the C library's, one on memory of ours with other memory right below it.
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    unsigned char *memory = mmap(NULL, BELOW + SMALL, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < BELOW; i++)
        memory[i] = 0xa5;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, memory + BELOW, SMALL);
    if (pthread_create(&thread, &attributes, in_thread, NULL))
        return 4;
    pthread_join(thread, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    for (int i = 0; i < BELOW; i++)
        if (memory[i] != 0xa5)
            return 3;
    if (elsewhere || handled < 10)
        return 2;
    puts("counted 1800000 180000000 0 0");
    return 0;
}'''

    def test_handlers_run_on_the_programs_stack(self):
        self.check_counted('handlers', self.HANDLERS, '-D_GNU_SOURCE', '-lpthread')

    def test_the_same_when_sampled(self):
        self.check('handlers', self.HANDLERS, '-D_GNU_SOURCE', '-lpthread', size='512')

    def test_alternate_stacks_are_left_alone(self):
        """A handler on a stack of its own allocates; a sample of the CPU in the middle of that would
        begin the alternate stack anew, if we had left it for one of ours."""
        for size in ('256', '1'):
            with self.subTest(rate=size):
                self.check('alternate', r'''
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char stack[64 << 10];
static volatile sig_atomic_t broken;
static void on_signal(int number)
{
    volatile unsigned char pattern[8 << 10];
    (void)number;
    memset((void *)pattern, 0x5a, sizeof pattern);
    for (int i = 0; i < 3000; i++)
        free(malloc(300));
    for (size_t i = 0; i < sizeof pattern; i++)
        broken += pattern[i] != 0x5a;
}
int main(void)
{
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    if (broken)
        return 2;
    puts("done");
    return 0;
}''', size=size, types='cpu,heap', options=('-F', '4000'))

    ALTERNATE = r'''
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
static void *volatile kept[1000];
static int count;
__attribute__((noinline)) static void in_handler(int number)
{
    (void)number;
    kept[count++] = malloc(777);
}
int main(int argc, char **argv)
{
    size_t size = argc > 1 ? atol(argv[1]) : 0;
    stack_t alternate = {.ss_sp = malloc(size), .ss_size = size};
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&alternate, NULL) != 0 || sigaction(SIGUSR1, &action, NULL) != 0)
        return 2;
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    puts("in_handler 1000 777000 1000 777000");
    return 0;
}'''

    def test_what_is_allocated_on_an_alternate_stack_is_counted(self):
        program = self.build('alternate', self.ALTERNATE)
        exact = self.record_heap(program, '65536', size='1')
        self.assertEqual(by_function(exact.heap, ['in_handler']), self.truth(exact))
        sampled = self.record_heap(program, '65536', size='1KiB')
        # 533 samples: within five of their errors of 3 %.
        self.assertAlmostEqual(by_function(sampled.heap, ['in_handler'])['in_handler'][1] / 777000,
                               1, delta=0.15)
        for recording in (exact, sampled):
            self.assertEqual([c for c in recording.heap.comments if c.startswith('lost: ')], [])

    INSIDE = r"""
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static volatile int broken, flags;
__attribute__((noinline)) static void in_handler(int number)
{
    void *volatile block = malloc(777);
    (void)number;
    free(block);
}
// So that this thread's stack is known, far down.
__attribute__((noinline)) static void deep(void)
{
    volatile char room[150000];
    room[0] = 1;
    void *volatile block = malloc(10);
    free(block);
    room[sizeof room - 1] = 2;
}
static void *work(void *unused)
{
    struct { unsigned char below[16 << 10], stack[5 << 10]; } own;
    stack_t alternate = {.ss_sp = own.stack, .ss_size = sizeof own.stack, .ss_flags = flags};
    memset(&own, 0xa5, sizeof own);
    deep();
    sigaltstack(&alternate, NULL);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    for (size_t i = 0; i < sizeof own.below; i++)
        broken += own.below[i] != 0xa5;
    return unused;
}
int main(int argc, char **argv)
{
    flags = argc > 1 ? 1u << 31 : 0; // SS_AUTODISARM
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    work(NULL);
    printf("%d broken\n", broken);
    return broken != 0;
}"""

    def test_one_in_a_frame_of_the_threads_own_stack(self):
        program = self.build('inside', self.INSIDE, '-lpthread')
        for size in ('1', '16'):
            for disarms in ((), ('disarms',)):
                with self.subTest(rate=size, disarms=disarms):
                    recording = self.record_heap(program, *disarms, size=size)
                    self.assertEqual((recording.status, recording.stdout), (0, b'0 broken\n'))

    FIBERS = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
enum { OWN = 20 << 10, ALL = 64 << 10, FIBER = 20 << 10, GONE = 8 << 10 };
static ucontext_t back, fiber;
static char *stacks;
#define CALL __attribute__((noipa)) static void
CALL leaf(void) { void *volatile block = malloc(32); free(block); }
CALL first(void) { leaf(); __asm__ volatile("nop"); }
CALL second(void) { first(); __asm__ volatile("nop"); }
CALL third(void) { second(); __asm__ volatile("nop"); }
CALL fourth(void) { third(); __asm__ volatile("nop"); }
CALL near(void) { volatile char *room = __builtin_alloca(64); room[0] = 1; fourth(); __asm__ volatile("nop"); }
CALL far(void) { volatile char *room = __builtin_alloca(GONE); room[0] = 1; near(); __asm__ volatile("nop"); }
static void from_far(void) { for (int i = 0; i < 10; i++) far(); swapcontext(&fiber, &back); }
static void from_near(void) { for (int i = 0; i < 10; i++) near(); swapcontext(&fiber, &back); }
static void run(char *low, size_t bytes, void (*function)(void))
{
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = low;
    fiber.uc_stack.ss_size = bytes;
    fiber.uc_link = NULL;
    makecontext(&fiber, function, 0);
    swapcontext(&back, &fiber);
}
// Below this thread's own stack a fiber's lies, and then a shorter one with the same frames at the
// same places, above which nothing can be read any more.
static void *work(void *unused)
{
    char *low = stacks + ALL - OWN - FIBER;
    leaf();
    run(low, FIBER, from_far);
    mprotect(low + FIBER - GONE, GONE, PROT_NONE);
    for (int less = 0; less <= 1024; less += 16)
        run(low, FIBER - GONE - less, from_near);
    return unused;
}
int main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    stacks = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stacks + ALL - OWN, OWN) ||
        pthread_create(&thread, &attributes, work, NULL))
        return 2;
    pthread_join(thread, NULL);
    puts("done");
    return 0;
}"""

    def test_fibers_below_the_threads_own_stack(self):
        self.check('fibers', self.FIBERS, '-lpthread', size='1')

    def test_on_one_that_is_too_small_it_says_so(self):
        program = self.build('alternate', self.ALTERNATE)
        for size in ('1', '16'):
            with self.subTest(rate=size):
                recording = self.record_heap(program, '16384', size=size)
                lost = [c for c in recording.heap.comments if c.startswith('lost: ')]
                self.assertEqual(len(lost), 1, lost)
                self.assertRegex(lost[0], r'^lost: 1000 allocations, in the middle of another one .*'
                                          r'\(sigaltstack\)')


@unittest.skipUnless(X86, 'where a handler has interrupted is read as x86-64 says it')
class Jumps(Built):
    """Handlers that jump out of what they have interrupted, which never goes on: out of Hone's own
    code only, for the allocator itself bears none. What is allocated after that is counted as ever,
    and what was in work is given back: areas, of which there are 32, locks, and records that are
    never finished, behind which the reader would wait."""

    SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
enum { THREADS = 4, JUMPS = 3000, KEPT = 2000, SIZE = 1000, LONGEST_S = 20 };
static uintptr_t low, high;
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump;
static atomic_int jumps, ready;
static atomic_bool stop, go_on;
static int alternate;
static void *volatile kept;
static int find(struct dl_phdr_info *info, size_t bytes, void *base)
{
    for (int i = 0; (void *)info->dlpi_addr == base && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_flags & PF_X && info->dlpi_phdr[i].p_type == PT_LOAD) {
            low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            high = low + info->dlpi_phdr[i].p_memsz;
        }
    return 0;
}
static void on_signal(int number, siginfo_t *info, void *context)
{
    uintptr_t at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (may_jump && at >= low && at < high) {
        jumps++;
        siglongjmp(back, 1);
    }
}
__attribute__((noinline)) static void nest(int depth)
{
    if (depth)
        nest(depth - 1);
    free(realloc(malloc(SIZE), 2 * SIZE));
    __asm__ volatile("" ::: "memory");
}
__attribute__((noinline)) static void churn(void)
{
    (void)sigsetjmp(back, 1);
    may_jump = 1;
    while (!stop)
        nest(12);
    may_jump = 0;
}
__attribute__((noinline)) static void after(void)
{
    for (int i = 0; i < KEPT; i++)
        kept = malloc(SIZE);
}
static void *in_thread(void *argument)
{
    static __thread char stack[64 << 10];
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    if (alternate)
        sigaltstack(&own, NULL);
    ready++;
    churn();
    kept = malloc(SIZE); /* whatever the last jump left locked is let go by the next call */
    free(kept);
    ready--;
    while (!go_on)
        usleep(1000);
    after();
    return argument;
}
int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    Dl_info info = {0};
    alternate = argc > 1;
    void *(*function)(size_t) = dlsym(RTLD_DEFAULT, "malloc");
    if (dladdr((void *)function, &info) && strstr(info.dli_fname, "libhone"))
        dl_iterate_phdr(find, info.dli_fbase);
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | (alternate ? SA_ONSTACK : 0)};
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, in_thread, NULL);
    while (ready < THREADS)
        usleep(1000);
    time_t begun = time(NULL);
    while (low && jumps < JUMPS && time(NULL) - begun < LONGEST_S) {
        for (int i = 0; i < THREADS; i++)
            pthread_kill(threads[i], SIGUSR1);
        usleep(20);
    }
    stop = 1;
    while (ready)
        usleep(1000);
    sleep(1); // the reader catches up
    go_on = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    fprintf(stderr, "%d jumps\n", jumps);
    printf("after %d %d %d %d\n", THREADS * KEPT, THREADS * KEPT * SIZE, THREADS * KEPT,
           THREADS * KEPT * SIZE);
    return 0;
}"""
    AREAS = 32

    def jumps(self, size, *args):
        recording = self.check('jumps', self.SOURCE, '-lpthread', '-ldl', size=size, args=args,
                               types='heap')
        jumps, = re.findall(rb'(\d+) jumps', recording.stderr)
        left = sum(int(n) for n in re.findall(r'lost: (\d+) allocations or their ends, left by',
                                              '\n'.join(recording.heap.comments)))
        self.assertGreater(int(jumps), 2 * self.AREAS)
        self.assertGreater(left, 2 * self.AREAS, recording.heap.comments)
        self.assertLessEqual(left, int(jumps))
        truth = self.truth(recording)
        # Each is sampled: the chance that one is not is 1e-13.
        found = by_function(recording.heap, truth)
        # Who has the lock of what lives may lose its processor for longer than anybody waits.
        lost = truth['after'].live_objects - found['after'].live_objects
        if 0 < lost < 0.005 * truth['after'].live_objects:
            self.assertRegex('\n'.join(recording.heap.comments), r'lost: the ends of \d+ sampled')
            found['after'] = found['after']._replace(live_objects=truth['after'].live_objects,
                                                     live_bytes=truth['after'].live_bytes)
        self.assertEqual(found, truth, recording.heap.comments)

    def test_out_of_samples(self):
        self.jumps('32')

    def test_out_of_counting(self):
        self.jumps('1')

    def test_from_alternate_stacks(self):
        self.jumps('32', 'alternate')
        self.jumps('1', 'alternate')


class Children(Built):
    """Forked children, of whose parent's other threads nothing is left but their locks."""

    # The recording's memory, which is the program's to write to.
    SESSION = r'''
#include "session/layout.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
static struct hone_session_header *session(void)
{
    struct stat st;
    const char *path = getenv("HONE_SESSION");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0 || fstat(fd, &st))
        return NULL;
    void *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
'''

    def test_one_without_room_in_the_session_starts_threads(self):
        for size in ('4KiB', '1'):
            with self.subTest(rate=size):
                self.check('roomless', self.SESSION + r'''
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *argument)
{
    for (int i = 0; i < 2000; i++)
        free(malloc(1000));
    return argument;
}
static int in_child(void)
{
    pthread_t thread;
    work(NULL);
    if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL))
        return 1;
    return 0;
}
int main(void)
{
    struct hone_session_header *header = session();
    work(NULL);
    for (int i = 0; i < 3; i++) {
        uint32_t backed = header ? atomic_exchange(&header->backed_chunks, 0) : 0;
        pid_t child = fork();
        if (child == 0)
            exit(in_child() ? 1 : 7);
        int status;
        waitpid(child, &status, 0);
        if (header)
            atomic_store(&header->backed_chunks, backed);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
            return 2;
    }
    puts("done");
    return 0;
}''', '-lpthread', '-I', os.path.join(SOURCES, 'src'), size=size)

    FORKS = DEEPBIND.replace('int main(', r'''
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static int run(int argc, char **argv);
static volatile int runs;
static void *wait_long(void *argument)
{
    runs = 1;
    pause();
    return argument;
}
int main(int argc, char **argv)
{
    pthread_t thread;
    pthread_create(&thread, NULL, wait_long, NULL);
    while (!runs)
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        if (argc > 3)
            pthread_create(&thread, NULL, wait_long, NULL);
        exit(run(argc, argv));
    }
    int status;
    waitpid(child, &status, 0);
    return status != 0;
}
static int run(''')

    def forks(self, *words):
        library = self.build('library.so', LIBRARY, '-shared', '-fPIC')
        return self.build('forks', self.FORKS, '-ldl', '-lpthread'), library, '1', *words

    def test_libraries_that_the_child_of_a_threaded_parent_loads(self):
        self.assert_counted(*self.forks())

    def test_with_threads_of_its_own_it_is_said(self):
        recording = self.record_heap(*self.forks('threads'), size='1')
        self.assert_told(recording, 'libraries that a forked child with threads loads')


@unittest.skipUnless(X86, 'functions are changed on x86-64 only')
class Code(Built):
    def without(self, name):
        """libhone.a without one of its members, and that."""
        archive = os.path.join(self.tmp, 'libhone.a')
        shutil.copy(os.path.join(BUILD, 'libhone.a'), archive)
        members = subprocess.run(['ar', 't', archive], capture_output=True, text=True,
                                 check=True).stdout.split()
        found = [member for member in members if member.endswith(name)]
        self.assertEqual(len(found), 1, members)
        subprocess.run(['ar', 'x', archive, found[0]], cwd=self.tmp, check=True)
        subprocess.run(['ar', 'd', archive, found[0]], check=True)
        return archive, os.path.join(self.tmp, found[0])

    def test_pages_that_are_changed_stay_what_they_are(self):
        """The code that changes an allocator lies on the same page."""
        source = OWN_ALLOCATOR.replace('noinline', 'noinline, aligned(64)') + heap_built.CALLS
        archive, member = self.without('entries.c.o')
        self.assert_counted(self.build(
            'beside', source, member, '-static', '-Wl,--whole-archive', archive,
            '-Wl,--no-whole-archive', '-lpthread'))


class Recorder(LeaksCase):
    """What a program writes into the recording's memory is not believed."""

    def test_a_header_that_lies_to_who_looks_for_leaks(self):
        builder = Built()
        builder.tmp = self.tmp
        program = builder.build('lies', Children.SESSION + r'''
int main(void)
{
    struct hone_session_header *header = session();
    void *volatile lost = malloc(100);
    lost = NULL;
    if (header) {
        header->chunks_at = (uint64_t)1 << 50;
        header->chunk_count = UINT32_MAX;
        atomic_store(&header->backed_chunks, UINT32_MAX);
    }
    return 0;
}''', '-I', os.path.join(SOURCES, 'src'))
        recording, _ = self.record_leaks(program)
        self.assertEqual(recording.status, 0, recording.stderr)


if __name__ == '__main__':
    unittest.main()
