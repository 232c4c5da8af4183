#include "analyse/tally.h"
#include "analyse/tree.h"
#include "view/text_report.h"

#include <string.h>

// One that suits the largest node: the root, unless it is a difference that comes to little.
static void choose_unit(struct hone_report *report, const struct hone_tree *tree)
{
    const char *asked = report->options->unit;
    uint64_t largest = 0;
    for (size_t i = 0; i < tree->node_count; i++) {
        uint64_t size = hone_tally_magnitude(tree->nodes[i].total);
        largest = size > largest ? size : largest;
    }
    if (!asked || strcmp(asked, "minimum") == 0)
        report->shown_unit = hone_measure_common_unit(
            (int64_t)(largest < 10 ? largest : largest / 10), (int64_t)largest, report->unit);
}

int hone_report_tree(struct hone_report *report, const struct hone_profile *profile,
                     const struct hone_text_options *options, const struct hone_tree_limit *limit,
                     struct hone_buffer *out, struct hone_tree **ret, struct hone_error *err)
{
    int r = hone_report_init(report, profile, options, out, err);
    if (r)
        return r;
    struct hone_tree_options how = {
        .size = sizeof how,
        .type = report->type,
        .group = report->options->group == HONE_TEXT_LINES     ? HONE_TREE_LINE
                 : report->options->group == HONE_TEXT_MODULES ? HONE_TREE_MODULE
                                                               : HONE_TREE_FUNCTION,
        .reversed = report->options->reversed,
        .keep_negative = true,
        .limit = *limit,
    };
    r = hone_tree_of_profile(profile, &how, ret, err);
    if (r)
        return r;
    hone_report_head(report);
    hone_report_filters(report);
    choose_unit(report, *ret);
    return 0;
}
