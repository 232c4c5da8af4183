// Merging with a factor: what hone_profile_merge() and hone_profile_diff() share. Private to this
// room.
#ifndef HONE_PROFILE_MERGE_H
#define HONE_PROFILE_MERGE_H

#include "profile/profile.h"

// The label by which pprof knows the samples of a base.
#define HONE_PROFILE_BASE_KEY "pprof::base"
#define HONE_PROFILE_BASE_TEXT "true"

// One of the profiles, and how it enters.
struct hone_profile_part {
    const struct hone_profile *profile;
    const double *ratios; // by which the values of each type are multiplied; NULL means 1
    bool is_base;         // its samples get the label pprof::base: true
};

// The profiles are compatible (compatible.h).
int hone_profile_merge_parts(const struct hone_profile_part *parts, size_t count,
                             struct hone_profile **ret, struct hone_error *err);

#endif
