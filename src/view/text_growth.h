// What views of leaks and of threads say alike of growth.
#ifndef HONE_VIEW_TEXT_GROWTH_H
#define HONE_VIEW_TEXT_GROWTH_H

#include "base/buffer.h"

#include <stdint.h>

struct hone_growth;

// That there was too little to tell from; a sentence, broken at `width` columns (0: not).
void hone_text_put_too_short(struct hone_buffer *out, uint32_t width,
                             const struct hone_growth *growth);

#endif
