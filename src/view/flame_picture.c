#include "view/flame_parts.h"

#include <errno.h>
#include <stdlib.h>

// The picture for readers without scripts: the same frames in the same colours and rows as
// the script draws, without the ones that are too narrow to be seen.

enum {
    ROW = 18,
    MARGIN = 16,
    FRAMES_MAX = 1200, // widest first: some 300 kB
    LABELLED = 24,     // px: room for text
    SWATCH = 10,
    SHARE = 44, // px of ' 12.3 %'
    KEY_GAP = 14,
    LINE = 18,
};

static const double narrowest = 1.0; // px

struct picture {
    const struct hone_flame *flame;
    struct hone_buffer *out;
    double y;
    double width; // of the root
};

// --- words ---------------------------------------------------------------------------------------

static void put_line(struct picture *picture, const char *class, struct hone_str text)
{
    hone_buffer_format(picture->out, "<text class=\"%s\" x=\"%d\" y=\"%.0f\">", class, MARGIN,
                       picture->y);
    hone_flame_label(picture->out, text, picture->width);
    hone_buffer_text(picture->out, "</text>\n");
    picture->y += LINE;
}

static void put_heading(struct picture *picture)
{
    picture->y = 30;
    hone_buffer_format(picture->out, "<text class=\"title\" x=\"%d\" y=\"%.0f\">", MARGIN,
                       picture->y);
    hone_flame_label(picture->out, picture->flame->title, picture->width * 0.66); // 18 px, not 12
    hone_buffer_text(picture->out, "</text>\n");
    picture->y += 22;
    put_line(picture, "facts", picture->flame->facts);
    for (size_t i = 0; i < picture->flame->note_count; i++)
        if (picture->flame->notes[i].warn)
            put_line(picture, "note note-warn", picture->flame->notes[i].text);
}

static void put_legend(struct picture *picture)
{
    const struct hone_flame *flame = picture->flame;
    double x = MARGIN;
    for (size_t i = 0; i < flame->key_count; i++) {
        char share[24] = "", class[8];
        if (!flame->diff) // what frames of a colour took themselves says nothing of changes
            hone_flame_percent(share, sizeof share, flame->keys[i].self, flame->whole);
        if (flame->diff)
            hone_flame_tone_class(class, flame->keys[i].family);
        else
            hone_flame_class(class, flame->keys[i].family * HONE_FLAME_SHADES);
        double wide = SWATCH + 6 + hone_flame_text_width(flame->keys[i].label) + SHARE + KEY_GAP;
        if (x > MARGIN && x + wide > picture->width) {
            x = MARGIN;
            picture->y += LINE;
        }
        hone_buffer_format(picture->out,
                           "<rect class=\"%s\" x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" "
                           "rx=\"2\"/><text class=\"key\" x=\"%.0f\" y=\"%.0f\">",
                           class, x, picture->y - SWATCH + 1, SWATCH, SWATCH, x + SWATCH + 6,
                           picture->y);
        hone_flame_label(picture->out, flame->keys[i].label, picture->width);
        hone_buffer_format(picture->out, " %s</text>\n", share);
        x += wide;
    }
    picture->y += LINE;
}

// --- frames --------------------------------------------------------------------------------------

struct box {
    uint32_t node;
    int64_t start;
};

static int compare_boxes(const void *a, const void *b, void *nodes_)
{
    const struct hone_tree_node *nodes = nodes_;
    const struct box *left = a, *right = b;
    if (nodes[left->node].total != nodes[right->node].total)
        return nodes[left->node].total > nodes[right->node].total ? -1 : 1;
    return left->node < right->node ? -1 : 1;
}

// Fills boxes with the frames that are wide enough; the children of a node stand side by side from
// its left edge, what it did itself is the empty space behind them.
static size_t choose_boxes(const struct picture *picture, struct box *boxes, int64_t *filled)
{
    const struct hone_tree *tree = picture->flame->tree;
    double scale = picture->width / (double)tree->nodes[0].total;
    size_t count = 0;
    boxes[count++] = (struct box){0};
    for (size_t i = 1; i < tree->node_count;) {
        const struct hone_tree_node *node = &tree->nodes[i];
        if (i == tree->upper_end) // the callees begin again at the root's left edge
            filled[0] = 0;
        if (!picture->flame->kept[i] || (double)node->total * scale < narrowest) {
            i = node->end;
            continue;
        }
        int64_t start = filled[node->parent];
        filled[node->parent] += node->total;
        filled[i] = start;
        boxes[count++] = (struct box){.node = (uint32_t)i, .start = start};
        i++;
    }
    qsort_r(boxes, count, sizeof *boxes, compare_boxes, tree->nodes);
    return count < FRAMES_MAX ? count : FRAMES_MAX;
}

// Rows above and below the root's, and where that is.
struct rows {
    uint32_t upper; // of a sandwich's callers
    uint32_t lower; // with the root's
};

static bool is_upper(const struct hone_tree *tree, uint32_t node)
{
    return node && node < tree->upper_end;
}

static uint32_t row_of(const struct hone_flame *flame, const struct rows *rows, uint32_t node)
{
    const struct hone_tree *tree = flame->tree;
    uint32_t depth = tree->nodes[node].depth;
    uint32_t row = is_upper(tree, node) ? rows->upper - (depth - 1) : rows->upper + depth;
    return flame->inverted ? rows->upper + rows->lower - 1 - row : row;
}

// What the node was before, in a differential graph.
static void put_before(const struct picture *picture, uint32_t node)
{
    const struct hone_tree_diff *diff = picture->flame->diff;
    if (!diff)
        return;
    char before[64];
    hone_flame_amount(before, sizeof before, diff->base[node], picture->flame->unit);
    hone_buffer_text(picture->out,
                     diff->tone[node] == HONE_TREE_GONE ? "\ngone, was " : "\nbefore ");
    hone_flame_xml(picture->out, hone_str_of(before));
}

static void put_box(const struct picture *picture, const struct box *box, const struct rows *rows)
{
    const struct hone_flame *flame = picture->flame;
    const struct hone_tree_node *node = &flame->tree->nodes[box->node];
    double scale = picture->width / (double)flame->tree->nodes[0].total;
    double x = MARGIN + (double)box->start * scale;
    double wide = (double)node->total * scale;
    double y = picture->y + (double)row_of(flame, rows, box->node) * ROW;
    struct hone_str name = box->node ? flame->names[node->frame] : flame->root;
    char total[64], share[24], class[8] = "root";
    hone_flame_amount(total, sizeof total, node->total, flame->unit);
    hone_flame_percent(share, sizeof share, node->total, flame->whole);
    if (box->node)
        hone_flame_node_class(flame, box->node, class);

    struct hone_buffer *out = picture->out;
    hone_buffer_text(out, "<g><title>");
    hone_flame_xml(out, (struct hone_str){name.at, name.len < 300 ? name.len : 300});
    hone_buffer_text(out, "\n");
    hone_flame_xml(out, hone_str_of(total));
    hone_buffer_format(out, ", %s", share);
    put_before(picture, box->node);
    hone_buffer_format(out,
                       "</title><rect class=\"%s\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" "
                       "height=\"%d\" rx=\"%d\"/>",
                       class, x, y, wide > 2 ? wide - 1 : wide, ROW - 1, wide > 6 ? 2 : 0);
    if (wide >= LABELLED) {
        hone_buffer_format(out, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\">", x + 5, y + 12.5);
        hone_flame_label(out, name, wide - 10);
        hone_buffer_text(out, "</text>");
    }
    hone_buffer_text(out, "</g>\n");
}

static int put_frames(struct picture *picture)
{
    const struct hone_tree *tree = picture->flame->tree;
    HONE_CLEANUP(hone_freep) struct box *boxes = calloc(tree->node_count, sizeof *boxes);
    HONE_CLEANUP(hone_freep) int64_t *filled = calloc(tree->node_count, sizeof *filled);
    if (!boxes || !filled)
        return -ENOMEM;
    size_t count = choose_boxes(picture, boxes, filled);
    struct rows rows = {.lower = 1};
    for (size_t i = 0; i < count; i++) {
        uint32_t depth = tree->nodes[boxes[i].node].depth;
        if (is_upper(tree, boxes[i].node))
            rows.upper = depth - 1 > rows.upper ? depth - 1 : rows.upper;
        else if (depth + 1 > rows.lower)
            rows.lower = depth + 1;
    }
    for (size_t i = 0; i < count; i++)
        if (!tree->upper_end || boxes[i].node != 1) // the root has its box already
            put_box(picture, &boxes[i], &rows);
    picture->y += (double)(rows.upper + rows.lower) * ROW + LINE;
    return 0;
}

int hone_flame_picture(const struct hone_flame *flame, struct hone_buffer *out, double *ret_height)
{
    struct picture picture = {
        .flame = flame, .out = out, .width = (double)flame->width - 2 * MARGIN};
    put_heading(&picture);
    int r = 0;
    if (flame->tree->nodes[0].total > 0) {
        put_legend(&picture);
        r = put_frames(&picture);
    }
    for (size_t i = 0; i < flame->note_count; i++)
        if (!flame->notes[i].warn)
            put_line(&picture, "note", flame->notes[i].text);
    *ret_height = picture.y;
    return r;
}
