// Which rows of a comparison are shown and what is said of them, for text and JSON alike. Private
// to this room.
#ifndef HONE_VIEW_DIFF_ROWS_H
#define HONE_VIEW_DIFF_ROWS_H

#include "analyse/compare.h"
#include "base/pattern.h"
#include "view/diff.h"

// How a function's code lies in its callers' compared with before.
enum hone_diff_inlining {
    HONE_DIFF_INLINED_AS_BEFORE,
    HONE_DIFF_INLINED_NOW,
    HONE_DIFF_INLINED_NO_MORE,
};

static inline enum hone_diff_inlining hone_diff_inlining(const struct hone_compare_row *row)
{
    if (!(row->is.value[0] > 0 && row->is.value[1] > 0))
        return HONE_DIFF_INLINED_AS_BEFORE;
    if (row->inlined[0] < 0.1 && row->inlined[1] > 0.9)
        return HONE_DIFF_INLINED_NOW;
    return row->inlined[0] > 0.9 && row->inlined[1] < 0.1 ? HONE_DIFF_INLINED_NO_MORE
                                                          : HONE_DIFF_INLINED_AS_BEFORE;
}

static inline struct hone_str hone_diff_file(struct hone_str path)
{
    size_t at = path.len;
    while (at && path.at[at - 1] != '/')
        at--;
    return (struct hone_str){path.at + at, path.len - at};
}

// Whether a function is declared in another file than before; another directory is none, for
// builds have their own.
static inline bool hone_diff_moved(const struct hone_compare_row *row)
{
    return row->file[0].len && row->file[1].len &&
           !hone_str_equal(hone_diff_file(row->file[0]), hone_diff_file(row->file[1]));
}

struct hone_diff_shown {
    uint32_t told;   // rows that differ, which come first
    uint32_t end;    // rows before this are shown, if they match
    uint32_t hidden; // the others
};

static inline bool hone_diff_wants(const struct hone_diff_options *options,
                                   const struct hone_compare_row *row)
{
    return !options->pattern || hone_pattern_matches(options->pattern, row->name) ||
           (row->was.len && hone_pattern_matches(options->pattern, row->was));
}

static inline struct hone_diff_shown hone_diff_choose(const struct hone_compare *compare,
                                                      const struct hone_diff_options *options)
{
    enum { OTHERS = 10 };
    static const double matters = 0.005; // of the whole
    struct hone_diff_shown shown = {0};
    while (shown.told < compare->row_count &&
           compare->rows[shown.told].is.verdict != HONE_VERDICT_UNKNOWN)
        shown.told++;
    shown.end = compare->row_count;
    if (!options->all && !options->pattern) {
        shown.end = shown.told;
        while (shown.end < compare->row_count && shown.end < shown.told + OTHERS) {
            const struct hone_judge_row *row = &compare->rows[shown.end].is;
            double base = compare->per == HONE_COMPARE_SHARE ? 1 : compare->judge.whole.value[0];
            double new = compare->per == HONE_COMPARE_SHARE ? 1 : compare->judge.whole.value[1];
            if (row->value[0] < base * matters && row->value[1] < new *matters)
                break;
            shown.end++;
        }
    }
    uint32_t rows = 0; // those that are wanted, as far as there is room for them
    for (uint32_t i = 0; options->rows && i < shown.end; i++)
        if (hone_diff_wants(options, &compare->rows[i]) && ++rows > options->rows)
            shown.end = i;
    for (uint32_t i = shown.end; i < compare->row_count; i++)
        shown.hidden += hone_diff_wants(options, &compare->rows[i]);
    return shown;
}

#endif
