#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_option options[] = {
    HONE_VIEW_ROW_COUNT("0"),
    HONE_VIEW_ROW_CUM,
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_TYPE,
    HONE_VIEW_ROW_OUTPUT,
    {0},
};

static const struct hone_example examples[] = {
    {"hone tree", "of the newest recording"},
    {"hone tree -n 20 cpu.prof", "the twenty largest"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return hone_view_run(hone_text_tree, parsed, operands, err);
}

const struct hone_command hone_command_tree = {
    .name = "tree",
    .summary = "each function between its callers and what it calls",
    .operands = "[FILE|DIR]…",
    .manual = HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run,
};
