// How well a profile's samples know its shares.
#ifndef HONE_ANALYSE_CONFIDENCE_H
#define HONE_ANALYSE_CONFIDENCE_H

#include "analyse/compare.h"

struct hone_profile;

// Samples that stand behind the values of a type, which may weigh differently.
struct hone_confidence {
    double taken;   // samples
    double samples; // equal ones that would tell as much
    enum hone_compare_counted counted;
};

// Returns 0 or -ENOMEM.
int hone_confidence_of(const struct hone_profile *profile, uint32_t type,
                       struct hone_confidence *ret);

// Between which shares the true one lies, 95 of 100 times, when so large a one was sampled: the
// exact limits of a binomial's (Clopper and Pearson).
void hone_confidence_limits(const struct hone_confidence *confidence, double share, double *ret_low,
                            double *ret_high);

// After how many samples a share is known to so large a part of itself, 95 of 100 times.
double hone_confidence_samples(double share, double part);

#endif
