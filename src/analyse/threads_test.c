#include "analyse/threads.h"

#include "analyse/thread_leaks.h"
#include "base/starve.h"
#include "profile/profile.h"

#include "check.h"

#include <errno.h>

static struct hone_profile *profile;

static uint32_t stack_of(const char *name)
{
    uint32_t function = hone_profile_add_function(
        profile, &(struct hone_profile_function){.name = hone_profile_intern(profile, name)});
    struct hone_profile_line line = {.function = function};
    uint32_t location = hone_profile_add_location(
        profile, &(struct hone_profile_location){.lines = &line, .line_count = 1});
    return hone_profile_add_stack(profile, &location, 1);
}

// --- a moment ------------------------------------------------------------------------------------

static void add_thread(const char *function, int64_t pid, int64_t tid, const char *state,
                       const char *wait, int64_t waits_ns)
{
    struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(profile, "pid"), .number = pid},
        {.key = hone_profile_intern(profile, "tid"), .number = tid},
        {.key = hone_profile_intern(profile, "state"), .text = hone_profile_intern(profile, state)},
        {.key = hone_profile_intern(profile, "wait"), .text = hone_profile_intern(profile, wait)},
        {.key = hone_profile_intern(profile, "waits"), .number = waits_ns},
    };
    (void)hone_profile_add_sample(profile, stack_of(function), (int64_t[]){1}, labels,
                                  waits_ns < 0 ? 4 : 5);
}

static void make_threads(void)
{
    profile = hone_profile_new();
    hone_profile_add_type(profile, "threads", "count");
    add_thread("idle", 7, 12, "lock", "condition", 5000);
    add_thread("busy", 7, 7, "running", "", -1);
    add_thread("idle", 7, 9, "lock", "condition", 300);
    add_thread("idle", 7, 10, "lock", "mutex", 400);
    add_thread("busy", 8, 8, "running", "", -1);
    add_thread("idle", 7, 11, "lock", "condition", 600);
}

TEST(threads_of_one_place_state_and_creator_are_a_group)
{
    struct hone_thread_list list;
    make_threads();
    CHECK_EQ(hone_thread_list_new(profile, &list, NULL), 0);
    CHECK_EQ(list.total, 6);
    CHECK_EQ(list.processes, 2);
    CHECK_EQ(list.group_count, 3);
    const struct hone_thread_group *idle = &list.groups[0];
    CHECK_EQ(idle->count, 3);
    CHECK_EQ(idle->shortest_ns, 300);
    CHECK_EQ(idle->longest_ns, 5000);
    CHECK_EQ(list.rows[idle->first].tid, 9);
    CHECK_EQ(list.rows[idle->first + 2].tid, 12);
    CHECK_STR(list.rows[list.groups[1].first].state, "running");
    CHECK_EQ(list.groups[1].longest_ns, -1);
    CHECK_EQ(list.state_count, 3);
    CHECK_STR(list.states[0].name, "condition");
    CHECK_EQ(list.states[0].count, 3);
    hone_thread_list_done(&list);
    hone_profile_free(profile);
}

TEST(a_profile_of_something_else_is_refused)
{
    struct hone_thread_list list;
    struct hone_error err = {0};
    profile = hone_profile_new();
    hone_profile_add_type(profile, "cpu", "nanoseconds");
    CHECK_EQ(hone_thread_list_new(profile, &list, &err), -EINVAL);
    CHECK_STR(err.message, "it is no profile of threads");
    hone_profile_free(profile);
}

// --- over time -----------------------------------------------------------------------------------

static void new_course(int64_t duration_ns)
{
    static const char *const types[] = {"created", "ended", "most", "lived", "alive"};
    profile = hone_profile_new();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        hone_profile_add_type(profile, types[i], i == 3 ? "nanoseconds" : "count");
    hone_profile_set_default_type(profile, "alive");
    profile->duration_ns = duration_ns;
}

static void add_change(const char *function, int64_t pid, int64_t time_ms,
                       const int64_t values[static 5])
{
    struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(profile, "pid"), .number = pid},
        {.key = hone_profile_intern(profile, "time"), .number = time_ms},
    };
    (void)hone_profile_add_sample(profile, stack_of(function), values, labels, 2);
}

// Ten seconds: one thread more every 100 ms, a pool of 40 made in the first second, and threads
// that live for one interval.
static void make_course(void)
{
    new_course(10000000000);
    for (int64_t ms = 100; ms <= 10000; ms += 100) {
        add_change("leak", 1, ms, (int64_t[]){1, 0, ms == 10000 ? 100 : 0, 0, 1});
        add_change("brief", 1, ms, (int64_t[]){3, 3, ms == 100 ? 2 : 0, 9000, 0});
        if (ms <= 1000)
            add_change("pool", 1, ms, (int64_t[]){4, 0, ms == 1000 ? 40 : 0, 0, 4});
    }
}

TEST(a_site_whose_threads_pile_up_leaks_and_a_pool_does_not)
{
    struct hone_thread_leaks leaks;
    make_course();
    CHECK_EQ(hone_thread_leaks_new(profile, &leaks, NULL), 0);
    CHECK_EQ(leaks.count, 3);
    CHECK_EQ(leaks.growing, 1);
    CHECK_EQ(leaks.created, 100 + 300 + 40);
    CHECK_EQ(leaks.ended, 300);
    CHECK_EQ(leaks.alive, 140);
    const struct hone_thread_origin *leak = &leaks.origins[0], *pool = &leaks.origins[1];
    CHECK_EQ(leak->stack, stack_of("leak"));
    CHECK_EQ(leak->is.verdict, HONE_GROWTH_FAST);
    CHECK(leak->is.rate > 9.9 && leak->is.rate < 10.1);
    CHECK_EQ(leak->most, 100);
    CHECK_EQ(pool->stack, stack_of("pool"));
    CHECK(pool->is.verdict < HONE_GROWTH_SLOW);
    CHECK_EQ(pool->most, 40);
    CHECK_EQ(leaks.origins[2].lived_ns, 100 * 9000);
    hone_thread_leaks_done(&leaks);
    hone_profile_free(profile);
}

TEST(threads_of_several_processes_are_summed_and_judged_apart)
{
    struct hone_thread_leaks leaks;
    new_course(10000000000);
    // Each leaves one behind, as a hundred short processes with a thread do.
    for (int64_t ms = 100; ms <= 10000; ms += 100)
        add_change("each", ms, ms, (int64_t[]){1, 0, 1, 0, 1});
    CHECK_EQ(hone_thread_leaks_new(profile, &leaks, NULL), 0);
    CHECK_EQ(leaks.count, 1);
    CHECK_EQ(leaks.origins[0].processes, 100);
    CHECK_EQ(leaks.origins[0].alive, 100);
    CHECK_EQ(leaks.growing, 0);
    hone_thread_leaks_done(&leaks);
    hone_profile_free(profile);
}

TEST(what_lacks_a_type_is_refused)
{
    struct hone_thread_leaks leaks;
    struct hone_error err = {0};
    make_threads();
    CHECK_EQ(hone_thread_leaks_new(profile, &leaks, &err), -EINVAL);
    hone_profile_free(profile);
}

// --- without memory ------------------------------------------------------------------------------

static int read_threads(void)
{
    struct hone_thread_list list;
    int r = hone_thread_list_new(profile, &list, NULL);
    if (!r)
        hone_thread_list_done(&list);
    return r;
}

static int judge_course(void)
{
    struct hone_thread_leaks leaks;
    int r = hone_thread_leaks_new(profile, &leaks, NULL);
    if (!r)
        hone_thread_leaks_done(&leaks);
    return r;
}

static void starve(int (*work)(void))
{
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        hone_starve_after = after;
        int r = work();
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(hone_starve_blocks, before);
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        if (!starved)
            break;
    }
}

TEST(memory_that_is_out_is_told)
{
    make_threads();
    starve(read_threads);
    hone_profile_free(profile);
    make_course();
    starve(judge_course);
    hone_profile_free(profile);
}
