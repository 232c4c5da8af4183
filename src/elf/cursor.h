// A reader over bytes of unknown health: it never passes its end. Past the end, or in a number that
// does not stop, it gives zero and remembers that it failed, so one check at the end is enough.
//
//     struct hone_cursor at = hone_cursor(bytes, len);
//     uint32_t a = hone_read_u32(&at), b = hone_read_u32(&at);
//     if (at.failed) return -EBADMSG;
#ifndef HONE_ELF_CURSOR_H
#define HONE_ELF_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hone_cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

static inline struct hone_cursor hone_cursor(const void *bytes, size_t len)
{
    const unsigned char *at = bytes ? bytes : (const unsigned char *)"";
    return (struct hone_cursor){at, at + (bytes ? len : 0), false};
}

// A cursor from offset to the end; failed when offset lies beyond.
static inline struct hone_cursor hone_cursor_from(const void *bytes, size_t len, uint64_t offset)
{
    struct hone_cursor at = hone_cursor(bytes, len);
    if (offset > (uint64_t)(at.end - at.at)) {
        at.at = at.end;
        at.failed = true;
    } else {
        at.at += offset;
    }
    return at;
}

static inline size_t hone_cursor_left(const struct hone_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline void hone_cursor_fail(struct hone_cursor *cursor)
{
    cursor->failed = true;
    cursor->at = cursor->end;
}

// len bytes, or NULL.
static inline const unsigned char *hone_read_bytes(struct hone_cursor *cursor, uint64_t len)
{
    if (len > hone_cursor_left(cursor)) {
        hone_cursor_fail(cursor);
        return NULL;
    }
    const unsigned char *at = cursor->at;
    cursor->at += len;
    return at;
}

#define HONE_READ_FIXED(name, type)                                                                \
    static inline type name(struct hone_cursor *cursor)                                            \
    {                                                                                              \
        type value = 0;                                                                            \
        const unsigned char *at = hone_read_bytes(cursor, sizeof value);                           \
        if (at)                                                                                    \
            memcpy(&value, at, sizeof value);                                                      \
        return value;                                                                              \
    }
HONE_READ_FIXED(hone_read_u8, uint8_t)
HONE_READ_FIXED(hone_read_u16, uint16_t)
HONE_READ_FIXED(hone_read_u32, uint32_t)
HONE_READ_FIXED(hone_read_u64, uint64_t)
#undef HONE_READ_FIXED

static inline uint32_t hone_read_u24(struct hone_cursor *cursor)
{
    const unsigned char *at = hone_read_bytes(cursor, 3);
    return at ? (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 : 0;
}

// size 1, 2, 4 or 8: an address or an offset whose width the data names.
static inline uint64_t hone_read_sized(struct hone_cursor *cursor, unsigned size)
{
    switch (size) {
    case 1:
        return hone_read_u8(cursor);
    case 2:
        return hone_read_u16(cursor);
    case 4:
        return hone_read_u32(cursor);
    case 8:
        return hone_read_u64(cursor);
    default:
        hone_cursor_fail(cursor);
        return 0;
    }
}

static inline uint64_t hone_read_uleb(struct hone_cursor *cursor)
{
    if (__builtin_expect(cursor->at < cursor->end && *cursor->at < 0x80, 1))
        return *cursor->at++;
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    hone_cursor_fail(cursor);
    return 0;
}

static inline int64_t hone_read_sleb(struct hone_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at < cursor->end;) {
        uint8_t byte = *cursor->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (byte < 0x80) {
            if (shift < 64 && (byte & 0x40))
                value |= ~(uint64_t)0 << shift;
            return (int64_t)value;
        }
    }
    hone_cursor_fail(cursor);
    return 0;
}

// Text up to its NUL, which lies inside; NULL when there is none.
static inline const char *hone_read_text(struct hone_cursor *cursor)
{
    const unsigned char *nul = memchr(cursor->at, 0, hone_cursor_left(cursor));
    if (!nul) {
        hone_cursor_fail(cursor);
        return NULL;
    }
    const char *text = (const char *)cursor->at;
    cursor->at = nul + 1;
    return text;
}

#endif
