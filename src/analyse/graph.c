// The steps from all nodes to the few that are shown, in pprof's order, because each works on what
// the one before left: small nodes go, then what is left is ordered, small calls and tags go, the
// first nodes stay, and small calls go again, as there are new ones over what went away.
#include "analyse/graph_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static void builder_done(struct hone_graph_builder *b)
{
    hone_nodes_done(&b->places);
    free(b->weights);
    free(b->counts);
    free(b->touched);
    free(b->gone);
    free(b->leaves);
    free(b->parents);
}

static int weigh(struct hone_graph_builder *b)
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

static bool is_negative(const struct hone_graph_node *node)
{
    return node->flat.sum < 0 || (!node->flat.sum && node->cum.sum < 0);
}

// Shows the nodes that are there and have a value.
static void show_all(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    graph->shown_count = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct hone_graph_node *node = &graph->nodes[i];
        node->number = 0;
        if (b->gone[i] || (!node->flat.sum && !node->cum.sum) ||
            (b->options->drop_negative && is_negative(node)))
            continue;
        graph->order[graph->shown_count++] = i;
    }
}

static int64_t sum_of_flat(const struct hone_graph *graph)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++)
        sum = hone_tally_add(sum, graph->nodes[graph->order[i]].flat.sum);
    return sum;
}

// Of a graph, everything but the count first nodes goes away, even what calls only lead to: the
// samples are counted anew without it. Of a tree the nodes themselves are taken out.
static void keep_first(struct hone_graph_builder *b, uint32_t count)
{
    struct hone_graph *graph = b->graph;
    if (!b->options->tree)
        memset(b->gone, true, graph->node_count * sizeof *b->gone);
    for (uint32_t i = count; i < graph->shown_count; i++)
        b->gone[graph->order[i]] = true;
    for (uint32_t i = 0; i < count; i++)
        b->gone[graph->order[i]] = false;
    graph->shown_count = count;
    if (b->options->tree)
        hone_graph_join_tree(b);
}

static int drop_small_nodes(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    HONE_CLEANUP(hone_freep)
    uint32_t *small = calloc((size_t)graph->shown_count + 1, sizeof *small);
    if (!small)
        return -ENOMEM;
    uint32_t large_count = 0;
    uint32_t small_count = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        uint32_t node = graph->order[i];
        if (hone_graph_size_of(graph->nodes[node].cum.sum) < b->node_cutoff)
            small[small_count++] = node;
        else
            graph->order[large_count++] = node;
    }
    graph->dropped_nodes += small_count;
    memcpy(graph->order + large_count, small, small_count * sizeof *small);
    if (small_count)
        keep_first(b, large_count);
    return 0;
}

// --- rows ----------------------------------------------------------------------------------------

// Tags take room too: in a picture each node counts with up to four of them.
static uint32_t rows_with_tags(const struct hone_graph_builder *b)
{
    enum { TAGS_MAX = 4 };
    const struct hone_graph *graph = b->graph;
    uint32_t rows = b->options->rows;
    uint64_t count = 0;
    for (uint32_t i = 0; b->options->telling && i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        uint32_t tags = 0;
        for (uint32_t t = 0; t < node->tag_count; t++)
            tags += graph->tags[node->first_tag + t].flat.sum != 0;
        count += (tags < TAGS_MAX ? tags : TAGS_MAX) + 1;
        if (count >= rows)
            return i + 1;
    }
    return rows < graph->shown_count ? rows : graph->shown_count;
}

static int join(struct hone_graph_builder *b)
{
    bool none = b->options->tree || b->options->edges == HONE_GRAPH_NO_EDGES;
    return none ? 0 : hone_graph_join_calls(b);
}

// Calls say who is shown in pictures only; for a table they are found once, in the end.
static bool is_table(const struct hone_graph_options *options)
{
    return !options->tree && !options->telling && !options->labels;
}

static int limit_rows(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    bool table = is_table(b->options);
    if (!table)
        (void)hone_graph_drop_edges(b);
    uint32_t rows = rows_with_tags(b);
    if (rows == graph->shown_count)
        return 0;
    keep_first(b, rows);
    if (table)
        return 0;
    int r = join(b);
    return r ? r : hone_graph_sort_nodes(b);
}

static int trim(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    const struct hone_graph_options *o = b->options;
    bool table = is_table(o);
    show_all(b);
    int64_t total = hone_tally_add(sum_of_flat(graph), b->cut_flat);
    b->node_cutoff = hone_graph_cutoff(total, o->node_fraction);
    b->edge_cutoff = hone_graph_cutoff(total, o->edge_fraction);
    int r = b->node_cutoff > 0 ? drop_small_nodes(b) : 0;
    graph->untrimmed_count = graph->shown_count;
    if (!r && !table)
        r = join(b);
    if (!r)
        r = hone_graph_sort_nodes(b);
    if (!r)
        r = hone_graph_sum_tags(b, o->rows && o->rows < graph->shown_count ? o->rows
                                                                           : graph->shown_count);
    if (!r && o->rows)
        r = limit_rows(b);
    if (!r && table)
        r = join(b);
    if (r)
        return r;
    graph->dropped_edges = hone_graph_drop_edges(b);
    return o->telling ? hone_graph_drop_redundant(b) : 0;
}

// Numbers those that are shown.
static void number_nodes(struct hone_graph *graph)
{
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        node->number = i + 1;
        graph->flat_sum = hone_tally_add(graph->flat_sum, hone_graph_value(node->flat));
    }
}

static int build(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    int r = weigh(b);
    if (!r)
        r = hone_graph_find_places(b);
    if (!r)
        r = b->options->tree ? hone_graph_build_tree(b) : hone_graph_sum_nodes(b);
    if (r)
        return r;
    b->gone = calloc((size_t)graph->node_count + 1, sizeof *b->gone);
    graph->order = calloc((size_t)graph->node_count + 1, sizeof *graph->order);
    r = b->gone && graph->order ? trim(b) : -ENOMEM;
    if (!r)
        number_nodes(graph);
    return r;
}

int hone_graph_new(const struct hone_profile *profile, const struct hone_graph_options *options,
                   struct hone_graph **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = calloc(1, sizeof *graph);
    HONE_CLEANUP(builder_done)
    struct hone_graph_builder b = {.profile = profile, .options = options, .graph = graph};
    int r = graph ? build(&b) : -ENOMEM;
    if (r)
        return hone_error_set(err, r, "cannot build the graph of calls");
    *ret = hone_take(graph);
    return 0;
}

void hone_graph_free(struct hone_graph *graph)
{
    if (!graph)
        return;
    free(graph->places);
    free(graph->nodes);
    free(graph->edges);
    free(graph->tags);
    free(graph->order);
    hone_arena_done(&graph->text);
    free(graph);
}

void hone_graph_freep(struct hone_graph **graph)
{
    hone_graph_free(*graph);
}
