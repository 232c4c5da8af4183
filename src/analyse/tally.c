#include "analyse/tally.h"

#include <errno.h>
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
    return hone_graph_value(total, count);
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

static inline void add_to(struct hone_tally_cum *cum, uint32_t stack, int64_t weight)
{
    if (cum->last_stack != stack) {
        cum->last_stack = stack;
        cum->sum = hone_tally_add(cum->sum, weight);
    }
}

static void add_all(struct hone_tally *tally, const struct hone_profile *p, const int64_t *weights,
                    const struct hone_nodes *nodes)
{
    for (uint32_t stack = 1; stack < p->stacks.count; stack++) {
        int64_t weight = weights[stack];
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

int hone_tally_init(struct hone_tally *tally, const struct hone_profile *profile,
                    const int64_t *weights, const struct hone_nodes *nodes)
{
    tally->flat = calloc((size_t)nodes->count + 1, sizeof *tally->flat);
    tally->cum = calloc((size_t)nodes->count + 1, sizeof *tally->cum);
    if (!tally->flat || !tally->cum)
        return -ENOMEM;
    add_all(tally, profile, weights, nodes);
    return 0;
}

void hone_tally_done(struct hone_tally *tally)
{
    free(tally->flat);
    free(tally->cum);
}
