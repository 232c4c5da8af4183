// The first screen on a heap: how much was allocated, lives and lived at most, who allocates and
// who keeps, blocks by size and life, what the allocator costs, and how sure each figure is.
//
// Threads: safe for things that nobody changes.
#ifndef HONE_VIEW_HEAP_H
#define HONE_VIEW_HEAP_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_heap_facts;
struct hone_heap_summary;
struct hone_pressure;
struct hone_profile;

// What is known; NULL: that was not recorded.
struct hone_heap_view {
    const struct hone_profile *profile; // of the heap, for its warnings
    const struct hone_heap_summary *summary;
    const struct hone_heap_summary *peak; // at the highest live total
    const struct hone_heap_facts *facts;  // never NULL
    const struct hone_pressure *pressure;
    const char *directory; // of the recording, for the next commands; NULL: none
    uint32_t width;        // columns of the terminal; 0: names are not cut
};

// Whether nothing was seen because nothing was covered: then no figure is known, and none is 0.
bool hone_heap_view_is_unknown(const struct hone_heap_view *view);

// Whether the rate was changed while it ran: then not every block was counted, whatever the rate.
bool hone_heap_view_is_changed(const struct hone_heap_view *view);

// Each returns 0 or -ENOMEM.
int hone_text_heap(const struct hone_heap_view *view, struct hone_buffer *out,
                   struct hone_error *err);
int hone_json_heap(const struct hone_heap_view *view, struct hone_buffer *out,
                   struct hone_error *err);

#endif
