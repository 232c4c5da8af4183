// Comparisons of profiles for people and programs: a table, JSON, and a flame graph in which colour
// says what changed.
//
// Each appends to a buffer and knows no state beyond its arguments.
// Threads: safe for comparisons and profiles that nobody changes.
#ifndef HONE_VIEW_DIFF_H
#define HONE_VIEW_DIFF_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_compare;
struct hone_pattern;

// Zero means default.
struct hone_diff_options {
    uint32_t rows;                // at most so many (those that differ, and the ten largest others)
    bool all;                     // leave out nothing
    struct hone_pattern *pattern; // rows wanted (all)
    const double *limit;          // what the whole may grow by; NULL: no limit is checked
    const char *const *filters;   // of which part it tells, "focus=main"; ends with NULL. NULL: all
    const char *unit;             // print values in it (what suits them)
    uint32_t width;               // columns of the terminal; names are cut to fit. 0: never cut
};

// Both return 0 or -ENOMEM.

// What was compared, the whole with its limits and verdict, then a row for each function; at the
// end what the limits mean, and whether the whole keeps within the one that was asked for.
int hone_text_diff(const struct hone_compare *compare, const struct hone_diff_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// All of it as one JSON object; "rows" hold every row that the options do not leave out. Numbers
// that have no limit (a change from nothing) are null.
int hone_json_diff(const struct hone_compare *compare, const struct hone_diff_options *options,
                   struct hone_buffer *out, struct hone_error *err);

#endif
