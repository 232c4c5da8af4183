// Callgrind knows who called whom and what that cost, not whole stacks. They are put together from
// the leaf to the root: what a function cost is dealt out to its callers in the ratio of what each
// call cost, as gprof does, and so on for those callers.
//
// Dealing is exact at the leaf, and at each call as good as the smallest packet: one part in 200
// 000 of all. A packet is never split below that; whole ones go to the caller that is owed most, so
// no cost is lost on the way, and what each call gets comes out right over many packets. A function
// that is on the stack already is not called again: a cycle ends there.
#include "convert/callgrind_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>

enum { PACKETS = 200000 };

// Frames and calls looked at, all together: some seconds, and what keeps hostile files from ages. A
// real file of a large program takes a tenth of it.
#define STEPS_MAX 200000000ull

struct packet {
    uint32_t function;
    uint32_t location;
    uint32_t depth;
    int64_t amount;
};

struct dealer {
    struct hone_callgrind *c;
    uint32_t event;
    uint32_t *first; // by function: its calls as callee are incoming[first[f] … first[f + 1])
    uint32_t *incoming;
    double *owed; // by call
    double *root; // by function: what it cost without a caller
    double *root_owed;
    bool *on_path;  // by function
    uint32_t *path; // functions, leaf first
    struct hone_stack stack;
    struct packet *open;
    uint32_t open_room;
    uint32_t open_count;
    uint32_t path_room;
    uint32_t path_count;
    double quantum;
    uint64_t steps;
    int64_t cut; // cost whose callers were not followed any more
};

static void dealer_done(struct dealer *d)
{
    free(d->first);
    free(d->incoming);
    free(d->owed);
    free(d->root);
    free(d->root_owed);
    free(d->on_path);
    free(d->path);
    free(d->open);
    hone_stack_done(&d->stack);
}

static int64_t call_value(const struct dealer *d, uint32_t call)
{
    return d->c->call_values[(size_t)call * d->c->event_count + d->event];
}

static int64_t cost_value(const struct dealer *d, uint32_t cost)
{
    return d->c->cost_values[(size_t)cost * d->c->event_count + d->event];
}

// Sorts the calls by callee.
static int find_incoming(struct dealer *d)
{
    const struct hone_callgrind *c = d->c;
    size_t functions = (size_t)c->function_count + 1;
    d->first = calloc(functions + 1, sizeof *d->first);
    d->incoming = calloc((size_t)c->call_count + 1, sizeof *d->incoming);
    d->owed = calloc((size_t)c->call_count + 1, sizeof *d->owed);
    d->root = calloc(functions, sizeof *d->root);
    d->root_owed = calloc(functions, sizeof *d->root_owed);
    d->on_path = calloc(functions, sizeof *d->on_path);
    if (!d->first || !d->incoming || !d->owed || !d->root || !d->root_owed || !d->on_path)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->call_count; i++)
        d->first[c->calls[i].callee + 1]++;
    for (uint32_t f = 0; f < c->function_count; f++)
        d->first[f + 1] += d->first[f];
    for (uint32_t i = 0; i < c->call_count; i++)
        d->incoming[d->first[c->calls[i].callee]++] = i;
    for (uint32_t f = c->function_count; f > 0; f--)
        d->first[f] = d->first[f - 1];
    d->first[0] = 0;
    return 0;
}

// What each function cost with all it called and was not paid by a caller: all of it for main.
// Returns the sum of all costs.
static double begin_event(struct dealer *d, uint32_t event)
{
    const struct hone_callgrind *c = d->c;
    d->event = event;
    memset(d->owed, 0, c->call_count * sizeof *d->owed);
    memset(d->root, 0, c->function_count * sizeof *d->root);
    memset(d->root_owed, 0, c->function_count * sizeof *d->root_owed);
    double total = 0;
    for (uint32_t i = 0; i < c->cost_count; i++) {
        total += (double)cost_value(d, i);
        d->root[c->costs[i].function] += (double)cost_value(d, i);
    }
    for (uint32_t i = 0; i < c->call_count; i++) {
        if (c->calls[i].caller == c->calls[i].callee)
            continue;
        d->root[c->calls[i].caller] += (double)call_value(d, i);
        d->root[c->calls[i].callee] -= (double)call_value(d, i);
    }
    for (uint32_t f = 0; f < c->function_count; f++)
        if (d->root[f] < 0)
            d->root[f] = 0;
    d->quantum = total / PACKETS < 1 ? 1 : total / PACKETS;
    return total;
}

static void cut_path(struct dealer *d, uint32_t depth)
{
    while (d->path_count > depth)
        d->on_path[d->path[--d->path_count]] = false;
    d->stack.count = depth;
}

static bool open_packet(struct dealer *d, const struct packet *packet)
{
    if (!hone_array_reserve(&d->open, &d->open_room, (uint64_t)d->open_count + 1, sizeof *d->open))
        return false;
    d->open[d->open_count++] = *packet;
    return true;
}

static void add_sample(struct dealer *d, int64_t amount)
{
    int64_t values[HONE_PROFILE_TYPES_MAX] = {0};
    values[d->event] = amount;
    uint32_t stack = hone_stack_add(d->c->profile, &d->stack);
    (void)hone_profile_add_sample(d->c->profile, stack, values, NULL, 0);
}

// What callers of a function are owed together, once this much more is to be dealt.
static double owe(struct dealer *d, uint32_t function, int64_t amount)
{
    double weights = d->root[function];
    for (uint32_t i = d->first[function]; i < d->first[function + 1]; i++) {
        uint32_t call = d->incoming[i];
        if (!d->on_path[d->c->calls[call].caller])
            weights += (double)call_value(d, call);
    }
    if (weights <= 0)
        return 0;
    double share = (double)amount / weights;
    d->root_owed[function] += d->root[function] * share;
    for (uint32_t i = d->first[function]; i < d->first[function + 1]; i++) {
        uint32_t call = d->incoming[i];
        if (!d->on_path[d->c->calls[call].caller])
            d->owed[call] += (double)call_value(d, call) * share;
    }
    d->steps += 2 * (d->first[function + 1] - d->first[function]);
    return weights;
}

// The whole packets in what is owed, at most what is left.
static int64_t packets_in(const struct dealer *d, double owed, int64_t left)
{
    if (owed < d->quantum)
        return 0;
    double whole = (double)(int64_t)(owed / d->quantum) * d->quantum;
    return whole < (double)left ? (int64_t)whole : left;
}

// Hands the amount at the top of the path to the callers. Returns false: memory is out.
static bool deal(struct dealer *d, uint32_t function, int64_t amount)
{
    uint32_t depth = d->path_count;
    int64_t left = amount;
    int64_t here = 0;           // ends with this function as root
    uint32_t most = UINT32_MAX; // the call that is owed most, with what is left
    double most_owed = d->root[function] > 0 ? d->root_owed[function] : -1e300;
    if (owe(d, function, amount) <= 0) {
        add_sample(d, amount);
        return true;
    }
    if (d->root[function] > 0) {
        here = packets_in(d, d->root_owed[function], left);
        d->root_owed[function] -= (double)here;
        left -= here;
        most_owed = d->root_owed[function];
    }
    for (uint32_t i = d->first[function]; i < d->first[function + 1]; i++) {
        uint32_t call = d->incoming[i];
        const struct hone_callgrind_call *from = &d->c->calls[call];
        if (d->on_path[from->caller] || !call_value(d, call))
            continue;
        int64_t given = packets_in(d, d->owed[call], left);
        d->owed[call] -= (double)given;
        left -= given;
        if (given && !open_packet(d, &(struct packet){from->caller, from->location, depth, given}))
            return false;
        if (d->owed[call] > most_owed) {
            most_owed = d->owed[call];
            most = call;
        }
    }
    if (left && most != UINT32_MAX) {
        const struct hone_callgrind_call *from = &d->c->calls[most];
        d->owed[most] -= (double)left;
        if (!open_packet(d, &(struct packet){from->caller, from->location, depth, left}))
            return false;
    } else if (left) {
        d->root_owed[function] -= (double)left;
        here += left;
    }
    if (here)
        add_sample(d, here);
    return true;
}

// One packet, with all that becomes of it.
static bool follow(struct dealer *d, const struct packet *leaf)
{
    d->open_count = 0;
    if (!open_packet(d, leaf))
        return false;
    while (d->open_count && !hone_profile_status(d->c->profile)) {
        struct packet packet = d->open[--d->open_count];
        cut_path(d, packet.depth);
        if (!hone_array_reserve(&d->path, &d->path_room, (uint64_t)d->path_count + 1,
                                sizeof *d->path) ||
            !hone_stack_push(&d->stack, packet.location))
            return false;
        d->path[d->path_count++] = packet.function;
        d->on_path[packet.function] = true;
        d->steps += d->path_count;
        if (d->steps > STEPS_MAX || d->path_count >= HONE_PROFILE_DEPTH_MAX) {
            add_sample(d, packet.amount);
            d->cut += packet.amount;
        } else if (!deal(d, packet.function, packet.amount)) {
            return false;
        }
    }
    cut_path(d, 0);
    return true;
}

static void comment(struct dealer *d)
{
    struct hone_profile *p = d->c->profile;
    hone_profile_add_comment(p, "callgrind: what each line cost itself is exact; whole stacks are "
                                "estimated from who called whom");
    if (!d->cut)
        return;
    char text[128];
    (void)snprintf(text, sizeof text, "callgrind: callers were not followed for a cost of %lld",
                   (long long)d->cut);
    hone_profile_add_comment(p, text);
}

int hone_callgrind_add_stacks(struct hone_callgrind *callgrind)
{
    HONE_CLEANUP(dealer_done) struct dealer d = {.c = callgrind};
    int r = find_incoming(&d);
    if (r)
        return r;
    for (uint32_t event = 0; event < callgrind->event_count; event++) {
        (void)begin_event(&d, event);
        for (uint32_t i = 0; i < callgrind->cost_count; i++) {
            const struct hone_callgrind_cost *cost = &callgrind->costs[i];
            int64_t amount = cost_value(&d, i);
            if (amount && !follow(&d, &(struct packet){cost->function, cost->location, 0, amount}))
                return -ENOMEM;
        }
    }
    comment(&d);
    return 0;
}
