#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_option options[] = {
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_TYPE,
    HONE_VIEW_ROW_OUTPUT,
    {0},
};

static const struct hone_example examples[] = {
    {"hone traces cpu.prof", "all of them"},
    {"hone traces | less", "of the newest recording"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return hone_view_run(hone_text_traces, parsed, operands, err);
}

const struct hone_command hone_command_traces = {
    .name = "traces",
    .summary = "every stack with its value and labels",
    .operands = "[FILE|DIR]…",
    .manual = HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run,
};
