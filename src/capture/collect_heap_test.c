#include "capture/collect.h"

#include "capture/output.h"
#include "capture/profile_parts.h"

#include "core/clock.h"
#include "profile/profile.h"
#include "symbol/symbol.h"

#include "check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct hone_reader_events *const events = &hone_collect_events;

static void begin(struct hone_collected *collected)
{
    CHECK_EQ(hone_collect_init(collected), 0);
    struct hone_process_facts facts = {.pid = 100};
    events->process(collected, 0, &facts);
    alignas(8) char bytes[sizeof(struct hone_record_stack) + 8] = {0};
    struct hone_record_stack *stack = (struct hone_record_stack *)bytes;
    stack->record.small = 1;
    stack->count = 1;
    stack->addresses[0] = 0x4242;
    events->stack(collected, 0, stack);
    const struct hone_record_thread thread = {.record.small = 0, .tid = UINT32_MAX};
    events->thread(collected, 0, &thread);
}

static struct hone_heap_site site_with(uint32_t mark, uint64_t allocated, uint64_t freed)
{
    return (struct hone_heap_site){
        .stack = 1,
        .keeper = 1,
        .mark = mark,
        .allocated = allocated,
        .allocated_bytes = allocated * 10,
        .freed = freed,
        .freed_bytes = freed * 10,
    };
}

static void look(struct hone_collected *collected, uint64_t now_ns, struct hone_heap_site site,
                 bool last)
{
    struct hone_process_facts facts = {.pid = 100};
    collected->now_ns = now_ns;
    events->heap_site(collected, 0, &facts, 7, &site, last);
}

static void mark(struct hone_collected *collected, uint32_t number, uint64_t time_ns,
                 const char *name)
{
    struct hone_reader_mark mark = {.time_ns = time_ns, .pid = 100};
    (void)snprintf(mark.name, sizeof mark.name, "%s", name);
    events->mark(collected, number, &mark);
}

static void keep(struct hone_collected *collected, uint32_t since, uint32_t mark, int64_t live)
{
    const struct hone_record_heap_kept kept = {
        .site = 7, .stack = 1, .since = since, .mark = mark, .live = live, .live_bytes = live * 10};
    events->heap_kept(collected, 0, &kept);
}

static double in_generation(const struct hone_collected *collected, uint32_t generation)
{
    double objects = 0;
    for (uint32_t i = 0; i < collected->heap_series.count; i++)
        if (collected->heap_series.at[i].generation == generation)
            objects += collected->heap_series.at[i].objects;
    return objects;
}

enum { DRAWN = 1 << HONE_HEAP_LIVES_DRAWN_SHIFT };

static struct hone_collected_lives lives_of(struct hone_heap_site *sites, size_t count)
{
    struct hone_heap_sites collected = {0};
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(hone_heap_sites_add(&collected, 0, 1, &sites[i], 0), 0);
    struct hone_collected_lives lives;
    hone_collected_lives(&collected.at[0], &lives);
    hone_heap_sites_done(&collected);
    return lives;
}

TEST(lives_of_a_sites_first_blocks_are_exact)
{
    struct hone_heap_site site = site_with(0, 1024, 1000);
    site.lives[0] = 700;
    site.lives_elsewhere[3] = 299; // one is being told just now
    struct hone_collected_lives lives = lives_of(&site, 1);
    CHECK_EQ(lives.timed, 999);
    CHECK_EQ(lives.objects[0], 700);
    CHECK_EQ(lives.objects[3], 299);
    for (int i = 0; i < HONE_HEAP_LIVES; i++)
        CHECK_EQ(lives.errors[i], 0);
}

TEST(lives_of_those_drawn_stand_for_the_others)
{
    struct hone_heap_site sites[] = {site_with(0, 1 << 20, 1000001), site_with(0, 500, 500)};
    sites[0].lives[0] = 1000 + (uint64_t)40000 * DRAWN;
    sites[0].lives[1] = 1 + (uint64_t)100 * DRAWN;
    sites[0].lives_elsewhere[3] = (uint64_t)19900 * DRAWN;
    sites[1].lives[5] = 500;
    struct hone_collected_lives lives = lives_of(sites, 2);
    CHECK_EQ(lives.timed, 61501);
    CHECK_EQ(lives.objects[0], 1000 + 666000); // of 999000
    CHECK_EQ(lives.objects[1], 1 + 1665);
    CHECK_EQ(lives.objects[3], 331335);
    CHECK_EQ(lives.objects[5], 500);
    CHECK_EQ(lives.errors[0] / 10, 377); // 1.96 sqrt(2/9 / 60000)
    CHECK(lives.errors[1] > 320 && lives.errors[1] < 370);
    CHECK(lives.errors[2] > 50 && lives.errors[2] < 90); // none of them was drawn
}

TEST(lives_of_which_none_was_drawn_may_be_any)
{
    struct hone_heap_site site = site_with(0, 2000, 1010);
    site.lives[2] = 750;
    site.lives[4] = 250;
    struct hone_collected_lives lives = lives_of(&site, 1);
    CHECK_EQ(lives.timed, 1000);
    CHECK_EQ(lives.objects[2] + lives.objects[4], 1010);
    CHECK_EQ(lives.errors[2], 8); // from 750 to 760
    CHECK_EQ(lives.errors[3], 10);
}

TEST(looks_add_up_to_what_lives)
{
    struct hone_collected collected;
    begin(&collected);
    look(&collected, 1000000, site_with(0, 5, 0), false);
    look(&collected, 50000000, site_with(0, 9, 1), false);
    look(&collected, 90000000, site_with(0, 9, 7), false);
    look(&collected, 95000000, site_with(0, 12, 7), true);
    CHECK_EQ(collected.heap_series.count, 3); // the last two in one interval
    CHECK_EQ(in_generation(&collected, 0), 5);
    CHECK_EQ(collected.heap_sites.at[0].live, 5);
    CHECK_EQ(collected.heap_sites.at[0].live_bytes, 50);
    hone_collect_done(&collected);
}

TEST(change_before_a_mark_is_of_the_time_before_however_late_it_is_seen)
{
    struct hone_collected collected;
    begin(&collected);
    look(&collected, 1000000, site_with(0, 5, 0), false);
    mark(&collected, 0, 2000000, "one");
    mark(&collected, 1, 3000000, "two");
    keep(&collected, 0, 1, 8);
    keep(&collected, 1, 2, 20);
    look(&collected, 4000000, site_with(2, 20, 7), false);
    CHECK_EQ(in_generation(&collected, 0), 8);
    CHECK_EQ(in_generation(&collected, 1), 12);
    CHECK_EQ(in_generation(&collected, 2), -7);
    hone_collect_done(&collected);
}

TEST(look_that_comes_before_the_record_of_a_mark_waits)
{
    struct hone_collected collected;
    begin(&collected);
    look(&collected, 1000000, site_with(0, 5, 0), false);
    mark(&collected, 0, 2000000, "one");
    look(&collected, 3000000, site_with(1, 30, 0), false); // of which 8 are from before
    keep(&collected, 0, 1, 8);
    look(&collected, 4000000, site_with(1, 30, 0), false);
    CHECK_EQ(in_generation(&collected, 0), 8);
    CHECK_EQ(in_generation(&collected, 1), 22);
    // One that never comes is not waited for twice.
    look(&collected, 5000000, site_with(2, 31, 0), false);
    look(&collected, 6000000, site_with(2, 31, 0), false);
    CHECK_EQ(in_generation(&collected, 0) + in_generation(&collected, 1), 31);
    hone_collect_done(&collected);
}

TEST(change_that_is_seen_after_the_next_mark_has_the_time_of_that)
{
    struct hone_collected collected;
    begin(&collected);
    mark(&collected, 0, 12000000, "one");
    look(&collected, 95000000, site_with(0, 5, 0), false);
    CHECK_EQ(collected.heap_series.count, 1);
    CHECK_EQ(collected.heap_series.at[0].interval, 1); // of 10 ms
    look(&collected, 97000000, site_with(1, 6, 0), true);
    CHECK_EQ(collected.heap_series.count, 2);
    CHECK_EQ(collected.heap_series.at[1].interval, 9);
    hone_collect_done(&collected);
}

TEST(sampled_block_is_of_the_time_when_it_was_made_and_freed)
{
    struct hone_collected collected;
    begin(&collected);
    mark(&collected, 0, 5000000, "one");
    struct hone_record_heap_alloc made = {
        .time_ns = 4000000, .stack = 1, .size = 100, .rate = 1, .block = 1};
    events->heap_alloc(&collected, 0, &made);
    made.time_ns = 6000000;
    made.block = 2;
    events->heap_alloc(&collected, 0, &made);
    made.block = 0; // its end will not be told
    events->heap_alloc(&collected, 0, &made);
    const struct hone_record_heap_free freed = {.time_ns = 7000000, .block = 1};
    events->heap_free(&collected, 0, &freed);
    CHECK_EQ(in_generation(&collected, 0), 1);
    CHECK_EQ(in_generation(&collected, 1), 0);
    CHECK_EQ(collected.heap.at[0].live, 1);
    hone_collect_done(&collected);
}

TEST(time_that_is_yet_to_come_is_not_believed)
{
    struct hone_collected collected;
    begin(&collected);
    const uint64_t now_ns = hone_now_ns();
    collected.heap_series.started_ns = now_ns - 1000000000;
    collected.now_ns = now_ns;
    struct hone_record_heap_alloc made = {
        .time_ns = now_ns, .stack = 1, .size = 100, .rate = 1, .block = 1};
    events->heap_alloc(&collected, 0, &made);
    uint64_t width_ns = collected.heap_series.width_ns;
    made.time_ns = UINT64_MAX;
    made.block = 2;
    events->heap_alloc(&collected, 0, &made);
    const struct hone_record_heap_free freed = {.time_ns = now_ns + 31536000000000000, .block = 1};
    events->heap_free(&collected, 0, &freed);
    struct hone_process_facts facts = {.pid = 100, .ended_ns = UINT64_MAX / 2};
    struct hone_heap_site site = site_with(0, 5, 0);
    events->heap_site(&collected, 0, &facts, 7, &site, true);
    CHECK(collected.heap_series.width_ns <= 16 * width_ns); // however slow this machine is
    CHECK_EQ(in_generation(&collected, 0), 6);
    hone_collect_done(&collected);
}

TEST(peak_is_what_a_site_kept_where_it_has_changed_since)
{
    struct hone_heap_sites sites = {0};
    struct hone_heap_site site = site_with(0, 9, 4);
    site.peak = 7;
    site.peak_bytes = 70;
    site.fall = 3;
    CHECK_EQ(hone_heap_sites_add(&sites, 0, 1, &site, 3), 0); // kept at this fall
    CHECK_EQ(sites.at[0].peak, 7);
    CHECK_EQ(hone_heap_sites_add(&sites, 0, 2, &site, 5), 0); // unchanged since
    CHECK_EQ(sites.at[1].peak, 5);
    CHECK_EQ(hone_heap_sites_add(&sites, 0, 3, &site, 4), 0); // the total is at its peak
    CHECK_EQ(sites.at[2].peak, 5);
    CHECK_EQ(hone_heap_sites_add(&sites, 0, 3, &site, 4), 0); // another thread's
    CHECK_EQ(sites.at[2].peak, 10);
    CHECK_EQ(sites.at[2].allocated_bytes, 180);
    hone_heap_sites_done(&sites);
}

TEST(marks_have_names_that_can_be_shown)
{
    struct hone_collected collected;
    begin(&collected);
    mark(&collected, 0, 10, "a\x1b[2J");
    mark(&collected, 1, 0, ""); // whoever made it died meanwhile
    mark(&collected, 1, 30, "a second time the same number");
    CHECK_EQ(collected.mark_count, 2);
    CHECK(!strchr(collected.marks[0].name, '\x1b'));
    CHECK_STR(collected.marks[1].name, "?");
    CHECK_EQ(collected.marks[1].time_ns, 10);
    hone_collect_done(&collected);
}

TEST(numbers_of_marks_and_sites_are_not_believed)
{
    struct hone_collected collected;
    begin(&collected);
    keep(&collected, 70, 71, 5); // no such mark
    keep(&collected, 3, 4, 5);   // not told yet
    struct hone_record_heap_kept kept = {.site = UINT64_MAX, .stack = 1, .live = 5};
    events->heap_kept(&collected, 0, &kept);
    kept = (struct hone_record_heap_kept){.site = 8, .stack = UINT64_MAX, .live = 5};
    events->heap_kept(&collected, 0, &kept);
    kept.stack = 99; // never written
    events->heap_kept(&collected, 0, &kept);
    look(&collected, 1000, site_with(UINT32_MAX, 7, 0), true);
    for (uint32_t i = 0; i < collected.heap_series.count; i++)
        CHECK_EQ(collected.heap_series.at[i].generation, 0);
    CHECK_EQ(in_generation(&collected, 0), 7);
    CHECK_EQ(hone_collect_status(&collected), 0);
    hone_collect_done(&collected);
}

TEST(what_is_rounded_away_is_not_lost)
{
    double rest = 0;
    int64_t sum = 0;
    for (int i = 1; i <= 1000; i++) {
        sum += hone_builder_whole_of(1.003, &rest);
        CHECK((double)sum > 1.003 * i - 1 && (double)sum < 1.003 * i + 1);
    }
    CHECK_EQ(sum, 1003);
    rest = 0;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(hone_builder_whole_of(3, &rest), 3);
    CHECK_EQ(hone_builder_whole_of(NAN, &rest), 0);
    CHECK_EQ(hone_builder_whole_of(INFINITY, &rest), 0);
    CHECK_EQ(hone_builder_whole_of(2, &rest), 2);
}

// One of them stands for more bytes than any number here holds.
TEST(sizes_beyond_all_numbers_make_no_negative_ones)
{
    struct hone_collected collected;
    begin(&collected);
    collected.heap_series.started_ns = hone_now_ns();
    const struct hone_record_heap_alloc made = {
        .stack = 1, .size = UINT64_MAX, .rate = 1, .block = 1};
    events->heap_alloc(&collected, 0, &made);
    struct hone_collected_leak leak = {
        .reach = HONE_REACH_UNREACHABLE, .objects = 1e30, .bytes = 1e30};
    collected.leaks = &leak;
    collected.leak_count = 1;
    const struct hone_capture_options options = {.heap_rate = 1};
    const struct hone_recording recording = {
        .options = &options, .argv = (char *[]){"program", NULL}, .collected = &collected};
    struct hone_symbolizer *symbolizer = NULL;
    CHECK_EQ(hone_recording_symbolizer(&options, &symbolizer, NULL), 0);
    static const int files[] = {HONE_CAPTURE_HEAP, HONE_RECORDING_HEAP_TIME, HONE_CAPTURE_LEAKS};
    for (size_t file = 0; file < sizeof files / sizeof files[0]; file++) {
        struct hone_profile *profile = NULL;
        CHECK_EQ(hone_recording_profile(&recording, symbolizer, files[file], &profile, NULL, NULL),
                 0);
        CHECK_EQ(profile->samples.count, 1);
        for (uint32_t type = 0; type < profile->type_count; type++)
            CHECK(profile->samples.values[type][0] >= 0);
        hone_profile_free(profile);
    }
    hone_symbolizer_free(symbolizer);
    collected.leaks = NULL;
    collected.leak_count = 0;
    hone_collect_done(&collected);
}

// Whether the profile says that allocations were lost, and that for this reason.
static bool says_lost(const struct hone_recording *recording, const char *reason)
{
    struct hone_profile *profile = hone_profile_new();
    bool found = false;
    if (!profile)
        return false;
    hone_recording_comment_heap(recording, HONE_CAPTURE_HEAP, profile);
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        found = found || (strstr(comment, "lost: 7 allocations, ") && strstr(comment, reason));
    }
    hone_profile_free(profile);
    return found;
}

TEST(why_allocations_were_lost_is_told)
{
    struct hone_collected collected;
    begin(&collected);
    collected.processes[0].facts.heap_no_site = 7;
    const struct hone_capture_options options = {.heap_rate = 1};
    struct hone_recording recording = {.options = &options, .collected = &collected};
    CHECK(says_lost(&recording, "in the program"));
    recording.no_room = 1;
    CHECK(says_lost(&recording, "in a burst"));
    CHECK(!says_lost(&recording, "raise --memory"));
    recording.full = true;
    CHECK(says_lost(&recording, "raise --memory"));
    recording.back_error = -ENOSPC;
    CHECK(says_lost(&recording, strerror(ENOSPC)));
    hone_collect_done(&collected);
}
