// What the files that write graphs share. Private to dot*.c and callgrind.c.
#ifndef HONE_VIEW_DOT_PARTS_H
#define HONE_VIEW_DOT_PARTS_H

#include "analyse/graph.h"
#include "view/text_report.h"

// --- labels as tags ------------------------------------------------------------------------------

// The tags that each label set gives. Its texts, "key:value" in order, make one word; of numbers
// only the sizes of blocks, label "bytes", are shown.
struct hone_dot_labels {
    struct hone_graph_labels graph;
    const char *unit;        // of the sizes
    struct hone_str *words;  // by number of the word
    struct hone_str *sizes;  // by name of the size
    struct hone_arena arena; // of all texts
    uint32_t *word_of_set;   // owned, as in graph
    uint32_t *first_size_of_set;
    struct hone_graph_size *all_sizes;
};

// Returns 0 or -ENOMEM; done is needed in either case.
int hone_dot_labels_init(struct hone_dot_labels *labels, const struct hone_profile *profile,
                         const char *unit);
void hone_dot_labels_done(struct hone_dot_labels *labels);

// --- writing -------------------------------------------------------------------------------------

struct hone_dot {
    struct hone_report report;
    struct hone_graph *graph;
    struct hone_dot_labels labels;
    struct hone_arena arena; // names that had to be made
};

// The graph that the options ask for; chooses the unit in which values are printed.
int hone_dot_init(struct hone_dot *dot, const struct hone_profile *profile,
                  const struct hone_text_options *options, bool telling, struct hone_buffer *out,
                  struct hone_error *err);
void hone_dot_done(struct hone_dot *dot);

// Text within double quotes: they and backslashes are escaped, line ends stand for left-aligned
// lines.
void hone_dot_quote(struct hone_buffer *out, struct hone_str text);

// The boxes beside a node that tell of its tags, and the arrows to them; *ret_any: whether there
// are any. Returns 0 or -ENOMEM.
int hone_dot_tags(struct hone_dot *dot, uint32_t node, bool *ret_any);

#endif
