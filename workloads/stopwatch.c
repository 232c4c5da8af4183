// stopwatch FILE PROGRAM [ARGUMENT…]: runs PROGRAM, ends as it ended, and writes into FILE what it
// used: `user NS`, `system NS`, `wall NS`, `status N`, `resident BYTES`, one per line. The CPU times
// include children that the program waited for; resident is the most memory that it, or the largest
// of those, ever had.
//
// It is itself a profiled program when a profiler follows children: it uses next to no CPU time, so
// what it measures from inside is what a profile of the whole must add up to.
#include "burn.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static long long ns_of(struct timeval time)
{
    return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return misused("stopwatch FILE PROGRAM [ARGUMENT…]");

    long long start = clock_ns(CLOCK_MONOTONIC);
    pid_t child;
    int r = posix_spawnp(&child, argv[2], NULL, NULL, argv + 2, environ);
    if (r) {
        fprintf(stderr, "stopwatch: cannot run '%s': %s\n", argv[2], strerror(r));
        return 127;
    }
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
        continue;
    long long wall = clock_ns(CLOCK_MONOTONIC) - start;

    FILE *file = fopen(argv[1], "w");
    if (!file)
        return 126;
    fprintf(file, "user %lld\nsystem %lld\nwall %lld\nstatus %d\nresident %lld\n",
            ns_of(usage.ru_utime), ns_of(usage.ru_stime), wall, status,
            usage.ru_maxrss * 1024LL);
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
