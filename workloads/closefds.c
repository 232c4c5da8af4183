// closefds [MILLISECONDS [WAY]]: closes every descriptor that it did not open, as daemons do, and
// works on. WAY is each (number), listed (in /proc/self/fd; who cannot close one of them
// complains), from (closefrom) or range (close_range).
//
// Right answer: prints `after_close NANOSECONDS`, and a profile holds that time in after_close. A
// profiler that keeps a descriptor in the program loses it here, and its number may then belong to
// the program's own file: what this program writes into that file must be all that it holds.
#include "burn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

OWN_NAME static void after_close(long long ns)
{
    burn_ns(ns);
}

// As programs do that close what they find open.
static void close_listed(void)
{
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(folder) && close(fd)) {
            printf("descriptor %d cannot be closed: %s\n", fd, strerror(errno));
            exit(1);
        }
    }
    closedir(folder);
}

static void close_all(const char *way)
{
    if (strcmp(way, "listed") == 0)
        close_listed();
    else if (strcmp(way, "from") == 0)
        closefrom(3);
    else if (strcmp(way, "range") == 0 && close_range(3, ~0u, 0))
        exit(2);
    for (int fd = 3; strcmp(way, "each") == 0 && fd < 4096; fd++)
        close(fd);
}

int main(int argc, char **argv)
{
    close_all(argc > 2 ? argv[2] : "each");

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
