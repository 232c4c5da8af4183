// Asking several servers at once: one thread, libcurl's multi interface. Private to this room.
#ifndef HONE_FETCH_TRANSFER_H
#define HONE_FETCH_TRANSFER_H

#include "base/buffer.h"
#include "base/error.h"
#include "fetch/fetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_TRANSFER_REDIRECTS_MAX = 10,
    HONE_TRANSFER_WORD_MAX = 256, // of a header that is kept
    HONE_TRANSFER_GRACE_S = 5,    // what pprof adds to each time limit
};

// What all answers together may hold until somebody has taken them, and each alone.
#define HONE_TRANSFER_HELD_MAX ((size_t)2 << 30)
#define HONE_TRANSFER_BYTES_MAX ((size_t)1 << 30)

struct hone_transfer {
    // Wanted.
    const char *url;   // http or https
    const char *shown; // the same for messages
    const char *post;  // body of a POST; NULL is a GET
    size_t post_len;
    bool insecure;     // any certificate will do
    bool direct;       // no proxy
    int64_t timeout_s; // how long the server may be silent
    size_t bytes_max;  // of the answer (HONE_TRANSFER_BYTES_MAX)
    void *owner;       // for the caller

    // Results. Whoever hears that the transfer is over takes the bytes or leaves them to be freed.
    int result; // 0, or negative with error filled
    struct hone_buffer bytes;
    char content_type[HONE_TRANSFER_WORD_MAX];
    struct hone_error error;

    // Private.
    struct hone_transfers *all;
    void *easy;
    long status;
    char reason[HONE_TRANSFER_WORD_MAX]; // behind the status: "404 Not Found"
    bool too_large;
    bool all_too_large;
    int64_t heard_ms; // when the server last said something
    int64_t sent;     // bytes of the POST
    char words[256];  // curl's, about what went wrong
};

struct hone_transfer_watch {
    void (*over)(void *context, struct hone_transfer *transfer); // in any order
    // Twice a second or so: how many are over, and bytes that have come.
    void (*progress)(void *context, size_t over, uint64_t bytes);
    void *context;
};

// Runs all transfers to their end, HONE_FETCH_AT_ONCE at a time.
//
// Returns  0 when each has a result, good or bad; a negative errno with err filled when none was
//          tried: options contradict each other, there is no libcurl, memory is out.
int hone_transfer_run(struct hone_transfer *transfers, size_t count,
                      const struct hone_fetch_options *options,
                      const struct hone_transfer_watch *watch, struct hone_error *err);

#endif
