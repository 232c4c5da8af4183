// The shell of `hone pprof`: reads lines and does what they say, with the words of pprof's. On a
// terminal they are edited, completed and remembered; in a pipe they come as they are.
//
// A line is an assignment (focus=main), a command of the table with its arguments (top10 -cum
// main >file), the name of a sample type, or one of help, options and quit.
//
// Threads: one at a time.
#ifndef HONE_PPROF_SHELL_H
#define HONE_PPROF_SHELL_H

#include "base/error.h"
#include "pprof/config.h"

struct hone_profile;

// Runs until the input ends or says so. What a line does wrong is told and does not end it.
//
// Returns  0; a negative errno with err filled when memory is out or lines cannot be read.
int hone_pprof_shell(struct hone_profile *profile, const struct hone_pprof_config *config,
                     struct hone_error *err);

#endif
