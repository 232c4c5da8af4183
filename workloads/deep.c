// deep [DEPTH [ROUNDS]]: a stack of DEPTH frames (64) whose bottom changes all the time: the last
// eight frames return and are called anew, through different functions each time.
//
// The benchmark of sampling cost on deep stacks: the work is fixed (5000 rounds, one to two seconds
// on the machines of 2020 to 2026), so what a profiler costs shows in its time. Right answer: every
// stack in `leaf` reaches main.
#include "burn.h"

OWN_NAME static int leaf(int n)
{
    spin(2000);
    return n + 1;
}

static int left(int n);

OWN_NAME static int right(int n)
{
    return (n ? left(n - 1) : leaf(n)) + 1;
}

OWN_NAME static int left(int n)
{
    return (n ? n % 3 ? left(n - 1) : right(n - 1) : leaf(n)) + 2;
}

OWN_NAME static int down(int n, long rounds)
{
    if (n)
        return down(n - 1, rounds) + 1;
    int sum = 0;
    for (long i = 0; i < 100 * rounds; i++)
        sum += i % 2 ? left(7) : right(7);
    return sum & 1;
}

int main(int argc, char **argv)
{
    int depth = (int)argument(argc, argv, 1, 64);
    down(depth > 10 ? depth - 10 : 0, (long)argument(argc, argv, 2, 5000));
    printf("depth %d\n", depth);
    return 0;
}
