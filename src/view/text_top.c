#include "view/text_report.h"

#include "base/cleanup.h"

// Whether anything was inlined into something else; without it, calls need not be looked at.
static bool has_inlined(const struct hone_profile *p)
{
    for (uint32_t i = 1; i < p->locations.count; i++)
        if (p->locations.first_line[i + 1] - p->locations.first_line[i] > 1)
            return true;
    return false;
}

// How the node's callers call it.
static const char *inline_note(const struct hone_graph *graph, uint32_t node)
{
    bool inlined = false;
    bool called = false;
    for (uint32_t i = graph->nodes[node].first_in;
         graph->edge_count && i < graph->nodes[node + 1].first_in; i++) {
        inlined |= graph->edges[graph->in[i]].inlined;
        called |= !graph->edges[graph->in[i]].inlined;
    }
    return !inlined ? "" : called ? " (partial-inline)" : " (inline)";
}

static void put_row(const struct hone_report *report, const struct hone_graph *graph, uint32_t node,
                    int64_t flat_sum)
{
    const struct hone_graph_node *row = &graph->nodes[node];
    int64_t flat = hone_graph_value(row->flat, row->flat_count);
    int64_t cum = hone_graph_value(row->cum, row->cum_count);
    int64_t total = report->total;
    hone_buffer_format(
        report->out, "%10s %s %s %10s %s  ", hone_report_value(report, flat).text,
        hone_measure_percentage(flat, total).text, hone_measure_percentage(flat_sum, total).text,
        hone_report_value(report, cum).text, hone_measure_percentage(cum, total).text);
    const char *note = inline_note(graph, node);
    hone_report_name(report, row->name, 44, (uint32_t)strlen(note));
    hone_buffer_format(report->out, "%s\n", note);
}

int hone_text_top(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = NULL;
    r = hone_report_graph(&report, report.options->rows, has_inlined(profile), &graph, err);
    if (r)
        return r;
    hone_report_head(&report);
    if (hone_report_is_empty(&report)) {
        hone_report_empty(&report);
        return hone_report_finish(&report, err);
    }
    hone_report_graph_head(&report, graph);
    hone_buffer_format(out, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
    uint64_t flat_sum = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        flat_sum += (uint64_t)hone_graph_value(graph->nodes[i].flat, graph->nodes[i].flat_count);
        put_row(&report, graph, i, (int64_t)flat_sum);
    }
    return hone_report_finish(&report, err);
}
