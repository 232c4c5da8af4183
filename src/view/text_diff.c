#include "analyse/compare.h"
#include "view/diff.h"
#include "view/diff_rows.h"
#include "view/text_report.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

struct diff {
    const struct hone_compare *compare;
    const struct hone_diff_options *options;
    struct hone_buffer *out;
    struct hone_report report; // for names and sentences
    struct hone_text_options text;
    const char *unit;  // of values, and in which they are shown
    const char *shown; // …
};

// --- numbers -------------------------------------------------------------------------------------

static int64_t to_number(double value)
{
    return value < 9.2e18 ? (int64_t)llround(value) : INT64_MAX;
}

static struct hone_measure_label value_of(const struct diff *diff, double value)
{
    struct hone_measure_label label;
    if (diff->compare->per != HONE_COMPARE_SHARE)
        return hone_measure_label(to_number(value), diff->unit, diff->shown);
    (void)snprintf(label.text, sizeof label.text, "%.*f%%", value < 0.00995 ? 3 : 2, value * 100);
    return label;
}

// "+4.2%", "+120%", "x35", and words for what has no number.
static struct hone_measure_label change_text(double change)
{
    struct hone_measure_label label;
    double percent = change * 100;
    if (isinf(change))
        return (struct hone_measure_label){"new"};
    if (change <= -1)
        return (struct hone_measure_label){"gone"};
    if (percent >= 999.5)
        (void)snprintf(label.text, sizeof label.text, "x%.*f", change < 99 ? 1 : 0, change + 1);
    else
        (void)snprintf(label.text, sizeof label.text, "%+.*f%%", fabs(percent) < 99.95 ? 1 : 0,
                       percent);
    return label;
}

static struct hone_measure_label limit_text(double limit)
{
    struct hone_measure_label label;
    double percent = limit * 100;
    if (isinf(limit) || percent > 1e5)
        return (struct hone_measure_label){"any"};
    if (percent >= 999.5)
        (void)snprintf(label.text, sizeof label.text, "x%.0f", limit + 1);
    else
        (void)snprintf(label.text, sizeof label.text, "%+.*f%%", fabs(percent) < 9.95 ? 1 : 0,
                       percent);
    return label;
}

static const char *verdict_text(enum hone_verdict verdict)
{
    static const char *const words[] = {
        [HONE_VERDICT_UNKNOWN] = "cannot tell",
        [HONE_VERDICT_MORE] = "more",
        [HONE_VERDICT_LESS] = "less",
    };
    return words[verdict];
}

// Thousands apart.
static struct hone_measure_label count_text(double count)
{
    struct hone_measure_label label = {""};
    if (!(count < 1e15))
        return (struct hone_measure_label){"countless"};
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%.0f", count);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            label.text[at++] = ',';
        label.text[at++] = digits[i];
    }
    label.text[at] = '\0';
    return label;
}

// --- above the table -----------------------------------------------------------------------------

static void put_side(const struct diff *diff, const char *name, uint32_t number)
{
    const struct hone_compare_side *side = &diff->compare->side[number];
    hone_buffer_format(diff->out, "%-7s%u run%s, %s sample%s", name, side->runs,
                       side->runs == 1 ? "" : "s", count_text(side->taken).text,
                       side->taken < 1.5 ? "" : "s");
    if (side->seconds > 0)
        hone_buffer_format(
            diff->out, ", recorded for %s",
            hone_measure_label(to_number(side->seconds * 1e9), "nanoseconds", "auto").text);
    hone_buffer_text(diff->out, "\n");
}

static void put_sentence(const struct diff *diff, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put_sentence(const struct diff *diff, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // A paragraph, which is broken even where names are not.
    struct hone_text_options wrapped = {.width = diff->options->width ? diff->options->width : 80};
    struct hone_report report = {.options = &wrapped, .out = diff->out};
    hone_report_sentence(&report, text);
}

static void put_doubts(const struct diff *diff)
{
    const struct hone_compare *compare = diff->compare;
    const struct hone_compare_side *base = &compare->side[0];
    const struct hone_compare_side *new = &compare->side[1];
    if (base->negative || new->negative)
        put_sentence(diff,
                     "%s samples of negative value were left out: a profile that is a difference "
                     "itself cannot be compared.",
                     count_text((double)(base->negative + new->negative)).text);
    if (base->counted == HONE_COMPARE_BY_STACKS || new->counted == HONE_COMPARE_BY_STACKS)
        put_sentence(diff, "The profiles do not tell how many samples stand behind their values: "
                           "each stack was taken for one, so limits are wider than they might be.");
    if (compare->judge.df > 0)
        put_sentence(diff, "Runs of one side differ by %.2g%% as a whole (standard deviation).",
                     compare->judge.run_spread * 100);
    else
        put_sentence(diff,
                     "One run a side: the limits hold what chance in sampling does, not how runs "
                     "differ. Several runs a side would tell: hone diff A1 A2 A3 vs B1 B2 B3");
    double longer = base->seconds > 0 && new->seconds > 0
                        ? fmax(base->seconds / base->runs, new->seconds / new->runs) /
                              fmin(base->seconds / base->runs, new->seconds / new->runs)
                        : 1;
    if (compare->per == HONE_COMPARE_RUN && longer > 1.5)
        put_sentence(diff, "The sides were recorded for unequal times. If their work was not the "
                           "same, compare what it was made of: --normalize share");
}

static void put_whole(const struct diff *diff)
{
    const struct hone_compare *compare = diff->compare;
    const struct hone_judge_row *whole = &compare->judge.whole;
    if (compare->per == HONE_COMPARE_SHARE)
        return;
    hone_buffer_format(diff->out, "%-12s%8s %8s %8s  %7s to %-7s (the whole)\n",
                       verdict_text(whole->verdict), value_of(diff, whole->value[0]).text,
                       value_of(diff, whole->value[1]).text, change_text(whole->change).text,
                       limit_text(whole->low).text, limit_text(whole->high).text);
}

// --- rows ----------------------------------------------------------------------------------------

static const char *match_text(enum hone_compare_match match)
{
    static const char *const words[] = {
        [HONE_COMPARE_SAME_PLACE] = "the same lines of the source",
        [HONE_COMPARE_SAME_STEM] = "the name but for parameters or a compiler's ending",
        [HONE_COMPARE_SAME_CALLS] = "the same callers and callees",
    };
    return words[match];
}

enum { NAME_COLUMN = 59, NOTE_COLUMN = 12 };

static void put_note(const struct diff *diff, const char *before, struct hone_str name,
                     const char *after)
{
    uint32_t used = NOTE_COLUMN + 2 + (uint32_t)strlen(before);
    hone_buffer_format(diff->out, "%*s└ %s", NOTE_COLUMN, "", before);
    hone_report_name(&diff->report, name, used, (uint32_t)strlen(after));
    hone_buffer_format(diff->out, "%s\n", after);
}

static void put_notes(const struct diff *diff, const struct hone_compare_row *row)
{
    char after[128];
    if (row->was.len) {
        (void)snprintf(after, sizeof after, " (%s)", match_text(row->match));
        put_note(diff, "was ", row->was, after);
    }
    enum hone_diff_inlining inlining = hone_diff_inlining(row);
    if (inlining != HONE_DIFF_INLINED_AS_BEFORE)
        put_note(diff,
                 inlining == HONE_DIFF_INLINED_NOW ? "inlined into its callers now"
                                                   : "no longer inlined into its callers",
                 HONE_STR(""), "");
    if (hone_diff_moved(row)) {
        struct hone_str from = hone_diff_file(row->file[0]);
        struct hone_str to = hone_diff_file(row->file[1]);
        (void)snprintf(after, sizeof after, " to %.*s", (int)(to.len < 100 ? to.len : 100), to.at);
        put_note(diff, "moved from ", from, after);
    }
    if (row->perhaps_in.len)
        put_note(diff, "gone; perhaps inlined: ", row->perhaps_in, " took about as much more");
}

static void put_row(const struct diff *diff, const struct hone_compare_row *row)
{
    hone_buffer_format(diff->out, "%-12s%8s %8s %8s  %7s to %-7s ", verdict_text(row->is.verdict),
                       value_of(diff, row->is.value[0]).text, value_of(diff, row->is.value[1]).text,
                       change_text(row->is.change).text, limit_text(row->is.low).text,
                       limit_text(row->is.high).text);
    hone_report_name(&diff->report, row->name, NAME_COLUMN, 0);
    hone_buffer_text(diff->out, "\n");
    put_notes(diff, row);
}

// --- below the table -----------------------------------------------------------------------------

static void put_meaning(const struct diff *diff, const struct hone_diff_shown *shown)
{
    const struct hone_compare *compare = diff->compare;
    put_sentence(
        diff,
        "%u of %u rows differ; %u had samples enough to ever tell. The limits, and that no "
        "row is called different by chance, hold for whole and rows together in 95 of 100 "
        "comparisons (Holm's correction over %u rows).",
        shown->told, compare->row_count, compare->judge.tested, compare->judge.tested);
    if (shown->hidden)
        put_sentence(diff, "%u more row%s, the smallest, %s not shown; --all shows %s.",
                     shown->hidden, shown->hidden == 1 ? "" : "s",
                     shown->hidden == 1 ? "is" : "are", shown->hidden == 1 ? "it" : "them");
}

// "about 12,000 samples a side (there are 900 and 1,000)"
struct need_text {
    char text[400];
};

// How many samples were taken for one that counts.
static double weighing(const struct hone_compare *compare)
{
    return (compare->side[0].taken + compare->side[1].taken) /
           (compare->side[0].samples + compare->side[1].samples);
}

static struct need_text need_text(const struct diff *diff, double change)
{
    const struct hone_compare *compare = diff->compare;
    struct hone_compare_need need = hone_compare_need(compare, change);
    struct need_text told;
    if (need.runs > 0)
        (void)snprintf(told.text, sizeof told.text, "about %s runs a side like these",
                       count_text(need.runs).text);
    else
        (void)snprintf(told.text, sizeof told.text, "about %s samples a side (there are %s and %s)",
                       count_text(need.samples * weighing(compare)).text,
                       count_text(compare->side[0].taken).text,
                       count_text(compare->side[1].taken).text);
    return told;
}

static void put_gate(const struct diff *diff)
{
    const struct hone_compare *compare = diff->compare;
    double limit = *diff->options->limit;
    const struct hone_compare_row *row;
    enum hone_compare_gate gate = hone_compare_gate(compare, limit, &row);
    bool share = compare->per == HONE_COMPARE_SHARE;
    static const char *const words[] = {
        [HONE_COMPARE_BELOW] = "PASS: surely not above the limit of ",
        [HONE_COMPARE_ABOVE] = "FAIL: surely above the limit of ",
        [HONE_COMPARE_UNSURE] = "CANNOT TELL whether it is above the limit of ",
    };
    hone_buffer_format(diff->out, "\n%s%+.4g%% of the whole", words[gate], limit * 100);
    if (share && gate == HONE_COMPARE_ABOVE) {
        hone_buffer_text(diff->out, ": ");
        hone_buffer_add(diff->out, row->name.at, row->name.len);
    }
    if (!share)
        hone_buffer_format(
            diff->out, ": %s (%s to %s)", change_text(compare->judge.whole.change).text,
            limit_text(compare->judge.whole.low).text, limit_text(compare->judge.whole.high).text);
    hone_buffer_text(diff->out, "\n");
    if (gate == HONE_COMPARE_UNSURE && !share)
        hone_buffer_format(diff->out, "It would take %s.\n", need_text(diff, limit).text);
}

static void put_need(const struct diff *diff)
{
    const struct hone_compare *compare = diff->compare;
    if (compare->per == HONE_COMPARE_SHARE || compare->judge.whole.verdict != HONE_VERDICT_UNKNOWN)
        return;
    if (fabs(compare->judge.whole.change) >= 0.001)
        put_sentence(diff, "Whether the whole changed cannot be told: a change of %s takes %s.",
                     change_text(compare->judge.whole.change).text, need_text(diff, 0).text);
    else
        put_sentence(diff, "If the whole changed, then by no more than %s to %s.",
                     limit_text(compare->judge.whole.low).text,
                     limit_text(compare->judge.whole.high).text);
}

static void choose_unit(struct diff *diff)
{
    const struct hone_compare *compare = diff->compare;
    double smallest = INFINITY;
    double largest = 0;
    for (uint32_t i = 0; i < compare->row_count; i++)
        for (uint32_t side = 0; side < 2; side++) {
            double value = compare->rows[i].is.value[side];
            if (value >= 1 && value < smallest)
                smallest = value;
            largest = fmax(largest, value);
        }
    largest = fmax(largest, fmax(compare->judge.whole.value[0], compare->judge.whole.value[1]));
    diff->shown = "auto";
    // One unit for all, in which a thousandth of the largest is still a number.
    if (diff->options->unit)
        diff->shown = diff->options->unit;
    else if (compare->per != HONE_COMPARE_SHARE && isfinite(smallest))
        diff->shown = hone_measure_common_unit(to_number(fmax(smallest, largest / 1000)),
                                               to_number(largest), diff->unit);
}

int hone_text_diff(const struct hone_compare *compare, const struct hone_diff_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    static const struct hone_diff_options defaults;
    static const char *const per[] = {
        [HONE_COMPARE_RUN] = "of one run",
        [HONE_COMPARE_SECOND] = "in each second of recording",
        [HONE_COMPARE_SHARE] = "as shares of the whole",
    };
    struct diff diff = {.compare = compare, .options = options ? options : &defaults, .out = out};
    diff.text.width = diff.options->width;
    diff.text.filters = diff.options->filters;
    diff.report = (struct hone_report){.options = &diff.text, .out = out};
    struct hone_arena arena = {0};
    diff.unit = hone_arena_format(&arena, "%.*s", (int)compare->unit.len, compare->unit.at);
    if (!diff.unit) {
        hone_arena_done(&arena);
        return hone_error_set(err, -ENOMEM, "cannot write the comparison");
    }
    choose_unit(&diff);
    hone_buffer_format(
        out, "Compared: %.*s %s, %s\n", (int)compare->type.len, compare->type.at, per[compare->per],
        compare->by_cum ? "with all that a function called" : "what a function took itself");
    put_side(&diff, "Base:", 0);
    put_side(&diff, "New:", 1);
    hone_report_filters(&diff.report);
    put_doubts(&diff);
    struct hone_diff_shown shown = hone_diff_choose(compare, diff.options);
    hone_buffer_format(out, "\n%-12s%8s %8s %8s  %-18s function\n", "verdict", "base", "new",
                       "change", "    limits");
    put_whole(&diff);
    for (uint32_t i = 0; i < shown.end; i++)
        if (hone_diff_wants(diff.options, &compare->rows[i]))
            put_row(&diff, &compare->rows[i]);
    hone_buffer_text(out, "\n");
    put_meaning(&diff, &shown);
    put_need(&diff);
    if (diff.options->limit)
        put_gate(&diff);
    hone_arena_done(&arena);
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot write the comparison") : 0;
}
