#include "view/text_report.h"

#include "analyse/nodes.h"
#include "base/cleanup.h"
#include "profile/filter.h"

#include <errno.h>
#include <stdlib.h>

static const char separator[] =
    "-----------+-------------------------------------------------------\n";

struct traces {
    struct hone_report report;
    struct hone_nodes nodes;
    struct hone_arena names;
    struct hone_str *lines;            // by node, twice: as it is printed, and where it is inlined
    const char **units;                // by string: of the numbers of this key
    struct hone_profile_label *labels; // of the sample at hand
};

static void traces_done(struct traces *traces)
{
    hone_nodes_done(&traces->nodes);
    hone_arena_done(&traces->names);
    free(traces->lines);
    free(traces->units);
    free(traces->labels);
}

// --- labels --------------------------------------------------------------------------------------

enum { KEY_WIDTH = 10 };

// The character of a key that is printed right-aligned.
static int printed_at(struct hone_str key, size_t column)
{
    size_t blank = key.len < KEY_WIDTH ? KEY_WIDTH - key.len : 0;
    if (column < blank)
        return ' ';
    return column - blank < key.len ? (unsigned char)key.at[column - blank] : 0;
}

// As pprof orders the lines: texts before numbers, then by what is printed, blanks and all.
static int compare_labels(const struct hone_profile *p, const struct hone_profile_label *a,
                          const struct hone_profile_label *b)
{
    if ((a->text != 0) != (b->text != 0))
        return a->text ? -1 : 1;
    struct hone_str key_a = hone_profile_str(p, a->key);
    struct hone_str key_b = hone_profile_str(p, b->key);
    size_t width = (key_a.len > key_b.len ? key_a.len : key_b.len) + KEY_WIDTH;
    int order = 0;
    for (size_t column = 0; !order && column < width; column++)
        order = printed_at(key_a, column) - printed_at(key_b, column);
    return order;
}

// One line per key: "  key:  value value".
static void put_labels(const struct traces *traces, uint32_t sample)
{
    const struct hone_profile *p = traces->report.profile;
    struct hone_buffer *out = traces->report.out;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++) { // insertion sort: few, and equals stay in order
        uint32_t to = i;
        for (; to && compare_labels(p, &traces->labels[to - 1], &labels.at[i]) > 0; to--)
            traces->labels[to] = traces->labels[to - 1];
        traces->labels[to] = labels.at[i];
    }
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &traces->labels[i];
        bool same_line = i && label[-1].key == label->key && !label[-1].text == !label->text;
        if (!same_line)
            hone_buffer_format(out, "%s%*s: ", i ? "\n" : "", KEY_WIDTH,
                               hone_profile_text(p, label->key));
        hone_buffer_format(
            out, " %s",
            label->text
                ? hone_profile_text(p, label->text)
                : hone_measure_label(label->number, traces->units[label->key], "auto").text);
    }
    if (labels.count)
        hone_buffer_text(out, "\n");
}

// --- stacks --------------------------------------------------------------------------------------

enum { VALUE_WIDTH = 13 };

// The line of a node, made when it is met first: most are met in thousands of stacks. Empty when
// memory is out.
static struct hone_str line_of(struct traces *traces, uint32_t node, bool inlined)
{
    struct hone_str *line = &traces->lines[2 * (size_t)node + inlined];
    if (line->len)
        return *line;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    struct hone_report report = traces->report;
    report.out = &text;
    hone_buffer_format(&text, "%*s", VALUE_WIDTH, "");
    hone_report_name(&report, traces->nodes.names[node], VALUE_WIDTH, inlined ? 9 : 0);
    hone_buffer_text(&text, inlined ? " (inline)\n" : "\n");
    char *kept = text.failed ? NULL : hone_arena_copy(&traces->names, text.at, text.len);
    if (kept)
        *line = (struct hone_str){kept, text.len};
    else
        traces->report.out->failed = true;
    return *line;
}

static void put_stack(struct traces *traces, uint32_t sample)
{
    const struct hone_report *report = &traces->report;
    const struct hone_nodes *nodes = &traces->nodes;
    const struct hone_profile *p = report->profile;
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    int64_t count = report->options->mean ? p->samples.values[0][sample] : 0;
    int64_t number = hone_graph_mean(p->samples.values[report->type][sample], count);
    struct hone_measure_label value = hone_report_value(report, number);
    bool first_line = true;
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t first = nodes->first[frames.at[i]];
        for (uint32_t at = nodes->first[frames.at[i] + 1]; at-- > first;) {
            struct hone_str line = line_of(traces, nodes->at[at], at != first);
            if (!line.len)
                return;
            if (!first_line) {
                hone_buffer_add(report->out, line.at, line.len);
                continue;
            }
            hone_buffer_format(report->out, "%10s   ", value.text);
            hone_buffer_add(report->out, line.at + VALUE_WIDTH, line.len - VALUE_WIDTH);
            first_line = false;
        }
    }
}

static bool is_zero(const struct hone_profile *p, uint32_t sample)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (p->samples.values[i][sample])
            return false;
    return true;
}

static uint32_t most_labels(const struct hone_profile *p)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->label_sets.count; i++)
        if (hone_profile_labels_of(p, i).count > most)
            most = hone_profile_labels_of(p, i).count;
    return most;
}

static int prepare(struct traces *traces)
{
    const struct hone_profile *p = traces->report.profile;
    traces->units = hone_profile_label_units(p);
    traces->labels = calloc((size_t)most_labels(p) + 1, sizeof *traces->labels);
    if (!traces->units || !traces->labels)
        return -ENOMEM;
    int r = hone_nodes_init(&traces->nodes, p, hone_report_group(&traces->report),
                            traces->report.options->strict, &traces->names);
    if (r)
        return r;
    traces->lines = calloc(2 * (size_t)traces->nodes.count + 1, sizeof *traces->lines);
    return traces->lines ? 0 : -ENOMEM;
}

int hone_text_traces(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(traces_done) struct traces traces = {0};
    int r = hone_report_init(&traces.report, profile, options, out, err);
    if (r)
        return r;
    if (prepare(&traces))
        return hone_error_set(err, -ENOMEM, "cannot list the stacks");

    hone_report_head(&traces.report);
    if (hone_report_is_empty(&traces.report)) {
        hone_report_empty(&traces.report);
        return hone_report_finish(&traces.report, err);
    }
    for (uint32_t i = 0; i < profile->samples.count && !out->failed; i++) {
        if (is_zero(profile, i) ||
            !hone_profile_frames_of(profile, profile->samples.stack[i]).count)
            continue;
        hone_buffer_text(out, separator);
        put_labels(&traces, i);
        put_stack(&traces, i);
    }
    hone_buffer_text(out, separator);
    return hone_report_finish(&traces.report, err);
}
