#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_option options[] = {
    HONE_VIEW_ROW_TYPE,
    HONE_VIEW_ROW_OUTPUT,
    {0},
};

static const struct hone_example examples[] = {
    {"hone info", "of the newest recording"},
    {"hone info cpu.prof", "of a file"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return hone_view_run(hone_text_info, parsed, operands, err);
}

const struct hone_command hone_command_info = {
    .name = "info",
    .summary = "how a profile was taken, what it holds and what it lacks",
    .operands = "[FILE|DIR]…",
    .manual = HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run,
};
