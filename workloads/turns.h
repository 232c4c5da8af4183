// Sample programs whose threads wait often, and short, share this: what the kernel says of a thread
// by then, for a test to compare with. `turns FUNCTION TID WAITS`: how often it gave up its CPU to
// wait (voluntary switches), all of it in that function; and `kernel TID RUN DELAY LIFETIME`, its
// sums: on a CPU, and ready without one.
#ifndef WORKLOADS_TURNS_H
#define WORKLOADS_TURNS_H

#include "burn.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long long now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline long tid(void)
{
    return syscall(SYS_gettid);
}

static inline void tell_turns(const char *function, long long born_ns)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", tid());
    int fd = open(path, O_RDONLY);
    long long run = 0, delay = 0;
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
        sscanf(text, "%lld %lld", &run, &delay);
    close(fd);
    printf("turns %s %ld %ld\nkernel %ld %lld %lld %lld\n", function, tid(), usage.ru_nvcsw, tid(),
           run, delay, now_ns() - born_ns);
}

#endif
