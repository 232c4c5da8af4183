// Stacks that print alike as one line each, "root;caller;leaf value", in the order of their names.
// Whoever knows what frames are called hands the names in: writers and views differ in that.
#ifndef HONE_CONVERT_COLLAPSE_H
#define HONE_CONVERT_COLLAPSE_H

#include "base/buffer.h"
#include "base/str.h"

#include <stdint.h>

struct hone_profile;

// The names of a location, outermost function first, are those of at[first[location] …
// first[location + 1]).
struct hone_collapse_names {
    uint32_t count;
    const struct hone_str *names;
    const uint32_t *first;
    const uint32_t *at;
};

// values has one entry per sample; stacks whose sum is 0 are left out. A ';' within a name is
// printed as ':', a line end as a blank. Returns 0 or -ENOMEM.
int hone_collapse(const struct hone_profile *profile, const int64_t *values,
                  const struct hone_collapse_names *names, struct hone_buffer *out);

#endif
