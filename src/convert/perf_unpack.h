// Compressed records (perf record -z): one stream of zstd, cut anywhere into records.
#ifndef HONE_CONVERT_PERF_UNPACK_H
#define HONE_CONVERT_PERF_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Unpacked bytes, for as long as records in them wait.
struct hone_perfdata_block {
    struct hone_perfdata_block *next;
    uint32_t waiting;
    size_t size, room;
    uint8_t *bytes;
};

struct hone_perfdata_unpacker { // zero is ready for use
    void *stream;
    struct hone_perfdata_block *blocks;
    size_t bytes;     // of all blocks
    uint8_t *carried; // a record's beginning, whose rest comes in the next block
    size_t carried_size;
};

void hone_perfdata_unpacker_done(struct hone_perfdata_unpacker *unpacker);

// The next bytes of the stream: what was carried, and what they unpack to. Returns 0; -EBADMSG: no
// zstd, or more than can be; -ENOMEM.
int hone_perfdata_unpack(struct hone_perfdata_unpacker *unpacker, const uint8_t *packed,
                         size_t size, struct hone_perfdata_block **ret);

// Keeps the rest of a block for the next one. Returns 0; -EBADMSG: no record is that long; -ENOMEM.
int hone_perfdata_unpacker_carry(struct hone_perfdata_unpacker *unpacker, const uint8_t *rest,
                                 size_t size);

// Blocks in which nothing waits any more.
bool hone_perfdata_unpacker_has_idle(const struct hone_perfdata_unpacker *unpacker);
void hone_perfdata_unpacker_free_idle(struct hone_perfdata_unpacker *unpacker);

static inline size_t hone_perfdata_unpacker_bytes(const struct hone_perfdata_unpacker *unpacker)
{
    return unpacker->bytes;
}

#endif
