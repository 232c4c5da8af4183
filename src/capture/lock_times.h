// What is known of many times, in bounded memory: how many lie where on a logarithmic scale, with
// 16 steps for each doubling. A median or percentile that is taken from it is within
// HONE_LOCK_TIME_ERROR of the one of all that was added; the largest one is kept as it is.
//
//     struct hone_lock_times waits = {0};
//     hone_lock_times_add(&waits, ns, weight, &budget);
//     uint64_t median_ns = hone_lock_times_at(&waits, 0.5);
//     hone_lock_times_done(&waits);
#ifndef HONE_CAPTURE_LOCK_TIMES_H
#define HONE_CAPTURE_LOCK_TIMES_H

#include <stdint.h>

// Of a figure: half a step, which is at most one part in 16 wide.
#define HONE_LOCK_TIME_ERROR (1.0 / 32)

// A sum over what was drawn at random: each draw stands for `weight` like it, so the sum is right
// on average, and the variance is what chance leaves.
struct hone_lock_sum {
    double value, variance;
};

// Adds one draw of so large a value; a weight is 1 or more.
void hone_lock_sum_add(struct hone_lock_sum *sum, double value, double weight);

struct hone_lock_times {
    double *steps; // weights, of the steps from `first` on
    uint32_t first, count;
    uint64_t observations;  // that were drawn
    double weight, squares; // of all: their sum, and that of their squares
    double sum_ns;          // weighted
    uint64_t most_ns;       // the largest that was drawn
};

// `left` is how many steps all such times together may still take; a time that finds none is not
// added. Returns 0; -ENOSPC; -ENOMEM.
int hone_lock_times_add(struct hone_lock_times *times, uint64_t ns, double weight, uint64_t *left);
// Adds all of `from`. Returns 0 or -ENOMEM.
int hone_lock_times_merge(struct hone_lock_times *to, const struct hone_lock_times *from);
void hone_lock_times_done(struct hone_lock_times *times);

// The time that so large a part of all is not above, 0 to 1. 0 when there is none.
uint64_t hone_lock_times_at(const struct hone_lock_times *times, double part);

// Weighted.
double hone_lock_times_mean(const struct hone_lock_times *times);

// Equal draws that would tell as much.
double hone_lock_times_effective(const struct hone_lock_times *times);

#endif
