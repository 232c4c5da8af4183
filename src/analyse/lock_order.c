#include "analyse/lock_order_parts.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/table.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SESSION_BYTES_MAX = 256 << 20,
    // What a recording keeps at most, four times; what has more was not written by us.
    EDGES_MAX = 1 << 14,
    STACKS_MAX = 1 << 15,
    FRAMES_MAX = 256,
    MEMBERS_MAX = 1024,
    PROCESSES_MAX = 1 << 20,
    // Of JSON. Two bytes of text may be a value of 230 bytes in memory; the largest recording that
    // there can be has 4 million.
    VALUES_MAX = 8 << 20,
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
    if (count > STACKS_MAX)
        return -EBADMSG;
    order->stacks = hone_arena_zalloc(&order->arena, count + 1, sizeof *order->stacks);
    if (!order->stacks)
        return -ENOMEM;
    order->stack_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *frames = json_array_get(stacks, i);
        struct hone_order_stack *stack = &order->stacks[i];
        if (json_array_size(frames) > FRAMES_MAX)
            return -EBADMSG;
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
    if (count > EDGES_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        size_t members = json_array_size(json_object_get(json_array_get(edges, i), "set"));
        if (members > MEMBERS_MAX)
            return -EBADMSG;
        most += members;
    }
    HONE_CLEANUP(locks_done) struct locks locks = {.at = calloc(most, sizeof *locks.at)};
    order->edges = hone_arena_zalloc(&order->arena, count + 1, sizeof *order->edges);
    if (!locks.at || !order->edges)
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

static int read_uncovered(struct hone_lock_order *order, const json_t *list)
{
    size_t count = json_array_size(list);
    if (count > PROCESSES_MAX)
        return -EBADMSG;
    order->uncovered = hone_arena_zalloc(&order->arena, count + 1, sizeof *order->uncovered);
    if (!order->uncovered)
        return -ENOMEM;
    for (; order->uncovered_count < count; order->uncovered_count++) {
        const json_t *from = json_array_get(list, order->uncovered_count);
        struct hone_order_uncovered *process = &order->uncovered[order->uncovered_count];
        *process = (struct hone_order_uncovered){text_of(order, from, "process"),
                                                 text_of(order, from, "reason"),
                                                 (uint32_t)number_of(from, "pid")};
        if (!process->process || !process->reason)
            return -ENOMEM;
    }
    return 0;
}

// --- all of it -----------------------------------------------------------------------------------

// As many values as the text can have.
static bool has_few_values(const char *text, size_t len)
{
    size_t most = 1;
    for (size_t i = 0; i < len; i++)
        most += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return most <= VALUES_MAX;
}

static int too_many(const char *name, struct hone_error *err)
{
    return hone_error_set(err, -EBADMSG, "cannot read '%s': it has more than a recording keeps",
                          name);
}

int hone_lock_order_parse(const char *text, size_t len, const char *name,
                          struct hone_lock_order *ret, struct hone_error *err)
{
    json_error_t why;
    if (!has_few_values(text, len))
        return too_many(name, err);
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
        r = read_uncovered(&order, json_object_get(all, "not_covered"));
    if (!r)
        r = hone_lock_order_find_rings(&order);
    if (r == -EBADMSG)
        return too_many(name, err);
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
