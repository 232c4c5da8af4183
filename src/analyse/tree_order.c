#include "analyse/tree_parts.h"

#include "base/base.h"

#include <errno.h>
#include <stdlib.h>

struct sibling {
    int64_t total;
    uint32_t node;
};

static int compare_siblings(const void *a, const void *b)
{
    const struct sibling *left = a, *right = b;
    if (left->total != right->total)
        return left->total > right->total ? -1 : 1;
    return left->node < right->node ? -1 : 1; // they are in the order of their frames
}

// Puts the largest sibling first. A parent's turn comes before its children's, so its own place is
// known: its children's subtrees follow it, one behind the other.
int hone_tree_order(struct hone_tree *tree, uint32_t *places)
{
    struct hone_tree_node *ordered = calloc(tree->node_count, sizeof *ordered);
    HONE_CLEANUP(hone_freep) struct sibling *siblings = NULL;
    size_t capacity = 0;
    int r = ordered ? 0 : -ENOMEM;
    places[0] = 0;
    for (size_t i = 0; i < tree->node_count && !r; i++) {
        const struct hone_tree_node *node = &tree->nodes[i];
        uint32_t place = places[i], next = place + 1;
        ordered[place] = *node;
        ordered[place].parent = places[node->parent];
        ordered[place].end = place + (node->end - (uint32_t)i);
        size_t count = 0;
        for (uint32_t child = (uint32_t)i + 1; child < node->end && !r;
             child = tree->nodes[child].end) {
            r = hone_tree_grow(&siblings, &capacity, count + 1, sizeof *siblings);
            if (!r)
                siblings[count++] = (struct sibling){tree->nodes[child].total, child};
        }
        if (count > 1)
            qsort(siblings, count, sizeof *siblings, compare_siblings);
        for (size_t child = 0; child < count; child++) {
            uint32_t from = siblings[child].node;
            places[from] = next;
            next += tree->nodes[from].end - from;
        }
    }
    if (r) {
        free(ordered);
        return r;
    }
    free(tree->nodes);
    tree->nodes = ordered;
    return 0;
}
