// What the verdicts promise, by simulation: thousands of comparisons whose truth is known, of
// profiles as programs have them: few large rows, many small ones.
#include "analyse/judge.h"

#include "analyse/draws.h"
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// --- worlds --------------------------------------------------------------------------------------

enum { ROWS = 120, RUNS_MAX = 20, REPEATS = 1000 };

struct world {
    uint32_t runs[2];
    double samples[2]; // a run's, on average
    double run_spread; // of whole runs, relative
    double row_spread; // of each row in each run
    double weight[2];  // of a sample
    uint32_t changed;  // this row of the new side …
    double change;     // … takes so much more
    bool share;
    bool nested; // rows are what functions took with all they called: each holds the next ones
};

struct outcome {
    int any;         // comparisons with a row called different
    int either;      // … or the whole
    int found;       // that called the changed row more
    int whole;       // that called the whole different
    int outside;     // whose interval of the changed row does not hold its change
    int uncorrected; // comparisons with a row that alone looks different
};

static double shares[ROWS];

// Sizes fall as in programs: the first row has a tenth to a third, the last ten in a million.
static void draw_shares(void)
{
    double sum = 0;
    double slope = 1 + 0.4 * hone_draw_uniform();
    for (int i = 0; i < ROWS; i++)
        sum += shares[i] = hone_draw_factor(0.8) / pow(i + 1, slope);
    for (int i = 0; i < ROWS; i++)
        shares[i] /= sum;
}

struct drawn {
    struct hone_judge_sum whole[RUNS_MAX];
    struct hone_judge_sum rows[ROWS * RUNS_MAX];
    struct hone_judge_sum nested[ROWS * RUNS_MAX];
};

static void draw_run(const struct world *w, struct drawn *drawn, uint32_t run, uint32_t runs)
{
    uint32_t side = run >= w->runs[0];
    double speed = hone_draw_factor(w->run_spread);
    for (uint32_t row = 0; row < ROWS; row++) {
        double mean = w->samples[side] * shares[row] * speed * hone_draw_factor(w->row_spread);
        if (side && row == w->changed)
            mean *= 1 + w->change;
        double count = hone_draw_poisson(mean);
        struct hone_judge_sum sum = {count * w->weight[side],
                                     count * w->weight[side] * w->weight[side]};
        drawn->rows[row * runs + run] = sum;
        drawn->whole[run].value += sum.value;
        drawn->whole[run].squares += sum.squares;
    }
    struct hone_judge_sum below = {0};
    for (uint32_t row = ROWS; row-- > 0;) {
        below.value += drawn->rows[row * runs + run].value;
        below.squares += drawn->rows[row * runs + run].squares;
        drawn->nested[row * runs + run] = below;
    }
}

static void compare_once(const struct world *w, struct outcome *outcome)
{
    static struct drawn drawn;
    memset(&drawn, 0, sizeof drawn);
    uint32_t runs = w->runs[0] + w->runs[1];
    draw_shares();
    for (uint32_t run = 0; run < runs; run++)
        draw_run(w, &drawn, run, runs);
    struct hone_judge_sides sides = {.runs = {w->runs[0], w->runs[1]},
                                     .row_count = ROWS,
                                     .whole = drawn.whole,
                                     .rows = w->nested ? drawn.nested : drawn.rows,
                                     .disjoint = drawn.rows,
                                     .share = w->share,
                                     .error = 0.05};
    struct hone_judge judge;
    CHECK_EQ(hone_judge(&sides, &judge), 0);
    bool any = false;
    bool alone = false;
    for (uint32_t row = 0; row < ROWS; row++) {
        const struct hone_judge_row *at = &judge.rows[row];
        any |= at->verdict != HONE_VERDICT_UNKNOWN && row != w->changed;
        alone |= at->chance < 0.05;
        cr_assert(at->verdict == HONE_VERDICT_MORE   ? at->low >= 0
                  : at->verdict == HONE_VERDICT_LESS ? at->high <= 0
                                                     : at->low <= 0 && at->high >= 0,
                  "row %u: verdict %d, %g to %g", row, at->verdict, at->low, at->high);
    }
    if (w->changed < ROWS) {
        const struct hone_judge_row *at = &judge.rows[w->changed];
        outcome->found += at->verdict == HONE_VERDICT_MORE;
        outcome->outside += at->low > w->change || at->high < w->change;
    }
    outcome->any += any;
    outcome->uncorrected += alone;
    bool whole = judge.whole.verdict != HONE_VERDICT_UNKNOWN;
    outcome->whole += whole;
    outcome->either += any || (whole && !w->share);
    free(judge.rows);
}

static struct outcome simulate(const struct world *w, uint64_t seed)
{
    struct outcome outcome = {0};
    hone_draw_seed(seed);
    for (int i = 0; i < REPEATS; i++)
        compare_once(w, &outcome);
    if (getenv("HONE_SHOW"))
        fprintf(stderr,
                "runs %u+%u spread %.2f/%.2f: any %d, whole %d, either %d, found %d, outside %d, "
                "uncorrected %d\n",
                w->runs[0], w->runs[1], w->run_spread, w->row_spread, outcome.any, outcome.whole,
                outcome.either, outcome.found, outcome.outside, outcome.uncorrected);
    return outcome;
}

#define NO_ROW .changed = ROWS
#define ALIKE .weight = {1e6, 1e6}, NO_ROW

// --- no difference -------------------------------------------------------------------------------

// At most 5 % of comparisons may call anything different; without the correction most would.
static void check_calm(const struct world *w, uint64_t seed)
{
    struct outcome outcome = simulate(w, seed);
    cr_assert(outcome.either <= REPEATS / 20, "%d of %d comparisons call something different",
              outcome.either, REPEATS);
    cr_assert(outcome.uncorrected > (w->nested ? REPEATS / 10 : REPEATS / 4),
              "the rows of only %d comparisons look different", outcome.uncorrected);
}

TEST(two_runs_without_difference_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = {1, 1}, .samples = {10000, 10000}, ALIKE}, 1);
    check_calm(&(struct world){.runs = {1, 1}, .samples = {400, 400}, ALIKE}, 2);
}

TEST(shares_of_runs_of_unequal_length_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = {1, 1}, .samples = {30000, 2000}, .share = true, ALIKE}, 3);
    check_calm(
        &(struct world){
            .runs = {1, 1}, .samples = {3000, 12000}, .weight = {4e6, 1e6}, .share = true, NO_ROW},
        4);
}

TEST(rows_within_rows_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = {1, 1}, .samples = {10000, 10000}, .nested = true, ALIKE},
               5);
    check_calm(
        &(struct world){
            .runs = {3, 3}, .samples = {10000, 10000}, .row_spread = 0.1, .nested = true, ALIKE},
        6);
}

TEST(several_runs_that_spread_by_chance_alone_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = {3, 3}, .samples = {10000, 10000}, ALIKE}, 7);
    check_calm(&(struct world){.runs = {10, 10}, .samples = {2000, 2000}, ALIKE}, 8);
}

TEST(runs_that_spread_more_than_chance_are_called_different_in_at_most_5_percent)
{
    static const struct {
        uint32_t runs;
        double spread;
    } worlds[] = {{2, 0.1}, {3, 0.03}, {3, 0.25}, {10, 0.1}};
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++)
        check_calm(&(struct world){.runs = {worlds[i].runs, worlds[i].runs},
                                   .samples = {20000, 20000},
                                   .run_spread = 0.05,
                                   .row_spread = worlds[i].spread,
                                   ALIKE},
                   10 + i);
}

TEST(a_machine_that_is_faster_today_is_no_change_of_every_row)
{
    check_calm(
        &(struct world){.runs = {2, 2}, .samples = {100000, 100000}, .run_spread = 0.1, ALIKE}, 70);
    check_calm(&(struct world){.runs = {4, 2},
                               .samples = {30000, 30000},
                               .run_spread = 0.1,
                               .row_spread = 0.05,
                               ALIKE},
               71);
}

// --- a difference --------------------------------------------------------------------------------

// Of shares, where the whole says nothing and its spread does not blur the rows.
TEST(shares_of_runs_that_spread_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = {3, 3},
                               .samples = {50000, 20000},
                               .run_spread = 0.1,
                               .row_spread = 0.05,
                               .share = true,
                               ALIKE},
               20);
}

// The third row of the profile has some 5 %: 0.05 * 200 000 samples are known to 1 % a side.
#define PLANTED .changed = 2, .change = 0.1, .weight = {1e6, 1e6}

TEST(a_row_that_takes_10_percent_more_is_found_in_at_least_95_percent)
{
    struct outcome one =
        simulate(&(struct world){.runs = {1, 1}, .samples = {400000, 400000}, PLANTED}, 80);
    cr_assert(one.found >= REPEATS * 95 / 100, "found in %d of %d", one.found, REPEATS);
    cr_assert(one.any <= REPEATS / 20, "%d of %d call another row different", one.any, REPEATS);
    struct outcome five = simulate(&(struct world){.runs = {10, 10},
                                                   .samples = {100000, 100000},
                                                   .run_spread = 0.01,
                                                   .row_spread = 0.02,
                                                   PLANTED},
                                   81);
    cr_assert(five.found >= REPEATS * 95 / 100, "found in %d of %d", five.found, REPEATS);
}

TEST(the_interval_holds_the_true_change)
{
    struct outcome outcome =
        simulate(&(struct world){.runs = {1, 1}, .samples = {20000, 20000}, PLANTED}, 82);
    cr_assert(outcome.outside <= REPEATS / 20, "outside in %d of %d", outcome.outside, REPEATS);
}

TEST(a_whole_that_takes_10_percent_more_is_found_in_at_least_95_percent)
{
    struct outcome outcome =
        simulate(&(struct world){.runs = {1, 1}, .samples = {10000, 11000}, ALIKE}, 83);
    cr_assert(outcome.whole >= REPEATS * 95 / 100, "found in %d of %d", outcome.whole, REPEATS);
}

// --- hostile numbers -----------------------------------------------------------------------------

TEST(numbers_of_any_size_are_judged)
{
    static const double values[] = {1, 1e-3, 1e18, 0};
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            struct hone_judge_sum rows[] = {{values[a], values[a] * values[a]},
                                            {values[b], values[b] * values[b]},
                                            {1e18, 1e36},
                                            {1e18, 1e36}};
            struct hone_judge_sum whole[] = {{values[a] + 1e18, values[a] * values[a] + 1e36},
                                             {values[b] + 1e18, values[b] * values[b] + 1e36}};
            struct hone_judge_sides sides = {.runs = {1, 1},
                                             .row_count = 2,
                                             .whole = whole,
                                             .rows = rows,
                                             .disjoint = rows,
                                             .error = 0.05};
            struct hone_judge judge;
            CHECK_EQ(hone_judge(&sides, &judge), 0);
            CHECK_EQ(judge.rows[0].verdict, HONE_VERDICT_UNKNOWN);
            CHECK(!isnan(judge.rows[0].low) && !isnan(judge.rows[0].high));
            free(judge.rows);
        }
}
