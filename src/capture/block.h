// Who waited, where and for what: the rows of block.prof. Two sources make it: the wall clock,
// which sees from outside whatever blocks, and the program's own lock functions where they are
// hooked, which also know the lock and who held it. What both know is counted once: in a process
// whose lock functions tell of waits, those for a futex that pass through a function of libhone.so
// are as the program tells, and left out of what was seen from outside.
#ifndef HONE_CAPTURE_BLOCK_H
#define HONE_CAPTURE_BLOCK_H

#include "capture/collect.h"

struct hone_block_row {
    uint32_t thread, stack;
    enum hone_wait_kind kind;
    uint64_t lock;         // address; 0: not known
    uint32_t holder;       // thread, plus one; 0: unknown
    uint32_t holder_stack; // plus one; 0: unknown
    double waits, delay_ns;
};

struct hone_block_totals {
    double waits, delay_ns;           // of all rows
    double told_waits, told_delay_ns; // of them, as the programs told
    double replaced_ns; // seen from outside, and left out because the programs told of it
    double unknown_ns;  // in what, nobody saw
};

struct hone_block {
    struct hone_block_row *rows;
    uint32_t count;
    struct hone_block_totals totals;
};

// Returns 0 or -ENOMEM.
int hone_block_init(struct hone_block *block, const struct hone_collected *collected);
void hone_block_done(struct hone_block *block);

#endif
