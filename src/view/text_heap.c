#include "view/heap.h"

#include "analyse/heap_facts.h"
#include "analyse/heap_summary.h"
#include "analyse/pressure.h"
#include "base/cleanup.h"
#include "base/measure.h"
#include "view/text_report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double limits = 1.96; // standard errors: 95 of 100 times

struct page {
    const struct hone_heap_view *view;
    struct hone_buffer *out;
    struct hone_report report; // for names and sentences
};

bool hone_heap_view_is_unknown(const struct hone_heap_view *view)
{
    const struct hone_profile *profile = view->profile;
    bool uncovered = view->facts->not_covered.count;
    for (uint32_t i = 0; profile && i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        uncovered = uncovered || strncmp(comment, "not covered: the heap of process", 32) == 0 ||
                    strncmp(comment, "empty: the heap is not covered", 30) == 0;
    }
    return uncovered && !view->summary->allocated.seen && !view->summary->live.seen;
}

// --- figures -------------------------------------------------------------------------------------

static int64_t whole(double value)
{
    return value < (double)INT64_MAX / 2 ? llround(value) : INT64_MAX / 2;
}

static struct hone_measure_label bytes_label(double bytes)
{
    return hone_measure_label(whole(bytes), "bytes", "auto");
}

static struct hone_measure_label time_label(double ns)
{
    return hone_measure_label(whole(ns), "nanoseconds", "auto");
}

// "±12%", or nothing where it is exact.
static struct hone_measure_label off_label(double value, double off)
{
    struct hone_measure_label label = {""};
    if (off <= 0 || value <= 0)
        return label;
    double percent = 100 * off / value;
    (void)snprintf(label.text, sizeof label.text, percent < 9.95 ? "±%.1f%%" : "±%.0f%%", percent);
    return label;
}

static struct hone_measure_label error_label(struct hone_heap_amount amount)
{
    return off_label(amount.value, limits * amount.error);
}

static const char *blocks_label(double count)
{
    return count == 1 ? "block" : "blocks";
}

// Text in so many columns, to the right; '±' is one of them.
static void put_right(struct page *page, const char *text, uint32_t columns)
{
    uint32_t has = hone_report_columns(hone_str_of(text));
    hone_buffer_format(page->out, "%*s%s", has < columns ? (int)(columns - has) : 0, "", text);
}

static void put_left(struct page *page, const char *text, uint32_t columns)
{
    uint32_t has = hone_report_columns(hone_str_of(text));
    hone_buffer_format(page->out, "%s%*s", text, has < columns ? (int)(columns - has) : 0, "");
}

static void put_amounts(struct page *page, const char *title,
                        const struct hone_heap_amounts *amounts)
{
    put_left(page, title, 14);
    if (hone_heap_view_is_unknown(page->view)) {
        hone_buffer_format(page->out, "%10s  not known\n", "-");
        return;
    }
    if (!amounts->seen) {
        double unseen = hone_heap_summary_unseen(page->view->summary);
        if (unseen > 0)
            hone_buffer_format(page->out, "%10s  none was sampled: less than %s, 95 of 100 times\n",
                               "-", bytes_label(unseen).text);
        else
            hone_buffer_format(page->out, "%10s\n", "0");
        return;
    }
    hone_buffer_format(page->out, "%10s ", bytes_label(amounts->bytes.value).text);
    put_left(page, error_label(amounts->bytes).text, 8);
    hone_buffer_format(page->out, "%14.0f %s ", amounts->objects.value,
                       blocks_label(amounts->objects.value));
    hone_buffer_format(page->out, "%s\n", error_label(amounts->objects).text);
}

// Whether the recording says that it lost allocations or their ends.
static bool is_lossy(const struct hone_heap_view *view)
{
    return view->facts->lost > 0 ||
           (view->profile && hone_report_says(view->profile, HONE_REPORT_LOST));
}

bool hone_heap_view_is_changed(const struct hone_heap_view *view)
{
    return view->facts->rate_changes > 0 ||
           (view->profile && hone_report_says(view->profile, HONE_REPORT_RATE_CHANGED));
}

// "Exact: every block was counted", but for what has not been.
static void put_exactness(struct page *page)
{
    const struct hone_heap_view *view = page->view;
    if (hone_heap_view_is_changed(view)) {
        hone_buffer_text(page->out, "Not exact: the rate was changed while it ran\n");
        return;
    }
    const char *parts[3];
    int count = 0;
    char early[64];
    if (is_lossy(view))
        parts[count++] = "what was lost";
    if (view->facts->not_covered.count)
        parts[count++] = "what is not covered";
    if (view->facts->early_objects > 0) {
        (void)snprintf(early, sizeof early, "%.0f made before Hone began",
                       view->facts->early_objects);
        parts[count++] = early;
    }
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer sentence = {0};
    hone_buffer_text(&sentence, "Exact: every block was counted");
    for (int i = 0; i < count; i++)
        hone_buffer_format(&sentence, "%s%s",
                           !i               ? ", but for "
                           : i == count - 1 ? " and "
                                            : ", ",
                           parts[i]);
    hone_buffer_add(&sentence, "", 1);
    if (sentence.failed)
        page->out->failed = true;
    else
        hone_report_sentence(&page->report, sentence.at);
}

// --- parts ---------------------------------------------------------------------------------------

static void put_head(struct page *page)
{
    const struct hone_heap_view *view = page->view;
    if (view->facts->command.len) {
        hone_buffer_text(page->out, "Heap of ");
        hone_report_name(&page->report, view->facts->command, 8, 0);
        if (!isnan(view->facts->duration_ns))
            hone_buffer_format(page->out, "\nRecorded for %s",
                               time_label(view->facts->duration_ns).text);
        hone_buffer_text(page->out, "\n");
    }
    for (uint32_t i = 0; view->profile && i < view->profile->comment_count; i++) {
        const char *comment = hone_profile_text(view->profile, view->profile->comments[i]);
        if (comment[0] != '#')
            hone_report_sentence(&page->report, comment);
    }
    const struct hone_heap_summary *summary = view->summary;
    if (!summary)
        return;
    bool changed = hone_heap_view_is_changed(view);
    if (summary->sampled)
        hone_buffer_format(
            page->out,
            "Sampled, %sone block for every %s allocated; ± is what chance leaves%s, 95\n"
            "of 100 times\n",
            changed ? "at first " : "", bytes_label(summary->period).text,
            changed ? " at\nthat rate" : "");
    else if (hone_heap_view_is_unknown(view))
        hone_buffer_text(page->out, "Not known: nothing of it was covered\n");
    else if (summary->period > 0)
        put_exactness(page);
    else
        hone_buffer_text(page->out,
                         "The profile does not say how it was sampled: no figure has an error\n");
}

static double share(double part, double all)
{
    return all > 0 ? 100 * part / all : 0;
}

static void put_totals(struct page *page)
{
    const struct hone_heap_summary *summary = page->view->summary;
    const struct hone_heap_facts *facts = page->view->facts;
    hone_buffer_text(page->out, "\n");
    put_amounts(page, "allocated", &summary->allocated);
    put_amounts(page, "live", &summary->live);
    if (hone_heap_view_is_unknown(page->view))
        return;
    // More than the peak, which is of one moment.
    if (facts->peak_processes > 1 && summary->live.bytes.value > facts->peak_bytes)
        hone_buffer_format(page->out, "%-14sof each process when it ended, not all at once\n", "");
    if (!isnan(facts->peak_bytes)) {
        hone_buffer_format(page->out, "%-14s%10s%s", "peak", bytes_label(facts->peak_bytes).text,
                           hone_heap_view_is_changed(page->view) ? "  of what was counted alone"
                                                                 : "");
        if (!isnan(facts->peak_time_ms))
            hone_buffer_format(page->out, "  %s after the start",
                               time_label(facts->peak_time_ms * 1e6).text);
        if (facts->peak_processes > 1)
            hone_buffer_format(page->out, ",\n%-14s%.0f of %.0f processes lived then", "",
                               facts->peak_together, facts->peak_processes);
        hone_buffer_text(page->out, "\n");
    }
    if (!isnan(facts->temporary_objects)) {
        put_left(page, "temporary", 14);
        put_right(page,
                  isnan(facts->temporary_bytes) ? "" : bytes_label(facts->temporary_bytes).text,
                  10);
        hone_buffer_format(page->out, " %8s%14.0f %s  %.1f%% of all\n", "",
                           facts->temporary_objects, blocks_label(facts->temporary_objects),
                           share(facts->temporary_objects, summary->allocated.objects.value));
    }
    if (!isnan(facts->waste_bytes))
        hone_buffer_format(page->out, "%-14s%10s  %.1f%% more than was asked for\n", "waste",
                           bytes_label(facts->waste_bytes).text,
                           share(facts->waste_bytes, summary->allocated.bytes.value));
    if (!isnan(facts->reallocated) && facts->reallocated > 0)
        hone_buffer_format(page->out, "%-14s%10s %8s%14.0f %s  by realloc()\n", "reallocated", "",
                           "", facts->reallocated, blocks_label(facts->reallocated));
    double fragmentation = hone_heap_facts_fragmentation(facts);
    if (!isnan(fragmentation)) {
        hone_buffer_format(page->out, "%-14s%9.1f%%  of ", "fragmentation", 100 * fragmentation);
        hone_buffer_format(page->out, "%s held by the allocator",
                           bytes_label(facts->held_bytes).text);
        if (!isnan(facts->held_time_ms))
            hone_buffer_format(page->out, ", at %s", time_label(facts->held_time_ms * 1e6).text);
        hone_buffer_text(page->out, "\n");
    }
}

enum { PLACE_COLUMN = 37 };

// "parse ← main", both cut so that the line ends in time.
static void put_place(struct page *page, const struct hone_heap_place *place)
{
    uint32_t width = page->view->width;
    uint32_t room = width > PLACE_COLUMN ? width - PLACE_COLUMN : 0;
    uint32_t name = hone_report_columns(place->name), caller = hone_report_columns(place->caller);
    if (!place->caller.len) {
        hone_report_name(&page->report, place->name, PLACE_COLUMN, 0);
        return;
    }
    uint32_t reserved = width ? 3 + (caller < room / 2 ? caller : room / 2) : 0;
    hone_report_name(&page->report, place->name, PLACE_COLUMN, reserved);
    hone_buffer_text(page->out, " ← ");
    uint32_t shown = room > reserved && name < room - reserved ? name : room - reserved;
    hone_report_name(&page->report, place->caller, PLACE_COLUMN + shown + 3, 0);
}

static void put_places(struct page *page, const char *title, const struct hone_heap_place *places,
                       uint32_t count, double all)
{
    if (!count)
        return;
    hone_buffer_format(page->out, "\n%s\n", title);
    for (uint32_t i = 0; i < count; i++) {
        const struct hone_heap_amounts *amounts = &places[i].amounts;
        hone_buffer_format(page->out, "%10s %5.1f%% ", bytes_label(amounts->bytes.value).text,
                           share(amounts->bytes.value, all));
        put_left(page, error_label(amounts->bytes).text, 7);
        hone_buffer_format(page->out, "%10.0f  ", amounts->objects.value);
        put_place(page, &places[i]);
        hone_buffer_text(page->out, "\n");
    }
}

static void put_bar(struct page *page, double part, double all)
{
    int length = (int)lround(24 * (all > 0 ? part / all : 0));
    for (int i = 0; i < length; i++)
        hone_buffer_text(page->out, "▇");
    hone_buffer_text(page->out, "\n");
}

// Classes that have less than a two-hundredth are left out, and counted together.
static const double worth_telling = 0.005;

static void put_others(struct page *page, const char *what, double objects, double off)
{
    const struct hone_measure_label label = off_label(objects, off);
    hone_buffer_format(page->out, "  other %-10s%10.0f %s%sin rows of less than %.1f%% each\n",
                       what, objects, label.text, label.text[0] ? " " : "", 100 * worth_telling);
}

static void put_classes(struct page *page)
{
    const struct hone_heap_summary *summary = page->view->summary;
    double all = summary->allocated.objects.value, others = 0;
    if (!summary->classes_known || !(all > 0))
        return;
    hone_buffer_text(page->out, "\nBlocks by size\n");
    for (unsigned i = 0; i < HONE_HEAP_CLASSES; i++) {
        const struct hone_heap_amounts *blocks = &summary->classes[i];
        if (blocks->objects.value < worth_telling * all &&
            blocks->bytes.value < worth_telling * summary->allocated.bytes.value) {
            others += blocks->objects.value;
            continue;
        }
        uint64_t limit = hone_heap_class_limit(i);
        hone_buffer_format(page->out, "  %s %9s %10.0f ", limit ? "up to" : "above",
                           bytes_label((double)(limit ? limit : hone_heap_class_limit(i - 1))).text,
                           blocks->objects.value);
        put_left(page, error_label(blocks->objects).text, 7);
        hone_buffer_format(page->out, "%9s ", bytes_label(blocks->bytes.value).text);
        put_bar(page, blocks->objects.value, all);
    }
    if (others > 0)
        put_others(page, "sizes", others, 0);
}

// looked_at: of so many is known where they belong, of the others estimated; NAN: of all.
static void put_bins(struct page *page, const struct hone_heap_bins *bins, double looked_at,
                     const char *title, const char *what,
                     struct hone_measure_label (*label)(double))
{
    double all = 0, others = 0, squares = 0;
    for (uint32_t i = 0; i < bins->count; i++)
        all += bins->objects[i];
    if (!(all > 0))
        return;
    bool estimated = looked_at < all;
    hone_buffer_format(page->out, "\n%s\n", title);
    if (estimated)
        hone_buffer_format(page->out,
                           "  estimated: %.0f of %.0f freed were timed; ± is what chance\n"
                           "  leaves, 95 of 100 times\n",
                           looked_at, all);
    for (uint32_t i = 0; i < bins->count; i++) {
        if (bins->objects[i] < worth_telling * all) {
            others += bins->objects[i];
            // No more than of rows that know nothing of each other: what one has, another has not.
            squares += bins->error[i] * bins->error[i];
            continue;
        }
        bool last = isinf(bins->limit[i]);
        double limit = !last ? bins->limit[i] : i ? bins->limit[i - 1] : 0;
        hone_buffer_format(page->out, "  %s %9s %10.0f ", last ? "above" : "up to",
                           label(limit).text, bins->objects[i]);
        if (estimated)
            put_left(page, off_label(bins->objects[i], bins->error[i]).text, 7);
        hone_buffer_format(page->out, "%6.1f%% ", share(bins->objects[i], all));
        put_bar(page, bins->objects[i], all);
    }
    if (others > 0)
        put_others(page, what, others, sqrt(squares));
}

static void put_pressure(struct page *page)
{
    const struct hone_pressure *pressure = page->view->pressure;
    if (!pressure || pressure->samples < 1)
        return;
    hone_buffer_format(page->out, "\nCPU time for memory %.1f%%", 100 * pressure->share);
    hone_buffer_format(page->out, " (%.1f%% to %.1f%%, of %.0f samples)\n", 100 * pressure->low,
                       100 * pressure->high, pressure->samples);
    hone_buffer_format(page->out, "  allocator %.1f%%, mmap, munmap, madvise and brk %.1f%%,\n",
                       share(pressure->values[HONE_PRESSURE_ALLOCATOR], pressure->total),
                       share(pressure->values[HONE_PRESSURE_KERNEL], pressure->total));
    if (pressure->faults_known)
        hone_buffer_format(page->out, "  page faults %.1f%%\n",
                           share(pressure->values[HONE_PRESSURE_FAULTS], pressure->total));
    else
        hone_buffer_text(page->out, "  page faults count to whoever touched the memory first\n");
}

static void put_names(struct page *page, const char *title, const struct hone_heap_names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        hone_buffer_format(page->out, "%-14s", i ? "" : title);
        hone_report_name(&page->report, names->at[i], 14, 0);
        hone_buffer_text(page->out, "\n");
    }
    if (names->more)
        hone_buffer_format(page->out, "%-14sand %u others\n", "", names->more);
}

static void put_coverage(struct page *page)
{
    const struct hone_heap_facts *facts = page->view->facts;
    if (facts->allocators.count || facts->not_covered.count || facts->early_objects > 0 ||
        facts->lost > 0)
        hone_buffer_text(page->out, "\n");
    put_names(page, "allocator", &facts->allocators);
    put_names(page, "not covered", &facts->not_covered);
    if (facts->early_objects > 0)
        hone_buffer_format(page->out, "%-14s%.0f %s of %s, made before Hone began\n", "not covered",
                           facts->early_objects, blocks_label(facts->early_objects),
                           isnan(facts->early_bytes) ? "unknown size"
                                                     : bytes_label(facts->early_bytes).text);
    if (facts->lost > 0)
        hone_buffer_format(page->out, "%-14s%.0f record%s; 'hone info' says why\n", "lost",
                           facts->lost, facts->lost == 1 ? "" : "s");
}

static void put_next(struct page *page)
{
    const char *directory = page->view->directory;
    if (!directory || !page->view->summary)
        return;
    hone_buffer_format(page->out,
                       "\nSee 'hone top -inuse_space %s', 'hone flame -alloc_space %s'%s\n",
                       directory, directory,
                       page->view->summary->sampled ? ";\n'hone record --heap-rate 1' counts every "
                                                      "block"
                                                    : "");
}

int hone_text_heap(const struct hone_heap_view *view, struct hone_buffer *out,
                   struct hone_error *err)
{
    const struct hone_text_options options = {.width = view->width};
    struct page page = {
        .view = view,
        .out = out,
        .report = {.profile = view->profile, .options = &options, .out = out},
    };
    const struct hone_heap_summary *summary = view->summary;
    put_head(&page);
    if (summary) {
        put_totals(&page);
        put_places(&page, "Live, by the function that allocated", summary->live_places,
                   summary->live_count, summary->live.bytes.value);
        if (view->peak)
            put_places(&page,
                       page.view->facts->peak_processes > 1 ? "Live at the peak of each process"
                                                            : "Live at the peak",
                       view->peak->live_places, view->peak->live_count,
                       view->peak->live.bytes.value);
        put_places(&page, "Allocated, by function", summary->allocated_places,
                   summary->allocated_count, summary->allocated.bytes.value);
        if (summary->classes_known)
            put_classes(&page);
        else
            put_bins(&page, &view->facts->sizes, NAN, "Blocks by size", "sizes", bytes_label);
        put_bins(&page, &view->facts->lives, view->facts->lives_timed, "Blocks by life", "lives",
                 time_label);
    }
    put_pressure(&page);
    put_coverage(&page);
    put_next(&page);
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show the heap") : 0;
}
