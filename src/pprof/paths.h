// Source paths as reports show them. Private to this room.
#ifndef HONE_PPROF_PATHS_H
#define HONE_PPROF_PATHS_H

#include "base/error.h"
#include "pprof/commands.h"
#include "pprof/config.h"

struct hone_profile;

// Makes the paths of functions as short as the report wants them: without what trim_path or the
// name of a directory of source_path says, and without "." and "..". Returns 0 or -ENOMEM.
int hone_pprof_clean_files(struct hone_profile *profile, enum hone_pprof_report report,
                           const struct hone_pprof_config *config, struct hone_error *err);

#endif
