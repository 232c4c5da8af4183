// The same promises as judge_test.c's, for whole profiles: programs with callers, recursion,
// inlined calls and functions that only one side happened to see, as comparing reads them. Nothing
// is called different but what is, and that is.
#include "analyse/compare.h"

#include "analyse/draws.h"
#include "check.h"
#include "profile/profile.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAIRS = 1000, FUNCTIONS = 60, STACKS = 150, DEPTH = 12, CHANGED = FUNCTIONS };

// A program: its stacks, root first, and what share of the samples each takes.
struct program {
    uint32_t depth[STACKS];
    uint32_t frames[STACKS][DEPTH];
    double share[STACKS];
};

// One leaf that nothing else calls has a twentieth of all samples, for changes to be planted there.
static void draw_program(struct program *program)
{
    double sum = 0;
    for (uint32_t i = 0; i < STACKS; i++) {
        program->depth[i] = 1 + (uint32_t)(hone_draw_uniform() * DEPTH);
        for (uint32_t k = 0; k < program->depth[i]; k++) {
            double skewed = hone_draw_uniform() * hone_draw_uniform();
            program->frames[i][k] = k ? (uint32_t)(skewed * FUNCTIONS) : 0;
        }
        program->share[i] = i ? hone_draw_factor(1.5) / (i + 3) : 0;
        sum += program->share[i];
    }
    program->share[0] = sum / 19;
    program->frames[0][program->depth[0] - 1] = CHANGED;
    for (uint32_t i = 0; i < STACKS; i++)
        program->share[i] /= sum + sum / 19;
}

static uint32_t place_of(struct hone_profile *p, uint32_t function, bool inlined)
{
    struct hone_profile_line lines[2];
    for (uint32_t i = 0; i < 2; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%u", function + i * 7);
        lines[i] = (struct hone_profile_line){
            .function = hone_profile_add_function(
                p, &(struct hone_profile_function){.name = hone_profile_intern(p, name),
                                                   .file = hone_profile_intern(p, "f.c"),
                                                   .start_line = 10 * (function + i * 7)}),
            .number = function};
    }
    return hone_profile_add_location(
        p, &(struct hone_profile_location){
               .mapping = 1, .lines = lines, .line_count = inlined ? 2 : 1});
}

// A run of it: so many samples on average, of which the leaf takes so much more.
static struct hone_profile *draw_run(const struct program *program, double samples, double change,
                                     double spread)
{
    struct hone_profile *p = hone_profile_new();
    double speed = hone_draw_factor(spread);
    (void)hone_profile_add_type(p, "samples", "count");
    (void)hone_profile_add_type(p, "cpu", "nanoseconds");
    (void)hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){
               .start = 1, .limit = 1000, .file = hone_profile_intern(p, "program")});
    for (uint32_t i = 0; i < STACKS; i++) {
        double mean = samples * program->share[i] * (i ? 1 : 1 + change) * speed;
        int64_t count = (int64_t)hone_draw_poisson(mean * hone_draw_factor(spread / 2));
        uint32_t places[DEPTH];
        for (uint32_t k = 0; k < program->depth[i]; k++) {
            uint32_t function = program->frames[i][program->depth[i] - 1 - k];
            places[k] = place_of(p, function, function % 5 == 4);
        }
        if (count)
            (void)hone_profile_add_sample(p, hone_profile_add_stack(p, places, program->depth[i]),
                                          (int64_t[]){count, count * 1000000}, NULL, 0);
    }
    CHECK_EQ(hone_profile_status(p), 0);
    return p;
}

struct world {
    uint32_t runs;
    double samples[2];
    double change;
    double spread;
    struct hone_compare_options how;
};

struct outcome {
    int different; // pairs in which something is called different that is not
    int found;     // … in which the leaf is called more
};

enum { RUNS_MAX = 5 };

static bool is_changed(struct hone_str name)
{
    char text[16];
    (void)snprintf(text, sizeof text, "f%u", CHANGED);
    return hone_str_equal(name, hone_str_of(text));
}

static void compare_once(const struct world *w, struct outcome *outcome)
{
    struct program program;
    const struct hone_profile *runs[2][RUNS_MAX];
    draw_program(&program);
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t i = 0; i < w->runs; i++)
            runs[side][i] = draw_run(&program, w->samples[side], side ? w->change : 0, w->spread);
    struct hone_compare_input sides[2] = {{runs[0], w->runs}, {runs[1], w->runs}};
    struct hone_compare *compare;
    CHECK_EQ(hone_compare_new(sides, &w->how, &compare, NULL), 0);
    bool whole = w->how.per != HONE_COMPARE_SHARE && w->change == 0;
    bool different = whole && compare->judge.whole.verdict != HONE_VERDICT_UNKNOWN;
    for (uint32_t i = 0; i < compare->row_count; i++) {
        const struct hone_compare_row *row = &compare->rows[i];
        bool told = row->is.verdict != HONE_VERDICT_UNKNOWN;
        if (is_changed(row->name) && w->change > 0)
            outcome->found += row->is.verdict == HONE_VERDICT_MORE;
        else
            different |= told;
        // Functions are the same on both sides: one that was rarely seen may not become another.
        cr_assert(!row->was.len, "%.*s was %.*s", (int)row->name.len, row->name.at,
                  (int)row->was.len, row->was.at);
    }
    outcome->different += different;
    hone_compare_free(compare);
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t i = 0; i < w->runs; i++)
            hone_profile_free((struct hone_profile *)(uintptr_t)runs[side][i]);
}

static struct outcome simulate(const struct world *w, uint64_t seed)
{
    struct outcome outcome = {0};
    hone_draw_seed(seed);
    for (int i = 0; i < PAIRS; i++)
        compare_once(w, &outcome);
    if (getenv("HONE_SHOW"))
        fprintf(stderr, "runs %u, %.0f and %.0f samples: different %d, found %d\n", w->runs,
                w->samples[0], w->samples[1], outcome.different, outcome.found);
    return outcome;
}

static void check_calm(const struct world *w, uint64_t seed)
{
    struct outcome outcome = simulate(w, seed);
    cr_assert(outcome.different <= PAIRS / 20, "%d of %d pairs without a difference are different",
              outcome.different, PAIRS);
}

TEST(a_thousand_pairs_without_difference_are_called_different_in_at_most_5_percent)
{
    check_calm(&(struct world){.runs = 1, .samples = {8000, 8000}}, 1);
    check_calm(&(struct world){.runs = 1, .samples = {300, 300}}, 2);
}

TEST(so_are_they_with_all_that_functions_called_and_by_their_shares)
{
    check_calm(&(struct world){.runs = 1, .samples = {8000, 8000}, .how.by_cum = true}, 3);
    check_calm(&(struct world){.runs = 1, .samples = {9000, 1000}, .how.per = HONE_COMPARE_SHARE},
               4);
}

TEST(so_are_several_runs_that_spread)
{
    check_calm(&(struct world){.runs = 4, .samples = {5000, 5000}, .spread = 0.1}, 5);
}

TEST(a_function_that_takes_10_percent_more_is_found_in_at_least_95_percent)
{
    struct outcome outcome =
        simulate(&(struct world){.runs = 1, .samples = {400000, 400000}, .change = 0.1}, 6);
    cr_assert(outcome.found >= PAIRS * 95 / 100, "found in %d of %d", outcome.found, PAIRS);
    cr_assert(outcome.different <= PAIRS / 20, "another row in %d of %d", outcome.different, PAIRS);
}
