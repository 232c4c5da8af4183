#include "capture/wall_fixture.h"

#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

enum { PID = 1000, STACK_SHORT = 1, STACK_LONG = 2, MS = 1000000 };

static struct hone_collected collected;
static struct hone_wall *wall;
static uint64_t clock_ns;

static void begin(void)
{
    wall = wall_fixture(&collected);
    CHECK(wall != NULL);
    clock_ns = 1000000000;
}

static void happens(enum hone_switch_kind kind)
{
    hone_wall_event(
        wall, &(struct hone_switch){
                  .kind = kind, .pid = PID, .tid = PID, .time_ns = clock_ns, .name = "program"});
}

// The thread's stack is read, from tick_ns to read_ns.
static void sees(uint32_t stack, enum hone_wait_kind kind, uint64_t tick_ns, uint64_t read_ns)
{
    struct hone_wall_thread *thread = hone_wall_find(wall, PID);
    thread->seen = true;
    thread->stack = stack;
    thread->kind = kind;
    thread->looked_ns = tick_ns;
    thread->read_ns = read_ns;
}

static void finish(void)
{
    wall->facts.ended_ns = clock_ns;
    CHECK_EQ(hone_wall_finish(wall), 0);
}

static uint64_t sum(enum hone_wait wait, uint32_t stack)
{
    uint64_t ns = 0;
    for (uint32_t i = 0; i < collected.wall_count; i++)
        if (hone_wait_of_kind(collected.wall[i].kind) == wait &&
            (!stack || collected.wall[i].stack == stack))
            ns += collected.wall[i].ns;
    return ns;
}

static void end(void)
{
    hone_wall_close(wall);
    hone_collect_done(&collected);
}

TEST(states_of_a_thread_add_up_to_its_life)
{
    begin();
    happens(HONE_SWITCH_NEW);
    clock_ns += 1 * MS; // waits for its first CPU
    happens(HONE_SWITCH_IN);
    clock_ns += 7 * MS;
    happens(HONE_SWITCH_PREEMPTED);
    clock_ns += 2 * MS;
    happens(HONE_SWITCH_IN);
    clock_ns += 5 * MS;
    happens(HONE_SWITCH_BLOCKED);
    sees(STACK_LONG, HONE_KIND_FUTEX, clock_ns + 1 * MS, clock_ns + 2 * MS);
    clock_ns += 40 * MS;
    happens(HONE_SWITCH_IN);
    clock_ns += 3 * MS;
    happens(HONE_SWITCH_BLOCKED); // nobody looks
    clock_ns += 4 * MS;
    happens(HONE_SWITCH_IN);
    clock_ns += 1 * MS;
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(sum(HONE_WAIT_NONE, 0), 16 * MS);
    CHECK_EQ(sum(HONE_WAIT_RUNNABLE, 0), 3 * MS);
    CHECK_EQ(sum(HONE_WAIT_LOCK, STACK_LONG), 40 * MS);
    CHECK_EQ(sum(HONE_WAIT_UNKNOWN, 0), 4 * MS);
    CHECK_EQ(collected.wall_facts.lifetime_ns, 63 * MS);
    end();
}

TEST(read_that_the_thread_ran_away_from_counts_for_nothing)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    clock_ns += 1 * MS;
    happens(HONE_SWITCH_BLOCKED);
    sees(STACK_LONG, HONE_KIND_SLEEP, clock_ns + 29 * MS, clock_ns + 31 * MS);
    clock_ns += 30 * MS;
    happens(HONE_SWITCH_IN);
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(wall->facts.torn, 1);
    CHECK_EQ(sum(HONE_WAIT_SLEEP, 0), 0);
    CHECK_EQ(sum(HONE_WAIT_UNKNOWN, 0), 30 * MS);
    end();
}

TEST(program_after_an_exec_is_a_thread_of_its_own)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    clock_ns += 5 * MS;
    happens(HONE_SWITCH_EXEC);
    happens(HONE_SWITCH_MAPPED);
    clock_ns += 3 * MS;
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(wall->thread_count, 2);
    CHECK_EQ(wall->threads[0].run_ns, 5 * MS);
    CHECK_EQ(wall->threads[1].run_ns, 3 * MS);
    CHECK_STR(wall->threads[1].name, "program");
    CHECK_EQ(wall->alive, 0);
    CHECK_EQ(collected.process_count, 2);
    end();
}

static void happens_to(uint32_t tid, enum hone_switch_kind kind, uint64_t time_ns)
{
    hone_wall_event(wall, &(struct hone_switch){.kind = kind,
                                                .pid = tid,
                                                .tid = tid,
                                                .time_ns = time_ns,
                                                .creator_pid = PID,
                                                .creator_tid = PID,
                                                .name = "program"});
}

// CPUs tell one after the other; one that a hypervisor holds up tells late.
TEST(what_is_told_after_the_end_of_a_thread_is_no_other_thread)
{
    enum { CHILD = 4000001 }; // no process of this machine
    begin();
    happens(HONE_SWITCH_EXEC);
    happens_to(CHILD, HONE_SWITCH_NEW, clock_ns);
    happens_to(CHILD, HONE_SWITCH_IN, clock_ns);
    happens_to(CHILD, HONE_SWITCH_END, clock_ns + 5 * MS);
    happens_to(CHILD, HONE_SWITCH_BLOCKED, clock_ns + 4 * MS); // late
    CHECK(!hone_wall_find(wall, CHILD));
    CHECK_EQ(wall->thread_count, 2);
    happens_to(CHILD, HONE_SWITCH_IN, clock_ns + 6 * MS); // another one of that number
    CHECK(hone_wall_find(wall, CHILD));
    end();
}

TEST(thread_whose_beginning_is_told_late_has_its_creators_name)
{
    enum { CHILD = 4000001 };
    begin();
    happens(HONE_SWITCH_EXEC);
    happens_to(CHILD, HONE_SWITCH_IN, clock_ns + 1 * MS);
    happens_to(CHILD, HONE_SWITCH_NEW, clock_ns); // late
    CHECK_EQ(wall->thread_count, 2);
    CHECK_STR(hone_wall_find(wall, CHILD)->name, "program");
    end();
}

// More than there is room for at first, so that they move: a large piece of memory is gone then.
TEST(threads_have_their_creators_name_however_many_there_are)
{
    enum { FIRST = 100000, COUNT = 40000 };
    begin();
    happens(HONE_SWITCH_EXEC);
    for (uint32_t i = 0; i < COUNT; i++) {
        happens_to(FIRST + i, HONE_SWITCH_NEW, clock_ns);
        CHECK_STR(hone_wall_find(wall, FIRST + i)->name, "program");
        happens_to(FIRST + i, HONE_SWITCH_END, clock_ns);
    }
    CHECK_EQ(wall->thread_count, 1 + COUNT);
    end();
}

TEST(a_thread_that_has_no_stack_any_more_is_none_that_may_not_be_read)
{
    begin();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); // and not waited for
    happens_to((uint32_t)child, HONE_SWITCH_NEW, clock_ns);
    happens_to((uint32_t)getpid(), HONE_SWITCH_NEW, clock_ns);
    struct hone_wall_thread *over = hone_wall_find(wall, (uint32_t)child);
    hone_wall_refuse(wall, over);
    CHECK(over->refused);
    CHECK_EQ(wall->facts.refused, 0);
    hone_wall_refuse(wall, hone_wall_find(wall, (uint32_t)getpid()));
    CHECK_EQ(wall->facts.refused, 1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    end();
}

TEST(thread_whose_beginning_is_lost_has_the_name_that_the_kernel_knows)
{
    begin();
    happens_to((uint32_t)getppid(), HONE_SWITCH_IN, clock_ns);
    char name[16] = "";
    CHECK(hone_thread_name((uint32_t)getppid(), (uint32_t)getppid(), name));
    CHECK_STR(hone_wall_find(wall, (uint32_t)getppid())->name, name);
    end();
}

TEST(events_that_an_exec_ended_are_no_end_of_the_thread)
{
    begin();
    happens(HONE_SWITCH_EXEC);
    happens(HONE_SWITCH_END); // nothing was mapped
    CHECK(hone_wall_find(wall, PID));
    CHECK(wall->has_ended);
    wall->has_ended = false;
    happens(HONE_SWITCH_EXEC);
    happens(HONE_SWITCH_MAPPED);
    happens(HONE_SWITCH_END);
    CHECK(!hone_wall_find(wall, PID));
    CHECK(!wall->has_ended);
    end();
}

TEST(exec_that_is_told_after_the_end_of_its_events_is_watched_anew)
{
    begin();
    happens(HONE_SWITCH_EXEC);
    happens(HONE_SWITCH_MAPPED);
    clock_ns += 2 * MS;
    happens(HONE_SWITCH_END);
    clock_ns -= 1 * MS;
    happens(HONE_SWITCH_EXEC); // late
    CHECK(hone_wall_find(wall, PID));
    CHECK(wall->has_ended);
    end();
}

TEST(losses_and_strange_orders_never_make_time)
{
    static const enum hone_switch_kind kinds[] = {
        HONE_SWITCH_NEW,       HONE_SWITCH_END,     HONE_SWITCH_EXEC,   HONE_SWITCH_IN,
        HONE_SWITCH_PREEMPTED, HONE_SWITCH_BLOCKED, HONE_SWITCH_MAPPED, HONE_SWITCH_NAME};
    begin();
    uint32_t random = 12345;
    for (int i = 0; i < 20000; i++) {
        random = random * 1103515245 + 12345;
        clock_ns += (random >> 8) % 1000;
        happens(kinds[(random >> 16) % 8]);
        struct hone_wall_thread *thread = hone_wall_find(wall, PID);
        if (thread && thread->state == HONE_WALL_BLOCKED && random % 3 == 0)
            sees(STACK_SHORT, HONE_KIND_IO, clock_ns, clock_ns);
    }
    happens(HONE_SWITCH_END);
    finish();
    uint64_t all = 0;
    for (int wait = 0; wait < HONE_WAITS; wait++)
        all += collected.wall_facts.state_ns[wait];
    CHECK_NEAR((double)all, (double)collected.wall_facts.lifetime_ns,
               0.001 * (double)collected.wall_facts.lifetime_ns);
    end();
}

// Two kinds of waits in turn, 1 and 4 ms; looks every 10 ms at random, each of which takes a while.
// The share that is found is that of the time, not that of how often, nor how long what was seen
// lasted.
static double share_of_short(uint64_t reading_ns, uint64_t wakeup_ns)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    uint64_t random = 88172645463325252, due_ns = clock_ns;
    struct hone_wall_thread *thread = hone_wall_find(wall, PID);
    thread->wakeup_ns = wakeup_ns;
    for (int i = 0; i < 200000; i++) {
        uint64_t wait_ns = i % 2 ? 4 * MS : 1 * MS;
        happens(HONE_SWITCH_BLOCKED);
        uint64_t woken_ns = clock_ns + wait_ns;
        while (due_ns < clock_ns || (due_ns < woken_ns && !thread->seen)) {
            if (due_ns >= clock_ns && due_ns + reading_ns < woken_ns)
                sees(i % 2 ? STACK_LONG : STACK_SHORT, HONE_KIND_SLEEP, due_ns,
                     due_ns + reading_ns);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            due_ns += 5 * MS + random % (10 * MS);
        }
        clock_ns = woken_ns + wakeup_ns;
        happens(HONE_SWITCH_IN);
        clock_ns += 10000;
    }
    happens(HONE_SWITCH_END);
    finish();
    double found = (double)sum(HONE_WAIT_SLEEP, STACK_SHORT),
           other = (double)sum(HONE_WAIT_SLEEP, STACK_LONG);
    CHECK_NEAR(found + other, 100000.0 * (5 * MS + 2.0 * (double)wakeup_ns), 1e7);
    end();
    return found / (found + other);
}

TEST(short_waits_have_their_shares_of_the_time)
{
    CHECK_NEAR(share_of_short(0, 0), 0.2, 0.006); // some 50000 looks: 3 standard errors
    CHECK_NEAR(share_of_short(300000, 0), 0.2, 0.006);
    CHECK_NEAR(share_of_short(300000, 200000), 0.2, 0.006);
}

// --- how often -----------------------------------------------------------------------------------

static double blocks(enum hone_wait wait, uint32_t stack)
{
    double sum = 0;
    for (uint32_t i = 0; i < collected.wall_count; i++)
        if (hone_wait_of_kind(collected.wall[i].kind) == wait &&
            (!stack || collected.wall[i].stack == stack))
            sum += collected.wall[i].blocks;
    return sum;
}

TEST(waits_that_last_are_counted_one_by_one)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    for (int i = 0; i < 7; i++) {
        happens(HONE_SWITCH_BLOCKED);
        sees(i < 4 ? STACK_LONG : STACK_SHORT, HONE_KIND_PIPE, clock_ns + 1 * MS,
             clock_ns + 2 * MS);
        clock_ns += (i < 4 ? 40 : 25) * MS;
        happens(HONE_SWITCH_IN);
        clock_ns += 1 * MS;
    }
    happens(HONE_SWITCH_END);
    finish();
    CHECK_NEAR(blocks(HONE_WAIT_PIPE, STACK_LONG), 4, 1e-9);
    CHECK_NEAR(blocks(HONE_WAIT_PIPE, STACK_SHORT), 3, 1e-9);
    CHECK_EQ(collected.wall_facts.blocks, 7);
    CHECK_EQ(sum(HONE_WAIT_PIPE, STACK_LONG), 160 * MS);
    end();
}

TEST(a_wait_right_after_one_that_was_drawn_has_not_its_stack)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    hone_wall_find(wall, PID)->draw = (struct hone_wall_draw){
        .time_ns = clock_ns, .one_in = 1, .stack = STACK_SHORT, .kind = HONE_KIND_FUTEX};
    happens(HONE_SWITCH_BLOCKED);
    clock_ns += MS / 10;
    happens(HONE_SWITCH_IN);
    clock_ns += MS / 10;
    happens(HONE_SWITCH_BLOCKED);
    sees(STACK_LONG, HONE_KIND_PIPE, clock_ns, clock_ns);
    clock_ns += 50 * MS;
    happens(HONE_SWITCH_IN);
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(sum(HONE_WAIT_PIPE, STACK_LONG), 50 * MS);
    CHECK_EQ(sum(HONE_WAIT_LOCK, STACK_SHORT), MS / 10);
    end();
}

static void waits_drawn(uint32_t one_in, bool sure, uint32_t stack, uint64_t ns)
{
    if (one_in)
        hone_wall_find(wall, PID)->draw = (struct hone_wall_draw){.time_ns = clock_ns,
                                                                  .one_in = one_in,
                                                                  .sure = sure,
                                                                  .stack = stack,
                                                                  .kind = HONE_KIND_FUTEX};
    happens(HONE_SWITCH_BLOCKED);
    clock_ns += ns;
    happens(HONE_SWITCH_IN);
    clock_ns += MS / 10;
}

TEST(what_was_drawn_for_certain_stands_for_itself)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    waits_drawn(1, true, STACK_SHORT, 1 * MS);
    waits_drawn(0, false, 0, 8 * MS); // nobody saw it
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(sum(HONE_WAIT_LOCK, STACK_SHORT), 1 * MS);
    CHECK_EQ(collected.wall_facts.state_ns[HONE_WAIT_UNKNOWN], 8 * MS);
    CHECK_NEAR(blocks(HONE_WAIT_LOCK, STACK_SHORT), 1, 1e-9);
    end();
}

TEST(what_was_drawn_by_chance_stands_for_the_rest)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    waits_drawn(1, true, STACK_SHORT, 1 * MS);
    waits_drawn(0, false, 0, 8 * MS);
    waits_drawn(4, false, STACK_LONG, 2 * MS);
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(sum(HONE_WAIT_LOCK, STACK_SHORT), 1 * MS);
    CHECK_EQ(sum(HONE_WAIT_LOCK, STACK_LONG), 10 * MS);
    CHECK_NEAR(blocks(HONE_WAIT_LOCK, STACK_SHORT), 1, 1e-9);
    CHECK_NEAR(blocks(HONE_WAIT_LOCK, STACK_LONG), 2, 1e-9);
    end();
}

// Of short ones the number is known, too: those that were seen stand for all.
TEST(short_waits_add_up_to_their_number)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    for (int i = 0; i < 1000; i++) {
        happens(HONE_SWITCH_BLOCKED);
        if (i % 10 == 0)
            sees(STACK_SHORT, HONE_KIND_SLEEP, clock_ns, clock_ns);
        clock_ns += 1 * MS;
        happens(HONE_SWITCH_IN);
    }
    happens(HONE_SWITCH_END);
    finish();
    CHECK_NEAR(blocks(HONE_WAIT_SLEEP, STACK_SHORT), 1000, 1e-6);
    CHECK_EQ(sum(HONE_WAIT_SLEEP, STACK_SHORT), 1000 * MS);
    end();
}

// The kernel counts a switch as work, the records do not; and what a hypervisor takes they do.
TEST(what_the_kernel_counts_as_work_is_no_wait)
{
    for (int turn = 0; turn < 2; turn++) {
        uint64_t counted_ns = turn ? 5 * MS : 30 * MS;
        begin();
        happens(HONE_SWITCH_NEW);
        happens(HONE_SWITCH_IN);
        for (int i = 0; i < 10; i++) {
            clock_ns += 1 * MS;
            happens(HONE_SWITCH_BLOCKED);
            sees(STACK_LONG, HONE_KIND_PIPE, clock_ns + 1 * MS, clock_ns + 2 * MS);
            clock_ns += 40 * MS;
            happens(HONE_SWITCH_IN);
        }
        hone_wall_counted(hone_wall_find(wall, PID),
                          &(struct hone_wall_counts){.run_ns = counted_ns, .delay_ns = 20 * MS});
        happens(HONE_SWITCH_END);
        wall->polled = false; // as by switches
        finish();
        uint64_t more_ns = turn ? 0 : 20 * MS;
        CHECK_EQ(sum(HONE_WAIT_NONE, 0), 10 * MS + more_ns);
        CHECK_EQ(sum(HONE_WAIT_RUNNABLE, 0), 20 * MS);
        CHECK_EQ(sum(HONE_WAIT_PIPE, STACK_LONG), 380 * MS - more_ns);
        end();
    }
}

// What is waited for a CPU after each of a thousand short ones is no part of the long ones.
TEST(waits_for_a_cpu_are_taken_from_each_wait_alike)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    for (int i = 0; i < 1010; i++) {
        bool lasts = i >= 1000;
        clock_ns += 1 * MS;
        happens(HONE_SWITCH_BLOCKED);
        if (lasts)
            sees(STACK_LONG, HONE_KIND_SLEEP, clock_ns + 30 * MS, clock_ns + 30 * MS);
        clock_ns += lasts ? 60 * MS : 1 * MS;
        happens(HONE_SWITCH_IN);
    }
    const uint64_t delay_ns = 1010 * (uint64_t)(MS / 4); // a quarter of a millisecond each
    hone_wall_counted(hone_wall_find(wall, PID),
                      &(struct hone_wall_counts){.run_ns = 1010 * (uint64_t)MS,
                                                 .delay_ns = delay_ns});
    happens(HONE_SWITCH_END);
    wall->polled = false; // as by switches
    finish();
    CHECK_EQ(sum(HONE_WAIT_RUNNABLE, 0), delay_ns);
    CHECK_NEAR((double)sum(HONE_WAIT_SLEEP, STACK_LONG), 597.5 * MS, 1000);
    CHECK_NEAR((double)sum(HONE_WAIT_UNKNOWN, 0), 750.0 * MS, 1000);
    end();
}

TEST(wait_that_is_told_twice_is_one)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    happens(HONE_SWITCH_BLOCKED);
    clock_ns += 1000;
    happens(HONE_SWITCH_BLOCKED);
    sees(STACK_LONG, HONE_KIND_PIPE, clock_ns, clock_ns);
    clock_ns += 30 * MS;
    happens(HONE_SWITCH_IN);
    happens(HONE_SWITCH_END);
    finish();
    CHECK_EQ(collected.wall_facts.blocks, 1);
    CHECK_NEAR(blocks(HONE_WAIT_PIPE, STACK_LONG), 1, 1e-9);
    CHECK_EQ(sum(HONE_WAIT_PIPE, STACK_LONG), 30 * MS + 1000);
    end();
}

TEST(wait_that_goes_on_at_the_end_is_counted)
{
    begin();
    happens(HONE_SWITCH_NEW);
    happens(HONE_SWITCH_IN);
    happens(HONE_SWITCH_BLOCKED);
    sees(STACK_LONG, HONE_KIND_EPOLL, clock_ns, clock_ns);
    clock_ns += 300 * MS;
    hone_wall_enter(wall, hone_wall_find(wall, PID), HONE_WALL_ENDED, clock_ns);
    finish();
    CHECK_NEAR(blocks(HONE_WAIT_POLL, STACK_LONG), 1, 1e-9);
    end();
}
