// Which code was at an address at some time, in the logarithm of their number, whatever a file
// says:
//
//     bounds     0────1────2────3────4      all starts and ends, sorted
//     intervals  │ 0  │ 1  │ 2  │ 3  │      the leaves of a binary tree
//     tree           0-1       2-3          a code is kept at the few nodes that together make up
//                         0-3               its range, in the order of loading
//
// A lookup goes from the leaf up to the root and takes, of each node, the last code that was loaded
// by then. Lists of what covers each interval would be simpler, but a file that uses the same
// memory a million times would make a million million entries.
#include "symbol/jit_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int hone_jit_new(struct hone_jit **ret)
{
    struct hone_jit *jit = calloc(1, sizeof *jit);
    if (!jit)
        return -ENOMEM;
    *ret = jit;
    return 0;
}

void hone_jit_free(struct hone_jit *jit)
{
    if (!jit)
        return;
    free(jit->codes);
    free(jit->bounds);
    free(jit->first);
    free(jit->covering);
    hone_symbol_pool_done(&jit->texts);
    hone_arena_done(&jit->arena);
    free(jit);
}

size_t hone_jit_count(const struct hone_jit *jit)
{
    return jit->count;
}

int hone_jit_add(struct hone_jit *jit, const struct hone_jit_code *code)
{
    if (code->start >= code->end || jit->count >= HONE_JIT_CODES_MAX || jit->settled)
        return 0;
    if (jit->count == jit->room) {
        size_t room = jit->room ? jit->room * 2 : 256;
        struct hone_jit_code *grown = reallocarray(jit->codes, room, sizeof *jit->codes);
        if (!grown)
            return -ENOMEM;
        jit->codes = grown;
        jit->room = room;
    }
    struct hone_jit_code kept = *code;
    kept.order = (uint32_t)jit->count;
    if (code->name) {
        kept.name = hone_symbol_intern_text(&jit->texts, &jit->arena, code->name);
        if (!kept.name)
            return -ENOMEM;
    }
    jit->codes[jit->count++] = kept;
    return 0;
}

// ---- The tree

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static size_t bound_at(const struct hone_jit *jit, uint64_t address)
{
    size_t low = 0, high = jit->bound_count; // the first bound beyond the address
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (jit->bounds[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

static int find_bounds(struct hone_jit *jit)
{
    jit->bounds = calloc(2 * jit->count + 1, sizeof *jit->bounds);
    if (!jit->bounds)
        return -ENOMEM;
    for (size_t i = 0; i < jit->count; i++) {
        jit->bounds[2 * i] = jit->codes[i].start;
        jit->bounds[2 * i + 1] = jit->codes[i].end;
    }
    qsort(jit->bounds, 2 * jit->count, sizeof *jit->bounds, by_value);
    size_t kept = 0;
    for (size_t i = 0; i < 2 * jit->count; i++)
        if (!kept || jit->bounds[i] != jit->bounds[kept - 1])
            jit->bounds[kept++] = jit->bounds[i];
    jit->bound_count = kept;
    return 0;
}

// Calls visit for each node that makes up the code's range. Leaf i is node bound_count + i, the
// parent of node n is n / 2.
static void each_node(const struct hone_jit *jit, const struct hone_jit_code *code, uint32_t number,
                      void (*visit)(struct hone_jit *jit, size_t node, uint32_t number))
{
    size_t low = bound_at(jit, code->start) + jit->bound_count;
    size_t high = bound_at(jit, code->end) + jit->bound_count;
    for (; low < high; low /= 2, high /= 2) {
        if (low % 2)
            visit((struct hone_jit *)jit, low++, number);
        if (high % 2)
            visit((struct hone_jit *)jit, --high, number);
    }
}

static void count_node(struct hone_jit *jit, size_t node, uint32_t number)
{
    (void)number;
    jit->first[node + 2]++;
}

static void fill_node(struct hone_jit *jit, size_t node, uint32_t number)
{
    jit->covering[jit->first[node + 1]++] = number;
}

static int by_time(const void *left, const void *right)
{
    const struct hone_jit_code *a = left, *b = right;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int settle(struct hone_jit *jit)
{
    int r = find_bounds(jit);
    size_t nodes = 2 * jit->bound_count;
    jit->first = calloc(nodes + 3, sizeof *jit->first);
    if (r || !jit->first)
        return -ENOMEM;
    // Of several at one time the one that was read last holds.
    if (jit->count)
        qsort(jit->codes, jit->count, sizeof *jit->codes, by_time);
    for (size_t i = 0; i < jit->count; i++)
        each_node(jit, &jit->codes[i], 0, count_node);
    for (size_t i = 1; i < nodes + 3; i++)
        jit->first[i] += jit->first[i - 1];
    jit->covering = calloc(jit->first[nodes + 2] + (size_t)1, sizeof *jit->covering);
    if (!jit->covering)
        return -ENOMEM;
    for (size_t i = 0; i < jit->count; i++)
        each_node(jit, &jit->codes[i], (uint32_t)i, fill_node);
    jit->settled = true;
    return 0;
}

// ---- Lookup

// The last code of a node that was loaded by then, plus one; 0: none.
static uint32_t last_loaded(const struct hone_jit *jit, size_t node, uint64_t time_ns)
{
    uint32_t begin = jit->first[node], low = begin, high = jit->first[node + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (jit->codes[jit->covering[middle]].time_ns <= time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low == begin ? 0 : jit->covering[low - 1] + 1;
}

static void find_line(const struct hone_jit_code *code, uint64_t address, struct hone_jit_name *ret)
{
    size_t low = 0, high = code->line_count; // the first line beyond the address
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code->lines[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low) {
        ret->file = code->lines[low - 1].file;
        ret->line = code->lines[low - 1].line;
    }
}

int hone_jit_lookup(struct hone_jit *jit, uint64_t address, uint64_t time_ns,
                    struct hone_jit_name *ret)
{
    if (!jit->settled) {
        int r = settle(jit);
        if (r)
            return r;
    }
    size_t bound = bound_at(jit, address);
    if (bound >= jit->bound_count) // before the first one, which is -1, or nothing at all
        return HONE_JIT_UNKNOWN;
    uint32_t last = 0;
    for (size_t node = bound + jit->bound_count; node; node /= 2) {
        uint32_t loaded = last_loaded(jit, node, time_ns);
        if (loaded > last)
            last = loaded;
    }
    const struct hone_jit_code *code = last ? &jit->codes[last - 1] : NULL;
    if (!code || !code->name)
        return HONE_JIT_UNKNOWN;
    *ret = (struct hone_jit_name){.name = code->name, .file = "", .start = code->start};
    find_line(code, address, ret);
    return 0;
}
