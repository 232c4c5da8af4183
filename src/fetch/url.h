// What a word on the command line means as a URL: the rules of Go's pprof, which takes
// "host:port/path" too, asks for the CPU profile where no path is given, and puts the duration into
// the query. Private to this room.
#ifndef HONE_FETCH_URL_H
#define HONE_FETCH_URL_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_url {
    const char *text;    // as pprof prints it
    const char *shown;   // the same with its password blotted out
    const char *request; // what is asked for: http or https, with a host
    bool insecure;       // https+insecure: whoever the server is
    bool local;          // this machine: no proxy in between
    int64_t seconds;     // how long the server will measure; 0 unknown
    int64_t timeout_s;
};

#define HONE_URL_NONE 1 // it is the name of a file

// seconds and timeout_s as in struct hone_fetch_options. The texts live in the arena.
// Returns 0, HONE_URL_NONE or -ENOMEM.
int hone_url_of_source(struct hone_arena *arena, const char *source, int64_t seconds,
                       int64_t timeout_s, struct hone_url *ret);

// The page at which a server that gave a profile says how its functions are called. Returns as
// above; no time is part of it.
int hone_url_of_symbols(struct hone_arena *arena, const char *url, struct hone_url *ret);

#endif
