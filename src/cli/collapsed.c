#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_option options[] = {
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_TYPE,
    HONE_VIEW_ROW_OUTPUT,
    {0},
};

static const struct hone_example examples[] = {
    {"hone collapsed cpu.prof", "root;caller;leaf and a value"},
    {"hone collapsed -o stacks.txt", "the newest recording, to a file"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return hone_view_run(hone_text_collapsed, parsed, operands, err);
}

const struct hone_command hone_command_collapsed = {
    .name = "collapsed",
    .summary = "one line per stack, for scripts and flame graph tools",
    .operands = "[FILE|DIR]…",
    .manual = HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run,
};
