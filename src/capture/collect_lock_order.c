#include "base/cleanup.h"
#include "capture/collect_parts.h"

#include <errno.h>
#include <stdlib.h>

void hone_orders_done(struct hone_orders *orders)
{
    free(orders->at);
    hone_table_done(&orders->table);
}

static bool is_same(const struct hone_collected_order *left,
                    const struct hone_collected_order *right)
{
    return left->process == right->process && left->held == right->held &&
           left->taken == right->taken && left->set == right->set &&
           left->held_stack == right->held_stack && left->taken_stack == right->taken_stack &&
           left->held_kind == right->held_kind && left->taken_kind == right->taken_kind;
}

static void add(struct hone_collected *collected, const struct hone_collected_order *order)
{
    struct hone_orders *orders = &collected->orders;
    const uint64_t words[] = {order->held, order->taken, order->set,
                              (uint64_t)order->held_stack << 32 | order->taken_stack,
                              order->process};
    uint64_t hash = hone_hash_words(words, sizeof words / sizeof *words, collected->state->seed);
    struct hone_table_probe probe = hone_table_probe(&orders->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&orders->table, &probe)) != HONE_TABLE_END) {
        struct hone_collected_order *known = &orders->at[at];
        if (!is_same(known, order))
            continue;
        known->several |= known->thread != order->thread;
        return;
    }
    if (orders->count == HONE_ORDERS_MAX) {
        orders->lost++;
        return;
    }
    if (!hone_collect_reserve(collected->state, &orders->at, &orders->room,
                              (uint64_t)orders->count + 1, sizeof *orders->at))
        return;
    if (hone_table_add(&orders->table, hash, orders->count))
        collected->state->status = -ENOMEM;
    else
        orders->at[orders->count++] = *order;
}

void hone_collect_on_lock_order(void *context, uint32_t number,
                                const struct hone_record_lock_order *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    struct hone_collected_order order = {
        .held = record->held,
        .taken = record->taken,
        .set = record->set,
        .held_kind = (uint8_t)record->held_kind,
        .taken_kind = (uint8_t)record->taken_kind,
    };
    if (!live ||
        !hone_collect_find_stack(collected, live, record->record.small, record->held_stack,
                                 &order.thread, &order.held_stack) ||
        !hone_collect_find_stack(collected, live, record->record.small, record->taken_stack,
                                 &order.thread, &order.taken_stack))
        return;
    order.process = live->process;
    hone_collect_data(collected, live, order.held, &order.held_module, &order.held_vaddr);
    hone_collect_data(collected, live, order.taken, &order.taken_module, &order.taken_vaddr);
    add(collected, &order);
}

// --- rings ---------------------------------------------------------------------------------------

struct degree {
    uint64_t lock;
    uint32_t process;
    uint32_t in, out; // orders that lead there and from there
};

struct degrees {
    struct degree *at;
    uint32_t count;
    struct hone_table table;
};

static struct degree *degree_of(struct degrees *degrees, uint32_t process, uint64_t lock)
{
    uint64_t hash = hone_hash_fold(lock ^ 0x9e3779b97f4a7c15u, 0xa0761d6478bd642fu + process);
    struct hone_table_probe probe = hone_table_probe(&degrees->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&degrees->table, &probe)) != HONE_TABLE_END)
        if (degrees->at[at].lock == lock && degrees->at[at].process == process)
            return &degrees->at[at];
    if (hone_table_add(&degrees->table, hash, degrees->count))
        return NULL;
    degrees->at[degrees->count] = (struct degree){.lock = lock, .process = process};
    return &degrees->at[degrees->count++];
}

// A lock from which no order leads on, or to which none leads, is on no ring; then neither are the
// orders that end or begin there, and so on.
int hone_orders_find_rings(struct hone_orders *orders)
{
    HONE_CLEANUP(hone_freep)
    struct degree *memory = calloc(2ul * orders->count + 1, sizeof *memory);
    struct degrees degrees = {.at = memory};
    int r = memory ? 0 : -ENOMEM;
    for (uint32_t i = 0; !r && i < orders->count; i++) {
        struct hone_collected_order *order = &orders->at[i];
        struct degree *from = degree_of(&degrees, order->process, order->held);
        struct degree *to = from ? degree_of(&degrees, order->process, order->taken) : NULL;
        order->in_ring = true;
        if (!to)
            r = -ENOMEM;
        else {
            from->out++;
            to->in++;
        }
    }
    for (bool changed = !r; changed;) {
        changed = false;
        for (uint32_t i = 0; i < orders->count; i++) {
            struct hone_collected_order *order = &orders->at[i];
            struct degree *from = degree_of(&degrees, order->process, order->held);
            struct degree *to = degree_of(&degrees, order->process, order->taken);
            if (!order->in_ring || (from->in && to->out))
                continue;
            order->in_ring = false;
            from->out--;
            to->in--;
            changed = true;
        }
    }
    hone_table_done(&degrees.table);
    return r;
}
