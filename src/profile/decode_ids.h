// Runs of location ids into frames: most of a profile's bytes are here, 16 million frames in 400
// 000 stacks. Private to this room.
//
// Ids take one to four bytes, at random, so a branch on the length is mispredicted every other time
// (9 ns per id). Here two ids are cut out of 8 bytes without a branch: 2 ns.
#ifndef HONE_PROFILE_DECODE_IDS_H
#define HONE_PROFILE_DECODE_IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HONE_IDS_ENDS 0x8080808080808080u // the bit that a number's last byte does not have

// A number of up to four bytes, which are the lowest ones.
static inline uint32_t hone_ids_join(uint64_t bytes)
{
    return (uint32_t)((bytes & 0x7f) | (bytes >> 1 & 0x3f80) | (bytes >> 2 & 0x1fc000) |
                      (bytes >> 3 & 0xfe00000));
}

// Reads ids as long as 8 bytes are left that hold two of four bytes or less; the caller reads what
// is left. *max becomes the largest id read minus one, as unsigned: an id 0 makes it UINT32_MAX.
static inline const unsigned char *
hone_ids_read_pairs(const unsigned char *at, const unsigned char *end, uint32_t **to, uint32_t *max)
{
    uint32_t *frame = *to;
    uint32_t largest = *max;
    while (end - at >= 8) {
        uint64_t bytes;
        memcpy(&bytes, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        bytes = __builtin_bswap64(bytes);
#endif
        uint64_t ends = ~bytes & HONE_IDS_ENDS;
        uint64_t after = ends & (ends - 1);
        if (!after)
            break;
        unsigned first = (unsigned)__builtin_ctzll(ends) + 1; // bits
        unsigned both = (unsigned)__builtin_ctzll(after) + 1;
        if (first > 32 || both - first > 32)
            break;
        uint32_t a = hone_ids_join(bytes & (((uint64_t)1 << first) - 1));
        uint32_t b = hone_ids_join(bytes >> first & (((uint64_t)1 << (both - first)) - 1));
        largest = a - 1 > largest ? a - 1 : largest;
        largest = b - 1 > largest ? b - 1 : largest;
        frame[0] = a;
        frame[1] = b;
        frame += 2;
        at += both / 8;
    }
    *to = frame;
    *max = largest;
    return at;
}

#endif
