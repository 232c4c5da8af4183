// The stacks of a profile, one line each, with frames named as the other views name them.
#include "view/text_report.h"

#include "analyse/nodes.h"
#include "base/cleanup.h"
#include "convert/collapse.h"

int hone_text_collapsed(const struct hone_profile *profile, const struct hone_text_options *options,
                        struct hone_buffer *out, struct hone_error *err)
{
    struct hone_report report;
    int r = hone_report_init(&report, profile, options, out, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_arena_done) struct hone_arena text = {0};
    HONE_CLEANUP(hone_nodes_done) struct hone_nodes nodes = {0};
    r = hone_nodes_init(&nodes, profile, hone_report_group(&report), false, &text);
    if (!r)
        r = hone_collapse(profile, profile->samples.values[report.type],
                          &(struct hone_collapse_names){
                              .count = nodes.count,
                              .names = nodes.names,
                              .first = nodes.first,
                              .at = nodes.at,
                          },
                          out);
    if (r)
        return hone_error_set(err, r, "cannot list the stacks");
    return hone_report_finish(&report, err);
}
