// mirror [ARGUMENT…]: shows what a program can see of its surroundings, the control for
// "unchanged".
//
// Prints arguments, environment (sorted by nobody, as it is), open descriptors, blocked, ignored
// and caught signals, limits and the number of threads, copies standard input to standard output
// and writes a line to standard error.
//
// Right answer: with and without a profiler the same, except for the environment variables and the
// descriptors that the profiler documents.
#include "burn.h"

#include <fcntl.h>
#include <unistd.h>

extern char **environ;

static void print_lines_of(const char *path, const char *const *wanted)
{
    char line[4096];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        for (const char *const *key = wanted; *key; key++)
            if (!strncmp(line, *key, strlen(*key)))
                fputs(line, stdout);
    if (file)
        fclose(file);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("argument %s\n", argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("environment %s\n", *variable);

    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("descriptor %d\n", fd);

    const char *const status[] = {"SigBlk", "SigIgn", "SigCgt", "Threads", NULL};
    print_lines_of("/proc/self/status", status);

    int c;
    while ((c = getchar()) != EOF)
        putchar(c);
    fputs("to standard error\n", stderr);
    return 0;
}
