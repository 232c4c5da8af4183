// Frames that a profile itself declares uninteresting, and inlined ones.
#include "profile/filter_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

enum { BENEATH = 1 << 0, WHOLE = 1 << 1 };

static struct hone_profile_span edit_stack(void *context, uint32_t *frames, uint32_t count,
                                           bool *keep)
{
    const uint8_t *marks = context;
    (void)keep;
    bool found_other = false; // what the thread begins with stays, or nothing might be left
    for (uint32_t i = count; i-- > 0;) {
        uint8_t mark = marks[frames[i]];
        if (!mark)
            found_other = true;
        else if (found_other) {
            uint32_t first = mark & WHOLE ? i + 1 : i;
            return (struct hone_profile_span){frames + first, count - first};
        }
    }
    return (struct hone_profile_span){frames, count};
}

// The outermost line that is dropped and not kept, + 1; 0 when there is none.
static uint32_t dropped_line(struct hone_filter_matcher *drop, struct hone_filter_matcher *keep,
                             struct hone_profile_line_span lines)
{
    for (uint32_t i = lines.count; i > 0; i--)
        if (hone_filter_matches_function(drop, lines.at[i - 1].function) &&
            !(keep->pattern && hone_filter_matches_function(keep, lines.at[i - 1].function)))
            return i;
    return 0;
}

static int drop_frames(struct hone_profile *p, struct hone_pattern *drop_pattern,
                       struct hone_pattern *keep_pattern)
{
    HONE_CLEANUP(hone_filter_matcher_done) struct hone_filter_matcher drop = {0};
    HONE_CLEANUP(hone_filter_matcher_done) struct hone_filter_matcher keep = {0};
    HONE_CLEANUP(hone_freep) uint8_t *marks = calloc(p->locations.count, sizeof *marks);
    HONE_CLEANUP(hone_freep) bool *stacks = calloc(p->stacks.count, sizeof *stacks);
    if (!marks || !stacks || hone_filter_matcher_init(&drop, p, drop_pattern) ||
        hone_filter_matcher_init(&keep, p, keep_pattern))
        return -ENOMEM;
    drop.simplified = keep.simplified = true;
    uint32_t from = p->locations.first_line[1];
    uint32_t to = from;
    for (uint32_t location = 1; location < p->locations.count; location++) {
        uint32_t end = p->locations.first_line[location + 1];
        struct hone_profile_line_span lines = {p->lines.at + from, end - from};
        uint32_t dropped = dropped_line(&drop, &keep, lines);
        marks[location] = !dropped ? 0 : dropped == lines.count ? BENEATH | WHOLE : BENEATH;
        if (dropped && dropped < lines.count) {
            lines.at += dropped;
            lines.count -= dropped;
        }
        memmove(p->lines.at + to, lines.at, lines.count * sizeof *lines.at);
        p->locations.first_line[location] = to;
        to += lines.count;
        from = end;
    }
    p->locations.first_line[p->locations.count] = to;
    p->lines.count = to;
    hone_filter_stacks(p, edit_stack, marks, stacks);
    return 0;
}

static int new_pattern(const struct hone_profile *p, uint32_t string, struct hone_pattern **ret)
{
    if (!string)
        return 0;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    hone_buffer_format(&text, "^(%s)$", hone_profile_text(p, string));
    return text.failed ? -ENOMEM : hone_pattern_new_go(text.at, ret, NULL);
}

int hone_profile_drop_frames(struct hone_profile *p, struct hone_error *err)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *drop = NULL;
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *keep = NULL;
    if (!p->drop_frames)
        return 0;
    int r = new_pattern(p, p->drop_frames, &drop);
    r = r ? r : new_pattern(p, p->keep_frames, &keep);
    if (r == -EINVAL)
        return 0;
    r = r ? r : drop_frames(p, drop, keep);
    return r ? hone_error_set(err, r, "cannot drop frames") : 0;
}

void hone_profile_drop_inlined(struct hone_profile *p)
{
    uint32_t from = p->locations.first_line[1];
    uint32_t to = from;
    for (uint32_t location = 1; location < p->locations.count; location++) {
        uint32_t end = p->locations.first_line[location + 1];
        p->locations.first_line[location] = to;
        if (end > from)
            p->lines.at[to++] = p->lines.at[end - 1];
        from = end;
    }
    p->locations.first_line[p->locations.count] = to;
    p->lines.count = to;
    hone_profile_forget(p);
}
