// Writing protobuf messages into a buffer. Numbers that are 0 are left out, as proto3 has it.
#ifndef HONE_CONVERT_OTLP_PUT_H
#define HONE_CONVERT_OTLP_PUT_H

#include "base/buffer.h"
#include "base/str.h"
#include "profile/wire.h"

static inline void hone_put_varint(struct hone_buffer *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (unsigned char)(value | 0x80);
    bytes[len++] = (unsigned char)value;
    hone_buffer_add(out, bytes, len);
}

// Even a 0, where being there means something.
static inline void hone_put_explicit(struct hone_buffer *out, unsigned field, uint64_t value)
{
    hone_put_varint(out, field << 3 | HONE_WIRE_VARINT);
    hone_put_varint(out, value);
}

static inline void hone_put_number(struct hone_buffer *out, unsigned field, uint64_t value)
{
    if (value)
        hone_put_explicit(out, field, value);
}

static inline void hone_put_fixed64(struct hone_buffer *out, unsigned field, uint64_t value)
{
    if (!value)
        return;
    hone_put_varint(out, field << 3 | HONE_WIRE_64);
    hone_buffer_add(out, &value, sizeof value); // little-endian, as all machines that we run on
}

static inline void hone_put_bytes(struct hone_buffer *out, unsigned field, const void *bytes,
                                  size_t len)
{
    hone_put_varint(out, field << 3 | HONE_WIRE_BYTES);
    hone_put_varint(out, len);
    if (len)
        hone_buffer_add(out, bytes, len);
}

static inline void hone_put_message(struct hone_buffer *out, unsigned field,
                                    const struct hone_buffer *message)
{
    hone_put_bytes(out, field, message->at, message->len);
    out->failed |= message->failed;
}

static inline void hone_put_text(struct hone_buffer *out, unsigned field, struct hone_str text)
{
    hone_put_bytes(out, field, text.at, text.len);
}

#endif
