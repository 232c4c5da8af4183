// What holds for any bytes, shared by fuzzer and test: they give orders of locks or an error with
// words; rings go round, each over other locks, and name only what is there.
#ifndef HONE_ANALYSE_LOCK_ORDER_FUZZ_H
#define HONE_ANALYSE_LOCK_ORDER_FUZZ_H

#include "analyse/lock_order.h"
#include "profile/decode_fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static inline void hone_lock_order_check_ring(const struct hone_lock_order *order,
                                              const struct hone_order_ring *ring)
{
    HONE_DEMAND(ring->count >= 2 && ring->count <= HONE_ORDER_RING_MAX);
    for (uint32_t i = 0; i < ring->count; i++)
        HONE_DEMAND(ring->edges[i] < order->edge_count);
    for (uint32_t i = 0; i < ring->count; i++) {
        const struct hone_order_edge *edge = &order->edges[ring->edges[i]];
        const struct hone_order_edge *next = &order->edges[ring->edges[(i + 1) % ring->count]];
        HONE_DEMAND(edge->taken_lock == next->held_lock && edge->pid == next->pid);
        HONE_DEMAND(!edge->taken_reading || !next->held_reading);
        for (uint32_t k = 0; k < i; k++)
            HONE_DEMAND(order->edges[ring->edges[k]].held_lock != edge->held_lock);
    }
}

static inline void hone_lock_order_check_all(const struct hone_lock_order *order)
{
    for (uint32_t i = 0; i < order->edge_count; i++) {
        const struct hone_order_edge *edge = &order->edges[i];
        HONE_DEMAND(edge->process && edge->thread && edge->held && edge->taken);
        HONE_DEMAND(edge->held_stack < order->stack_count &&
                    edge->taken_stack < order->stack_count);
        HONE_DEMAND(edge->set || !edge->set_count);
    }
    for (uint32_t i = 0; i < order->stack_count; i++)
        for (uint32_t k = 0; k < order->stacks[i].count; k++)
            HONE_DEMAND(order->stacks[i].at[k].function && order->stacks[i].at[k].file);
    for (uint32_t i = 0; i < order->ring_count; i++) {
        hone_lock_order_check_ring(order, &order->rings[i]);
        HONE_DEMAND(!i || order->rings[i - 1].count <= order->rings[i].count);
    }
    HONE_DEMAND(order->recorded || (!order->edge_count && !order->ring_count));
}

// Returns what reading returns.
static inline int hone_lock_order_check(const void *data, size_t size)
{
    char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return -ENOMEM;
    memcpy(exact, data, size);
    struct hone_lock_order order = {0};
    struct hone_error err = {0};
    int r = hone_lock_order_parse(exact, size, "fuzz", &order, &err);
    free(exact); // nothing points into the text
    if (r)
        HONE_DEMAND(r < 0 && err.code == r && err.message[0] && !order.edges && !order.rings);
    else
        hone_lock_order_check_all(&order);
    hone_lock_order_done(&order);
    return r;
}

#endif
