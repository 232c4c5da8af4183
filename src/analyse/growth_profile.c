// Series of what lived at each site, from a profile of changes over time.
#include "analyse/growth.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOMENTS_MAX = 4096 };

// What changed at a site in one sample's interval.
struct change {
    uint32_t stack;
    int64_t time_ms;
    int64_t bytes;
};

struct series {
    const struct hone_profile *profile;
    struct change *changes; // by stack, and by time within
    uint32_t count;
    int64_t *moments; // rising
    uint32_t moment_count;
    double *all;                      // what lived at each moment
    struct hone_growth_point *points; // of one site
};

static void series_done(struct series *series)
{
    free(series->changes);
    free(series->moments);
    free(series->all);
    free(series->points);
}

static bool time_of(const struct hone_profile *profile, uint32_t label_set, int64_t *ret)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(profile, label_set);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (!label->text && strcmp(hone_profile_text(profile, label->key), "time") == 0) {
            *ret = label->number;
            return true;
        }
    }
    return false;
}

static int by_stack_and_time(const void *a, const void *b)
{
    const struct change *one = a, *other = b;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    return one->time_ms < other->time_ms ? -1 : one->time_ms > other->time_ms;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

static int read_changes(struct series *series, uint32_t type, struct hone_error *err)
{
    const struct hone_profile *profile = series->profile;
    uint32_t count = profile->samples.count;
    series->changes = calloc((size_t)count + 1, sizeof *series->changes);
    series->moments = calloc((size_t)count + 1, sizeof *series->moments);
    if (!series->changes || !series->moments)
        return hone_error_set(err, -ENOMEM, "cannot judge growth");
    for (uint32_t i = 0; i < count; i++) {
        struct change *change = &series->changes[series->count];
        if (!time_of(profile, profile->samples.label_set[i], &change->time_ms))
            continue;
        change->stack = profile->samples.stack[i];
        change->bytes = profile->samples.values[type][i];
        series->moments[series->count++] = change->time_ms;
    }
    if (!series->count && count)
        return hone_error_set(err, -EINVAL,
                              "no sample has the label time: it is no profile of "
                              "changes over time");
    qsort(series->changes, series->count, sizeof *series->changes, by_stack_and_time);
    qsort(series->moments, series->count, sizeof *series->moments, by_number);
    for (uint32_t i = 0; i < series->count; i++)
        if (!series->moment_count ||
            series->moments[series->moment_count - 1] != series->moments[i])
            series->moments[series->moment_count++] = series->moments[i];
    return 0;
}

// Of more moments than that only every so many-th counts, and the last.
static void thin(struct series *series)
{
    uint32_t count = series->moment_count;
    if (count <= MOMENTS_MAX)
        return;
    for (uint32_t i = 0; i < MOMENTS_MAX; i++)
        series->moments[i] = series->moments[(uint64_t)i * (count - 1) / (MOMENTS_MAX - 1)];
    series->moment_count = MOMENTS_MAX;
}

// What lived at each moment of the site whose changes are [from, to). Returns it at the end.
static double follow(struct series *series, uint32_t from, uint32_t to)
{
    double bytes = 0;
    for (uint32_t moment = 0; moment < series->moment_count; moment++) {
        for (; from < to && series->changes[from].time_ms <= series->moments[moment]; from++)
            bytes += (double)series->changes[from].bytes;
        series->points[moment] =
            (struct hone_growth_point){(double)series->moments[moment] / 1e3, bytes};
        series->all[moment] += bytes;
    }
    return bytes;
}

static uint32_t end_of_site(const struct series *series, uint32_t from)
{
    uint32_t to = from;
    while (to < series->count && series->changes[to].stack == series->changes[from].stack)
        to++;
    return to;
}

// Most sites of a program do not grow: none that could be called a leak is left out here.
static bool may_grow(const struct series *series, const struct hone_growth_options *options)
{
    const struct hone_growth_point *last = &series->points[series->moment_count - 1];
    const struct hone_growth_point *first = &series->points[0];
    double slow = options->slow > 0 ? options->slow : 100e6 / 3600, most = first->bytes;
    for (uint32_t i = 0; i < series->moment_count; i++)
        most = fmax(most, series->points[i].bytes);
    return most - first->bytes >= slow / 4 * (last->time_s - first->time_s);
}

static int judge_sites(struct series *series, const struct hone_growth_options *options,
                       struct hone_growths *growths)
{
    struct hone_growth_options how = options ? *options : (struct hone_growth_options){0};
    uint32_t room = 0;
    int r = 0;
    for (uint32_t from = 0; from < series->count; from = end_of_site(series, from))
        growths->judged++;
    how.series = growths->judged;
    for (uint32_t from = 0, to; !r && from < series->count; from = to) {
        to = end_of_site(series, from);
        struct hone_growth_site site = {.stack = series->changes[from].stack};
        site.bytes = follow(series, from, to);
        growths->bytes += site.bytes;
        if (!may_grow(series, &how))
            continue;
        r = hone_growth_judge(series->points, series->moment_count, &how, &site.is);
        if (r || site.is.verdict < HONE_GROWTH_SLOW)
            continue;
        if (!hone_array_reserve(&growths->sites, &room, (uint64_t)growths->count + 1,
                                sizeof *growths->sites))
            return -ENOMEM;
        growths->sites[growths->count++] = site;
    }
    return r;
}

static int by_rate(const void *a, const void *b)
{
    const struct hone_growth_site *one = a, *other = b;
    if (one->is.rate != other->is.rate)
        return one->is.rate > other->is.rate ? -1 : 1;
    return one->stack < other->stack ? -1 : one->stack > other->stack;
}

void hone_growths_done(struct hone_growths *growths)
{
    free(growths->sites);
    *growths = (struct hone_growths){0};
}

int hone_growths_new(const struct hone_profile *profile, const struct hone_growth_options *options,
                     struct hone_growths *ret, struct hone_error *err)
{
    HONE_CLEANUP(series_done) struct series series = {.profile = profile};
    HONE_CLEANUP(hone_growths_done) struct hone_growths growths = {0};
    uint32_t type;
    int r = hone_profile_select_type(profile, "inuse_space", &type, err);
    if (!r)
        r = read_changes(&series, type, err);
    if (r)
        return r;
    thin(&series);
    series.all = calloc((size_t)series.moment_count + 1, sizeof *series.all);
    series.points = calloc((size_t)series.moment_count + 1, sizeof *series.points);
    if (!series.all || !series.points)
        return hone_error_set(err, -ENOMEM, "cannot judge growth");
    r = judge_sites(&series, options, &growths);
    for (uint32_t i = 0; i < series.moment_count; i++)
        series.points[i] =
            (struct hone_growth_point){(double)series.moments[i] / 1e3, series.all[i]};
    if (!r)
        r = hone_growth_judge(series.points, series.moment_count, options, &growths.all);
    if (r)
        return hone_error_set(err, r, "cannot judge growth");
    if (growths.count)
        qsort(growths.sites, growths.count, sizeof *growths.sites, by_rate);
    *ret = growths;
    growths.sites = NULL;
    return 0;
}
