#include "profile/compatible.h"
#include "profile/index.h"

static int64_t sum_of(const int64_t *values, uint32_t count)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum = hone_profile_add_values(sum, values[i]);
    return sum;
}

void hone_profile_normal_ratios(const struct hone_profile *p, const struct hone_profile *base,
                                double ratios[HONE_PROFILE_TYPES_MAX])
{
    for (uint32_t i = 0; i < p->type_count; i++) {
        int64_t own = sum_of(p->samples.values[i], p->samples.count);
        int64_t wanted = sum_of(base->samples.values[i], base->samples.count);
        ratios[i] = own ? (double)wanted / (double)own : 0;
    }
}

int hone_profile_normalize(struct hone_profile *p, const struct hone_profile *base,
                           struct hone_error *err)
{
    int r = hone_profile_check_compatible((const struct hone_profile *[]){p, base}, 2, "normalize",
                                          err);
    if (r)
        return r;
    double ratios[HONE_PROFILE_TYPES_MAX];
    hone_profile_normal_ratios(p, base, ratios);
    return hone_profile_scale_types(p, ratios);
}
