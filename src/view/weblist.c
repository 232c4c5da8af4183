// The page: for each stretch of lines of a function its source, each line with what it took, and
// behind the line its machine code, which a click opens.
#include "view/weblist.h"

#include "base/cleanup.h"
#include "base/utf8.h"
#include "view/drawing.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

extern const char hone_weblist_style[];  // weblist.css
extern const char hone_weblist_script[]; // weblist.js

enum {
    MARGIN = 5, // lines shown around those that took something
    GAP = 20,   // lines of one function that are no further apart stand together
    CALL_INDENT = 4,
    CODE_WIDTH = 48,
    CODE_COLUMN = 42, // before an instruction
};

// Lines of one function: spots[from … to), and the lines around them.
struct stretch {
    uint32_t from;
    uint32_t to;
    int64_t begin; // line
    int64_t end;
    int64_t flat;
    int64_t cum;
};

struct page {
    struct hone_weblist list;
    struct hone_buffer *out; // not yet cleaned
    struct stretch *stretches;
    uint32_t count;
    const struct hone_source_file *file; // at hand
};

static void page_done(struct page *page)
{
    hone_code_done(&page->list.code);
    hone_source_free(page->list.source);
    free(page->list.spots);
    hone_arena_done(&page->list.arena);
    free(page->stretches);
}

// --- stretches -----------------------------------------------------------------------------------

static bool stands_with(const struct page *page, const struct stretch *last,
                        const struct hone_weblist_spot *spot)
{
    const struct hone_weblist_spot *first = &page->list.spots[last->from];
    return hone_str_equal(first->file, spot->file) &&
           (spot->line < last->end ||
            (spot->line - last->end < GAP && hone_str_equal(first->function, spot->function)));
}

static int find_stretches(struct page *page)
{
    const struct hone_weblist *list = &page->list;
    page->stretches = calloc((size_t)list->spot_count + 1, sizeof *page->stretches);
    if (!page->stretches)
        return -ENOMEM;
    for (uint32_t i = 0; i < list->spot_count; i++) {
        const struct hone_weblist_spot *spot = &list->spots[i];
        struct stretch *last = page->count ? &page->stretches[page->count - 1] : NULL;
        if (!last || !stands_with(page, last, spot)) {
            last = &page->stretches[page->count++];
            *last = (struct stretch){.from = i, .begin = spot->line};
        }
        last->to = i + 1;
        last->end = (int64_t)spot->line + 1;
        last->flat = hone_tally_add(last->flat, spot->flat);
        last->cum = hone_tally_add(last->cum, spot->cum);
    }
    return 0;
}

// Shows lines around a stretch, as far as its neighbours leave room. Line 0 has none.
static void widen(struct page *page)
{
    for (uint32_t i = 0; i < page->count; i++) {
        struct stretch *at = &page->stretches[i];
        struct stretch *before = i ? &page->stretches[i - 1] : NULL;
        const struct hone_weblist_spot *spots = page->list.spots;
        bool neighbours = before && hone_str_equal(spots[before->from].file, spots[at->from].file);
        int64_t room = MARGIN;
        if (neighbours && (at->begin - before->end) / 2 < room)
            room = (at->begin - before->end) / 2;
        if (before)
            before->end += neighbours ? room : MARGIN;
        if (at->begin)
            at->begin = at->begin - room < 1 ? 1 : at->begin - room;
    }
    if (page->count)
        page->stretches[page->count - 1].end += MARGIN;
}

// --- lines ---------------------------------------------------------------------------------------

static struct hone_str trimmed(struct hone_str text)
{
    while (text.len && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.len--;
    }
    return text;
}

static void put_values(const struct page *page, int64_t flat, int64_t cum)
{
    const struct hone_report *report = &page->list.code.report;
    hone_buffer_format(page->out, "%10s %10s", hone_report_value_or_dot(report, flat).text,
                       hone_report_value_or_dot(report, cum).text);
}

static void put_origin(const struct page *page, const struct hone_weblist_call *call)
{
    if (!call->file.len || !call->line)
        return;
    hone_buffer_text(page->out, " <small>");
    hone_flame_xml(page->out, hone_report_base_name(call->file));
    hone_buffer_format(page->out, ":%u</small>", call->line);
}

// What was inlined there, line by line inwards; what the last instruction had is not said again.
static int put_calls(struct page *page, const struct hone_weblist_spot *spot,
                     const struct hone_weblist_spot *before)
{
    uint32_t same = 0;
    while (before && same < spot->call_count && same < before->call_count &&
           spot->calls[same].line == before->calls[same].line &&
           hone_str_equal(spot->calls[same].file, before->calls[same].file))
        same++;
    for (uint32_t i = same; i < spot->call_count; i++) {
        const struct hone_weblist_call *call = &spot->calls[i];
        const struct hone_source_file *file = hone_source_file(page->list.source, call->file);
        if (!file)
            return -ENOMEM;
        bool known = file->found && call->line && call->line <= file->count;
        hone_buffer_format(page->out, "%*s%*s<span class=\"call\">", CODE_COLUMN, "",
                           (int)(i * CALL_INDENT), "");
        hone_flame_xml(page->out, known ? trimmed(file->text[call->line - 1]) : HONE_STR("…"));
        hone_buffer_text(page->out, "</span>");
        put_origin(page, call);
        hone_buffer_text(page->out, "\n");
    }
    return 0;
}

static int put_machine(struct page *page, const struct hone_weblist_spot *spots, uint32_t count)
{
    int r = 0;
    const struct hone_weblist_spot *before = NULL;
    hone_buffer_text(page->out, "<div class=\"machine\">");
    for (uint32_t i = 0; !r && i < count; i++) {
        const struct hone_weblist_spot *spot = &spots[i];
        if (!spot->text.at)
            continue;
        if (before && before->vaddr + before->size != spot->vaddr)
            hone_buffer_format(page->out, "%*s⋮\n", CODE_COLUMN, "");
        r = put_calls(page, spot, before);
        hone_buffer_format(page->out, "%8s", "");
        put_values(page, spot->flat, spot->cum);
        hone_buffer_format(page->out, " %10" PRIx64 ": %*s", spot->vaddr,
                           (int)(spot->call_count * CALL_INDENT), "");
        hone_flame_xml(page->out, spot->text);
        uint32_t columns = hone_report_columns(spot->text) + spot->call_count * CALL_INDENT;
        hone_buffer_format(page->out, "%*s", columns < CODE_WIDTH ? (int)(CODE_WIDTH - columns) : 0,
                           "");
        put_origin(page, &spot->own);
        hone_buffer_text(page->out, "\n");
        before = spot;
    }
    hone_buffer_text(page->out, "</div>");
    return r;
}

static void put_text(const struct page *page, int64_t line)
{
    const struct hone_source_file *file = page->file;
    hone_buffer_text(page->out, "  ");
    if (!line)
        hone_buffer_text(page->out, "<small>code without a line</small>");
    else if (file && line <= (int64_t)file->count)
        hone_flame_xml(page->out, file->text[line - 1]);
    else
        hone_buffer_text(page->out, "<small>source not found</small>");
}

static int put_line(struct page *page, int64_t line, const struct hone_weblist_spot *spots,
                    uint32_t count)
{
    struct hone_buffer *out = page->out;
    int64_t flat = 0;
    int64_t cum = 0;
    bool machine = false;
    for (uint32_t i = 0; i < count; i++) {
        flat = hone_tally_add(flat, spots[i].flat);
        cum = hone_tally_add(cum, spots[i].cum);
        machine |= spots[i].text.at != NULL;
    }
    double total = (double)page->list.code.report.total;
    double share =
        total != 0 ? (double)hone_tally_magnitude(flat) / (total < 0 ? -total : total) : 0;
    hone_buffer_text(out, machine ? "<details><summary" : "<div class=\"row\"");
    if (share >= 0.001)
        hone_buffer_format(out, " style=\"--share:%.3f\"", share > 1 ? 1 : share);
    hone_buffer_format(out, "><span class=\"number\">%7" PRId64 "</span> ", line);
    put_values(page, flat, cum);
    put_text(page, line);
    hone_buffer_text(out, machine ? "</summary>" : "</div>");
    int r = machine ? put_machine(page, spots, count) : 0;
    hone_buffer_text(out, machine ? "</details>" : "");
    return r;
}

static int put_stretch(struct page *page, uint32_t number)
{
    const struct hone_report *report = &page->list.code.report;
    const struct stretch *stretch = &page->stretches[number];
    const struct hone_weblist_spot *spots = page->list.spots;
    const struct hone_weblist_spot *first = &spots[stretch->from];
    struct hone_buffer *out = page->out;
    page->file = hone_source_file(page->list.source, first->file);
    if (!page->file)
        return -ENOMEM;
    hone_buffer_format(out, "<section id=\"s%u\"><h2>", number);
    hone_flame_xml(out, first->function);
    hone_buffer_text(out, "</h2>\n<p>");
    hone_flame_xml(out, first->file.len ? first->file : HONE_STR("source unknown"));
    if (first->file.len && !page->file->found) {
        hone_buffer_text(out, ": not here, nor under ");
        hone_flame_xml(out, hone_str_of(hone_source_places(page->list.source)));
    }
    hone_buffer_format(out,
                       "</p>\n<div class=\"code\"><div class=\"row head\">%7s %10s %10s  %s of "
                       "%s</div>",
                       "line", "flat", "cum",
                       hone_measure_percentage(stretch->cum, report->total).text,
                       hone_report_value(report, report->total).text);
    hone_buffer_format(out, "<div class=\"row head\">%7s ", "all");
    put_values(page, stretch->flat, stretch->cum);
    hone_buffer_text(out, "</div>");
    int r = 0;
    uint32_t at = stretch->from;
    for (int64_t line = stretch->begin; !r && line < stretch->end && !out->failed; line++) {
        uint32_t from = at;
        while (at < stretch->to && spots[at].line == line)
            at++;
        if (at == from && line > (int64_t)page->file->count) // behind the end of the file
            continue;
        r = put_line(page, line, &spots[from], at - from);
    }
    hone_buffer_text(out, "</div></section>\n");
    return r;
}

// --- page ----------------------------------------------------------------------------------------

// Each line of text as a paragraph.
static void put_paragraphs(struct hone_buffer *out, const struct hone_buffer *text)
{
    for (size_t at = 0; at < text->len;) {
        const char *end = memchr(text->at + at, '\n', text->len - at);
        size_t len = end ? (size_t)(end - text->at) - at : text->len - at;
        hone_buffer_text(out, "<p>");
        hone_flame_xml(out, (struct hone_str){text->at + at, len});
        hone_buffer_text(out, "</p>\n");
        at += len + 1;
    }
}

static int put_head(struct page *page)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer facts = {0};
    struct hone_report head = page->list.code.report;
    struct hone_text_options options = *head.options;
    options.width = 0;
    options.compact = false;
    head.options = &options;
    head.out = &facts;
    hone_report_head(&head);
    hone_report_filters(&head);
    hone_buffer_format(&facts, "Total: %s\n", hone_report_value(&head, head.total).text);
    struct hone_buffer *out = page->out;
    hone_buffer_text(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                          "<title>");
    hone_flame_xml(out, hone_str_of(hone_pattern_text(head.options->pattern)));
    hone_buffer_text(out, ": source and machine code</title>\n<style>\n");
    hone_buffer_text(out, hone_weblist_style);
    hone_buffer_text(out, "</style>\n</head>\n<body>\n<header><h1>");
    hone_flame_xml(out, hone_str_of(hone_pattern_text(head.options->pattern)));
    hone_buffer_text(out, "</h1>\n");
    put_paragraphs(out, &facts);
    if (page->list.left_out)
        hone_buffer_format(out,
                           "<p>%u smaller functions that match are left out; a narrower pattern "
                           "shows them.</p>\n",
                           page->list.left_out);
    hone_buffer_text(out, "<button type=\"button\">Show machine code</button>\n");
    if (page->count > 1)
        hone_buffer_text(out, "<nav>");
    for (uint32_t i = 0; page->count > 1 && i < page->count; i++) {
        if (!page->stretches[i].cum)
            continue;
        hone_buffer_format(out, "<a href=\"#s%u\">%s ", i,
                           hone_measure_percentage(page->stretches[i].cum, head.total).text);
        hone_flame_xml(out, page->list.spots[page->stretches[i].from].function);
        hone_buffer_text(out, "</a>\n");
    }
    hone_buffer_text(out, page->count > 1 ? "</nav></header>\n" : "</header>\n");
    return facts.failed ? -ENOMEM : 0;
}

static int put_page(struct page *page)
{
    int r = find_stretches(page);
    if (r)
        return r;
    widen(page);
    r = put_head(page);
    for (uint32_t i = 0; !r && i < page->count; i++)
        if (page->stretches[i].cum)
            r = put_stretch(page, i);
    put_paragraphs(page->out, &page->list.code.errors);
    hone_buffer_text(page->out, "<script>\n");
    hone_buffer_text(page->out, hone_weblist_script);
    hone_buffer_text(page->out, "</script>\n</body>\n</html>\n");
    return r;
}

static int prepare(struct page *page, struct hone_error *err)
{
    const struct hone_text_options *o = page->list.code.report.options;
    bool any = false;
    if (!o->pattern)
        return hone_error_set(err, -EINVAL, "no pattern says which functions to show");
    page->list.code.by_file = true;
    int r = hone_code_find(&page->list.code, &any);
    if (!r)
        r = hone_source_new(o->source_path, o->trim_path, o->strict, &page->list.source);
    if (r)
        return hone_error_set(err, r, "cannot show the source");
    return any ? hone_weblist_collect(&page->list, err)
               : hone_report_no_match(&page->list.code.report, err);
}

int hone_view_weblist(const struct hone_profile *profile, const struct hone_text_options *options,
                      struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    HONE_CLEANUP(page_done) struct page page = {.out = &text};
    int r = hone_report_init(&page.list.code.report, profile, options, &text, err);
    if (!r)
        r = prepare(&page, err);
    if (r)
        return r;
    r = put_page(&page);
    bool failed = text.failed;
    struct hone_str clean = {0};
    if (!r && !failed) // names and sources are strangers' text
        clean = hone_utf8_clean_lines(&arena, (struct hone_str){text.at, text.len}, &failed);
    if (r || failed)
        return hone_error_set(err, r ? r : -ENOMEM, "cannot show the source");
    hone_buffer_add(out, clean.at, clean.len);
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot hold the page") : 0;
}
