// Handlers entered on the stack that was interrupted. The rest is in
// tests/pitfalls/signals_test.py.
#include "probe/probe.h"

#include "check.h"

#include <setjmp.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static char alternate[1 << 16] __attribute__((aligned(64)));
static volatile int calls, returned, wrong, number;
static sigjmp_buf back;

static void on_alternate(int signal)
{
    char local[16384];
    memset(local, signal, sizeof local);
    __asm__ volatile("" : : "r"(local) : "memory");
}

static void below(int signal, siginfo_t *info, void *ucontext)
{
    stack_t now;
    (void)sigaltstack(NULL, &now);
    volatile double scratch = 3;
    for (int i = 0; i < 10; i++)
        scratch *= scratch + 0.5;
    wrong += signal != SIGUSR1 || now.ss_flags || info->si_value.sival_int != number;
    wrong += (uintptr_t)info - (uintptr_t)alternate < sizeof alternate;
    wrong += (uintptr_t)ucontext - (uintptr_t)alternate < sizeof alternate;
    (void)raise(SIGUSR2); // begins the alternate stack anew
    (void)sigaddset(&((ucontext_t *)ucontext)->uc_sigmask, SIGWINCH);
    calls++;
}

static void jumps(int signal, siginfo_t *info, void *ucontext)
{
    below(signal, info, ucontext);
    siglongjmp(back, 1);
}

static void (*wanted)(int, siginfo_t *, void *);

static void ours(int signal, siginfo_t *info, void *ucontext)
{
    hone_handler_enter_below(signal, info, ucontext, wanted);
    returned++;
}

static void install(int flags)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    struct sigaction action = {.sa_flags = SA_SIGINFO | flags};
    action.sa_sigaction = ours;
    (void)sigfillset(&action.sa_mask);
    (void)sigdelset(&action.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    struct sigaction other = {.sa_flags = SA_ONSTACK};
    other.sa_handler = on_alternate;
    CHECK_EQ(sigaction(SIGUSR2, &other, NULL), 0);
}

static void queue(void)
{
    (void)sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = ++number});
}

TEST(handler_runs_below_and_returns_to_who_was_interrupted)
{
    install(SA_ONSTACK);
    wanted = below;
    volatile double sum = 0;
    for (int i = 0; i < 1000; i++) {
        double half = i * 0.5;
        queue();
        sum += half;
    }
    CHECK_EQ(calls, 1000);
    CHECK_EQ(returned, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ((long)sum, 249750);
    sigset_t mask; // the handler has changed what is restored
    (void)sigprocmask(SIG_BLOCK, NULL, &mask);
    CHECK_EQ(sigismember(&mask, SIGWINCH), 1);
    CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
}

TEST(handler_may_jump_out)
{
    install(SA_ONSTACK);
    wanted = jumps;
    for (volatile int i = 0; i < 100; i++)
        if (!sigsetjmp(back, 1))
            queue();
    CHECK_EQ(calls, 100);
    CHECK_EQ(wrong, 0);
}

TEST(handler_that_came_to_no_other_stack_is_left_where_it_is)
{
    install(0);
    wanted = below;
    queue();
    CHECK_EQ(calls, 0);
    CHECK_EQ(returned, 1);
}
