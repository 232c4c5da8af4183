// The call tree of a profile: its stacks laid over each other from the root, so that stacks which
// begin alike share nodes. What a flame graph draws and a tree report prints.
//
// A large profile has millions of nodes, most of them too small to be seen. Whoever shows the
// largest says how many, and the others are only counted where they hang: memory is for what is
// shown.
//
// The tree is one array in pre-order: a node is followed by its whole subtree, so a subtree is the
// range [node, nodes[node].end), and one pass forwards sees parents before children. Siblings are
// ordered by total, largest first, then by name, module and line: the same profile gives the same
// tree, whatever the order of its samples.
//
//     root 100            0
//     ├─ main 90          1      end 4
//     │  ├─ sort 70       2      end 3
//     │  └─ read 20       3      end 4
//     └─ worker 10        4      end 5
//
// Promises: totals are conserved (a node's total is its self plus its children's totals), no
// recursion (a stack may be a million frames deep), and a frame's text is borrowed from the
// profile, which must outlive the tree.
//
// Threads: one at a time while building, any number of readers afterwards.
#ifndef HONE_ANALYSE_TREE_H
#define HONE_ANALYSE_TREE_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;

// When two frames under one parent are the same node.
enum hone_tree_group {
    HONE_TREE_FUNCTION, // same function of the same module
    HONE_TREE_LINE,     // … and the same line
    HONE_TREE_MODULE,   // same module; neighbours on a stack that share theirs become one frame
};

// Two frames are the same when name, module, line and inlining are; where the function is declared
// is only told (for equal frames that differ in it, the smallest in order is kept).
struct hone_tree_frame {
    struct hone_str name;   // function; "[libz.so.1]" for code of a module without names,
                            // "[truncated]" where the walk broke off
    struct hone_str module; // path of the file the code came from; may be empty
    uint32_t line;          // that ran or called: with HONE_TREE_LINE only, else 0
    bool inlined;           // its code lies in its caller's
    uint32_t start_line;    // of the function; 0 when unknown
    struct hone_str file;   // its source; may be empty
};

struct hone_tree_node {
    int64_t total;
    int64_t self;
    uint32_t frame;  // index into frames; HONE_TREE_NO_FRAME for the root
    uint32_t parent; // index into nodes; the root is its own
    uint32_t end;    // one past the last node of this subtree
    uint32_t depth;  // 0 for the root
    // Left out below it: nodes of its subtree that hang on no node that is there, and how many of
    // them are its children. What they take is total - self - its children's totals.
    uint32_t left_out;
    uint32_t children_left_out;
};

#define HONE_TREE_NO_FRAME UINT32_MAX

struct hone_tree {
    struct hone_tree_node *nodes; // nodes[0] is the root, over all stacks
    size_t node_count;
    struct hone_tree_frame *frames;
    size_t frame_count;
    int64_t *frame_self; // by frame: self of all its nodes, those left out included
    uint32_t depth;      // of the deepest node

    size_t all_count;         // of nodes, those left out included
    int64_t largest_left_out; // total; 0 when none was

    // Of a sandwich: nodes[1] stands for the root once more, and what is in it hangs above:
    // callers, nearest first. Its end is upper_end, from which on the callees follow. 0 in other
    // trees.
    uint32_t upper_end;

    uint64_t stacks;           // added
    uint64_t stacks_of_zero;   // left out: their value is 0 for this sample type
    uint64_t stacks_negative;  // left out because keep_negative was not set (differences have them)
    uint64_t stacks_truncated; // whose walk broke off before the root
    int64_t truncated;         // their value

    struct hone_arena names;           // of frames that have none of their own: "[libz.so.1]"
    struct hone_arena more_names;      // the same, of a second tree that this one was joined with
    struct hone_tree_builder *builder; // until hone_tree_finish()
};

// Which nodes are there: the largest by total and, of equal ones, the first in order; those of at
// least a part of the whole; and the way from the root that always goes on with the first child.
// Where values are negative, all are.
struct hone_tree_limit {
    uint32_t max_nodes; // so many of the largest, the root included (0: all)
    double part;        // of the whole (0: none for that reason)
};

// Zero means default.
struct hone_tree_options {
    size_t size;   // sizeof(struct hone_tree_options)
    uint32_t type; // index of the sample type
    enum hone_tree_group group;
    bool reversed;      // merge from the leaf: callers grow out of the functions they called
    bool keep_negative; // else samples of negative value are counted and left out
    bool net; // samples of equal stacks count together, by their sum: of a difference, what is left
    struct hone_tree_limit limit;
};

// Builds the tree of one sample type of a profile.
//
// Returns  0; -EINVAL for a sample type that is not there; -EOVERFLOW when values do not add up
//          within 63 bits; -ENOMEM.
// Owner    the caller, hone_tree_free(); profile must live as long.
int hone_tree_of_profile(const struct hone_profile *profile,
                         const struct hone_tree_options *options, struct hone_tree **ret,
                         struct hone_error *err);

// The tree of the functions that wanted() chooses, as one: what they call below the root, who calls
// them above it (upper_end). A stack counts once, from the outermost of them on. nodes[0].total is
// what they take; it is the sum of the callees and self, and so is that of nodes[1].
//
// Returns  the same; -ENOENT when no function is wanted.
int hone_tree_sandwich(const struct hone_profile *profile, const struct hone_tree_options *options,
                       bool (*wanted)(void *context, struct hone_str name), void *context,
                       struct hone_tree **ret, struct hone_error *err);

void hone_tree_free(struct hone_tree *tree);
void hone_tree_freep(struct hone_tree **tree);

// The same by hand: intern frames, add stacks, finish. Nothing may be added after that.
int hone_tree_new(struct hone_tree **ret);

// The index of the frame that is the same as this one; its text is borrowed.
int hone_tree_frame(struct hone_tree *tree, const struct hone_tree_frame *frame, uint32_t *ret);

// Adds value to the stack of frames, root first; an empty stack counts for the root alone.
int hone_tree_add(struct hone_tree *tree, const uint32_t *frames, size_t count, int64_t value);
// limit may be NULL: all nodes.
int hone_tree_finish(struct hone_tree *tree, const struct hone_tree_limit *limit,
                     struct hone_error *err);

// What the children of a node take that were left out.
int64_t hone_tree_left_out(const struct hone_tree *tree, uint32_t node);

// Puts the largest sibling first, in a tree whose nodes were written by hand; places (by node
// before, room for all) says where each went. Returns 0 or -ENOMEM. hone_tree_finish() has done it.
int hone_tree_order(struct hone_tree *tree, uint32_t *places);

#endif
