// cli runs: the recordings of two sides.
#ifndef HONE_CLI_RUNS_H
#define HONE_CLI_RUNS_H

#include "base/error.h"
#include "cli/input.h"

#include <stdint.h>

struct hone_profile;

struct hone_runs {
    const struct hone_input_options *input; // set before
    struct hone_profile **profiles;         // the base's first
    uint32_t count[2];
};

// Reads BASE NEW, or BASE… vs NEW…, in the way that runs->input says. A directory is one recording,
// or it holds several, each of which is a run; they are taken in the order of their names. Done is
// needed in either case.
//
// Returns  0; HONE_MISUSED or a negative errno with err filled.
int hone_runs_read(const struct hone_operands *operands, struct hone_runs *runs,
                   struct hone_error *err);
void hone_runs_done(struct hone_runs *runs);

#endif
