// Names for profiles that have none. Private to this room.
#ifndef HONE_PPROF_SYMBOLIZE_H
#define HONE_PPROF_SYMBOLIZE_H

#include "base/error.h"

#include <stdbool.h>

struct hone_fetch_options;
struct hone_fetch_origins;
struct hone_profile;

// mode is -symbolize's: words with colons between, "none", "local", "fastlocal", "remote", "force",
// "demangle=full" and so on; "" does what is missing. Files are read by our own symbolizer, which
// refuses those with another build id; what is still missing the servers are asked for that the
// profile came from. Returns 0, -ENOMEM, or what is wrong with a server's answer in err.
int hone_pprof_symbolize(struct hone_profile *profile, const char *mode,
                         const struct hone_fetch_origins *origins,
                         const struct hone_fetch_options *options, struct hone_error *err);

enum hone_pprof_demangling {
    HONE_PPROF_SHORT,     // neither parameters nor template arguments
    HONE_PPROF_TEMPLATES, // no parameters
    HONE_PPROF_FULL,      // all there is
};

// Makes names for people of functions whose name is the linker's; with force also of others.
int hone_pprof_demangle(struct hone_profile *profile, enum hone_pprof_demangling how, bool force,
                        struct hone_error *err);

#endif
