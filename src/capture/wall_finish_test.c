// Whose rows the account of a thread becomes where one number is several programs in turn.
#include "capture/wall_parts.h"

#include "check.h"

#include "core/clock.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PID = 1000, MS = 1000000 };

static struct hone_collected collected;
static struct hone_wall *wall;

static void begin(void)
{
    const struct hone_wall_options options = {
        .hz = 100, .stack_max = 64, .engine = HONE_WALL_BY_POLLING};
    CHECK_EQ(hone_collect_init(&collected), 0);
    CHECK_EQ(hone_wall_open(&collected, &options, &wall, NULL), 0);
}

static void end(void)
{
    hone_wall_close(wall);
    hone_collect_done(&collected);
}

static void happens(enum hone_switch_kind kind, uint64_t time_ns)
{
    const struct hone_switch event = {
        .kind = kind, .pid = PID, .tid = PID, .time_ns = time_ns, .name = "program"};
    hone_wall_event(wall, &event);
}

static void finish(uint64_t ended_ns)
{
    wall->facts.ended_ns = ended_ns;
    CHECK_EQ(hone_wall_finish(wall), 0);
}

// The session tells of a process and its first thread.
static void session_met(uint32_t number, uint32_t pid, uint64_t met_ns, uint32_t engine)
{
    const struct hone_process_facts facts = {.pid = pid,
                                             .pid_namespace = collected.pid_namespace,
                                             .started_ns = met_ns,
                                             .engine = engine,
                                             .path = "/session"};
    hone_collect_events.process(&collected, number, &facts);
    const struct hone_record_thread thread = {.tid = pid, .time_ns = met_ns};
    hone_collect_events.thread(&collected, number, &thread);
}

enum { START_NS = 1000 * MS, EXEC_NS = START_NS + MS / 2 };
static const uint64_t life_ns = 3000ull * MS; // of the program

// A child that becomes another program at once.
static void happens_at_once(void)
{
    begin();
    wall->polled = false; // as the scheduler's records tell
    happens(HONE_SWITCH_NEW, START_NS);
    happens(HONE_SWITCH_IN, START_NS);
    happens(HONE_SWITCH_EXEC, EXEC_NS);
    happens(HONE_SWITCH_MAPPED, EXEC_NS);
    happens(HONE_SWITCH_BLOCKED, EXEC_NS + life_ns / 3);
    happens(HONE_SWITCH_END, EXEC_NS + life_ns);
}

static uint64_t sum_of_thread(uint32_t thread)
{
    uint64_t ns = 0;
    for (uint32_t i = 0; i < collected.wall_count; i++)
        ns += collected.wall[i].thread == thread ? collected.wall[i].ns : 0;
    return ns;
}

TEST(child_that_becomes_another_program_at_once_is_that_one_from_there_on)
{
    happens_at_once();
    session_met(0, PID, EXEC_NS - MS / 4, HONE_ENGINE_THREAD_TIMER);
    session_met(1, PID, EXEC_NS + MS, HONE_ENGINE_THREAD_TIMER);
    finish(EXEC_NS + life_ns);
    CHECK_EQ(collected.thread_count, 2);
    CHECK_EQ(sum_of_thread(0), MS / 2);
    CHECK_EQ(sum_of_thread(1), life_ns);
    end();
}

TEST(program_that_tells_nothing_is_not_the_one_before)
{
    happens_at_once();
    session_met(0, PID, EXEC_NS - MS / 4, HONE_ENGINE_THREAD_TIMER);
    finish(EXEC_NS + life_ns);
    CHECK_EQ(collected.thread_count, 2);
    CHECK_EQ(sum_of_thread(0), MS / 2);
    CHECK_EQ(sum_of_thread(1), life_ns);
    CHECK_EQ(collected.process_count, 2);
    CHECK_EQ(collected.threads[1].process, 1);
    end();
}

// Two perf events tell of one exec: the other one's record may be the earlier one.
TEST(program_that_another_event_tells_of_just_before_is_the_same)
{
    happens_at_once();
    session_met(0, PID, EXEC_NS - 1000, HONE_ENGINE_PERF_OUTSIDE);
    finish(EXEC_NS + life_ns);
    CHECK_EQ(sum_of_thread(0), life_ns);
    CHECK_EQ(collected.thread_count, 2);
    CHECK_EQ(sum_of_thread(1), MS / 2);
    CHECK(collected.threads[1].process != collected.threads[0].process);
    end();
}

// Who polls hears late of either, and of both at once.
TEST(programs_that_follow_one_another_before_a_look_are_told_apart_by_polling)
{
    pid_t child = fork();
    if (!child)
        for (;;)
            (void)pause();
    begin();
    uint64_t now_ns = hone_now_ns();
    const uint64_t met_ns[] = {now_ns - 20 * MS, now_ns - 19 * MS};
    for (uint32_t i = 0; i < 2; i++)
        session_met(i, (uint32_t)child, met_ns[i], HONE_ENGINE_THREAD_TIMER);
    CHECK_EQ(hone_wall_poll_watch(wall, (uint32_t)child, 0, true), 0);
    hone_wall_announce(wall, child, met_ns[0], "");
    hone_wall_announce(wall, child, met_ns[1], "");
    (void)usleep(100000);
    hone_wall_stop(wall);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    CHECK_EQ(hone_wall_finish(wall), 0);
    CHECK_EQ(collected.thread_count, 2);
    CHECK(sum_of_thread(1) > 90 * MS);
    CHECK(sum_of_thread(0) < 90 * MS);
    end();
}

// What a child was before it became a program that tells nothing of itself.
TEST(program_that_was_announced_and_is_another_one_now_is_not_that)
{
    pid_t child = fork();
    if (!child) {
        (void)execl("/bin/sleep", "sleep", "60", NULL);
        _exit(1);
    }
    (void)usleep(50000);
    begin();
    uint64_t now_ns = hone_now_ns();
    session_met(0, (uint32_t)child, now_ns - 40 * MS, HONE_ENGINE_THREAD_TIMER);
    hone_wall_announce(wall, child, now_ns - 40 * MS, "/bin/true");
    (void)usleep(100000);
    hone_wall_stop(wall);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    CHECK_EQ(hone_wall_finish(wall), 0);
    CHECK_EQ(collected.process_count, 2);
    CHECK_EQ(collected.thread_count, 2);
    CHECK_EQ(sum_of_thread(0), 0);
    CHECK(sum_of_thread(1) > 90 * MS);
    end();
}

// Who polls may see that a process is another program before the session tells of either.
TEST(program_that_is_seen_before_it_is_announced_is_counted_once)
{
    for (uint32_t told = 1; told <= 2; told++) { // of both programs, or of the second one only
        begin();                                 // which takes a while
        pid_t child = fork();
        if (!child) {
            (void)usleep(100000);
            (void)execl("/bin/sleep", "sleep", "60", NULL);
            _exit(1);
        }
        uint64_t before_ns = hone_now_ns();
        CHECK_EQ(hone_wall_poll_watch(wall, (uint32_t)child, 0, true), 0);
        uint64_t start_ns = hone_now_ns(), exec_ns = start_ns + 100 * MS;
        session_met(0, (uint32_t)child, start_ns - MS, HONE_ENGINE_THREAD_TIMER);
        session_met(1, (uint32_t)child, exec_ns, HONE_ENGINE_THREAD_TIMER);
        while (hone_now_ns() < exec_ns + 100 * MS) {
            (void)usleep(2000);
            hone_wall_tick(wall);
        }
        if (told == 1)
            hone_wall_announce(wall, child, start_ns - MS, "/bin/true");
        hone_wall_announce(wall, child, exec_ns, "/bin/sleep");
        hone_wall_stop(wall);
        uint64_t end_ns = hone_now_ns();
        collected.threads[1].left_ns = wall->facts.ended_ns;
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        CHECK_EQ(hone_wall_finish(wall), 0);
        CHECK_EQ(collected.thread_count, 2);
        uint64_t all_ns = sum_of_thread(0) + sum_of_thread(1);
        CHECK(all_ns <= end_ns - before_ns + 2 * MS);
        CHECK(all_ns > end_ns - start_ns - 30 * MS);
        CHECK(sum_of_thread(1) > 60 * MS);
        end();
    }
}

// A process of another pid namespace that ended before it could be asked for its number here.
static void foreign_met(uint32_t number, uint32_t pid, uint64_t met_ns, const char *path)
{
    struct hone_process_facts facts = {.pid = pid,
                                       .pid_namespace = collected.pid_namespace + 1,
                                       .started_ns = met_ns,
                                       .engine = HONE_ENGINE_THREAD_TIMER};
    (void)snprintf(facts.path, sizeof facts.path, "%s", path);
    hone_collect_events.process(&collected, number, &facts);
    const struct hone_record_thread thread = {.tid = pid, .time_ns = met_ns};
    hone_collect_events.thread(&collected, number, &thread);
}

TEST(process_of_another_pid_namespace_goes_by_its_number_here_and_counts_once)
{
    happens_at_once();
    foreign_met(0, 2, EXEC_NS + MS, "/other/program");
    finish(EXEC_NS + life_ns);
    CHECK_EQ(sum_of_thread(0), life_ns);
    CHECK_EQ(collected.threads[0].tid, PID);
    CHECK_EQ(collected.processes[0].pid, PID);
    end();
}

TEST(process_of_another_pid_namespace_is_none_of_another_name_or_time)
{
    happens_at_once();
    foreign_met(0, 2, EXEC_NS + MS, "/other/server");
    foreign_met(1, 3, EXEC_NS + life_ns + MS, "/other/program");
    finish(EXEC_NS + life_ns);
    CHECK_EQ(sum_of_thread(0), 0);
    CHECK_EQ(sum_of_thread(1), 0);
    CHECK_EQ(collected.processes[0].pid, 2);
    CHECK_EQ(collected.processes[1].pid, 3);
    end();
}
