// static: a statically linked program, which no preloaded library can enter.
//
// Right answer: a profiler that cannot see it says so in one clear line; output and status stay.
#include "burn.h"

OWN_NAME static void unseen(void)
{
    burn_ns(200 * MS);
}

int main(int argc, char **argv)
{
    unseen();
    puts("static");
    return (int)argument(argc, argv, 1, 0);
}
