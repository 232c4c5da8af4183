// The call tree as text: top-down, indented where it divides, and without what is too small. Of a
// difference, nodes may be negative; one counts as large as the largest change at or below it.
#include "analyse/tally.h"
#include "analyse/tree.h"
#include "base/cleanup.h"
#include "view/text_report.h"

#include <errno.h>
#include <stdlib.h>

enum {
    ROWS_DEFAULT = 60,
    NAME_COLUMN = 32,
    INDENT_MAX = 32, // columns: deeper branches lose the left end of their lines
};

struct calls {
    struct hone_report *report;
    const struct hone_tree *tree;
    uint64_t least;   // nodes below are left out
    uint64_t *weight; // by node: its size, at least that of each node that it calls
    uint32_t *column; // by depth: where the lines of its branches stand
    uint8_t *open;    // by depth: more branches follow
};

static void calls_done(struct calls *calls)
{
    free(calls->weight);
    free(calls->column);
    free(calls->open);
}

static int compare_weights(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

static uint32_t rows_of(const struct hone_text_options *options)
{
    return options->rows ? options->rows : options->all ? UINT32_MAX : ROWS_DEFAULT;
}

static int weigh(struct calls *calls)
{
    const struct hone_tree *tree = calls->tree;
    calls->weight = calloc(tree->node_count, sizeof *calls->weight);
    if (!calls->weight)
        return -ENOMEM;
    for (size_t i = tree->node_count; i-- > 0;) { // what it calls stands behind a node
        uint64_t own = hone_tally_magnitude(tree->nodes[i].total);
        uint64_t *above = &calls->weight[tree->nodes[i].parent];
        if (own > calls->weight[i])
            calls->weight[i] = own;
        if (calls->weight[i] > *above)
            *above = calls->weight[i];
    }
    return 0;
}

// The smallest weight that is shown: a part of the whole, or what the last of the rows has. A
// caller weighs at least as much as what it calls, so nobody is shown without his callers.
static int choose_least(struct calls *calls)
{
    const struct hone_tree *tree = calls->tree;
    const struct hone_text_options *o = calls->report->options;
    double fraction = o->node_fraction > 0 ? o->node_fraction : 0.005;
    calls->least = o->all ? 1 : (uint64_t)(fraction * (double)calls->weight[0]);
    if (calls->least < 1)
        calls->least = 1;
    uint32_t rows = rows_of(o);
    size_t count = 0;
    for (size_t i = 1; i < tree->node_count; i++)
        count += calls->weight[i] >= calls->least;
    if (count <= rows)
        return 0;
    HONE_CLEANUP(hone_freep) uint64_t *weights = calloc(count, sizeof *weights);
    if (!weights)
        return -ENOMEM;
    count = 0;
    for (size_t i = 1; i < tree->node_count; i++)
        if (calls->weight[i] >= calls->least)
            weights[count++] = calls->weight[i];
    qsort(weights, count, sizeof *weights, compare_weights);
    // Those that are as large as the first that has no room stay out with it.
    calls->least = weights[rows] + 1;
    return 0;
}

// How many children are shown, and what the others are together.
static uint32_t shown_children(const struct calls *calls, uint32_t node, uint32_t *ret_others,
                               int64_t *ret_hidden)
{
    const struct hone_tree_node *nodes = calls->tree->nodes;
    uint32_t shown = 0;
    *ret_others = nodes[node].children_left_out;
    *ret_hidden = hone_tree_left_out(calls->tree, node);
    for (uint32_t child = node + 1; child < nodes[node].end; child = nodes[child].end) {
        if (calls->weight[child] >= calls->least) {
            shown++;
            continue;
        }
        *ret_others += 1;
        *ret_hidden += nodes[child].total;
    }
    return shown;
}

static void put_values(const struct calls *calls, int64_t total, int64_t self)
{
    hone_buffer_format(calls->report->out, "%10s %s %10s  ",
                       hone_report_value(calls->report, total).text,
                       hone_measure_percentage(total, calls->report->total).text,
                       self ? hone_report_value(calls->report, self).text : ".");
}

// The lines left of a name: one for each caller with more branches to come. Returns its columns.
static uint32_t put_lines(const struct calls *calls, uint32_t depth, bool branch, bool last)
{
    struct hone_buffer *out = calls->report->out;
    uint32_t columns = calls->column[depth] + (branch ? 2 : 0);
    uint32_t skip = columns > INDENT_MAX ? columns - INDENT_MAX : 0;
    uint32_t at = skip;
    if (skip)
        hone_buffer_text(out, "…");
    at += skip ? 1 : 0;
    uint32_t level = 0;
    for (; at < calls->column[depth]; at++) {
        while (level < depth && calls->column[level] < at)
            level++;
        // Several depths may share a column where a chain does not divide; the last one tells.
        bool line = false;
        for (uint32_t i = level; i < depth && calls->column[i] == at; i++)
            line |= calls->open[i];
        hone_buffer_text(out, line ? "│" : " ");
    }
    if (branch)
        hone_buffer_text(out, last ? "└ " : "├ ");
    return columns - skip;
}

static void put_node(struct calls *calls, uint32_t node, bool branch, bool last)
{
    const struct hone_tree_node *at = &calls->tree->nodes[node];
    put_values(calls, at->total, at->self);
    uint32_t columns = put_lines(calls, at->depth, branch, last);
    const struct hone_tree_frame *frame = &calls->tree->frames[at->frame];
    char line[16] = "";
    if (frame->line)
        (void)snprintf(line, sizeof line, ":%u", frame->line);
    const char *inlined = frame->inlined ? " (inline)" : "";
    hone_report_name(calls->report, frame->name, NAME_COLUMN + columns,
                     (uint32_t)(strlen(line) + strlen(inlined)));
    hone_buffer_format(calls->report->out, "%s%s\n", line, inlined);
}

static void put_others(struct calls *calls, uint32_t depth, uint32_t others, int64_t hidden)
{
    put_values(calls, hidden, 0);
    (void)put_lines(calls, depth, true, true);
    hone_buffer_format(calls->report->out, "(%u smaller)\n", others);
}

// A node that is shown, and where among its siblings.
struct open {
    uint32_t names;  // column where its name stands, and what hangs below it
    uint32_t left;   // children still to be shown
    uint32_t others; // children that are not shown …
    int64_t hidden;  // … and what they take
    bool branches;   // it has several rows below it
};

// In the order of the nodes, callers before what they call.
static int put_tree(struct calls *calls)
{
    const struct hone_tree_node *nodes = calls->tree->nodes;
    HONE_CLEANUP(hone_freep)
    struct open *open = calloc((size_t)calls->tree->depth + 2, sizeof *open);
    if (!open)
        return -ENOMEM;
    uint32_t depth = 0;
    open[0].left = shown_children(calls, 0, &open[0].others, &open[0].hidden);
    open[0].branches = open[0].left + (open[0].others > 0) > 1;
    for (uint32_t i = 1; i <= calls->tree->node_count; i++) {
        bool end = i == calls->tree->node_count;
        while (end || nodes[i].depth <= depth) {
            struct open *done = &open[depth];
            // What was left out is a row only beside others: below a node alone it is the rest.
            if (done->others && done->branches) {
                calls->column[depth + 1] = done->names;
                put_others(calls, depth + 1, done->others, done->hidden);
            }
            done->others = 0;
            if (!depth)
                break;
            depth--;
        }
        if (end)
            break;
        if (calls->weight[i] < calls->least) {
            i = nodes[i].end - 1;
            continue;
        }
        struct open *parent = &open[depth];
        bool last = --parent->left == 0 && !parent->others;
        uint32_t below = nodes[i].depth;
        bool chain = !parent->branches;
        calls->column[below] = parent->names;
        put_node(calls, i, !chain, last);
        calls->open[below] = !chain && !last;
        depth = below;
        open[depth] = (struct open){.names = parent->names + (chain ? 0 : 2)};
        open[depth].left = shown_children(calls, i, &open[depth].others, &open[depth].hidden);
        open[depth].branches =
            open[depth].left > 1 || (open[depth].left == 1 && open[depth].others > 0);
    }
    return 0;
}

static int show(struct calls *calls)
{
    size_t depths = (size_t)calls->tree->depth + 3;
    calls->column = calloc(depths, sizeof *calls->column);
    calls->open = calloc(depths, sizeof *calls->open);
    int r = calls->column && calls->open ? weigh(calls) : -ENOMEM;
    if (!r)
        r = choose_least(calls);
    if (r)
        return r;
    hone_buffer_format(calls->report->out, "%10s %6s %10s  function\n", "total", "share", "self");
    put_values(calls, calls->tree->nodes[0].total, calls->tree->nodes[0].self);
    hone_buffer_text(calls->report->out, "all\n");
    return put_tree(calls);
}

int hone_text_calls(const struct hone_profile *profile, const struct hone_text_options *options,
                    struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    uint32_t rows = options ? rows_of(options) : ROWS_DEFAULT;
    // The root, the rows, and the first that has no room.
    const struct hone_tree_limit limit = {.max_nodes = rows < INT32_MAX ? rows + 2 : 0};
    int r = hone_report_tree(&report, profile, options, &limit, out, &tree, err);
    if (r)
        return r;
    if (hone_report_is_empty(&report)) {
        hone_report_empty(&report);
        return hone_report_finish(&report, err);
    }
    HONE_CLEANUP(calls_done) struct calls calls = {.report = &report, .tree = tree};
    r = show(&calls);
    return r ? hone_error_set(err, r, "cannot write the report") : hone_report_finish(&report, err);
}
