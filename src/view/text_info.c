#include "view/text_report.h"

#include "analyse/confidence.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// Room for one line per thing, then for details, which are indented by this much.
#define TITLE "%-10s"
#define TITLE_BLANK "          "

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

// --- what it is ----------------------------------------------------------------------------------

static struct hone_measure_label total_of(const struct hone_profile *p, uint32_t type)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        total += (uint64_t)p->samples.values[type][i];
    return hone_measure_label((int64_t)total, hone_profile_text(p, p->types[type].unit), "auto");
}

static void put_types(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    uint32_t preferred = 0;
    (void)hone_profile_select_type(p, NULL, &preferred, NULL);
    for (uint32_t i = 0; i < p->type_count; i++)
        hone_buffer_format(report->out, TITLE "%12s  %s/%s%s\n", i ? "" : "Types",
                           total_of(p, i).text, hone_profile_text(p, p->types[i].type),
                           hone_profile_text(p, p->types[i].unit),
                           i == preferred ? "  (shown unless another is asked for)" : "");
}

static void put_period(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    if (!p->period)
        return;
    const char *type = hone_profile_text(p, p->period_type.type);
    const char *unit = hone_profile_text(p, p->period_type.unit);
    const char *in_ns;
    double ns = hone_measure_scale(p->period, unit, "nanoseconds", &in_ns);
    hone_buffer_format(report->out, TITLE "one sample per %s of %s", "Period",
                       hone_measure_label(p->period, unit, "auto").text, type);
    if (strcmp(in_ns, "ns") == 0 && ns >= 1)
        hone_buffer_format(report->out, " (%.6g Hz)", 1e9 / ns);
    hone_buffer_text(report->out, "\n");
}

static uint32_t deepest(const struct hone_profile *p)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < p->stacks.count; i++)
        if (hone_profile_frames_of(p, i).count > depth)
            depth = hone_profile_frames_of(p, i).count;
    return depth;
}

static void put_contents(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    hone_buffer_format(report->out, TITLE "%u sample%s of %u stack%s, up to %u frames deep\n",
                       "Contents", p->samples.count, plural(p->samples.count), p->stacks.count - 1,
                       plural(p->stacks.count - 1), deepest(p));
    hone_buffer_format(report->out, TITLE "%u function%s at %u address%s in %u module%s\n", "",
                       p->functions.count - 1, plural(p->functions.count - 1),
                       p->locations.count - 1, p->locations.count == 2 ? "" : "es",
                       p->mappings.count - 1, plural(p->mappings.count - 1));
    if (p->drop_frames)
        hone_buffer_format(report->out, TITLE "frames to drop: %s\n", "",
                           hone_profile_text(p, p->drop_frames));
    if (p->keep_frames)
        hone_buffer_format(report->out, TITLE "frames to keep: %s\n", "",
                           hone_profile_text(p, p->keep_frames));
    if (p->doc_url)
        hone_buffer_format(report->out, TITLE "%s\n", "Manual", hone_profile_text(p, p->doc_url));
}

// --- modules -------------------------------------------------------------------------------------

// By mapping: the part of the values whose innermost frame lies there, and whether it has a name.
struct share {
    uint64_t value;
    uint64_t named;
};

// A name that a symbol gave: not "[truncated]" and its like, nor a stripped file's "file+0x1234".
static bool has_name(const struct hone_profile *p, uint32_t location)
{
    struct hone_profile_line_span lines = hone_profile_lines_of(p, location);
    if (!lines.count)
        return false;
    const char *name = hone_profile_text(p, p->functions.name[lines.at[0].function]);
    return name[0] != '[' && !strstr(name, "+0x");
}

static void add_shares(const struct hone_report *report, struct share *shares)
{
    const struct hone_profile *p = report->profile;
    const int64_t *values = p->samples.values[report->type];
    for (uint32_t i = 0; i < p->samples.count; i++) {
        struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[i]);
        uint32_t leaf = frames.count ? frames.at[0] : 0;
        uint64_t value = values[i] < 0 ? 0 - (uint64_t)values[i] : (uint64_t)values[i];
        struct share *share = &shares[p->locations.mapping[leaf]];
        share->value += value;
        if (has_name(p, leaf))
            share->named += value;
    }
}

static const char *symbols_of(const struct hone_profile *p, uint32_t mapping)
{
    uint32_t flags = p->mappings.at[mapping].flags;
    if (!(flags & HONE_PROFILE_HAS_FUNCTIONS))
        return "none";
    if (!(flags & HONE_PROFILE_HAS_LINE_NUMBERS))
        return "functions";
    return flags & HONE_PROFILE_HAS_INLINE_FRAMES ? "all" : "lines";
}

static void put_modules(const struct hone_report *report, const struct share *shares)
{
    const struct hone_profile *p = report->profile;
    if (p->mappings.count < 2)
        return;
    hone_buffer_format(report->out, "\nModules    share  symbols    build id          file\n");
    for (uint32_t i = 1; i < p->mappings.count; i++) {
        const struct hone_profile_mapping *m = &p->mappings.at[i];
        struct hone_str file = hone_profile_str(p, m->file);
        hone_buffer_format(report->out, TITLE "%6s  %-9s  %-16.16s  ", "",
                           hone_measure_percentage((int64_t)shares[i].value, report->total).text,
                           symbols_of(p, i), m->build_id ? hone_profile_text(p, m->build_id) : "-");
        hone_report_name(report, file.len ? file : HONE_STR("-"), 47, 0);
        hone_buffer_text(report->out, "\n");
    }
}

// --- labels --------------------------------------------------------------------------------------

static int compare_labels(const void *left, const void *right)
{
    const struct hone_profile_label *a = left;
    const struct hone_profile_label *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->text != b->text)
        return a->text < b->text ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

// A title and words, which continue below themselves on a terminal.
static void put_line(const struct hone_report *report, const char *title, struct hone_buffer *line)
{
    hone_buffer_add(line, "", 1);
    if (line->failed) {
        report->out->failed = true;
        return;
    }
    hone_buffer_format(report->out, TITLE, title);
    hone_report_words(report, line->at, 10, 10);
}

static void put_label_key(const struct hone_report *report, const struct hone_profile_label *values,
                          uint32_t count, bool first)
{
    enum { EXAMPLES = 4 };
    const struct hone_profile *p = report->profile;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer line = {0};
    hone_buffer_format(&line, "%6u value%s of %s:", count, plural(count),
                       hone_profile_text(p, values->key));
    for (uint32_t i = 0; i < count && i < EXAMPLES; i++) {
        if (values[i].text)
            hone_buffer_format(&line, "%s %s", i ? "," : "", hone_profile_text(p, values[i].text));
        else
            hone_buffer_format(&line, "%s %lld", i ? "," : "", (long long)values[i].number);
    }
    hone_buffer_text(&line, count > EXAMPLES ? ", …" : "");
    put_line(report, first ? "Labels" : "", &line);
}

static int put_labels(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    if (!p->labels.count)
        return 0;
    HONE_CLEANUP(hone_freep)
    struct hone_profile_label *all = calloc(p->labels.count, sizeof *all);
    if (!all)
        return -ENOMEM;
    memcpy(all, p->labels.at, p->labels.count * sizeof *all);
    qsort(all, p->labels.count, sizeof *all, compare_labels);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->labels.count; i++)
        if (!i || compare_labels(&all[count - 1], &all[i]) != 0)
            all[count++] = all[i];
    hone_buffer_text(report->out, "\n");
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i;
        while (end < count && all[end].key == all[i].key)
            end++;
        put_label_key(report, all + i, end - i, i == 0);
        i = end;
    }
    return 0;
}

// --- how much to believe -------------------------------------------------------------------------

// "13.14%   12.31% to 14.02%   parse": the largest rows with the limits that chance leaves.
static int put_limits(struct hone_report *report, const struct hone_confidence *confidence,
                      struct hone_error *err)
{
    enum { ROWS = 5 };
    struct hone_text_options options = *report->options;
    options.group = HONE_TEXT_FUNCTIONS;
    options.by_cum = false;
    struct hone_report of_top = *report;
    of_top.options = &options;
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = NULL;
    int r = hone_report_graph(&of_top, ROWS, HONE_GRAPH_NO_EDGES, &graph, err);
    if (r)
        return r;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        double share = (double)node->flat.sum / (double)report->total;
        if (!(share > 0))
            break;
        double low;
        double high;
        hone_confidence_limits(confidence, share < 1 ? share : 1, &low, &high);
        hone_buffer_format(report->out, TITLE "%6.2f%%  %6.2f%% to %6.2f%%  ", "", share * 100,
                           low * 100, high * 100);
        hone_report_name(report, graph->places[node->place].together, 39, 0);
        hone_buffer_text(report->out, "\n");
    }
    return 0;
}

static bool is_difference(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    for (uint32_t i = 0; i < p->samples.count; i++)
        if (p->samples.values[report->type][i] < 0)
            return true;
    return false;
}

// Of the heap, one by one: nothing was drawn, so chance has no part in it.
static bool is_exact(const struct hone_profile *p)
{
    return p->period == 1 && strcmp(hone_profile_text(p, p->period_type.type), "space") == 0 &&
           strcmp(hone_profile_text(p, p->period_type.unit), "bytes") == 0;
}

static int put_belief(struct hone_report *report, const struct share *shares,
                      struct hone_error *err)
{
    const struct hone_profile *p = report->profile;
    if (!report->total)
        return 0;
    if (is_difference(report)) {
        hone_buffer_format(report->out,
                           "\n" TITLE "values below 0: a difference; 'hone diff' tells it from "
                           "chance\n",
                           "Belief");
        return 0;
    }
    uint64_t named = 0;
    for (uint32_t i = 0; i < p->mappings.count; i++)
        named += shares[i].named;
    hone_buffer_format(report->out, "\n" TITLE "%s of %s is in functions with a name\n", "Belief",
                       hone_measure_percentage((int64_t)named, report->total).text,
                       report->type_name);
    if (is_exact(p)) {
        hone_buffer_format(report->out, TITLE "%s\n", "",
                           hone_report_says(p, HONE_REPORT_RATE_CHANGED)
                               ? "shares are of what was counted: the rate was changed while it ran"
                           : hone_report_says(p, HONE_REPORT_LOST)
                               ? "every block was counted: shares are exact, but for what was lost"
                               : "every block was counted: shares are exact");
        return 0;
    }
    struct hone_confidence confidence;
    int r = hone_confidence_of(p, report->type, &confidence);
    if (r)
        return hone_error_set(err, r, "cannot describe the profile");
    if (confidence.samples < 1)
        return 0;
    static const char *const counted[] = {
        [HONE_COMPARE_BY_SAMPLES] = "",
        [HONE_COMPARE_BY_PERIOD] = " (values by the period)",
        [HONE_COMPARE_BY_STACKS] = " (one for each stack: the profile does not count them)",
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer line = {0};
    hone_buffer_format(&line, "%6.0f sample%s%s", confidence.taken,
                       confidence.taken < 1.5 ? "" : "s", counted[confidence.counted]);
    if (confidence.samples < 0.95 * confidence.taken)
        hone_buffer_format(&line, ", unequal and worth %.0f equal ones", confidence.samples);
    hone_buffer_text(&line, report->options->width
                                ? "; so these shares lie, 95 of 100 times:"
                                : "; so these shares lie, 95 of 100\n" TITLE_BLANK "times:");
    put_line(report, "", &line);
    r = put_limits(report, &confidence, err);
    if (r)
        return r;
    static const double small = 0.01;
    static const double part = 0.1;
    double need = hone_confidence_samples(small, part);
    hone_buffer_format(report->out,
                       TITLE "a function of 1%% is known to a tenth of itself from %.0f samples on",
                       "", ceil(need / 100) * 100);
    if (confidence.samples < need)
        hone_buffer_format(report->out, ",\n" TITLE "here to %.0f%%", "",
                           100 * part * sqrt(need / confidence.samples));
    hone_buffer_text(report->out, "\n");
    return 0;
}

static int describe(const struct hone_profile *profile, const struct hone_text_options *options,
                    struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_freep)
    struct share *shares = calloc(profile->mappings.count, sizeof *shares);
    if (!shares)
        return hone_error_set(err, -ENOMEM, "cannot describe the profile");
    add_shares(&report, shares);
    hone_report_head(&report);
    hone_report_filters(&report);
    hone_buffer_text(out, "\n");
    put_types(&report);
    put_period(&report);
    put_contents(&report);
    hone_report_facts(&report, "Recorder");
    put_modules(&report, shares);
    if (put_labels(&report))
        return hone_error_set(err, -ENOMEM, "cannot describe the profile");
    r = put_belief(&report, shares, err);
    if (r)
        return r;
    if (hone_report_is_empty(&report))
        hone_report_empty(&report);
    return hone_report_finish(&report, err);
}

// Of a filtered profile the part that is left is described, as if it were all: what no sample names
// any more does not count, and limits follow from the samples that are left.
int hone_text_info(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    if (!options || !options->filters)
        return describe(profile, options, out, err);
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *part = NULL;
    struct hone_text_options of_part = *options;
    of_part.total_known = false;
    int r = hone_profile_compact(profile, &part, err);
    return r ? r : describe(part, &of_part, out, err);
}
