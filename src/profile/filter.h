// The part of a profile that somebody asked for: samples, frames and labels that match regular
// expressions are kept or taken out, with the meaning that `go tool pprof` gives to focus, ignore,
// hide, show, show_from, prune_from, tagfocus, tagignore, tagshow and taghide.
//
// Everything here changes a profile in place, at the cost of one pass over the frames for all
// expressions together. Numbers of strings, functions, mappings, locations, stacks and label sets
// keep their meaning; but locations, stacks and label sets that have become equal stay apart, so
// samples are never summed by it.
//
// An expression matches a place by the name or the file of one of its functions, or by the file of
// its mapping.
//
// Threads: one at a time for each profile and each expression.
#ifndef HONE_PROFILE_FILTER_H
#define HONE_PROFILE_FILTER_H

#include "base/error.h"
#include "base/pattern.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_profile;
struct hone_label_filter;

// Every part may be NULL: nothing is asked for.
struct hone_profile_filter {
    struct hone_pattern *focus;     // only samples with a place that matches …
    struct hone_pattern *ignore;    // … and none that matches this
    struct hone_pattern *hide;      // functions that match disappear from stacks
    struct hone_pattern *show;      // those that do not match disappear
    struct hone_pattern *show_from; // callers above the outermost match disappear
    struct hone_label_filter *label_focus;
    struct hone_label_filter *label_ignore;
    struct hone_pattern *label_show; // labels by key
    struct hone_pattern *label_hide;
    struct hone_pattern *prune_from; // callees below the innermost match disappear
};

// Which of them matched anything; true for those that were not asked for.
struct hone_profile_filter_found {
    bool focus;
    bool ignore;
    bool hide;
    bool show;
    bool show_from;
    bool label_focus;
    bool label_ignore;
    bool label_show;
    bool label_hide;
};

// Samples without a stack are left out in any case. Returns 0 or -ENOMEM, after which the profile
// is good for nothing.
int hone_profile_filter(struct hone_profile *profile, const struct hone_profile_filter *filter,
                        struct hone_profile_filter_found *ret, struct hone_error *err);

// Takes frames out that the profile itself calls uninteresting, by its drop_frames and keep_frames:
// an allocator's own functions, say. Expressions that are none leave the profile as it is. Returns
// 0 or -ENOMEM.
int hone_profile_drop_frames(struct hone_profile *profile, struct hone_error *err);

// Takes the kernel's frames from below the stacks of those who wait: of samples with the label
// "wait". A stack that somebody runs at, too, stays as it is. Returns 0 or -ENOMEM.
int hone_profile_drop_kernel(struct hone_profile *profile, struct hone_error *err);

// Gives what inlined functions took to the function that they were inlined into.
void hone_profile_drop_inlined(struct hone_profile *profile);

// Gives every location other lines: those of location i are lines[first[i] … first[i + 1]), counted
// from 0. Both arrays become the profile's.
struct hone_profile_line;
void hone_profile_replace_lines(struct hone_profile *profile, uint32_t *first,
                                struct hone_profile_line *lines);

// Takes labels out that say nothing: no text, no number other than 0 and no unit.
void hone_profile_drop_blank_labels(struct hone_profile *profile);

// --- labels --------------------------------------------------------------------------------------

// What samples must have for a label, as text:
//
//     expr[,expr]…       every expression matches some label written "key:value"
//     key=expr[,expr]…   one of them matches a value of this label
//     [key=]32kb         a number; also :64kb, 4mb: and 12kb:64mb, bounds included
//
// Returns 0; -EINVAL with the reason in err; -ENOMEM.
int hone_label_filter_new(const char *text, struct hone_label_filter **ret, struct hone_error *err);
void hone_label_filter_free(struct hone_label_filter *filter);
void hone_label_filter_freep(struct hone_label_filter **filter); // for HONE_CLEANUP

// Whether it was understood as a range of numbers; then what was, without the key.
const char *hone_label_filter_range(const struct hone_label_filter *filter);

// The units of numeric labels: by string (the key), NULL for keys without numbers. A key's unit is
// the first one that any of its numbers has; for a key that never has one, its name says it: sizes
// are bytes, others are the key itself. The caller frees the array, the texts are the profile's.
// NULL when memory is out.
const char **hone_profile_label_units(const struct hone_profile *profile);

// Makes labels frames: of each key in keys[0 … count) a function with the label's values for a name
// and the key for a file, at the root of the stack or at its leaf; the first key is outermost.
// Numbers are written in this unit ("minimum": one that suits). *ret_found tells whether any sample
// has such a label. Returns 0 or -ENOMEM.
int hone_profile_label_frames(struct hone_profile *profile, const struct hone_str *root_keys,
                              size_t root_count, const struct hone_str *leaf_keys,
                              size_t leaf_count, const char *unit, bool *ret_root_found,
                              bool *ret_leaf_found, struct hone_error *err);

#endif
