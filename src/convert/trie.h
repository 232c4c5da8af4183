// The tree of calls that stacks make: a node for each different beginning of a stack. Private to
// this room; analyse/ has one with more to it, which comes after.
#ifndef HONE_CONVERT_TRIE_H
#define HONE_CONVERT_TRIE_H

#include "base/table.h"

#include <stdint.h>

// Node 0 is the root, without a frame. Parents come before their children.
struct hone_trie {
    uint32_t count;
    struct hone_trie_node {
        uint32_t parent;
        uint32_t frame;
    } * at;
    uint32_t room;
    struct hone_table table;
};

// The child of a node; a new one when there was none. 0: memory is out.
uint32_t hone_trie_child(struct hone_trie *trie, uint32_t parent, uint32_t frame);

// The node of a whole run from the root; 0 for none and when memory is out.
uint32_t hone_trie_add(struct hone_trie *trie, const uint32_t *frames, uint32_t count);

void hone_trie_done(struct hone_trie *trie);

#endif
