// What threads held when they took another lock, over the whole recording. Of processes that record
// the order of locks.
#ifndef HONE_CAPTURE_COLLECT_LOCK_ORDER_H
#define HONE_CAPTURE_COLLECT_LOCK_ORDER_H

#include "base/table.h"
#include "session/layout.h"

#include <stdbool.h>

enum { HONE_ORDERS_MAX = 1 << 17 }; // kept, at most: 10 MB

struct hone_collected_order {
    uint32_t process, thread; // the thread that did it first
    bool several;             // another one did it, too
    uint64_t held, taken;     // addresses
    uint64_t set;             // names all that was held
    uint32_t held_stack, taken_stack;
    uint8_t held_kind, taken_kind;      // enum hone_lock_kind
    uint32_t held_module, taken_module; // whose data they are; HONE_NO_MODULE: no file's
    uint64_t held_vaddr, taken_vaddr;   // and where in it
    bool in_ring;                       // set by hone_orders_find_rings()
};

struct hone_orders {
    struct hone_collected_order *at;
    uint32_t count, room;
    struct hone_table table;
    uint64_t lost; // for which there was no room here
};

// Tells those that lie on a ring, or on a way between two rings, from the others: no order of locks
// is inverted without one. Returns 0 or -ENOMEM.
int hone_orders_find_rings(struct hone_orders *orders);
void hone_orders_done(struct hone_orders *orders);

#endif
