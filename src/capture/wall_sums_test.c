// What the program in the kernel tells and sums up, without it: what the account makes of that.
#include "capture/wall_fixture.h"

#include "check.h"

enum { PID = 4000002, OTHER = 4000003, STACK = 1, MS = 1000000 }; // no processes of this machine

static struct hone_collected collected;
static struct hone_wall *wall;
static uint64_t clock_ns;

static void begin(void)
{
    wall = wall_fixture(&collected);
    CHECK(wall != NULL);
    wall->polled = false;
    clock_ns = 1000000000;
    hone_wall_event(wall, &(struct hone_switch){.kind = HONE_SWITCH_EXEC,
                                                .pid = PID,
                                                .tid = PID,
                                                .time_ns = clock_ns,
                                                .name = "program"});
    hone_wall_event(wall,
                    &(struct hone_switch){
                        .kind = HONE_SWITCH_MAPPED, .pid = PID, .tid = PID, .time_ns = clock_ns});
}

static struct hone_wall_thread *thread(void)
{
    return hone_wall_find(wall, PID);
}

// The thread did that for so long since it was told of last, in milliseconds.
static struct hone_draws_sums spent(uint64_t run, uint64_t preempted, uint64_t blocked,
                                    uint64_t blocks)
{
    struct hone_draws_sums sums = {.from_ns = clock_ns,
                                   .run_ns = run * MS,
                                   .preempted_ns = preempted * MS,
                                   .short_ns = blocked * MS,
                                   .shorts = blocks};
    clock_ns += (run + preempted + blocked) * MS;
    return sums;
}

static void told(enum hone_switch_kind kind, struct hone_draws_sums sums)
{
    hone_wall_event(wall, &(struct hone_switch){.kind = kind,
                                                .pid = PID,
                                                .tid = PID,
                                                .time_ns = clock_ns,
                                                .summed = true,
                                                .sums = sums});
}

// The kernel is asked, and says that it blocks.
static void is_found_blocked(struct hone_draws_sums sums)
{
    hone_wall_sum(wall, thread(), &sums);
    thread()->asked = true;
    thread()->sums = sums;
    hone_wall_enter(wall, thread(), HONE_WALL_BLOCKED, clock_ns);
    thread()->seen = true;
    thread()->stack = STACK;
    thread()->kind = HONE_KIND_PIPE;
    thread()->looked_ns = thread()->read_ns = clock_ns + 1 * MS;
}

static void finish(void)
{
    hone_wall_event(wall,
                    &(struct hone_switch){
                        .kind = HONE_SWITCH_END, .pid = PID, .tid = PID, .time_ns = clock_ns});
    wall->facts.ended_ns = clock_ns;
    CHECK_EQ(hone_wall_finish(wall), 0);
}

static uint64_t sum(enum hone_wait_kind kind)
{
    uint64_t ns = 0;
    for (uint32_t i = 0; i < collected.wall_count; i++)
        if (collected.wall[i].kind == kind)
            ns += collected.wall[i].ns;
    return ns;
}

static void end(void)
{
    CHECK_EQ(sum(HONE_KIND_NONE) + sum(HONE_KIND_RUNNABLE) + sum(HONE_KIND_UNKNOWN) +
                 sum(HONE_KIND_PIPE),
             collected.wall_facts.lifetime_ns);
    hone_wall_close(wall);
    hone_collect_done(&collected);
}

TEST(sums_and_what_is_told_add_up_to_the_life)
{
    begin();
    told(HONE_SWITCH_BLOCKED, spent(10, 2, 3, 1000));
    const struct hone_draws_sums nothing = {.from_ns = clock_ns};
    clock_ns += 4 * MS;
    told(HONE_SWITCH_IN, nothing);
    told(HONE_SWITCH_RUNS, spent(5, 0, 1, 200));
    finish();
    CHECK_EQ(sum(HONE_KIND_NONE), 15 * MS);
    CHECK_EQ(sum(HONE_KIND_RUNNABLE), 2 * MS);
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 8 * MS);
    CHECK_EQ(wall->threads[0].shorts, 1201);
    end();
}

TEST(block_that_the_kernel_was_asked_for_and_that_lasts_has_its_stack)
{
    begin();
    struct hone_draws_sums sums = spent(10, 0, 3, 1000);
    is_found_blocked(sums);
    clock_ns += 50 * MS;
    told(HONE_SWITCH_WAITED, sums);
    clock_ns += 1 * MS;
    finish();
    CHECK_EQ(sum(HONE_KIND_PIPE), 50 * MS);
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 3 * MS);
    CHECK_EQ(sum(HONE_KIND_NONE), 11 * MS);
    CHECK_EQ(wall->threads[0].longs, 1);
    end();
}

TEST(block_that_lasts_and_that_nobody_asked_for_is_told_whole)
{
    begin();
    struct hone_draws_sums sums = spent(10, 0, 3, 1000);
    clock_ns += 50 * MS;
    told(HONE_SWITCH_WAITED, sums);
    finish();
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 53 * MS);
    CHECK_EQ(wall->threads[0].longs, 1);
    CHECK_EQ(wall->threads[0].long_ns, 50 * MS);
    end();
}

TEST(block_that_the_kernel_was_asked_for_and_that_was_short_is_one_of_many)
{
    begin();
    struct hone_draws_sums sums = spent(10, 0, 3, 1000);
    is_found_blocked(sums);
    sums.short_ns += 6 * MS; // and it went on
    sums.shorts++;
    sums.run_ns += 7 * MS;
    clock_ns += 13 * MS;
    told(HONE_SWITCH_BLOCKED, sums);
    const struct hone_draws_sums nothing = {.from_ns = clock_ns};
    clock_ns += 1 * MS;
    told(HONE_SWITCH_IN, nothing);
    finish();
    CHECK_EQ(sum(HONE_KIND_PIPE), 0);
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 10 * MS);
    CHECK_EQ(sum(HONE_KIND_NONE), 17 * MS);
    CHECK_EQ(wall->threads[0].shorts, 1002);
    end();
}

TEST(what_was_told_and_is_lost_counts_as_what_the_thread_did_then)
{
    begin();
    told(HONE_SWITCH_BLOCKED, spent(10, 0, 0, 0));
    clock_ns += 5 * MS; // it came back, the ring was full
    told(HONE_SWITCH_RUNS, spent(2, 1, 0, 0));
    clock_ns += 3 * MS; // so it was when it blocked and came back again
    told(HONE_SWITCH_RUNS, spent(4, 0, 0, 0));
    finish();
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 5 * MS);
    CHECK_EQ(sum(HONE_KIND_RUNNABLE), 1 * MS);
    CHECK_EQ(sum(HONE_KIND_NONE), 19 * MS);
    end();
}

TEST(sums_that_began_with_another_program_count_in_part)
{
    begin();
    struct hone_draws_sums sums = spent(30, 0, 10, 400);
    sums.from_ns -= 40 * MS;
    sums.run_ns += 30 * MS;
    sums.short_ns += 10 * MS;
    sums.shorts += 400;
    told(HONE_SWITCH_RUNS, sums);
    finish();
    CHECK_EQ(sum(HONE_KIND_NONE), 30 * MS);
    CHECK_EQ(sum(HONE_KIND_UNKNOWN), 10 * MS);
    CHECK_EQ(wall->threads[0].shorts, 400);
    end();
}

TEST(thread_on_its_way_out_is_no_new_one)
{
    begin();
    hone_wall_event(wall,
                    &(struct hone_switch){
                        .kind = HONE_SWITCH_END, .pid = PID, .tid = PID, .time_ns = clock_ns});
    clock_ns += 1 * MS;
    hone_wall_event(wall, &(struct hone_switch){.kind = HONE_SWITCH_IN,
                                                .pid = PID,
                                                .tid = PID,
                                                .time_ns = clock_ns,
                                                .summed = true,
                                                .leaving = true,
                                                .sums = {.from_ns = clock_ns}});
    CHECK_EQ(wall->thread_count, 1);
    wall->facts.ended_ns = clock_ns;
    CHECK_EQ(hone_wall_finish(wall), 0);
    end();
}

TEST(events_of_the_cpus_tell_of_those_who_are_watched_alone)
{
    begin();
    wall->summed = true;
    hone_wall_event(wall, &(struct hone_switch){.kind = HONE_SWITCH_EXEC,
                                                .pid = OTHER,
                                                .tid = OTHER,
                                                .time_ns = clock_ns,
                                                .name = "other"});
    hone_wall_event(wall, &(struct hone_switch){.kind = HONE_SWITCH_NEW,
                                                .pid = OTHER + 1,
                                                .tid = OTHER + 1,
                                                .creator_pid = OTHER,
                                                .creator_tid = OTHER,
                                                .time_ns = clock_ns});
    CHECK_EQ(wall->thread_count, 1);
    hone_wall_event(wall, &(struct hone_switch){.kind = HONE_SWITCH_NEW,
                                                .pid = OTHER + 1,
                                                .tid = OTHER + 1,
                                                .creator_pid = PID,
                                                .creator_tid = PID,
                                                .time_ns = clock_ns});
    CHECK_EQ(wall->thread_count, 2);
    wall->summed = false;
    finish();
    hone_wall_close(wall);
    hone_collect_done(&collected);
}
