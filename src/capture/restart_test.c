#include "capture/restart.h"

#include "capture/kernel_stack.h"
#include "capture/wait_kinds.h"

#include "check.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct hone_blocked at(int64_t call, uint64_t ip, uint64_t sp, uint64_t first)
{
    return (struct hone_blocked){.call = call, .arguments = {first, 1}, .sp = sp, .ip = ip};
}

// The call that a thread seen in `before` is in now; -1: nobody knows.
static int64_t recalled(struct hone_blocked before, struct hone_blocked now)
{
    struct hone_restart last = {0};
    hone_restart_recall(&last, &before);
    hone_restart_recall(&last, &now);
    return hone_restart_is_open(&now) ? -1 : now.call;
}

TEST(call_that_goes_on_is_the_one_that_was_there_before)
{
    struct hone_blocked again = at(SYS_restart_syscall, 7, 8, 9);
    CHECK_EQ(recalled(at(SYS_futex, 7, 8, 9), again), SYS_futex);
    // But not one of another place, another depth or about something else.
    CHECK_EQ(recalled(at(SYS_futex, 6, 8, 9), again), -1);
    CHECK_EQ(recalled(at(SYS_futex, 7, 6, 9), again), -1);
    CHECK_EQ(recalled(at(SYS_futex, 7, 8, 6), again), -1);
    CHECK_EQ(recalled(at(SYS_futex, 7, 8, 9), at(SYS_nanosleep, 7, 8, 9)), SYS_nanosleep);
    // Nor is it made up of nothing.
    struct hone_restart nothing = {0};
    struct hone_blocked nowhere = at(SYS_restart_syscall, 0, 0, 0);
    hone_restart_recall(&nothing, &nowhere);
    CHECK(hone_restart_is_open(&nowhere));
}

TEST(call_that_was_stopped_twice_is_still_known)
{
    struct hone_restart last = {0};
    struct hone_blocked first = at(SYS_futex, 7, 8, 9);
    hone_restart_recall(&last, &first);
    for (int i = 0; i < 2; i++) {
        struct hone_blocked again = at(SYS_restart_syscall, 7, 8, 9);
        hone_restart_recall(&last, &again);
        CHECK_EQ(again.call, SYS_futex);
    }
}

static int64_t told(const char *stack)
{
    struct hone_blocked blocked = at(SYS_restart_syscall, 7, 8, 9);
    hone_restart_parse(stack, &blocked);
    return hone_restart_is_open(&blocked) ? -1 : blocked.call;
}

TEST(kernel_s_stack_tells_what_goes_on)
{
    CHECK_EQ(told("[<0>] do_nanosleep+0x5c/0x100\n[<0>] hrtimer_nanosleep_restart+0x6b/0xb0\n"
                  "[<0>] do_syscall_64+0x71/0x290\n"),
             SYS_clock_nanosleep);
    // Scheduler's functions are left out, and what sleeps is one of them.
    CHECK_EQ(
        told("[<0>] do_syscall_64+0x71/0x290\n[<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n"),
        SYS_clock_nanosleep);
    CHECK_EQ(told("[<0>] something_else+0x1/0x2\n[<0>] do_syscall_64+0x71/0x290\n"), -1);
    CHECK_EQ(told("[<0>] futex_wait_restart.part.0+0x3e/0x60\n"), SYS_futex);
    CHECK_EQ(told("[<0>] futex_wait_restarted+0x3e/0x60\n"), -1);
    CHECK_EQ(told("[<0>] futex_wait+0x3e/0x60\n"), -1);
    CHECK_EQ(told("futex_wait_restart\n[<0>]\n[<0>] 0xffffffffc0001234"), -1);
    CHECK_EQ(told(""), -1);
    struct hone_blocked other = at(SYS_read, 7, 8, 9);
    hone_restart_parse("[<0>] futex_wait_restart+0x3e/0x60\n", &other);
    CHECK_EQ(other.call, SYS_read);
}

// --- real ones -----------------------------------------------------------------------------------

static void sleep_long(void)
{
    struct timespec rest = {60, 0};
    (void)nanosleep(&rest, NULL);
}

static void wait_for_futex(void)
{
    int word = 0;
    struct timespec rest = {60, 0};
    (void)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &rest, NULL, 0);
}

static void wait_for_file(void)
{
    int ends[2];
    if (pipe(ends))
        _exit(1);
    struct pollfd file = {.fd = ends[0], .events = POLLIN};
    (void)poll(&file, 1, 60000);
}

static char state_of(pid_t pid)
{
    char path[64], text[512], state = '?';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && fgets(text, sizeof text, file) && strrchr(text, ')'))
        state = strrchr(text, ')')[2];
    if (file)
        (void)fclose(file);
    return state;
}

static bool comes_to(pid_t pid, char state)
{
    for (int turn = 0; turn < 20000; turn++, (void)usleep(1000))
        if (state_of(pid) == state)
            return true;
    return false;
}

static bool comes_to_wait(pid_t pid, enum hone_wait_kind kind, struct hone_blocked *ret)
{
    for (int turn = 0; turn < 20000; turn++, (void)usleep(1000))
        if (hone_blocked_read((uint32_t)pid, (uint32_t)pid, ret) == 0 &&
            hone_blocked_kind((uint32_t)pid, ret) == kind)
            return true;
    return false;
}

// What the call of a child that waits is, before it is stopped and after it goes on.
static void stop_and_go_on(void (*wait)(void), enum hone_wait_kind kind,
                           struct hone_blocked *ret_before, struct hone_blocked *ret_after,
                           enum hone_wait_kind *ret_kind)
{
    pid_t child = fork();
    if (child == 0) {
        wait();
        _exit(0);
    }
    bool there = comes_to_wait(child, kind, ret_before);
    (void)kill(child, SIGSTOP);
    there = there && comes_to(child, 'T');
    (void)kill(child, SIGCONT);
    there = there && comes_to(child, 'S') &&
            hone_blocked_read((uint32_t)child, (uint32_t)child, ret_after) == 0;
    *ret_kind = hone_blocked_kind((uint32_t)child, ret_after);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    CHECK(there);
}

static void check_restart(void (*wait)(void), enum hone_wait_kind kind)
{
    struct hone_blocked before = {0}, after = {0};
    enum hone_wait_kind seen;
    struct hone_restart last = {0};
    char text[HONE_KERNEL_STACK_TEXT];
    stop_and_go_on(wait, kind, &before, &after, &seen);
    bool may_see = hone_kernel_stack_text((uint32_t)getpid(), (uint32_t)getpid(), text);
    CHECK_EQ(seen, may_see ? kind : HONE_KIND_OTHER);
    // Without the kernel's stack, by what it was in.
    after.call = SYS_restart_syscall;
    hone_restart_recall(&last, &before);
    hone_restart_recall(&last, &after);
    CHECK_EQ(after.call, before.call);
    CHECK_EQ(hone_blocked_kind((uint32_t)getpid(), &after), kind);
}

TEST(sleep_that_was_stopped_is_still_a_sleep)
{
    check_restart(sleep_long, HONE_KIND_SLEEP);
}

TEST(futex_that_was_stopped_is_still_one)
{
    check_restart(wait_for_futex, HONE_KIND_FUTEX);
}

TEST(poll_that_was_stopped_is_still_one)
{
    check_restart(wait_for_file, HONE_KIND_POLL);
}
