// The object "lock_order" of session.json: what was held when another lock was taken, where that
// may go round in a ring, with names. What becomes of it is for those who read it to find out.
#include "capture/session_json.h"

#include "base/cleanup.h"
#include "symbol/symbol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EDGES_MAX = 4096, FRAMES_MAX = 64 };

struct namer {
    const struct hone_collected *collected;
    struct hone_symbolizer *symbolizer;
    json_t *stacks;
    uint32_t *numbers; // in stacks, plus one, by collected stack
    uint32_t *by_set;  // orders, in the order of process and set
};

static const struct hone_collected_order *sorted_orders; // of the sort that runs

static int compare_sets(const struct hone_collected_order *a, const struct hone_collected_order *b)
{
    if (a->process != b->process)
        return a->process < b->process ? -1 : 1;
    return a->set < b->set ? -1 : a->set > b->set;
}

static int by_set(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    int order = compare_sets(&sorted_orders[a], &sorted_orders[b]);
    return order ? order : a < b ? -1 : a > b;
}

static bool is_first(const struct hone_collected *collected, const uint32_t *sorted, uint32_t from,
                     uint32_t at)
{
    for (uint32_t i = from; i < at; i++)
        if (collected->orders.at[sorted[i]].held == collected->orders.at[sorted[at]].held)
            return false;
    return true;
}

// All that was held: each lock of a set has an order of its own in it.
static json_t *set_json(const struct namer *namer, const struct hone_collected_order *order)
{
    enum { MEMBERS_MAX = 256 };
    const struct hone_orders *orders = &namer->collected->orders;
    uint32_t low = 0, high = orders->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_sets(&orders->at[namer->by_set[middle]], order) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    json_t *members = json_array();
    for (uint32_t i = low; i < orders->count && i - low < MEMBERS_MAX; i++) {
        const struct hone_collected_order *other = &orders->at[namer->by_set[i]];
        if (compare_sets(other, order))
            break;
        char address[32];
        (void)snprintf(address, sizeof address, "%#" PRIx64, other->held);
        if (is_first(namer->collected, namer->by_set, low, i))
            (void)json_array_append_new(members,
                                        json_pack("{s:s, s:b}", "address", address, "reading",
                                                  other->held_kind == HONE_LOCK_READ));
    }
    return members;
}

static struct hone_symbol_module *symbols_of(const struct namer *namer, uint32_t number)
{
    const struct hone_collected_module *module = &namer->collected->modules[number];
    struct hone_symbol_module *symbols;
    if (!namer->symbolizer || number == HONE_NO_MODULE ||
        hone_symbolizer_module(namer->symbolizer, module->path,
                               module->build_id_bytes ? module->build_id : NULL,
                               module->build_id_bytes, &symbols))
        return NULL;
    return symbols;
}

static void put_place(const struct namer *namer, const struct hone_collected_place *place,
                      json_t *frames)
{
    struct hone_symbol_module *symbols = symbols_of(namer, place->module);
    struct hone_symbol_frames found = {0};
    if (!symbols || hone_symbol_lookup(symbols, place->address, &found)) {
        char name[32];
        (void)snprintf(name, sizeof name, "%#" PRIx64, place->address);
        (void)json_array_append_new(
            frames, json_pack("{s:s, s:s, s:i}", "function", name, "file", "", "line", 0));
        return;
    }
    for (size_t i = 0; i < found.count && json_array_size(frames) < FRAMES_MAX; i++)
        (void)json_array_append_new(frames,
                                    json_pack("{s:o, s:o, s:i}", "function",
                                              hone_session_text(found.at[i].function->name), "file",
                                              hone_session_text(found.at[i].function->file), "line",
                                              (int)found.at[i].line));
}

// The number of a stack among those that are written.
static json_t *stack_json(struct namer *namer, uint32_t number)
{
    if (!namer->numbers[number]) {
        const struct hone_collected_stack *stack = &namer->collected->stacks[number];
        json_t *frames = json_array();
        for (uint32_t i = 0; i < stack->count && json_array_size(frames) < FRAMES_MAX; i++)
            put_place(namer, &namer->collected->places[namer->collected->frames[stack->first + i]],
                      frames);
        (void)json_array_append_new(namer->stacks, frames);
        namer->numbers[number] = (uint32_t)json_array_size(namer->stacks);
    }
    return json_integer(namer->numbers[number] - 1);
}

static json_t *lock_json(const struct namer *namer, uint64_t address, uint32_t module,
                         uint64_t vaddr)
{
    struct hone_symbol_module *symbols = symbols_of(namer, module);
    struct hone_symbol_variable variable;
    char name[1024];
    if (!symbols || hone_symbol_variable(symbols, vaddr, &variable))
        (void)snprintf(name, sizeof name, "%#" PRIx64, address);
    else if (vaddr == variable.start)
        (void)snprintf(name, sizeof name, "%s", variable.name);
    else
        (void)snprintf(name, sizeof name, "%s+%#" PRIx64, variable.name, vaddr - variable.start);
    char text[32];
    (void)snprintf(text, sizeof text, "%#" PRIx64, address);
    return json_pack("{s:s, s:o}", "address", text, "name", hone_session_text(name));
}

static json_t *edge_json(struct namer *namer, const struct hone_collected_order *order)
{
    const struct hone_collected_process *process = &namer->collected->processes[order->process];
    const struct hone_collected_thread *thread = &namer->collected->threads[order->thread];
    const char *name = thread->name[0] ? thread->name : process->name;
    return json_pack(
        "{s:i, s:o, s:i, s:o, s:b, s:o, s:o, s:o, s:b, s:b, s:o, s:o}",        //
        "pid", (int)process->pid, "process", hone_session_text(process->name), //
        "tid", (int)thread->tid, "thread", hone_session_text(name), "several_threads",
        order->several, "set", set_json(namer, order), //
        "held", lock_json(namer, order->held, order->held_module, order->held_vaddr), "taken",
        lock_json(namer, order->taken, order->taken_module, order->taken_vaddr), "held_reading",
        order->held_kind == HONE_LOCK_READ, "taken_reading", order->taken_kind == HONE_LOCK_READ,
        "held_stack", stack_json(namer, order->held_stack), "taken_stack",
        stack_json(namer, order->taken_stack));
}

json_t *hone_session_lock_order(const struct hone_recording *recording,
                                const struct hone_recording_names *names)
{
    const struct hone_collected *collected = recording->collected;
    if (!recording->options->lock_order)
        return json_null();
    struct namer namer = {
        .collected = collected,
        .symbolizer = names->symbolizer,
        .stacks = json_array(),
        .numbers = calloc((size_t)collected->stack_count + 1, sizeof(uint32_t)),
        .by_set = calloc((size_t)collected->orders.count + 1, sizeof(uint32_t)),
    };
    bool failed = !namer.numbers || !namer.by_set;
    for (uint32_t i = 0; !failed && i < collected->orders.count; i++)
        namer.by_set[i] = i;
    sorted_orders = collected->orders.at;
    if (!failed)
        qsort(namer.by_set, collected->orders.count, sizeof *namer.by_set, by_set);
    json_t *edges = json_array();
    uint64_t lost = collected->orders.lost, left_out = 0;
    for (uint32_t i = 0; i < collected->process_count; i++)
        lost += collected->processes[i].facts.lock_order_lost;
    for (uint32_t i = 0; !failed && i < collected->orders.count; i++) {
        const struct hone_collected_order *order = &collected->orders.at[i];
        if (order->in_ring && json_array_size(edges) < EDGES_MAX)
            (void)json_array_append_new(edges, edge_json(&namer, order));
        else
            left_out += order->in_ring;
    }
    free(namer.numbers);
    free(namer.by_set);
    json_t *all = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "seen", hone_session_number(collected->orders.count),
        "lost", hone_session_number(lost), "left_out", hone_session_number(left_out), "not_covered",
        hone_session_lock_reasons(collected), "edges", edges, "stacks", namer.stacks);
    if (!failed)
        return all;
    json_decref(all);
    return NULL;
}
