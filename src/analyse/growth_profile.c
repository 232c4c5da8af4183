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

// What changed at a site of a process in one sample's interval.
struct change {
    uint32_t stack;
    int64_t pid;
    int64_t time_ms;
    int64_t bytes;
    double variance; // of the sampling error
};

struct series {
    const struct hone_profile *profile;
    struct change *changes; // by stack, process and time
    uint32_t count;
    int64_t *numbers;   // of each change, to be made unique
    double type_period; // mean bytes between samples; 0: all was counted
    uint32_t processes;
    int64_t *moments; // rising, the ends of equal intervals
    uint32_t moment_count;
    double *all;                      // what lived at each moment
    double *variances;                // of its changes
    struct hone_growth_point *points; // of one site
};

static void series_done(struct series *series)
{
    free(series->changes);
    free(series->numbers);
    free(series->moments);
    free(series->all);
    free(series->variances);
    free(series->points);
}

static bool number_of(const struct hone_profile *profile, uint32_t label_set, const char *key,
                      int64_t *ret)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(profile, label_set);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (!label->text && strcmp(hone_profile_text(profile, label->key), key) == 0) {
            *ret = label->number;
            return true;
        }
    }
    return false;
}

static int by_site_and_time(const void *a, const void *b)
{
    const struct change *one = a, *other = b;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    if (one->pid != other->pid)
        return one->pid < other->pid ? -1 : 1;
    return one->time_ms < other->time_ms ? -1 : one->time_ms > other->time_ms;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;
    return *one < *other ? -1 : *one > *other;
}

// Puts them in order, each once. Returns how many are left.
static uint32_t make_unique(int64_t *numbers, uint32_t count)
{
    uint32_t kept = 0;
    qsort(numbers, count, sizeof *numbers, by_number);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || numbers[kept - 1] != numbers[i])
            numbers[kept++] = numbers[i];
    return kept;
}

// Of one that was sampled, from the mean size of its blocks: see hone_heap_summary. Where rounding
// left bytes without a block they are of small ones.
static double variance_of(const struct hone_profile *profile, uint32_t sample, uint32_t type,
                          uint32_t objects_type, double period)
{
    double bytes = fabs((double)profile->samples.values[type][sample]);
    double objects = objects_type == UINT32_MAX
                         ? 0
                         : fabs((double)profile->samples.values[objects_type][sample]);
    if (!(period > 1))
        return 0;
    if (!(objects > 0))
        return bytes * period;
    double size = bytes / objects;
    return size > 0 ? objects * size * size / expm1(size / period) : 0;
}

// Mean bytes between samples; 0: all was counted, or they are no bytes.
static double period_of(const struct hone_profile *profile, uint32_t type)
{
    bool bytes = strcmp(hone_profile_text(profile, profile->types[type].unit), "bytes") == 0;
    return bytes && strcmp(hone_profile_text(profile, profile->period_type.type), "space") == 0
               ? (double)profile->period
               : 0;
}

static int read_changes(struct series *series, uint32_t type, struct hone_error *err)
{
    const struct hone_profile *profile = series->profile;
    uint32_t count = profile->samples.count, objects = UINT32_MAX;
    double period = series->type_period = period_of(profile, type);
    (void)hone_profile_select_type(profile, "inuse_objects", &objects, NULL);
    series->changes = calloc((size_t)count + 1, sizeof *series->changes);
    series->numbers = calloc((size_t)count + 1, sizeof *series->numbers);
    if (!series->changes || !series->numbers)
        return hone_error_set(err, -ENOMEM, "cannot judge growth");
    for (uint32_t i = 0; i < count; i++) {
        struct change *change = &series->changes[series->count];
        uint32_t label_set = profile->samples.label_set[i];
        change->pid = 0;
        if (!number_of(profile, label_set, "time", &change->time_ms))
            continue;
        (void)number_of(profile, label_set, "pid", &change->pid);
        change->stack = profile->samples.stack[i];
        change->bytes = profile->samples.values[type][i];
        change->variance = variance_of(profile, i, type, objects, period);
        series->numbers[series->count++] = change->pid;
    }
    if (!series->count && count)
        return hone_error_set(err, -EINVAL,
                              "no sample has the label time: it is no profile of "
                              "changes over time");
    qsort(series->changes, series->count, sizeof *series->changes, by_site_and_time);
    series->processes = make_unique(series->numbers, series->count);
    return 0;
}

// --- moments -------------------------------------------------------------------------------------

static uint64_t distance(int64_t from, int64_t to)
{
    return (uint64_t)to - (uint64_t)from;
}

// Of an interval: the least that lies between two times, for all are whole numbers of intervals
// from 0 on. Not so the end of the recording, where one is cut short.
static uint64_t width_of(const int64_t *times, uint32_t count, int64_t end)
{
    uint64_t width = times[0] > 0 ? (uint64_t)times[0] : UINT64_MAX;
    for (uint32_t i = 1; i < count; i++)
        if ((i + 1 < count || times[i] < end) && distance(times[i - 1], times[i]) < width)
            width = distance(times[i - 1], times[i]);
    return width;
}

// What our own profiles say of it; 0: it is not told, or nothing ever happened.
static uint64_t told_width(const struct hone_profile *profile, bool *ret_told)
{
    static const char begins[] = "# changes in intervals of ";
    *ret_told = false;
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        if (strncmp(comment, begins, sizeof begins - 1) != 0)
            continue;
        *ret_told = true;
        return strtoull(comment + sizeof begins - 1, NULL, 10);
    }
    return 0;
}

// Nothing is known of a heap that nobody saw.
static bool is_covered(const struct hone_profile *profile)
{
    for (uint32_t i = 0; i < profile->comment_count; i++)
        if (strncmp(hone_profile_text(profile, profile->comments[i]), "not covered: the heap",
                    strlen("not covered: the heap")) == 0)
            return false;
    return true;
}

static void set_moments(struct series *series, int64_t first, int64_t end, uint64_t width)
{
    uint64_t span = distance(first, end);
    if (span / width > MOMENTS_MAX - 2)
        width = span / (MOMENTS_MAX - 2) + 1;
    for (uint64_t i = 0; i <= span / width; i++)
        series->moments[series->moment_count++] = (int64_t)((uint64_t)first + i * width);
    if (span % width)
        series->moments[series->moment_count++] = end;
}

// From the beginning of the recording to its end: an interval in which nothing changed has no
// sample, and yet tells as much as any. Times that do not lie within the recording are not counted
// from its beginning: then from the first change on.
static int make_moments(struct series *series)
{
    series->moments = calloc(MOMENTS_MAX, sizeof *series->moments);
    if (!series->moments)
        return -ENOMEM;
    enum { INTERVALS = 120 }; // where nothing tells how long they are
    int64_t *times = series->numbers, duration_ns = series->profile->duration_ns;
    int64_t end = duration_ns / 1000000 + (duration_ns % 1000000 > 0);
    bool told;
    uint64_t width = told_width(series->profile, &told);
    if (!series->count) {
        if (!width)
            width = end > INTERVALS ? (uint64_t)end / INTERVALS : 1;
        if (told && is_covered(series->profile) && end > 0 && width < (uint64_t)end)
            set_moments(series, (int64_t)width, end, width);
        return 0;
    }
    for (uint32_t i = 0; i < series->count; i++)
        times[i] = series->changes[i].time_ms;
    uint32_t count = make_unique(times, series->count);
    bool within = times[0] > 0 && times[count - 1] <= end;
    if (end < times[count - 1])
        end = times[count - 1];
    if (!within || !width)
        width = width_of(times, count, end);
    int64_t first = within && width < (uint64_t)times[0] ? (int64_t)width : times[0];
    set_moments(series, first, end, width);
    return 0;
}

// --- sites ---------------------------------------------------------------------------------------

// What lived at each moment of the site whose changes are [from, to). Returns it at the end.
static double follow(struct series *series, uint32_t from, uint32_t to)
{
    double bytes = 0;
    for (uint32_t moment = 0; moment < series->moment_count; moment++) {
        double variance = 0;
        for (; from < to && series->changes[from].time_ms <= series->moments[moment]; from++) {
            bytes += (double)series->changes[from].bytes;
            variance += series->changes[from].variance;
        }
        series->points[moment] =
            (struct hone_growth_point){(double)series->moments[moment] / 1e3, bytes, variance};
        series->all[moment] += bytes;
        series->variances[moment] += variance;
    }
    return bytes;
}

static uint32_t end_of_site(const struct series *series, uint32_t from)
{
    uint32_t to = from;
    while (to < series->count && series->changes[to].stack == series->changes[from].stack &&
           series->changes[to].pid == series->changes[from].pid)
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

// The same stack of another process is a part of its row.
static int add_site(struct hone_growths *growths, uint32_t *room,
                    const struct hone_growth_site *site)
{
    struct hone_growth_site *row = growths->count ? &growths->sites[growths->count - 1] : NULL;
    if (row && row->stack == site->stack) {
        row->processes++;
        row->bytes += site->bytes;
        row->is.rate += site->is.rate;
        row->is.low += site->is.low;
        row->is.high += site->is.high;
        if (row->is.verdict < site->is.verdict)
            row->is.verdict = site->is.verdict;
        return 0;
    }
    if (!hone_array_reserve(&growths->sites, room, (uint64_t)growths->count + 1,
                            sizeof *growths->sites))
        return -ENOMEM;
    growths->sites[growths->count++] = *site;
    return 0;
}

static int judge_sites(struct series *series, const struct hone_growth_options *options,
                       struct hone_growths *growths)
{
    struct hone_growth_options how = options ? *options : (struct hone_growth_options){0};
    uint32_t room = 0, undecided = UINT32_MAX; // the last such stack
    int r = 0;
    how.series = 0;
    for (uint32_t from = 0; from < series->count; from = end_of_site(series, from)) {
        how.series++;
        growths->judged += !from || series->changes[from].stack != series->changes[from - 1].stack;
    }
    for (uint32_t from = 0, to; !r && from < series->count; from = to) {
        to = end_of_site(series, from);
        struct hone_growth_site site = {.stack = series->changes[from].stack, .processes = 1};
        site.bytes = follow(series, from, to);
        growths->bytes += site.bytes;
        if (!may_grow(series, &how))
            continue;
        r = hone_growth_judge(series->points, series->moment_count, &how, &site.is);
        if (!r && site.is.verdict == HONE_GROWTH_UNDECIDED && undecided != site.stack) {
            undecided = site.stack;
            growths->undecided++;
        }
        if (!r && site.is.verdict >= HONE_GROWTH_SLOW)
            r = add_site(growths, &room, &site);
    }
    return r;
}

// The sum over processes rises with each that leaves something behind: it has no verdict.
static int judge_all(struct series *series, const struct hone_growth_options *options,
                     struct hone_growths *growths)
{
    for (uint32_t i = 0; i < series->moment_count; i++)
        series->points[i] = (struct hone_growth_point){(double)series->moments[i] / 1e3,
                                                       series->all[i], series->variances[i]};
    growths->processes = series->processes;
    int r = hone_growth_judge(series->points, series->moment_count, options, &growths->all);
    double period = series->type_period;
    if (!r && !series->count && period > 1 && growths->all.time_s > 0 &&
        growths->all.verdict == HONE_GROWTH_STEADY) {
        // That not one block was sampled has a chance of 1 in 100 then.
        growths->all.high = -log(0.01) * period / growths->all.time_s;
        growths->all.low = -growths->all.high;
    }
    if (!r && series->processes > 1 && growths->all.verdict != HONE_GROWTH_SHORT)
        growths->all = (struct hone_growth){
            .verdict = HONE_GROWTH_SEVERAL,
            .low = -INFINITY,
            .high = INFINITY,
            .time_s = growths->all.time_s,
            .points = growths->all.points,
        };
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

void hone_growths_leave_small(struct hone_growths *growths, double bytes)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < growths->count; i++)
        if (growths->sites[i].bytes >= bytes)
            growths->sites[kept++] = growths->sites[i];
    growths->small = growths->count - kept;
    growths->count = kept;
}

// What lives, bytes or threads.
static int select_type(const struct hone_profile *profile, uint32_t *ret, struct hone_error *err)
{
    return hone_profile_select_type(profile, "alive", ret, NULL)
               ? hone_profile_select_type(profile, "inuse_space", ret, err)
               : 0;
}

int hone_growths_new(const struct hone_profile *profile, const struct hone_growth_options *options,
                     struct hone_growths *ret, struct hone_error *err)
{
    HONE_CLEANUP(series_done) struct series series = {.profile = profile};
    HONE_CLEANUP(hone_growths_done) struct hone_growths growths = {0};
    uint32_t type;
    int r = select_type(profile, &type, err);
    if (!r)
        r = read_changes(&series, type, err);
    if (r)
        return r;
    r = make_moments(&series);
    series.all = calloc((size_t)series.moment_count + 1, sizeof *series.all);
    series.variances = calloc((size_t)series.moment_count + 1, sizeof *series.variances);
    series.points = calloc((size_t)series.moment_count + 1, sizeof *series.points);
    if (r || !series.all || !series.variances || !series.points)
        return hone_error_set(err, -ENOMEM, "cannot judge growth");
    r = judge_sites(&series, options, &growths);
    if (!r)
        r = judge_all(&series, options, &growths);
    if (r)
        return hone_error_set(err, r, "cannot judge growth");
    if (growths.count)
        qsort(growths.sites, growths.count, sizeof *growths.sites, by_rate);
    *ret = growths;
    growths.sites = NULL;
    return 0;
}
