// Writing JSON: texts with what must be escaped, and numbers. Private to this room.
#ifndef HONE_CONVERT_JSON_WRITE_H
#define HONE_CONVERT_JSON_WRITE_H

#include "base/buffer.h"
#include "base/str.h"

#include <stdint.h>

// A string with its quotes. Bytes that are not UTF-8 become U+FFFD, so that every reader takes it.
void hone_json_put_text(struct hone_buffer *out, struct hone_str text);

void hone_json_put_integer(struct hone_buffer *out, int64_t value);
void hone_json_put_count(struct hone_buffer *out, uint64_t value);

// value / 1000 with three digits after the point unless they are 0: nanoseconds as microseconds.
void hone_json_put_thousandths(struct hone_buffer *out, int64_t value);

// What parts the members of an array or an object: nothing before the first, a comma before others.
static inline void hone_json_put_comma(struct hone_buffer *out, uint64_t index)
{
    if (index)
        hone_buffer_add(out, ",", 1);
}

#endif
