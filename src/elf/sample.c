// A small program with something of everything that the reader knows: inlined calls, aliases, a
// function of size 0, calls through the linkage table.
#include <stdio.h>
#include <stdlib.h>

int sample_alias(int x) __attribute__((alias("sample_work")));
int sample_work(int x);
int sample_dropped(int x);
void sample_sizeless(void);

static inline int square(int x)
{
    return x * x + rand();
}

static inline int cube(int x)
{
    if (x > 7)
        return square(x) * x;
    return square(x + 1);
}

__attribute__((noinline)) int sample_work(int x)
{
    int sum = 0;
    for (int i = 0; i < x; i++)
        sum += cube(i) ^ square(sum);
    if (__builtin_expect(sum == 12345, 0))
        abort();
    return sum;
}

// Nobody calls it, so the linker drops it, and DWARF goes on to speak of it at address 0.
int sample_dropped(int x)
{
    return cube(x) * 5;
}

// A function without a size, one of a byte, and room that belongs to neither.
__asm__(".text\n.globl sample_sizeless\n.type sample_sizeless, @function\nsample_sizeless: ret\n"
        ".type sample_byte, @function\nsample_byte: ret\n.size sample_byte, 1\n.skip 32\n");

int main(int argc, char **argv)
{
    (void)argv;
    sample_sizeless();
    return printf("%d\n", sample_work(argc) + sample_alias(argc)) < 0;
}
