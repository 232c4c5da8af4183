#include "view/text_report.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

enum { ROWS_DEFAULT = 80 };

static const char separator[] =
    "----------------------------------------------------------+-------------\n";

// The graph, and room for the calls of its node that has most.
struct tree {
    struct hone_report *report;
    struct hone_graph *graph;
    uint32_t *edges;
};

static void tree_done(struct tree *tree)
{
    hone_graph_free(tree->graph);
    free(tree->edges);
}

static int tree_init(struct tree *tree, uint32_t rows, struct hone_error *err)
{
    int r = hone_report_graph(tree->report, rows, HONE_GRAPH_ALL_EDGES, &tree->graph, err);
    if (r)
        return r;
    const struct hone_graph *graph = tree->graph;
    uint32_t most = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        most = node->in_count > most ? node->in_count : most;
        most = node->out_count > most ? node->out_count : most;
    }
    tree->edges = calloc((size_t)most + 1, sizeof *tree->edges);
    return tree->edges ? 0 : hone_error_set(err, -ENOMEM, "cannot write the report");
}

static struct hone_str name_of(const struct tree *tree, uint32_t node)
{
    return tree->graph->places[tree->graph->nodes[node].place].together;
}

static void put_call(const struct tree *tree, const struct hone_graph_edge *edge, uint32_t other,
                     int64_t cum)
{
    struct hone_buffer *out = tree->report->out;
    int64_t weight = edge->weight.sum; // calls of means are sums, as pprof has them
    hone_buffer_format(out, "%50s %s |   ", hone_report_value(tree->report, weight).text,
                       hone_measure_percentage(weight, cum).text);
    hone_report_name(tree->report, name_of(tree, other), 62, edge->inlined ? 9 : 0);
    hone_buffer_text(out, edge->inlined ? " (inline)\n" : "\n");
}

static void put_node(const struct tree *tree, uint32_t number, int64_t flat_sum)
{
    const struct hone_report *report = tree->report;
    const struct hone_graph *graph = tree->graph;
    const struct hone_graph_node *node = &graph->nodes[number];
    int64_t flat = hone_graph_value(node->flat);
    int64_t cum = hone_graph_value(node->cum);
    hone_buffer_text(report->out, separator);
    hone_graph_sort_in(graph, number, tree->edges);
    for (uint32_t i = 0; i < node->in_count; i++)
        put_call(tree, &graph->edges[tree->edges[i]], graph->edges[tree->edges[i]].from, cum);
    hone_buffer_format(
        report->out, "%10s %s %s %10s %s                | ", hone_report_value(report, flat).text,
        hone_measure_percentage(flat, report->total).text,
        hone_measure_percentage(flat_sum, report->total).text, hone_report_value(report, cum).text,
        hone_measure_percentage(cum, report->total).text);
    hone_report_name(report, name_of(tree, number), 60, 0);
    hone_buffer_text(report->out, "\n");
    hone_graph_sort_out(graph, number, tree->edges);
    for (uint32_t i = 0; i < node->out_count; i++)
        put_call(tree, &graph->edges[tree->edges[i]], graph->edges[tree->edges[i]].to, cum);
}

// A row for each node; with a pattern only for those that it matches.
static int put_nodes(struct hone_report *report, uint32_t rows, struct hone_error *err)
{
    HONE_CLEANUP(tree_done) struct tree tree = {.report = report};
    int r = tree_init(&tree, rows, err);
    if (r)
        return r;
    const struct hone_graph *graph = tree.graph;
    hone_report_head(report);
    if (hone_report_is_empty(report)) {
        hone_report_empty(report);
        return hone_report_finish(report, err);
    }
    hone_report_graph_head(report, graph);
    hone_buffer_text(report->out, separator);
    hone_buffer_text(report->out,
                     "      flat  flat%   sum%        cum   cum%   calls calls% + context "
                     "\t \t \n"); // pprof's, with its blanks
    uint64_t flat_sum = 0;
    bool any = false;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        uint32_t node = graph->order[i];
        if (report->options->pattern &&
            !hone_pattern_matches(report->options->pattern, name_of(&tree, node)))
            continue;
        any = true;
        flat_sum += (uint64_t)hone_graph_value(graph->nodes[node].flat);
        put_node(&tree, node, (int64_t)flat_sum);
    }
    if (report->options->pattern && !any)
        return hone_report_no_match(report, err);
    if (graph->shown_count)
        hone_buffer_text(report->out, separator);
    return hone_report_finish(report, err);
}

int hone_text_tree(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    uint32_t rows = report.options->rows;
    if (!rows && !report.options->all && !report.options->strict)
        rows = ROWS_DEFAULT;
    return put_nodes(&report, rows, err);
}

// Nothing is left out: who asks for a function by name wants to see it, however small.
int hone_text_peek(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    struct hone_text_options all = options ? *options : (struct hone_text_options){0};
    all.all = true;
    struct hone_report report;
    int r = hone_report_init(&report, profile, &all, out, err);
    return r ? r : put_nodes(&report, 0, err);
}
