// fibers [MILLISECONDS]: two coroutines on stacks of their own (makecontext, 64 KiB from malloc)
// take turns, 70 to 30, in pieces of a tenth of a millisecond.
//
// Right answer: lines `warp NANOSECONDS` and `weft NANOSECONDS`. Their stacks end at the start of
// the coroutine; the stack pointer lies far from the thread's own stack, so a walker that checks
// against the thread's bounds sees nothing here.
#include "burn.h"

#include <ucontext.h>

enum { STACK_BYTES = 65536 };

static ucontext_t main_context, contexts[2];
static long long used_ns[2];

OWN_NAME static void warp_piece(void)
{
    spin(SPIN_SLICE * 7 / 10);
}

OWN_NAME static void weft_piece(void)
{
    spin(SPIN_SLICE * 3 / 10);
}

OWN_NAME static void warp(void)
{
    for (;;) {
        long long before = thread_cpu_ns();
        warp_piece();
        used_ns[0] += thread_cpu_ns() - before;
        swapcontext(&contexts[0], &main_context);
    }
}

OWN_NAME static void weft(void)
{
    for (;;) {
        long long before = thread_cpu_ns();
        weft_piece();
        used_ns[1] += thread_cpu_ns() - before;
        swapcontext(&contexts[1], &main_context);
    }
}

int main(int argc, char **argv)
{
    void (*const starts[2])(void) = {warp, weft};
    for (int i = 0; i < 2; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = malloc(STACK_BYTES);
        contexts[i].uc_stack.ss_size = STACK_BYTES;
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], starts[i], 0);
    }

    long long end = thread_cpu_ns() + argument(argc, argv, 1, 1000) * MS;
    do
        for (int i = 0; i < 2; i++)
            swapcontext(&main_context, &contexts[i]);
    while (thread_cpu_ns() < end);

    printf("warp %lld\nweft %lld\n", used_ns[0], used_ns[1]);
    return 0;
}
