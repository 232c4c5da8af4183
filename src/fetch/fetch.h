// fetch: from the words of a command line to profiles. A word names a file, "-" for standard input,
// the directory of a recording, or a server: a URL, or host:port as pprof accepts it.
//
// It promises: servers are asked all at once and files are read meanwhile; one that fails spoils no
// other, and says in one line why; time and memory are bounded whatever a server sends; no password
// of a URL is shown. On a terminal one line tells how far it is. It leaves to others what becomes
// of the profiles.
//
//     struct hone_fetch_source sources[] = {{.name = "cpu.prof"}, {.name = "localhost:6060"}};
//     struct hone_fetch_options options = {.size = sizeof options, .seconds = 10};
//     r = hone_fetch(sources, 2, &options, &err);
//     for (size_t i = 0; i < 2; i++)
//         if (!sources[i].profile)
//             hone_error_print(&sources[i].error);
//     hone_fetch_done(sources, 2);
//
// Threads: one at a time.
#ifndef HONE_FETCH_FETCH_H
#define HONE_FETCH_FETCH_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;

enum {
    HONE_FETCH_PATH_MAX = 4096, // room for the path of a profile
    HONE_FETCH_AT_ONCE = 64,    // servers that are asked at the same time; more wait
    HONE_FETCH_SECONDS_MAX = 7 * 24 * 3600,
};

struct hone_fetch_source {
    const char *name; // what the user wrote; NULL is the newest recording under profiles/

    // Results.
    struct hone_profile *profile; // NULL when it failed
    char *url;                    // where it came from; NULL when that is no server
    struct hone_error error;      // why it failed
};

// Zero means default. Private keys, certificates and authorities are PEM files.
struct hone_fetch_options {
    size_t size;
    const char *type;     // the sample type that will be shown: which of a recording's files (any)
    int64_t seconds;      // the duration that servers are asked for (what the URL says)
    int64_t timeout_s;    // how long an answer may take (the duration and half of it; 60)
    const char *tls_cert; // the client's, with its key
    const char *tls_key;
    const char *tls_ca; // who vouches for servers (the system's authorities)
    bool quiet;         // no progress, not even on a terminal

    // Lines for stderr in pprof's words, such as "Fetching profile over HTTP from http://…".
    void (*tell)(void *context, const char *line);
    void *context;
};

// Reads all sources. A source that fails has an error and no profile, and is not an error here.
//
// Returns  0; -EINVAL with err filled when the options contradict each other; -ENOMEM.
// Owner    the caller, hone_fetch_done(), which frees what is left in the sources.
int hone_fetch(struct hone_fetch_source *sources, size_t count,
               const struct hone_fetch_options *options, struct hone_error *err);
void hone_fetch_done(struct hone_fetch_source *sources, size_t count);

// Whether a word names a server. Where it could also be a file, "./" before it says that.
bool hone_fetch_is_remote(const char *name);

// The path of the file that a word which names no server stands for: of a recording, its CPU
// profile or, without one, another; of a directory of recordings, or of profiles/ for NULL, the
// newest one's. A type that only the heap has (inuse_space, …) asks for that profile, and so does
// threads.
int hone_fetch_locate(const char *name, const char *type, char path[HONE_FETCH_PATH_MAX],
                      struct hone_error *err);

// Writes a profile that came from a server where pprof keeps them, under a new name: into
// $PPROF_TMPDIR or ~/pprof, as pprof.PROGRAM.TYPE….NNN.pb.gz.
int hone_fetch_save(const struct hone_profile *profile, char path[HONE_FETCH_PATH_MAX],
                    struct hone_error *err);

// --- names from servers --------------------------------------------------------------------------

// Which server knows the names of which mapping: made of the sources before they are merged.
struct hone_fetch_origins;

// Notes each mapping of each fetched profile; a mapping without file and build id gets the URL as
// its file, so that it is found again after merging. Returns 0 or -ENOMEM.
int hone_fetch_origins_new(struct hone_fetch_source *sources, size_t count,
                           struct hone_fetch_origins **ret, struct hone_error *err);
void hone_fetch_origins_free(struct hone_fetch_origins *origins);

// Asks servers for the names of locations that have none, as pprof's -symbolize=remote does: a POST
// of addresses to the page "symbol" beside the profile's. force also asks about mappings that say
// of themselves that they were looked up.
//
// Returns  0 also when nobody was to be asked; a negative errno with err filled.
int hone_fetch_symbolize(struct hone_profile *profile, const struct hone_fetch_origins *origins,
                         bool force, const struct hone_fetch_options *options,
                         struct hone_error *err);

#endif
