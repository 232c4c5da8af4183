// cli input: from what a view was given to the profile that it shows.
#ifndef HONE_CLI_INPUT_H
#define HONE_CLI_INPUT_H

#include "base/error.h"
#include "cli/options.h"

struct hone_profile;

// Room for the path of a profile.
#define HONE_INPUT_PATH_MAX 4096

// Reads the profiles that operands name and merges them into one: a file, "-" for standard input,
// or the directory of a session, whose CPU profile is meant. Without operands it is the newest
// session under profiles/ in the current directory, and a terminal is told which one that is.
//
// Returns  0; a negative errno with err filled.
// Owner    the caller, hone_profile_free().
int hone_input_read(const struct hone_operands *operands, struct hone_profile **ret,
                    struct hone_error *err);

// The path of the file that hone_input_read() reads first, so that output can go beside it.
int hone_input_path(const struct hone_operands *operands, char path[HONE_INPUT_PATH_MAX],
                    struct hone_error *err);

#endif
