// The rows of a table as a profile: one sample for each, with what it took itself and with what it
// called.
#include "view/text_report.h"

#include "base/cleanup.h"

#include <errno.h>
#include <math.h>

static int64_t whole(const struct hone_report *report, struct hone_graph_value sum)
{
    const char *unit;
    double value =
        hone_measure_scale(hone_graph_value(sum), report->unit, report->shown_unit, &unit);
    return fabs(value) < 9.2e18 ? (int64_t)value : INT64_MIN;
}

static uint32_t copy_text(struct hone_profile *to, const struct hone_profile *from, uint32_t string)
{
    return hone_profile_intern_str(to, hone_profile_str(from, string));
}

// What the grouping looks at is the row's; the rest is left out.
static uint32_t add_place(struct hone_profile *to, const struct hone_report *report,
                          const struct hone_graph_place *place)
{
    const struct hone_profile *p = report->profile;
    enum hone_graph_group group = hone_report_group(report);
    bool lines = group == HONE_GRAPH_LINE || group == HONE_GRAPH_ADDRESS;
    struct hone_profile_function function = {0};
    struct hone_profile_line line = {0};
    if (place->number != HONE_GRAPH_NO_LINE) {
        const struct hone_profile_line *from = &p->lines.at[place->number];
        if (group != HONE_GRAPH_FILE)
            function.name = copy_text(to, p, p->functions.name[from->function]);
        if (group != HONE_GRAPH_FUNCTION)
            function.file = copy_text(to, p, p->functions.file[from->function]);
        if (!function.name)
            function.start_line = p->functions.start_line[from->function];
        line.number = lines ? from->number : 0;
    }
    line.function = hone_profile_add_function_as_is(to, &function);
    return hone_profile_add_location(
        to, &(struct hone_profile_location){
                .address = group == HONE_GRAPH_ADDRESS ? p->locations.address[place->location] : 0,
                .lines = &line,
                .line_count = 1});
}

static int make(const struct hone_report *report, const struct hone_graph *graph,
                struct hone_profile *to)
{
    const struct hone_profile *p = report->profile;
    (void)hone_profile_add_type(to, "cum", report->shown_unit);
    (void)hone_profile_add_type(to, "flat", report->shown_unit);
    to->time_ns = p->time_ns;
    to->duration_ns = p->duration_ns;
    hone_profile_set_period(to, hone_profile_text(p, p->period_type.type),
                            hone_profile_text(p, p->period_type.unit), p->period);
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        uint32_t place = add_place(to, report, &graph->places[node->place]);
        uint32_t stack = hone_profile_add_stack(to, &place, place != 0);
        const int64_t values[] = {whole(report, node->cum), whole(report, node->flat)};
        (void)hone_profile_add_sample_in_set(to, stack, values, 0);
    }
    return hone_profile_status(to);
}

int hone_view_top_profile(const struct hone_profile *profile,
                          const struct hone_text_options *options, struct hone_buffer *out,
                          struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = NULL;
    r = hone_report_graph(&report, report.options->rows, HONE_GRAPH_NO_EDGES, &graph, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *top = hone_profile_new();
    r = top ? make(&report, graph, top) : -ENOMEM;
    if (r)
        return hone_error_set(err, r, "cannot make a profile of the rows");
    return hone_profile_encode_gzip(top, out, err);
}
