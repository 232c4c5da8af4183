// Thinning out: calls that are too small to matter, and calls over nodes that went away where
// another way leads to the same callee.
#include "analyse/calls_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

uint32_t hone_calls_drop_edges(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < calls->shown_count; i++)
        for (uint32_t at = calls->nodes[calls->order[i]].first_in; at != HONE_CALLS_NONE;
             at = calls->edges[at].next_in)
            if (hone_calls_size_of(calls->edges[at].weight.sum) < b->edge_cutoff) {
                calls->edges[at].from = HONE_CALLS_NONE;
                dropped++;
            }
    if (dropped)
        hone_calls_link(calls);
    return dropped;
}

// --- other ways ----------------------------------------------------------------------------------

struct search {
    struct hone_calls *calls;
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
    const struct hone_calls *calls = search->calls;
    uint32_t wanted = calls->edges[edge].from;
    uint32_t head = 0;
    uint32_t tail = 0;
    search->number++;
    search->queue[tail++] = calls->edges[edge].to;
    search->seen[calls->edges[edge].to] = search->number;
    while (head < tail) {
        uint32_t at = calls->nodes[search->queue[head++]].first_in;
        for (; at != HONE_CALLS_NONE; at = calls->edges[at].next_in) {
            uint32_t from = calls->edges[at].from;
            if (at == edge || from == HONE_CALLS_NONE || search->seen[from] == search->number)
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
    struct hone_calls *calls = search->calls;
    uint32_t count = calls->nodes[node].in_count;
    hone_calls_sort_in(calls, node, search->edges);
    while (count-- > 0 && calls->edges[search->edges[count]].residual)
        if (has_other_way(search, search->edges[count]))
            calls->edges[search->edges[count]].from = HONE_CALLS_NONE; // still in the lists
}

int hone_calls_drop_redundant(struct hone_calls_builder *b)
{
    struct hone_calls *calls = b->calls;
    HONE_CLEANUP(search_done)
    struct search search = {.calls = calls,
                            .seen = calloc((size_t)calls->node_count + 1, sizeof(uint32_t)),
                            .queue = calloc((size_t)calls->node_count + 1, sizeof(uint32_t)),
                            .edges = calloc((size_t)calls->edge_count + 1, sizeof(uint32_t))};
    if (!search.seen || !search.queue || !search.edges)
        return -ENOMEM;
    for (uint32_t i = calls->shown_count; i-- > 0;)
        thin_out(&search, calls->order[i]);
    hone_calls_link(calls);
    return 0;
}
