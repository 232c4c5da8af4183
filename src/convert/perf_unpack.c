#include "convert/perf_unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    RECORD_BYTES_MAX = 1 << 16,
    BLOCK_BYTES_FIRST = 256 << 10,
    BLOCK_BYTES_MAX = 64 << 20, // of one packed record, which has 64 KB: a thousand times
};

static void free_block(struct hone_perfdata_block *block)
{
    free(block->bytes);
    free(block);
}

void hone_perfdata_unpacker_done(struct hone_perfdata_unpacker *unpacker)
{
    (void)ZSTD_freeDStream(unpacker->stream);
    for (struct hone_perfdata_block *block = unpacker->blocks, *next; block; block = next) {
        next = block->next;
        free_block(block);
    }
    free(unpacker->carried);
    *unpacker = (struct hone_perfdata_unpacker){0};
}

static bool make_room(struct hone_perfdata_block *block)
{
    size_t room = block->room ? block->room * 2 : BLOCK_BYTES_FIRST;
    uint8_t *bytes = realloc(block->bytes, room);
    if (!bytes)
        return false;
    block->bytes = bytes;
    block->room = room;
    return true;
}

static int fill(struct hone_perfdata_unpacker *unpacker, struct hone_perfdata_block *block,
                const uint8_t *packed, size_t size)
{
    ZSTD_inBuffer in = {packed, size, 0};
    // Until nothing is left to read, and nothing that was read is left to write.
    for (bool full = true; in.pos < in.size || full;) {
        if (block->size == block->room && !make_room(block))
            return -ENOMEM;
        ZSTD_outBuffer out = {block->bytes, block->room, block->size};
        size_t before = in.pos;
        size_t r = ZSTD_decompressStream(unpacker->stream, &out, &in);
        if (ZSTD_isError(r) || (in.pos == before && out.pos == block->size && in.pos < in.size) ||
            out.pos > BLOCK_BYTES_MAX)
            return -EBADMSG;
        block->size = out.pos;
        full = out.pos == out.size;
    }
    return 0;
}

int hone_perfdata_unpack(struct hone_perfdata_unpacker *unpacker, const uint8_t *packed,
                         size_t size, struct hone_perfdata_block **ret)
{
    if (!unpacker->stream)
        unpacker->stream = ZSTD_createDStream();
    struct hone_perfdata_block *block = calloc(1, sizeof *block);
    if (!unpacker->stream || !block || !make_room(block)) {
        free(block);
        return -ENOMEM;
    }
    if (unpacker->carried_size)
        memcpy(block->bytes, unpacker->carried, unpacker->carried_size);
    block->size = unpacker->carried_size;
    unpacker->carried_size = 0;
    int r = fill(unpacker, block, packed, size);
    if (r) {
        free_block(block);
        return r;
    }
    uint8_t *exact = realloc(block->bytes, block->size ? block->size : 1);
    if (exact) {
        block->bytes = exact;
        block->room = block->size;
    }
    block->next = unpacker->blocks;
    unpacker->blocks = block;
    unpacker->bytes += block->room;
    *ret = block;
    return 0;
}

int hone_perfdata_unpacker_carry(struct hone_perfdata_unpacker *unpacker, const uint8_t *rest,
                                 size_t size)
{
    if (size >= RECORD_BYTES_MAX)
        return -EBADMSG;
    if (!unpacker->carried)
        unpacker->carried = malloc(RECORD_BYTES_MAX);
    if (!unpacker->carried)
        return -ENOMEM;
    memcpy(unpacker->carried, rest, size);
    unpacker->carried_size = size;
    return 0;
}

bool hone_perfdata_unpacker_has_idle(const struct hone_perfdata_unpacker *unpacker)
{
    for (const struct hone_perfdata_block *block = unpacker->blocks; block; block = block->next)
        if (!block->waiting)
            return true;
    return false;
}

void hone_perfdata_unpacker_free_idle(struct hone_perfdata_unpacker *unpacker)
{
    for (struct hone_perfdata_block **at = &unpacker->blocks; *at;) {
        struct hone_perfdata_block *block = *at;
        if (block->waiting) {
            at = &block->next;
            continue;
        }
        *at = block->next;
        unpacker->bytes -= block->room;
        free_block(block);
    }
}
