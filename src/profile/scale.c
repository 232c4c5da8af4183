#include "profile/index.h"

#include <errno.h>
#include <math.h>

static int64_t scale_value(int64_t value, double ratio)
{
    if (ratio == -1) // exact: a double has 53 bits
        return value == INT64_MIN ? INT64_MAX : -value;
    double scaled = round((double)value * ratio);
    if (scaled >= 0x1p63)
        return INT64_MAX;
    return scaled <= -0x1p63 ? INT64_MIN : (int64_t)scaled;
}

int64_t hone_profile_scale_value(int64_t value, double ratio)
{
    return ratio == 1 ? value : scale_value(value, ratio);
}

static void scale_column(int64_t *values, uint32_t count, double ratio)
{
    if (ratio == 1)
        return;
    for (uint32_t i = 0; i < count; i++)
        values[i] = scale_value(values[i], ratio);
}

int hone_profile_scale_types(struct hone_profile *p, const double *ratios)
{
    bool changes = false;
    for (uint32_t i = 0; i < p->type_count; i++) {
        if (!isfinite(ratios[i]))
            return -EINVAL;
        changes |= ratios[i] != 1;
    }
    if (!changes)
        return 0;
    for (uint32_t i = 0; i < p->type_count; i++)
        scale_column(p->samples.values[i], p->samples.count, ratios[i]);
    hone_profile_samples_changed(p);
    return hone_profile_status(p);
}

int hone_profile_scale(struct hone_profile *p, double ratio)
{
    double ratios[HONE_PROFILE_TYPES_MAX];
    for (uint32_t i = 0; i < p->type_count; i++)
        ratios[i] = ratio;
    return isfinite(ratio) ? hone_profile_scale_types(p, ratios) : -EINVAL;
}
