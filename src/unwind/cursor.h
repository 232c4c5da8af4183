// Reading bytes that may be anything: a cursor that never leaves its block. Past the end it reads
// zeros and says so in `broken`, so a decoder checks once, at its end.
#ifndef HONE_UNWIND_CURSOR_H
#define HONE_UNWIND_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

struct hone_cursor {
    const uint8_t *at, *end;
    bool broken;
};

static inline uint64_t hone_cursor_left(const struct hone_cursor *cursor)
{
    return (uint64_t)(cursor->end - cursor->at);
}

static inline void hone_cursor_skip(struct hone_cursor *cursor, uint64_t size)
{
    if (size > hone_cursor_left(cursor)) {
        cursor->broken = true;
        size = hone_cursor_left(cursor);
    }
    cursor->at += size;
}

// Little-endian, as all machines we know.
static inline uint64_t hone_cursor_fixed(struct hone_cursor *cursor, unsigned size)
{
    if (size > hone_cursor_left(cursor)) {
        cursor->broken = true;
        cursor->at = cursor->end;
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)cursor->at[i] << (8 * i);
    cursor->at += size;
    return value;
}

static inline uint8_t hone_cursor_u8(struct hone_cursor *cursor)
{
    return (uint8_t)hone_cursor_fixed(cursor, 1);
}

static inline uint64_t hone_cursor_uleb(struct hone_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = hone_cursor_u8(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

static inline int64_t hone_cursor_sleb(struct hone_cursor *cursor)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = hone_cursor_u8(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (shift < 64 && (byte & 0x40))
        value |= ~0ull << shift;
    return (int64_t)value;
}

#endif
