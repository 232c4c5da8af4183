// What verdicts on growth promise, by simulation: leaks that were planted are found, and programs
// that fill, empty and fill again are not accused, over many seeds.
#include "analyse/growth.h"

#include "base/starve.h"
#include "profile/profile.h"

#include "check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { POINTS = 120, SEEDS = 400 };

static uint64_t state;

static double uniform(void) // above 0 and below 1
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static double between(double low, double high)
{
    return low + (high - low) * uniform();
}

// Noise in which neighbours resemble each other by `memory`, of this standard deviation.
static void add_noise(struct hone_growth_point *points, int count, double memory, double deviation)
{
    double now = normal();
    for (int i = 0; i < count; i++) {
        points[i].bytes += now * deviation;
        now = memory * now + sqrt(1 - memory * memory) * normal();
    }
}

static void begin(struct hone_growth_point *points, int count, double time_s, double bytes)
{
    for (int i = 0; i < count; i++)
        points[i] = (struct hone_growth_point){time_s * (i + 1) / count, bytes};
}

static void add_rise(struct hone_growth_point *points, int count, double rate)
{
    for (int i = 0; i < count; i++)
        points[i].bytes += rate * points[i].time_s;
}

static struct hone_growth judged(const struct hone_growth_point *points, int count, double series)
{
    const struct hone_growth_options options = {.series = series};
    struct hone_growth growth;
    CHECK_EQ(hone_growth_judge(points, (size_t)count, &options, &growth), 0);
    return growth;
}

// --- leaks ---------------------------------------------------------------------------------------

// How many of SEEDS leaks of that rate, in noise, get that verdict.
static int found(double rate, double time_s, double deviation, enum hone_growth_verdict verdict)
{
    int right = 0;
    state = 88172645463325252u;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hone_growth_point points[POINTS];
        begin(points, POINTS, time_s, 50e6);
        add_rise(points, POINTS, rate);
        add_noise(points, POINTS, 0.5, deviation);
        struct hone_growth growth = judged(points, POINTS, 1000);
        right += growth.verdict == verdict;
        CHECK(growth.low <= growth.rate && growth.rate <= growth.high);
    }
    return right;
}

TEST(planted_leaks_are_found)
{
    // Of those at the very limit nearly all, for the slope is told with an error.
    CHECK(found(1e6, 60, 1e6, HONE_GROWTH_FAST) >= SEEDS * 95 / 100);
    CHECK_EQ(found(5e6, 60, 5e6, HONE_GROWTH_FAST), SEEDS);
    CHECK_EQ(found(10e6, 60, 5e6, HONE_GROWTH_FAST), SEEDS);
    CHECK_EQ(found(10e6, 10, 1e6, HONE_GROWTH_FAST), SEEDS);
    CHECK(found(100e6 / 3600, 7200, 2e6, HONE_GROWTH_SLOW) >= SEEDS * 95 / 100);
    CHECK_EQ(found(200e6 / 3600, 7200, 5e6, HONE_GROWTH_SLOW), SEEDS);
}

TEST(limits_hold_the_true_rate)
{
    int outside = 0;
    state = 88172645463325252u;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hone_growth_point points[POINTS];
        begin(points, POINTS, 60, 50e6);
        add_rise(points, POINTS, 5e6);
        add_noise(points, POINTS, 0.7, 5e6);
        struct hone_growth growth = judged(points, POINTS, 1);
        outside += growth.low > 5e6 || growth.high < 5e6;
    }
    if (getenv("HONE_TELL"))
        (void)fprintf(stderr, "true rate outside: %d of %d\n", outside, SEEDS);
    CHECK(outside <= SEEDS * 5 / 100); // 2 of 100 are promised for independent noise
}

TEST(ten_snapshots_of_a_plain_leak_are_enough)
{
    struct hone_growth_point points[10];
    begin(points, 10, 10, 20e6);
    add_rise(points, 10, 5e6);
    struct hone_growth growth = judged(points, 10, 1);
    CHECK_EQ(growth.verdict, HONE_GROWTH_FAST);
    CHECK_NEAR(growth.rate, 5e6, 1);
    CHECK_NEAR(growth.low, 5e6, 1);
    CHECK_EQ(judged(points, 10, 100).verdict, HONE_GROWTH_FAST);
    CHECK_EQ(judged(points, 10, 1000).verdict, HONE_GROWTH_STEADY); // one of 8! is too likely
}

// --- no verdict ----------------------------------------------------------------------------------

TEST(short_windows_have_no_verdict)
{
    struct hone_growth_point points[POINTS];
    begin(points, POINTS, 6, 0);
    add_rise(points, POINTS, 50e6);
    CHECK_EQ(judged(points, POINTS, 1).verdict, HONE_GROWTH_SHORT); // 4.8 s are left
    begin(points, 9, 60, 0);
    add_rise(points, 9, 50e6);
    CHECK_EQ(judged(points, 9, 1).verdict, HONE_GROWTH_SHORT); // 7 moments
    begin(points, POINTS, 1400, 0);
    add_rise(points, POINTS, 0.5e6);
    CHECK_EQ(judged(points, POINTS, 1).verdict, HONE_GROWTH_STEADY); // too short for a slow one
    begin(points, POINTS, 1600, 0);
    add_rise(points, POINTS, 0.5e6);
    CHECK_EQ(judged(points, POINTS, 1).verdict, HONE_GROWTH_SLOW);
    CHECK_EQ(judged(points, 0, 1).verdict, HONE_GROWTH_SHORT);
    CHECK_EQ(judged(points, 1, 1).verdict, HONE_GROWTH_SHORT);
}

// How many of SEEDS series of a shape are accused.
static int accused(void (*draw)(struct hone_growth_point *points, double time_s), double time_s)
{
    int wrong = 0;
    state = 88172645463325252u;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hone_growth_point points[POINTS];
        begin(points, POINTS, time_s, 100e6);
        draw(points, time_s);
        wrong += judged(points, POINTS, 1).verdict > HONE_GROWTH_STEADY;
    }
    return wrong;
}

static void shrink(struct hone_growth_point *points, double time_s)
{
    add_rise(points, POINTS, -between(0.1, 0.9) * 100e6 / time_s);
    add_noise(points, POINTS, 0.5, 5e6);
}

static void fill_to_a_bound(struct hone_growth_point *points, double time_s)
{
    double bound = between(20e6, 500e6), full_s = time_s * between(0.05, 0.7);
    for (int i = 0; i < POINTS; i++)
        points[i].bytes += bound * fmin(1, points[i].time_s / full_s);
    add_noise(points, POINTS, 0.5, bound / 100);
}

static void fill_ever_slower(struct hone_growth_point *points, double time_s)
{
    double bound = between(20e6, 500e6), scale_s = time_s * between(0.03, 0.2);
    for (int i = 0; i < POINTS; i++)
        points[i].bytes += bound * (1 - exp(-points[i].time_s / scale_s));
    add_noise(points, POINTS, 0.5, bound / 100);
}

// Memory that is collected now and then.
static void saw_tooth(struct hone_growth_point *points, double time_s)
{
    double period_s = time_s * between(0.03, 0.6), height = between(10e6, 300e6);
    double phase = uniform();
    for (int i = 0; i < POINTS; i++)
        points[i].bytes += height * fmod(points[i].time_s / period_s + phase, 1);
    add_noise(points, POINTS, 0.5, height / 50);
}

static void independent_noise(struct hone_growth_point *points, double time_s)
{
    (void)time_s;
    add_noise(points, POINTS, 0, 50e6);
}

static void lasting_noise(struct hone_growth_point *points, double time_s)
{
    (void)time_s;
    add_noise(points, POINTS, 0.9, 50e6);
}

static void very_lasting_noise(struct hone_growth_point *points, double time_s)
{
    (void)time_s;
    add_noise(points, POINTS, 0.97, 50e6);
}

// A step up, as when a second client connects, and perhaps down again.
static void step(struct hone_growth_point *points, double time_s)
{
    double from_s = time_s * between(0, 1),
           to_s = uniform() < 0.5 ? between(from_s, time_s) : time_s;
    double height = between(10e6, 300e6);
    for (int i = 0; i < POINTS; i++)
        if (points[i].time_s >= from_s && points[i].time_s <= to_s)
            points[i].bytes += height;
    add_noise(points, POINTS, 0.5, 2e6);
}

TEST(programs_without_a_leak_are_not_accused)
{
    static const struct {
        const char *name;
        void (*draw)(struct hone_growth_point *, double);
        int most; // of SEEDS
    } shapes[] = {
        {"shrinking", shrink, 0},
        {"filling to a bound", fill_to_a_bound, 0},
        {"filling ever slower", fill_ever_slower, 0},
        {"saw-tooth", saw_tooth, 0},
        {"independent noise", independent_noise, 0},
        {"lasting noise", lasting_noise, 4},
        {"very lasting noise", very_lasting_noise, 8},
        {"a step", step, 0},
    };
    static const double times_s[] = {20, 120, 3600};
    for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++) {
        for (size_t time = 0; time < 3; time++) {
            int wrong = accused(shapes[shape].draw, times_s[time]);
            if (getenv("HONE_TELL"))
                (void)fprintf(stderr, "%s, %.0f s: %d of %d accused\n", shapes[shape].name,
                              times_s[time], wrong, SEEDS);
            if (!getenv("HONE_TELL"))
                cr_assert(wrong <= shapes[shape].most, "%s, %.0f s: %d of %d are accused",
                          shapes[shape].name, times_s[time], wrong, SEEDS);
        }
    }
}

// --- of a profile --------------------------------------------------------------------------------

enum { SITES = 40 };

struct heap {
    struct hone_profile *profile;
    uint32_t stacks[SITES], time, pid;
};

static void heap_new(struct heap *heap)
{
    heap->profile = hone_profile_new();
    CHECK(heap->profile);
    hone_profile_add_type(heap->profile, "inuse_objects", "count");
    hone_profile_add_type(heap->profile, "inuse_space", "bytes");
    heap->time = hone_profile_intern(heap->profile, "time");
    heap->pid = hone_profile_intern(heap->profile, "pid");
    for (int i = 0; i < SITES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "site_%d", i);
        uint32_t function = hone_profile_add_function(
            heap->profile,
            &(struct hone_profile_function){.name = hone_profile_intern(heap->profile, name)});
        struct hone_profile_line line = {.function = function};
        uint32_t location = hone_profile_add_location(
            heap->profile, &(struct hone_profile_location){
                               .address = 0x1000 + (uint64_t)i, .lines = &line, .line_count = 1});
        heap->stacks[i] = hone_profile_add_stack(heap->profile, &location, 1);
    }
}

static void heap_add_at(struct heap *heap, int64_t pid, int site, int64_t time_ms, double bytes)
{
    const struct hone_profile_label labels[] = {{.key = heap->time, .number = time_ms},
                                                {.key = heap->pid, .number = pid}};
    (void)hone_profile_add_sample(heap->profile, heap->stacks[site], (int64_t[]){1, (int64_t)bytes},
                                  labels, 2);
}

static void heap_add(struct heap *heap, int site, double time_s, double bytes)
{
    heap_add_at(heap, 100, site, (int64_t)(time_s * 1e3), bytes);
}

static struct hone_growths growths_of(const struct heap *heap)
{
    struct hone_growths growths = {0};
    CHECK_EQ(hone_profile_status(heap->profile), 0);
    CHECK_EQ(hone_growths_new(heap->profile, NULL, &growths, NULL), 0);
    return growths;
}

// Site 7 leaks, site 11 leaks half as much, site 3 fills a cache, site 5 empties one; the others
// come and go.
TEST(the_right_site_is_told)
{
    struct heap heap;
    state = 88172645463325252u;
    heap_new(&heap);
    double noise[SITES] = {0};
    heap_add(&heap, 5, 0.5, 200e6);
    for (int second = 1; second <= 60; second++) {
        heap_add(&heap, 7, second, 5e6);
        heap_add(&heap, 11, second, 2.5e6);
        if (second < 30)
            heap_add(&heap, 3, second, 10e6);
        heap_add(&heap, 5, second, -3e6);
        for (int site = 15; site < SITES; site++) {
            double now = between(0, 20e6);
            heap_add(&heap, site, second, now - noise[site]);
            noise[site] = now;
        }
    }
    CHECK_EQ(hone_profile_status(heap.profile), 0);
    struct hone_growths growths;
    CHECK_EQ(hone_growths_new(heap.profile, NULL, &growths, NULL), 0);
    CHECK_EQ(growths.count, 2);
    CHECK_EQ(growths.sites[0].stack, heap.stacks[7]);
    CHECK_EQ(growths.sites[1].stack, heap.stacks[11]);
    CHECK_NEAR(growths.sites[0].is.rate, 5e6, 1e4);
    CHECK_NEAR(growths.sites[0].bytes, 300e6, 1);
    CHECK_EQ(growths.judged, 4 + SITES - 15);
    hone_growths_done(&growths);
    hone_profile_free(heap.profile);
}

// Intervals in which nothing changed are in no sample.
TEST(load_and_idle_is_steady)
{
    static const struct {
        int first, loads; // in intervals of 5.12 s
        bool end;         // something small comes as the recording ends
    } cases[] = {{1, 12, false}, {1, 12, true}, {1, 1, false}, {1, 1, true},
                 {1, 2, false},  {3, 1, true},  {3, 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct heap heap;
        heap_new(&heap);
        heap.profile->duration_ns = 600000000000;
        for (int load = 0; load < cases[i].loads; load++)
            heap_add_at(&heap, 100, 1, 5120 * (cases[i].first + load), 1e9 / cases[i].loads);
        if (cases[i].end)
            heap_add_at(&heap, 100, 2, 600000, 1e3);
        struct hone_growths growths = growths_of(&heap);
        cr_assert(growths.all.verdict == HONE_GROWTH_STEADY, "case %zu: %d", i,
                  growths.all.verdict);
        CHECK_EQ(growths.count, 0);
        CHECK_NEAR(growths.bytes, 1e9 + (cases[i].end ? 1e3 : 0), 100);
        CHECK(growths.all.time_s > 400 && growths.all.time_s <= 600);
        hone_growths_done(&growths);
        hone_profile_free(heap.profile);
    }
}

TEST(leak_until_the_end_is_told_where_intervals_are_missing)
{
    struct heap heap;
    heap_new(&heap);
    heap.profile->duration_ns = 60300000000; // the last interval is cut short
    for (int i = 1; i <= 117; i++)
        if (i % 3)
            heap_add_at(&heap, 100, 1, 512 * i, 5e6 * 0.512 * 1.5);
    heap_add_at(&heap, 100, 1, 60300, 2e6);
    struct hone_growths growths = growths_of(&heap);
    CHECK_EQ(growths.count, 1);
    CHECK_EQ(growths.sites[0].is.verdict, HONE_GROWTH_FAST);
    CHECK_NEAR(growths.sites[0].is.rate, 5e6, 1e5);
    hone_growths_done(&growths);
    hone_profile_free(heap.profile);
}

TEST(times_of_any_size_are_bounded)
{
    static const int64_t times[][3] = {{INT64_MIN, 0, INT64_MAX},
                                       {INT64_MIN, -1, -1},
                                       {INT64_MAX, 1, 2},
                                       {0, 0, 0},
                                       {-5, -5, -5},
                                       {INT64_MAX, 0, INT64_MAX},
                                       {1700000000000, 1700000001000, 1700000060000}};
    static const int64_t durations[] = {INT64_MIN, -1, 0, 600000000000, INT64_MAX};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        for (size_t d = 0; d < sizeof durations / sizeof durations[0]; d++) {
            struct heap heap;
            heap_new(&heap);
            heap.profile->duration_ns = durations[d];
            for (int at = 0; at < 3; at++)
                heap_add_at(&heap, 100, at, times[i][at], 1e6);
            struct hone_growths growths = growths_of(&heap);
            CHECK(growths.all.points <= 256);
            CHECK_EQ(growths.bytes, 3e6);
            hone_growths_done(&growths);
            hone_profile_free(heap.profile);
        }
    }
}

// What each of many processes left behind at the same stack is a step of each.
TEST(what_ended_processes_left_is_no_growth)
{
    struct heap heap;
    heap_new(&heap);
    for (int second = 1; second <= 60; second++) {
        heap_add_at(&heap, 100 + second, 1, second * 1000, 5e6);
        heap_add_at(&heap, 100 + second, 2, second * 1000, 1e6);
    }
    struct hone_growths growths = growths_of(&heap);
    CHECK_EQ(growths.count, 0);
    CHECK_EQ(growths.processes, 60);
    CHECK_EQ(growths.judged, 2);
    CHECK_EQ(growths.all.verdict, HONE_GROWTH_SEVERAL);
    CHECK_EQ(growths.bytes, 360e6);
    hone_growths_done(&growths);
    hone_profile_free(heap.profile);
}

TEST(processes_that_leak_at_one_stack_are_one_row)
{
    struct heap heap;
    heap_new(&heap);
    for (int second = 1; second <= 60; second++) {
        heap_add_at(&heap, 100, 1, second * 1000, 5e6);
        heap_add_at(&heap, 101, 1, second * 1000, 3e6);
        heap_add_at(&heap, 102, 2, second * 1000, 20e6);
        heap_add_at(&heap, 102, 1, second * 1000, second == 1 ? 7e6 : 0);
    }
    struct hone_growths growths = growths_of(&heap);
    CHECK_EQ(growths.count, 2);
    CHECK_EQ(growths.sites[0].stack, heap.stacks[2]);
    CHECK_EQ(growths.sites[0].processes, 1);
    CHECK_EQ(growths.sites[1].stack, heap.stacks[1]);
    CHECK_EQ(growths.sites[1].processes, 2);
    CHECK_NEAR(growths.sites[1].is.rate, 8e6, 1);
    CHECK_NEAR(growths.sites[1].is.low, 8e6, 1);
    CHECK_EQ(growths.sites[1].bytes, 480e6);
    CHECK_EQ(growths.processes, 3);
    hone_growths_done(&growths);
    hone_profile_free(heap.profile);
}

TEST(profiles_without_time_are_refused)
{
    struct heap heap;
    heap_new(&heap);
    struct hone_growths growths;
    struct hone_error err = {0};
    CHECK_EQ(hone_growths_new(heap.profile, NULL, &growths, &err), 0); // nothing happened
    CHECK_EQ(growths.all.verdict, HONE_GROWTH_SHORT);
    hone_growths_done(&growths);
    (void)hone_profile_add_sample(heap.profile, heap.stacks[0], (int64_t[]){1, 2}, NULL, 0);
    CHECK_EQ(hone_growths_new(heap.profile, NULL, &growths, &err), -EINVAL);
    hone_profile_free(heap.profile);
}

TEST(memory_that_is_out_is_told)
{
    struct heap heap;
    heap_new(&heap);
    for (int second = 1; second <= 30; second++)
        heap_add(&heap, second % 2, second, 5e6);
    for (long after = 0;; after++) {
        long before = hone_starve_blocks;
        struct hone_growths growths = {0};
        hone_starve_after = after;
        int r = hone_growths_new(heap.profile, NULL, &growths, NULL);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        hone_growths_done(&growths);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
    hone_profile_free(heap.profile);
}
