#include "base/table.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What the script reads is one JSON object. Frames are columns; the tree is a stream of varints
// (seven bits a byte, low ones first, the top bit set when more follow), in base64. It begins with
// the root's self; then come the kept nodes in pre-order, each as
//
//     up      how many levels its parent lies above the node before it (0: that is its parent)
//     frame   0 for frames that were too small to be kept, else the frame's place + 1
//     self    its own value; for smaller frames all of theirs
//     count   smaller frames only: how many they are
//
// A differential graph says more of each node, the root included, behind its self: base (what it
// was, total), gone (the part of its total that is gone), tone. Of a sandwich, the first node
// stands for the root once more, with the callers in it; "upper" says so.
//
// Totals, places and depths follow from these. A node takes 6 to 8 characters that way.

enum {
    NAME_MAX_BYTES = 2000,    // of one name: C++ has longer ones, but nobody reads on
    FILE_MAX_BYTES = 2200000, // packed nodes and names; script, style and picture come on top
    NODE_BYTES = 9,           // a guess for one node in the stream
    DIFF_BYTES = 8,           // … and for what a differential graph adds
    FRAME_BYTES = 24,         // the same for a frame's columns beside its name
};

// --- keeping -------------------------------------------------------------------------------------

// The nodes that could be kept next, the largest on top. A node comes in when its parent or the
// sibling before it was taken: siblings lie in the order of their totals, so the heap needs to know
// one of them at a time and choosing costs as much as what is kept, whatever the size of the tree.
struct heap {
    const struct hone_tree_node *nodes;
    uint32_t *at;
    size_t count;
};

static bool before(const struct heap *heap, uint32_t a, uint32_t b)
{
    if (heap->nodes[a].total != heap->nodes[b].total)
        return heap->nodes[a].total > heap->nodes[b].total;
    return a < b; // the same choice every time
}

static void heap_push(struct heap *heap, uint32_t node)
{
    size_t i = heap->count++;
    for (; i && before(heap, node, heap->at[(i - 1) / 2]); i = (i - 1) / 2)
        heap->at[i] = heap->at[(i - 1) / 2];
    heap->at[i] = node;
}

static uint32_t heap_pop(struct heap *heap)
{
    uint32_t top = heap->at[0], moved = heap->at[--heap->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap->count; i = child) {
        if (child + 1 < heap->count && before(heap, heap->at[child + 1], heap->at[child]))
            child++;
        if (!before(heap, heap->at[child], moved))
            break;
        heap->at[i] = heap->at[child];
    }
    heap->at[i] = moved;
    return top;
}

static void name_frame(struct hone_flame *flame, uint32_t frame)
{
    const struct hone_tree_frame *from = &flame->tree->frames[frame];
    struct hone_str name =
        hone_utf8_clean(&flame->arena, from->name, NAME_MAX_BYTES, &flame->failed);
    if (from->line) {
        const char *text =
            hone_arena_format(&flame->arena, "%.*s:%u", (int)name.len, name.at, from->line);
        flame->failed |= !text;
        name = hone_str_of(text);
    }
    flame->names[frame] = name;
}

uint32_t hone_flame_most(uint32_t max_frames)
{
    uint32_t most = FILE_MAX_BYTES / NODE_BYTES + 2;
    return max_frames < most ? max_frames : most;
}

int hone_flame_keep(struct hone_flame *flame, size_t max_nodes, int64_t smallest)
{
    const struct hone_tree *tree = flame->tree;
    if (max_nodes > tree->node_count)
        max_nodes = tree->node_count;
    flame->kept = calloc(tree->node_count, sizeof *flame->kept);
    flame->names = calloc(tree->frame_count + 1, sizeof *flame->names);
    flame->colors = calloc(tree->frame_count + 1, sizeof *flame->colors);
    // Taking one brings in two at most.
    HONE_CLEANUP(hone_freep) uint32_t *room = malloc((max_nodes + 2) * sizeof *room);
    if (!flame->kept || !flame->names || !flame->colors || !room)
        return -ENOMEM;
    for (size_t i = 0; i < tree->frame_count; i++)
        flame->colors[i] = (uint16_t)hone_flame_color(&tree->frames[i], flame->program);

    struct heap heap = {.nodes = tree->nodes, .at = room};
    heap_push(&heap, 0);
    size_t bytes = 0;
    while (heap.count && flame->kept_count < max_nodes) {
        uint32_t i = heap_pop(&heap);
        const struct hone_tree_node *node = &tree->nodes[i];
        bytes += NODE_BYTES + (flame->diff ? DIFF_BYTES : 0);
        if (i && flame->names[node->frame].len == 0) {
            name_frame(flame, node->frame);
            bytes += flame->names[node->frame].len + FRAME_BYTES;
        }
        if (i && (node->total < smallest || bytes > FILE_MAX_BYTES))
            break;
        flame->kept[i] = 1;
        flame->kept_count++;
        if (i + 1 < node->end)
            heap_push(&heap, i + 1);
        if (i && node->end < tree->nodes[node->parent].end)
            heap_push(&heap, node->end);
    }
    return flame->failed ? -ENOMEM : 0;
}

// --- base64 --------------------------------------------------------------------------------------

struct stream {
    struct hone_buffer *out;
    uint32_t bits;
    unsigned bytes; // in bits, 0 to 2
};

static void put_byte(struct stream *stream, unsigned char byte)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    stream->bits = stream->bits << 8 | byte;
    if (++stream->bytes < 3)
        return;
    char *at = hone_buffer_grow(stream->out, 4);
    for (int i = 3; at && i >= 0; i--, stream->bits >>= 6)
        at[i] = digits[stream->bits & 63];
    stream->bits = 0;
    stream->bytes = 0;
}

static void put(struct stream *stream, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        put_byte(stream, (unsigned char)(value | 128));
    put_byte(stream, (unsigned char)value);
}

static void finish_stream(struct stream *stream)
{
    while (stream->bytes) // zeros at the end, which nobody reads: they spare the padding
        put_byte(stream, 0);
}

// --- packing -------------------------------------------------------------------------------------

// Modules and files, each text once. Number 0 is the empty text.
struct texts {
    struct hone_arena *arena;
    struct hone_table table;
    struct hone_str *at;
    uint32_t count;
    uint64_t seed;
};

static void texts_done(struct texts *texts)
{
    hone_table_done(&texts->table);
    free(texts->at);
}

static int text_number(struct texts *texts, struct hone_str text, uint32_t *ret)
{
    *ret = 0;
    if (text.len == 0)
        return 0;
    uint64_t hash = hone_table_hash(text.at, text.len, texts->seed);
    struct hone_table_probe probe = hone_table_probe(&texts->table, hash);
    while ((*ret = hone_table_next(&texts->table, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(texts->at[*ret], text))
            return 0;
    *ret = texts->count++;
    texts->at[*ret] = text;
    return hone_table_add(&texts->table, hash, *ret);
}

static void put_texts(struct hone_buffer *out, struct texts *texts, bool *failed)
{
    hone_buffer_text(out, ",\n\"texts\":[\"\"");
    for (uint32_t i = 1; i < texts->count; i++) {
        hone_buffer_text(out, ",");
        hone_flame_json(out, hone_utf8_clean(texts->arena, texts->at[i], NAME_MAX_BYTES, failed));
    }
    hone_buffer_text(out, "]");
}

// The frames of kept nodes in the order of their first appearance: hot ones get small numbers.
struct packed_frames {
    uint32_t *frames;  // by number
    uint32_t *numbers; // by frame, + 1; 0 for those without a kept node
    uint32_t count;
};

static void packed_frames_done(struct packed_frames *packed)
{
    free(packed->frames);
    free(packed->numbers);
}

static int number_frames(const struct hone_flame *flame, struct packed_frames *ret)
{
    const struct hone_tree *tree = flame->tree;
    ret->frames = calloc(tree->frame_count + 1, sizeof *ret->frames);
    ret->numbers = calloc(tree->frame_count + 1, sizeof *ret->numbers);
    if (!ret->frames || !ret->numbers)
        return -ENOMEM;
    for (size_t i = 1; i < tree->node_count; i++) {
        uint32_t frame = tree->nodes[i].frame;
        if (!flame->kept[i] || ret->numbers[frame])
            continue;
        ret->frames[ret->count++] = frame;
        ret->numbers[frame] = ret->count;
    }
    return 0;
}

static void put_numbers(struct hone_buffer *out, const char *name, const uint32_t *numbers,
                        uint32_t count)
{
    hone_buffer_format(out, ",\n\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++)
        hone_buffer_format(out, i ? ",%u" : "%u", numbers[i]);
    hone_buffer_text(out, "]");
}

static int put_frames(const struct hone_flame *flame, const struct packed_frames *packed,
                      struct hone_buffer *out)
{
    const struct hone_tree_frame *frames = flame->tree->frames;
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(texts_done) struct texts texts = {.count = 1, .seed = hone_table_seed()};
    HONE_CLEANUP(hone_freep) uint32_t *column = calloc(packed->count + 1, sizeof *column);
    texts.arena = &arena;
    texts.at = calloc(2 * (size_t)packed->count + 1, sizeof *texts.at);
    if (!column || !texts.at)
        return -ENOMEM;

    hone_buffer_text(out, ",\n\"names\":[");
    for (uint32_t i = 0; i < packed->count; i++) {
        hone_buffer_text(out, i ? ",\n" : "\n");
        hone_flame_json(out, flame->names[packed->frames[i]]);
    }
    hone_buffer_text(out, "]");

    int r = 0;
    for (uint32_t i = 0; i < packed->count && !r; i++)
        r = text_number(&texts, frames[packed->frames[i]].module, &column[i]);
    put_numbers(out, "module", column, packed->count);
    for (uint32_t i = 0; i < packed->count && !r; i++)
        r = text_number(&texts, frames[packed->frames[i]].file, &column[i]);
    put_numbers(out, "file", column, packed->count);
    if (r)
        return r;
    for (uint32_t i = 0; i < packed->count; i++) {
        const struct hone_tree_frame *frame = &frames[packed->frames[i]];
        column[i] = frame->line ? frame->line : frame->start_line;
    }
    put_numbers(out, "line", column, packed->count);
    for (uint32_t i = 0; i < packed->count; i++)
        column[i] = flame->colors[packed->frames[i]];
    put_numbers(out, "color", column, packed->count);
    for (uint32_t i = 0; i < packed->count; i++)
        column[i] = frames[packed->frames[i]].inlined;
    put_numbers(out, "inlined", column, packed->count);
    bool failed = false;
    put_texts(out, &texts, &failed);
    return failed ? -ENOMEM : 0;
}

// A node whose subtree is being written.
struct open_node {
    uint32_t node;
    uint32_t hidden; // nodes below it that were not kept
    int64_t value;   // theirs
    int64_t base;
    int64_t gone;
};

struct writer {
    struct stream stream;
    const struct hone_tree_diff *diff;
    struct open_node *open; // from the root to the node that was written last
    uint32_t depth;         // of that one
    uint32_t above;         // depth of what was written last: smaller frames lie one deeper
    size_t count;
};

static void put_node(struct writer *writer, uint32_t depth, uint64_t frame, int64_t self)
{
    put(&writer->stream, writer->above + 1 - depth);
    put(&writer->stream, frame);
    put(&writer->stream, (uint64_t)self);
    writer->above = depth;
    writer->count++;
}

static void put_diff(struct writer *writer, int64_t base, int64_t gone, unsigned tone)
{
    if (!writer->diff)
        return;
    put(&writer->stream, (uint64_t)base);
    put(&writer->stream, (uint64_t)gone);
    put(&writer->stream, tone);
}

static void put_diff_of(struct writer *writer, size_t node)
{
    if (writer->diff)
        put_diff(writer, writer->diff->base[node], writer->diff->gone[node],
                 writer->diff->tone[node]);
}

static void close_to(struct writer *writer, uint32_t depth)
{
    for (;; writer->depth--) {
        const struct open_node *last = &writer->open[writer->depth];
        if (last->hidden) {
            put_node(writer, writer->depth + 1, 0, last->value);
            put_diff(writer, last->base, last->gone, HONE_TREE_UNSURE);
            put(&writer->stream, last->hidden);
        }
        if (writer->depth <= depth)
            return;
    }
}

// What hangs on the node and is not in the tree is among its smaller frames from the start.
static struct open_node open_node(const struct hone_tree *tree, uint32_t node)
{
    return (struct open_node){.node = node,
                              .hidden = tree->nodes[node].left_out,
                              .value = hone_tree_left_out(tree, node)};
}

// How many nodes there are from this one on, those that are not in the tree included.
static uint32_t count_subtree(const struct hone_tree *tree, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = node; i < tree->nodes[node].end; i++)
        count += 1 + tree->nodes[i].left_out;
    return count;
}

static int put_nodes(const struct hone_flame *flame, const struct packed_frames *packed,
                     struct hone_buffer *out)
{
    const struct hone_tree *tree = flame->tree;
    HONE_CLEANUP(hone_freep)
    struct open_node *open = calloc((size_t)tree->depth + 2, sizeof *open);
    if (!open)
        return -ENOMEM;
    hone_buffer_text(out, ",\n\"nodes\":\"");
    struct writer writer = {.stream = {.out = out}, .diff = flame->diff, .open = open, .count = 1};
    open[0] = open_node(tree, 0);
    put(&writer.stream, (uint64_t)tree->nodes[0].self);
    put_diff_of(&writer, 0);
    for (size_t i = 1; i < tree->node_count;) {
        const struct hone_tree_node *node = &tree->nodes[i];
        uint32_t depth = node->depth;
        if (writer.depth >= depth) {
            close_to(&writer, depth);
            writer.depth = depth - 1;
        }
        if (!flame->kept[i]) {
            open[depth - 1].hidden += count_subtree(tree, (uint32_t)i);
            open[depth - 1].value += node->total;
            open[depth - 1].base += flame->diff ? flame->diff->base[i] : 0;
            open[depth - 1].gone += flame->diff ? flame->diff->gone[i] : 0;
            i = node->end;
            continue;
        }
        put_node(&writer, depth, packed->numbers[node->frame], node->self);
        put_diff_of(&writer, i);
        open[depth] = open_node(tree, (uint32_t)i);
        writer.depth = depth;
        i++;
    }
    close_to(&writer, 0);
    finish_stream(&writer.stream);
    hone_buffer_format(out, "\",\n\"count\":%zu", writer.count);
    return 0;
}

static void put_facts(const struct hone_flame *flame, struct hone_buffer *out)
{
    hone_buffer_text(out, "{\"title\":");
    hone_flame_json(out, flame->title);
    hone_buffer_text(out, ",\n\"facts\":");
    hone_flame_json(out, flame->facts);
    hone_buffer_text(out, ",\n\"unit\":");
    hone_flame_json(out, flame->unit);
    hone_buffer_text(out, ",\n\"root\":");
    hone_flame_json(out, flame->root);
    if (flame->whole != flame->tree->nodes[0].total)
        hone_buffer_format(out, ",\n\"whole\":%lld", (long long)flame->whole);
    if (flame->tree->upper_end)
        hone_buffer_text(out, ",\n\"upper\":true");
    if (flame->diff)
        hone_buffer_format(out, ",\n\"diff\":{\"base\":%lld,\"fresh\":%lld}",
                           (long long)flame->diff->whole[0], (long long)flame->diff->whole[1]);
    hone_buffer_format(out, ",\n\"inverted\":%s", flame->inverted ? "true" : "false");
    hone_buffer_text(out, ",\n\"notes\":[");
    for (size_t i = 0; i < flame->note_count; i++) {
        hone_buffer_text(out, i ? ",\n{\"text\":" : "{\"text\":");
        hone_flame_json(out, flame->notes[i].text);
        hone_buffer_format(out, ",\"warn\":%s}", flame->notes[i].warn ? "true" : "false");
    }
    hone_buffer_text(out, "],\n\"legend\":[");
    for (size_t i = 0; i < flame->key_count; i++) {
        hone_buffer_text(out, i ? ",\n{\"label\":" : "{\"label\":");
        hone_flame_json(out, flame->keys[i].label);
        hone_buffer_format(out, ",\"family\":%u,\"self\":%lld}", flame->keys[i].family,
                           (long long)flame->keys[i].self);
    }
    hone_buffer_text(out, "]");
}

int hone_flame_pack(const struct hone_flame *flame, struct hone_buffer *out)
{
    HONE_CLEANUP(packed_frames_done) struct packed_frames packed = {0};
    int r = number_frames(flame, &packed);
    if (r)
        return r;
    put_facts(flame, out);
    r = put_frames(flame, &packed, out);
    if (!r)
        r = put_nodes(flame, &packed, out);
    hone_buffer_text(out, "}");
    return r;
}
