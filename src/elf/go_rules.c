#include "elf/go_rules.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "unwind/cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The table, as runtime/symtab.go describes it: a header, then places in it.
//
//   magic u32, 0, 0, quantum u8, pointer size u8, functions u64, files u64, text u64,
//   names u64, units u64, files u64, pc tables u64, function list u64
//
// The list holds pairs of u32, the entry's distance from the text and where its record is from the
// list. Since 1.20 a record has one more word before its kind.
#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u

enum {
    HEADER_BYTES = 8 + 8 * 8,
    RECORD_PCSP = 16,
    RECORD_FLAG = 37,  // from 1.20 on 4 more
    FLAG_TOP = 1,      // the first function of a stack
    FLAG_SWITCHES = 2, // goes over to another stack: Go's own walks end there as well
    FUNCTIONS_MAX = 1 << 22,
    FRAMES_BYTES_MAX = 256 << 20, // go itself needs 1.5 MB
};

enum {
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_UNDEFINED = 0x07,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_OFFSET = 0x80,
    WORD_BYTES = 8,
};

struct builder {
    const uint8_t *table;
    size_t size;
    uint64_t text, at;
    uint64_t pc_tables, list, count;
    unsigned flag_at;
    struct hone_buffer frames; // .eh_frame
    struct hone_buffer pairs;  // of .eh_frame_hdr: start, entry; entries are completed at the end
    uint64_t cie;              // where it begins
};

static void builder_done(struct builder *builder)
{
    hone_buffer_done(&builder->frames);
    hone_buffer_done(&builder->pairs);
}

static uint64_t number(const struct builder *builder, uint64_t offset, unsigned bytes)
{
    if (offset > builder->size || bytes > builder->size - offset)
        return 0;
    struct hone_cursor cursor = {builder->table + offset, builder->table + offset + bytes, false};
    return hone_cursor_fixed(&cursor, bytes);
}

static void put(struct hone_buffer *buffer, uint64_t value, unsigned bytes)
{
    hone_buffer_add(buffer, &value, bytes);
}

static void put_uleb(struct hone_buffer *buffer, uint64_t value)
{
    do {
        put(buffer, (value & 0x7f) | (value > 0x7f ? 0x80 : 0), 1);
        value >>= 7;
    } while (value);
}

// Fills up to a multiple of 8 with instructions that do nothing, and sets the length.
static void finish_entry(struct hone_buffer *buffer, size_t begin)
{
    while (buffer->len % WORD_BYTES)
        put(buffer, 0, 1);
    uint32_t length = (uint32_t)(buffer->len - begin - 4);
    if (buffer->at)
        memcpy(buffer->at + begin, &length, sizeof length);
}

static void put_cie(struct builder *builder)
{
    struct hone_buffer *buffer = &builder->frames;
    put(buffer, 0, 4);
    put(buffer, 0, 4);    // a CIE
    put(buffer, 3, 1);    // version
    put(buffer, 0, 1);    // no augmentation
    put(buffer, 1, 1);    // code alignment
    put(buffer, 0x78, 1); // data alignment: -8
    put(buffer, HONE_REGISTER_IP, 1);
    put(buffer, CFA_DEF_CFA, 1);
    put(buffer, HONE_REGISTER_SP, 1);
    put(buffer, WORD_BYTES, 1);
    put(buffer, CFA_OFFSET | HONE_REGISTER_IP, 1);
    put(buffer, 1, 1);
    finish_entry(buffer, 0);
}

// The steps of sp, as pairs of differences: of the value, then of the address. Ends with 0.
static void put_steps(struct builder *builder, uint64_t offset)
{
    if (offset >= builder->size)
        return;
    struct hone_cursor steps = {builder->table + offset, builder->table + builder->size, false};
    int64_t value = -1;
    uint64_t advance = 0;
    for (bool first = true; !steps.broken; first = false) {
        uint64_t folded = hone_cursor_uleb(&steps);
        if (!folded && !first)
            break;
        value += (int64_t)(folded >> 1) ^ -(int64_t)(folded & 1);
        if (value < 0)
            break;
        if (advance) {
            put(&builder->frames, CFA_ADVANCE_LOC4, 1);
            put(&builder->frames, advance, 4);
        }
        put(&builder->frames, CFA_DEF_CFA_OFFSET, 1);
        put_uleb(&builder->frames, (uint64_t)value + WORD_BYTES);
        advance = hone_cursor_uleb(&steps);
    }
}

static void put_function(struct builder *builder, uint64_t index)
{
    uint64_t pair = builder->list + index * 8;
    uint64_t start = number(builder, pair, 4), end = number(builder, pair + 8, 4);
    uint64_t record = builder->list + number(builder, pair + 4, 4);
    uint64_t steps = number(builder, record + RECORD_PCSP, 4);
    uint64_t flags = number(builder, record + builder->flag_at, 1);
    if (end <= start)
        return;
    put(&builder->pairs, builder->text + start, 8);
    put(&builder->pairs, builder->frames.len, 8);
    size_t begin = builder->frames.len;
    put(&builder->frames, 0, 4);
    put(&builder->frames, begin + 4, 4); // back to the CIE, which is first
    put(&builder->frames, builder->text + start, 8);
    put(&builder->frames, end - start, 8);
    if (flags & (FLAG_TOP | FLAG_SWITCHES)) {
        put(&builder->frames, CFA_UNDEFINED, 1);
        put(&builder->frames, HONE_REGISTER_IP, 1);
    } else if (steps) {
        put_steps(builder, builder->pc_tables + steps);
    }
    finish_entry(&builder->frames, begin);
}

static int read_header(struct builder *builder, uint64_t text)
{
    uint64_t magic = number(builder, 0, 4);
    if (magic != MAGIC_1_18 && magic != MAGIC_1_20)
        return -ENOTSUP;
    if (builder->size < HEADER_BYTES || number(builder, 7, 1) != WORD_BYTES)
        return -EBADMSG;
    builder->count = number(builder, 8, 8);
    builder->text = number(builder, 24, 8);
    if (!builder->text) // what the loader relocates
        builder->text = text;
    builder->pc_tables = number(builder, 56, 8);
    builder->list = number(builder, 64, 8);
    builder->flag_at = magic == MAGIC_1_18 ? RECORD_FLAG : RECORD_FLAG + 4;
    if (builder->count > FUNCTIONS_MAX || builder->list > builder->size ||
        builder->pc_tables > builder->size ||
        builder->count * 8 + 4 > builder->size - builder->list)
        return -EBADMSG;
    return 0;
}

// The header with its table, in memory of its own behind the entries.
static int make_header(const struct builder *builder, struct hone_cfi *ret)
{
    uint64_t pairs = builder->pairs.len / 16;
    uint64_t header = builder->at + builder->frames.len;
    size_t size = 12 + pairs * 8;
    uint8_t *bytes = malloc(builder->frames.len + size);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, builder->frames.at, builder->frames.len);
    uint8_t *at = bytes + builder->frames.len;
    // Version; .eh_frame as 4 bytes from here; the count as 4 bytes; pairs as 4 bytes from the
    // start.
    memcpy(at, (const uint8_t[]){1, 0x1b, 0x03, 0x3b}, 4);
    int32_t back = (int32_t)((int64_t)builder->at - (int64_t)(header + 4));
    uint32_t count = (uint32_t)pairs;
    memcpy(at + 4, &back, 4);
    memcpy(at + 8, &count, 4);
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t pair[2];
        memcpy(pair, builder->pairs.at + i * 16, sizeof pair);
        int64_t start = (int64_t)(pair[0] - header),
                entry = (int64_t)(builder->at + pair[1] - header);
        if (start != (int32_t)start || entry != (int32_t)entry) {
            free(bytes);
            return -ENOTSUP;
        }
        int32_t both[2] = {(int32_t)start, (int32_t)entry};
        memcpy(at + 12 + i * 8, both, sizeof both);
    }
    ret->frames = (struct hone_view){bytes, builder->at, builder->frames.len};
    ret->hdr = (struct hone_view){at, header, size};
    ret->eh_frame = builder->at;
    ret->relocated_by = 0;
    return 0;
}

int hone_elf_go_rules(const uint8_t *table, size_t size, uint64_t text, uint64_t at,
                      struct hone_cfi *ret)
{
    HONE_CLEANUP(builder_done) struct builder builder = {.table = table, .size = size, .at = at};
    int r = read_header(&builder, text);
    if (r)
        return r;
    put_cie(&builder);
    for (uint64_t i = 0; i < builder.count; i++) {
        put_function(&builder, i);
        if (builder.frames.len > FRAMES_BYTES_MAX)
            return -EBADMSG;
    }
    if (!builder.frames.at || !builder.pairs.len)
        return -ENOMEM;
    return make_header(&builder, ret);
}
