// thread_starts N: creates N threads that do nothing, one after the other, each joined before the
// next. Prints the CPU time of one in nanoseconds.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *nothing(void *argument)
{
    return argument;
}

static void start_one(int depth)
{
    pthread_t thread;
    if (depth) {
        start_one(depth - 1);
        __asm__ volatile(""); // no tail call: the stack is as deep as a program's
        return;
    }
    if (pthread_create(&thread, NULL, nothing, NULL))
        abort();
    (void)pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    enum { DEPTH = 16 };
    long count = argc > 1 ? atol(argv[1]) : 10000;
    struct timespec began, ended;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    for (long i = 0; i < count; i++)
        start_one(DEPTH);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    double ns =
        (double)(ended.tv_sec - began.tv_sec) * 1e9 + (double)(ended.tv_nsec - began.tv_nsec);
    (void)printf("%.1f\n", ns / (double)count);
    return 0;
}
