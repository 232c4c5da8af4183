// Threads as text: for people, grouped by where they are; in the forms of Go's goroutine profile
// (debug=1, debug=2); and as JSON.
#ifndef HONE_VIEW_THREADS_H
#define HONE_VIEW_THREADS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_profile;
struct hone_thread_list;
struct hone_thread_leaks;

// What is shown. Either half may be NULL: it is not known then.
struct hone_threads_shown {
    const struct hone_profile *profile; // of the threads at a moment
    const struct hone_thread_list *threads;
    const struct hone_profile *origin_profile; // of who created them over time
    const struct hone_thread_leaks *origins;
    bool recording; // else it is of a process that runs: no word of what no recording has
};

// Zero means default.
struct hone_threads_options {
    uint32_t rows;   // groups and places of creation shown, at most (20)
    uint32_t frames; // functions shown of a stack, at most (12)
    uint32_t width;  // columns; longer lines are cut. 0: never
};

// Each returns 0 or -ENOMEM.
int hone_text_threads(const struct hone_threads_shown *shown,
                      const struct hone_threads_options *options, struct hone_buffer *out,
                      struct hone_error *err);
int hone_json_threads(const struct hone_threads_shown *shown, struct hone_buffer *out,
                      struct hone_error *err);

// As goroutine?debug=1 and debug=2: "threads profile: total N", then the stacks with counts, or
// every thread by itself, whose first line begins with "thread ".
int hone_text_threads_debug(const struct hone_threads_shown *shown, int level,
                            struct hone_buffer *out, struct hone_error *err);

#endif
