#include "view/text_report.h"

#include "base/cleanup.h"

// How the node's callers call it.
static const char *inline_note(const struct hone_graph *graph, const struct hone_graph_node *node)
{
    bool inlined = false;
    bool called = false;
    for (uint32_t i = node->first_in; i != HONE_GRAPH_NONE; i = graph->edges[i].next_in) {
        inlined |= graph->edges[i].inlined;
        called |= !graph->edges[i].inlined;
    }
    return !inlined ? "" : called ? " (partial-inline)" : " (inline)";
}

static void put_row(const struct hone_report *report, const struct hone_graph *graph,
                    const struct hone_graph_node *node, int64_t flat_sum)
{
    int64_t flat = hone_graph_value(node->flat);
    int64_t cum = hone_graph_value(node->cum);
    int64_t total = report->total;
    hone_buffer_format(
        report->out, "%10s %s %s %10s %s  ", hone_report_value(report, flat).text,
        hone_measure_percentage(flat, total).text, hone_measure_percentage(flat_sum, total).text,
        hone_report_value(report, cum).text, hone_measure_percentage(cum, total).text);
    const char *note = inline_note(graph, node);
    hone_report_name(report, graph->places[node->place].together, 44, (uint32_t)strlen(note));
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
    r = hone_report_graph(&report, report.options->rows, HONE_GRAPH_INLINED_EDGES, &graph, err);
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
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        flat_sum += (uint64_t)hone_graph_value(node->flat);
        put_row(&report, graph, node, (int64_t)flat_sum);
    }
    return hone_report_finish(&report, err);
}
