#include "analyse/confidence.h"

#include "analyse/chance.h"
#include "analyse/weights.h"

#include <math.h>

static const double sure = 1.959964; // 95 of 100, to either side

int hone_confidence_of(const struct hone_profile *profile, uint32_t type,
                       struct hone_confidence *ret)
{
    struct hone_weights weights;
    int r = hone_weights_init(&weights, profile, type);
    if (!r) {
        const struct hone_judge_sum *whole = &weights.whole;
        *ret = (struct hone_confidence){
            .taken = weights.taken,
            .samples = whole->value > 0 ? whole->value * whole->value / whole->squares : 0,
            .counted = weights.counted};
    }
    hone_weights_done(&weights);
    return r;
}

void hone_confidence_limits(const struct hone_confidence *confidence, double share, double *ret_low,
                            double *ret_high)
{
    // How a whole parts into two is the ratio of two counts.
    struct hone_chance_counts counts = {
        .count = {confidence->samples * (1 - share), confidence->samples * share},
        .exposure = {1, 1}};
    double low;
    double high;
    hone_chance_ratio_limits(&counts, sure, &low, &high);
    *ret_low = low / (1 + low);
    *ret_high = isinf(high) ? 1 : high / (1 + high);
}

double hone_confidence_samples(double share, double part)
{
    return sure * sure * (1 - share) / share / (part * part);
}
