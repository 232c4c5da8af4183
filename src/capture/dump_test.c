// A dump of a child whose threads are known, and the parts of it.
#include "capture/dump_parts.h"
#include "capture/scan_threads.h"
#include "capture/thread_sites.h"

#include "check.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// --- what the kernel writes ----------------------------------------------------------------------

TEST(a_name_may_hold_anything)
{
    struct hone_task_stat stat;
    static const char line[] =
        "13002 (a) R (b)) S 12997 13002 13002 0 -1 4194560 10513 119476 0 25 28 65 370 614 20 0 1 "
        "0 5358945 5361664 958 18446744073709551615 1 2 3 0 0 0 65536 4 1132560123 1 0 0 17 3 0 0";
    CHECK_EQ(hone_task_stat_parse(line, &stat), 0);
    CHECK_STR(stat.name, "a) R (b)");
    CHECK_EQ(stat.state, 'S');
    CHECK_EQ(stat.cpu, 3);
    CHECK_EQ(stat.start_ticks, 5358945);
    CHECK_EQ(hone_task_stat_parse("", &stat), -EBADMSG);
    CHECK_EQ(hone_task_stat_parse("1 (a", &stat), -EBADMSG);
    CHECK_EQ(hone_task_stat_parse("1 (a) S 1 2", &stat), -EBADMSG);
    CHECK_EQ(hone_task_stat_parse(")(", &stat), -EBADMSG);
}

static struct hone_blocked in_call(int64_t call, uint64_t second, uint64_t third, uint64_t fourth)
{
    return (struct hone_blocked){.call = call, .arguments = {0x1000, second, third, fourth}};
}

TEST(a_futex_and_a_limit_are_known_by_the_call)
{
    bool shared;
    struct hone_blocked wait = in_call(SYS_futex, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, 0);
    CHECK_EQ(hone_blocked_futex(&wait, &shared), 0x1000);
    CHECK(!shared && !hone_blocked_is_limited(&wait));
    struct hone_blocked join =
        in_call(SYS_futex, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, 0x2000);
    CHECK_EQ(hone_blocked_futex(&join, &shared), 0x1000);
    CHECK(shared && hone_blocked_is_limited(&join));
    struct hone_blocked wake = in_call(SYS_futex, FUTEX_WAKE, 1, 0);
    CHECK_EQ(hone_blocked_futex(&wake, &shared), 0);
    struct hone_blocked sleep = in_call(SYS_clock_nanosleep, 0, 0, 0);
    CHECK(hone_blocked_is_limited(&sleep));
    CHECK_EQ(hone_blocked_futex(&sleep, &shared), 0);
    struct hone_blocked poll = in_call(SYS_epoll_pwait, 0, 1, (uint32_t)-1);
    CHECK(!hone_blocked_is_limited(&poll));
    poll.arguments[3] = 10;
    CHECK(hone_blocked_is_limited(&poll));
    struct hone_blocked read = in_call(SYS_read, 0, 1, 0);
    CHECK(!hone_blocked_is_limited(&read));
}

// --- a child -------------------------------------------------------------------------------------

static int ready[2], stay[2];
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void tell(void)
{
    char byte = 0;
    (void)!write(ready[1], &byte, 1);
}

static void *in_pipe(void *argument)
{
    char byte;
    (void)prctl(PR_SET_NAME, "in-pipe");
    tell();
    (void)!read(stay[0], &byte, 1);
    return argument;
}

static void *in_loop(void *argument)
{
    (void)prctl(PR_SET_NAME, "in-loop");
    tell();
    for (volatile unsigned i = 0;; i++)
        __asm__ volatile("");
    return argument;
}

static void *in_mutex(void *argument)
{
    (void)prctl(PR_SET_NAME, "in-mutex");
    tell();
    (void)pthread_mutex_lock(&held);
    return argument;
}

// The first thread joins the last of them.
static pid_t start_child(void *(*const *run)(void *), int count)
{
    CHECK(pipe(ready) == 0 && pipe(stay) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)pthread_mutex_lock(&held);
        for (int i = 0; i < count; i++)
            (void)pthread_create(&thread, NULL, run[i], NULL);
        tell();
        (void)pthread_join(thread, NULL);
        _exit(0);
    }
    for (int i = 0; i <= count; i++) {
        char byte;
        CHECK(read(ready[0], &byte, 1) == 1);
    }
    return pid;
}

static struct hone_collected collected;

static struct hone_dump *dump_of(pid_t pid)
{
    struct hone_dump *dump;
    struct hone_error err = {0};
    CHECK_EQ(hone_collect_init(&collected), 0);
    CHECK_EQ(hone_dump_new(NULL, &collected, &dump, &err), 0);
    cr_assert(hone_dump_add(dump, pid, &err) == 0, "%s", err.message);
    CHECK_EQ(hone_dump_take(dump), 0);
    return dump;
}

static void done(struct hone_dump *dump)
{
    hone_dump_free(dump);
    hone_collect_done(&collected);
}

static const struct hone_dump_thread *named(const struct hone_dump *dump, const char *name)
{
    for (uint32_t i = 0; i < dump->thread_count; i++)
        if (strcmp(dump->threads[i].name, name) == 0)
            return &dump->threads[i];
    cr_assert_fail("no thread %s", name);
    return NULL;
}

// Those that are to wait may not do so yet.
static struct hone_dump *dump_when_all_wait(pid_t pid, uint32_t waiting)
{
    for (int turn = 0;; turn++) {
        struct hone_dump *dump = dump_of(pid);
        uint32_t count = 0;
        for (uint32_t i = 0; i < dump->thread_count; i++)
            count += dump->threads[i].wait > HONE_WAIT_RUNNABLE;
        if (count == waiting || turn == 500)
            return dump;
        done(dump);
        (void)usleep(10000);
    }
}

TEST(threads_that_wait_and_threads_that_run_have_their_stacks)
{
    static void *(*const run[])(void *) = {in_pipe, in_loop, in_mutex};
    pid_t pid = start_child(run, 3);
    struct hone_dump *dump = dump_when_all_wait(pid, 3);
    CHECK_EQ(dump->thread_count, 4);
    CHECK_EQ(dump->processes[0].threads, 4);
    const struct hone_dump_thread *pipe = named(dump, "in-pipe");
    CHECK_EQ(pipe->wait, HONE_WAIT_PIPE);
    CHECK_EQ(pipe->state, 'S');
    CHECK(pipe->placed && !pipe->limited && !pipe->futex);
    CHECK_EQ(pipe->blocked.arguments[0], (uint64_t)stay[0]);
    const struct hone_dump_thread *mutex = named(dump, "in-mutex");
    CHECK_EQ(mutex->wait, HONE_WAIT_LOCK);
    CHECK_EQ(mutex->futex, (uint64_t)(uintptr_t)&held);
    CHECK(!mutex->futex_shared);
    const struct hone_dump_thread *loop = named(dump, "in-loop");
    CHECK_STR(hone_dump_state_name(loop), "running");
    CHECK_EQ(loop->waits_ns, 0);
    CHECK(!loop->placed);
    for (uint32_t i = 0; i < dump->thread_count; i++)
        cr_assert(dump->threads[i].stack &&
                      collected.stacks[dump->threads[i].stack - 1].end == HONE_STACK_COMPLETE,
                  "%s", dump->threads[i].name);
    CHECK(!dump->processes[0].asleep); // it runs, and a pipe may be written to
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    done(dump);
}

// Waits for the pipe by epoll, and ends with how often that ended early.
static int wait_by_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN}, got;
    int fd = epoll_create1(0), early = 0;
    (void)epoll_ctl(fd, EPOLL_CTL_ADD, stay[0], &event);
    tell();
    while (epoll_wait(fd, &got, 1, -1) < 0)
        early++;
    return early;
}

static void stop_thread(pid_t pid)
{
    struct hone_scan_thread thread = {.tid = pid};
    struct hone_registers registers;
    CHECK_EQ(hone_scan_stop_thread(&thread, pid, UINT64_MAX), 0);
    CHECK_EQ(hone_dump_registers(pid, &registers), 0);
    hone_scan_let_go(&thread, pid);
}

// As the scan for leaks does it.
static void stop_process(pid_t pid)
{
    struct hone_scan_threads threads;
    CHECK_EQ(hone_scan_stop(pid, UINT64_MAX, &threads), 0);
    CHECK_EQ(threads.count, 1);
    CHECK_EQ(threads.left, 0);
    CHECK(threads.at[0].sp != 0);
    CHECK(hone_scan_stood(&threads));
    hone_scan_resume(&threads);
}

// While it is stopped again and again, a call that a stop ends goes on.
static void check_that_epoll_goes_on(void (*stop)(pid_t pid))
{
    if (!hone_dump_can_stop)
        return;
    CHECK(pipe(ready) == 0 && pipe(stay) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(wait_by_epoll());
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    struct hone_task_stat stat = {0};
    for (int turn = 0; stat.state != 'S' && turn < 1000; turn++) {
        (void)usleep(1000);
        CHECK_EQ(hone_task_stat((uint32_t)pid, (uint32_t)pid, &stat), 0);
    }
    for (int turn = 0; turn < 3; turn++) {
        stop(pid);
        (void)usleep(10000);
    }
    CHECK(write(stay[1], &byte, 1) == 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(a_call_that_our_stop_has_ended_is_taken_up_again)
{
    check_that_epoll_goes_on(stop_thread);
}

TEST(a_call_that_a_scan_has_ended_is_taken_up_again)
{
    check_that_epoll_goes_on(stop_process);
}

TEST(where_nobody_is_left_to_wake_that_is_told)
{
    static void *(*const run[])(void *) = {in_mutex, in_mutex};
    pid_t pid = start_child(run, 2);
    done(dump_when_all_wait(pid, 3)); // that all wait is seen
    struct hone_dump *dump = dump_of(pid);
    CHECK(dump->processes[0].asleep);
    done(dump);
    static void *(*const other[])(void *) = {in_pipe, in_mutex};
    pid_t awake = start_child(other, 2);
    done(dump_when_all_wait(awake, 3));
    dump = dump_of(awake);
    CHECK(!dump->processes[0].asleep);
    done(dump);
    (void)kill(pid, SIGKILL);
    (void)kill(awake, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)waitpid(awake, NULL, 0);
}

TEST(who_has_ended_has_no_threads)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    struct hone_dump *dump = dump_of(pid);
    CHECK_EQ(dump->thread_count, 0);
    done(dump);
    (void)waitpid(pid, NULL, 0);
    struct hone_error err = {0};
    CHECK_EQ(hone_collect_init(&collected), 0);
    CHECK_EQ(hone_dump_new(NULL, &collected, &dump, &err), 0);
    CHECK_EQ(hone_dump_add(dump, pid, &err), -ESRCH);
    done(dump);
}

// --- creations -----------------------------------------------------------------------------------

TEST(threads_are_counted_by_who_created_them)
{
    enum { S = 1000000000 };
    static struct hone_collected_thread threads[] = {
        {.tid = 1, .met_ns = 1}, // the first one
        {.tid = 2, .met_ns = 10, .left_ns = 30, .creation = 5},
        {.tid = 3, .met_ns = 20, .left_ns = 60, .creation = 5},
        {.tid = 4, .met_ns = 30, .creation = 5},
        {.tid = 5, .met_ns = 40, .creation = 6},
        {.tid = 6, .met_ns = 50},                   // nobody knows by whom
        {.tid = 7, .met_ns = S + 1, .creation = 5}, // after the end
        {.tid = 8, .met_ns = 70, .left_ns = S + 5, .creation = 6},
    };
    static struct hone_collected_process process = {.pid = 1};
    const struct hone_collected all = {
        .threads = threads, .thread_count = 8, .processes = &process, .process_count = 1};
    struct hone_thread_lives lives;
    struct hone_thread_site site;
    CHECK_EQ(hone_thread_lives_new(&all, S, &lives), 0);
    CHECK_EQ(lives.count, 6);
    CHECK_EQ(hone_thread_site_sum(&lives, 0, &site), 0);
    CHECK_EQ(site.creation, 0);
    CHECK_EQ(site.created, 1);
    CHECK_EQ(hone_thread_site_sum(&lives, 1, &site), 0);
    CHECK_EQ(site.creation, 5);
    CHECK_EQ(site.created, 3);
    CHECK_EQ(site.ended, 2);
    CHECK_EQ(site.most, 2); // one ends as the third begins
    CHECK_EQ(site.most_ns, 20);
    CHECK_EQ(site.shortest_ns, 20);
    CHECK_EQ(site.longest_ns, 40);
    CHECK_EQ(site.lived_ns, 60);
    CHECK_EQ(hone_thread_site_sum(&lives, 4, &site), 0);
    CHECK_EQ(site.created, 2);
    CHECK_EQ(site.ended, 0);
    CHECK_EQ(site.most, 2);
    hone_thread_lives_done(&lives);
}
