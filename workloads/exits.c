// exits N | signal N [MILLISECONDS]: ends with exit status N, or dies of signal N, after some work.
//
// Right answer: whoever waits for it sees exactly that status.
#include "burn.h"

#include <signal.h>
#include <unistd.h>

OWN_NAME static void last_work(long long ns)
{
    burn_ns(ns);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "signal")) {
        last_work(argument(argc, argv, 3, 50) * MS);
        signal((int)argument(argc, argv, 2, SIGTERM), SIG_DFL);
        raise((int)argument(argc, argv, 2, SIGTERM));
        return 0;
    }
    if (argc < 2)
        return misused("exits N | signal N [MILLISECONDS]");
    last_work(argument(argc, argv, 2, 50) * MS);
    // Not through exit(): a profile must not depend on exit handlers.
    _exit((int)argument(argc, argv, 1, 0));
}
