#include "view/drawing.h"

#include "base/cleanup.h"
#include "view/dot_parts.h"
#include "view/short_name.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { ROWS_DEFAULT = 80 };

// --- the graph -----------------------------------------------------------------------------------

int hone_dot_init(struct hone_dot *dot, const struct hone_profile *profile,
                  const struct hone_text_options *options, bool telling, struct hone_buffer *out,
                  struct hone_error *err)
{
    int r = hone_report_init(&dot->report, profile, options, out, err);
    if (!r)
        r = hone_report_check_sums(&dot->report, err);
    if (r)
        return r;
    const struct hone_text_options *o = dot->report.options;
    if (telling && hone_dot_labels_init(&dot->labels, profile, dot->report.shown_unit))
        return hone_error_set(err, -ENOMEM, "cannot draw the graph");
    uint32_t rows = o->strict || o->all || o->rows ? o->rows : ROWS_DEFAULT;
    const struct hone_graph_options graph = {
        .type = dot->report.type,
        .group = telling ? hone_report_group(&dot->report) : HONE_GRAPH_OBJECT,
        .tree = o->call_tree,
        .telling = telling,
        .by_cum = o->by_cum,
        .mean = o->mean,
        .strict = o->strict,
        .drop_negative = o->drop_negative,
        .rows = telling && !(o->all && !o->strict) ? rows : 0,
        .node_fraction = telling ? hone_report_node_fraction(&dot->report) : 0,
        .edge_fraction = telling ? hone_report_edge_fraction(&dot->report) : 0,
        .labels = telling ? &dot->labels.graph : NULL,
    };
    r = hone_graph_new(profile, &graph, &dot->graph, err);
    if (r)
        return r;
    if (dot->graph->shown_count)
        hone_report_choose_unit(&dot->report, hone_report_smallest(dot->graph), !telling);
    return 0;
}

void hone_dot_done(struct hone_dot *dot)
{
    hone_graph_free(dot->graph);
    hone_dot_labels_done(&dot->labels);
    hone_arena_done(&dot->arena);
}

// --- texts ---------------------------------------------------------------------------------------

void hone_dot_quote(struct hone_buffer *out, struct hone_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\\' || c == '"')
            hone_buffer_add(out, (char[]){'\\', c}, 2);
        else if (c == '\n')
            hone_buffer_text(out, "\\l");
        else
            hone_buffer_add(out, &c, 1);
    }
}

// Copies text with every what as with.
static void put_replaced(struct hone_buffer *out, struct hone_str text, const char *what,
                         const char *with)
{
    size_t len = strlen(what);
    size_t from = 0;
    for (size_t i = 0; i + len <= text.len;) {
        if (memcmp(text.at + i, what, len) != 0) {
            i++;
            continue;
        }
        hone_buffer_add(out, text.at + from, i - from);
        hone_buffer_text(out, with);
        i += len;
        from = i;
    }
    hone_buffer_add(out, text.at + from, text.len - from);
}

// A function's name in several lines: broken at "::" and at dots, but Go's "[...]" stays whole.
static int put_broken_name(struct hone_dot *dot, struct hone_str name)
{
    struct hone_str shortened = hone_short_name(&dot->arena, name);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer quoted = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer spaces = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer dots = {0};
    if (!shortened.at)
        return -ENOMEM;
    hone_dot_quote(&quoted, shortened);
    put_replaced(&spaces, (struct hone_str){quoted.at, quoted.len}, "::", "\\n");
    put_replaced(&dots, (struct hone_str){spaces.at, spaces.len}, "[...]", "[…]");
    put_replaced(dot->report.out, (struct hone_str){dots.at, dots.len}, ".", "\\n");
    return quoted.failed || spaces.failed || dots.failed ? -ENOMEM : 0;
}

static int put_place(struct hone_dot *dot, const struct hone_graph_place *place)
{
    struct hone_buffer *out = dot->report.out;
    int r = 0;
    if (place->address)
        hone_buffer_format(out, "%016" PRIx64 "\\n", place->address);
    if (place->name.len)
        r = put_broken_name(dot, place->name);
    if (place->name.len)
        hone_buffer_text(out, "\\n");
    struct hone_str file = hone_report_base_name(place->file);
    struct hone_str object = hone_report_base_name(place->object);
    if (place->line)
        hone_buffer_format(out, "%.*s:%" PRId64 "\\n", (int)file.len, file.at, place->line);
    else if (file.len)
        hone_buffer_format(out, "%.*s\\n", (int)file.len, file.at);
    else if (!place->name.len && object.len)
        hone_buffer_format(out, "[%.*s]\\n", (int)object.len, object.at);
    else if (!place->name.len)
        hone_buffer_text(out, "<unknown>\\n");
    return r;
}

static struct hone_measure_label percentage(int64_t value, int64_t total)
{
    struct hone_measure_label label = hone_measure_percentage(value, total);
    size_t blank = strspn(label.text, " ");
    memmove(label.text, label.text + blank, strlen(label.text + blank) + 1);
    return label;
}

// --- colours -------------------------------------------------------------------------------------

struct color {
    char text[8];
};

static uint8_t to_byte(double value)
{
    return value >= 0 && value < 256 ? (uint8_t)value : 0;
}

// From green for -1 over grey for 0 to red for 1; pale for what lies behind text. The shift makes
// small shares look different from none.
static struct color color_of(double score, bool pale)
{
    const double shift = 0.7;
    double saturation = pale ? 0.1 : 1.0;
    double value = pale ? 0.93 : 0.7;
    score = score < -1 ? -1 : score > 1 ? 1 : score;
    if (fabs(score) < 0.2)
        saturation *= fabs(score) / 0.2;
    if (score > 0)
        score = pow(score, 1.0 - shift);
    else if (score < 0)
        score = -pow(-score, 1.0 - shift);
    double red = score < 0 ? value * (1 + saturation * score) : value;
    double green = score < 0 ? value : value * (1 - saturation * score);
    double blue = value * (1 - saturation);
    struct color color;
    (void)snprintf(color.text, sizeof color.text, "#%02x%02x%02x", to_byte(red * 255.0),
                   to_byte(green * 255.0), to_byte(blue * 255.0));
    return color;
}

static struct color color_of_part(int64_t value, int64_t total, bool pale)
{
    return color_of((double)value / fabs((double)total), pale);
}

// --- parts of the graph --------------------------------------------------------------------------

// What was asked for and how much of it is shown.
static void put_facts(const struct hone_dot *dot, struct hone_report *head)
{
    const struct hone_graph *graph = dot->graph;
    hone_report_head(head);
    hone_report_filters(head);
    uint64_t flat = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++)
        flat += (uint64_t)hone_graph_value(graph->nodes[graph->order[i]].flat);
    struct hone_measure_label shown = hone_report_value(head, (int64_t)flat);
    struct hone_measure_label total = hone_report_value(head, head->total);
    hone_buffer_format(head->out, "Showing nodes accounting for %s, %s of %s total\n", shown.text,
                       percentage((int64_t)flat, head->total).text, total.text);
    if (head->total) {
        hone_report_dropped(head, graph->dropped_nodes, "node", "cum",
                            hone_report_node_fraction(head));
        hone_report_dropped(head, graph->dropped_edges, "edge", "freq",
                            hone_report_edge_fraction(head));
        if (graph->shown_count && graph->shown_count < graph->untrimmed_count)
            hone_buffer_format(head->out, "Showing top %u nodes out of %u\n", graph->shown_count,
                               graph->untrimmed_count);
    }
    hone_buffer_text(head->out, "\nSee https://git.io/JfYMW for how to read the graph\n");
}

// The title of the graph, and a box with what it shows.
static int put_legend(const struct hone_dot *dot)
{
    struct hone_buffer *out = dot->report.out;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer facts = {0};
    struct hone_report head = dot->report;
    struct hone_text_options options = *head.options;
    options.width = 0;
    options.compact = false; // the legend tells all
    head.options = &options;
    head.out = &facts;
    put_facts(dot, &head);
    if (facts.failed)
        return -ENOMEM;
    struct hone_str title = hone_report_base_name(
        hone_profile_str(dot->report.profile, hone_report_program(&dot->report)->file));
    hone_buffer_format(out, "digraph \"%.*s\" {\nnode [style=filled fillcolor=\"#f8f8f8\"]\n",
                       title.len ? (int)title.len : 7, title.len ? title.at : "unnamed");
    hone_buffer_text(out, "subgraph cluster_L { \"");
    const char *end = memchr(facts.at, '\n', facts.len);
    hone_dot_quote(out, (struct hone_str){facts.at, end ? (size_t)(end - facts.at) : facts.len});
    hone_buffer_text(out, "\" [shape=box fontsize=16 label=\"");
    hone_dot_quote(out, (struct hone_str){facts.at, facts.len});
    hone_buffer_text(out, "\"");
    if (title.len)
        hone_buffer_format(out, " tooltip=\"%.*s\"", (int)title.len, title.at);
    hone_buffer_text(out, "] }\n");
    return 0;
}

static int64_t size_of(int64_t value)
{
    return value < 0 ? (int64_t)(0 - (uint64_t)value) : value;
}

// Letters of 8 to 24 points, larger for what took more itself.
static int font_size(int64_t flat, double largest)
{
    double size = (double)size_of(flat);
    bool grows = largest != 0 && flat && size <= largest;
    return 8 + (grows ? (int)ceil(16.0 * sqrt(size / largest)) : 0);
}

static int put_node(struct hone_dot *dot, const struct hone_graph_node *node, double largest)
{
    const struct hone_report *report = &dot->report;
    struct hone_buffer *out = report->out;
    const struct hone_graph_place *place = &dot->graph->places[node->place];
    int64_t flat = hone_graph_value(node->flat);
    int64_t cum = hone_graph_value(node->cum);
    struct hone_measure_label flat_text = hone_report_value(report, flat);
    struct hone_measure_label cum_text = hone_report_value(report, cum);
    hone_buffer_format(out, "N%u [label=\"", node->number);
    int r = put_place(dot, place);
    if (flat)
        hone_buffer_format(out, "%s (%s)", flat_text.text, percentage(flat, report->total).text);
    else
        hone_buffer_text(out, "0");
    if (cum != flat)
        hone_buffer_format(out, "%sof %s (%s)", flat ? "\\n" : " ", cum_text.text,
                           percentage(cum, report->total).text);
    hone_buffer_format(out, "\" id=\"node%u\" fontsize=%d shape=box tooltip=\"", node->number,
                       font_size(flat, largest));
    hone_dot_quote(out, place->together);
    hone_buffer_format(out, " (%s)\" color=\"%s\" fillcolor=\"%s\"]\n", cum_text.text,
                       color_of_part(cum, report->total, false).text,
                       color_of_part(cum, report->total, true).text);
    return r;
}

// A part of the total in so many steps, and one more; calls of differences may exceed the total.
static int64_t steps(int64_t weight, int64_t total, int64_t count)
{
    int64_t product = (int64_t)((uint64_t)weight * (uint64_t)count);
    int64_t part = size_of(total == -1 ? (int64_t)(0 - (uint64_t)product) : product / total);
    return 1 + (part < count ? part : count);
}

static void put_tooltip(struct hone_dot *dot, const struct hone_graph_edge *edge,
                        const char *weight)
{
    const struct hone_graph *graph = dot->graph;
    struct hone_buffer *out = dot->report.out;
    hone_buffer_text(out, "tooltip=\"");
    hone_dot_quote(out, graph->places[graph->nodes[edge->from].place].together);
    hone_buffer_text(out, edge->residual ? " ... " : " -> ");
    hone_dot_quote(out, graph->places[graph->nodes[edge->to].place].together);
    hone_buffer_format(out, " (%s)\"", weight);
}

static void put_edge(struct hone_dot *dot, const struct hone_graph_edge *edge, bool has_tags)
{
    const struct hone_graph *graph = dot->graph;
    struct hone_buffer *out = dot->report.out;
    int64_t total = dot->report.total;
    int64_t value = hone_graph_value(edge->weight);
    struct hone_measure_label weight = hone_report_value(&dot->report, value);
    hone_buffer_format(out, "N%u -> N%u [label=\" %s%s\"", graph->nodes[edge->from].number,
                       graph->nodes[edge->to].number, weight.text,
                       edge->inlined ? "\\n (inline)" : "");
    if (total) {
        int64_t pull = steps(value, total, 100);
        int64_t width = steps(value, total, 5);
        if (pull > 1)
            hone_buffer_format(out, " weight=%" PRId64, pull);
        if (width > 1)
            hone_buffer_format(out, " penwidth=%" PRId64, width);
        hone_buffer_format(out, " color=\"%s\"", color_of_part(value, total, false).text);
    }
    hone_buffer_text(out, " ");
    put_tooltip(dot, edge, weight.text);
    hone_buffer_text(out, " label");
    put_tooltip(dot, edge, weight.text);
    hone_buffer_format(out, "%s%s]\n", edge->residual ? " style=\"dotted\"" : "",
                       has_tags ? " minlen=2" : "");
}

// The calls of all nodes that are shown, largest first, which tells Graphviz what matters.
static int put_edges(struct hone_dot *dot, const bool *has_tags)
{
    const struct hone_graph *graph = dot->graph;
    HONE_CLEANUP(hone_freep)
    uint32_t *edges = calloc((size_t)graph->edge_count + 1, sizeof *edges);
    if (!edges)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++)
        for (uint32_t at = graph->nodes[graph->order[i]].first_out; at != HONE_GRAPH_NONE;
             at = graph->edges[at].next_out)
            edges[count++] = at;
    hone_graph_sort_edges(graph, edges, count);
    for (uint32_t i = 0; i < count; i++)
        put_edge(dot, &graph->edges[edges[i]], has_tags[graph->edges[edges[i]].from]);
    return 0;
}

static int put_graph(struct hone_dot *dot)
{
    const struct hone_graph *graph = dot->graph;
    HONE_CLEANUP(hone_freep)
    bool *has_tags = calloc((size_t)graph->node_count + 1, sizeof *has_tags);
    int r = has_tags ? put_legend(dot) : -ENOMEM;
    double largest = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        double size = (double)size_of(hone_graph_value(graph->nodes[graph->order[i]].flat));
        largest = size > largest ? size : largest;
    }
    for (uint32_t i = 0; !r && i < graph->shown_count; i++) {
        uint32_t node = graph->order[i];
        r = put_node(dot, &graph->nodes[node], largest);
        if (!r)
            r = hone_dot_tags(dot, node, &has_tags[node]);
    }
    if (!r)
        r = put_edges(dot, has_tags);
    hone_buffer_text(dot->report.out, "}\n");
    return r;
}

int hone_view_dot(const struct hone_profile *profile, const struct hone_text_options *options,
                  struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(hone_dot_done) struct hone_dot dot = {0};
    int r = hone_dot_init(&dot, profile, options, true, out, err);
    if (r)
        return r;
    r = put_graph(&dot);
    return r ? hone_error_set(err, r, "cannot draw the graph")
             : hone_report_finish(&dot.report, err);
}
