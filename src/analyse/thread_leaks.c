#include "analyse/thread_leaks.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct types {
    uint32_t created, ended, most, lived, alive;
};

static int find_types(const struct hone_profile *profile, struct types *ret, struct hone_error *err)
{
    const struct {
        const char *name;
        uint32_t *at;
    } wanted[] = {{"created", &ret->created},
                  {"ended", &ret->ended},
                  {"most", &ret->most},
                  {"lived", &ret->lived},
                  {"alive", &ret->alive}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int r = hone_profile_select_type(profile, wanted[i].name, wanted[i].at, err);
        if (r)
            return r;
    }
    return 0;
}

// --- sums of each site ---------------------------------------------------------------------------

struct part {
    uint32_t sample, stack;
    int64_t pid;
};

static int64_t pid_of(const struct hone_profile *profile, uint32_t sample)
{
    struct hone_profile_label_span labels =
        hone_profile_labels_of(profile, profile->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++)
        if (!labels.at[i].text && strcmp(hone_profile_text(profile, labels.at[i].key), "pid") == 0)
            return labels.at[i].number;
    return 0;
}

static int by_site(const void *a, const void *b)
{
    const struct part *one = a, *other = b;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    if (one->pid != other->pid)
        return one->pid < other->pid ? -1 : 1;
    return one->sample < other->sample ? -1 : one->sample > other->sample;
}

static int sum_sites(const struct hone_profile *profile, const struct types *types,
                     struct hone_thread_leaks *leaks)
{
    uint32_t count = profile->samples.count;
    HONE_CLEANUP(hone_freep) struct part *parts = calloc((size_t)count + 1, sizeof *parts);
    leaks->origins = calloc((size_t)count + 1, sizeof *leaks->origins);
    if (!parts || !leaks->origins)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (struct part){i, profile->samples.stack[i], pid_of(profile, i)};
    qsort(parts, count, sizeof *parts, by_site);
    for (uint32_t i = 0; i < count; i++) {
        const struct part *part = &parts[i];
        if (!i || part->stack != part[-1].stack)
            leaks->origins[leaks->count++] = (struct hone_thread_origin){.stack = part->stack};
        struct hone_thread_origin *origin = &leaks->origins[leaks->count - 1];
        origin->processes += !origin->processes || part->pid != part[-1].pid;
        origin->created += profile->samples.values[types->created][part->sample];
        origin->ended += profile->samples.values[types->ended][part->sample];
        origin->most += profile->samples.values[types->most][part->sample];
        origin->lived_ns += profile->samples.values[types->lived][part->sample];
        origin->alive += profile->samples.values[types->alive][part->sample];
    }
    for (uint32_t i = 0; i < leaks->count; i++) {
        leaks->created += leaks->origins[i].created;
        leaks->ended += leaks->origins[i].ended;
        leaks->alive += leaks->origins[i].alive;
    }
    return 0;
}

// --- verdicts ------------------------------------------------------------------------------------

static bool grows(const struct hone_thread_origin *origin)
{
    return origin->is.verdict >= HONE_GROWTH_SLOW;
}

static int by_weight(const void *a, const void *b)
{
    const struct hone_thread_origin *one = a, *other = b;
    if (grows(one) != grows(other))
        return grows(one) ? -1 : 1;
    if (grows(one) && one->is.rate != other->is.rate)
        return one->is.rate > other->is.rate ? -1 : 1;
    if (one->alive != other->alive)
        return one->alive > other->alive ? -1 : 1;
    if (one->created != other->created)
        return one->created > other->created ? -1 : 1;
    return one->stack < other->stack ? -1 : one->stack > other->stack;
}

static int judge(const struct hone_profile *profile, struct hone_thread_leaks *leaks,
                 struct hone_error *err)
{
    const struct hone_growth_options limits = {.fast = HONE_THREADS_FAST,
                                               .slow = HONE_THREADS_SLOW};
    HONE_CLEANUP(hone_growths_done) struct hone_growths growths = {0};
    int r = hone_growths_new(profile, &limits, &growths, err);
    if (r)
        return r;
    leaks->all = growths.all;
    leaks->growing = growths.count;
    for (uint32_t i = 0; i < growths.count; i++)
        for (uint32_t o = 0; o < leaks->count; o++)
            if (leaks->origins[o].stack == growths.sites[i].stack)
                leaks->origins[o].is = growths.sites[i].is;
    if (leaks->count)
        qsort(leaks->origins, leaks->count, sizeof *leaks->origins, by_weight);
    return 0;
}

void hone_thread_leaks_done(struct hone_thread_leaks *leaks)
{
    free(leaks->origins);
    *leaks = (struct hone_thread_leaks){0};
}

int hone_thread_leaks_new(const struct hone_profile *profile, struct hone_thread_leaks *ret,
                          struct hone_error *err)
{
    HONE_CLEANUP(hone_thread_leaks_done) struct hone_thread_leaks leaks = {0};
    struct types types;
    int r = find_types(profile, &types, err);
    if (r)
        return r;
    if (sum_sites(profile, &types, &leaks))
        return hone_error_set(err, -ENOMEM, "cannot judge threads");
    r = judge(profile, &leaks, err);
    if (r)
        return r;
    *ret = leaks;
    leaks = (struct hone_thread_leaks){0};
    return 0;
}
