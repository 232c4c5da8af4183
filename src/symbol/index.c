#include "symbol/index.h"

#include "base/base.h"
#include "base/table.h"
#include "symbol/symbol.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_MAX = 4096 }; // of one address: compilers inline some dozens deep

struct hone_symbol_index {
    const unsigned char *bytes;
    size_t len;
    struct hone_symbol_index_header header; // a copy: the file may change under us
    size_t summed;                          // bytes before the sums
    uint64_t *verified;                     // heap: a bit per block
    struct hone_symbol_index_frame *frames; // heap
    size_t frame_room;
};

static const size_t sizes[HONE_SYMBOL_INDEX_PARTS] = {
    [HONE_SYMBOL_INDEX_SEGMENTS] = sizeof(struct hone_symbol_index_segment),
    [HONE_SYMBOL_INDEX_PIECES] = sizeof(struct hone_symbol_index_piece),
    [HONE_SYMBOL_INDEX_NODES] = sizeof(struct hone_symbol_index_node),
    [HONE_SYMBOL_INDEX_FUNCTIONS] = sizeof(struct hone_symbol_index_function),
    [HONE_SYMBOL_INDEX_FILES] = sizeof(uint32_t),
    [HONE_SYMBOL_INDEX_SYMBOLS] = sizeof(struct hone_symbol_index_symbol),
    [HONE_SYMBOL_INDEX_TEXTS] = 1,
    [HONE_SYMBOL_INDEX_SUMS] = sizeof(uint64_t),
};

// ---- Opening

static bool is_sound(const struct hone_symbol_index_header *header, size_t len)
{
    if (memcmp(header->magic, HONE_SYMBOL_INDEX_MAGIC, sizeof header->magic) != 0 ||
        header->version != HONE_SYMBOL_INDEX_VERSION || header->header_bytes != sizeof *header ||
        header->file_bytes != len ||
        header->sum !=
            hone_symbol_index_sum(header, offsetof(struct hone_symbol_index_header, sum), 0))
        return false;
    uint64_t end = sizeof *header;
    for (int part = 0; part < HONE_SYMBOL_INDEX_PARTS; part++) {
        uint64_t offset = header->parts[part].offset, bytes;
        if (offset < end || offset % 8 ||
            __builtin_mul_overflow(header->parts[part].count, sizes[part], &bytes) ||
            __builtin_add_overflow(offset, bytes, &end) || end > len ||
            header->parts[part].count > UINT32_MAX)
            return false;
    }
    uint64_t summed = header->parts[HONE_SYMBOL_INDEX_SUMS].offset;
    return header->parts[HONE_SYMBOL_INDEX_SUMS].count ==
           (summed + HONE_SYMBOL_INDEX_BLOCK - 1) / HONE_SYMBOL_INDEX_BLOCK;
}

int hone_symbol_index_open(const void *bytes, size_t len, const unsigned char *build_id,
                           size_t build_id_len, struct hone_symbol_index **ret)
{
    struct hone_symbol_index_header header;
    if (len < sizeof header)
        return -EBADMSG;
    memcpy(&header, bytes, sizeof header);
    if (!is_sound(&header, len) || header.build_id_len != build_id_len ||
        build_id_len > sizeof header.build_id ||
        memcmp(header.build_id, build_id, build_id_len) != 0)
        return -EBADMSG;
    uint64_t summed = header.parts[HONE_SYMBOL_INDEX_SUMS].offset;
    uint64_t blocks = header.parts[HONE_SYMBOL_INDEX_SUMS].count;
    const unsigned char *sums = (const unsigned char *)bytes + summed;
    if (hone_symbol_index_sum(sums, blocks * sizeof(uint64_t), 0) != header.sums_sum)
        return -EBADMSG;
    struct hone_symbol_index *index = calloc(1, sizeof *index);
    uint64_t *verified = calloc(blocks / 64 + 1, sizeof *verified);
    if (!index || !verified) {
        free(index);
        free(verified);
        return -ENOMEM;
    }
    *index = (struct hone_symbol_index){
        .bytes = bytes, .len = len, .header = header, .summed = summed, .verified = verified};
    *ret = index;
    return 0;
}

void hone_symbol_index_close(struct hone_symbol_index *index)
{
    if (!index)
        return;
    free(index->verified);
    free(index->frames);
    free(index);
}

// ---- Bytes

static bool verify(struct hone_symbol_index *index, size_t block)
{
    if (index->verified[block / 64] >> block % 64 & 1)
        return true;
    size_t offset = block * HONE_SYMBOL_INDEX_BLOCK, end = offset + HONE_SYMBOL_INDEX_BLOCK;
    if (end > index->summed)
        end = index->summed;
    uint64_t sum;
    memcpy(&sum, index->bytes + index->summed + block * sizeof sum, sizeof sum);
    if (hone_symbol_index_sum(index->bytes + offset, end - offset, block) != sum)
        return false;
    index->verified[block / 64] |= (uint64_t)1 << block % 64;
    return true;
}

// Where record number of a part lies, checked; NULL when it does not exist or is damaged.
static const void *record(struct hone_symbol_index *index, enum hone_symbol_index_part part,
                          uint64_t number)
{
    if (number >= index->header.parts[part].count)
        return NULL;
    uint64_t offset = index->header.parts[part].offset + number * sizes[part];
    size_t first = offset / HONE_SYMBOL_INDEX_BLOCK;
    size_t last = (offset + sizes[part] - 1) / HONE_SYMBOL_INDEX_BLOCK;
    if (!verify(index, first) || (last != first && !verify(index, last)))
        return NULL;
    return index->bytes + offset;
}

static bool verify_all(struct hone_symbol_index *index, size_t from, size_t end)
{
    for (size_t block = from / HONE_SYMBOL_INDEX_BLOCK; block * HONE_SYMBOL_INDEX_BLOCK < end;
         block++)
        if (!verify(index, block))
            return false;
    return true;
}

// Returns 0 or -EBADMSG: no such text. None, offset 0, is the empty one.
static int text(struct hone_symbol_index *index, uint32_t offset, struct hone_symbol_text *ret)
{
    struct hone_symbol_index_text head;
    uint64_t texts = index->header.parts[HONE_SYMBOL_INDEX_TEXTS].offset;
    uint64_t count = index->header.parts[HONE_SYMBOL_INDEX_TEXTS].count;
    if (!offset) {
        *ret = (struct hone_symbol_text){"", hone_symbol_text_hash("", 0)};
        return 0;
    }
    if (offset < sizeof head || offset >= count)
        return -EBADMSG;
    size_t at = texts + offset;
    if (!verify_all(index, at - sizeof head, at))
        return -EBADMSG;
    memcpy(&head, index->bytes + at - sizeof head, sizeof head);
    if (head.len >= count - offset || !verify_all(index, at, at + head.len + 1) ||
        index->bytes[at + head.len])
        return -EBADMSG;
    *ret = (struct hone_symbol_text){(const char *)index->bytes + at, head.hash};
    return 0;
}

// ---- Lookup

static uint64_t leading_number(const unsigned char *at, enum hone_symbol_index_part part)
{
    uint64_t value = 0;
    if (part == HONE_SYMBOL_INDEX_PIECES)
        memcpy(&value, at, sizeof(uint32_t));
    else
        memcpy(&value, at, sizeof value);
    return value;
}

// The number of the last record of a part, from first on, whose leading number is at or below
// wanted; sorted by it. *ret is first - 1 when there is none. False: damaged.
static bool search(struct hone_symbol_index *index, enum hone_symbol_index_part part,
                   uint64_t first, uint64_t count, uint64_t wanted, uint64_t *ret)
{
    enum { FEW = 64 }; // records that are verified together
    uint64_t low = first, high = first + count;
    while (high - low > FEW) {
        uint64_t middle = low + (high - low) / 2;
        const void *at = record(index, part, middle);
        if (!at)
            return false;
        if (leading_number(at, part) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    size_t size = sizes[part];
    uint64_t offset = index->header.parts[part].offset;
    if (low < high && !verify_all(index, offset + low * size, offset + high * size))
        return false;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (leading_number(index->bytes + offset + middle * size, part) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = low - 1;
    return true;
}

static struct hone_symbol_index_frame *next_frame(struct hone_symbol_index *index, size_t count)
{
    if (count == index->frame_room) {
        size_t room = index->frame_room ? index->frame_room * 2 : 32;
        struct hone_symbol_index_frame *grown =
            reallocarray(index->frames, room, sizeof *index->frames);
        if (!grown)
            return NULL;
        index->frames = grown;
        index->frame_room = room;
    }
    return &index->frames[count];
}

struct place {
    uint32_t file; // NONE: unknown
    uint32_t line;
    uint32_t column;
};

static int add_frame(struct hone_symbol_index *index, uint32_t function, const struct place *place,
                     size_t count)
{
    struct hone_symbol_index_frame *frame = next_frame(index, count);
    if (!frame)
        return -ENOMEM;
    *frame = (struct hone_symbol_index_frame){
        .function = function, .line = place->line, .column = place->column};
    if (place->file == HONE_SYMBOL_INDEX_NONE)
        return 0;
    const void *at = record(index, HONE_SYMBOL_INDEX_FILES, place->file);
    if (!at)
        return -EBADMSG;
    memcpy(&frame->file, at, sizeof frame->file);
    return 0;
}

static int from_nodes(struct hone_symbol_index *index, uint32_t number, struct place place,
                      size_t *ret_count)
{
    size_t count = 0;
    for (;;) {
        struct hone_symbol_index_node node;
        const void *at = record(index, HONE_SYMBOL_INDEX_NODES, number);
        if (!at || count == FRAMES_MAX)
            return -EBADMSG;
        memcpy(&node, at, sizeof node);
        int r = add_frame(index, node.function, &place, count);
        if (r)
            return r;
        count++;
        if (node.parent == HONE_SYMBOL_INDEX_NONE)
            break;
        if (node.parent >= number) // parents come first, or we would run in circles
            return -EBADMSG;
        number = node.parent;
        place = (struct place){node.file, node.line, node.column};
    }
    *ret_count = count;
    return 0;
}

static int from_symbol(struct hone_symbol_index *index, uint64_t vaddr, const struct place *place,
                       size_t *ret_count)
{
    uint64_t number;
    if (!search(index, HONE_SYMBOL_INDEX_SYMBOLS, 0,
                index->header.parts[HONE_SYMBOL_INDEX_SYMBOLS].count, vaddr, &number))
        return -EBADMSG;
    if (number == UINT64_MAX)
        return HONE_SYMBOL_UNKNOWN;
    struct hone_symbol_index_symbol symbol;
    const void *at = record(index, HONE_SYMBOL_INDEX_SYMBOLS, number);
    if (!at)
        return -EBADMSG;
    memcpy(&symbol, at, sizeof symbol);
    if (vaddr < symbol.start || vaddr >= symbol.end)
        return HONE_SYMBOL_UNKNOWN;
    int r = add_frame(index, (uint32_t)number, place, 0);
    if (r)
        return r;
    index->frames[0].symbol = true;
    *ret_count = 1;
    return 0;
}

int hone_symbol_index_names(struct hone_symbol_index *index,
                            const struct hone_symbol_index_frame *frame,
                            struct hone_symbol_index_names *ret)
{
    struct hone_symbol_index_function function;
    if (frame->symbol) {
        struct hone_symbol_index_symbol symbol;
        const void *at = record(index, HONE_SYMBOL_INDEX_SYMBOLS, frame->function);
        if (!at)
            return -EBADMSG;
        memcpy(&symbol, at, sizeof symbol);
        function = (struct hone_symbol_index_function){symbol.label, symbol.label, symbol.name, 0};
    } else {
        const void *at = record(index, HONE_SYMBOL_INDEX_FUNCTIONS, frame->function);
        if (!at)
            return -EBADMSG;
        memcpy(&function, at, sizeof function);
    }
    struct hone_symbol_index_names names = {.start_line = function.start_line};
    int r = text(index, function.label, &names.label);
    names.system_name = names.label;
    if (!r && function.system != function.label)
        r = text(index, function.system, &names.system_name);
    if (!r && function.name)
        r = text(index, function.name, &names.name);
    if (!r && frame->file)
        r = text(index, frame->file, &names.file);
    if (!r)
        *ret = names;
    return r;
}

// The piece that covers vaddr; UNKNOWN when no segment does.
static int find_piece(struct hone_symbol_index *index, uint64_t vaddr,
                      struct hone_symbol_index_piece *ret, struct place *ret_place)
{
    uint64_t number;
    if (!search(index, HONE_SYMBOL_INDEX_SEGMENTS, 0,
                index->header.parts[HONE_SYMBOL_INDEX_SEGMENTS].count, vaddr, &number))
        return -EBADMSG;
    if (number == UINT64_MAX)
        return HONE_SYMBOL_UNKNOWN;
    struct hone_symbol_index_segment segment;
    const void *at = record(index, HONE_SYMBOL_INDEX_SEGMENTS, number);
    if (!at)
        return -EBADMSG;
    memcpy(&segment, at, sizeof segment);
    if (vaddr < segment.low || vaddr >= segment.high || !segment.count)
        return HONE_SYMBOL_UNKNOWN;
    uint64_t pieces = index->header.parts[HONE_SYMBOL_INDEX_PIECES].count;
    if (segment.first > pieces || segment.count > pieces - segment.first ||
        !search(index, HONE_SYMBOL_INDEX_PIECES, segment.first, segment.count, vaddr - segment.low,
                &number) ||
        number + 1 == segment.first)
        return -EBADMSG;
    at = record(index, HONE_SYMBOL_INDEX_PIECES, number);
    if (!at)
        return -EBADMSG;
    memcpy(ret, at, sizeof *ret);
    *ret_place = (struct place){HONE_SYMBOL_INDEX_NONE, ret->line, ret->column};
    if (ret->file != UINT16_MAX &&
        __builtin_add_overflow(segment.files, ret->file, &ret_place->file))
        return -EBADMSG;
    return 0;
}

int hone_symbol_index_lookup(struct hone_symbol_index *index, uint64_t vaddr,
                             struct hone_symbol_index_frames *ret)
{
    struct hone_symbol_index_piece piece;
    struct place place = {.file = HONE_SYMBOL_INDEX_NONE};
    int r = find_piece(index, vaddr, &piece, &place);
    if (r < 0)
        return r;
    size_t count;
    if (r == 0 && piece.node != HONE_SYMBOL_INDEX_NONE)
        r = from_nodes(index, piece.node, place, &count);
    else
        r = from_symbol(index, vaddr, &place, &count);
    if (r)
        return r;
    *ret = (struct hone_symbol_index_frames){index->frames, count};
    return 0;
}

const char *hone_symbol_index_debug_path(struct hone_symbol_index *index)
{
    struct hone_symbol_text path;
    return text(index, index->header.debug_path, &path) ? "" : path.at;
}
