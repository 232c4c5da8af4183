// Whether profiles can be merged or compared as they are. Private to this room.
#ifndef HONE_PROFILE_COMPATIBLE_H
#define HONE_PROFILE_COMPATIBLE_H

#include "profile/profile.h"

// 0 when all have the sample types of the first, in its order and units, and were sampled by the
// same thing as far as they tell; otherwise -EINVAL, "cannot WHAT: …" in err.
int hone_profile_check_compatible(const struct hone_profile *const *profiles, size_t count,
                                  const char *what, struct hone_error *err);

// What each type of profile is to be multiplied with so that its values add up to base's.
void hone_profile_normal_ratios(const struct hone_profile *profile, const struct hone_profile *base,
                                double ratios[HONE_PROFILE_TYPES_MAX]);

#endif
