// Waits that the program's own lock functions told of, summed by who waited where, for what, and
// who let it go on. Each record stands for others like it: it was drawn with the probability of its
// length over the rate, so a shorter one counts as long as the rate, and as many as that would be.
#ifndef HONE_CAPTURE_COLLECT_WAITS_H
#define HONE_CAPTURE_COLLECT_WAITS_H

#include "base/table.h"
#include "session/layout.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_WAIT_ROWS_MAX = 1 << 19 };

struct hone_collected_wait {
    uint32_t thread, stack;
    enum hone_lock_kind kind;
    uint64_t lock;         // its address in the thread's process,
    uint32_t module;       // in whose data that lies; HONE_NO_MODULE: in no file's
    uint64_t vaddr;        // and where in it
    uint32_t holder;       // thread that let it go on, plus one; 0: unknown
    uint32_t holder_stack; // where, plus one; 0: unknown
    uint64_t records;
    double waits, delay_ns, timed_out;
};

struct hone_collected_waits {
    struct hone_collected_wait *at;
    uint32_t count, room;
    struct hone_table table;
    uint64_t refused; // records for which there was no row: beyond HONE_WAIT_ROWS_MAX
};

// Adds one record; the numbers of `wait` say whose it is and what it stands for. Returns 0 or
// -ENOMEM.
int hone_collected_waits_add(struct hone_collected_waits *waits,
                             const struct hone_collected_wait *wait);
void hone_collected_waits_done(struct hone_collected_waits *waits);

#endif
