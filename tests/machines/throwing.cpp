// C++ exceptions thrown through frames, for two fifths of a second: prints how many were caught.
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <string>

struct Guard {
    volatile int *count;
    ~Guard() { ++*count; }
};

__attribute__((noinline)) static void thrower(int depth, volatile int *count)
{
    Guard guard{count};
    if (depth == 0)
        throw std::runtime_error("depth " + std::to_string(*count));
    thrower(depth - 1, count);
    asm volatile("");
}

__attribute__((noinline)) static int catcher(int depth)
{
    volatile int count = 0;
    try {
        thrower(depth, &count);
    } catch (const std::runtime_error &) {
        return count == depth + 1;
    }
    return 0;
}

int main()
{
    int caught = 0, wrong = 0;
    clock_t end = clock() + CLOCKS_PER_SEC * 2 / 5;
    for (int depth = 0; clock() < end; depth = (depth + 1) % 20)
        catcher(depth) ? ++caught : ++wrong;
    std::printf("caught %d wrong %d\n", caught, wrong);
    return wrong ? 1 : 5;
}
