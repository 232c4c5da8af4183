// room KIND: a program that looks after its own memory.
//
// size        nothing else
// limit       allows itself 100 MB of addresses, and needs some of them: a block and a thread
// lock        locks all that it has, and what it will have
// lock-forks  so do 20 children of its, one after the other
// abort       ends by abort()
//
// Each works for a moment first. Right answer: all but abort end with 0. Prints `VmPeak N`, `VmLck
// N` and `VmRSS N`, in kB.
#include "burn.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT = 100 << 20, BLOCK = 20 << 20, CHILDREN = 20 };

OWN_NAME static void work(void)
{
    burn_ns(20 * MS);
}

static void *in_thread(void *unused)
{
    work();
    return unused;
}

static int limit(void)
{
    struct rlimit as = {LIMIT, LIMIT};
    pthread_t thread;
    return setrlimit(RLIMIT_AS, &as) || !malloc(BLOCK) ||
           pthread_create(&thread, NULL, in_thread, NULL) || pthread_join(thread, NULL);
}

static int lock(void)
{
    int failed = mlockall(MCL_CURRENT | MCL_FUTURE);
    work();
    return failed;
}

static int lock_in_children(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(mlockall(MCL_CURRENT) != 0);
        int status;
        if (waitpid(child, &status, 0) != child || status)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    work();
    int failed = 0;
    if (strcmp(kind, "limit") == 0)
        failed = limit();
    else if (strcmp(kind, "lock") == 0)
        failed = lock();
    else if (strcmp(kind, "lock-forks") == 0)
        failed = lock_in_children();
    else if (strcmp(kind, "abort") == 0)
        abort();
    FILE *file = fopen("/proc/self/status", "re");
    char line[256], name[64];
    unsigned long kb;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63[^:]: %lu kB", name, &kb) == 2 &&
            (strcmp(name, "VmPeak") == 0 || strcmp(name, "VmLck") == 0 ||
             strcmp(name, "VmRSS") == 0))
            printf("%s %lu\n", name, kb);
    return failed || !file;
}
