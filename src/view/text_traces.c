#include "view/text_pieces.h"
#include "view/text_report.h"

#include "analyse/nodes.h"
#include "base/cleanup.h"
#include "profile/filter.h"

#include <errno.h>
#include <stdlib.h>

static const char separator[] =
    "-----------+-------------------------------------------------------\n";

enum { PIECE = 512 }; // samples: a megabyte or so

struct traces {
    struct hone_report report;
    struct hone_nodes nodes;
    struct hone_arena names;
    struct hone_str *lines; // by node, twice: as it is printed, and where it is inlined
    struct hone_str *only;  // by location: its line, NULL where it has several
    const char **units;     // by string: of the numbers of this key
    uint32_t most_labels;   // of a sample
};

static void traces_done(struct traces *traces)
{
    hone_nodes_done(&traces->nodes);
    hone_arena_done(&traces->names);
    free(traces->lines);
    free(traces->only);
    free(traces->units);
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

// One line per key: "  key:  value value". There is room for the sample's labels in ordered.
static void put_labels(const struct traces *traces, uint32_t sample,
                       struct hone_profile_label *ordered, struct hone_buffer *out)
{
    const struct hone_profile *p = traces->report.profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, p->samples.label_set[sample]);
    for (uint32_t i = 0; i < labels.count; i++) { // insertion sort: few, and equals stay in order
        uint32_t to = i;
        for (; to && compare_labels(p, &ordered[to - 1], &labels.at[i]) > 0; to--)
            ordered[to] = ordered[to - 1];
        ordered[to] = labels.at[i];
    }
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &ordered[i];
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

// Makes the line of a node, if it is not there. Most are printed in thousands of stacks.
static int make_line(struct traces *traces, uint32_t node, bool inlined)
{
    struct hone_str *line = &traces->lines[2 * (size_t)node + inlined];
    if (line->len)
        return 0;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    struct hone_report report = traces->report;
    report.out = &text;
    hone_buffer_format(&text, "%*s", VALUE_WIDTH, "");
    hone_report_name(&report, traces->nodes.names[node], VALUE_WIDTH, inlined ? 9 : 0);
    hone_buffer_text(&text, inlined ? " (inline)\n" : "\n");
    char *kept = text.failed ? NULL : hone_arena_copy(&traces->names, text.at, text.len);
    *line = (struct hone_str){kept, text.len};
    return kept ? 0 : -ENOMEM;
}

static int make_lines(struct traces *traces)
{
    const struct hone_nodes *nodes = &traces->nodes;
    traces->lines = calloc(2 * (size_t)nodes->count + 1, sizeof *traces->lines);
    int r = traces->lines ? 0 : -ENOMEM;
    for (uint32_t i = 1; !r && i < traces->report.profile->locations.count; i++)
        for (uint32_t at = nodes->first[i]; !r && at < nodes->first[i + 1]; at++)
            r = make_line(traces, nodes->at[at], at != nodes->first[i]);
    return r;
}

// Most locations have one line. Where it is, by location: a stack then reads one array instead of
// three, and all that it needs is on its way before the first line is copied.
static int find_lines(struct traces *traces)
{
    const struct hone_nodes *nodes = &traces->nodes;
    uint32_t count = traces->report.profile->locations.count;
    traces->only = calloc(count, sizeof *traces->only);
    for (uint32_t i = 1; traces->only && i < count; i++)
        if (nodes->only[i] != HONE_NODES_SEVERAL)
            traces->only[i] = traces->lines[2 * (size_t)nodes->only[i]];
    return traces->only ? 0 : -ENOMEM;
}

// Where lines are copied to, and how much of the first one's indent something else stands for.
struct copy {
    char *to;
    size_t skip;
};

static inline void copy_line(struct copy *copy, struct hone_str line)
{
    memcpy(copy->to, line.at + copy->skip, line.len - copy->skip);
    copy->to += line.len - copy->skip;
    copy->skip = 0;
}

// The lines of a location that has several, innermost function first; copy may be NULL. Returns
// their length.
static size_t copy_several(const struct traces *traces, uint32_t location, struct copy *copy)
{
    const struct hone_nodes *nodes = &traces->nodes;
    uint32_t first = nodes->first[location];
    size_t len = 0;
    for (uint32_t at = nodes->first[location + 1]; at-- > first;) {
        struct hone_str line = traces->lines[2 * (size_t)nodes->at[at] + (at != first)];
        if (copy)
            copy_line(copy, line);
        len += line.len;
    }
    return len;
}

// What stands in front of a stack's first line: few values are different ones.
enum { HEADS = 64 };

struct head {
    int64_t value;
    size_t len; // 0: none yet
    char text[sizeof(struct hone_measure_label) + VALUE_WIDTH];
};

static const struct head *head_of(const struct hone_report *report, struct head heads[HEADS],
                                  int64_t value)
{
    struct head *head = &heads[(uint64_t)value * 0x9e3779b97f4a7c15u >> 58];
    if (head->len && head->value == value)
        return head;
    head->value = value;
    head->len = (size_t)snprintf(head->text, sizeof head->text, "%10s   ",
                                 hone_report_value(report, value).text);
    return head;
}

static void put_stack(const struct traces *traces, uint32_t sample, struct head heads[HEADS],
                      struct hone_buffer *out)
{
    const struct hone_report *report = &traces->report;
    const struct hone_profile *p = report->profile;
    struct hone_profile_span frames = hone_profile_frames_of(p, p->samples.stack[sample]);
    int64_t count = report->options->mean ? p->samples.values[0][sample] : 0;
    int64_t number = hone_graph_mean(p->samples.values[report->type][sample], count);
    const struct head *head = head_of(report, heads, number);
    size_t len = 0;
    for (uint32_t i = 0; i < frames.count; i++) {
        const struct hone_str *only = &traces->only[frames.at[i]];
        __builtin_prefetch(only->at);
        len += only->at ? only->len : copy_several(traces, frames.at[i], NULL);
    }
    struct copy copy = {.to = hone_buffer_grow(out, head->len + len - VALUE_WIDTH)};
    if (!copy.to)
        return;
    memcpy(copy.to, head->text, head->len);
    copy.to += head->len;
    copy.skip = VALUE_WIDTH;
    for (uint32_t i = 0; i < frames.count; i++) {
        const struct hone_str *only = &traces->only[frames.at[i]];
        if (only->at)
            copy_line(&copy, *only);
        else
            (void)copy_several(traces, frames.at[i], &copy);
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
    if (!traces->units)
        return -ENOMEM;
    traces->most_labels = most_labels(p);
    int r = hone_nodes_init(&traces->nodes, p, hone_report_group(&traces->report),
                            traces->report.options->strict, &traces->names);
    r = r ? r : make_lines(traces);
    return r ? r : find_lines(traces);
}

static void make_piece(const void *context, uint32_t number, struct hone_buffer *out)
{
    const struct traces *traces = context;
    const struct hone_profile *p = traces->report.profile;
    HONE_CLEANUP(hone_freep)
    struct hone_profile_label *labels = calloc((size_t)traces->most_labels + 1, sizeof *labels);
    out->failed |= !labels;
    struct head heads[HEADS] = {0};
    uint32_t first = number * PIECE;
    uint32_t end = p->samples.count - first < PIECE ? p->samples.count : first + PIECE;
    for (uint32_t i = first; i < end && !out->failed; i++) {
        if (is_zero(p, i) || !hone_profile_frames_of(p, p->samples.stack[i]).count)
            continue;
        hone_buffer_text(out, separator);
        put_labels(traces, i, labels, out);
        put_stack(traces, i, heads, out);
    }
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
    const struct hone_text_pieces pieces = {
        .make = make_piece, .context = &traces, .count = profile->samples.count / PIECE + 1};
    r = hone_text_pieces_put(&pieces, traces.report.options, out, err);
    if (r)
        return r;
    hone_buffer_text(out, separator);
    return hone_report_finish(&traces.report, err);
}
