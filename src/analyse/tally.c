#include "analyse/tally.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

// Samples that a comparison took from its base are marked; percentages then refer to the base.
static bool is_base(const struct hone_profile *p, uint32_t label_set)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(p, label_set);
    for (uint32_t i = 0; i < labels.count; i++)
        if (hone_str_equal(hone_profile_str(p, labels.at[i].key), HONE_STR("pprof::base")) &&
            hone_str_equal(hone_profile_str(p, labels.at[i].text), HONE_STR("true")))
            return true;
    return false;
}

struct totals {
    uint64_t all;
    uint64_t base;
    uint64_t count; // divisors of means
    uint64_t base_count;
    uint32_t known_set; // labels are looked at once per run of equal ones
    bool known_base;
};

static inline void add_to_totals(struct totals *totals, const struct hone_profile *p, uint32_t i,
                                 int64_t value)
{
    totals->all += hone_tally_magnitude(value);
    if (p->samples.label_set[i] != totals->known_set) {
        totals->known_set = p->samples.label_set[i];
        totals->known_base = is_base(p, totals->known_set);
    }
    if (totals->known_base)
        totals->base += hone_tally_magnitude(value);
}

int64_t *hone_tally_weights(const struct hone_profile *p, uint32_t type, int64_t *ret_total)
{
    int64_t *weights = calloc(p->stacks.count, sizeof *weights);
    if (!weights)
        return NULL;
    const int64_t *values = p->samples.values[type];
    struct totals totals = {0};
    for (uint32_t i = 0; i < p->samples.count; i++) {
        uint32_t stack = p->samples.stack[i];
        weights[stack] = hone_tally_add(weights[stack], values[i]);
        add_to_totals(&totals, p, i, values[i]);
    }
    *ret_total = (int64_t)(totals.base ? totals.base : totals.all);
    return weights;
}

int64_t hone_tally_total(const struct hone_profile *p, uint32_t type, bool mean)
{
    const int64_t *values = p->samples.values[type];
    struct totals totals = {0};
    for (uint32_t i = 0; i < p->samples.count; i++) {
        add_to_totals(&totals, p, i, values[i]);
        if (!mean)
            continue;
        totals.count += (uint64_t)p->samples.values[0][i];
        if (totals.known_base)
            totals.base_count += (uint64_t)p->samples.values[0][i];
    }
    int64_t total = (int64_t)((int64_t)totals.base > 0 ? totals.base : totals.all);
    int64_t count = (int64_t)((int64_t)totals.base > 0 ? totals.base_count : totals.count);
    return hone_graph_mean(total, count);
}

bool hone_tally_fits(const struct hone_profile *p, uint32_t type)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        if (__builtin_add_overflow(sum, hone_tally_magnitude(p->samples.values[type][i]), &sum))
            return false;
    return sum <= INT64_MAX;
}

int hone_tally_touched(const struct hone_profile *p, uint32_t type, bool mean, bool **ret)
{
    const int64_t *values = p->samples.values[type];
    bool plain = !mean;
    for (uint32_t i = 0; plain && i < p->samples.count; i++)
        plain = values[i] >= 0;
    if (plain)
        return 0;
    bool *touched = calloc(p->stacks.count, sizeof *touched);
    if (!touched)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++)
        touched[p->samples.stack[i]] |= values[i] || (mean && p->samples.values[0][i]);
    *ret = touched;
    return 0;
}

// --- parts ---------------------------------------------------------------------------------------

enum { PART_FRAMES = 1 << 20 }; // fewer are counted before another thread has begun

unsigned hone_tally_parts(const struct hone_profile *p)
{
    uint32_t worth = p->frames.count / PART_FRAMES;
    unsigned crew = hone_crew_size();
    return worth < 2 ? 1 : worth < crew ? worth : crew;
}

uint32_t hone_tally_part(const struct hone_profile *p, unsigned part, unsigned parts)
{
    if (part == parts)
        return p->stacks.count;
    uint64_t frame = (uint64_t)p->frames.count * part / parts;
    uint32_t low = 1;
    uint32_t high = p->stacks.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->stacks.first_frame[middle] < frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// --- nodes ---------------------------------------------------------------------------------------

// Some of the stacks, and what they add up to.
struct part {
    const struct hone_profile *profile;
    const int64_t *weights;
    const struct hone_nodes *nodes;
    uint32_t first_stack;
    uint32_t end_stack;
    struct hone_tally tally;
};

struct parts {
    struct part at[HONE_TALLY_PARTS_MAX];
    unsigned count;
    atomic_uint next; // relaxed: who takes which does not matter
};

static inline void add_to(struct hone_tally_cum *cum, uint32_t stack, int64_t weight)
{
    if (cum->last_stack != stack) {
        cum->last_stack = stack;
        cum->sum = hone_tally_add(cum->sum, weight);
    }
}

static void add_stacks(struct part *part)
{
    const struct hone_profile *p = part->profile;
    const struct hone_nodes *nodes = part->nodes;
    struct hone_tally *tally = &part->tally;
    for (uint32_t stack = part->first_stack; stack < part->end_stack; stack++) {
        int64_t weight = part->weights[stack];
        if (!weight)
            continue;
        struct hone_profile_span frames = hone_profile_frames_of(p, stack);
        for (uint32_t i = 0; i < frames.count; i++) {
            uint32_t location = frames.at[i];
            uint32_t node = nodes->only[location];
            if (node != HONE_NODES_SEVERAL) {
                add_to(&tally->cum[node], stack, weight);
                continue;
            }
            for (uint32_t at = nodes->first[location]; at < nodes->first[location + 1]; at++)
                add_to(&tally->cum[nodes->at[at]], stack, weight);
        }
        uint32_t leaf = nodes->at[nodes->first[frames.at[0] + 1] - 1];
        tally->flat[leaf] = hone_tally_add(tally->flat[leaf], weight);
    }
}

static void add_parts(void *context, unsigned number)
{
    (void)number;
    struct parts *parts = context;
    unsigned part;
    while ((part = atomic_fetch_add_explicit(&parts->next, 1, memory_order_relaxed)) < parts->count)
        add_stacks(&parts->at[part]);
}

static int init(struct hone_tally *tally, uint32_t node_count)
{
    tally->flat = calloc((size_t)node_count + 1, sizeof *tally->flat);
    tally->cum = calloc((size_t)node_count + 1, sizeof *tally->cum);
    return tally->flat && tally->cum ? 0 : -ENOMEM;
}

// The later parts are added to the first.
static void join(struct parts *parts, uint32_t node_count)
{
    struct hone_tally *to = &parts->at[0].tally;
    for (unsigned part = 1; part < parts->count; part++) {
        const struct hone_tally *from = &parts->at[part].tally;
        for (uint32_t i = 0; i < node_count; i++) {
            to->flat[i] = hone_tally_add(to->flat[i], from->flat[i]);
            to->cum[i].sum = hone_tally_add(to->cum[i].sum, from->cum[i].sum);
        }
    }
}

int hone_tally_init(struct hone_tally *tally, const struct hone_profile *profile,
                    const int64_t *weights, const struct hone_nodes *nodes)
{
    struct parts parts = {.count = hone_tally_parts(profile)};
    int r = 0;
    for (unsigned i = 0; i < parts.count; i++) {
        struct part *part = &parts.at[i];
        *part = (struct part){.profile = profile,
                              .weights = weights,
                              .nodes = nodes,
                              .first_stack = hone_tally_part(profile, i, parts.count),
                              .end_stack = hone_tally_part(profile, i + 1, parts.count)};
        r = r ? r : init(&part->tally, nodes->count);
    }
    if (!r) {
        hone_crew_run(parts.count, add_parts, &parts);
        join(&parts, nodes->count);
    }
    *tally = parts.at[0].tally;
    for (unsigned i = 1; i < parts.count; i++)
        hone_tally_done(&parts.at[i].tally);
    return r;
}

void hone_tally_done(struct hone_tally *tally)
{
    free(tally->flat);
    free(tally->cum);
}
