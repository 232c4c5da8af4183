// Who is stuck in a process, and who might have been, as text for people and as JSON.
#ifndef HONE_VIEW_DEADLOCKS_H
#define HONE_VIEW_DEADLOCKS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdint.h>

struct hone_lock_order;
struct hone_standstill;
struct hone_wait_graph;

// Zero means default.
struct hone_deadlocks_options {
    uint32_t frames; // functions shown of a stack, at most (all)
    uint32_t width;  // columns (80)
};

// Each appends to the buffer and returns 0 or -ENOMEM.
int hone_text_stuck(const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                    const struct hone_deadlocks_options *options, struct hone_buffer *out,
                    struct hone_error *err);
int hone_json_stuck(const struct hone_standstill *stand, const struct hone_wait_graph *graph,
                    const struct hone_deadlocks_options *options, struct hone_buffer *out,
                    struct hone_error *err);

// The same of orders of locks that contradict each other.
int hone_text_lock_order(const struct hone_lock_order *order,
                         const struct hone_deadlocks_options *options, struct hone_buffer *out,
                         struct hone_error *err);
int hone_json_lock_order(const struct hone_lock_order *order,
                         const struct hone_deadlocks_options *options, struct hone_buffer *out,
                         struct hone_error *err);

#endif
