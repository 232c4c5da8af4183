// hone mark: gives the present moment of a recording that runs a name.
#include "capture/marks.h"
#include "cli/commands.h"

#include <string.h>

struct mark_options {
    bool quiet;
};

static const struct hone_option options[] = {
    {.name = "quiet",
     .letter = 'q',
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct mark_options, quiet),
     .help = "do not say which recording was marked"},
    {0},
};

static const struct hone_example examples[] = {
    {"hone mark warm", "from here on the program is warm"},
    {"hone mark load nightly", "of the recording that was given -o nightly"},
    {"hone top --tag-focus generation=warm DIR/heap-time.prof",
     "what changed since, until the next"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct mark_options *o = parsed;
    const char *name = operands->at[0];
    if (operands->count > 2)
        return hone_misused(err, "mark: one name and one recording, not '%s' as well",
                            operands->at[2]);
    if (!name[0] || strlen(name) >= HONE_MARK_NAME)
        return hone_misused(err, "mark: a name has 1 to %d bytes", HONE_MARK_NAME - 1);
    struct hone_marked marked;
    int r = hone_marks_make(name, operands->count > 1 ? operands->at[1] : NULL, &marked, err);
    if (!r && !o->quiet)
        hone_tell("marked '%s', %.3f s into the recording of process %u%s%s", name,
                  (double)marked.since_ns / 1e9, marked.recorder, marked.folder[0] ? ", to " : "",
                  marked.folder);
    return r;
}

const struct hone_command hone_command_mark = {
    .name = "mark",
    .summary = "give the present moment of a recording that runs a name",
    .operands = "NAME [DIR|PID]",
    .manual =
        "The recording that was started last is marked, or the one that -o gave the folder DIR, "
        "or whose 'hone record' has that PID. session.json lists the marks; in heap-time.prof "
        "the label generation names the last mark before, 'start' before the first, so what "
        "changed between two marks is a filter in every view. A program can mark itself: "
        "hone_mark() of <hone/hone.h>. A recording has up to 64 marks.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct mark_options),
    .operands_minimum = 1,
    .run = run,
};
