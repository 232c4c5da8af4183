#include "view/text_report.h"

#include "analyse/tally.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

int hone_report_init(struct hone_report *report, const struct hone_profile *profile,
                     const struct hone_text_options *options, struct hone_buffer *out,
                     struct hone_error *err)
{
    static const struct hone_text_options defaults;
    *report = (struct hone_report){.profile = profile,
                                   .options = options ? options : &defaults,
                                   .out = out,
                                   .shown_unit = "auto",
                                   .ratio = 1};
    const struct hone_text_options *o = report->options;
    int r = hone_profile_select_type(profile, report->options->type, &report->type, err);
    if (r)
        return r;
    report->type_name = hone_profile_text(profile, profile->types[report->type].type);
    report->unit = hone_profile_text(profile, profile->types[report->type].unit);
    report->total = o->total_known ? o->total : hone_tally_total(profile, report->type, o->mean);
    if (o->divide_by > 0)
        report->ratio = 1 / o->divide_by;
    if (o->unit)
        report->shown_unit = o->unit;
    return 0;
}

// A number as an integer; those that are too large for one are the smallest, as in pprof.
static int64_t integer(double number)
{
    return fabs(number) < 9.2e18 ? (int64_t)number : INT64_MIN;
}

static int64_t scaled(const struct hone_report *report, int64_t value)
{
    return report->ratio == 1 ? value : integer((double)value * report->ratio);
}

void hone_report_choose_unit(struct hone_report *report, uint64_t smallest, bool whole)
{
    const char *asked = report->options->unit;
    if (asked && strcmp(asked, "minimum") != 0)
        return;
    int64_t least = scaled(report, smallest ? (int64_t)smallest : report->total);
    report->shown_unit = hone_measure_common_unit(
        least, whole ? least : scaled(report, report->total), report->unit);
}

uint64_t hone_report_smallest(const struct hone_graph *graph)
{
    uint64_t smallest = 0;
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        int64_t value = hone_graph_value(node->flat);
        value = value ? value : hone_graph_value(node->cum);
        uint64_t size = hone_tally_magnitude(value);
        if (size && (!smallest || size < smallest))
            smallest = size;
    }
    return smallest;
}

enum hone_graph_group hone_report_group(const struct hone_report *report)
{
    static const enum hone_graph_group groups[] = {
        [HONE_TEXT_FUNCTIONS] = HONE_GRAPH_FUNCTION, [HONE_TEXT_LINES] = HONE_GRAPH_LINE,
        [HONE_TEXT_FILES] = HONE_GRAPH_FILE,         [HONE_TEXT_ADDRESSES] = HONE_GRAPH_ADDRESS,
        [HONE_TEXT_ROUTINES] = HONE_GRAPH_ROUTINE,
    };
    return groups[report->options->group];
}

static double fraction_or(const struct hone_text_options *o, double fraction, double otherwise)
{
    if (o->strict)
        return fraction;
    if (o->all)
        return 0;
    return fraction > 0 ? fraction : otherwise;
}

double hone_report_node_fraction(const struct hone_report *report)
{
    return fraction_or(report->options, report->options->node_fraction, 0.005);
}

double hone_report_edge_fraction(const struct hone_report *report)
{
    return fraction_or(report->options, report->options->edge_fraction, 0.001);
}

int hone_report_check_sums(const struct hone_report *report, struct hone_error *err)
{
    if (report->options->strict || hone_tally_fits(report->profile, report->type))
        return 0;
    return hone_error_set(err, -EOVERFLOW, "the profile's values cannot be added up");
}

int hone_report_graph(struct hone_report *report, uint32_t rows, enum hone_graph_edges edges,
                      struct hone_graph **ret, struct hone_error *err)
{
    const struct hone_text_options *o = report->options;
    const struct hone_graph_options options = {
        .type = report->type,
        .group = hone_report_group(report),
        .by_cum = o->by_cum,
        .edges = edges,
        .rows = rows,
        .node_fraction = hone_report_node_fraction(report),
        .edge_fraction = hone_report_edge_fraction(report),
        .strict = o->strict,
        .mean = o->mean,
        .drop_negative = o->drop_negative,
    };
    int r = hone_report_check_sums(report, err);
    if (!r)
        r = hone_graph_new(report->profile, &options, ret, err);
    if (r)
        return r;
    if ((*ret)->shown_count)
        hone_report_choose_unit(report, hone_report_smallest(*ret), false);
    return 0;
}

struct hone_measure_label hone_report_value(const struct hone_report *report, int64_t value)
{
    return hone_measure_label(scaled(report, value), report->unit, report->shown_unit);
}

struct hone_measure_label hone_report_value_or_dot(const struct hone_report *report, int64_t value)
{
    return value ? hone_report_value(report, value) : (struct hone_measure_label){"."};
}

int hone_report_no_match(const struct hone_report *report, struct hone_error *err)
{
    const struct hone_pattern *pattern = report->options->pattern;
    if (report->options->strict) {
        (void)hone_error_set(err, 0, "no matches found for regexp: %s", hone_pattern_text(pattern));
        return -ENOENT;
    }
    (void)hone_error_set(err, 0, "no function matches '%s'%s", hone_pattern_text(pattern),
                         hone_pattern_gave_up(pattern) ? ", which takes too long on some names"
                                                       : "");
    hone_error_hint(err, "hone top --all lists those that there are");
    return -ENOENT;
}

// --- the lines above a report --------------------------------------------------------------------

struct hone_str hone_report_base_name(struct hone_str path)
{
    while (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return at == path.len ? path : (struct hone_str){path.at + at, path.len - at}; // "/"
}

// "libz.so", "libz.so.1" and "libz.so_1", but not "also".
static bool is_library(struct hone_str file)
{
    for (size_t i = 0; i + 3 <= file.len; i++) {
        if (memcmp(file.at + i, ".so", 3) != 0)
            continue;
        if (i + 3 == file.len)
            return true;
        if (i + 4 < file.len && (file.at[i + 3] == '.' || file.at[i + 3] == '_') &&
            file.at[i + 4] >= '0' && file.at[i + 4] <= '9')
            return true;
    }
    return false;
}

uint32_t hone_report_main_mapping(const struct hone_profile *profile)
{
    for (uint32_t i = 1; i < profile->mappings.count; i++) {
        struct hone_str file = hone_profile_str(profile, profile->mappings.at[i].file);
        if (file.len && file.at[0] != '[' && !is_library(file))
            return i;
    }
    return profile->mappings.count > 1 ? 1 : 0;
}

const struct hone_profile_mapping *hone_report_program(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    uint32_t first = p->mappings.count > 1;
    return &p->mappings.at[report->options->strict ? first : hone_report_main_mapping(p)];
}

void hone_report_words(const struct hone_report *report, const char *text, uint32_t column,
                       uint32_t indent)
{
    uint32_t width = report->options->width;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (width && word != text && column + 1 + len > width) {
            hone_buffer_format(report->out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (word != text) {
            hone_buffer_add(report->out, " ", 1);
            column++;
        }
        hone_buffer_add(report->out, word, len);
        column += (uint32_t)len;
        word += len;
        if (*word)
            word++;
    }
    hone_buffer_text(report->out, "\n");
}

void hone_report_sentence(const struct hone_report *report, const char *text)
{
    hone_report_words(report, text, 0, 2);
}

static void put_time(const struct hone_report *report)
{
    time_t seconds = (time_t)(report->profile->time_ns / 1000000000);
    if (report->profile->time_ns % 1000000000 < 0)
        seconds--;
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm at;
    if (!localtime_r(&seconds, &at))
        return;
    hone_buffer_format(report->out, "Time: %s %d, %d at %d:%02d%s (%s)\n", months[at.tm_mon],
                       at.tm_mday, at.tm_year + 1900, at.tm_hour % 12 ? at.tm_hour % 12 : 12,
                       at.tm_min, at.tm_hour < 12 ? "am" : "pm", at.tm_zone);
}

static void put_duration(const struct hone_report *report)
{
    int64_t duration = report->profile->duration_ns;
    const char *unit;
    double nanoseconds = hone_measure_scale(report->total, report->unit, "nanoseconds", &unit);
    hone_buffer_format(report->out, "Duration: %s, Total samples = %s ",
                       hone_measure_label(duration, "nanoseconds", "auto").text,
                       hone_report_value(report, report->total).text);
    if (strcmp(unit, "ns") == 0 && nanoseconds != 0)
        hone_buffer_format(report->out, "(%s)",
                           hone_measure_percentage((int64_t)nanoseconds, duration).text);
    hone_buffer_text(report->out, "\n");
}

void hone_report_head(const struct hone_report *report)
{
    if (report->options->compact)
        return;
    const struct hone_profile *p = report->profile;
    const struct hone_profile_mapping *program = hone_report_program(report);
    struct hone_str file = hone_report_base_name(hone_profile_str(p, program->file));
    if (file.len)
        hone_buffer_format(report->out, "File: %.*s\n", (int)file.len, file.at);
    if (program->build_id)
        hone_buffer_format(report->out, "Build ID: %s\n", hone_profile_text(p, program->build_id));
    for (uint32_t i = 0; i < p->comment_count; i++) {
        const char *comment = hone_profile_text(p, p->comments[i]);
        if (comment[0] != '#')
            hone_report_sentence(report, comment);
    }
    if (*report->type_name || report->options->mean)
        hone_buffer_format(report->out, "Type: %s%s\n", report->options->mean ? "mean_" : "",
                           report->type_name);
    if (p->time_ns)
        put_time(report);
    if (p->duration_ns)
        put_duration(report);
}

void hone_report_dropped(const struct hone_report *report, uint32_t count, const char *what,
                         const char *measure, double fraction)
{
    if (!count)
        return;
    int64_t part = integer(fabs((double)report->total * fraction));
    struct hone_measure_label label = hone_report_value(report, part);
    hone_buffer_format(report->out, "Dropped %u %s%s (%s <= %s)\n", count, what,
                       count > 1 ? "s" : "", measure, label.text);
}

enum { FILTER_MAX = 80 }; // bytes of one that are printed

void hone_report_filters(const struct hone_report *report)
{
    const char *const *filter = report->options->filters;
    if (!filter || !*filter)
        return;
    hone_buffer_text(report->out, "Active filters:\n");
    for (; *filter; filter++) {
        size_t len = strlen(*filter);
        hone_buffer_format(report->out, "   %.*s%s\n", (int)(len < FILTER_MAX ? len : FILTER_MAX),
                           *filter, len > FILTER_MAX ? "…" : "");
    }
}

void hone_report_graph_head(const struct hone_report *report, const struct hone_graph *graph)
{
    hone_report_filters(report);
    const char *part = hone_measure_percentage(graph->flat_sum, report->total).text;
    while (*part == ' ')
        part++;
    hone_buffer_format(report->out, "Showing nodes accounting for %s, %s of %s total\n",
                       hone_report_value(report, graph->flat_sum).text, part,
                       hone_report_value(report, report->total).text);
    if (!report->total)
        return;
    hone_report_dropped(report, graph->dropped_nodes, "node", "cum",
                        hone_report_node_fraction(report));
    if (graph->shown_count && graph->shown_count < graph->untrimmed_count)
        hone_buffer_format(report->out, "Showing top %u nodes out of %u\n", graph->shown_count,
                           graph->untrimmed_count);
}

bool hone_report_is_empty(const struct hone_report *report)
{
    return report->total == 0 && !report->options->strict;
}

void hone_report_facts(const struct hone_report *report, const char *title)
{
    const struct hone_profile *p = report->profile;
    for (uint32_t i = 0; i < p->comment_count; i++) {
        const char *comment = hone_profile_text(p, p->comments[i]);
        if (comment[0] != '#')
            continue;
        hone_buffer_format(report->out, "%-10s", title);
        hone_report_words(report, comment + 1 + (comment[1] == ' '), 10, 12);
        title = "";
    }
}

bool hone_report_says(const struct hone_profile *profile, const char *beginning)
{
    for (uint32_t i = 0; i < profile->comment_count; i++)
        if (strncmp(hone_profile_text(profile, profile->comments[i]), beginning,
                    strlen(beginning)) == 0)
            return true;
    return false;
}

static bool has_warnings(const struct hone_profile *p)
{
    for (uint32_t i = 0; i < p->comment_count; i++)
        if (hone_profile_text(p, p->comments[i])[0] != '#')
            return true;
    return false;
}

void hone_report_empty(const struct hone_report *report)
{
    const struct hone_profile *p = report->profile;
    bool of_cpu =
        strcmp(report->type_name, "cpu") == 0 || strcmp(report->type_name, "samples") == 0;
    hone_buffer_format(report->out, "\nNo samples of type '%s'.\n", report->type_name);
    if (has_warnings(p))
        hone_report_sentence(report, "The lines above say what the recorder knows about it.");
    else if (of_cpu)
        hone_report_sentence(report,
                             "CPU time is sampled while a program computes: one that waits gives "
                             "none, and one that ends within a few milliseconds may give none. Run "
                             "it for longer, or raise the rate: hone record -F 10000 …");
    else if (p->type_count > 1)
        hone_report_sentence(report,
                             "Another sample type may have values; 'hone info' lists them all.");
}

// --- names ---------------------------------------------------------------------------------------

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

uint32_t hone_report_columns(struct hone_str text)
{
    uint32_t columns = 0;
    for (size_t i = 0; i < text.len; i++)
        columns += starts_character(text.at[i]);
    return columns;
}

void hone_report_name(const struct hone_report *report, struct hone_str name, uint32_t used,
                      uint32_t reserved)
{
    uint32_t width = report->options->width;
    uint32_t columns = hone_report_columns(name);
    uint32_t taken = used + reserved;
    if (!width || columns <= (width > taken ? width - taken : 0)) {
        hone_buffer_add(report->out, name.at, name.len);
        return;
    }
    // Both ends say most: the namespace and the method. At least 8 columns are left to them.
    uint32_t room = (width > taken + 9 ? width - taken : 9) - 1;
    uint32_t head = room / 2;
    uint32_t tail = room - head;
    size_t head_end = 0;
    for (uint32_t seen = 0; head_end < name.len; head_end++)
        if (starts_character(name.at[head_end]) && seen++ == head)
            break;
    size_t tail_start = name.len;
    for (uint32_t seen = 0; tail_start > head_end && seen < tail;
         seen += starts_character(name.at[tail_start]))
        tail_start--;
    hone_buffer_add(report->out, name.at, head_end);
    hone_buffer_text(report->out, "…");
    hone_buffer_add(report->out, name.at + tail_start, name.len - tail_start);
}

int hone_report_finish(const struct hone_report *report, struct hone_error *err)
{
    return report->out->failed ? hone_error_set(err, -ENOMEM, "cannot write the report") : 0;
}

int hone_text_head(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    hone_report_head(&report);
    return hone_report_finish(&report, err);
}
