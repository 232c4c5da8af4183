#include "analyse/growth.h"
#include "analyse/leaks.h"
#include "base/utf8.h"
#include "profile/profile.h"
#include "view/flame_parts.h"
#include "view/leaks.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

struct writer {
    struct hone_buffer *out;
    struct hone_arena arena;
    bool failed;
};

static void put_text(struct writer *w, struct hone_str text)
{
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, text, SIZE_MAX, &w->failed));
}

// JSON has no infinity: what has no number is null.
static void put_number(struct writer *w, const char *key, double number)
{
    if (isfinite(number))
        hone_buffer_format(w->out, "\"%s\": %.10g", key, number);
    else
        hone_buffer_format(w->out, "\"%s\": null", key);
}

static void put_blocks(struct writer *w, const char *key, int64_t bytes, int64_t blocks)
{
    hone_buffer_format(w->out, "\"%s\": {\"bytes\": %" PRId64 ", \"blocks\": %" PRId64 "}", key,
                       bytes, blocks);
}

// Leaf first: function, file and line of each frame.
static void put_stack(struct writer *w, const struct hone_profile *profile, uint32_t stack)
{
    struct hone_profile_span frames = hone_profile_frames_of(profile, stack);
    bool any = false;
    hone_buffer_text(w->out, "\"stack\": [");
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t l = 0; l < lines.count; l++) {
            uint32_t function = lines.at[l].function;
            hone_buffer_text(w->out, any ? ", {\"function\": " : "{\"function\": ");
            put_text(w, hone_profile_str(profile, profile->functions.name[function]));
            hone_buffer_text(w->out, ", \"file\": ");
            put_text(w, hone_profile_str(profile, profile->functions.file[function]));
            hone_buffer_format(w->out, ", \"line\": %" PRId64 "}", lines.at[l].number);
            any = true;
        }
    }
    hone_buffer_text(w->out, "]");
}

static void put_leaks(struct writer *w, const struct hone_leaks_shown *shown)
{
    const struct hone_leaks *leaks = shown->leaks;
    hone_buffer_text(w->out, "{\n    ");
    if (leaks->none_looked) {
        hone_buffer_text(w->out, "\"leaked\": null, \"reachable\": null, "
                                 "\"reachable_from_mapped_memory_only\": null");
    } else {
        put_blocks(w, "leaked", leaks->bytes, leaks->objects);
        hone_buffer_text(w->out, ", ");
        put_blocks(w, "reachable", leaks->reachable_bytes, leaks->reachable);
        hone_buffer_text(w->out, ", ");
        put_blocks(w, "reachable_from_mapped_memory_only", leaks->mapped_bytes, leaks->mapped);
    }
    hone_buffer_format(w->out,
                       ",\n    \"below_threshold\": {\"bytes\": %" PRId64 ", \"blocks\": %" PRId64
                       ", \"stacks\": %u}",
                       leaks->small_bytes, leaks->small, leaks->small_count);
    hone_buffer_text(w->out, ",\n    \"suppressed\": [");
    for (uint32_t i = 0; i < leaks->suppressed_count; i++) {
        const struct hone_leak_suppressed *suppressed = &leaks->suppressed[i];
        hone_buffer_text(w->out, i ? ", {\"pattern\": " : "{\"pattern\": ");
        put_text(w, hone_str_of(suppressed->pattern));
        hone_buffer_format(w->out, ", \"bytes\": %" PRId64 ", \"blocks\": %" PRId64 "}",
                           suppressed->bytes, suppressed->objects);
    }
    hone_buffer_text(w->out, "],\n    \"rows\": [");
    for (uint32_t i = 0; i < leaks->count; i++) {
        const struct hone_leak_row *row = &leaks->rows[i];
        hone_buffer_text(w->out, i ? ",\n      {" : "\n      {");
        put_blocks(w, "unreachable", row->bytes, row->objects);
        hone_buffer_text(w->out, ", ");
        put_blocks(w, "indirect", row->indirect_bytes, row->indirect);
        hone_buffer_text(w->out, ", ");
        put_stack(w, shown->profile, row->stack);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, leaks->count ? "\n    ],\n    \"notes\": [" : "],\n    \"notes\": [");
    bool any = false;
    for (uint32_t i = 0; i < shown->profile->comment_count; i++) {
        struct hone_str comment = hone_profile_str(shown->profile, shown->profile->comments[i]);
        if (comment.len && comment.at[0] == '#')
            continue;
        hone_buffer_text(w->out, any ? ", " : "");
        put_text(w, comment);
        any = true;
    }
    hone_buffer_text(w->out, "]\n  }");
}

static void put_growth(struct writer *w, const struct hone_growth *growth, double bytes)
{
    static const char *const verdicts[] = {
        [HONE_GROWTH_SHORT] = "too short",     [HONE_GROWTH_SEVERAL] = "several processes",
        [HONE_GROWTH_UNDECIDED] = "undecided", [HONE_GROWTH_STEADY] = "steady",
        [HONE_GROWTH_SLOW] = "slow",           [HONE_GROWTH_FAST] = "fast",
    };
    bool known = growth->verdict >= HONE_GROWTH_UNDECIDED;
    hone_buffer_format(w->out, "\"verdict\": \"%s\", ", verdicts[growth->verdict]);
    put_number(w, "bytes_per_second", known ? growth->rate : INFINITY);
    hone_buffer_text(w->out, ", ");
    put_number(w, "low", growth->low);
    hone_buffer_text(w->out, ", ");
    put_number(w, "high", growth->high);
    hone_buffer_text(w->out, ", ");
    put_number(w, "seconds", growth->time_s);
    hone_buffer_text(w->out, ", ");
    put_number(w, "live_bytes", bytes);
}

static void put_growths(struct writer *w, const struct hone_leaks_shown *shown)
{
    const struct hone_growths *growths = shown->growths;
    hone_buffer_text(w->out, "{\n    \"heap\": {");
    put_growth(w, &growths->all, growths->bytes);
    hone_buffer_format(w->out,
                       "},\n    \"processes\": %u,\n    \"sites_judged\": %u,\n    "
                       "\"sites_undecided\": %u,\n    \"sites_below_threshold\": %u,\n    "
                       "\"sites\": [",
                       growths->processes, growths->judged, growths->undecided, growths->small);
    for (uint32_t i = 0; i < growths->count; i++) {
        hone_buffer_text(w->out, i ? ",\n      {" : "\n      {");
        put_growth(w, &growths->sites[i].is, growths->sites[i].bytes);
        hone_buffer_format(w->out, ", \"processes\": %u, ", growths->sites[i].processes);
        put_stack(w, shown->growth_profile, growths->sites[i].stack);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, growths->count ? "\n    ]\n  }" : "]\n  }");
}

int hone_json_leaks(const struct hone_leaks_shown *shown, const struct hone_leaks_options *options,
                    struct hone_buffer *out, struct hone_error *err)
{
    (void)options; // what is read by programs is whole
    struct writer w = {.out = out};
    hone_buffer_text(out, "{\n  \"leaks\": ");
    if (shown->leaks)
        put_leaks(&w, shown);
    else
        hone_buffer_text(out, "null");
    hone_buffer_text(out, ",\n  \"growth\": ");
    if (shown->growths)
        put_growths(&w, shown);
    else
        hone_buffer_text(out, "null");
    hone_buffer_text(out, "\n}\n");
    hone_arena_done(&w.arena);
    return w.failed || out->failed ? hone_error_set(err, -ENOMEM, "cannot show leaks") : 0;
}
