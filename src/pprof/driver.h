// driver: what `hone pprof` does, to the letter as `go tool pprof`: reads profiles, and makes one
// report of them for each command. Words to the user besides the report go to standard error at
// once; what ends a command comes back as an error with pprof's words.
//
//     struct hone_pprof_arguments arguments;
//     r = hone_pprof_parse(argc, argv, &arguments, err);
//     …
//     r = hone_pprof_load(&arguments.input, &profile, err);
//     …
//     r = hone_pprof_run(profile, false, arguments.command, arguments.pattern, &arguments.config,
//                        false, err);
//
// The shell keeps the profile and calls hone_pprof_run() with keep and interactive for each of its
// lines.
//
// Threads: one at a time for each profile.
#ifndef HONE_PPROF_DRIVER_H
#define HONE_PPROF_DRIVER_H

#include "base/buffer.h"
#include "base/error.h"
#include "pprof/arguments.h"
#include "pprof/commands.h"
#include "pprof/config.h"

#include <stdint.h>

struct hone_profile;

// Reads and merges the sources, subtracts the base, looks up names where the profile has none, and
// drops the frames that the profile wants dropped.
int hone_pprof_load(const struct hone_pprof_input *input, struct hone_profile **ret,
                    struct hone_error *err);

// Makes the report of a command (pattern NULL for those that take none) and puts it where it
// belongs: standard output, the configured file, a viewer. The profile is filtered in place, so it
// serves once, unless keep is set: then a copy is.
int hone_pprof_run(struct hone_profile *profile, bool keep,
                   const struct hone_pprof_command *command, const char *pattern,
                   const struct hone_pprof_config *config, bool interactive,
                   struct hone_error *err);

// The report alone, appended to out.
int hone_pprof_report(struct hone_profile *profile, const struct hone_pprof_command *command,
                      const char *pattern, const struct hone_pprof_config *config,
                      struct hone_buffer *out, struct hone_error *err);

// Puts a finished report where it belongs.
int hone_pprof_deliver(const struct hone_pprof_command *command,
                       const struct hone_pprof_config *config, const struct hone_buffer *report,
                       bool interactive, struct hone_error *err);

// The sample type that sample_index means: a place or a name. Returns 0; -EINVAL with the choices.
int hone_pprof_find_type(const struct hone_profile *profile, const char *sample_index,
                         uint32_t *ret, struct hone_error *err);

// Says which numeric labels have several units.
int hone_pprof_warn_units(const struct hone_profile *profile, struct hone_error *err);

// The lines that tell of the profile, as they stand above its reports.
int hone_pprof_put_head(const struct hone_profile *profile, const struct hone_pprof_config *config,
                        struct hone_buffer *out, struct hone_error *err);

#endif
