// The heap over time: what came and went, by process, stack, interval and generation (the time
// between two marks). Intervals begin short and double as a recording grows, neighbours becoming
// one, so that the series stays small however long it runs; its sums stay what they were.
#ifndef HONE_CAPTURE_HEAP_SERIES_H
#define HONE_CAPTURE_HEAP_SERIES_H

#include "base/table.h"

#include <stdint.h>

enum {
    HONE_SERIES_INTERVALS = 120,  // at most
    HONE_SERIES_ROWS = 512 << 10, // beyond that intervals double, too, while there are several
};

struct hone_heap_change {
    uint32_t process, stack;
    uint32_t interval;
    uint32_t generation;   // marks that were made before
    double objects, bytes; // more, or less than before
};

struct hone_heap_series {
    uint64_t started_ns; // monotonic
    uint64_t width_ns;   // of an interval; 0: nothing was added yet
    struct hone_heap_change *at;
    uint32_t count, room;
    uint32_t rows_most; // before intervals double
    struct hone_table table;
};

void hone_heap_series_done(struct hone_heap_series *series);

// Adds a change at that time. Returns 0 or -ENOMEM.
int hone_heap_series_add(struct hone_heap_series *series, uint64_t time_ns,
                         const struct hone_heap_change *change);

// Orders the changes by process, stack and time, leaves out what has come to nothing, and makes
// them whole numbers whose sums, up to each moment, are rounded as a whole. Nothing may be added
// after.
void hone_heap_series_settle(struct hone_heap_series *series);

#endif
