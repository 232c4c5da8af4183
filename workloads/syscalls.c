// syscalls [MILLISECONDS]: nearly all of its CPU time lies in the kernel, in reads of /dev/zero.
//
// Right answer: prints `user NANOSECONDS` and `system NANOSECONDS` from getrusage. A profile's
// total is their sum, even where an engine may not look into the kernel, under `kernel_heavy`.
#include "burn.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

static char block[1 << 20];

OWN_NAME static void kernel_heavy(int zeroes, long long ns)
{
    long long end = thread_cpu_ns() + ns;
    do
        for (int i = 0; i < 16; i++)
            if (read(zeroes, block, sizeof block) < 0)
                exit(1);
    while (thread_cpu_ns() < end);
}

static long long ns_of(struct timeval time)
{
    return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL;
}

int main(int argc, char **argv)
{
    int zeroes = open("/dev/zero", O_RDONLY);
    kernel_heavy(zeroes, argument(argc, argv, 1, 1000) * MS);

    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("user %lld\nsystem %lld\n", ns_of(usage.ru_utime), ns_of(usage.ru_stime));
    return 0;
}
