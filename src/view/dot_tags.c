// The boxes of tags: for each node the four words of most weight, and beside each word, and beside
// the node itself, up to four boxes of sizes. Where there are more sizes, they join the nearest of
// the four largest and the box tells their range.
#include "view/dot_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { BOXES_MAX = 4 };

// One box to be.
struct box {
    struct hone_str name;
    const struct hone_graph_tag *tag; // NULL for a range of several
    struct hone_graph_value flat;
    struct hone_graph_value cum;
};

static int64_t size_of(int64_t value)
{
    return value < 0 ? (int64_t)(0 - (uint64_t)value) : value;
}

static int compare_flat(const void *left, const void *right)
{
    const struct box *a = left;
    const struct box *b = right;
    if (size_of(a->flat.sum) != size_of(b->flat.sum))
        return size_of(a->flat.sum) > size_of(b->flat.sum) ? -1 : 1;
    return hone_str_compare(a->name, b->name);
}

static int compare_cum(const void *left, const void *right)
{
    const struct box *a = left;
    const struct box *b = right;
    if (size_of(a->cum.sum) != size_of(b->cum.sum))
        return size_of(a->cum.sum) > size_of(b->cum.sum) ? -1 : 1;
    return compare_flat(left, right);
}

static void sort(struct box *boxes, uint32_t count, bool flat)
{
    if (count)
        qsort(boxes, count, sizeof *boxes, flat ? compare_flat : compare_cum);
}

// --- ranges of sizes -----------------------------------------------------------------------------

static double scaled(const struct hone_dot *dot, int64_t value)
{
    const char *unit;
    return hone_measure_scale(value, dot->labels.unit, dot->labels.unit, &unit);
}

// Gathers boxes from at on into the nearest of the first four.
struct group {
    const struct hone_graph_tag *smallest;
    const struct hone_graph_tag *largest;
    uint32_t count;
    struct hone_graph_value flat;
    struct hone_graph_value cum;
};

static void add_value(struct hone_graph_value *sum, struct hone_graph_value value)
{
    sum->sum = (int64_t)((uint64_t)sum->sum + (uint64_t)value.sum);
    sum->count = (int64_t)((uint64_t)sum->count + (uint64_t)value.count);
}

static void join_group(const struct hone_dot *dot, struct group *group,
                       const struct hone_graph_tag *tag)
{
    // Numbers far beyond what sizes are cannot be told apart here; the cast must stay defined.
    double value = scaled(dot, tag->number);
    int64_t number = value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
    if (!group->count || number < group->smallest->number)
        group->smallest = tag;
    if (!group->count || number > group->largest->number)
        group->largest = tag;
    group->count++;
    add_value(&group->flat, tag->flat);
    add_value(&group->cum, tag->cum);
}

// Of a range the divided sums, which are sorted and shown as they are.
static struct hone_graph_value plain(struct hone_graph_value value)
{
    return (struct hone_graph_value){.sum = hone_graph_value(value)};
}

static int name_group(struct hone_dot *dot, const struct group *group, struct box *box)
{
    const char *unit = dot->labels.unit;
    struct hone_measure_label from = hone_measure_label(group->smallest->number, unit, "auto");
    struct hone_measure_label to = hone_measure_label(group->largest->number, unit, "auto");
    bool several = group->count > 1;
    const char *name = hone_arena_format(&dot->arena, "%s%s%s", from.text, several ? ".." : "",
                                         several ? to.text : "");
    *box = (struct box){
        .name = hone_str_of(name), .flat = plain(group->flat), .cum = plain(group->cum)};
    return name ? 0 : -ENOMEM;
}

static int join_sizes(struct hone_dot *dot, struct box *boxes, uint32_t *count, bool flat)
{
    sort(boxes, *count, flat);
    if (*count <= BOXES_MAX)
        return 0;
    struct group groups[BOXES_MAX] = {0};
    double middle[BOXES_MAX];
    for (uint32_t i = 0; i < *count; i++) {
        uint32_t nearest = i;
        if (i < BOXES_MAX) {
            middle[i] = scaled(dot, boxes[i].tag->number);
        } else {
            nearest = 0;
            double number = (double)boxes[i].tag->number;
            for (uint32_t k = 1; k < BOXES_MAX; k++)
                if (fabs(middle[k] - number) < fabs(middle[nearest] - number))
                    nearest = k;
        }
        join_group(dot, &groups[nearest], boxes[i].tag);
    }
    int r = 0;
    for (uint32_t i = 0; !r && i < BOXES_MAX; i++)
        r = name_group(dot, &groups[i], &boxes[i]);
    *count = BOXES_MAX;
    sort(boxes, r ? 0 : BOXES_MAX, flat);
    return r;
}

// --- writing -------------------------------------------------------------------------------------

struct beside { // what the boxes belong to
    uint32_t node;
    int word; // place of the box of words; -1: the node itself
};

static void put_source(struct hone_buffer *out, const struct beside *beside)
{
    hone_buffer_format(out, "N%u", beside->node);
    if (beside->word >= 0)
        hone_buffer_format(out, "_%d", beside->word);
}

static int put_sizes(struct hone_dot *dot, const struct beside *beside, struct box *boxes,
                     uint32_t count, bool flat)
{
    struct hone_buffer *out = dot->report.out;
    int r = join_sizes(dot, boxes, &count, flat);
    for (uint32_t i = 0; !r && i < count; i++) {
        int64_t own = hone_graph_value(boxes[i].flat);
        int64_t all = hone_graph_value(boxes[i].cum);
        bool solid = flat || own == all;
        int64_t value = solid ? own : all;
        if (!value)
            continue;
        struct hone_measure_label label = hone_report_value(&dot->report, value);
        const char *weight = label.text;
        hone_buffer_text(out, "N");
        put_source(out, beside);
        hone_buffer_format(out, "_%u [label = \"", i);
        hone_buffer_add(out, boxes[i].name.at, boxes[i].name.len);
        hone_buffer_text(out, "\" id=\"N");
        put_source(out, beside);
        hone_buffer_format(out, "_%u\" fontsize=8 shape=box3d tooltip=\"%s\"]\n", i, weight);
        put_source(out, beside);
        hone_buffer_text(out, " -> N");
        put_source(out, beside);
        hone_buffer_format(out,
                           "_%u [label=\" %s\" weight=100 tooltip=\"%s\" labeltooltip=\"%s\"%s]\n",
                           i, weight, weight, weight, solid ? "" : " style=\"dotted\"");
    }
    return r;
}

static void put_word(struct hone_dot *dot, uint32_t node, uint32_t place, const struct box *box,
                     int64_t value)
{
    struct hone_buffer *out = dot->report.out;
    struct hone_measure_label label = hone_report_value(&dot->report, value);
    const char *weight = label.text;
    hone_buffer_format(out, "N%u_%u [label = \"", node, place);
    hone_buffer_add(out, box->name.at, box->name.len);
    hone_buffer_format(out, "\" id=\"N%u_%u\" fontsize=8 shape=box3d tooltip=\"%s\"]\n", node,
                       place, weight);
    hone_buffer_format(out,
                       "N%u -> N%u_%u [label=\" %s\" weight=100 tooltip=\"%s\" "
                       "labeltooltip=\"%s\"]\n",
                       node, node, place, weight, weight, weight);
}

// The node's words (word HONE_GRAPH_NONE) or the sizes beside a word.
static uint32_t pick(const struct hone_dot *dot, const struct hone_graph_node *node, uint32_t word,
                     struct box *boxes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->tag_count; i++) {
        const struct hone_graph_tag *tag = &dot->graph->tags[node->first_tag + i];
        bool wanted = word == HONE_GRAPH_NONE ? !tag->size : tag->size && tag->word == word;
        if (wanted)
            boxes[count++] = (struct box){.tag = tag,
                                          .name = tag->size ? dot->labels.sizes[tag->size]
                                                            : dot->labels.words[tag->word],
                                          .flat = tag->flat,
                                          .cum = tag->cum};
    }
    return count;
}

int hone_dot_tags(struct hone_dot *dot, uint32_t number, bool *ret_any)
{
    const struct hone_graph_node *node = &dot->graph->nodes[number];
    size_t before = dot->report.out->len;
    bool flat = node->out_count > 0; // a leaf also stands for what went away below it
    *ret_any = false;
    if (!node->tag_count)
        return 0;
    struct box *words = calloc(node->tag_count, sizeof *words);
    struct box *sizes = calloc(node->tag_count, sizeof *sizes);
    int r = words && sizes ? 0 : -ENOMEM;
    uint32_t count = r ? 0 : pick(dot, node, HONE_GRAPH_NONE, words);
    sort(words, count, flat);
    for (uint32_t i = 0; !r && i < count && i < BOXES_MAX; i++) {
        int64_t value = hone_graph_value(flat ? words[i].flat : words[i].cum);
        if (!value)
            continue;
        put_word(dot, node->number, i, &words[i], value);
        r = put_sizes(dot, &(struct beside){node->number, (int)i}, sizes,
                      pick(dot, node, words[i].tag->word, sizes), flat);
    }
    if (!r)
        r = put_sizes(dot, &(struct beside){node->number, -1}, sizes, pick(dot, node, 0, sizes),
                      flat);
    free(words);
    free(sizes);
    *ret_any = dot->report.out->len > before;
    return r;
}
