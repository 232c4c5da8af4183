#include "view/threads.h"

#include "analyse/thread_leaks.h"
#include "analyse/threads.h"
#include "base/cleanup.h"
#include "base/measure.h"
#include "base/utf8.h"
#include "profile/profile.h"
#include "view/text_growth.h"
#include "view/text_report.h"
#include "view/text_stack.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 20, FRAMES = 12, NAMES = 4 };

struct writer {
    const struct hone_threads_shown *shown;
    const struct hone_threads_options *options;
    struct hone_buffer *out;
    uint32_t rows;
    struct hone_text_stack stack;
};

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static struct hone_measure_label time_of(int64_t ns)
{
    return hone_measure_label(ns, "nanoseconds", "auto");
}

// --- a moment ------------------------------------------------------------------------------------

static void put_head(struct writer *w)
{
    const struct hone_thread_list *threads = w->shown->threads;
    hone_buffer_format(w->out, "Threads: %" PRId64, threads->total);
    if (threads->processes > 1)
        hone_buffer_format(w->out, " in %u processes", threads->processes);
    for (uint32_t i = 0; i < threads->state_count; i++)
        hone_buffer_format(w->out, "%s%" PRId64 " %s", i ? ", " : ": ", threads->states[i].count,
                           hone_brief_of(hone_str_of(threads->states[i].name)).text);
    hone_buffer_text(w->out, "\n");
}

// The names of the first few, each once.
static void put_names(struct writer *w, const struct hone_thread_group *group)
{
    const struct hone_thread_row *rows = &w->shown->threads->rows[group->first];
    uint32_t named = 0, told = 0;
    for (uint32_t i = 0; i < group->rows; i++) {
        bool again = !rows[i].thread[0];
        for (uint32_t before = 0; before < i && !again; before++)
            again = strcmp(rows[before].thread, rows[i].thread) == 0;
        if (again)
            continue;
        if (told++ < NAMES)
            hone_buffer_format(w->out, "%s%s", named++ ? ", " : ": ",
                               hone_brief_of(hone_str_of(rows[i].thread)).text);
        if (told > NAMES)
            break;
    }
    if (told > NAMES)
        hone_buffer_text(w->out, ", …");
}

static void put_state(struct writer *w, const struct hone_thread_row *row, int64_t count)
{
    const char *one = count == 1 ? "s" : "";
    if (row->wait[0] && strcmp(row->wait, "sleep") == 0)
        hone_buffer_format(w->out, " sleep%s", one);
    else if (row->wait[0])
        hone_buffer_format(w->out, " wait%s: %s", one, hone_brief_of(hone_str_of(row->wait)).text);
    else if (row->state[0])
        hone_buffer_format(w->out, " %s", hone_brief_of(hone_str_of(row->state)).text);
}

static void put_creator(struct writer *w, const struct hone_thread_row *row)
{
    if (!row->created_by[0])
        return;
    hone_buffer_format(w->out, "      created by %s",
                       hone_brief_of(hone_str_of(row->created_by)).text);
    if (row->created_at[0])
        hone_buffer_format(w->out, "  %s", hone_brief_of(hone_str_of(row->created_at)).text);
    hone_buffer_text(w->out, "\n");
}

static void put_group(struct writer *w, const struct hone_thread_group *group)
{
    const struct hone_thread_row *row = &w->shown->threads->rows[group->first];
    hone_buffer_format(w->out, "\n%6" PRId64 " thread%s", group->count, plural(group->count));
    if (w->shown->threads->processes > 1 && row->process[0])
        hone_buffer_format(w->out, " of %s", hone_brief_of(hone_str_of(row->process)).text);
    put_state(w, row, group->count);
    if (group->longest_ns >= 0) {
        hone_buffer_format(w->out, ", for %s", time_of(group->shortest_ns).text);
        if (group->longest_ns != group->shortest_ns)
            hone_buffer_format(w->out, " to %s", time_of(group->longest_ns).text);
    }
    put_names(w, group);
    hone_buffer_text(w->out, "\n");
    if (row->no_stack[0])
        hone_buffer_format(w->out, "      [no stack: %s]\n",
                           hone_brief_of(hone_str_of(row->no_stack)).text);
    else
        hone_text_put_stack(w->out, w->shown->profile, row->stack, &w->stack);
    put_creator(w, row);
    if (row->stuck[0])
        hone_buffer_format(w->out, "      may be stuck: %s\n",
                           hone_brief_of(hone_str_of(row->stuck)).text);
}

static void put_threads(struct writer *w)
{
    const struct hone_thread_list *threads = w->shown->threads;
    put_head(w);
    for (uint32_t i = 0; i < threads->group_count && i < w->rows; i++)
        put_group(w, &threads->groups[i]);
    if (threads->group_count > w->rows)
        hone_buffer_format(w->out, "\n… %u more groups; all of them with -n 0\n",
                           threads->group_count - w->rows);
}

// What a reader must know: comments that are no mere facts.
static void put_notes(struct writer *w, const struct hone_profile *profile)
{
    const struct hone_text_options options = {.width = w->options->width};
    const struct hone_report report = {.profile = profile, .options = &options, .out = w->out};
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *comment = hone_profile_text(profile, profile->comments[i]);
        if (comment[0] == '#')
            continue;
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer note = {0};
        hone_buffer_format(&note, "Note: %s%c", comment, '\0');
        if (note.failed)
            w->out->failed = true;
        else
            hone_report_sentence(&report, note.at);
    }
}

// --- over time -----------------------------------------------------------------------------------

// In threads per second, minute or hour, whichever makes it a number at hand.
static void put_rate(struct hone_buffer *out, const struct hone_growth *growth)
{
    double rate = fabs(growth->rate), unit = rate >= 0.5 ? 1 : rate >= 0.5 / 60 ? 60 : 3600;
    hone_buffer_format(out, "%.2f threads/%s", growth->rate * unit,
                       unit == 1    ? "s"
                       : unit == 60 ? "min"
                                    : "hour");
    if (isfinite(growth->low) && isfinite(growth->high))
        hone_buffer_format(out, " (%.2f to %.2f)", growth->low * unit, growth->high * unit);
}

static void put_verdict(struct writer *w)
{
    const struct hone_thread_leaks *origins = w->shown->origins;
    const struct hone_growth *all = &origins->all;
    if (all->verdict == HONE_GROWTH_SHORT) {
        hone_text_put_too_short(w->out, w->options->width, all);
        return;
    }
    hone_buffer_format(w->out, "Growth: threads of %u of %u places keep growing in number\n",
                       origins->growing, origins->count);
    if (all->time_s < HONE_GROWTH_SLOW_S)
        hone_buffer_format(w->out,
                           "  %.0f s were looked at: slow growth is told after %d minutes\n",
                           all->time_s, HONE_GROWTH_SLOW_S / 60);
}

static void put_origin(struct writer *w, const struct hone_thread_origin *origin)
{
    hone_buffer_format(w->out, "\n%6" PRId64 " created, %" PRId64 " ended, %" PRId64 " alive",
                       origin->created, origin->ended, origin->alive);
    hone_buffer_format(w->out, "; at most %" PRId64 " at once", origin->most);
    if (origin->ended)
        hone_buffer_format(w->out, "; lived %s on average",
                           time_of(origin->lived_ns / origin->ended).text);
    if (origin->processes > 1)
        hone_buffer_format(w->out, "; in %u processes", origin->processes);
    hone_buffer_text(w->out, "\n");
    if (origin->is.verdict >= HONE_GROWTH_SLOW) {
        hone_buffer_format(w->out, "      leaks threads, %s: ",
                           origin->is.verdict == HONE_GROWTH_FAST ? "fast" : "slowly");
        put_rate(w->out, &origin->is);
        hone_buffer_text(w->out, "\n");
    } else if (origin->alive >= HONE_THREADS_MANY) {
        hone_buffer_format(w->out, "      high: %d threads or more of one place live\n",
                           HONE_THREADS_MANY);
    }
    hone_text_put_stack(w->out, w->shown->origin_profile, origin->stack, &w->stack);
}

static void put_origins(struct writer *w)
{
    const struct hone_thread_leaks *origins = w->shown->origins;
    hone_buffer_format(w->out,
                       "\nCreated: %" PRId64 " thread%s at %u place%s, %" PRId64 " ended, %" PRId64
                       " alive at the end\n",
                       origins->created, plural(origins->created), origins->count,
                       plural(origins->count), origins->ended, origins->alive);
    if (origins->count)
        put_verdict(w);
    for (uint32_t i = 0; i < origins->count && i < w->rows; i++)
        put_origin(w, &origins->origins[i]);
    if (origins->count > w->rows)
        hone_buffer_format(w->out, "\n… %u more places; all of them with -n 0\n",
                           origins->count - w->rows);
}

int hone_text_threads(const struct hone_threads_shown *shown,
                      const struct hone_threads_options *options, struct hone_buffer *out,
                      struct hone_error *err)
{
    static const struct hone_threads_options defaults;
    struct writer w = {.shown = shown, .options = options ? options : &defaults, .out = out};
    w.rows = w.options->rows ? w.options->rows : ROWS;
    w.stack = (struct hone_text_stack){.frames = w.options->frames ? w.options->frames : FRAMES,
                                       .width = w.options->width};
    if (shown->threads) {
        put_threads(&w);
        put_notes(&w, shown->profile);
    }
    if (shown->origins) {
        put_origins(&w);
        put_notes(&w, shown->origin_profile);
    } else if (shown->recording) {
        hone_buffer_text(out, "\nCreated: not known, the recording has no threads-time.prof\n");
    }
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show threads") : 0;
}
