// Real processes that are watched: from their first moment, or when they have long been running.
#include "capture/wall_parts.h"

#include "check.h"

#include "core/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MS = 1000000 };

static struct hone_collected collected;
static struct hone_wall *wall;

static void end(void)
{
    hone_wall_close(wall);
    hone_collect_done(&collected);
}

static void *rest(void *unused)
{
    struct timespec span = {60, 0};
    (void)nanosleep(&span, NULL);
    return unused;
}

enum { RESTING = 5 };

static pid_t start_resting(void)
{
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        for (int i = 1; i < RESTING; i++)
            (void)pthread_create(&thread, NULL, rest, NULL);
        (void)rest(NULL);
        _exit(0);
    }
    (void)usleep(200000);
    return child;
}

static uint64_t asleep(pid_t child)
{
    uint64_t ns = 0;
    for (uint32_t i = 0; i < collected.wall_count; i++) {
        const struct hone_collected_wall *row = &collected.wall[i];
        uint32_t process = collected.threads[row->thread].process;
        if (collected.processes[process].pid == (uint32_t)child && row->kind == HONE_KIND_SLEEP &&
            collected.stacks[row->stack].count > 2)
            ns += row->ns;
    }
    return ns;
}

// Watches for a while and returns how long; 0: it is not permitted here.
static uint64_t watch_for_a_while(pid_t child, enum hone_wall_engine engine, bool all)
{
    struct hone_error err = {0};
    CHECK_EQ(hone_collect_init(&collected), 0);
    const struct hone_wall_options options = {
        .hz = 100, .stack_max = 64, .engine = engine, .memory_bytes = 16 << 20};
    CHECK_EQ(hone_wall_open(&collected, &options, &wall, &err), 0);
    uint64_t start_ns = hone_now_ns();
    int r = all ? hone_wall_watch_all(wall, &err) : hone_wall_watch(wall, child, &err);
    if (r && all) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 0;
    }
    CHECK_EQ(r, 0);
    uint64_t watched_ns = hone_now_ns();
    while (hone_now_ns() < watched_ns + 300 * MS) {
        (void)usleep(2000);
        hone_wall_tick(wall);
    }
    hone_wall_stop(wall);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(hone_wall_finish(wall), 0);
    // Each thread is met somewhere in between.
    CHECK(asleep(child) <= RESTING * (hone_now_ns() - start_ns));
    return 300 * MS;
}

static void check_attached(enum hone_wall_engine engine, bool all)
{
    pid_t child = start_resting();
    uint64_t ns = watch_for_a_while(child, engine, all);
    if (ns)
        CHECK(asleep(child) >= RESTING * (ns - 30 * MS));
    CHECK_EQ(waitpid(child, NULL, WNOHANG), 0); // it sleeps on
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    end();
}

TEST(process_that_sleeps_already_is_seen_asleep)
{
    check_attached(HONE_WALL_BY_SWITCHES, false);
}

TEST(process_that_sleeps_already_is_seen_asleep_by_polling)
{
    check_attached(HONE_WALL_BY_POLLING, false);
}

// Starts a child whose child's parent is gone at once.
static pid_t start_leaving(int *ret_go)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        if (read(go[0], &byte, 1) == 1)
            (void)execl("/bin/sh", "sh", "-c", "(exec sleep 0.5) & exit 0", NULL);
        _exit(1);
    }
    *ret_go = go[1];
    return child;
}

TEST(child_that_is_left_behind_before_anybody_looks_is_seen)
{
    const struct hone_wall_options options = {
        .hz = 100, .stack_max = 64, .engine = HONE_WALL_BY_SWITCHES};
    int go;
    CHECK_EQ(hone_collect_init(&collected), 0);
    CHECK_EQ(hone_wall_open(&collected, &options, &wall, NULL), 0);
    uint64_t began_ns = hone_now_ns();
    pid_t child = start_leaving(&go);
    hone_wall_expect(wall, child);
    CHECK_EQ(write(go, "", 1), 1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    (void)usleep(100000);
    (void)hone_wall_begin(wall, child, began_ns, NULL);
    if (!wall->polled) { // not permitted everywhere
        for (int i = 0; i < 200; i++) {
            (void)usleep(2000);
            hone_wall_tick(wall);
        }
        (void)usleep(200000);
        hone_wall_stop(wall);
        CHECK_EQ(hone_collect_finish(&collected), 0);
        CHECK_EQ(hone_wall_finish(wall), 0);
        uint64_t asleep_ns = 0;
        for (uint32_t i = 0; i < collected.wall_count; i++)
            asleep_ns += collected.wall[i].kind == HONE_KIND_SLEEP ? collected.wall[i].ns : 0;
        CHECK(asleep_ns > 450 * MS);
        CHECK(asleep_ns < 800 * MS);
        for (uint32_t i = 0; i < collected.process_count; i++)
            CHECK(collected.processes[i].pid != (uint32_t)getpid());
    }
    end();
}

// Where that is not permitted it is as above.
TEST(process_that_sleeps_already_is_seen_asleep_by_draws)
{
    check_attached(HONE_WALL_BY_DRAWS, false);
}

TEST(processes_of_the_machine_are_seen)
{
    check_attached(HONE_WALL_BY_DRAWS, true);
    for (uint32_t i = 0; i < collected.process_count; i++)
        CHECK(collected.processes[i].pid != (uint32_t)getppid());
}
