// The heap's share of what is collected: sampled allocations by thread, stack and size, and how
// many of them are still there. Private to collect.c, but for struct hone_collected_heap.
#ifndef HONE_CAPTURE_COLLECT_HEAP_H
#define HONE_CAPTURE_COLLECT_HEAP_H

#include "base/table.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stdint.h>

// Allocations of one size by one thread at one stack. What they stand for follows from size and
// rate: see hone_heap_weight().
struct hone_collected_heap {
    uint32_t thread;
    uint32_t stack;
    uint64_t size;
    uint64_t rate;
    uint64_t allocated; // samples
    uint64_t live;      // of which were not freed
};

// What a process counted at one stack, where it counts every block.
struct hone_collected_site {
    uint32_t process;
    uint32_t stack;
    uint64_t allocated, allocated_bytes;
    uint64_t usable_bytes;
    uint64_t live, live_bytes;
    uint64_t temporary, temporary_bytes;
    uint64_t moved;
    uint64_t peak, peak_bytes;
    uint64_t sizes[HONE_HEAP_SIZES];
    // By age when freed: those that were all looked at, and those drawn of `drawn_of`.
    uint64_t lives[HONE_HEAP_LIVES], lives_drawn[HONE_HEAP_LIVES];
    uint64_t drawn_of;
};

// What that says of all that were freed.
struct hone_collected_lives {
    uint64_t timed; // whose age was looked at
    uint64_t objects[HONE_HEAP_LIVES];
    uint64_t errors[HONE_HEAP_LIVES]; // 95 of 100 times the truth is not farther away; 0: exact
};
void hone_collected_lives(const struct hone_collected_site *site, struct hone_collected_lives *ret);

// How many blocks a sampled one of that size stands for: one divided by the probability to be
// sampled, 1 - exp(-size / rate).
double hone_heap_weight(uint64_t size, uint64_t rate);

// The rows, and how to find the equal one.
struct hone_heap_rows {
    struct hone_collected_heap *at;
    uint32_t count, room;
    struct hone_table table;
};

void hone_heap_rows_done(struct hone_heap_rows *rows);
// Adds one allocation to the row that equals `row`. Returns 0 or -ENOMEM.
int hone_heap_rows_add(struct hone_heap_rows *rows, const struct hone_collected_heap *row,
                       uint32_t *ret);

struct hone_heap_sites {
    struct hone_collected_site *at;
    uint32_t count, room;
    struct hone_table table;
};

void hone_heap_sites_done(struct hone_heap_sites *sites);
// What lives of a site. A block may be freed by another thread than made it: one thread's share can
// be below zero where counting goes on, the sum cannot.
struct hone_heap_lives {
    int64_t objects, bytes;
};
struct hone_heap_lives hone_heap_site_lives(const struct hone_heap_site *site);

// What was known of a site when it was looked at last.
struct hone_heap_look {
    int64_t live, live_bytes;
    uint32_t mark; // marks that had been made when it changed last
    bool waits;    // it has met another one, and was left for the next look
};

// Adds what one thread counted. `fall` is the process's. Returns 0 or -ENOMEM.
int hone_heap_sites_add(struct hone_heap_sites *sites, uint32_t process, uint32_t stack,
                        const struct hone_heap_site *site, uint32_t fall);

// The blocks of one process that live: their rows by number. Pages of numbers, rising, each given
// back when none of its blocks lives any more.
struct hone_heap_blocks {
    struct hone_heap_page **pages;
    struct hone_heap_page *spare; // an empty one: a program that frees at once empties many
    uint32_t room;
};

void hone_heap_blocks_done(struct hone_heap_blocks *blocks);
// Returns 0, -ENOMEM, or -EINVAL for a number that no process gives out.
int hone_heap_blocks_add(struct hone_heap_blocks *blocks, uint64_t number, uint32_t row);
// The row of a block that lives; false: there is no such block.
bool hone_heap_blocks_find(const struct hone_heap_blocks *blocks, uint64_t number,
                           uint32_t *ret_row);
// The row of a block that is freed; false: there is no such block.
bool hone_heap_blocks_take(struct hone_heap_blocks *blocks, uint64_t number, uint32_t *ret_row);

#endif
