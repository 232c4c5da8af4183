// recurse [DEPTH [MILLISECONDS]]: functions that call themselves and each other DEPTH times (200),
// then work.
//
// Right answer: every stack that ends in `bottom` holds `descend` and `descend_wide` DEPTH times
// together, every fourth the wide one, and reaches main. descend has a frame without frame pointer;
// descend_wide one whose size is known only at run time, which is found through a saved register.
#include "burn.h"

OWN_NAME static int bottom(long long ns)
{
    burn_ns(ns);
    return 1;
}

static int descend_wide(int left, long long ns);

OWN_NAME static int descend(int left, long long ns)
{
    if (left == 0)
        return bottom(ns);
    return (left % 4 ? descend(left - 1, ns) : descend_wide(left - 1, ns)) + 1;
}

OWN_NAME static int descend_wide(int left, long long ns)
{
    volatile char room[1 + (left % 32) * 16];
    room[0] = (char)left;
    int below = left ? descend(left - 1, ns) : bottom(ns);
    return below + (room[0] == (char)left);
}

int main(int argc, char **argv)
{
    int depth = (int)argument(argc, argv, 1, 200);
    long long ns = argument(argc, argv, 2, 1500) * MS;
    if (depth < 1)
        return misused("recurse [DEPTH [MILLISECONDS]]");

    printf("depth %d\n", descend(depth - 1, ns));
    return 0;
}
