// The source of functions: each line of the graph by source lines belongs to a function in a file,
// a routine. Lines are ordered so that those of a routine stand together; around them the file is
// printed, from the routine's declaration to a little behind its last line.
#include "view/text_report.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/utf8.h"
#include "symbol/source.h"

#include <errno.h>
#include <stdlib.h>

// Lines shown before the first and behind the last one with a value, as pprof has it.
enum { MARGIN = 5 };
// Before the source text: two values and the number of the line.
enum { TEXT_COLUMN = 29 };

struct line {
    struct hone_str name; // of the function
    struct hone_str file; // cleaned path; empty when unknown
    int64_t number;
    int64_t start; // of the function; 0 unknown
    int64_t flat;
    int64_t cum;
};

struct lines {
    struct line *at;
    uint32_t count;
};

struct list {
    struct hone_report report;
    struct hone_arena arena;
    struct hone_source *source;
    struct lines lines;    // by name, file and number
    struct lines routines; // by name and file
};

static void list_done(struct list *list)
{
    free(list->lines.at);
    free(list->routines.at);
    hone_source_free(list->source);
    hone_arena_done(&list->arena);
}

// --- what was asked for --------------------------------------------------------------------------

static int compare_texts(struct hone_str a, struct hone_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_routines(const struct line *a, const struct line *b)
{
    int order = compare_texts(a->name, b->name);
    return order ? order : compare_texts(a->file, b->file);
}

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;
    int order = compare_routines(a, b);
    return order ? order : (a->number > b->number) - (a->number < b->number);
}

// The nodes that the pattern matches.
static int collect(struct list *list, enum hone_graph_group group, struct lines *ret,
                   struct hone_error *err)
{
    const struct hone_profile *p = list->report.profile;
    const struct hone_graph_options options = {
        .type = list->report.type,
        .group = group,
        .edges = HONE_GRAPH_NO_EDGES,
        .drop_negative = list->report.options->drop_negative,
    };
    HONE_CLEANUP(hone_graph_freep) struct hone_graph *graph = NULL;
    int r = hone_graph_new(p, &options, &graph, err);
    if (r)
        return r;
    ret->at = calloc((size_t)graph->shown_count + 1, sizeof *ret->at);
    if (!ret->at)
        return hone_error_set(err, -ENOMEM, "cannot list the source");
    for (uint32_t i = 0; i < graph->shown_count; i++) {
        const struct hone_graph_node *node = &graph->nodes[graph->order[i]];
        uint32_t number = graph->places[node->place].number;
        bool strict = list->report.options->strict;
        if (number == HONE_GRAPH_NO_LINE) {
            if (strict && hone_pattern_matches(list->report.options->pattern, HONE_STR("")))
                ret->at[ret->count++] = (struct line){.name = HONE_STR("")};
            continue;
        }
        const struct hone_profile_line *at = &p->lines.at[number];
        struct hone_str name = hone_profile_str(p, p->functions.name[at->function]);
        if ((!name.len && !strict) || !hone_pattern_matches(list->report.options->pattern, name))
            continue;
        struct hone_str file = hone_profile_str(p, p->functions.file[at->function]);
        struct line line = {.name = name,
                            .file = hone_path_clean(&list->arena, file),
                            .number = at->number,
                            .start = p->functions.start_line[at->function],
                            .flat = node->flat.sum,
                            .cum = node->cum.sum};
        if (!line.file.at)
            return hone_error_set(err, -ENOMEM, "cannot list the source");
        ret->at[ret->count++] = line;
    }
    qsort(ret->at, ret->count, sizeof *ret->at, compare_lines);
    return 0;
}

// --- printing ------------------------------------------------------------------------------------

// A line of source; on a terminal cut at its end, with its tabs spread.
static void put_text(const struct list *list, struct hone_str text)
{
    enum { TAB = 8 };
    struct hone_buffer *out = list->report.out;
    uint32_t width = list->report.options->width;
    if (!width) {
        hone_buffer_add(out, text.at, text.len);
        return;
    }
    uint32_t room = width > TEXT_COLUMN ? width - TEXT_COLUMN : 1;
    uint32_t column = 0;
    size_t kept = 0;     // what fits with a "…" behind it
    size_t kept_len = 0; // of it in out
    size_t start = out->len;
    for (size_t at = 0, step; at < text.len; at += step) {
        (void)hone_utf8_decode((const unsigned char *)text.at + at, text.len - at, &step);
        uint32_t columns = text.at[at] == '\t' ? TAB - column % TAB : 1;
        if (column + columns <= room - 1) {
            kept = at + step;
            kept_len = out->len - start + (text.at[at] == '\t' ? columns : step);
        }
        if (column + columns > room) {
            out->len = out->failed ? out->len : start + kept_len;
            hone_buffer_text(out, kept < text.len ? "…" : "");
            return;
        }
        if (text.at[at] == '\t')
            hone_buffer_format(out, "%*s", (int)columns, "");
        else
            hone_buffer_add(out, text.at + at, step);
        column += columns;
    }
}

static void put_row(const struct list *list, int64_t flat, int64_t cum, int64_t number)
{
    hone_buffer_format(list->report.out,
                       "%10s %10s %6lld:", hone_report_value_or_dot(&list->report, flat).text,
                       hone_report_value_or_dot(&list->report, cum).text, (long long)number);
}

struct span {
    int64_t first;
    int64_t last;
};

// The lines to show: from where the function begins, if that is known, to behind its last line.
static struct span span_of(const struct line *lines, uint32_t count, bool strict)
{
    struct span span = {INT64_MAX, 0};
    for (uint32_t i = 0; i < count; i++) {
        bool known =
            strict ? lines[i].start != 0 : lines[i].start > 0 && lines[i].start <= lines[i].number;
        int64_t start = known ? lines[i].start : lines[i].number - MARGIN;
        span.first = start < span.first ? start : span.first;
        span.last = lines[i].number > span.last ? lines[i].number : span.last;
    }
    span.first = span.first < 1 ? 1 : span.first;
    span.last = span.last > INT64_MAX - MARGIN ? INT64_MAX : span.last + MARGIN;
    return span;
}

static void put_lines(const struct list *list, const struct hone_source_file *file,
                      const struct line *lines, uint32_t count)
{
    struct span span = span_of(lines, count, list->report.options->strict);
    uint32_t next = 0;
    for (int64_t number = span.first; number <= span.last && number <= file->count; number++) {
        int64_t flat = 0;
        int64_t cum = 0;
        for (; next < count && lines[next].number <= number; next++) {
            if (lines[next].number != number)
                continue; // number 0: code of no line
            flat = hone_tally_add(flat, lines[next].flat);
            cum = hone_tally_add(cum, lines[next].cum);
        }
        put_row(list, flat, cum, number);
        put_text(list, file->text[number - 1]);
        hone_buffer_text(list->report.out, "\n");
    }
}

// A sentence that was just made; NULL when memory was out.
static int put_sentence(const struct list *list, const char *text)
{
    if (!text)
        return -ENOMEM;
    hone_report_sentence(&list->report, text);
    return 0;
}

// What a reader must know of the file before believing its lines.
static int put_doubts(struct list *list, const struct hone_source_file *file,
                      const struct line *lines, uint32_t count)
{
    const struct hone_profile *p = list->report.profile;
    int r = 0;
    if (file->by_end)
        r = put_sentence(list,
                         hone_arena_format(&list->arena, " Note: the source is '%s'", file->found));
    if (!r && p->time_ns && file->changed_ns > p->time_ns)
        r = put_sentence(list,
                         hone_arena_format(&list->arena,
                                           " Note: '%s' was changed after this profile was taken",
                                           file->found));
    if (!r && lines[count - 1].number > file->count)
        r = put_sentence(
            list, hone_arena_format(&list->arena,
                                    " Note: '%s' has only %u lines, the one compiled had more",
                                    file->found, file->count));
    return r;
}

static void put_title(const struct list *list, const struct line *routine)
{
    enum { NAME_COLUMN = 33 };
    const struct hone_report *report = &list->report;
    uint32_t columns = hone_report_columns(routine->name) + hone_report_columns(routine->file);
    hone_buffer_text(report->out, "ROUTINE ======================== ");
    hone_report_name(report, routine->name, NAME_COLUMN, 0);
    bool fits = !report->options->width || NAME_COLUMN + columns + 4 <= report->options->width;
    hone_buffer_text(report->out, fits ? " in " : "\n  in ");
    hone_report_name(report, routine->file, 5, 0);
    hone_buffer_text(report->out, "\n");
}

// What the function takes in this file.
static struct line sum_of(const struct list *list, const struct line *routine)
{
    struct line sum = {0};
    // pprof adds up the lines, so that one stack may count for several of them.
    const struct lines *parts = list->report.options->strict ? &list->lines : &list->routines;
    for (uint32_t i = 0; i < parts->count; i++) {
        const struct line *part = &parts->at[i];
        if (compare_routines(part, routine) != 0)
            continue;
        sum.flat = hone_tally_add(sum.flat, part->flat);
        sum.cum = hone_tally_add(sum.cum, part->cum);
    }
    return sum;
}

// A function whose file is known in some places and unknown in others.
static int put_rest(struct list *list, const struct line *routine)
{
    struct line sum = sum_of(list, routine);
    struct hone_brief name = hone_brief_of(routine->name);
    return put_sentence(list, hone_arena_format(&list->arena, " Note: no source for %s of %s",
                                                hone_report_value(&list->report, sum.cum).text,
                                                name.text));
}

static int put_routine(struct list *list, const struct line *lines, uint32_t count)
{
    const struct hone_report *report = &list->report;
    struct hone_buffer *out = report->out;
    if (!lines->file.len) {
        hone_buffer_text(out, "No source information for ");
        hone_report_name(report, lines->name, 26, 0);
        hone_buffer_text(out, "\n");
        return 0;
    }
    struct line sum = sum_of(list, lines);
    put_title(list, lines);
    hone_buffer_format(out, "%10s %10s (flat, cum) %s of Total\n",
                       hone_report_value(report, sum.flat).text,
                       hone_report_value(report, sum.cum).text,
                       hone_measure_percentage(sum.cum, report->total).text);
    const struct hone_source_file *file = hone_source_file(list->source, lines->file);
    if (!file)
        return -ENOMEM;
    if (!file->found && report->options->strict) {
        hone_buffer_format(out, " Error: %s\n", file->error ? file->error : "");
        return 0;
    }
    if (!file->found) {
        return put_sentence(
            list,
            hone_arena_format(
                &list->arena, " Error: '%s' is not there, nor under %s; try --source-path DIR",
                hone_brief_of(hone_str_of(file->recorded)).text, hone_source_places(list->source)));
    }
    int r = report->options->strict ? 0 : put_doubts(list, file, lines, count);
    put_lines(list, file, lines, count);
    return r;
}

// A function whose file is known in some places and unknown in others has source.
static bool has_file_elsewhere(const struct lines *lines, uint32_t from, uint32_t count)
{
    return !lines->at[from].file.len && from + count < lines->count &&
           hone_str_equal(lines->at[from].name, lines->at[from + count].name);
}

int hone_text_list(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(list_done) struct list list = {0};
    int r = hone_report_init(&list.report, profile, options, out, err);
    if (!r && hone_report_is_empty(&list.report)) {
        hone_report_head(&list.report);
        hone_report_empty(&list.report);
        return hone_report_finish(&list.report, err);
    }
    if (!r)
        r = collect(&list, list.report.options->strict ? HONE_GRAPH_OBJECT_LINE : HONE_GRAPH_LINE,
                    &list.lines, err);
    if (!r && !list.report.options->strict)
        r = collect(&list, HONE_GRAPH_ROUTINE, &list.routines, err);
    if (r)
        return r;
    if (!list.lines.count)
        return hone_report_no_match(&list.report, err);
    r = hone_source_new(list.report.options->source_path, list.report.options->trim_path,
                        list.report.options->strict, &list.source);
    hone_buffer_format(out, "Total: %s\n", hone_report_value(&list.report, list.report.total).text);
    for (uint32_t from = 0, count; !r && from < list.lines.count; from += count) {
        const struct line *lines = &list.lines.at[from];
        for (count = 1; from + count < list.lines.count && !compare_routines(lines, &lines[count]);
             count++) {
        }
        if (!has_file_elsewhere(&list.lines, from, count))
            r = put_routine(&list, lines, count);
        else if (!list.report.options->strict)
            r = put_rest(&list, lines);
    }
    return r ? hone_error_set(err, r, "cannot list the source")
             : hone_report_finish(&list.report, err);
}
