// How many samples stand behind the values of a profile. Private to this room.
#ifndef HONE_ANALYSE_WEIGHTS_H
#define HONE_ANALYSE_WEIGHTS_H

#include "analyse/compare.h"

// By stack: what its samples weigh, and the sum of the squares of each one's weight. A record of a
// file may stand for several samples; they are taken to weigh the same.
struct hone_weights {
    struct hone_judge_sum *stacks;
    struct hone_judge_sum whole;
    double taken;      // samples, however much each weighs
    uint64_t negative; // … left out
    enum hone_compare_counted counted;
};

// Returns 0 or -ENOMEM. Done is needed in either case.
int hone_weights_init(struct hone_weights *weights, const struct hone_profile *profile,
                      uint32_t type);
void hone_weights_done(struct hone_weights *weights);

#endif
