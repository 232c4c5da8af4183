// cli input: from what a view was given to the profile that it shows.
#ifndef HONE_CLI_INPUT_H
#define HONE_CLI_INPUT_H

#include "base/error.h"
#include "cli/options.h"

struct hone_profile;

// Room for the path of a profile.
#define HONE_INPUT_PATH_MAX 4096

// Reads the profiles that operands name and merges them into one: a file, "-" for standard input,
// the directory of a session, whose CPU profile is meant, or a URL. Without operands it is the
// newest session under profiles/ in the current directory, and a terminal is told which one that
// is. Servers are asked for so many seconds (0: what the URL says) and all at once; what they
// measured is kept in a file, and the user is told in which.
//
// Returns  0; a negative errno with err filled.
// Owner    the caller, hone_profile_free().
int hone_input_read(const struct hone_operands *operands, int64_t seconds,
                    struct hone_profile **ret, struct hone_error *err);

// The path of the file that hone_input_read() reads first, so that output can go beside it. Empty
// when that comes from a server.
int hone_input_path(const struct hone_operands *operands, char path[HONE_INPUT_PATH_MAX],
                    struct hone_error *err);

// The row of every view's options for hone_input_read(); member is an int64_t of theirs.
#define HONE_INPUT_ROW_SECONDS(options, member)                                                    \
    {                                                                                              \
        .name = "seconds", .kind = HONE_OPTION_COUNT, .value = "N", .minimum = 0,                  \
        .maximum = HONE_INPUT_SECONDS_MAX, .at = offsetof(struct options, member),                 \
        .help = "ask servers to measure for N seconds (what the URL says, or they choose)",        \
    }
#define HONE_INPUT_SECONDS_MAX (7 * 24 * 3600)

#endif
