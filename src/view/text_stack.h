// A stack below a row of text: one line for each function, innermost first, with its file and line.
#ifndef HONE_VIEW_TEXT_STACK_H
#define HONE_VIEW_TEXT_STACK_H

#include "base/buffer.h"
#include "profile/profile.h"

struct hone_text_stack {
    uint32_t frames; // functions shown, at most
    uint32_t width;  // columns; longer lines are cut. 0: never
};

void hone_text_put_stack(struct hone_buffer *out, const struct hone_profile *profile,
                         uint32_t stack, const struct hone_text_stack *how);

#endif
