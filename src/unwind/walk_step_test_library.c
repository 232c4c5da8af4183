// Code without rules and without frame pointers, but for where the size of a frame is not known
// beforehand: what compilers make of loops, tables of jumps, calls that do not return, calls that
// are the last thing done, registers saved late, and arguments on the stack.
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#define KEPT __attribute__((noinline, noclone))

int hone_test_work(int *values, int count, int (*compare)(int, int));

KEPT static int add_all(int first, ...)
{
    va_list more;
    va_start(more, first);
    int sum = 0;
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() did it
    for (int value = first; value; value = va_arg(more, int))
        sum += value;
    va_end(more);
    return sum;
}

KEPT static int many(int a, int b, int c, int d, int e, int f, int g, int h, const int *values)
{
    volatile int room[40];
    room[a & 31] = b + c * d;
    return room[a & 31] + e * f + g * h + values[0];
}

KEPT static void give_up(int value)
{
    if (value != 12345)
        abort();
    exit(value);
}

// Falls into whatever lies behind it.
KEPT static int checked(const int *values, int at, int count)
{
    volatile int room[10];
    room[at % 10] = values[at];
    if (at >= count)
        give_up(at);
    return add_all(room[at % 10], 1, 2, 0);
}

KEPT static int of_any_size(const int *values, int count, int (*compare)(int, int))
{
    int *copy = __builtin_alloca((size_t)count * sizeof *copy);
    int least = values[0];
    for (int i = 0; i < count; i++)
        copy[i] = values[count - 1 - i];
    for (int i = 1; i < count; i++)
        if (compare(copy[i], least) < 0)
            least = copy[i];
    return least;
}

KEPT static int last_thing(int *values, int count, int (*compare)(int, int))
{
    values[0] += count;
    return compare(values[0], values[count - 1]);
}

KEPT static int choose(int kind, int *values, int count, int (*compare)(int, int))
{
    switch (kind) {
    case 0:
        return compare(values[0], values[1]);
    case 1:
        return many(1, 2, 3, 4, 5, 6, 7, values[1], values);
    case 2:
        return of_any_size(values, count, compare) + 1;
    case 3:
        return add_all(1, 2, 3, 4, 5, 6, 7, 8, 9, 0);
    case 4:
        return checked(values, 3, count) * 3;
    case 5:
        return last_thing(values, count, compare);
    case 6:
        values[2]++;
        return compare(values[2], 3) ? values[1] : values[3];
    default:
        return kind;
    }
}

KEPT static void sort(int *values, int low, int high, int (*compare)(int, int))
{
    if (low >= high)
        return;
    int end = low;
    for (int i = low; i < high; i++)
        if (compare(values[i], values[high]) < 0) {
            int value = values[i];
            values[i] = values[end];
            values[end++] = value;
        }
    int value = values[high];
    values[high] = values[end];
    values[end] = value;
    sort(values, low, end - 1, compare);
    sort(values, end + 1, high, compare);
}

int hone_test_work(int *values, int count, int (*compare)(int, int))
{
    int sum = 0;
    sort(values, 0, count - 1, compare);
    for (int kind = 0; kind < 9; kind++)
        sum += choose(kind, values, count, compare);
    return sum;
}
