#include "analyse/weights.h"

#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// Which column counts, and how its numbers become numbers of samples.
struct counter {
    uint32_t column; // UINT32_MAX: the values are divided by the period
    double divisor;  // of its numbers
    double rate;     // heap profiles: bytes between samples, on average; 0 elsewhere
    uint32_t bytes;  // … and the column with the bytes of the objects
    enum hone_compare_counted counted;
};

static struct hone_str type_name(const struct hone_profile *p, uint32_t type)
{
    return hone_profile_str(p, p->types[type].type);
}

static bool has_unit(const struct hone_profile *p, uint32_t type, const char *unit)
{
    return hone_str_equal(hone_profile_str(p, p->types[type].unit), hone_str_of(unit));
}

// "alloc_space" has "alloc_objects" beside it: the same stem before the last '_'.
static bool same_stem(struct hone_str a, struct hone_str b)
{
    const char *end = a.len ? memrchr(a.at, '_', a.len) : NULL;
    size_t len = end ? (size_t)(end - a.at) + 1 : 0;
    return len && b.len > len && memcmp(a.at, b.at, len) == 0;
}

// The column that counts what the values of a type belong to; the type itself when it counts.
static uint32_t counting_column(const struct hone_profile *p, uint32_t type)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (hone_str_equal(type_name(p, i), HONE_STR("samples")) && has_unit(p, i, "count"))
            return i;
    if (has_unit(p, type, "count"))
        return type;
    for (uint32_t i = 0; i < p->type_count; i++)
        if (has_unit(p, i, "count") && same_stem(type_name(p, type), type_name(p, i)))
            return i;
    for (uint32_t i = 0; i < p->type_count; i++)
        if (hone_str_equal(type_name(p, i), HONE_STR("contentions")))
            return i;
    return UINT32_MAX;
}

static uint32_t bytes_beside(const struct hone_profile *p, uint32_t column)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (has_unit(p, i, "bytes") && same_stem(type_name(p, column), type_name(p, i)))
            return i;
    return UINT32_MAX;
}

static struct counter counter_of(const struct hone_profile *p, uint32_t type)
{
    struct counter counter = {.column = counting_column(p, type), .divisor = 1};
    struct hone_str period_type = hone_profile_str(p, p->period_type.type);
    struct hone_str period_unit = hone_profile_str(p, p->period_type.unit);
    if (counter.column != UINT32_MAX) {
        // Objects of a heap profile were scaled up from the few that were sampled.
        counter.bytes = bytes_beside(p, counter.column);
        if (p->period > 1 && counter.bytes != UINT32_MAX &&
            hone_str_equal(period_unit, HONE_STR("bytes")))
            counter.rate = (double)p->period;
        // So were contentions, by the one in how many that is looked at.
        else if (p->period > 1 && hone_str_equal(period_type, type_name(p, counter.column)))
            counter.divisor = (double)p->period;
        return counter;
    }
    struct hone_str unit = hone_profile_str(p, p->types[type].unit);
    if (p->period > 0 && hone_str_equal(period_unit, unit)) {
        counter.divisor = (double)p->period;
        counter.counted = HONE_COMPARE_BY_PERIOD;
        return counter;
    }
    counter.counted = HONE_COMPARE_BY_STACKS;
    return counter;
}

// How many samples a record stands for; at least a part of one, for there it is.
static double samples_of(const struct hone_profile *p, const struct counter *counter, uint32_t at,
                         double value)
{
    double count = 1;
    if (counter->counted == HONE_COMPARE_BY_PERIOD)
        count = value / counter->divisor;
    else if (counter->counted == HONE_COMPARE_BY_SAMPLES)
        count = (double)p->samples.values[counter->column][at] / counter->divisor;
    if (counter->rate > 0 && count > 0) {
        double size = (double)p->samples.values[counter->bytes][at] / count;
        if (size > 0) // the chance that an object of this size is sampled
            count *= -expm1(-size / counter->rate);
    }
    return count > 1 ? count : 1;
}

int hone_weights_init(struct hone_weights *weights, const struct hone_profile *p, uint32_t type)
{
    *weights = (struct hone_weights){0};
    weights->stacks = calloc(p->stacks.count, sizeof *weights->stacks);
    if (!weights->stacks)
        return -ENOMEM;
    struct counter counter = counter_of(p, type);
    weights->counted = counter.counted;
    const int64_t *values = p->samples.values[type];
    for (uint32_t i = 0; i < p->samples.count; i++) {
        if (values[i] <= 0) {
            weights->negative += values[i] < 0;
            continue;
        }
        double value = (double)values[i];
        double samples = samples_of(p, &counter, i, value);
        double squares = value * value / samples;
        struct hone_judge_sum *stack = &weights->stacks[p->samples.stack[i]];
        stack->value += value;
        stack->squares += squares;
        weights->taken += samples;
        weights->whole.value += value;
        weights->whole.squares += squares;
    }
    return 0;
}

void hone_weights_done(struct hone_weights *weights)
{
    free(weights->stacks);
}
