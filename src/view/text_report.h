// What the text views share: the sample type chosen, how its values print, the lines above a
// report, and names that fit the terminal. Private to this room.
#ifndef HONE_VIEW_TEXT_REPORT_H
#define HONE_VIEW_TEXT_REPORT_H

#include "analyse/graph.h"
#include "base/buffer.h"
#include "base/measure.h"
#include "base/pattern.h"
#include "profile/profile.h"
#include "view/text.h"

struct hone_report {
    const struct hone_profile *profile;
    const struct hone_text_options *options;
    struct hone_buffer *out;
    uint32_t type;
    const char *type_name;
    const char *unit;       // of the values
    const char *shown_unit; // in which they are printed
    int64_t total;          // of absolute values
    double ratio;           // values are multiplied by it when they are printed
};

// Chooses the sample type. options may be NULL.
int hone_report_init(struct hone_report *report, const struct hone_profile *profile,
                     const struct hone_text_options *options, struct hone_buffer *out,
                     struct hone_error *err);

enum hone_graph_group hone_report_group(const struct hone_report *report);

// Returns -EOVERFLOW with err filled when sums may be beyond 63 bits. pprof lets them wrap around
// and shows what comes of it, so of a report that must be like its own, 0 in any case.
int hone_report_check_sums(const struct hone_report *report, struct hone_error *err);

// The graph that the options ask for; sets shown_unit by it.
int hone_report_graph(struct hone_report *report, uint32_t rows, enum hone_graph_edges edges,
                      struct hone_graph **ret, struct hone_error *err);

// The parts of the total below which nodes and calls are left out.
double hone_report_node_fraction(const struct hone_report *report);
double hone_report_edge_fraction(const struct hone_report *report);

// Sets shown_unit, unless the options name one, by the smallest value that is to be printed; 0:
// none is there. whole: values are printed as whole numbers.
void hone_report_choose_unit(struct hone_report *report, uint64_t smallest, bool whole);

// Chooses the sample type, builds its call tree, writes the lines above the report and sets
// shown_unit by the largest node. Shares are of total, of which a filtered tree is a part.
struct hone_tree;
struct hone_tree_limit;
int hone_report_tree(struct hone_report *report, const struct hone_profile *profile,
                     const struct hone_text_options *options, const struct hone_tree_limit *limit,
                     struct hone_buffer *out, struct hone_tree **ret, struct hone_error *err);

// Of the values that the graph shows, the smallest size that is not 0; 0: none is.
uint64_t hone_report_smallest(const struct hone_graph *graph);

struct hone_measure_label hone_report_value(const struct hone_report *report, int64_t value);

// Whether some comment begins so.
bool hone_report_says(const struct hone_profile *profile, const char *beginning);
// What a recording of the heap says of itself where that is so.
#define HONE_REPORT_LOST "lost:"
#define HONE_REPORT_RATE_CHANGED "the rate was changed"

// File, build id, comments that do not begin with '#' (warnings), type, time, duration.
void hone_report_head(const struct hone_report *report);

// What it was filtered by, "Showing nodes accounting for …" and what was left out.
void hone_report_graph_head(const struct hone_report *report, const struct hone_graph *graph);

// Parts of that: the filters; how many nodes or edges are missing, if any, and by which measure.
void hone_report_filters(const struct hone_report *report);
void hone_report_dropped(const struct hone_report *report, uint32_t count, const char *what,
                         const char *measure, double fraction);

// Comments that begin with '#', which pprof keeps for those who ask: one per line, the title before
// the first.
void hone_report_facts(const struct hone_report *report, const char *title);

// Why there is nothing to see and what to do.
bool hone_report_is_empty(const struct hone_report *report);
void hone_report_empty(const struct hone_report *report);

// A line of words: on a terminal it continues on the next one, indented.
void hone_report_sentence(const struct hone_report *report, const char *text);

// The same from a column on; what continues is indented by so many.
void hone_report_words(const struct hone_report *report, const char *text, uint32_t column,
                       uint32_t indent);

// How wide a text is.
uint32_t hone_report_columns(struct hone_str text);

// Fills err: no function matches the pattern. Returns -ENOENT.
int hone_report_no_match(const struct hone_report *report, struct hone_error *err);

// "." for 0, as pprof has it where most values are.
struct hone_measure_label hone_report_value_or_dot(const struct hone_report *report, int64_t value);

// Appends text; on a terminal, cut in its middle so that the line ends in time: used columns are
// taken already, and reserved ones follow.
void hone_report_name(const struct hone_report *report, struct hone_str name, uint32_t used,
                      uint32_t reserved);

// The mapping that is likely the program itself; 0 when there is none.
uint32_t hone_report_main_mapping(const struct hone_profile *profile);

// The mapping that a report is called after: with strict the first, as in pprof, else the main one.
const struct hone_profile_mapping *hone_report_program(const struct hone_report *report);

struct hone_str hone_report_base_name(struct hone_str path);

// 0 or -ENOMEM when the buffer failed.
int hone_report_finish(const struct hone_report *report, struct hone_error *err);

#endif
