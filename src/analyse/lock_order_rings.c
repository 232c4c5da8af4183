// Rings are looked for by going along the orders from each lock, back to it over locks of higher
// numbers only, so that each ring is met once.
#include "analyse/lock_order_parts.h"

#include "base/array.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

enum {
    STEPS_MAX = 4 << 20, // along orders and in comparing them, over all: some tenths of a second
    RINGS_MAX = 1000,
};

struct search {
    struct hone_lock_order *order;
    uint32_t *by_held; // edges, in the order of the lock that is held
    uint32_t steps;
    struct hone_order_ring path;
    bool failed;
};

static const struct hone_order_edge *edge_at(const struct search *search, uint32_t i)
{
    return &search->order->edges[search->path.edges[i]];
}

static bool is_under(struct search *search, const struct hone_order_edge *edge, uint32_t lock)
{
    search->steps += edge->set_count;
    for (uint32_t i = 0; i < edge->set_count; i++)
        if (edge->set[i].lock == lock)
            return true;
    return false;
}

// A lock that is none of the ring's and held at all of its edges lets one thread in at a time.
static bool is_guarded(struct search *search)
{
    const struct hone_order_edge *first = edge_at(search, 0);
    for (uint32_t i = 0; i < first->set_count; i++) {
        bool all = !first->set[i].reading;
        for (uint32_t k = 0; all && k < search->path.count; k++)
            all = edge_at(search, k)->held_lock != first->set[i].lock &&
                  is_under(search, edge_at(search, k), first->set[i].lock);
        if (all)
            return true;
    }
    return false;
}

// Whether each edge can be another thread's: one that several do is anybody's.
static bool has_threads(const struct search *search)
{
    for (uint32_t i = 0; i < search->path.count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!edge_at(search, i)->several && !edge_at(search, k)->several &&
                edge_at(search, i)->tid == edge_at(search, k)->tid)
                return false;
    return true;
}

static bool waits(const struct hone_order_edge *wants, const struct hone_order_edge *holds)
{
    return !wants->taken_reading || !holds->held_reading;
}

// The same places, wherever in the ring one begins.
static bool is_same(const struct search *search, const struct hone_order_ring *known)
{
    if (known->count != search->path.count)
        return false;
    for (uint32_t shift = 0; shift < known->count; shift++) {
        bool same = true;
        for (uint32_t i = 0; same && i < known->count; i++) {
            const struct hone_order_edge *ours = edge_at(search, (i + shift) % known->count);
            const struct hone_order_edge *theirs = &search->order->edges[known->edges[i]];
            same =
                ours->held_stack == theirs->held_stack && ours->taken_stack == theirs->taken_stack;
        }
        if (same)
            return true;
    }
    return false;
}

static void add(struct search *search)
{
    struct hone_lock_order *order = search->order;
    search->steps += order->ring_count;
    for (uint32_t i = 0; i < order->ring_count; i++)
        if (is_same(search, &order->rings[i])) {
            order->rings[i].more++;
            return;
        }
    if (order->ring_count == RINGS_MAX) {
        order->given_up = true;
        return;
    }
    if (hone_array_reserve(&order->rings, &order->ring_room, order->ring_count + 1ull,
                           sizeof *order->rings))
        order->rings[order->ring_count++] = search->path;
    else
        search->failed = true;
}

static bool is_on_path(const struct search *search, uint32_t lock)
{
    for (uint32_t i = 0; i < search->path.count; i++)
        if (edge_at(search, i)->held_lock == lock)
            return true;
    return false;
}

static uint32_t first_of(const struct search *search, uint32_t lock)
{
    uint32_t low = 0, high = search->order->edge_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (search->order->edges[search->by_held[middle]].held_lock < lock)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// A level of the search: the edges that go on from the path's last lock.
struct level {
    uint32_t next;
};

static void search_from(struct search *search, uint32_t start)
{
    const struct hone_lock_order *order = search->order;
    struct level levels[HONE_ORDER_RING_MAX + 1] = {{first_of(search, start)}};
    uint32_t depth = 0, lock = start;
    for (;;) {
        uint32_t at = levels[depth].next++;
        const struct hone_order_edge *edge =
            at < order->edge_count ? &order->edges[search->by_held[at]] : NULL;
        if (!edge || edge->held_lock != lock) { // all of them were tried
            if (!depth)
                return;
            depth--;
            search->path.count--;
            lock = depth ? edge_at(search, depth - 1)->taken_lock : start;
            continue;
        }
        if (++search->steps > STEPS_MAX || search->failed)
            return;
        bool last = edge->taken_lock == start;
        if ((depth && !waits(edge_at(search, depth - 1), edge)) ||
            (!last && (edge->taken_lock < start || is_on_path(search, edge->taken_lock))) ||
            edge->taken_lock == edge->held_lock)
            continue;
        search->path.edges[search->path.count++] = search->by_held[at];
        if (last) {
            if (waits(edge, edge_at(search, 0)) && has_threads(search) && !is_guarded(search))
                add(search);
            search->path.count--;
        } else if (search->path.count == HONE_ORDER_RING_MAX) {
            search->path.count--;
        } else {
            depth++;
            lock = edge->taken_lock;
            levels[depth].next = first_of(search, lock);
        }
    }
}

static const struct hone_order_edge *sorted_edges; // of the sort that runs

static int by_held(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint32_t x = sorted_edges[a].held_lock, y = sorted_edges[b].held_lock;
    if (x != y)
        return x < y ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int by_size(const void *left, const void *right)
{
    const struct hone_order_ring *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return a->edges[0] < b->edges[0] ? -1 : a->edges[0] > b->edges[0];
}

int hone_lock_order_find_rings(struct hone_lock_order *order)
{
    HONE_CLEANUP(hone_freep)
    uint32_t *numbers = calloc(order->edge_count + 1ul, sizeof *numbers);
    struct search search = {.order = order, .by_held = numbers};
    if (!numbers)
        return -ENOMEM;
    uint32_t locks = 0;
    for (uint32_t i = 0; i < order->edge_count; i++) {
        numbers[i] = i;
        if (order->edges[i].held_lock >= locks)
            locks = order->edges[i].held_lock + 1;
    }
    sorted_edges = order->edges;
    qsort(numbers, order->edge_count, sizeof *numbers, by_held);
    for (uint32_t lock = 0; lock < locks && !search.failed && search.steps <= STEPS_MAX; lock++) {
        search.path.count = 0;
        search_from(&search, lock);
    }
    order->given_up |= search.steps > STEPS_MAX;
    if (order->ring_count)
        qsort(order->rings, order->ring_count, sizeof *order->rings, by_size);
    return search.failed ? -ENOMEM : 0;
}
