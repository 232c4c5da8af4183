// Adding up: what each stack of a profile weighs, and from that flat and cum of each node. Private
// to those who show profiles.
#ifndef HONE_ANALYSE_TALLY_H
#define HONE_ANALYSE_TALLY_H

#include "analyse/nodes.h"
#include "base/crew.h"

// Values come from files, so sums may overflow; they wrap around, as in pprof.
static inline int64_t hone_tally_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline uint64_t hone_tally_magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

// The sum of each stack's samples, by stack, which the caller frees; NULL when memory is out.
// *ret_total is what percentages refer to: the sum of absolute values, of the base's where a
// comparison has marked samples as such.
int64_t *hone_tally_weights(const struct hone_profile *profile, uint32_t type, int64_t *ret_total);

// The same total alone; with mean, divided by the sum of the first type's values.
int64_t hone_tally_total(const struct hone_profile *profile, uint32_t type, bool mean);

// Whether no sum of these values can be beyond 63 bits.
bool hone_tally_fits(const struct hone_profile *profile, uint32_t type);

// By stack, whether any of its samples has a value: values of both signs may add up to nothing.
// *ret is NULL when every weight but 0 says so itself. Returns 0 or -ENOMEM.
int hone_tally_touched(const struct hone_profile *profile, uint32_t type, bool mean, bool **ret);

// Large profiles are worked on in parts: how many there should be, and with which stack a part
// begins, so that all have as many frames.
enum { HONE_TALLY_PARTS_MAX = HONE_CREW_MAX };
unsigned hone_tally_parts(const struct hone_profile *profile);
uint32_t hone_tally_part(const struct hone_profile *profile, unsigned part, unsigned parts);

// By node. A stack counts once for a node, however often it passes through it.
struct hone_tally {
    int64_t *flat;
    struct hone_tally_cum { // what the inner loop touches of a node
        int64_t sum;
        uint32_t last_stack; // that counted
    } * cum;
};

// Returns 0 or -ENOMEM. Done is needed in either case.
int hone_tally_init(struct hone_tally *tally, const struct hone_profile *profile,
                    const int64_t *weights, const struct hone_nodes *nodes);
void hone_tally_done(struct hone_tally *tally);

#endif
