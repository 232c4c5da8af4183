// Orders of locks that contradict each other, so that threads may come to wait for each other in a
// ring, by what a recording saw of who took what while holding what.
//
// It is possible only where nothing else forbids it: for each lock of the ring one thread holds it
// and the next one wants it in a way that has to wait (two readers do not wait for each other); the
// threads are different ones; and no other lock is held by all of them, which would let only one of
// them in at a time. Rings at the same places in the program are one finding.
#ifndef HONE_ANALYSE_LOCK_ORDER_H
#define HONE_ANALYSE_LOCK_ORDER_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_order_frame {
    const char *function, *file; // file "" when unknown
    uint32_t line;
};

struct hone_order_stack { // innermost first
    struct hone_order_frame *at;
    uint32_t count;
};

struct hone_order_held {
    uint32_t lock; // as held_lock
    bool reading;
};

// A thread takes a lock while it holds another one.
struct hone_order_edge {
    const char *process, *thread;
    uint32_t pid, tid;
    bool several;                      // so does another thread
    const char *held, *taken;          // their names
    uint32_t held_lock, taken_lock;    // numbers: equal for the same lock of the same process
    const struct hone_order_held *set; // all that it holds
    uint32_t set_count;
    uint32_t held_stack, taken_stack; // in stacks
    bool held_reading, taken_reading;
};

enum { HONE_ORDER_RING_MAX = 12 }; // locks in a ring that is looked for

struct hone_order_ring {
    uint32_t edges[HONE_ORDER_RING_MAX]; // each holds what the one before wants
    uint32_t count;
    uint32_t more; // rings at the same places, of other locks
};

// A process of which not all was seen.
struct hone_order_uncovered {
    const char *process, *reason;
    uint32_t pid;
};

struct hone_lock_order {
    bool recorded; // else nothing is known
    uint64_t seen, lost, left_out;
    bool given_up; // there may be more rings
    struct hone_order_edge *edges;
    uint32_t edge_count;
    struct hone_order_stack *stacks;
    uint32_t stack_count;
    struct hone_order_ring *rings; // shortest first
    uint32_t ring_count, ring_room;
    struct hone_order_uncovered *uncovered;
    uint32_t uncovered_count;
    struct hone_arena arena;
};

// Reads DIRECTORY/session.json and looks for rings. Returns 0 or a negative errno with err filled.
int hone_lock_order_read(const char *directory, struct hone_lock_order *ret,
                         struct hone_error *err);
// The same of what a session.json holds.
int hone_lock_order_parse(const char *text, size_t len, const char *name,
                          struct hone_lock_order *ret, struct hone_error *err);
void hone_lock_order_done(struct hone_lock_order *order);

#endif
