#include "analyse/tree.h"
#include "view/text_report.h"

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
        .limit = *limit,
    };
    r = hone_tree_of_profile(profile, &how, ret, err);
    if (r)
        return r;
    hone_report_head(report);
    if ((*ret)->stacks_negative)
        hone_buffer_format(out, "%llu samples of negative value are not shown\n",
                           (unsigned long long)(*ret)->stacks_negative);
    return 0;
}
