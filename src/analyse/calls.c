// The steps from all nodes to the few that are shown, in pprof's order, because each works on what
// the one before left: small nodes go, then what is left is ordered, small calls and tags go, the
// first nodes stay, and small calls go again, as there are new ones over what went away.
#include "analyse/calls_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static void builder_done(struct hone_calls_builder *b)
{
    hone_nodes_done(&b->places);
    free(b->weights);
    free(b->counts);
    free(b->touched);
    free(b->gone);
    free(b->leaves);
    free(b->parents);
}

static int weigh(struct hone_calls_builder *b)
{
    const struct hone_profile *p = b->profile;
    int64_t total;
    b->weights = hone_tally_weights(p, b->options->type, &total);
    if (b->options->mean)
        b->counts = hone_tally_weights(p, 0, &total);
    if (!b->weights || (b->options->mean && !b->counts))
        return -ENOMEM;
    return hone_tally_touched(p, b->options->type, b->options->mean, &b->touched);
}

// --- who is shown --------------------------------------------------------------------------------

static bool is_negative(const struct hone_calls_node *node)
{
    return node->flat.sum < 0 || (!node->flat.sum && node->cum.sum < 0);
}

// Shows the nodes that are there and have a value.
static void show_all(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    calls->shown_count = 0;
    for (uint32_t i = 0; i < calls->node_count; i++) {
        struct hone_calls_node *node = &calls->nodes[i];
        node->number = 0;
        if (b->gone[i] || (!node->flat.sum && !node->cum.sum) ||
            (b->options->drop_negative && is_negative(node)))
            continue;
        calls->order[calls->shown_count++] = i;
    }
}

static int64_t sum_of_flat(const struct hone_calls *calls)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < calls->shown_count; i++)
        sum = hone_tally_add(sum, calls->nodes[calls->order[i]].flat.sum);
    return sum;
}

// Of a graph, everything but the count first nodes goes away, even what calls only lead to: the
// samples are counted anew without it. Of a tree the nodes themselves are taken out.
static void keep_first(struct hone_calls_builder *b, uint32_t count)
{
    struct hone_calls *calls = b->calls;
    if (!b->options->tree)
        memset(b->gone, true, calls->node_count * sizeof *b->gone);
    for (uint32_t i = count; i < calls->shown_count; i++)
        b->gone[calls->order[i]] = true;
    for (uint32_t i = 0; i < count; i++)
        b->gone[calls->order[i]] = false;
    calls->shown_count = count;
    if (b->options->tree)
        hone_calls_join_tree(b);
}

static int drop_small_nodes(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    HONE_CLEANUP(hone_freep)
    uint32_t *small = calloc((size_t)calls->shown_count + 1, sizeof *small);
    if (!small)
        return -ENOMEM;
    uint32_t large_count = 0;
    uint32_t small_count = 0;
    for (uint32_t i = 0; i < calls->shown_count; i++) {
        uint32_t node = calls->order[i];
        if (hone_calls_size_of(calls->nodes[node].cum.sum) < b->node_cutoff)
            small[small_count++] = node;
        else
            calls->order[large_count++] = node;
    }
    calls->dropped_nodes += small_count;
    memcpy(calls->order + large_count, small, small_count * sizeof *small);
    if (small_count)
        keep_first(b, large_count);
    return 0;
}

// --- rows ----------------------------------------------------------------------------------------

// Tags take room too: in a picture each node counts with up to four of them.
static uint32_t rows_with_tags(const struct hone_calls_builder *b)
{
    enum { TAGS_MAX = 4 };
    const struct hone_calls *calls = b->calls;
    uint32_t rows = b->options->rows;
    uint64_t count = 0;
    for (uint32_t i = 0; b->options->telling && i < calls->shown_count; i++) {
        const struct hone_calls_node *node = &calls->nodes[calls->order[i]];
        uint32_t tags = 0;
        for (uint32_t t = 0; t < node->tag_count; t++)
            tags += calls->tags[node->first_tag + t].flat.sum != 0;
        count += (tags < TAGS_MAX ? tags : TAGS_MAX) + 1;
        if (count >= rows)
            return i + 1;
    }
    return rows < calls->shown_count ? rows : calls->shown_count;
}

static int join(struct hone_calls_builder *b)
{
    return b->options->tree ? 0 : hone_calls_join_graph(b);
}

static int limit_rows(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    (void)hone_calls_drop_edges(b);
    uint32_t rows = rows_with_tags(b);
    if (rows == calls->shown_count)
        return 0;
    keep_first(b, rows);
    int r = join(b);
    return r ? r : hone_calls_sort_nodes(b);
}

static int trim(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    const struct hone_calls_options *o = b->options;
    show_all(b);
    int64_t total = hone_tally_add(sum_of_flat(calls), b->cut_flat);
    b->node_cutoff = hone_calls_cutoff(total, o->node_fraction);
    b->edge_cutoff = hone_calls_cutoff(total, o->edge_fraction);
    int r = b->node_cutoff > 0 ? drop_small_nodes(b) : 0;
    calls->untrimmed_count = calls->shown_count;
    if (!r)
        r = join(b);
    if (!r)
        r = hone_calls_sort_nodes(b);
    if (!r)
        r = hone_calls_sum_tags(b, o->rows && o->rows < calls->shown_count ? o->rows
                                                                           : calls->shown_count);
    if (!r && o->rows)
        r = limit_rows(b);
    if (r)
        return r;
    calls->dropped_edges = hone_calls_drop_edges(b);
    return o->telling ? hone_calls_drop_redundant(b) : 0;
}

static int build(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    int r = weigh(b);
    if (!r)
        r = hone_calls_find_places(b);
    if (!r)
        r = b->options->tree ? hone_calls_build_tree(b) : hone_calls_build_graph(b);
    if (r)
        return r;
    b->gone = calloc((size_t)calls->node_count + 1, sizeof *b->gone);
    calls->order = calloc((size_t)calls->node_count + 1, sizeof *calls->order);
    r = b->gone && calls->order ? trim(b) : -ENOMEM;
    for (uint32_t i = 0; !r && i < calls->shown_count; i++)
        calls->nodes[calls->order[i]].number = i + 1;
    return r;
}

int hone_calls_new(const struct hone_profile *profile, const struct hone_calls_options *options,
                   struct hone_calls **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_calls_freep) struct hone_calls *calls = calloc(1, sizeof *calls);
    HONE_CLEANUP(builder_done)
    struct hone_calls_builder b = {.profile = profile, .options = options, .calls = calls};
    int r = calls ? build(&b) : -ENOMEM;
    if (r)
        return hone_error_set(err, r, "cannot build the graph of calls");
    *ret = hone_take(calls);
    return 0;
}

void hone_calls_free(struct hone_calls *calls)
{
    if (!calls)
        return;
    free(calls->places);
    free(calls->nodes);
    free(calls->edges);
    free(calls->tags);
    free(calls->order);
    hone_arena_done(&calls->text);
    free(calls);
}

void hone_calls_freep(struct hone_calls **calls)
{
    hone_calls_free(*calls);
}
