// threads KIND [NUMBER [MILLISECONDS]]: threads of every kind that a profiler has missed before.
//
// short    NUMBER threads one after the other, each 1 ms of CPU in `brief`
// crumbs   NUMBER threads one after the other, each 0.2 ms of CPU in `early` and 0.1 ms in `late`
// many     NUMBER threads at once, each MILLISECONDS in `crowd`
// blocked  one thread with every signal blocked, in `deaf`; main works as long, in `hearing`
// outlive  main ends by pthread_exit, a thread works on in `survivor`, then ends the process
// endless  a thread works in `endless` and never returns; main returns after MILLISECONDS
// tight    NUMBER threads at once with the smallest stack allowed (16 KiB), in `cramped`
//
// Right answer: lines `FUNCTION NANOSECONDS` of thread CPU time. Stacks of threads end at the start
// of the thread; whoever blocks all signals is either sampled or counted as not covered, never
// silently absent.
#include "burn.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static long long work_ns;
static atomic_llong total_ns;
static pthread_t main_thread;

static void add_up(long long before)
{
    atomic_fetch_add(&total_ns, thread_cpu_ns() - before);
}

OWN_NAME static void *brief(void *unused)
{
    (void)unused;
    burn_ns(1 * MS);
    add_up(0);
    return NULL;
}

static long long late_ns;

OWN_NAME static void early(void)
{
    burn_ns(MS / 5);
}

OWN_NAME static void late(void)
{
    burn_ns(MS / 10);
}

OWN_NAME static void *crumb(void *unused)
{
    (void)unused;
    long long begun = thread_cpu_ns(); // what a thread's start takes is in neither of them
    early();
    long long before = thread_cpu_ns();
    late();
    late_ns += thread_cpu_ns() - before; // one thread at a time
    total_ns += before - begun;
    return NULL;
}

OWN_NAME static void *crowd(void *unused)
{
    (void)unused;
    burn_ns(work_ns);
    add_up(0);
    return NULL;
}

OWN_NAME static void *deaf(void *unused)
{
    (void)unused;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    burn_ns(work_ns);
    add_up(0);
    return NULL;
}

OWN_NAME static void hearing(void)
{
    burn_ns(work_ns);
}

OWN_NAME static void *survivor(void *unused)
{
    (void)unused;
    pthread_join(main_thread, NULL);
    burn_ns(work_ns);
    printf("survivor %lld\n", thread_cpu_ns());
    exit(0);
}

OWN_NAME static void *endless(void *unused)
{
    (void)unused;
    for (;;)
        spin(SPIN_SLICE);
    return NULL;
}

// One page of the 16 KiB is guard or thread descriptor; a profiler's handler has to fit in the
// rest.
OWN_NAME static void *cramped(void *unused)
{
    (void)unused;
    burn_ns(work_ns);
    add_up(0);
    return NULL;
}

static void all_at_once(long number, void *(*start)(void *), const pthread_attr_t *attributes)
{
    pthread_t *threads = calloc((size_t)number, sizeof *threads);
    for (long i = 0; i < number; i++)
        if (pthread_create(&threads[i], attributes, start, NULL)) {
            fprintf(stderr, "threads: cannot start thread %ld\n", i);
            exit(1);
        }
    for (long i = 0; i < number; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    long number = (long)argument(argc, argv, 2, 100);
    work_ns = argument(argc, argv, 3, 500) * MS;
    main_thread = pthread_self();
    pthread_t thread;

    if (!strcmp(kind, "short")) {
        for (long i = 0; i < number; i++) {
            pthread_create(&thread, NULL, brief, NULL);
            pthread_join(thread, NULL);
        }
        printf("brief %lld\n", total_ns);
    } else if (!strcmp(kind, "crumbs")) {
        for (long i = 0; i < number; i++) {
            pthread_create(&thread, NULL, crumb, NULL);
            pthread_join(thread, NULL);
        }
        printf("early %lld\nlate %lld\n", total_ns, late_ns);
    } else if (!strcmp(kind, "many")) {
        all_at_once(number, crowd, NULL);
        printf("crowd %lld\n", total_ns);
    } else if (!strcmp(kind, "blocked")) {
        pthread_create(&thread, NULL, deaf, NULL);
        long long before = thread_cpu_ns();
        hearing();
        printf("hearing %lld\n", thread_cpu_ns() - before);
        pthread_join(thread, NULL);
        printf("deaf %lld\n", total_ns);
    } else if (!strcmp(kind, "outlive")) {
        pthread_create(&thread, NULL, survivor, NULL);
        pthread_exit(NULL);
    } else if (!strcmp(kind, "endless")) {
        pthread_create(&thread, NULL, endless, NULL);
        usleep((useconds_t)(work_ns / 1000));
        clockid_t clock;
        pthread_getcpuclockid(thread, &clock);
        printf("endless %lld\n", clock_ns(clock));
    } else if (!strcmp(kind, "tight")) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 16384);
        all_at_once(number, cramped, &attributes);
        printf("cramped %lld\n", total_ns);
    } else {
        return misused("threads short|crumbs|many|blocked|outlive|endless|tight [NUMBER [MILLISECONDS]]");
    }
    return 0;
}
