// The command line of `hone pprof`: flags in the notation of Go's flag package (-x, --x, -x=v, -x
// v), then an executable, maybe, and the sources of profiles.
//
// Threads: safe.
#ifndef HONE_PPROF_ARGUMENTS_H
#define HONE_PPROF_ARGUMENTS_H

#include "base/error.h"
#include "pprof/config.h"

struct hone_pprof_command;

// Where profiles come from and what is done to them before any report. Texts are borrowed from argv
// and the environment, never NULL.
struct hone_pprof_input {
    const char *const *sources;
    size_t source_count;
    const char *executable; // instead of the file that the first mapping names
    const char *build_id;   // instead of its build id
    const char *base;       // one more source, which is subtracted; "": none
    bool diff_base;         // percentages are those of the base
    bool normalize;         // the profile is scaled to the base's sum before
    int64_t seconds;        // for sources that take their time; below 0: their own choice
    int64_t timeout;        // seconds; below 0: what suits
    const char *symbolize;
    const char *comment;
    const char *tools;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_ca;
    bool numbered; // by what the samples use, as the raw report shows it
};

struct hone_pprof_arguments {
    struct hone_pprof_input input;
    struct hone_pprof_config config;
    const struct hone_pprof_command *command; // NULL: the shell
    const char *pattern;                      // of the command, if it takes one
    const char *http;                         // "": no page
    bool no_browser;
};

enum {
    HONE_PPROF_HELP = 1,    // was asked for and printed
    HONE_PPROF_MISUSED = 2, // what is wrong was printed, with the usage
};

// The names of all flags without their dashes, in the order of help: formats, options and choices
// of options, then those of sources. Returns how many there are, which may be more than room.
size_t hone_pprof_flag_names(const char **names, size_t room);

// argv are the words after the command's name; sources point into it. Returns 0; one of the above;
// -EINVAL with pprof's words in err.
int hone_pprof_parse(int argc, char **argv, struct hone_pprof_arguments *ret,
                     struct hone_error *err);

#endif
