// Leaks and growth as text for people, worst first, and as JSON.
#ifndef HONE_VIEW_LEAKS_H
#define HONE_VIEW_LEAKS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdint.h>

struct hone_growths;
struct hone_leaks;
struct hone_profile;

// What is shown: either half may be NULL, it is not known then.
struct hone_leaks_shown {
    const struct hone_profile *profile; // of leaks
    const struct hone_leaks *leaks;
    const struct hone_profile *growth_profile; // of changes over time
    const struct hone_growths *growths;
};

// Zero means default.
struct hone_leaks_options {
    uint32_t rows;   // stacks shown of each half, at most (10)
    uint32_t frames; // functions shown of a stack, at most (8)
    uint32_t width;  // columns; longer lines are cut. 0: never
};

// Each returns 0 or -ENOMEM.
int hone_text_leaks(const struct hone_leaks_shown *shown, const struct hone_leaks_options *options,
                    struct hone_buffer *out, struct hone_error *err);
int hone_json_leaks(const struct hone_leaks_shown *shown, const struct hone_leaks_options *options,
                    struct hone_buffer *out, struct hone_error *err);

#endif
