#include "view/text_report.h"

#include "base/cleanup.h"

enum { ROWS_DEFAULT = 80 };

static const char separator[] =
    "----------------------------------------------------------+-------------\n";

static void put_call(const struct hone_report *report, const struct hone_graph *graph,
                     const struct hone_graph_edge *edge, uint32_t other, int64_t cum)
{
    hone_buffer_format(report->out, "%50s %s |   ", hone_report_value(report, edge->weight).text,
                       hone_measure_percentage(edge->weight, cum).text);
    hone_report_name(report, graph->nodes[other].name, 62, edge->inlined ? 9 : 0);
    hone_buffer_text(report->out, edge->inlined ? " (inline)\n" : "\n");
}

static void put_node(const struct hone_report *report, const struct hone_graph *graph,
                     uint32_t node, int64_t flat_sum)
{
    const struct hone_graph_node *at = &graph->nodes[node];
    int64_t flat = hone_graph_value(at->flat, at->flat_count);
    int64_t cum = hone_graph_value(at->cum, at->cum_count);
    hone_buffer_text(report->out, separator);
    for (uint32_t i = at[0].first_in; i < at[1].first_in; i++) {
        const struct hone_graph_edge *edge = &graph->edges[graph->in[i]];
        put_call(report, graph, edge, edge->from, cum);
    }
    hone_buffer_format(
        report->out, "%10s %s %s %10s %s                | ", hone_report_value(report, flat).text,
        hone_measure_percentage(flat, report->total).text,
        hone_measure_percentage(flat_sum, report->total).text, hone_report_value(report, cum).text,
        hone_measure_percentage(cum, report->total).text);
    hone_report_name(report, at->name, 60, 0);
    hone_buffer_text(report->out, "\n");
    for (uint32_t i = at[0].first_out; i < at[1].first_out; i++) {
        const struct hone_graph_edge *edge = &graph->edges[graph->out[i]];
        put_call(report, graph, edge, edge->to, cum);
    }
}

// A row for each node; with a pattern only for those that it matches.
static int put_nodes(struct hone_report *report, uint32_t rows, struct hone_error *err)
{
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = NULL;
    int r = hone_report_graph(report, rows, true, &graph, err);
    if (r)
        return r;
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
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (report->options->pattern &&
            !hone_pattern_matches(report->options->pattern, graph->nodes[i].name))
            continue;
        any = true;
        flat_sum += (uint64_t)hone_graph_value(graph->nodes[i].flat, graph->nodes[i].flat_count);
        put_node(report, graph, i, (int64_t)flat_sum);
    }
    if (report->options->pattern && !any)
        return hone_report_no_match(report, err);
    if (graph->node_count)
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
