#include "convert/unpack.h"

#include "base/cleanup.h"
#include "profile/unpack.h"

#include <errno.h>
#include <libdeflate.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    PACK_LEVEL = 6, // as `gzip` does
    GZIP_WINDOW = 15 + 16,
};

static bool is_zstd(const void *bytes, size_t len)
{
    return len >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0;
}

bool hone_convert_is_packed(const void *bytes, size_t len)
{
    return hone_unpack_is_gzip(bytes, len) || is_zstd(bytes, len);
}

static void free_stream(ZSTD_DStream **stream)
{
    (void)ZSTD_freeDStream(*stream);
}

static int unpack_zstd(const void *bytes, size_t len, const char *name, size_t limit, char **ret,
                       size_t *ret_len, struct hone_error *err)
{
    HONE_CLEANUP(free_stream) ZSTD_DStream *stream = ZSTD_createDStream();
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    if (!stream)
        return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
    const size_t step = ZSTD_DStreamOutSize();
    ZSTD_inBuffer in = {bytes, len, 0};
    size_t left = 1; // 0 when a frame is complete
    while (in.pos < in.size || left) {
        size_t before = in.pos;
        char *at = hone_buffer_grow(&out, step);
        if (!at)
            return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
        ZSTD_outBuffer to = {at, step, 0};
        left = ZSTD_decompressStream(stream, &to, &in);
        out.len -= step - to.pos;
        if (ZSTD_isError(left) || (left && in.pos == before && !to.pos))
            return hone_error_set(
                err, -EBADMSG, "cannot read '%s': broken zstd data (is the file cut short?)", name);
        if (out.len > limit)
            return hone_error_set(err, -EFBIG, "'%s' unpacks to more than %zu bytes", name, limit);
    }
    hone_buffer_add(&out, "", 1);
    if (out.failed)
        return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
    *ret_len = out.len - 1;
    *ret = hone_take(out.at);
    return 0;
}

int hone_convert_unpack(const void *bytes, size_t len, const char *name, size_t limit, char **ret,
                        size_t *ret_len, struct hone_error *err)
{
    if (is_zstd(bytes, len))
        return unpack_zstd(bytes, len, name, limit, ret, ret_len, err);
    unsigned char *plain;
    int r = hone_unpack_gzip(bytes, len, name, limit, &plain, ret_len, err);
    if (!r)
        *ret = (char *)plain;
    return r;
}

// libdeflate unpacks all or nothing, so zlib.
static size_t gzip_beginning(const void *bytes, size_t len, void *to, size_t room)
{
    z_stream stream = {.next_in = (Bytef *)bytes, // zlib does not write there
                       .avail_in = len < UINT32_MAX ? (uInt)len : UINT32_MAX,
                       .next_out = to,
                       .avail_out = (uInt)room};
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return 0;
    (void)inflate(&stream, Z_SYNC_FLUSH);
    (void)inflateEnd(&stream);
    return room - stream.avail_out;
}

static size_t zstd_beginning(const void *bytes, size_t len, void *to, size_t room)
{
    HONE_CLEANUP(free_stream) ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {bytes, len, 0};
    ZSTD_outBuffer out = {to, room, 0};
    while (stream && in.pos < in.size && out.pos < out.size) {
        size_t before = in.pos + out.pos;
        if (ZSTD_isError(ZSTD_decompressStream(stream, &out, &in)) || in.pos + out.pos == before)
            break;
    }
    return out.pos;
}

size_t hone_convert_unpack_beginning(const void *bytes, size_t len, void *to, size_t room)
{
    return is_zstd(bytes, len) ? zstd_beginning(bytes, len, to, room)
                               : gzip_beginning(bytes, len, to, room);
}

int hone_convert_pack(struct hone_buffer *bytes)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(PACK_LEVEL);
    struct hone_buffer packed = {0};
    char *at = compressor ? hone_buffer_grow(&packed,
                                             libdeflate_gzip_compress_bound(compressor, bytes->len))
                          : NULL;
    if (at)
        packed.len = libdeflate_gzip_compress(compressor, bytes->at, bytes->len, at, packed.len);
    if (compressor)
        libdeflate_free_compressor(compressor);
    if (!at || !packed.len) {
        hone_buffer_done(&packed);
        return -ENOMEM;
    }
    hone_buffer_done(bytes);
    *bytes = packed;
    return 0;
}
