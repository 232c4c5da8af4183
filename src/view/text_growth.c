#include "view/text_growth.h"

#include "analyse/growth.h"
#include "view/text_report.h"

#include <stdio.h>

void hone_text_put_too_short(struct hone_buffer *out, uint32_t width,
                             const struct hone_growth *growth)
{
    const struct hone_text_options options = {.width = width};
    const struct hone_report report = {.options = &options, .out = out};
    bool one = growth->points == 1;
    char text[160];
    (void)snprintf(
        text, sizeof text,
        "Growth: cannot tell, %u moment%s in %.1f s %s too few; %d moments in %d s after "
        "the first fifth are needed",
        growth->points, one ? "" : "s", growth->time_s, one ? "is" : "are", HONE_GROWTH_POINTS_MIN,
        HONE_GROWTH_FAST_S);
    hone_report_sentence(&report, text);
}
