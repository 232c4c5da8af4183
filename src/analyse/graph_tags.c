// What labels say of nodes: for each node, each set of words and each size beside it, the samples
// that went through the node (cum) or ended there (flat). Only the nodes that may be shown are
// looked at, because names of threads or sizes of blocks can be many.
#include "analyse/graph_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

struct tagging {
    struct hone_graph_builder *builder;
    const struct hone_graph_labels *labels;
    struct hone_table table; // tags, by node, word and size
    uint32_t room;
    uint32_t count;
    uint32_t *wanted; // by node: 1 if it may be shown
    uint32_t *seen;   // by node: the last sample that went through it, + 1
};

static void tagging_done(struct tagging *tagging)
{
    hone_table_done(&tagging->table);
    free(tagging->wanted);
    free(tagging->seen);
}

static int find_tag(struct tagging *tagging, uint32_t node, uint32_t word,
                    const struct hone_graph_size *size, struct hone_graph_tag **ret)
{
    struct hone_graph *graph = tagging->builder->graph;
    uint32_t name = size ? size->name : 0;
    const uint32_t key[] = {node, word, name};
    uint64_t hash = hone_table_hash(key, sizeof key, 0);
    struct hone_table_probe probe = hone_table_probe(&tagging->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&tagging->table, &probe)) != HONE_TABLE_END) {
        struct hone_graph_tag *tag = &graph->tags[at];
        if (tag->node == node && tag->word == word && tag->size == name) {
            *ret = tag;
            return 0;
        }
    }
    if (!hone_array_reserve(&graph->tags, &tagging->room, (uint64_t)tagging->count + 1,
                            sizeof *graph->tags) ||
        hone_table_add(&tagging->table, hash, tagging->count))
        return -ENOMEM;
    *ret = &graph->tags[tagging->count++];
    **ret = (struct hone_graph_tag){
        .node = node, .word = word, .size = name, .number = size ? size->value : 0};
    return 0;
}

static int add_tag(struct tagging *tagging, uint32_t node, uint32_t word,
                   const struct hone_graph_size *size, uint32_t sample, bool flat)
{
    const struct hone_graph_builder *b = tagging->builder;
    struct hone_graph_tag *tag;
    int r = find_tag(tagging, node, word, size, &tag);
    if (r)
        return r;
    struct hone_graph_value *value = flat ? &tag->flat : &tag->cum;
    const struct hone_profile *p = b->profile;
    value->sum = hone_tally_add(value->sum, p->samples.values[b->options->type][sample]);
    if (b->counts)
        value->count = hone_tally_add(value->count, p->samples.values[0][sample]);
    return 0;
}

static int add_tags(struct tagging *tagging, uint32_t node, uint32_t sample, bool flat)
{
    const struct hone_graph_labels *labels = tagging->labels;
    uint32_t set = tagging->builder->profile->samples.label_set[sample];
    uint32_t word = labels->word[set];
    int r = word ? add_tag(tagging, node, word, NULL, sample, flat) : 0;
    for (uint32_t i = labels->first_size[set]; !r && i < labels->first_size[set + 1]; i++)
        r = add_tag(tagging, node, word, &labels->sizes[i], sample, flat);
    return r;
}

static int pass(struct tagging *tagging, uint32_t node, uint32_t sample)
{
    if (!tagging->wanted[node] || tagging->seen[node] == sample + 1)
        return 0;
    tagging->seen[node] = sample + 1;
    return add_tags(tagging, node, sample, false);
}

static int walk_tree(struct tagging *tagging, uint32_t sample)
{
    const struct hone_graph_builder *b = tagging->builder;
    uint32_t leaf = b->leaves[b->profile->samples.stack[sample]];
    if (leaf == HONE_GRAPH_NONE)
        return 0;
    int r = 0;
    for (uint32_t node = leaf >> 1; !r && node != HONE_GRAPH_NONE; node = b->parents[node])
        r = pass(tagging, node, sample);
    bool there = leaf & 1 && tagging->wanted[leaf >> 1];
    return r || !there ? r : add_tags(tagging, leaf >> 1, sample, true);
}

static int walk_graph(struct tagging *tagging, uint32_t sample)
{
    const struct hone_graph_builder *b = tagging->builder;
    struct hone_profile_span frames =
        hone_profile_frames_of(b->profile, b->profile->samples.stack[sample]);
    int r = 0;
    for (uint32_t i = 0; !r && i < frames.count; i++) {
        uint32_t first = b->places.first[frames.at[i]];
        for (uint32_t at = b->places.first[frames.at[i] + 1]; !r && at-- > first;)
            r = pass(tagging, b->places.at[at], sample);
    }
    uint32_t leaf = b->places.at[b->places.first[frames.at[0] + 1] - 1];
    return r || !tagging->wanted[leaf] ? r : add_tags(tagging, leaf, sample, true);
}

static int walk_all(struct tagging *tagging)
{
    const struct hone_graph_builder *b = tagging->builder;
    const struct hone_graph_labels *labels = tagging->labels;
    const struct hone_profile *p = b->profile;
    int r = 0;
    for (uint32_t i = 0; !r && i < p->samples.count; i++) {
        uint32_t set = p->samples.label_set[i];
        bool silent = !labels->word[set] && labels->first_size[set] == labels->first_size[set + 1];
        bool zero =
            !p->samples.values[b->options->type][i] && !(b->counts && p->samples.values[0][i]);
        if (silent || zero || !p->samples.stack[i])
            continue;
        r = b->options->tree ? walk_tree(tagging, i) : walk_graph(tagging, i);
    }
    return r;
}

static int compare_tags(const void *left, const void *right)
{
    const struct hone_graph_tag *a = left;
    const struct hone_graph_tag *b = right;
    return (a->node > b->node) - (a->node < b->node);
}

// Each node's tags stand together; small ones go.
static void hand_out(struct tagging *tagging)
{
    const struct hone_graph_builder *b = tagging->builder;
    struct hone_graph *graph = b->graph;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < tagging->count; i++)
        if (hone_graph_size_of(graph->tags[i].flat.sum) >= b->node_cutoff ||
            hone_graph_size_of(graph->tags[i].cum.sum) >= b->node_cutoff)
            graph->tags[kept++] = graph->tags[i];
    if (kept)
        qsort(graph->tags, kept, sizeof *graph->tags, compare_tags);
    for (uint32_t i = 0; i < kept; i++) {
        struct hone_graph_node *node = &graph->nodes[graph->tags[i].node];
        if (!node->tag_count++)
            node->first_tag = i;
    }
}

int hone_graph_sum_tags(struct hone_graph_builder *b, uint32_t count)
{
    struct hone_graph *graph = b->graph;
    if (!b->options->labels)
        return 0;
    HONE_CLEANUP(tagging_done)
    struct tagging tagging = {.builder = b,
                              .labels = b->options->labels,
                              .wanted = calloc((size_t)graph->node_count + 1, sizeof(uint32_t)),
                              .seen = calloc((size_t)graph->node_count + 1, sizeof(uint32_t))};
    if (!tagging.wanted || !tagging.seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        tagging.wanted[graph->order[i]] = 1;
    int r = walk_all(&tagging);
    if (!r)
        hand_out(&tagging);
    return r;
}
