#include "capture/switches.h"

#include "check.h"
#include "core/clock.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS = 4096 };

static struct hone_switch events[EVENTS];
static uint32_t event_count;

static void keep(void *context, const struct hone_switch *event)
{
    (void)context;
    if (event_count < EVENTS)
        events[event_count++] = *event;
}

static uint32_t count_of(enum hone_switch_kind kind, pid_t tid)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < event_count; i++)
        count += events[i].kind == kind && events[i].tid == (uint32_t)tid;
    return count;
}

// A child that does its work, and ends, when it is told.
static pid_t start(void (*work)(void), int *ret_go)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1)
            work();
        _exit(1);
    }
    *ret_go = go[1];
    return child;
}

// Sleeps five times, starts a child, becomes true(1).
static void sleep_and_become_true(void)
{
    for (int i = 0; i < 5; i++)
        (void)usleep(2000);
    if (fork() == 0)
        _exit(0);
    (void)wait(NULL);
    (void)execl("/bin/true", "true", NULL);
}

TEST(scheduler_tells_what_a_process_and_its_children_do)
{
    struct hone_switches *switches;
    struct hone_error err = {0};
    int go;
    pid_t child = start(sleep_and_become_true, &go);
    CHECK_EQ(hone_switches_open(NULL, &switches, &err), 0);
    uint64_t before_ns = hone_now_ns();
    if (hone_switches_watch(switches, child, false, &err)) { // not permitted everywhere
        (void)fprintf(stderr, "%s\n", err.message);
        (void)kill(child, SIGKILL);
        hone_switches_close(switches);
        return;
    }
    CHECK_EQ(write(go, "x", 1), 1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    (void)usleep(1000);
    uint64_t after_ns = hone_now_ns();
    CHECK_EQ(hone_switches_read(switches, after_ns, keep, NULL), 0);

    CHECK(count_of(HONE_SWITCH_BLOCKED, child) >= 5);
    CHECK(count_of(HONE_SWITCH_IN, child) >= 5);
    CHECK_EQ(count_of(HONE_SWITCH_EXEC, child), 1);
    CHECK_EQ(count_of(HONE_SWITCH_END, child), 1);
    uint32_t grandchild = 0;
    for (uint32_t i = 0; i < event_count; i++) {
        CHECK(events[i].time_ns >= before_ns && events[i].time_ns <= after_ns);
        CHECK(i == 0 || events[i].time_ns >= events[i - 1].time_ns);
        if (events[i].kind == HONE_SWITCH_EXEC)
            CHECK_STR(events[i].name, "true");
        if (events[i].kind == HONE_SWITCH_NEW) {
            CHECK_EQ(events[i].creator_tid, child);
            grandchild = events[i].tid;
        }
    }
    CHECK(grandchild != 0);
    CHECK_EQ(count_of(HONE_SWITCH_END, (pid_t)grandchild), 1);
    hone_switches_close(switches);
}

TEST(what_happens_after_the_asked_time_is_told_later)
{
    struct hone_switches *switches;
    int go;
    pid_t child = start(sleep_and_become_true, &go);
    CHECK_EQ(hone_switches_open(NULL, &switches, NULL), 0);
    if (hone_switches_watch(switches, child, false, NULL) == 0) {
        uint64_t before_ns = hone_now_ns();
        CHECK_EQ(write(go, "x", 1), 1);
        CHECK_EQ(waitpid(child, NULL, 0), child);
        CHECK_EQ(hone_switches_read(switches, before_ns, keep, NULL), 0);
        CHECK_EQ(count_of(HONE_SWITCH_END, child), 0);
        CHECK_EQ(hone_switches_read(switches, hone_now_ns(), keep, NULL), 0);
        CHECK_EQ(count_of(HONE_SWITCH_END, child), 1);
    } else {
        (void)kill(child, SIGKILL);
    }
    hone_switches_close(switches);
}

// One that waits to be told.
static pid_t start_waiting(int *ret_go)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)close(go[1]);
        _exit(read(go[0], &byte, 1) == 1);
    }
    (void)close(go[0]);
    *ret_go = go[1];
    return child;
}

TEST(descriptors_of_threads_that_ended_are_given_back)
{
    enum { CHILDREN = 200 };
    struct hone_switches *switches;
    int go, go_last;
    CHECK_EQ(hone_switches_open(NULL, &switches, NULL), 0);
    pid_t last = start_waiting(&go_last);
    if (hone_switches_watch(switches, last, false, NULL)) { // not permitted everywhere
        (void)kill(last, SIGKILL);
        hone_switches_close(switches);
        return;
    }
    uint32_t cpus = hone_switches_descriptors(switches);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = start_waiting(&go);
        CHECK_EQ(hone_switches_watch(switches, child, false, NULL), 0);
        (void)close(go);
        CHECK_EQ(waitpid(child, NULL, 0), child);
    }
    CHECK(hone_switches_descriptors(switches) < CHILDREN * cpus / 2);
    event_count = 0;
    (void)close(go_last); // it is watched all the same
    CHECK_EQ(waitpid(last, NULL, 0), last);
    (void)usleep(1000);
    CHECK_EQ(hone_switches_read(switches, hone_now_ns(), keep, NULL), 0);
    CHECK_EQ(count_of(HONE_SWITCH_END, last), 1);
    hone_switches_close(switches);
}

// Waits a thousand times, each shorter than a tick, then a long time.
static void wait_often(void)
{
    for (int i = 0; i < 1000; i++)
        (void)usleep(20);
    (void)usleep(60000);
}

TEST(program_in_the_kernel_sums_up_what_is_short_and_tells_what_is_long)
{
    const struct hone_draws_options options = {
        .memory_bytes = 1 << 20, .tell_ns = 5000000, .long_ns = 20000000};
    struct hone_draws *draws;
    struct hone_switches *switches;
    int go;
    pid_t child = start(wait_often, &go);
    if (hone_draws_open(&options, &draws, NULL)) { // not permitted everywhere
        (void)kill(child, SIGKILL);
        return;
    }
    hone_draws_set_part(draws, UINT32_MAX); // none
    CHECK_EQ(hone_switches_open(draws, &switches, NULL), 0);
    CHECK(hone_switches_are_summed(switches));
    CHECK_EQ(hone_switches_watch(switches, child, false, NULL), 0);
    CHECK_EQ(hone_draws_watch(draws, child), 0);
    event_count = 0;
    uint64_t before_ns = hone_now_ns();
    CHECK_EQ(write(go, "x", 1), 1);
    struct rusage usage;
    CHECK_EQ(wait4(child, NULL, 0, &usage), child);
    (void)usleep(1000);
    CHECK_EQ(hone_switches_read(switches, hone_now_ns(), keep, NULL), 0);
    uint64_t shorts = 0, sums_ns = 0, long_ns = 0, since_ns = 0, first_ns = 0, last_ns = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < event_count; i++) {
        const struct hone_switch *event = &events[i];
        if (event->tid != (uint32_t)child || !event->summed || event->leaving)
            continue;
        const struct hone_draws_sums *sums = &event->sums;
        uint64_t end_ns = sums->from_ns + sums->run_ns + sums->preempted_ns + sums->short_ns;
        CHECK(event->time_ns >= before_ns && event->time_ns >= end_ns);
        first_ns = first_ns ? first_ns : event->time_ns;
        last_ns = event->time_ns;
        shorts += sums->shorts;
        sums_ns += end_ns - sums->from_ns;
        if (event->kind == HONE_SWITCH_BLOCKED)
            since_ns = event->time_ns;
        else if (since_ns || event->kind == HONE_SWITCH_WAITED) {
            uint64_t blocked_ns = event->time_ns - (since_ns ? since_ns : end_ns);
            sums_ns += count ? blocked_ns : 0; // the first is that it was told to begin
            shorts += blocked_ns < 20000000;
            long_ns += blocked_ns < 20000000 ? 0 : blocked_ns;
            since_ns = 0;
        }
        count++;
    }
    // As often as the kernel counts, but for the beginning and the end.
    CHECK(shorts + 5 >= (uint64_t)usage.ru_nvcsw && shorts <= (uint64_t)usage.ru_nvcsw);
    CHECK(shorts > 900);
    CHECK(long_ns >= 60000000);
    CHECK(count > 4 && count < 400); // of more than two thousand switches
    CHECK(sums_ns + 1000 >= last_ns - first_ns && sums_ns <= last_ns - first_ns + 1000);
    CHECK_EQ(count_of(HONE_SWITCH_END, child), 1);
    hone_switches_close(switches);
    hone_draws_close(draws);
}
