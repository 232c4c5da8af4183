// The program in the kernel, with real processes; where it is not permitted there is nothing to
// check.
#include "capture/draws.h"

#include "check.h"

#include "core/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MS = 1000000 };

static struct hone_draws *draws;
static int never[2]; // a pipe into which nobody writes

// One that waits to be told.
static pid_t start(void (*run)(void), int *ret_go)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    CHECK_EQ(pipe(never), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1)
            run();
        _exit(0);
    }
    *ret_go = go[1];
    return child;
}

static bool open_draws(uint64_t sure_ns)
{
    const struct hone_draws_options options = {
        .memory_bytes = 4 << 20, .tell_ns = 5 * MS, .long_ns = 20 * MS, .sure_ns = sure_ns};
    return hone_draws_open(&options, &draws, NULL) == 0;
}

static void end(pid_t child)
{
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    hone_draws_close(draws);
}

static void wait_often_then_seldom(void)
{
    for (int i = 0; i < 1000; i++)
        (void)usleep(20);
    for (int i = 0; i < 10; i++)
        (void)usleep(30000);
}

static uint32_t draws_of(pid_t child)
{
    struct hone_draw draw;
    uint32_t count = 0;
    hone_draws_look(draws);
    while (hone_draws_next(draws, UINT64_MAX, &draw)) {
        CHECK_EQ(draw.tid, (uint32_t)child);
        CHECK(draw.sure);
        CHECK_EQ(draw.one_in, 1u);
        count++;
    }
    return count;
}

static void check_seldom(uint64_t sure_ns, uint32_t least, uint32_t most)
{
    int go;
    pid_t child = start(wait_often_then_seldom, &go);
    if (!open_draws(sure_ns)) {
        (void)kill(child, SIGKILL);
        return;
    }
    hone_draws_set_part(draws, UINT32_MAX); // none, but those
    CHECK_EQ(hone_draws_watch(draws, child), 0);
    CHECK_EQ(write(go, "x", 1), 1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    uint32_t count = draws_of(child);
    CHECK(count >= least && count <= most);
    end(child);
}

TEST(each_wait_of_a_thread_that_waits_seldom_is_drawn)
{
    check_seldom(10 * MS, 10, 100); // of the thousand, one in 10 ms at most
}

TEST(none_is_drawn_for_certain_unless_asked_for)
{
    check_seldom(0, 0, 0);
}

static void sleep_then_read(void)
{
    char byte;
    for (int i = 0; i < 100; i++)
        (void)usleep(5000);
    (void)!read(never[0], &byte, 1);
}

static bool is_called_within(int ms)
{
    struct pollfd polled = {hone_draws_descriptor(draws), POLLIN, 0};
    (void)poll(&polled, 1, ms);
    return hone_draws_called(draws);
}

static void wait_often_then_long(void)
{
    if (fork() == 0) { // somebody has to come by, for what lasts to be noticed
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)usleep(100);
    }
    for (;;) {
        for (int i = 0; i < 1000; i++)
            (void)usleep(20);
        (void)usleep(60000);
    }
}

// Calls within a second, from who is asked for them again each time.
static int calls_of(uint64_t late_ns)
{
    int go, count = 0;
    pid_t child = start(wait_often_then_long, &go);
    if (!open_draws(0)) {
        (void)kill(child, SIGKILL);
        return -1;
    }
    hone_draws_set_part(draws, UINT32_MAX); // of none it is known where it waits
    const struct hone_draws_list list = {late_ns, 1, {(uint32_t)child}};
    CHECK_EQ(hone_draws_watch(draws, child), 0);
    CHECK_EQ(write(go, "x", 1), 1);
    (void)is_called_within(300); // for the child, which is new
    for (uint64_t end_ns = hone_now_ns() + 1000 * (uint64_t)MS; hone_now_ns() < end_ns;) {
        hone_draws_be_calm(draws, &list);
        count += is_called_within(100);
        hone_draws_look(draws);
    }
    end(child);
    return count;
}

TEST(what_lasts_and_is_not_drawn_is_called_for)
{
    int count = calls_of(16 * MS);
    CHECK(count == -1 || (count >= 3 && count <= 20)); // once for each of some seven
    CHECK(calls_of(0) <= 0);
}

TEST(what_can_wait_is_no_reason_to_call)
{
    int go;
    pid_t child = start(sleep_then_read, &go);
    if (!open_draws(0)) {
        (void)kill(child, SIGKILL);
        return;
    }
    CHECK_EQ(hone_draws_watch(draws, child), 0);
    CHECK_EQ(write(go, "x", 1), 1);
    CHECK(is_called_within(2000)); // a process that nobody knew
    (void)usleep(50000);
    CHECK(!hone_draws_called(draws)); // once
    hone_draws_settle(draws, (uint32_t)child, true);
    hone_draws_be_calm(draws, NULL);
    CHECK(!is_called_within(50)); // it sleeps
    hone_draws_settle(draws, (uint32_t)child, false);
    CHECK(is_called_within(2000));
    hone_draws_settle(draws, (uint32_t)child, true);
    hone_draws_look(draws); // there is room again
    hone_draws_be_calm(draws, NULL);
    CHECK(!is_called_within(50));
    CHECK(is_called_within(5000)); // it reads
    CHECK(!is_called_within(10));  // nobody has asked for more
    end(child);
}
