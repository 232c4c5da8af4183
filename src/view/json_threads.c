#include "view/threads.h"

#include "analyse/thread_leaks.h"
#include "analyse/threads.h"
#include "base/utf8.h"
#include "profile/profile.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

struct writer {
    struct hone_buffer *out;
    struct hone_arena arena;
    bool failed;
};

static void put_text(struct writer *w, struct hone_str text)
{
    hone_flame_json(w->out, hone_utf8_clean(&w->arena, text, SIZE_MAX, &w->failed));
}

// "key": text, or null where there is none.
static void put_pair(struct writer *w, const char *key, const char *text)
{
    hone_buffer_format(w->out, ", \"%s\": ", key);
    if (text[0])
        put_text(w, hone_str_of(text));
    else
        hone_buffer_text(w->out, "null");
}

static void put_known(struct writer *w, const char *key, int64_t number, bool known)
{
    if (known)
        hone_buffer_format(w->out, ", \"%s\": %" PRId64, key, number);
    else
        hone_buffer_format(w->out, ", \"%s\": null", key);
}

// Leaf first: function, file, line and address of each frame.
static void put_stack(struct writer *w, const struct hone_profile *profile, uint32_t stack)
{
    struct hone_profile_span frames = hone_profile_frames_of(profile, stack);
    bool any = false;
    hone_buffer_text(w->out, "[");
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t l = 0; l < lines.count; l++) {
            uint32_t function = lines.at[l].function;
            hone_buffer_text(w->out, any ? ", {\"function\": " : "{\"function\": ");
            put_text(w, hone_profile_str(profile, profile->functions.name[function]));
            hone_buffer_text(w->out, ", \"file\": ");
            put_text(w, hone_profile_str(profile, profile->functions.file[function]));
            hone_buffer_format(w->out, ", \"line\": %" PRId64 ", \"address\": %" PRIu64 "}",
                               lines.at[l].number, profile->locations.address[frames.at[i]]);
            any = true;
        }
    }
    hone_buffer_text(w->out, "]");
}

static void put_group(struct writer *w, const struct hone_threads_shown *shown,
                      const struct hone_thread_group *group)
{
    const struct hone_thread_row *rows = &shown->threads->rows[group->first];
    hone_buffer_format(w->out, "{\"threads\": %" PRId64, group->count);
    put_pair(w, "process", rows->process);
    put_pair(w, "state", rows->state);
    put_pair(w, "wait", rows->wait);
    put_pair(w, "created_by", rows->created_by);
    put_pair(w, "created_at", rows->created_at);
    put_pair(w, "no_stack", rows->no_stack);
    put_pair(w, "may_be_stuck", rows->stuck);
    hone_buffer_text(w->out, ",\n      \"stack\": ");
    put_stack(w, shown->profile, rows->stack);
    hone_buffer_text(w->out, ",\n      \"each\": [");
    for (uint32_t i = 0; i < group->rows; i++) {
        const struct hone_thread_row *row = &rows[i];
        hone_buffer_format(w->out, "%s{\"count\": %" PRId64, i ? ", " : "", row->count);
        put_known(w, "tid", row->tid, row->tid != 0);
        put_known(w, "pid", row->pid, row->pid != 0);
        put_pair(w, "name", row->thread);
        put_known(w, "waits_ns", row->waits_ns, row->waits_ns >= 0);
        put_known(w, "creator_tid", row->creator, row->creator != 0);
        hone_buffer_text(w->out, "}");
    }
    hone_buffer_text(w->out, "]}");
}

static void put_threads(struct writer *w, const struct hone_threads_shown *shown)
{
    const struct hone_thread_list *threads = shown->threads;
    hone_buffer_format(w->out,
                       "\"total\": %" PRId64 ",\n  \"time_ns\": %" PRId64 ",\n  \"states\": {",
                       threads->total, shown->profile->time_ns);
    for (uint32_t i = 0; i < threads->state_count; i++) {
        hone_buffer_text(w->out, i ? ", " : "");
        put_text(w, hone_str_of(threads->states[i].name));
        hone_buffer_format(w->out, ": %" PRId64, threads->states[i].count);
    }
    hone_buffer_text(w->out, "},\n  \"groups\": [");
    for (uint32_t i = 0; i < threads->group_count; i++) {
        hone_buffer_text(w->out, i ? ",\n    " : "\n    ");
        put_group(w, shown, &threads->groups[i]);
    }
    hone_buffer_text(w->out, "]");
}

static void put_number(struct writer *w, const char *key, double number)
{
    if (isfinite(number))
        hone_buffer_format(w->out, ", \"%s\": %.10g", key, number);
    else
        hone_buffer_format(w->out, ", \"%s\": null", key);
}

static void put_origin(struct writer *w, const struct hone_threads_shown *shown,
                       const struct hone_thread_origin *origin)
{
    bool grows = origin->is.verdict >= HONE_GROWTH_SLOW;
    hone_buffer_format(w->out,
                       "{\"created\": %" PRId64 ", \"ended\": %" PRId64 ", \"alive\": %" PRId64
                       ", \"most_alive\": %" PRId64 ", \"processes\": %u",
                       origin->created, origin->ended, origin->alive, origin->most,
                       origin->processes);
    put_known(w, "mean_life_ns", origin->ended ? origin->lived_ns / origin->ended : 0,
              origin->ended != 0);
    hone_buffer_format(w->out, ", \"leaks\": %s", grows ? "true" : "false");
    put_number(w, "threads_per_second", grows ? origin->is.rate : (double)NAN);
    put_number(w, "at_least", grows ? origin->is.low : (double)NAN);
    put_number(w, "at_most", grows ? origin->is.high : (double)NAN);
    hone_buffer_text(w->out, ",\n      \"created_at\": ");
    put_stack(w, shown->origin_profile, origin->stack);
    hone_buffer_text(w->out, "}");
}

static void put_origins(struct writer *w, const struct hone_threads_shown *shown)
{
    const struct hone_thread_leaks *origins = shown->origins;
    static const char *const verdicts[] = {
        [HONE_GROWTH_SHORT] = "too short",     [HONE_GROWTH_SEVERAL] = "several processes",
        [HONE_GROWTH_UNDECIDED] = "undecided", [HONE_GROWTH_STEADY] = "steady",
        [HONE_GROWTH_SLOW] = "slow",           [HONE_GROWTH_FAST] = "fast",
    };
    hone_buffer_format(w->out,
                       "\"created\": %" PRId64 ", \"ended\": %" PRId64 ", \"alive\": %" PRId64
                       ",\n  \"growth\": \"%s\",\n  \"places\": [",
                       origins->created, origins->ended, origins->alive,
                       verdicts[origins->all.verdict]);
    for (uint32_t i = 0; i < origins->count; i++) {
        hone_buffer_text(w->out, i ? ",\n    " : "\n    ");
        put_origin(w, shown, &origins->origins[i]);
    }
    hone_buffer_text(w->out, "]");
}

int hone_json_threads(const struct hone_threads_shown *shown, struct hone_buffer *out,
                      struct hone_error *err)
{
    struct writer w = {.out = out};
    hone_buffer_text(out, "{\n  ");
    if (shown->threads)
        put_threads(&w, shown);
    if (shown->threads && shown->origins)
        hone_buffer_text(out, ",\n  ");
    if (shown->origins)
        put_origins(&w, shown);
    hone_buffer_text(out, "\n}\n");
    hone_arena_done(&w.arena);
    return w.failed || out->failed ? hone_error_set(err, -ENOMEM, "cannot show threads") : 0;
}
