// Work of known names for every machine and C library: prints a line `NAME NANOSECONDS` of CPU time
// for each kind, and ends with 5. Kinds are arguments, all when there is none:
//
//   loop     a loop that calls nothing          sort     the C library calls back
//   deep     1 to 64 calls deep in turn         signal   in a handler
//   copy     in memset() and strlen()           thread   in two more threads
//   fork     in a child                         format   in snprintf(), which is large
//   exec     once more as the program NAME      (takes the next argument; last)
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT __attribute__((noinline, noclone))
#define NOT_LAST __asm__ volatile("") // so that the call above keeps its frame

enum { SLICE_NS = 150000000 };

static unsigned long long cpu_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
}

static unsigned long long thread_ns(void)
{
    return cpu_ns(CLOCK_THREAD_CPUTIME_ID);
}

KEPT static void burn(unsigned long rounds)
{
    for (volatile unsigned long i = 0; i < rounds; i++)
        ;
}

KEPT static void kind_loop(unsigned long long until)
{
    while (thread_ns() < until)
        burn(100000);
}

KEPT static int compare(const void *a, const void *b)
{
    burn(50);
    return *(const int *)a - *(const int *)b;
}

KEPT static void kind_sort(unsigned long long until)
{
    static int values[2000];
    while (thread_ns() < until) {
        for (int i = 0; i < 2000; i++)
            values[i] = i * 7919 % 2003;
        qsort(values, 2000, sizeof values[0], compare);
        NOT_LAST;
    }
}

KEPT static void deep(int depth)
{
    volatile char room[64];
    room[0] = (char)depth;
    if (depth > 1)
        deep(depth - 1);
    else
        burn(50000);
    room[1] = room[0];
}

KEPT static void kind_deep(unsigned long long until)
{
    for (int depth = 1; thread_ns() < until; depth = depth % 64 + 1)
        deep(depth);
}

KEPT static void kind_copy(unsigned long long until)
{
    static char block[1 << 18];
    static volatile size_t length;
    while (thread_ns() < until) {
        memset(block, 'x', sizeof block - 1);
        length = strlen(block);
    }
}

KEPT static void kind_format(unsigned long long until)
{
    char text[200];
    while (thread_ns() < until)
        for (int i = 0; i < 500; i++)
            (void)snprintf(text, sizeof text, "%d %s %.17g %x", i, "text", i / 3.0, i);
}

static unsigned long long signal_until;

KEPT static void on_signal(int number)
{
    (void)number;
    kind_loop(signal_until);
    NOT_LAST;
}

KEPT static void kind_signal(unsigned long long until)
{
    signal_until = until;
    (void)signal(SIGUSR1, on_signal);
    (void)raise(SIGUSR1);
    NOT_LAST;
}

static void *in_thread(void *used)
{
    kind_loop(thread_ns() + SLICE_NS / 2);
    *(unsigned long long *)used = thread_ns();
    return used;
}

KEPT static unsigned long long kind_thread(void)
{
    pthread_t threads[2];
    unsigned long long used[2] = {0};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, in_thread, &used[i]))
            exit(1);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    return used[0] + used[1];
}

KEPT static void kind_fork(void)
{
    pid_t child = fork();
    if (child == 0) {
        kind_loop(thread_ns() + SLICE_NS);
        _exit(3);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
        exit(1);
}

static int wanted(int argc, char **argv, const char *kind)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], kind) == 0)
            return i;
    return argc == 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*work)(unsigned long long until);
    } kinds[] = {
        {"loop", kind_loop}, {"sort", kind_sort},     {"deep", kind_deep},
        {"copy", kind_copy}, {"format", kind_format}, {"signal", kind_signal},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!wanted(argc, argv, kinds[i].name))
            continue;
        unsigned long long before = thread_ns();
        kinds[i].work(before + SLICE_NS);
        printf("kind_%s %llu\n", kinds[i].name, thread_ns() - before);
    }
    if (wanted(argc, argv, "thread"))
        printf("in_thread %llu\n", kind_thread());
    (void)fflush(stdout);
    if (wanted(argc, argv, "fork"))
        kind_fork();
    int at = argc > 1 ? wanted(argc, argv, "exec") : 0;
    if (at && argv[at + 1]) {
        char *const next[] = {argv[at + 1], (char *)"loop", NULL};
        (void)execv(next[0], next);
        perror(next[0]);
        return 1;
    }
    return 5;
}
