// The hot path: from the root on always the call that takes most, as long as it takes most of what
// is left, and what else there is beside it.
#include "analyse/tree.h"
#include "base/cleanup.h"
#include "view/text_report.h"

#include <errno.h>

enum { NAME_COLUMN = 42 };

struct path {
    struct hone_report *report;
    const struct hone_tree *tree;
};

static const double worth_telling = 0.02; // of the whole: what leaves the path
static const double keeps = 1.0 / 3;      // of its caller: less, and the path has scattered

static void put_row(const struct path *path, uint32_t node)
{
    const struct hone_tree_node *nodes = path->tree->nodes;
    const struct hone_tree_node *at = &nodes[node];
    hone_buffer_format(path->report->out, "%10s %s %s %10s  ",
                       hone_report_value(path->report, at->total).text,
                       hone_measure_percentage(at->total, path->report->total).text,
                       hone_measure_percentage(at->total, nodes[at->parent].total).text,
                       at->self ? hone_report_value(path->report, at->self).text : ".");
    const struct hone_tree_frame *frame = &path->tree->frames[at->frame];
    char line[16] = "";
    if (frame->line)
        (void)snprintf(line, sizeof line, ":%u", frame->line);
    const char *inlined = frame->inlined ? " (inline)" : "";
    hone_report_name(path->report, frame->name, NAME_COLUMN,
                     (uint32_t)(strlen(line) + strlen(inlined)));
    hone_buffer_format(path->report->out, "%s%s\n", line, inlined);
}

// A share without the blanks before it.
static const char *bare(const char *text)
{
    return text + strspn(text, " ");
}

// What the path leaves behind here: "also" and its largest siblings.
static void put_beside(const struct path *path, uint32_t node, uint32_t taken, const char *word)
{
    enum { NAMED = 4 };
    const struct hone_tree_node *nodes = path->tree->nodes;
    int64_t whole = path->report->total;
    uint32_t named = 0;
    for (uint32_t child = node + 1; child < nodes[node].end && named < NAMED;
         child = nodes[child].end) {
        if (child == taken || (double)nodes[child].total < worth_telling * (double)whole)
            continue;
        hone_buffer_format(path->report->out, "%*s%-5s%6s  ", NAME_COLUMN - 13, "",
                           named ? "" : word,
                           bare(hone_measure_percentage(nodes[child].total, whole).text));
        hone_report_name(path->report, path->tree->frames[nodes[child].frame].name, NAME_COLUMN, 0);
        hone_buffer_text(path->report->out, "\n");
        named++;
    }
}

static void put_end(const struct path *path, uint32_t node)
{
    const struct hone_tree_node *nodes = path->tree->nodes;
    const struct hone_tree_node *at = &nodes[node];
    uint32_t child = node + 1 < at->end ? node + 1 : 0;
    bool own = !child || at->self >= nodes[child].total;
    put_beside(path, node, 0, "then");
    hone_buffer_format(path->report->out, "\n%s ",
                       own ? "It ends where most is the function's own:" : "There it scatters:");
    hone_buffer_format(path->report->out, "%s of %s itself",
                       bare(hone_measure_percentage(at->self, at->total).text),
                       bare(hone_measure_percentage(at->total, path->report->total).text));
    if (child)
        hone_buffer_format(path->report->out, ", no call of it more than %s",
                           bare(hone_measure_percentage(nodes[child].total, at->total).text));
    hone_buffer_text(path->report->out, ".\n");
}

// Siblings are in order, so the largest child is the first.
static void put_path(const struct path *path)
{
    const struct hone_tree_node *nodes = path->tree->nodes;
    uint32_t node = 0;
    for (;;) {
        uint32_t child = node + 1;
        if (child >= nodes[node].end || nodes[child].total <= 0 ||
            nodes[node].self > nodes[child].total ||
            (double)nodes[child].total < keeps * (double)nodes[node].total)
            break;
        put_row(path, child);
        // Beside what was taken, what its caller did else.
        put_beside(path, node, child, "also");
        node = child;
    }
    put_end(path, node);
}

int hone_text_hot_path(const struct hone_profile *profile, const struct hone_text_options *options,
                       struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    const struct hone_tree_limit limit = {.max_nodes = 1, .part = 0.9 * worth_telling};
    int r = hone_report_tree(&report, profile, options, &limit, out, &tree, err);
    if (r)
        return r;
    if (hone_report_is_empty(&report)) {
        hone_report_empty(&report);
        return hone_report_finish(&report, err);
    }
    if (tree->node_count < 2 || tree->nodes[1].total <= 0) {
        hone_report_sentence(&report, "No call is left to follow.");
        return hone_report_finish(&report, err);
    }
    hone_buffer_format(out, "%10s %6s %6s %10s  function, each called by the one above\n", "total",
                       "share", "caller", "self");
    put_path(&(struct path){.report = &report, .tree = tree});
    return hone_report_finish(&report, err);
}
