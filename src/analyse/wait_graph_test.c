#include "analyse/wait_graph.h"

#include "base/starve.h"

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

// Threads 100, 101, …, all still and in need of a lock; each test says who holds it.
static struct hone_standstill_thread threads[16];
static struct hone_standstill stand;
static struct hone_wait_graph graph;

static void begin(uint32_t count)
{
    memset(threads, 0, sizeof threads);
    stand =
        (struct hone_standstill){.pid = 100, .complete = true, .threads = threads, .count = count};
    for (uint32_t i = 0; i < count; i++)
        threads[i] = (struct hone_standstill_thread){.tid = 100 + i,
                                                     .inner = 100 + i,
                                                     .still = true,
                                                     .waits_for_lock = true,
                                                     .waited_ns = 1000 + i};
}

static void wants(uint32_t thread, uint32_t owner)
{
    threads[thread].lock.state = (struct hone_lock_state){
        .kind = HONE_LOCK_MUTEX,
        .address = 0x1000 + owner,
        .holder = HONE_HOLDER_THREAD,
        .owner = owner,
    };
}

static void awaits_signal(uint32_t thread)
{
    threads[thread].lock.state =
        (struct hone_lock_state){.kind = HONE_LOCK_CONDITION, .address = 0x2000};
}

static void runs(uint32_t thread)
{
    threads[thread].still = threads[thread].waits_for_lock = false;
}

static uint32_t judge(void)
{
    CHECK_EQ(hone_wait_graph_new(&stand, &graph, NULL), 0);
    return graph.count;
}

TEST(threads_in_a_ring_are_one_finding_in_its_order)
{
    begin(5);
    wants(0, 103);
    wants(3, 101);
    wants(1, 100);
    wants(4, 101);
    runs(2);
    CHECK_EQ(judge(), 1);
    const struct hone_stuck_finding *finding = &graph.findings[0];
    CHECK_EQ(finding->kind, HONE_STUCK_CYCLE);
    CHECK_EQ(finding->member_count, 3);
    CHECK(finding->members[0] == 0 && finding->members[1] == 3 && finding->members[2] == 1);
    CHECK_EQ(finding->behind_count, 1);
    CHECK_EQ(finding->behind[0], 4);
    CHECK_EQ(finding->waited_ns, 1000);
    CHECK_EQ(graph.stuck, 4);
    hone_wait_graph_done(&graph);
}

TEST(two_rings_are_two_findings)
{
    begin(5);
    wants(0, 101);
    wants(1, 100);
    wants(2, 103);
    wants(3, 102);
    wants(4, 104);
    CHECK_EQ(judge(), 3);
    CHECK_EQ(graph.findings[2].kind, HONE_STUCK_SELF);
    hone_wait_graph_done(&graph);
}

TEST(a_chain_that_ends_at_one_who_may_go_on_is_none)
{
    begin(4);
    wants(0, 101);
    wants(1, 102);
    wants(2, 103);
    runs(3);
    CHECK_EQ(judge(), 0);
    CHECK_EQ(graph.stuck, 0);
    hone_wait_graph_done(&graph);
}

TEST(a_wait_with_a_limit_breaks_the_ring)
{
    begin(2);
    wants(0, 101);
    wants(1, 100);
    threads[1].limited = true;
    CHECK_EQ(judge(), 0);
    threads[1].limited = false;
    threads[1].others_may_wake = true;
    CHECK_EQ(judge(), 0);
    threads[1].others_may_wake = false;
    CHECK_EQ(judge(), 1);
    hone_wait_graph_done(&graph);
}

TEST(a_thread_that_has_run_between_the_looks_breaks_the_ring)
{
    begin(2);
    wants(0, 101);
    wants(1, 100);
    threads[0].still = threads[0].waits_for_lock = false;
    CHECK_EQ(judge(), 0);
    hone_wait_graph_done(&graph);
}

TEST(nobody_left_to_signal)
{
    begin(3);
    awaits_signal(0);
    awaits_signal(1);
    wants(2, 101);
    CHECK_EQ(judge(), 1);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_NOBODY);
    CHECK_EQ(graph.findings[0].member_count, 2);
    CHECK_EQ(graph.findings[0].behind_count, 1);
    hone_wait_graph_done(&graph);
}

TEST(one_who_may_still_signal_keeps_all_waiters_alive)
{
    begin(3);
    awaits_signal(0);
    wants(1, 100);
    runs(2);
    CHECK_EQ(judge(), 0);
    threads[2].ended = true; // and an end is nobody
    CHECK_EQ(judge(), 1);
    hone_wait_graph_done(&graph);
}

TEST(a_handler_of_a_signal_may_wake_anybody_but_no_ring)
{
    begin(3);
    awaits_signal(0);
    wants(1, 102);
    wants(2, 101);
    stand.caught = 1ull << (SIGTERM - 1);
    CHECK_EQ(judge(), 1);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_CYCLE);
    CHECK_EQ(graph.stuck, 2);
    hone_wait_graph_done(&graph);
    awaits_signal(1);
    CHECK_EQ(judge(), 0);
    CHECK(graph.only_signals);
    stand.caught = 1ull << (SIGSEGV - 1) | 1ull << (SIGPROF - 1); // nobody sends those
    CHECK_EQ(judge(), 1);
    CHECK(!graph.only_signals);
    hone_wait_graph_done(&graph);
}

TEST(a_thread_that_came_meanwhile_may_wake_anybody_and_hold_anything)
{
    begin(2);
    awaits_signal(0);
    wants(1, 555);
    stand.complete = false;
    CHECK_EQ(judge(), 0);
    hone_wait_graph_done(&graph);
}

TEST(locks_of_a_thread_that_has_ended_are_abandoned)
{
    begin(4);
    wants(0, 555);
    wants(1, 555);
    wants(2, 556);
    runs(3);
    CHECK_EQ(judge(), 2);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_ABANDONED);
    CHECK_EQ(graph.findings[0].member_count, 2);
    CHECK_EQ(graph.findings[1].member_count, 1);
    hone_wait_graph_done(&graph);
    threads[0].lock.state.robust = threads[1].lock.state.robust = true; // the next one gets it
    threads[2].lock.state.shared = true;                                // another process's thread
    CHECK_EQ(judge(), 0);
    hone_wait_graph_done(&graph);
}

TEST(after_a_fork_an_unknown_holder_may_be_the_first_thread)
{
    begin(2);
    stand.forked = true;
    wants(1, 50); // an older number: of a thread of the parent's
    runs(0);
    CHECK_EQ(judge(), 0);
    hone_wait_graph_done(&graph);
    begin(1);
    stand.forked = true;
    wants(0, 50);
    CHECK_EQ(judge(), 1);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_FORKED);
    hone_wait_graph_done(&graph);
    begin(2);
    stand.forked = true;
    wants(1, 4000000000u); // a later one: of a thread of its own
    runs(0);
    CHECK_EQ(judge(), 1);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_ABANDONED);
    hone_wait_graph_done(&graph);
}

TEST(a_lock_that_is_free_is_about_to_be_taken)
{
    begin(1);
    threads[0].lock.state =
        (struct hone_lock_state){.kind = HONE_LOCK_MUTEX, .holder = HONE_HOLDER_NONE};
    CHECK_EQ(judge(), 0);
    hone_wait_graph_done(&graph);
}

TEST(joins_in_a_ring_and_behind_one)
{
    begin(3);
    for (uint32_t i = 0; i < 2; i++) {
        wants(i, 101 - i);
        threads[i].lock.state.kind = HONE_LOCK_JOIN;
    }
    wants(2, 100);
    threads[2].lock.state.kind = HONE_LOCK_JOIN;
    CHECK_EQ(judge(), 1);
    CHECK_EQ(graph.findings[0].kind, HONE_STUCK_CYCLE);
    CHECK_EQ(graph.findings[0].behind_count, 1);
    hone_wait_graph_done(&graph);
}

TEST(memory_that_runs_out_is_told_and_nothing_is_left)
{
    begin(4);
    wants(0, 101);
    wants(1, 100);
    wants(2, 555);
    awaits_signal(3);
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = hone_wait_graph_new(&stand, &graph, NULL);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        hone_wait_graph_done(&graph);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
}
