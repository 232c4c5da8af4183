// What the filters share. Private to this room.
#ifndef HONE_PROFILE_FILTER_PARTS_H
#define HONE_PROFILE_FILTER_PARTS_H

#include "profile/filter.h"
#include "profile/index.h"

// An expression and what it says about each function and mapping, found out once for each.
struct hone_filter_matcher {
    const struct hone_profile *profile;
    struct hone_pattern *pattern; // NULL: nothing is asked for
    bool simplified;              // only names count, without their parameters
    uint8_t *functions;           // 0 not asked yet, else 1 + whether it matches
    uint8_t *mappings;
};

// Returns 0 or -ENOMEM. Done is needed in either case.
int hone_filter_matcher_init(struct hone_filter_matcher *matcher,
                             const struct hone_profile *profile, struct hone_pattern *pattern);
void hone_filter_matcher_done(struct hone_filter_matcher *matcher);

bool hone_filter_matches_function(struct hone_filter_matcher *matcher, uint32_t function);
bool hone_filter_matches_mapping(struct hone_filter_matcher *matcher, uint32_t mapping);

// A function's name without what a demangler adds to it: from the first '(' on that does not belong
// to the name itself.
struct hone_str hone_filter_simplify(struct hone_str name);

// Cuts every stack: edit returns which of its frames stay, which it may have moved up in place, and
// clears *keep when samples of this stack go away. keep_stacks has an entry per stack, all true at
// first.
typedef struct hone_profile_span (*hone_filter_edit)(void *context, uint32_t *frames,
                                                     uint32_t count, bool *keep);
void hone_filter_stacks(struct hone_profile *profile, hone_filter_edit edit, void *context,
                        bool *keep_stacks);

// Takes samples out; both arrays may be NULL. Stacks that are empty go away, too.
void hone_filter_samples(struct hone_profile *profile, const bool *keep_stacks,
                         const bool *keep_label_sets);

bool hone_label_filter_matches(struct hone_label_filter *filter, const struct hone_profile *profile,
                               const char *const *units, uint32_t label_set);
// Memory was out while matching.
bool hone_label_filter_failed(const struct hone_label_filter *filter);

#endif
