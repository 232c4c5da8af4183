#include "analyse/growth.h"

#include "analyse/chance.h"
#include "analyse/growth_parts.h"
#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTS_MAX = 256, // more are thinned out: all pairs of them are looked at
    LOWS_MIN = 4,     // of a series that falls back at times
    LATER_MIN = 4,    // of the last third
};

static const double warm_up = 0.2;     // of the time
static const double error_rate = 0.01; // that any of the series judged together is accused wrongly
static const double nearly = 0.95;     // of a limit, that the slope must reach
static const double surely = 0.5;      // and that its lower limit must
static const double may_well = 1.96;   // standard errors of sampling, 95 of 100 times
static const double falls_back = 0.3;  // of the range: more is no noise

struct slopes {
    double *at; // ascending
    size_t count;
};

static int by_value(const void *a, const void *b)
{
    const double *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

static void slopes_done(struct slopes *slopes)
{
    free(slopes->at);
}

// The slopes between all pairs.
static int make_slopes(const struct hone_growth_point *points, size_t count, struct slopes *ret)
{
    *ret = (struct slopes){.at = malloc((count * count / 2 + 1) * sizeof *ret->at)};
    if (!ret->at)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            double time_s = points[j].time_s - points[i].time_s;
            if (time_s > 0)
                ret->at[ret->count++] = (points[j].bytes - points[i].bytes) / time_s;
        }
    }
    qsort(ret->at, ret->count, sizeof *ret->at, by_value);
    return 0;
}

static double median(const double *values, size_t count)
{
    if (!count)
        return 0;
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static int slope_of(const struct hone_growth_point *points, size_t count, double *ret)
{
    HONE_CLEANUP(slopes_done) struct slopes slopes = {0};
    int r = make_slopes(points, count, &slopes);
    if (!r)
        *ret = median(slopes.at, slopes.count);
    return r;
}

// --- limits --------------------------------------------------------------------------------------

struct ranked {
    double value;
    size_t place;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *one = a, *other = b;
    if (one->value != other->value)
        return one->value < other->value ? -1 : 1;
    return one->place < other->place ? -1 : one->place > other->place;
}

// By how much neighbours that resemble each other widen the variance of Kendall's sum: from the
// ranks of what is left without the slope. At least 1.
static int resemblance(const struct hone_growth_point *points, size_t count, double slope,
                       double *ret)
{
    HONE_CLEANUP(hone_freep) struct ranked *ranked = malloc(count * sizeof *ranked);
    HONE_CLEANUP(hone_freep) double *ranks = malloc(count * sizeof *ranks);
    if (!ranked || !ranks)
        return -ENOMEM;
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double rest = points[i].bytes - slope * (points[i].time_s - points[0].time_s);
        ranked[i] = (struct ranked){rest, i};
        largest = fmax(largest, fabs(points[i].bytes));
    }
    qsort(ranked, count, sizeof *ranked, by_rank);
    *ret = 1;
    // What rounding leaves of a straight line has no order.
    if (ranked[count - 1].value - ranked[0].value <= largest * 1e-9)
        return 0;
    for (size_t i = 0; i < count; i++)
        ranks[ranked[i].place] = (double)i - ((double)count - 1) / 2;
    double n = (double)count, square = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        square += ranks[i] * ranks[i];
    double next = 0; // likeness of neighbours
    for (size_t lag = 1; lag < count / 2; lag++) {
        double product = 0;
        for (size_t i = 0; i + lag < count; i++)
            product += ranks[i] * ranks[i + lag];
        double likeness = product / square, k = (double)lag;
        if (likeness < 1.96 / sqrt(n)) // what follows is chance, or swings back
            break;
        if (lag == 1) // taking the slope away made it smaller (Marriott and Pope 1954)
            next = fmin(likeness + (1 + 4 * likeness) / n, 0.99);
        sum += (n - k) * (n - k - 1) * (n - k - 2) * likeness;
    }
    // At least as of a series in which only neighbours matter.
    *ret = fmax(1 + 2 * sum / (n * (n - 1) * (n - 2)), (1 + next) / (1 - next));
    return 0;
}

// Sen's limits: how many places from the middle of all slopes.
static void limits(const struct slopes *slopes, size_t count, double widened, double tail,
                   double *ret_low, double *ret_high)
{
    double n = (double)count, pairs = (double)slopes->count;
    double sigma = sqrt(n * (n - 1) * (2 * n + 5) / 18 * widened);
    double away = hone_chance_normal_point(tail) * sigma;
    // The normal curve is wrong at its end: that n values rise from each to the next has the chance
    // of one in n!.
    if (away >= pairs && widened == 1 && -lgamma(n + 1) < log(tail))
        away = pairs - 1;
    double low = floor((pairs - away) / 2), high = ceil((pairs + away) / 2);
    *ret_low = low < 0 ? -INFINITY : slopes->at[(size_t)low];
    *ret_high = high >= pairs ? INFINITY : slopes->at[(size_t)high];
    if (away == pairs - 1)
        *ret_high = slopes->at[slopes->count - 1];
}

// --- shapes --------------------------------------------------------------------------------------

// The slope from low to low of a series that falls back at times. Infinite when it does not: it is
// all one rise. 0 when there are too few lows to tell.
static int slope_of_lows(const struct hone_growth_point *points, size_t count, double *ret)
{
    double smallest = INFINITY, largest = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        smallest = fmin(smallest, points[i].bytes);
        largest = fmax(largest, points[i].bytes);
    }
    double enough = (largest - smallest) * falls_back;
    HONE_CLEANUP(hone_freep) struct hone_growth_point *lows = malloc((count + 1) * sizeof *lows);
    if (!lows)
        return -ENOMEM;
    size_t found = 0;
    bool falling = false;
    double high = -INFINITY;
    struct hone_growth_point low = {0};
    for (size_t i = 0; i < count; i++) {
        double bytes = points[i].bytes;
        if (!falling) {
            high = fmax(high, bytes);
            falling = high - bytes > enough;
            low = points[i];
            continue;
        }
        if (bytes <= low.bytes)
            low = points[i];
        if (bytes - low.bytes > enough) { // it rises again
            lows[found++] = low;
            falling = false;
            high = bytes;
        }
    }
    if (falling)
        lows[found++] = low;
    *ret = found ? 0 : INFINITY;
    return found >= LOWS_MIN ? slope_of(lows, found, ret) : 0;
}

// --- the verdict ---------------------------------------------------------------------------------

// At most POINTS_MAX of them, evenly. What lies between two is a part of the later one's change.
static size_t thin(struct hone_growth_point *points, size_t count)
{
    if (count <= POINTS_MAX)
        return count;
    size_t from = 0;
    for (size_t i = 0; i < POINTS_MAX; i++) {
        size_t at = i * (count - 1) / (POINTS_MAX - 1);
        double variance = 0;
        while (from <= at)
            variance += points[from++].variance;
        points[i] = points[at];
        points[i].variance = variance;
    }
    return POINTS_MAX;
}

static bool reaches(const struct hone_growth *growth, double error, double later, double lows,
                    double limit)
{
    return growth->rate + may_well * error >= limit * nearly && growth->low >= limit * surely &&
           later >= limit * surely && later >= growth->rate * surely &&
           lows >= growth->rate * surely;
}

// It surely grows, without a break, and the limit lies within what is known of the slope.
static bool may_reach(const struct hone_growth *growth, double later, double lows, double limit)
{
    return growth->low > 0 && growth->high >= limit && later >= growth->rate * surely &&
           lows >= growth->rate * surely;
}

// What stays within so little that it cannot matter has its slope within that, however it varies.
static void bound(const struct hone_growth_point *points, size_t count, double slow,
                  struct hone_growth *growth)
{
    double smallest = INFINITY, largest = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        smallest = fmin(smallest, points[i].bytes);
        largest = fmax(largest, points[i].bytes);
    }
    double most = (largest - smallest) / growth->time_s;
    if (!(most < slow))
        return;
    growth->low = fmax(growth->low, fmin(growth->rate, -most));
    growth->high = fmin(growth->high, fmax(growth->rate, most));
}

static int judge(const struct hone_growth_point *all, size_t all_count,
                 const struct hone_growth_point *points, size_t count,
                 const struct hone_growth_options *options, struct hone_growth *ret)
{
    HONE_CLEANUP(slopes_done) struct slopes slopes = {0};
    double widened, later, lows;
    size_t later_count = count / 3 > LATER_MIN ? count / 3 : LATER_MIN;
    double tail = error_rate / (options->series > 1 ? options->series : 1);
    int r = make_slopes(points, count, &slopes);
    if (r)
        return r;
    ret->rate = median(slopes.at, slopes.count);
    r = resemblance(points, count, ret->rate, &widened);
    if (!r)
        r = slope_of(points + count - later_count, later_count, &later);
    if (!r)
        r = slope_of_lows(all, all_count, &lows);
    if (r)
        return r;
    limits(&slopes, count, widened, tail, &ret->low, &ret->high);
    double error = hone_growth_sampling_error(points, count);
    if (isfinite(error)) {
        double away = hone_chance_normal_point(tail) * error;
        ret->low = ret->rate - away;
        ret->high = ret->rate + away;
    } else {
        error = 0;
    }
    double fast = options->fast > 0 ? options->fast : 1e6;
    double slow = options->slow > 0 ? options->slow : 100e6 / 3600;
    bound(points, count, slow, ret);
    ret->verdict = HONE_GROWTH_STEADY;
    if (reaches(ret, error, later, lows, fast))
        ret->verdict = HONE_GROWTH_FAST;
    else if (ret->time_s >= HONE_GROWTH_SLOW_S && reaches(ret, error, later, lows, slow))
        ret->verdict = HONE_GROWTH_SLOW;
    else if (may_reach(ret, later, lows, ret->time_s >= HONE_GROWTH_SLOW_S ? slow : fast))
        ret->verdict = HONE_GROWTH_UNDECIDED;
    return 0;
}

int hone_growth_judge(const struct hone_growth_point *points, size_t count,
                      const struct hone_growth_options *options, struct hone_growth *ret)
{
    static const struct hone_growth_options defaults;
    struct hone_growth growth = {.low = -INFINITY, .high = INFINITY};
    double span_s = count ? points[count - 1].time_s - points[0].time_s : 0;
    size_t first = 0;
    while (first < count && points[first].time_s < points[0].time_s + span_s * warm_up)
        first++;
    HONE_CLEANUP(hone_freep)
    struct hone_growth_point *kept = malloc((count + 1) * sizeof *kept);
    if (!kept)
        return -ENOMEM;
    if (count > first)
        memcpy(kept, points + first, (count - first) * sizeof *kept);
    size_t left = thin(kept, count - first);
    growth.points = (uint32_t)left;
    growth.time_s = left ? kept[left - 1].time_s - kept[0].time_s : 0;
    int r = 0;
    if (left >= HONE_GROWTH_POINTS_MIN && growth.time_s >= HONE_GROWTH_FAST_S)
        r = judge(points, count, kept, left, options ? options : &defaults, &growth);
    if (!r)
        *ret = growth;
    return r;
}
