#include "view/leaks.h"

#include "analyse/growth.h"
#include "analyse/leaks.h"
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

enum { ROWS = 10, FRAMES = 8 };

struct writer {
    const struct hone_leaks_options *options;
    struct hone_buffer *out;
    uint32_t rows, frames;
};

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static struct hone_measure_label size_of(int64_t bytes)
{
    return hone_measure_label(bytes, "bytes", "auto");
}

static void put_stack(struct writer *w, const struct hone_profile *profile, uint32_t stack)
{
    const struct hone_text_stack how = {.frames = w->frames, .width = w->options->width};
    hone_text_put_stack(w->out, profile, stack, &how);
}

// --- leaks ---------------------------------------------------------------------------------------

static void put_row(struct writer *w, const struct hone_profile *profile,
                    const struct hone_leak_row *row)
{
    int64_t objects = row->objects + row->indirect;
    hone_buffer_format(w->out, "\n%10s in %" PRId64 " block%s, ",
                       size_of(row->bytes + row->indirect_bytes).text, objects, plural(objects));
    if (!row->indirect)
        hone_buffer_text(w->out, "unreachable\n");
    else if (!row->objects)
        hone_buffer_text(w->out, "indirect: only leaked blocks point there\n");
    else
        hone_buffer_format(w->out, "%" PRId64 " unreachable, %" PRId64 " indirect\n", row->objects,
                           row->indirect);
    put_stack(w, profile, row->stack);
}

static void put_leaks(struct writer *w, const struct hone_leaks_shown *shown)
{
    const struct hone_leaks *leaks = shown->leaks;
    if (leaks->none_looked) {
        hone_buffer_text(w->out, "Leaked: not known, no process was looked through at its end\n");
        return;
    }
    if (leaks->objects)
        hone_buffer_format(w->out, "Leaked: %s in %" PRId64 " block%s at %u stack%s\n",
                           size_of(leaks->bytes).text, leaks->objects, plural(leaks->objects),
                           leaks->count + leaks->small_count,
                           plural(leaks->count + leaks->small_count));
    else
        hone_buffer_format(w->out, "Leaked: nothing that was found%s\n",
                           leaks->some_not         ? ", but not all was looked through"
                           : leaks->some_uncounted ? ", but not every block is known"
                                                   : "");
    hone_buffer_format(w->out, "Reachable at the end: %s in %" PRId64 " block%s\n",
                       size_of(leaks->reachable_bytes).text, leaks->reachable,
                       plural(leaks->reachable));
    if (leaks->small_count)
        hone_buffer_format(w->out, "Below the threshold: %s in %" PRId64 " block%s at %u stack%s\n",
                           size_of(leaks->small_bytes).text, leaks->small, plural(leaks->small),
                           leaks->small_count, plural(leaks->small_count));
    for (uint32_t i = 0; i < leaks->suppressed_count; i++) {
        char pattern[64];
        hone_utf8_brief(hone_str_of(leaks->suppressed[i].pattern), pattern, 48);
        hone_buffer_format(w->out, "Suppressed: %s in %" PRId64 " block%s by leak:%s\n",
                           size_of(leaks->suppressed[i].bytes).text, leaks->suppressed[i].objects,
                           plural(leaks->suppressed[i].objects), pattern);
    }
    for (uint32_t i = 0; i < leaks->count && i < w->rows; i++)
        put_row(w, shown->profile, &leaks->rows[i]);
    if (leaks->count > w->rows)
        hone_buffer_format(w->out, "\n… %u more stacks; all of them with -n 0\n",
                           leaks->count - w->rows);
}

// What a reader must know of how far it was looked: comments that are no mere facts.
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

// --- growth --------------------------------------------------------------------------------------

// In the unit of the limit that such a rate is near to, but never of more time than was looked at.
static void put_rate(struct hone_buffer *out, const struct hone_growth *growth)
{
    bool fast = fabs(growth->rate) >= 0.5e6 || growth->time_s < HONE_GROWTH_SLOW_S;
    double unit = fast ? 1e6 : 1e6 / 3600;
    hone_buffer_format(out, "%.2f MB/%s", growth->rate / unit, fast ? "s" : "hour");
    if (isfinite(growth->low) && isfinite(growth->high))
        hone_buffer_format(out, " (%.2f to %.2f)", growth->low / unit, growth->high / unit);
}

static void put_growth(struct writer *w, const struct hone_leaks_shown *shown)
{
    const struct hone_growths *growths = shown->growths;
    const struct hone_growth *all = &growths->all;
    if (all->verdict == HONE_GROWTH_SHORT) {
        hone_text_put_too_short(w->out, w->options->width, all);
        return;
    }
    hone_buffer_format(w->out, "Growth: %u of %u sites grow", growths->count + growths->small,
                       growths->judged);
    if (growths->small && growths->count)
        hone_buffer_format(w->out, ", %u below the threshold", growths->small);
    else if (growths->small)
        hone_buffer_text(w->out, ", below the threshold");
    if (growths->undecided)
        hone_buffer_format(w->out, ", %u undecided", growths->undecided);
    hone_buffer_text(w->out, "; ");
    if (all->verdict == HONE_GROWTH_SEVERAL) {
        hone_buffer_format(w->out, "each of %u processes is judged on its own\n",
                           growths->processes);
    } else if (isfinite(all->low) && isfinite(all->high)) {
        hone_buffer_text(w->out,
                         w->options->width ? "the whole heap by\n  " : "the whole heap by ");
        put_rate(w->out, all);
        hone_buffer_text(w->out, all->verdict == HONE_GROWTH_UNDECIDED ? ", undecided\n" : "\n");
    } else {
        hone_buffer_text(w->out, w->options->width
                                     ? "the whole heap: not known, it varies\n  too much\n"
                                     : "the whole heap: not known, it varies too much\n");
    }
    if (growths->undecided || all->verdict == HONE_GROWTH_UNDECIDED)
        hone_buffer_text(w->out,
                         "  what is undecided grows: how fast, a longer recording would tell\n");
    if (all->time_s < HONE_GROWTH_SLOW_S)
        hone_buffer_format(w->out,
                           "  %.0f s were looked at: slow growth is told after %d minutes\n",
                           all->time_s, HONE_GROWTH_SLOW_S / 60);
    for (uint32_t i = 0; i < growths->count && i < w->rows; i++) {
        const struct hone_growth_site *site = &growths->sites[i];
        hone_buffer_text(w->out, "\n   ");
        put_rate(w->out, &site->is);
        hone_buffer_format(w->out, ", %s: %s live",
                           site->is.verdict == HONE_GROWTH_FAST ? "fast" : "slow",
                           size_of((int64_t)site->bytes).text);
        if (site->processes > 1)
            hone_buffer_format(w->out, " in %u processes", site->processes);
        hone_buffer_text(w->out, "\n");
        put_stack(w, shown->growth_profile, site->stack);
    }
    if (growths->count > w->rows)
        hone_buffer_format(w->out, "\n… %u more sites; all of them with -n 0\n",
                           growths->count - w->rows);
}

int hone_text_leaks(const struct hone_leaks_shown *shown, const struct hone_leaks_options *options,
                    struct hone_buffer *out, struct hone_error *err)
{
    static const struct hone_leaks_options defaults;
    struct writer w = {.options = options ? options : &defaults, .out = out};
    w.rows = w.options->rows ? w.options->rows : ROWS;
    w.frames = w.options->frames ? w.options->frames : FRAMES;
    if (shown->leaks) {
        put_leaks(&w, shown);
        put_notes(&w, shown->profile);
    } else {
        hone_buffer_text(out, "Leaked: not known, the program was not looked through at its end\n");
        if (shown->growth_profile &&
            hone_report_says(shown->growth_profile, HONE_REPORT_RATE_CHANGED))
            put_notes(&w, shown->growth_profile);
    }
    hone_buffer_text(out, "\n");
    if (shown->growths)
        put_growth(&w, shown);
    else
        hone_buffer_text(out, "Growth: not known, the recording has no heap over time\n");
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show leaks") : 0;
}
