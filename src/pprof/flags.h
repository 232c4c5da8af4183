// One pass over the flags of a command line, as Go's flag package makes it. Private to this room.
#ifndef HONE_PPROF_FLAGS_H
#define HONE_PPROF_FLAGS_H

#include "base/error.h"
#include "pprof/config.h"

// What a flag is: found by name, written to at.
struct hone_pprof_flag {
    enum hone_pprof_kind kind;
    void *at; // bool, int64_t, double or const char *
};

struct hone_pprof_flags {
    // Returns whether there is a flag of this name.
    bool (*find)(void *context, const char *name, struct hone_pprof_flag *ret);
    void *context;
};

enum { HONE_PPROF_FLAGS_HELP = 1 };

// Takes flags from the front; *ret_rest is the place of the first word that is none. Returns 0;
// HONE_PPROF_FLAGS_HELP for -h and -help; -EINVAL with Go's words in err. Words of argv that hold a
// flag and its value are cut in two.
int hone_pprof_flags_parse(const struct hone_pprof_flags *flags, int argc, char **argv,
                           int *ret_rest, struct hone_error *err);

#endif
