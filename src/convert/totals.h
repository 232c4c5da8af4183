// What each function took itself (flat) and with all it called (cum), for writers that list them.
// Private to this room.
#ifndef HONE_CONVERT_TOTALS_H
#define HONE_CONVERT_TOTALS_H

#include "convert/frames.h"

struct hone_totals {
    struct hone_frames frames; // one for each function of a module
    int64_t *flat;             // by frame, one value for each sample type
    int64_t *cum;              // a stack counts once for a function that recurs
    uint32_t *seen;            // the last sample of it, + 1; 0: none
};

// Returns 0 or -ENOMEM; done is due in both cases.
int hone_totals_init(struct hone_totals *totals, const struct hone_profile *profile);
void hone_totals_done(struct hone_totals *totals);

#endif
