#include "view/text_report.h"

#include "analyse/nodes.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static const char separator[] =
    "-----------+-------------------------------------------------------\n";

// --- labels --------------------------------------------------------------------------------------

// The unit of a number: the first that any sample gives for this key. Without one the name says
// it: pprof takes sizes for bytes and leaves others as they are.
static const char *unit_of(const struct hone_profile *p, uint32_t key)
{
    for (uint32_t i = 0; i < p->labels.count; i++)
        if (p->labels.at[i].key == key && !p->labels.at[i].text && p->labels.at[i].unit)
            return hone_profile_text(p, p->labels.at[i].unit);
    const char *name = hone_profile_text(p, key);
    return strcmp(name, "alignment") == 0 || strcmp(name, "request") == 0 ? "bytes" : name;
}

static const char **find_units(const struct hone_profile *p)
{
    const char **units = calloc(p->strings.count, sizeof *units);
    for (uint32_t i = 0; units && i < p->labels.count; i++) {
        uint32_t key = p->labels.at[i].key;
        if (!p->labels.at[i].text && !units[key])
            units[key] = unit_of(p, key);
    }
    return units;
}

// Labels are ordered by key, texts first: one line per key, "  key:  value value".
static void put_labels(const struct hone_report *report, uint32_t sample, const char *const *units)
{
    const struct hone_profile *p = report->profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        const struct hone_profile_label *before = i ? &labels.at[i - 1] : NULL;
        bool more = before && before->key == label->key && !before->text == !label->text;
        if (!more)
            hone_buffer_format(report->out, "%s%10s: ", i ? "\n" : "",
                               hone_profile_text(p, label->key));
        hone_buffer_format(report->out, " %s",
                           label->text
                               ? hone_profile_text(p, label->text)
                               : hone_measure_label(label->number, units[label->key], "auto").text);
    }
    if (labels.count)
        hone_buffer_text(report->out, "\n");
}

// --- stacks --------------------------------------------------------------------------------------

static void put_stack(const struct hone_report *report, const struct hone_nodes *nodes,
                      uint32_t sample)
{
    const struct hone_profile *p = report->profile;
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    struct hone_measure_label value =
        hone_report_value(report, p->samples.values[report->type][sample]);
    const char *shown = value.text;
    for (uint32_t i = 0; i < frames.count; i++) {
        uint32_t first = nodes->first[frames.at[i]];
        for (uint32_t at = nodes->first[frames.at[i] + 1]; at-- > first;) {
            bool inlined = at != first;
            hone_buffer_format(report->out, "%10s   ", shown);
            hone_report_name(report, nodes->names[nodes->at[at]], 13, inlined ? 9 : 0);
            hone_buffer_text(report->out, inlined ? " (inline)\n" : "\n");
            shown = "";
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

int hone_text_traces(const struct hone_profile *profile, const struct hone_text_options *options,
                     struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep) const char **units = find_units(profile);
    HONE_CLEANUP(hone_arena_done) struct hone_arena names = {0};
    HONE_CLEANUP(hone_nodes_done) struct hone_nodes nodes = {0};
    if (!units || hone_nodes_init(&nodes, profile, hone_report_group(&report), &names))
        return hone_error_set(err, -ENOMEM, "cannot list the stacks");

    hone_report_head(&report);
    if (hone_report_is_empty(&report)) {
        hone_report_empty(&report);
        return hone_report_finish(&report, err);
    }
    for (uint32_t i = 0; i < profile->samples.count && !out->failed; i++) {
        if (is_zero(profile, i) || !profile->samples.stack[i])
            continue;
        hone_buffer_text(out, separator);
        put_labels(&report, i, units);
        put_stack(&report, &nodes, i);
    }
    hone_buffer_text(out, separator);
    return hone_report_finish(&report, err);
}
