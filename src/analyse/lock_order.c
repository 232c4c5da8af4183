// Rings are looked for by going along the orders from each lock, back to it over locks of higher
// numbers only, so that each ring is met once.
#include "analyse/lock_order.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/table.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS_MAX = 4 << 20, // along orders, over all: some tenths of a second
    RINGS_MAX = 1000,
    SESSION_BYTES_MAX = 256 << 20,
};

void hone_lock_order_done(struct hone_lock_order *order)
{
    free(order->rings);
    hone_arena_done(&order->arena);
    *order = (struct hone_lock_order){0};
}

// --- reading -------------------------------------------------------------------------------------

static void decrefp(json_t **value)
{
    json_decref(*value);
}

static const char *text_of(struct hone_lock_order *order, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? hone_arena_copy(&order->arena, text, strlen(text) + 1) : "";
}

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value < 0 ? 0 : (uint64_t)value;
}

static int read_stacks(struct hone_lock_order *order, const json_t *stacks)
{
    size_t count = json_array_size(stacks);
    order->stacks = hone_arena_zalloc(&order->arena, count + 1, sizeof *order->stacks);
    if (!order->stacks || count >= UINT32_MAX)
        return -ENOMEM;
    order->stack_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *frames = json_array_get(stacks, i);
        struct hone_order_stack *stack = &order->stacks[i];
        stack->count = (uint32_t)json_array_size(frames);
        stack->at = hone_arena_zalloc(&order->arena, stack->count + 1ul, sizeof *stack->at);
        if (!stack->at)
            return -ENOMEM;
        for (uint32_t k = 0; k < stack->count; k++) {
            const json_t *frame = json_array_get(frames, k);
            stack->at[k] = (struct hone_order_frame){text_of(order, frame, "function"),
                                                     text_of(order, frame, "file"),
                                                     (uint32_t)number_of(frame, "line")};
            if (!stack->at[k].function || !stack->at[k].file)
                return -ENOMEM;
        }
    }
    return 0;
}

// Locks are numbered as they come: by process and address.
struct locks {
    struct lock {
        uint32_t pid;
        const char *address;
    } * at;
    uint32_t count;
    struct hone_table table;
    bool failed;
};

static void locks_done(struct locks *locks)
{
    free(locks->at);
    hone_table_done(&locks->table);
}

static uint32_t number_lock(struct locks *locks, uint32_t pid, const json_t *lock)
{
    const char *address = json_string_value(json_object_get(lock, "address"));
    if (!address)
        address = "";
    uint64_t hash = hone_table_hash(address, strlen(address), hone_table_seed() ^ pid);
    struct hone_table_probe probe = hone_table_probe(&locks->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&locks->table, &probe)) != HONE_TABLE_END)
        if (locks->at[at].pid == pid && strcmp(locks->at[at].address, address) == 0)
            return at;
    locks->failed |= hone_table_add(&locks->table, hash, locks->count) != 0;
    locks->at[locks->count] = (struct lock){pid, address};
    return locks->count++;
}

static bool read_set(struct hone_lock_order *order, const json_t *set, struct locks *locks,
                     struct hone_order_edge *edge)
{
    uint32_t count = (uint32_t)json_array_size(set);
    struct hone_order_held *held = hone_arena_zalloc(&order->arena, count + 1ul, sizeof *held);
    if (!held)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *member = json_array_get(set, i);
        held[i].lock = number_lock(locks, edge->pid, member);
        held[i].reading = json_is_true(json_object_get(member, "reading"));
    }
    edge->set = held;
    edge->set_count = count;
    return true;
}

static bool read_edge(struct hone_lock_order *order, const json_t *from, struct locks *locks,
                      struct hone_order_edge *edge)
{
    const json_t *held = json_object_get(from, "held"), *taken = json_object_get(from, "taken");
    *edge = (struct hone_order_edge){
        .process = text_of(order, from, "process"),
        .thread = text_of(order, from, "thread"),
        .pid = (uint32_t)number_of(from, "pid"),
        .tid = (uint32_t)number_of(from, "tid"),
        .several = json_is_true(json_object_get(from, "several_threads")),
        .held = text_of(order, held, "name"),
        .taken = text_of(order, taken, "name"),
        .held_stack = (uint32_t)number_of(from, "held_stack"),
        .taken_stack = (uint32_t)number_of(from, "taken_stack"),
        .held_reading = json_is_true(json_object_get(from, "held_reading")),
        .taken_reading = json_is_true(json_object_get(from, "taken_reading")),
    };
    edge->held_lock = number_lock(locks, edge->pid, held);
    edge->taken_lock = number_lock(locks, edge->pid, taken);
    return read_set(order, json_object_get(from, "set"), locks, edge) && !locks->failed &&
           edge->process && edge->thread && edge->held && edge->taken;
}

static int read_edges(struct hone_lock_order *order, const json_t *edges)
{
    size_t count = json_array_size(edges);
    size_t most = 2 * count + 1;
    for (size_t i = 0; i < count; i++)
        most += json_array_size(json_object_get(json_array_get(edges, i), "set"));
    HONE_CLEANUP(locks_done) struct locks locks = {.at = calloc(most, sizeof *locks.at)};
    order->edges = hone_arena_zalloc(&order->arena, count + 1, sizeof *order->edges);
    if (!locks.at || !order->edges || most >= UINT32_MAX)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct hone_order_edge *edge = &order->edges[order->edge_count];
        if (!read_edge(order, json_array_get(edges, i), &locks, edge))
            return -ENOMEM;
        // What names a stack that is not there was not written by us.
        order->edge_count +=
            edge->held_stack < order->stack_count && edge->taken_stack < order->stack_count;
    }
    return 0;
}

// --- rings ---------------------------------------------------------------------------------------

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

static bool is_under(const struct hone_order_edge *edge, uint32_t lock)
{
    for (uint32_t i = 0; i < edge->set_count; i++)
        if (edge->set[i].lock == lock)
            return true;
    return false;
}

// A lock that is none of the ring's and held at all of its edges lets one thread in at a time.
static bool is_guarded(const struct search *search)
{
    const struct hone_order_edge *first = edge_at(search, 0);
    for (uint32_t i = 0; i < first->set_count; i++) {
        bool all = !first->set[i].reading;
        for (uint32_t k = 0; all && k < search->path.count; k++)
            all = edge_at(search, k)->held_lock != first->set[i].lock &&
                  is_under(edge_at(search, k), first->set[i].lock);
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

static int find_rings(struct hone_lock_order *order)
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

// --- all of it -----------------------------------------------------------------------------------

int hone_lock_order_parse(const char *text, size_t len, const char *name,
                          struct hone_lock_order *ret, struct hone_error *err)
{
    json_error_t why;
    HONE_CLEANUP(decrefp) json_t *session = json_loadb(text, len, 0, &why);
    HONE_CLEANUP(hone_lock_order_done) struct hone_lock_order order = {0};
    if (!session)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': line %d: %s", name, why.line,
                              why.text);
    const json_t *all = json_object_get(session, "lock_order");
    order.recorded = json_is_object(all);
    order.seen = number_of(all, "seen");
    order.lost = number_of(all, "lost");
    order.left_out = number_of(all, "left_out");
    int r = read_stacks(&order, json_object_get(all, "stacks"));
    if (!r)
        r = read_edges(&order, json_object_get(all, "edges"));
    if (!r)
        r = find_rings(&order);
    if (r)
        return hone_error_set(err, r, "cannot tell orders of locks");
    *ret = order;
    order = (struct hone_lock_order){0};
    return 0;
}

int hone_lock_order_read(const char *directory, struct hone_lock_order *ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_freep) char *path = NULL, *text = NULL;
    size_t len = 0;
    if (asprintf(&path, "%s/session.json", directory) < 0)
        return hone_error_set(err, -ENOMEM, "cannot read '%s'", directory);
    int r = hone_file_read(path, SESSION_BYTES_MAX, &text, &len, err);
    return r ? r : hone_lock_order_parse(text, len, path, ret, err);
}
