#include "view/text_stack.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 512 };

// A line of one frame, with the end of its file's path.
static void put_frame(struct hone_buffer *out, const struct hone_profile *profile,
                      const struct hone_profile_line *line, uint32_t columns)
{
    char text[LINE_MAX_BYTES], name[LINE_MAX_BYTES / 2];
    size_t width = columns > 24 && columns < sizeof text - 8 ? columns : sizeof text - 8;
    hone_utf8_brief(hone_profile_str(profile, profile->functions.name[line->function]), name,
                    width / 2 < sizeof name ? width / 2 + width / 4 : sizeof name);
    const char *file = hone_profile_text(profile, profile->functions.file[line->function]);
    const char *slash = strrchr(file, '/');
    file = slash ? slash + 1 : file;
    if (file[0] && line->number)
        (void)snprintf(text, sizeof text, "%s  %.128s:%" PRId64, name, file, line->number);
    else
        (void)snprintf(text, sizeof text, "%s", name);
    char shown[LINE_MAX_BYTES];
    hone_utf8_brief(hone_str_of(text), shown, width - 6 + 1);
    hone_buffer_format(out, "      %s\n", shown);
}

void hone_text_put_stack(struct hone_buffer *out, const struct hone_profile *profile,
                         uint32_t stack, const struct hone_text_stack *how)
{
    struct hone_profile_span frames = hone_profile_frames_of(profile, stack);
    uint32_t shown = 0, all = 0;
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t l = 0; l < lines.count; l++, all++) {
            if (all >= how->frames)
                continue;
            put_frame(out, profile, &lines.at[l], how->width);
            shown++;
        }
        if (!lines.count && all++ < how->frames) {
            hone_buffer_format(out, "      %#" PRIx64 "\n",
                               profile->locations.address[frames.at[i]]);
            shown++;
        }
    }
    if (all > shown)
        hone_buffer_format(out, "      … %u more\n", all - shown);
    if (!all)
        hone_buffer_text(out, "      [no stack]\n");
}
