// idle [MILLISECONDS]: the clean control. Sleeps and uses next to no CPU time.
//
// Right answer: a CPU profile without samples, or with one or two of the start of the program, that
// says why it is empty. Its sleep ends in time: no signal of a profiler interrupts it.
#include "burn.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    long long ns = argument(argc, argv, 1, 300) * MS;
    struct timespec rest = {ns / 1000000000LL, ns % 1000000000LL};
    if (nanosleep(&rest, NULL)) {
        puts("woken early");
        return 1;
    }
    puts("slept");
    return 0;
}
