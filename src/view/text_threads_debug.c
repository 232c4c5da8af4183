// The forms of Go's goroutine profile, for whoever reads or counts those: debug=1 has a line
// "N @ addresses" for each stack, debug=2 a line "thread ID …:" for each thread.
#include "view/threads.h"

#include "analyse/threads.h"
#include "base/measure.h"
#include "profile/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *name_of(const struct hone_profile *profile, const struct hone_profile_line *line)
{
    return hone_profile_text(profile, profile->functions.name[line->function]);
}

static const char *file_of(const struct hone_profile *profile, const struct hone_profile_line *line)
{
    const char *file = hone_profile_text(profile, profile->functions.file[line->function]);
    return file[0] ? file : "?";
}

static void put_creator(struct hone_buffer *out, const struct hone_thread_row *row,
                        const char *before)
{
    if (!row->created_by[0])
        return;
    hone_buffer_format(out, "%screated by %s", before, row->created_by);
    if (row->creator)
        hone_buffer_format(out, " in thread %" PRId64, row->creator);
    hone_buffer_text(out, "\n");
    if (row->created_at[0])
        hone_buffer_format(out, "%s\t%s\n", before, row->created_at);
}

// --- debug=1 -------------------------------------------------------------------------------------

static void put_group(struct hone_buffer *out, const struct hone_profile *profile,
                      const struct hone_thread_list *threads, const struct hone_thread_group *group)
{
    const struct hone_thread_row *row = &threads->rows[group->first];
    struct hone_profile_span frames = hone_profile_frames_of(profile, row->stack);
    hone_buffer_format(out, "%" PRId64 " @", group->count);
    for (uint32_t i = 0; i < frames.count; i++)
        hone_buffer_format(out, " %#" PRIx64, profile->locations.address[frames.at[i]]);
    hone_buffer_format(out, "\n# state: %s%s%s\n", row->state, row->wait[0] ? ", " : "", row->wait);
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        uint64_t address = profile->locations.address[frames.at[i]];
        for (uint32_t l = 0; l < lines.count; l++)
            hone_buffer_format(out, "#\t%#" PRIx64 "\t%s\t%s:%" PRId64 "\n", address,
                               name_of(profile, &lines.at[l]), file_of(profile, &lines.at[l]),
                               lines.at[l].number);
        if (!lines.count)
            hone_buffer_format(out, "#\t%#" PRIx64 "\n", address);
    }
    put_creator(out, row, "# ");
    hone_buffer_text(out, "\n");
}

// --- debug=2 -------------------------------------------------------------------------------------

static void put_thread(struct hone_buffer *out, const struct hone_profile *profile,
                       const struct hone_thread_row *row)
{
    hone_buffer_format(out, "thread %" PRId64 " \"%s\" [%s", row->tid, row->thread, row->state);
    if (row->wait[0] && strcmp(row->wait, row->state) != 0)
        hone_buffer_format(out, " (%s)", row->wait);
    if (row->waits_ns >= 0)
        hone_buffer_format(out, ", %s",
                           hone_measure_label(row->waits_ns, "nanoseconds", "auto").text);
    hone_buffer_text(out, "]");
    if (row->count > 1) // of another tool's profile: it says no more of each
        hone_buffer_format(out, " x %" PRId64, row->count);
    hone_buffer_text(out, ":\n");
    struct hone_profile_span frames = hone_profile_frames_of(profile, row->stack);
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        uint64_t address = profile->locations.address[frames.at[i]];
        for (uint32_t l = 0; l < lines.count; l++)
            hone_buffer_format(out, "%s\n\t%s:%" PRId64 " %#" PRIx64 "\n",
                               name_of(profile, &lines.at[l]), file_of(profile, &lines.at[l]),
                               lines.at[l].number, address);
        if (!lines.count)
            hone_buffer_format(out, "%#" PRIx64 "\n", address);
    }
    put_creator(out, row, "");
    hone_buffer_text(out, "\n");
}

int hone_text_threads_debug(const struct hone_threads_shown *shown, int level,
                            struct hone_buffer *out, struct hone_error *err)
{
    const struct hone_thread_list *threads = shown->threads;
    hone_buffer_format(out, "threads profile: total %" PRId64 "\n", threads->total);
    if (level >= 2)
        hone_buffer_text(out, "\n");
    for (uint32_t i = 0; i < threads->group_count; i++) {
        const struct hone_thread_group *group = &threads->groups[i];
        if (level < 2)
            put_group(out, shown->profile, threads, group);
        for (uint32_t row = 0; level >= 2 && row < group->rows; row++)
            put_thread(out, shown->profile, &threads->rows[group->first + row]);
    }
    return out->failed ? hone_error_set(err, -ENOMEM, "cannot show threads") : 0;
}
