// What the files of the orders of locks share: lock_order.c reads what a recording kept,
// lock_order_rings.c looks for rings in it.
#ifndef HONE_ANALYSE_LOCK_ORDER_PARTS_H
#define HONE_ANALYSE_LOCK_ORDER_PARTS_H

#include "analyse/lock_order.h"

// Fills order->rings and ->given_up, from ->edges. Returns 0 or -ENOMEM.
int hone_lock_order_find_rings(struct hone_lock_order *order);

#endif
