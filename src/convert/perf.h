// perf.data in: what Linux's perf recorded becomes a profile.
//
//     struct hone_profile *profile;
//     r = hone_perf_read_file("perf.data", NULL, &profile, &err);
//
// Read are files, the directories of `perf record --threads`, and the stream that `perf record -o
// -` writes, also compressed (-z): samples with frame pointers (-g), with branch stacks
// (--call-graph lbr) and with copies of the stack
// (--call-graph dwarf), which are walked here by the rules in the programs' own files, on all
// processors. Programs are looked for where they ran, then in perf's own cache (~/.debug); one that
// is not the one that ran, by its build id, is not read. Names come from symbol/.
//
// A profile holds one event: the first, unless another is named. The profile's comments tell of the
// others, of what was lost, what could not be found, and where a damaged file was given up.
//
// Memory is bounded by what is distinct (stacks, places, threads), not by the file's size: a file
// is mapped and read once, from front to back.
#ifndef HONE_CONVERT_PERF_H
#define HONE_CONVERT_PERF_H

#include "base/error.h"
#include "profile/profile.h"

#include <stdbool.h>
#include <stddef.h>

// Zero means default.
struct hone_perf_options {
    size_t size;       // of this struct
    const char *event; // its name as perf has it, with or without modifiers: "cycles:u", "cycles"
    const char *cache; // perf's folder of files by build id ($PERF_BUILDID_DIR or ~/.debug)
    bool no_names;     // addresses only
    bool debuginfod;   // debug files that are not here are asked of the servers
    unsigned threads;  // that walk stacks (as many as there are processors)
};

// Whether these first bytes of a file (16 are enough) begin a perf.data of any kind that there is,
// also of those that we refuse.
bool hone_perf_detect(const void *bytes, size_t len);

// Whether a directory is one that `perf record --threads` made.
bool hone_perf_is_directory(const char *path);

// Reads a file or a directory, or standard input for "-".
//
// Returns  0; -EBADMSG with what and where in err; -EINVAL when there is no such event, with those
//          that there are; -ENOMEM; -errno of the system.
int hone_perf_read_file(const char *path, const struct hone_perf_options *options,
                        struct hone_profile **ret, struct hone_error *err);

// The same on bytes in memory; name is for messages.
int hone_perf_read(const void *bytes, size_t len, const char *name,
                   const struct hone_perf_options *options, struct hone_profile **ret,
                   struct hone_error *err);

#endif
