#include "analyse/judge.h"

#include "analyse/chance.h"
#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static const double whole_part = 0.4; // of the error

// What all rows show of how runs spread.
struct prior {
    double
        slope; // spread grows with a row's samples: a row of n spreads 1 + slope * n times Poisson
    double level; // … times this
    double df;    // how far rows agree on it
};

struct judge {
    const struct hone_judge_sides *sides;
    uint32_t runs;  // of both sides
    uint32_t first; // of the new side
    double df;
    struct hone_judge_sum whole[2]; // by side
    double exposure[2];
    double whole_relative[2]; // variance of a side's mean, relative
    double run_variance;      // between runs, relative
    struct prior prior;
    struct hone_judge *ret;
};

static uint32_t side_of(const struct judge *j, uint32_t run)
{
    return run >= j->first;
}

static double exposure_of(const struct judge *j, uint32_t run)
{
    return j->sides->exposure ? j->sides->exposure[run] : 1;
}

static double square(double x)
{
    return x * x;
}

static void side_sums(const struct judge *j, const struct hone_judge_sum *row,
                      struct hone_judge_sum ret[2])
{
    ret[0] = ret[1] = (struct hone_judge_sum){0};
    for (uint32_t run = 0; run < j->runs; run++) {
        ret[side_of(j, run)].value += row[run].value;
        ret[side_of(j, run)].squares += row[run].squares;
    }
}

// --- how runs spread -----------------------------------------------------------------------------

static void whole_spread(struct judge *j)
{
    side_sums(j, j->sides->whole, j->whole);
    for (uint32_t run = 0; run < j->runs; run++)
        j->exposure[side_of(j, run)] += exposure_of(j, run);
    double sum = 0;
    for (uint32_t run = 0; run < j->runs; run++) {
        uint32_t side = side_of(j, run);
        double mean = j->whole[side].value / j->exposure[side];
        double exposure = exposure_of(j, run);
        if (mean > 0 && exposure > 0) // longer runs say more
            sum += square(j->sides->whole[run].value / exposure / mean - 1) * exposure *
                   j->sides->runs[side] / j->exposure[side];
    }
    j->run_variance = j->df > 0 ? sum / j->df : 0;
    for (uint32_t side = 0; side < 2; side++) {
        double sampling =
            j->whole[side].value > 0 ? j->whole[side].squares / square(j->whole[side].value) : 0;
        // What runs differ by holds chance in sampling, too, and what is measured and not sampled
        // (a total of CPU time) differs by less than samples would.
        double between = j->run_variance / j->sides->runs[side];
        j->whole_relative[side] = between > 0 ? between : sampling;
        j->ret->whole_sampling += sampling;
        j->ret->whole_variance += j->whole_relative[side];
    }
}

// What a row's shares spread by within the sides, in units of what sampling explains, and how many
// samples a run has of it: those that count, with (1 - share) taken from them.
static bool row_spread(const struct judge *j, const struct hone_judge_sum *row, double *ret_spread,
                       double *ret_samples)
{
    struct hone_judge_sum sums[2];
    side_sums(j, row, sums);
    double chi = 0;
    double samples = 0;
    uint32_t counted = 0;
    for (uint32_t run = 0; run < j->runs; run++) {
        uint32_t side = side_of(j, run);
        double whole = j->sides->whole[run].value;
        double share = sums[side].value / j->whole[side].value;
        if (j->sides->runs[side] < 2 || !(whole > 0) || !(share > 0 && share < 1))
            continue;
        double rest = j->whole[side].value - sums[side].value;
        double weight = sums[side].squares / sums[side].value;
        double rest_weight = (j->whole[side].squares - sums[side].squares) / rest;
        double variance =
            share * (1 - share) * ((1 - share) * weight + share * rest_weight) / whole;
        if (!(variance > 0))
            continue;
        chi += square(row[run].value / whole - share) / variance;
        samples += square(share) / variance;
        counted++;
    }
    *ret_spread = counted ? chi / j->df : 1;
    *ret_samples = counted ? samples / counted : 0;
    return counted > 0;
}

struct spread {
    double ratio; // of the row's spread to Poisson's
    double samples;
};

// The slope at which the rows' spreads are 1 on average once it is taken out.
static double slope_of(const struct spread *spreads, uint32_t count)
{
    double low = 0;
    double high = 1e-12;
    for (int i = 0; i < 200; i++) {
        double slope = i < 60 ? high : (low + high) / 2; // first a bound, then the place
        double mean = 0;
        for (uint32_t k = 0; k < count; k++)
            mean += spreads[k].ratio / (1 + slope * spreads[k].samples) / count;
        bool below = mean > 1;
        if (i < 60 && below) {
            low = high;
            high *= 4;
        } else if (i < 60) {
            i = 60;
        } else if (below) {
            low = slope;
        } else {
            high = slope;
        }
        if (i >= 60 && high - low <= 1e-9 * high)
            break;
    }
    return low;
}

// Smyth's estimate from the logarithms' mean and variance.
static void fit_level(struct judge *j, const struct spread *spreads, uint32_t count)
{
    double half = j->df / 2;
    double mean = 0;
    double squares = 0;
    double sum = 0;
    double sum_of_squares = 0;
    for (uint32_t k = 0; k < count; k++) {
        double ratio = spreads[k].ratio / (1 + j->prior.slope * spreads[k].samples);
        double e = log(fmax(ratio, 1e-4)) - hone_chance_digamma(half) + log(half);
        mean += e / count;
        squares += e * e / count;
        sum += spreads[k].samples;
        sum_of_squares += square(spreads[k].samples);
    }
    double variance = (squares - mean * mean) * count / (count - 1) - hone_chance_trigamma(half);
    // Rows are parts of one whole: where few hold most of it, they are not many witnesses.
    double witnesses = square(sum) / sum_of_squares;
    double most = j->df * witnesses;
    double df = variance > 0 ? 2 * hone_chance_trigamma_inverse(variance) : most;
    j->prior.df = fmin(df, most);
    j->prior.level = exp(mean + hone_chance_digamma(df / 2) - log(df / 2));
}

static int fit_prior(struct judge *j)
{
    enum { ENOUGH = 5 }; // samples in a run for a spread to mean something
    j->prior = (struct prior){.level = 1};
    if (!(j->df > 0))
        return 0;
    HONE_CLEANUP(hone_freep)
    struct spread *spreads = calloc((size_t)j->sides->row_count + 1, sizeof *spreads);
    if (!spreads)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t row = 0; row < j->sides->row_count; row++) {
        struct spread *at = &spreads[count];
        if (row_spread(j, &j->sides->disjoint[(size_t)row * j->runs], &at->ratio, &at->samples) &&
            at->samples >= ENOUGH)
            count++;
    }
    if (count < 3)
        return 0;
    j->prior.slope = slope_of(spreads, count);
    fit_level(j, spreads, count);
    return 0;
}

// How many times Poisson's the variance of a row's share is, never less than once, and from how
// many runs that is known.
static double inflation_of(const struct judge *j, const struct hone_judge_sum *row, double *ret_df)
{
    *ret_df = INFINITY;
    if (!(j->df > 0))
        return 1;
    double ratio = 1;
    double samples = 0;
    (void)row_spread(j, row, &ratio, &samples);
    const struct prior *prior = &j->prior;
    double expected = 1 + prior->slope * samples;
    *ret_df = prior->df + j->df;
    double level = (prior->df * prior->level + j->df * ratio / expected) / *ret_df;
    return fmax(1, expected * level);
}

// --- one row -------------------------------------------------------------------------------------

struct evidence {
    struct hone_chance_counts counts;
    double df;
};

// How much more a row's samples weigh than its side's do: of both sides together, for one heavy
// sample that happens to lie on one of them says nothing about the weight of the other's.
static double heaviness(const struct judge *j, const struct hone_judge_sum sums[2])
{
    double value = 0;
    double squares = 0;
    for (uint32_t side = 0; side < 2; side++) {
        double weight = j->whole[side].squares / j->whole[side].value;
        if (sums[side].value > 0 && weight > 0) {
            value += sums[side].value / weight;
            squares += sums[side].squares / square(weight);
        }
    }
    return value > 0 ? squares / value : 1;
}

// Turns each side's value and what is known of its variance into counts: a value that is known to
// one part in √n is worth n samples.
static struct evidence weigh(const struct judge *j, const struct hone_judge_sum *row,
                             struct hone_judge_row *ret)
{
    struct hone_judge_sum sums[2];
    side_sums(j, row, sums);
    double row_df;
    double inflation = inflation_of(j, row, &row_df);
    double row_variance = 0;
    double whole_variance = 0;
    struct evidence evidence = {0};
    bool share = j->sides->share;
    double heavy = heaviness(j, sums);
    double both = (sums[0].value + sums[1].value) / (j->whole[0].value + j->whole[1].value);
    for (uint32_t side = 0; side < 2; side++) {
        double whole = j->whole[side].value;
        double exposure = share ? whole : j->exposure[side];
        ret->value[side] = exposure > 0 ? sums[side].value / exposure : 0;
        if (!(whole > 0) || !(exposure > 0)) {
            evidence.counts.exposure[side] = 0;
            continue;
        }
        double part = share ? both : sums[side].value / whole;
        double weight = heavy * j->whole[side].squares / whole;
        double spread = inflation * fmax(1 - part, 1e-9) * weight; // of its count
        if (!(sums[side].value > 0)) {
            evidence.counts.exposure[side] = exposure / spread;
            continue;
        }
        double of_row = spread / sums[side].value;
        double of_whole = share ? 0 : j->whole_relative[side];
        row_variance += of_row;
        whole_variance += of_whole;
        evidence.counts.count[side] = 1 / (of_row + of_whole);
        evidence.counts.exposure[side] = evidence.counts.count[side] / ret->value[side];
    }
    double variance = row_variance + whole_variance;
    evidence.df = INFINITY; // Satterthwaite's, of a sum of two variances
    if (j->df > 0 && variance > 0)
        evidence.df =
            square(variance) / (square(row_variance) / row_df + square(whole_variance) / j->df);
    return evidence;
}

// The chance of z or more to either side when the variance itself is known from df only.
static double chance_of(double z, double df)
{
    return fmin(1, 2 * hone_chance_t_tail(fabs(z), df));
}

static void set_change(struct hone_judge_row *row)
{
    row->change = row->value[0] > 0   ? row->value[1] / row->value[0] - 1
                  : row->value[1] > 0 ? INFINITY
                                      : 0;
}

static void measure(struct hone_judge_row *row, const struct evidence *evidence, double error)
{
    double low;
    double high;
    double point = hone_chance_t_point(error / 2, evidence->df);
    hone_chance_ratio_limits(&evidence->counts, point, &low, &high);
    row->low = low - 1;
    row->high = high - 1;
    set_change(row);
}

// --- all rows ------------------------------------------------------------------------------------

static int compare_numbers(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

// Tarone's number: the smallest k for which at most k rows could reach error / k. A row that could
// not is never called different and costs the others nothing. It looks at sums over both sides
// only, which say nothing about a difference.
static uint32_t count_testable(double *least, uint32_t count, double error)
{
    qsort(least, count, sizeof *least, compare_numbers);
    uint32_t reach = count;
    for (uint32_t k = 1; k < count; k++) {
        while (reach && least[reach - 1] > error / k)
            reach--;
        if (reach <= k)
            return k;
    }
    return count ? count : 1;
}

struct ranked {
    double chance;
    uint32_t row;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    if (a->chance != b->chance)
        return a->chance < b->chance ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

// Holm: the smallest of m must be below error / m, the next below error / (m - 1), and so on.
static void give_verdicts(struct hone_judge *judge, struct ranked *ranked, uint32_t m, double error)
{
    qsort(ranked, judge->tested, sizeof *ranked, compare_ranked);
    for (uint32_t i = 0; i < judge->tested; i++) {
        struct hone_judge_row *row = &judge->rows[ranked[i].row];
        if (!(ranked[i].chance <= error / (m - i)))
            return;
        row->verdict = row->change > 0 ? HONE_VERDICT_MORE : HONE_VERDICT_LESS;
        if (row->verdict == HONE_VERDICT_MORE)
            row->low = fmax(row->low, 0);
        else
            row->high = fmin(row->high, 0);
    }
}

static int judge_rows(struct judge *j)
{
    const struct hone_judge_sides *sides = j->sides;
    uint32_t count = sides->row_count;
    struct hone_judge *ret = j->ret;
    ret->rows = calloc((size_t)count + 1, sizeof *ret->rows);
    HONE_CLEANUP(hone_freep)
    struct evidence *evidence = calloc((size_t)count + 1, sizeof *evidence);
    HONE_CLEANUP(hone_freep) double *least = calloc((size_t)count + 1, sizeof *least);
    HONE_CLEANUP(hone_freep) double *sorted = calloc((size_t)count + 1, sizeof *sorted);
    HONE_CLEANUP(hone_freep) struct ranked *ranked = calloc((size_t)count + 1, sizeof *ranked);
    if (!ret->rows || !evidence || !least || !sorted || !ranked)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        evidence[i] = weigh(j, &sides->rows[(size_t)i * j->runs], &ret->rows[i]);
        double most = hone_chance_ratio_z_most(&evidence[i].counts);
        sorted[i] = least[i] = most > 0 ? chance_of(most, evidence[i].df) : 1;
    }
    double error = sides->error * (1 - whole_part);
    uint32_t testable = count_testable(sorted, count, error);
    double level = error / testable;
    for (uint32_t i = 0; i < count; i++) {
        struct hone_judge_row *row = &ret->rows[i];
        row->chance = chance_of(hone_chance_ratio_z(&evidence[i].counts, 1), evidence[i].df);
        row->tested = least[i] <= level;
        if (row->tested)
            ranked[ret->tested++] = (struct ranked){row->chance, i};
        set_change(row);
        if (!sides->verdicts_only)
            measure(row, &evidence[i], level);
    }
    give_verdicts(ret, ranked, testable, error);
    return 0;
}

static void judge_whole(struct judge *j)
{
    struct hone_judge_row *row = &j->ret->whole;
    struct evidence evidence = {.df = j->df > 0 ? j->df : INFINITY};
    for (uint32_t side = 0; side < 2; side++) {
        row->value[side] = j->exposure[side] > 0 ? j->whole[side].value / j->exposure[side] : 0;
        if (!(row->value[side] > 0) || !(j->whole_relative[side] > 0))
            continue;
        evidence.counts.count[side] = 1 / j->whole_relative[side];
        evidence.counts.exposure[side] = evidence.counts.count[side] / row->value[side];
    }
    // Nothing at all on one side: it is known as well as one sample of the other would be.
    for (uint32_t side = 0; side < 2; side++)
        if (!(evidence.counts.exposure[side] > 0))
            evidence.counts.exposure[side] = evidence.counts.exposure[1 - side];
    row->tested = true;
    row->chance = chance_of(hone_chance_ratio_z(&evidence.counts, 1), evidence.df);
    double error = j->sides->error * whole_part;
    measure(row, &evidence, error);
    j->ret->whole_point = hone_chance_t_point(error / 2, evidence.df);
    if (row->chance <= error)
        row->verdict = row->change > 0 ? HONE_VERDICT_MORE : HONE_VERDICT_LESS;
}

int hone_judge(const struct hone_judge_sides *sides, struct hone_judge *ret)
{
    *ret = (struct hone_judge){0};
    struct judge j = {
        .sides = sides,
        .runs = sides->runs[0] + sides->runs[1],
        .first = sides->runs[0],
        .df = sides->runs[0] + sides->runs[1] - 2,
        .ret = ret,
    };
    ret->df = j.df;
    whole_spread(&j);
    int r = fit_prior(&j);
    if (!r)
        r = judge_rows(&j);
    if (r) {
        free(ret->rows);
        ret->rows = NULL;
        return r;
    }
    judge_whole(&j);
    ret->run_spread = sqrt(j.run_variance);
    ret->row_spread = sqrt(j.prior.slope);
    return 0;
}
