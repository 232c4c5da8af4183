// Merging with a factor, which hone_profile_merge() and hone_profile_diff() share, and merging what
// is not needed any more.
#ifndef HONE_PROFILE_MERGE_H
#define HONE_PROFILE_MERGE_H

#include "profile/profile.h"

// The label by which pprof knows the samples of a base.
#define HONE_PROFILE_BASE_KEY "pprof::base"
#define HONE_PROFILE_BASE_TEXT "true"

// One of the profiles, and how it enters.
struct hone_profile_part {
    const struct hone_profile *profile;
    const double *ratios;        // by which the values of each type are multiplied; NULL means 1
    bool is_base;                // its samples get the label pprof::base: true
    struct hone_profile **taken; // where it is kept; NULL then, for it is freed as soon as it was
                                 // merged, or becomes the result. NULL: stays as it is
};

// The profiles are compatible (compatible.h).
int hone_profile_merge_parts(const struct hone_profile_part *parts, size_t count,
                             struct hone_profile **ret, struct hone_error *err);

// As hone_profile_merge(), of profiles that nobody needs afterwards: each is freed as soon as it
// was merged and its place set to NULL, also when it fails. That takes less memory and, where the
// first is as merging would leave it, half the time.
int hone_profile_merge_taken(struct hone_profile **profiles, size_t count,
                             struct hone_profile **ret, struct hone_error *err);

// As hone_profile_diff(), into the profile. When it fails the profile may be NULL.
int hone_profile_subtract(struct hone_profile **profile, const struct hone_profile *base,
                          bool label_base, struct hone_error *err);

#endif
