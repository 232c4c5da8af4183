// Thinning out: calls that are too small to matter, and calls over nodes that went away where
// another way leads to the same callee.
#include "analyse/graph_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

uint32_t hone_graph_drop_edges(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++)
        for (uint32_t at = graph->nodes[graph->order[i]].first_in; at != HONE_GRAPH_NONE;
             at = graph->edges[at].next_in)
            if (hone_graph_size_of(graph->edges[at].weight.sum) < b->edge_cutoff) {
                graph->edges[at].from = HONE_GRAPH_NONE;
                dropped++;
            }
    if (dropped)
        hone_graph_link(graph);
    return dropped;
}

// --- other ways ----------------------------------------------------------------------------------

struct search {
    struct hone_graph *graph;
    uint32_t *seen; // by node: the last search that met it
    uint32_t *queue;
    uint32_t number; // of the search
    uint32_t *edges; // into the node at hand, in order
};

static void search_done(struct search *search)
{
    free(search->seen);
    free(search->queue);
    free(search->edges);
}

static bool has_other_way(struct search *search, uint32_t edge)
{
    const struct hone_graph *graph = search->graph;
    uint32_t wanted = graph->edges[edge].from;
    uint32_t head = 0;
    uint32_t tail = 0;
    search->number++;
    search->queue[tail++] = graph->edges[edge].to;
    search->seen[graph->edges[edge].to] = search->number;
    while (head < tail) {
        uint32_t at = graph->nodes[search->queue[head++]].first_in;
        for (; at != HONE_GRAPH_NONE; at = graph->edges[at].next_in) {
            uint32_t from = graph->edges[at].from;
            if (at == edge || from == HONE_GRAPH_NONE || search->seen[from] == search->number)
                continue;
            if (from == wanted)
                return true;
            search->seen[from] = search->number;
            search->queue[tail++] = from;
        }
    }
    return false;
}

// The smallest first, up to the first call that passes over nothing: what is larger than that one
// stays, so that nobody misses it.
static void thin_out(struct search *search, uint32_t node)
{
    struct hone_graph *graph = search->graph;
    uint32_t count = graph->nodes[node].in_count;
    hone_graph_sort_in(graph, node, search->edges);
    while (count-- > 0 && graph->edges[search->edges[count]].residual)
        if (has_other_way(search, search->edges[count]))
            graph->edges[search->edges[count]].from = HONE_GRAPH_NONE; // still in the lists
}

int hone_graph_drop_redundant(struct hone_graph_builder *b)
{
    struct hone_graph *graph = b->graph;
    HONE_CLEANUP(search_done)
    struct search search = {.graph = graph,
                            .seen = calloc((size_t)graph->node_count + 1, sizeof(uint32_t)),
                            .queue = calloc((size_t)graph->node_count + 1, sizeof(uint32_t)),
                            .edges = calloc((size_t)graph->edge_count + 1, sizeof(uint32_t))};
    if (!search.seen || !search.queue || !search.edges)
        return -ENOMEM;
    for (uint32_t i = graph->shown_count; i-- > 0;)
        thin_out(&search, graph->order[i]);
    hone_graph_link(graph);
    return 0;
}
