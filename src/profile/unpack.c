#include "profile/unpack.h"

#include "base/cleanup.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    MEMBER_MIN = 18,          // header and trailer of the shortest gzip member
    DEFLATE_RATIO_MAX = 1032, // deflate cannot say more than 258 bytes in 2 bits
};

bool hone_unpack_is_gzip(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    return len >= 2 && at[0] == 0x1f && at[1] == 0x8b;
}

static void free_decompressor(struct libdeflate_decompressor **decompressor)
{
    if (*decompressor)
        libdeflate_free_decompressor(*decompressor);
}

// The last four bytes tell the plain size of the last member, mod 2^32. A file may lie, so this is
// no more than a first guess, and never more than the packed bytes could say.
static size_t guess_size(const unsigned char *bytes, size_t len, size_t limit)
{
    size_t guess = len >= MEMBER_MIN
                       ? (size_t)bytes[len - 4] | (size_t)bytes[len - 3] << 8 |
                             (size_t)bytes[len - 2] << 16 | (size_t)bytes[len - 1] << 24
                       : 0;
    if (guess / DEFLATE_RATIO_MAX > len)
        guess = len * 4;
    if (guess > limit)
        guess = limit;
    return guess ? guess : 1;
}

struct output {
    unsigned char *at;
    size_t len;
    size_t capacity;
};

static int grow(struct output *out, size_t limit, const char *name, struct hone_error *err)
{
    if (out->capacity >= limit) {
        int r = hone_error_set(err, -EFBIG, "'%s' unpacks to more than %zu bytes", name, limit);
        return r;
    }
    size_t capacity = out->capacity > limit / 2 ? limit : out->capacity * 2;
    unsigned char *at = realloc(out->at, capacity);
    if (!at)
        return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
    out->at = at;
    out->capacity = capacity;
    return 0;
}

int hone_unpack_gzip(const void *bytes, size_t len, const char *name, size_t limit,
                     unsigned char **ret, size_t *ret_len, struct hone_error *err)
{
    HONE_CLEANUP(free_decompressor)
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    struct output out = {.capacity = guess_size(bytes, len, limit)};
    HONE_CLEANUP(hone_freep) unsigned char *first = malloc(out.capacity);
    if (!decompressor || !first)
        return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
    out.at = hone_take(first);

    const unsigned char *at = bytes;
    int r = 0;
    while (len) {
        size_t used = 0;
        size_t made = 0;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(
            decompressor, at, len, out.at + out.len, out.capacity - out.len, &used, &made);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            r = grow(&out, limit, name, err);
            if (r)
                break;
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS) {
            r = hone_error_set(err, -EBADMSG,
                               "cannot read '%s': broken gzip data (is the file cut short?)", name);
            break;
        }
        at += used;
        len -= used;
        out.len += made;
    }
    if (r) {
        free(out.at);
        return r;
    }
    *ret = out.at;
    *ret_len = out.len;
    return 0;
}
