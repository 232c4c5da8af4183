// Who waited, where and for what: the rows of block.prof. Two sources make it: the wall clock,
// which sees from outside whatever blocks, and the program's own lock functions where they are
// hooked, which also know the lock and who held it.
//
// How long is for the scheduler to say; the program says of what. Where a thread waits for futexes
// in our functions and told of waits at the same place, that time is divided among these waits as
// they tell, and so has their lock and holder. So the sum of a thread's rows is what the scheduler
// counted, but for spin locks, which it knows nothing of; and a wait that has not ended, of which
// nobody could tell, is there.
#ifndef HONE_CAPTURE_BLOCK_H
#define HONE_CAPTURE_BLOCK_H

#include "capture/collect.h"

struct hone_block_row {
    uint32_t thread, stack;
    enum hone_wait_kind kind;
    uint64_t lock;         // address; 0: not known
    uint32_t module;       // in whose data that lies; HONE_NO_MODULE: in no file's
    uint64_t vaddr;        // and where in it
    uint32_t holder;       // thread, plus one; 0: unknown
    uint32_t holder_stack; // plus one; 0: unknown
    double waits, delay_ns;
};

struct hone_block_totals {
    double waits, delay_ns;             // of all rows
    double labelled_waits, labelled_ns; // of them, those that lock functions told of
    double told_ns;                     // which was so long, they said
    double unknown_ns;                  // in what, nobody saw
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
