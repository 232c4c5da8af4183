// Growth of a heap of which blocks were sampled: leaks at the limit are found, and nothing that is
// bounded is accused. Each block of SIZE bytes is drawn on its own.
#include "analyse/growth.h"

#include "check.h"

#include <math.h>
#include <stdlib.h>

enum { POINTS = 120, SEEDS = 300, SIZE = 1000, PERIOD = 524288, BLOCKS_MAX = 1 << 14 };

static uint64_t state;

static double uniform(void) // above 0 and below 1
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) * 0x1p-53;
}

// What a program has at a time, in blocks: those above it were never made or are freed, the last
// one first.
typedef double blocks_at(double time_s, double length_s, double rate);

static double leaks(double time_s, double length_s, double rate)
{
    (void)length_s;
    return rate * time_s;
}

static double loads(double time_s, double length_s, double rate)
{
    return rate * fmin(time_s, length_s * 0.3);
}

static double saws(double time_s, double length_s, double rate)
{
    (void)length_s;
    return rate * fmod(time_s, 5);
}

static double fills(double time_s, double length_s, double rate)
{
    (void)length_s;
    return rate * 2 * log1p(time_s);
}

static double shrinks(double time_s, double length_s, double rate)
{
    return rate * (length_s - time_s);
}

// How many of SEEDS recordings of that are accused.
static int accused(blocks_at *blocks, double length_s, double rate)
{
    double chance = -expm1(-(double)SIZE / PERIOD);
    int fast = 0;
    state = 88172645463325252u;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hone_growth_point points[POINTS];
        static double drawn[BLOCKS_MAX]; // the place of each sampled block that lives
        double made = 0, next = -log(uniform()) / chance;
        int live = 0;
        for (int i = 0; i < POINTS; i++) {
            double time_s = length_s * (i + 1) / POINTS, now = blocks(time_s, length_s, rate);
            int changed = live;
            for (made = fmin(made, now); made + next <= now && live < BLOCKS_MAX;
                 next = -log(uniform()) / chance) {
                made += next;
                drawn[live++] = made;
            }
            next -= now - made;
            made = now;
            while (live && drawn[live - 1] > now)
                live--;
            points[i] = (struct hone_growth_point){time_s, live * SIZE / chance,
                                                   abs(live - changed) * (1 - chance) * SIZE *
                                                       SIZE / chance / chance};
        }
        struct hone_growth growth;
        CHECK_EQ(hone_growth_judge(points, POINTS, NULL, &growth), 0);
        fast += growth.verdict == HONE_GROWTH_FAST;
    }
    return fast;
}

TEST(leaks_at_the_limit_are_found_by_samples)
{
    CHECK(accused(leaks, 300, 1000) >= SEEDS * 97 / 100);
    CHECK(accused(leaks, 60, 1000) >= SEEDS * 93 / 100);
    CHECK_EQ(accused(leaks, 60, 3000), SEEDS);
}

TEST(bounded_heaps_are_not_accused_by_samples)
{
    static blocks_at *const bounded[] = {loads, saws, fills, shrinks};
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
        for (int length_s = 20; length_s < 400; length_s *= 4)
            CHECK_EQ(accused(bounded[i], length_s, 2000), 0);
    CHECK_EQ(accused(leaks, 300, 500), 0); // half of the limit
}
