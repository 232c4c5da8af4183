// A flame graph as one SVG file that needs nothing else: no network, no fonts, no scripts of
// others.
//
// In a browser it can be zoomed, searched by regular expression, read by keyboard and linked to
// (the address keeps zoom and search); where scripts do not run (a README, an office document,
// paper) the same file shows the widest frames with tooltips. It follows the reader's choice of
// light or dark. Colours tell modules and kinds of code apart, and its legend says how much time
// each takes of its own.
//
// It promises: well-formed XML for names of any bytes; a bounded size (some 3 MB) for profiles of
// any size, by keeping the largest frames and merging the rest into counted "smaller frames";
// widths that add up; the same bytes for the same profile.
//
// Threads: safe for a profile that nobody changes.
#ifndef HONE_VIEW_FLAME_H
#define HONE_VIEW_FLAME_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_compare;
struct hone_compare_input;
struct hone_pattern;
struct hone_profile;

// When two frames above the same caller are drawn as one.
enum hone_flame_group {
    HONE_FLAME_FUNCTIONS, // the same function of the same module
    HONE_FLAME_LINES,     // … and the same line
    HONE_FLAME_MODULES,   // the same module; runs of frames within a module become one
};

// Zero means default.
struct hone_flame_options {
    size_t size;                 // sizeof(struct hone_flame_options)
    const char *type;            // sample type by name or place (the profile's default)
    enum hone_flame_group group; // (functions)
    const char *title;           // (the program's name and the type)
    bool inverted;               // root at the bottom, flames grow up (root at the top)
    bool reversed;               // merge stacks from the leaf: who calls what is hot
    double min_fraction; // drop frames below this part of the total (0: none but by max_frames)
    uint32_t max_frames; // keep at most so many frames (150000)
    uint32_t width;      // px of the picture shown without scripts (1200)
    struct hone_pattern *sandwich; // the functions that match as one, between all who call them
                                   // (above) and all that they call (below); NULL: from the root
    int64_t whole;              // what the profile held before it was filtered: shares are of that
    const char *const *filters; // what it was filtered by, "focus=main"; ends with NULL. NULL: none
    bool difference;            // of two profiles: what became more is drawn
};

// Appends the SVG file. options may be NULL. A profile without samples gives a picture that says so
// with the reasons that the profile carries.
//
// Returns  0; -EINVAL with the choices in err for an unknown type; -EOVERFLOW when values do not
//          add up within 63 bits; -ENOENT when no function matches the sandwich; -ENOMEM.
int hone_view_flame(const struct hone_profile *profile, const struct hone_flame_options *options,
                    struct hone_buffer *out, struct hone_error *err);

// The same of a comparison and the two sides that it was made of: frames as wide as on the new
// side, red where they take more than in the base, blue where less, grey where chance may be all
// there is to it; what is surely gone stands beside, as wide as it was. The type is the
// comparison's, and there is no sandwich. Also returns what hone_tree_diff_new() does.
int hone_view_flame_diff(const struct hone_compare *compare, const struct hone_compare_input *sides,
                         const struct hone_flame_options *options, struct hone_buffer *out,
                         struct hone_error *err);

#endif
