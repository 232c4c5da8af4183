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
    STEP = 64 << 10,
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

// --- the whole -----------------------------------------------------------------------------------

// Plain bytes while they come. Room grows by half of what is there, and ends at one byte more than
// may be: that one tells that there is more.
struct plain {
    char *at;
    size_t len;
    size_t room;
    size_t limit;
};

static void plain_done(struct plain *plain)
{
    free(plain->at);
}

static int make_room(struct plain *plain, const char *name, struct hone_error *err)
{
    if (plain->len > plain->limit) {
        (void)hone_error_set(err, -EFBIG, "'%s' unpacks to more than %zu bytes", name,
                             plain->limit);
        hone_error_hint(err, "if that is meant so, unpack it and give the plain file");
        return -EFBIG;
    }
    if (plain->len < plain->room)
        return 0;
    size_t most = plain->limit + 1;
    size_t room = plain->room + plain->room / 2 + STEP;
    room = room < most ? room : most;
    char *at = realloc(plain->at, room + 1); // for the NUL
    if (!at) {
        (void)hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
        return -ENOMEM;
    }
    plain->at = at;
    plain->room = room;
    return 0;
}

static int broken(const char *kind, const char *name, struct hone_error *err)
{
    return hone_error_set(err, -EBADMSG,
                          "cannot read '%s': broken %s data (is the file cut short?)", name, kind);
}

static int unpack_zstd(const void *bytes, size_t len, const char *name, struct plain *plain,
                       struct hone_error *err)
{
    HONE_CLEANUP(free_stream) ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        return hone_error_set(err, -ENOMEM, "cannot unpack '%s'", name);
    ZSTD_inBuffer in = {bytes, len, 0};
    size_t left = 1; // 0 when a frame is complete
    while (in.pos < in.size || left) {
        int r = make_room(plain, name, err);
        if (r)
            return r;
        size_t before = in.pos;
        ZSTD_outBuffer to = {plain->at + plain->len, plain->room - plain->len, 0};
        left = ZSTD_decompressStream(stream, &to, &in);
        plain->len += to.pos;
        if (ZSTD_isError(left) || (left && in.pos == before && !to.pos))
            return broken("zstd", name, err);
    }
    return 0;
}

static int unpack_gzip(const void *bytes, size_t len, const char *name, struct plain *plain,
                       struct hone_error *err)
{
    HONE_CLEANUP(hone_unpack_freep) struct hone_unpack *input = NULL;
    int r = hone_unpack_bytes(bytes, len, name, SIZE_MAX, &input, err);
    for (size_t room = 0, made = 0; !r && made == room; plain->len += made) {
        r = make_room(plain, name, err);
        if (r)
            return r;
        room = plain->room - plain->len;
        r = hone_unpack_next(input, plain->at + plain->len, room, &made, err);
        if (r)
            return r;
    }
    return r;
}

int hone_convert_unpack(const void *bytes, size_t len, const char *name, size_t limit, char **ret,
                        size_t *ret_len, struct hone_error *err)
{
    size_t likely = len < SIZE_MAX / HONE_UNPACK_TIMES ? len * HONE_UNPACK_TIMES : SIZE_MAX;
    if (likely < HONE_UNPACK_ALWAYS)
        likely = HONE_UNPACK_ALWAYS;
    HONE_CLEANUP(plain_done) struct plain plain = {.limit = likely < limit ? likely : limit};
    int r = is_zstd(bytes, len) ? unpack_zstd(bytes, len, name, &plain, err)
                                : unpack_gzip(bytes, len, name, &plain, err);
    if (!r)
        r = make_room(&plain, name, err); // there is some, and not too much was made
    if (r)
        return r;
    plain.at[plain.len] = '\0';
    *ret_len = plain.len;
    *ret = hone_take(plain.at);
    return 0;
}

// --- the beginning -------------------------------------------------------------------------------

// ISA-L gives nothing of a step that the end of the input cuts short, so zlib. A file may have
// several members.
static size_t gzip_beginning(const void *bytes, size_t len, void *to, size_t room)
{
    z_stream stream = {.next_in = (Bytef *)bytes, // zlib does not write there
                       .avail_in = len < UINT32_MAX ? (uInt)len : UINT32_MAX,
                       .next_out = to,
                       .avail_out = (uInt)room};
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return 0;
    int status;
    do
        status = inflate(&stream, Z_SYNC_FLUSH);
    while (status == Z_STREAM_END && stream.avail_in && stream.avail_out &&
           inflateReset(&stream) == Z_OK);
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
