// Views of a profile as text: for terminals, pipes and eyes that know `go tool pprof`, whose
// numbers, words and columns top, tree, traces, peek and list keep.
//
// Each view appends to a buffer and knows no state beyond its arguments; the caller writes the
// bytes where they belong. A profile without samples gives the reasons that it carries in its
// comments and the next step instead of an empty table.
//
// Threads: safe for a profile that nobody changes.
#ifndef HONE_VIEW_TEXT_H
#define HONE_VIEW_TEXT_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_pattern;
struct hone_profile;

// What counts as one row.
enum hone_text_group {
    HONE_TEXT_FUNCTIONS, // each function, inlined ones too
    HONE_TEXT_LINES,     // each source line of a function
    HONE_TEXT_FILES,     // each source file
    HONE_TEXT_ADDRESSES, // each address
    HONE_TEXT_ROUTINES,  // each function in its source file
    HONE_TEXT_MODULES,   // each module (call tree and hot path only)
};

// Takes text as it is made: whole lines, in order, one call at a time but on any thread. put()
// returns 0; a negative errno with err filled, which the view returns; anything positive where it
// wants no more, which is no error.
struct hone_text_sink {
    int (*put)(void *context, struct hone_str text, struct hone_error *err);
    void *context;
};

// Zero means default.
struct hone_text_options {
    const char *type;             // sample type by name or place (the profile's default)
    enum hone_text_group group;   // (functions)
    bool by_cum;                  // order by cum instead of flat
    uint32_t rows;                // at most so many (all that matter)
    double node_fraction;         // leave out rows below this part of the total (0.005)
    double edge_fraction;         // tree: the same for calls (0.001)
    bool all;                     // leave out nothing: both fractions are 0
    struct hone_pattern *pattern; // peek, list, disasm: the functions wanted (all)
    const char *source_path;      // list: directories with sources, ':' between (the current one)
    const char *trim_path;        // list: what is cut from the front of recorded paths, ':' between
    bool call_tree;               // pictures: a node for each way from the root
    bool intel;                   // disasm: Intel's syntax (AT&T's)
    bool reversed;                // call tree, hot path: from the leaf to its callers
    uint32_t width;               // columns of the terminal; names are cut to fit. 0: never cut
    const char *unit;             // in which values are printed ("minimum": one that suits all)
    double divide_by;             // values are printed divided by it (1)
    bool mean;                    // values per unit of the first sample type
    bool drop_negative;           // leave out rows of negative value
    bool compact;                 // top, tree, peek: without the lines that tell of the profile
    bool total_known;             // total is what percentages refer to (the profile's own) …
    int64_t total;                // … since the profile was filtered
    const char *const *filters; // what it was filtered by, "focus=main"; ends with NULL. NULL: none
    const struct hone_text_sink *sink; // traces: gets all but the last text, which is in out (none)
    // To the letter as go tool pprof: fractions and rows as they are given, 0 included, no reasons
    // for empty reports, and rows told apart by everything that it looks at.
    bool strict;
};

typedef int (*hone_text_view)(const struct hone_profile *profile,
                              const struct hone_text_options *options, struct hone_buffer *out,
                              struct hone_error *err);

// Each returns 0; -EINVAL with the choices in err for an unknown type; -ENOMEM.
// options may be NULL.

// The lines that stand above every report: what program, which type, when and for how long.
int hone_text_head(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// The rows with the largest values: flat, flat%, sum%, cum, cum%, name.
int hone_text_top(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);

// Each row between its callers and its callees.
int hone_text_tree(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// Callers and callees of the functions that match, none left out.
// Also returns -ENOENT when no function matches.
int hone_text_peek(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// The source of the functions that match, with flat and cum of each line; what could not be found
// is said in a line in its place. Also returns -ENOENT when no function matches.
int hone_text_list(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// The machine code of the functions that match, with flat and cum of each instruction and the
// source lines that it comes from, read from the file that ran: one with another build id is not
// shown. Also returns -ENOENT when no function matches or none of them has code in a file.
int hone_text_disasm(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err);

// The call tree, indented where it divides, with total, share and self of each node.
int hone_text_calls(const struct hone_profile *profile, const struct hone_text_options *options,
                    struct hone_buffer *out, struct hone_error *err);

// From the root on the call that takes most, until it scatters, and where it divides.
int hone_text_hot_path(const struct hone_profile *profile, const struct hone_text_options *options,
                       struct hone_buffer *out, struct hone_error *err);

// Each stack with its labels and its value.
int hone_text_traces(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err);

// The labels of all samples: of each key its values and what samples with them add up to.
int hone_text_tags(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

// All that the profile holds: samples, locations and mappings by their numbers. Options count for
// nothing.
int hone_text_raw(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err);

// The rows of top as the bytes of a profile with the types cum and flat.
int hone_view_top_profile(const struct hone_profile *profile,
                          const struct hone_text_options *options, struct hone_buffer *out,
                          struct hone_error *err);

// One line per stack, "root;…;leaf value": input of flame graph scripts. A ';' within a name
// becomes ':', line ends become spaces. Ordered by text, so that two runs can be compared.
int hone_text_collapsed(const struct hone_profile *profile, const struct hone_text_options *options,
                        struct hone_buffer *out, struct hone_error *err);

// What the profile is: types and totals, when and how it was taken, what was lost, which modules
// have names, how many samples, stacks, functions and labels.
int hone_text_info(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err);

#endif
