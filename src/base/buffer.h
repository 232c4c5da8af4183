// A growing run of bytes: for output built in memory and encoders.
//
//     struct hone_buffer out = {0};
//     hone_buffer_format(&out, "%s\n", name);
//     if (out.failed) return -ENOMEM;
//     hone_buffer_done(&out);
//
// A failed allocation sets failed and later calls do nothing, so one check at the end is enough.
// Threads: one at a time.
#ifndef HONE_BASE_BUFFER_H
#define HONE_BASE_BUFFER_H

#include "hone/base.h" // struct hone_buffer and hone_buffer_done()

#include <stdbool.h>
#include <stddef.h>

// Room for len more bytes, already counted in out->len; NULL when memory is out.
void *hone_buffer_grow(struct hone_buffer *out, size_t len);
void hone_buffer_add(struct hone_buffer *out, const void *bytes, size_t len);
void hone_buffer_text(struct hone_buffer *out, const char *text);
__attribute__((format(printf, 2, 3))) void hone_buffer_format(struct hone_buffer *out,
                                                              const char *format, ...);

#endif
