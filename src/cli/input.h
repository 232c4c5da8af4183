// cli input: from what a view was given to the profile that it shows.
#ifndef HONE_CLI_INPUT_H
#define HONE_CLI_INPUT_H

#include "base/error.h"
#include "cli/options.h"

struct hone_profile;

// Room for the path of a profile.
#define HONE_INPUT_PATH_MAX 4096

// What the options of every command that reads profiles say of servers. Zero means default.
struct hone_input_options {
    const char *type;   // the sample type that will be shown (a profile's own default)
    int64_t seconds;    // what they are asked for (what the URL says)
    int64_t timeout_ns; // how long they may be silent
    const char *tls_cert;
    const char *tls_key;
    const char *tls_ca;
};

// Reads the profiles that operands name and merges them into one: a file, "-" for standard input,
// the directory of a session, of which the profile with the type is meant, or its first, or a URL.
// Without operands it is the
// newest session under profiles/ in the current directory, and a terminal is told which one that
// is. Servers are asked all at once; what they measured is kept in a file, and the user is told in
// which.
//
// Returns  0; HONE_MISUSED or a negative errno with err filled.
// Owner    the caller, hone_profile_free().
int hone_input_read(const struct hone_operands *operands, const struct hone_input_options *options,
                    struct hone_profile **ret, struct hone_error *err);

// The path of the file that hone_input_read() reads first, so that output can go beside it. Empty
// when that comes from a server.
int hone_input_path(const struct hone_operands *operands, const char *type,
                    char path[HONE_INPUT_PATH_MAX], struct hone_error *err);

// Their rows; options is the struct that has a struct hone_input_options called input.
#define HONE_INPUT_ROW_FILE(options, option, field, words)                                         \
    {                                                                                              \
        .name = (option), .kind = HONE_OPTION_TEXT, .value = "FILE", .complete = "file",           \
        .at = offsetof(struct options, input.field), .help = (words),                              \
    }
#define HONE_INPUT_ROWS(options)                                                                   \
    {.name = "seconds",                                                                            \
     .kind = HONE_OPTION_COUNT,                                                                    \
     .value = "N",                                                                                 \
     .maximum = HONE_INPUT_SECONDS_MAX,                                                            \
     .at = offsetof(struct options, input.seconds),                                                \
     .help = "ask servers to measure for N seconds (what the URL says, or they choose)"},          \
        {.name = "timeout",                                                                        \
         .kind = HONE_OPTION_TIME,                                                                 \
         .value = "TIME",                                                                          \
         .minimum = 1000000000,                                                                    \
         .maximum = HONE_INPUT_SECONDS_MAX * INT64_C(1000000000),                                  \
         .at = offsetof(struct options, input.timeout_ns),                                         \
         .help = "give up servers that are silent for so long (half as long again as they "        \
                 "measure, or 60s)"},                                                              \
        HONE_INPUT_ROW_FILE(options, "tls-cert", tls_cert,                                         \
                            "our certificate, for servers that want to see one; PEM"),             \
        HONE_INPUT_ROW_FILE(options, "tls-key", tls_key, "its key; PEM"),                          \
        HONE_INPUT_ROW_FILE(options, "tls-ca", tls_ca,                                             \
                            "certificates of who vouches for servers; PEM (the system's)")
#define HONE_INPUT_SECONDS_MAX (7 * 24 * 3600)

#endif
