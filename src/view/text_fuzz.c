// Property: whatever decodes can be shown in every view and by every grouping.
#include "view/text.h"

#include "base/base.h"
#include "base/pattern.h"
#include "profile/profile.h"
#include "view/drawing.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const hone_text_view views[] = {
        hone_text_top,       hone_text_tree,  hone_text_traces,  hone_text_collapsed,
        hone_text_info,      hone_text_peek,  hone_text_list,    hone_view_dot,
        hone_view_callgrind, hone_text_calls, hone_text_hot_path};
    static struct hone_pattern *all;
    if (!all && hone_pattern_new(".", &all, NULL))
        return 0;
    if (!size)
        return 0;
    // The first byte chooses the options.
    struct hone_text_options options = {.group = data[0] & 3,
                                        .by_cum = data[0] & 4,
                                        .all = data[0] & 8,
                                        .reversed = data[0] & 128,
                                        .width = data[0] & 16 ? 80 : 0,
                                        .rows = data[0] & 32 ? 3 : 0,
                                        .pattern = all,
                                        .source_path = "/nowhere",
                                        .call_tree = data[0] & 128,
                                        .type = data[0] & 64 ? "0" : NULL};
    struct hone_profile_limits limits = {.plain_bytes = 1 << 20};
    struct hone_profile *p = NULL;
    if (hone_profile_decode(data + 1, size - 1, "fuzz", &limits, &p, NULL))
        return 0;
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        struct hone_buffer out = {0};
        (void)views[i](p, &options, &out, NULL);
        hone_buffer_done(&out);
    }
    hone_profile_free(p);
    return 0;
}
