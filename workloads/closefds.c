// closefds [MILLISECONDS]: closes every descriptor that it did not open, as daemons do, and works
// on.
//
// Right answer: prints `after_close NANOSECONDS`, and a profile holds that time in after_close. A
// profiler that keeps a descriptor in the program loses it here, and its number may then belong to
// the program's own file: what this program writes into that file must be all that it holds.
#include "burn.h"

#include <fcntl.h>
#include <unistd.h>

OWN_NAME static void after_close(long long ns)
{
    burn_ns(ns);
}

int main(int argc, char **argv)
{
    for (int fd = 3; fd < 4096; fd++)
        close(fd);

    char name[] = "/tmp/closefds.XXXXXX";
    int own = mkstemp(name);
    // Takes up the numbers that were freed, so that a stray write would be seen.
    int copies[64];
    for (int i = 0; i < 64; i++)
        copies[i] = dup(own);
    unlink(name);

    long long before = thread_cpu_ns();
    after_close(argument(argc, argv, 1, 1000) * MS);
    long long used = thread_cpu_ns() - before;

    for (int i = 0; i < 64; i++)
        if (fcntl(copies[i], F_GETFD) < 0) {
            puts("a descriptor of the program was closed");
            return 1;
        }
    if (lseek(own, 0, SEEK_END) != 0) {
        puts("somebody else wrote into the file");
        return 1;
    }
    printf("after_close %lld\n", used);
    return 0;
}
