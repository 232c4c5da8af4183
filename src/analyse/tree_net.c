// What equal stacks take together. A difference of two profiles has what one stack took before and
// what it takes now in samples of their own: calls from another address, labels of another thread.
#include "analyse/tree_profile.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

// The first sample of each stack that was met, and where its frames lie.
struct met {
    struct hone_table table; // of numbers of samples
    size_t *start;           // by sample
    size_t *len;
    struct hone_tree_stack frames; // of all, one stack behind the other
    size_t used;
};

static void met_done(struct met *met)
{
    hone_table_done(&met->table);
    free(met->start);
    free(met->len);
    hone_tree_stack_done(&met->frames);
}

static int keep(struct met *met, uint32_t sample, const struct hone_tree_stack *stack, size_t count,
                uint64_t hash)
{
    int r = hone_tree_stack_reserve(&met->frames, met->used + count);
    if (r)
        return r;
    if (count)
        memcpy(met->frames.at + met->used, stack->at, count * sizeof *stack->at);
    met->start[sample] = met->used;
    met->len[sample] = count;
    met->used += count;
    return hone_table_add(&met->table, hash, sample);
}

static bool is_stack(const struct met *met, uint32_t sample, const struct hone_tree_stack *stack,
                     size_t count)
{
    if (met->len[sample] != count)
        return false;
    size_t bytes = count * sizeof *stack->at;
    // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): whoever has frames keeps them there
    return !count || memcmp(met->frames.at + met->start[sample], stack->at, bytes) == 0;
}

// The first sample with this stack, which may be the one that asks.
static int find(struct met *met, uint32_t sample, const struct hone_tree_stack *stack, size_t count,
                uint64_t seed, uint32_t *ret)
{
    uint64_t hash = hone_table_hash(stack->at, count * sizeof *stack->at, seed);
    struct hone_table_probe probe = hone_table_probe(&met->table, hash);
    for (uint32_t at; (at = hone_table_next(&met->table, &probe)) != HONE_TABLE_END;)
        if (is_stack(met, at, stack, count)) {
            *ret = at;
            return 0;
        }
    *ret = sample;
    return keep(met, sample, stack, count, hash);
}

static int add_up(const struct hone_profile *p, const struct hone_tree_options *options,
                  const struct hone_tree_places *places, struct met *met, int64_t *net)
{
    HONE_CLEANUP(hone_tree_stack_done) struct hone_tree_stack stack = {0};
    const int64_t *values = p->samples.values[options->type];
    uint64_t seed = hone_table_seed();
    for (uint32_t i = 0; i < p->samples.count; i++) {
        size_t count;
        uint32_t first;
        if (values[i] == 0)
            continue;
        int r = hone_tree_expand(places, hone_profile_frames_of(p, p->samples.stack[i]), options,
                                 &stack, &count);
        if (!r)
            r = find(met, i, &stack, count, seed, &first);
        if (r)
            return r;
        net[first] = hone_tally_add(net[first], values[i]);
    }
    return 0;
}

int hone_tree_net(const struct hone_profile *p, const struct hone_tree_options *options,
                  const struct hone_tree_places *places, int64_t **ret)
{
    HONE_CLEANUP(met_done) struct met met = {0};
    HONE_CLEANUP(hone_freep) int64_t *net = calloc((size_t)p->samples.count + 1, sizeof *net);
    met.start = calloc((size_t)p->samples.count + 1, sizeof *met.start);
    met.len = calloc((size_t)p->samples.count + 1, sizeof *met.len);
    if (!net || !met.start || !met.len)
        return -ENOMEM;
    int r = add_up(p, options, places, &met, net);
    if (!r)
        *ret = hone_take(net);
    return r;
}
