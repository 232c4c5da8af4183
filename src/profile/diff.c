#include "profile/compatible.h"
#include "profile/merge.h"

static int diff(const struct hone_profile *profile, struct hone_profile **taken,
                const struct hone_profile *base, const struct hone_profile_diff_options *options,
                struct hone_profile **ret, struct hone_error *err)
{
    int r = hone_profile_check_compatible((const struct hone_profile *[]){profile, base}, 2,
                                          "compare", err);
    if (r)
        return r;
    double normal[HONE_PROFILE_TYPES_MAX];
    double negative[HONE_PROFILE_TYPES_MAX];
    for (uint32_t i = 0; i < base->type_count; i++)
        negative[i] = -1;
    bool normalize = options && options->normalize;
    if (normalize)
        hone_profile_normal_ratios(profile, base, normal);
    const struct hone_profile_part parts[] = {
        {.profile = profile, .ratios = normalize ? normal : NULL, .taken = taken},
        {.profile = base, .ratios = negative, .is_base = options && options->label_base},
    };
    return hone_profile_merge_parts(parts, 2, ret, err);
}

int hone_profile_diff(const struct hone_profile *profile, const struct hone_profile *base,
                      const struct hone_profile_diff_options *options, struct hone_profile **ret,
                      struct hone_error *err)
{
    return diff(profile, NULL, base, options, ret, err);
}

int hone_profile_subtract(struct hone_profile **profile, const struct hone_profile *base,
                          bool label_base, struct hone_error *err)
{
    const struct hone_profile_diff_options options = {.label_base = label_base};
    struct hone_profile *result = NULL;
    int r = diff(*profile, profile, base, &options, &result, err);
    if (!r)
        *profile = result;
    return r;
}
