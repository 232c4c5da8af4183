// What is small is packed well, by libdeflate at gzip's own level. What is large is packed fast: in
// pieces, each made and packed by ISA-L on whatever processor is free; they end at a byte, so they
// follow each other in one member, which every reader takes. 53 MB: 740 ms and 40.2 MB the first
// way, 170 ms on one processor and 41.2 MB the second.
#include "profile/pack.h"

#include "base/cleanup.h"
#include "base/crew.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdatomic.h>
#include <string.h>

enum {
    FEW = 4, // pieces: may be small
    LARGE = 1 << 20,
    SLICE = 1 << 20,
    HEAD_LEN = 10,
    TAIL_LEN = 8,
    LEVEL = 3, // ISA-L's best
    LEVEL_BUFFER = ISAL_DEF_LVL3_DEFAULT,
};

static void free_compressor(struct libdeflate_compressor **compressor)
{
    if (*compressor)
        libdeflate_free_compressor(*compressor);
}

static int pack_small(const void *bytes, size_t len, struct hone_buffer *out)
{
    HONE_CLEANUP(free_compressor)
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    if (!compressor)
        return -ENOMEM;
    size_t before = out->len;
    size_t bound = libdeflate_gzip_compress_bound(compressor, len);
    void *at = hone_buffer_grow(out, bound);
    size_t packed = at ? libdeflate_gzip_compress(compressor, bytes, len, at, bound) : 0;
    out->len = before + packed;
    return packed ? 0 : -ENOMEM;
}

// --- the checksum of pieces ----------------------------------------------------------------------

// Polynomials over bits, modulo that of CRC-32; the lowest power is the highest bit.
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= a >> bit & 1 ? b : 0;
        b = b >> 1 ^ (b & 1 ? 0xedb88320u : 0);
    }
    return product;
}

// The checksum of two runs of bytes, one behind the other, from those of both.
static uint32_t join_checksums(uint32_t first, uint32_t second, size_t second_len)
{
    uint32_t power = 1u << (31 - 8); // of x, by one byte
    for (; second_len; second_len >>= 1) {
        if (second_len & 1)
            first = multiply(power, first);
        power = multiply(power, power);
    }
    return first ^ second;
}

// --- pieces --------------------------------------------------------------------------------------

struct packed {
    unsigned char *at;
    size_t len;
    size_t plain_len;
    uint32_t checksum;
};

struct packing {
    const struct hone_pack_pieces *pieces;
    struct packed *packed; // by piece
    atomic_size_t next;    // relaxed: who takes which does not matter
    atomic_bool failed;    // relaxed: read when all are done
};

static void packing_done(struct packing *p)
{
    for (size_t i = 0; p->packed && i < p->pieces->count; i++)
        free(p->packed[i].at);
    free(p->packed);
}

// A thread's own memory.
struct tools {
    uint8_t *level_buffer;
    struct hone_buffer plain;
    struct hone_buffer room;
};

static void tools_done(struct tools *tools)
{
    free(tools->level_buffer);
    hone_buffer_done(&tools->plain);
    hone_buffer_done(&tools->room);
}

// Packs plain into room, which ends at a byte.
static bool pack_plain(struct tools *tools, bool last)
{
    size_t len = tools->plain.len;
    size_t most = len + len / 16 + 4096; // what cannot be packed is stored, 64 KB at a time
    tools->room.len = 0;
    unsigned char *to = most <= UINT32_MAX ? hone_buffer_grow(&tools->room, most) : NULL;
    if (!to)
        return false;
    struct isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.level = LEVEL;
    stream.level_buf = tools->level_buffer;
    stream.level_buf_size = LEVEL_BUFFER;
    stream.gzip_flag = IGZIP_DEFLATE;
    stream.end_of_stream = last;
    stream.flush = last ? NO_FLUSH : FULL_FLUSH;
    stream.next_in = (uint8_t *)tools->plain.at; // not written to
    stream.avail_in = (uint32_t)len;
    stream.next_out = to;
    stream.avail_out = (uint32_t)most;
    if (isal_deflate_stateless(&stream) != COMP_OK || stream.avail_in)
        return false;
    tools->room.len = most - stream.avail_out;
    return true;
}

static bool pack_piece(const struct packing *p, size_t number, struct tools *tools)
{
    tools->plain.len = 0;
    p->pieces->make(p->pieces->context, number, &tools->plain);
    if (tools->plain.failed || !pack_plain(tools, number + 1 == p->pieces->count))
        return false;
    struct packed *packed = &p->packed[number];
    packed->at = malloc(tools->room.len + 1);
    if (!packed->at)
        return false;
    packed->len = tools->room.len;
    memcpy(packed->at, tools->room.at, packed->len);
    packed->plain_len = tools->plain.len;
    packed->checksum = libdeflate_crc32(0, tools->plain.at, tools->plain.len);
    return true;
}

// The last piece first: it has all that is not samples, and nobody shall wait for it alone.
static void work(void *context, unsigned number)
{
    (void)number;
    struct packing *p = context;
    HONE_CLEANUP(tools_done) struct tools tools = {.level_buffer = malloc(LEVEL_BUFFER)};
    size_t count = p->pieces->count;
    size_t turn;
    while ((turn = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < count)
        if (!tools.level_buffer || !pack_piece(p, turn ? turn - 1 : count - 1, &tools))
            atomic_store_explicit(&p->failed, true, memory_order_relaxed);
}

static void put_32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

// Head, pieces one behind the other, tail. Frees the pieces.
static void join(struct packing *p, unsigned char *to)
{
    static const unsigned char head[HEAD_LEN] = {0x1f, 0x8b, 8, [9] = 255 /* of no system */};
    uint32_t checksum = 0;
    size_t plain_len = 0;
    memcpy(to, head, HEAD_LEN);
    to += HEAD_LEN;
    for (size_t i = 0; i < p->pieces->count; i++) {
        struct packed *packed = &p->packed[i];
        memcpy(to, packed->at, packed->len);
        to += packed->len;
        checksum = join_checksums(checksum, packed->checksum, packed->plain_len);
        plain_len += packed->plain_len;
        free(hone_take(packed->at));
    }
    put_32(to, checksum);
    put_32(to + 4, (uint32_t)plain_len);
}

static int pack_large(const struct hone_pack_pieces *pieces, struct hone_buffer *out)
{
    HONE_CLEANUP(packing_done) struct packing p = {.pieces = pieces};
    p.packed = calloc(pieces->count, sizeof *p.packed);
    if (!p.packed)
        return -ENOMEM;
    hone_crew_run(hone_crew_size(), work, &p);
    if (atomic_load_explicit(&p.failed, memory_order_relaxed))
        return -ENOMEM;
    size_t total = HEAD_LEN + TAIL_LEN;
    for (size_t i = 0; i < pieces->count; i++)
        total += p.packed[i].len;
    unsigned char *at = hone_buffer_grow(out, total);
    if (!at)
        return -ENOMEM;
    join(&p, at);
    return 0;
}

// --- few pieces ----------------------------------------------------------------------------------

static void make_slice(const void *context, size_t number, struct hone_buffer *plain)
{
    const struct hone_buffer *all = context;
    size_t start = number * SLICE;
    hone_buffer_add(plain, all->at + start, all->len - start < SLICE ? all->len - start : SLICE);
}

static int pack_few(const struct hone_pack_pieces *pieces, struct hone_buffer *out)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer plain = {0};
    for (size_t i = 0; i < pieces->count; i++)
        pieces->make(pieces->context, i, &plain);
    if (plain.failed)
        return -ENOMEM;
    if (plain.len < LARGE)
        return pack_small(plain.at, plain.len, out);
    const struct hone_pack_pieces slices = {
        .make = make_slice, .context = &plain, .count = (plain.len + SLICE - 1) / SLICE};
    return pack_large(&slices, out);
}

int hone_pack_gzip(const struct hone_pack_pieces *pieces, struct hone_buffer *out,
                   struct hone_error *err)
{
    int r = pieces->count <= FEW ? pack_few(pieces, out) : pack_large(pieces, out);
    return r ? hone_error_set(err, r, "cannot compress the profile") : 0;
}
