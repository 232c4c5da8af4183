#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_option options[] = {
    HONE_VIEW_ROW_COUNT("30"),
    HONE_VIEW_ROW_CUM,
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_TYPE,
    HONE_VIEW_ROW_OUTPUT,
    {0},
};

static const struct hone_example examples[] = {
    {"hone top", "of the newest recording"},
    {"hone top -n 10 -cum cpu.prof", "ten functions, with what they called"},
    {"hone top --by lines cpu.prof", "source lines instead of functions"},
    {0},
};

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return hone_view_run(hone_text_top, parsed, operands, err);
}

const struct hone_command hone_command_top = {
    .name = "top",
    .summary = "the functions that took most",
    .operands = "[FILE|DIR]…",
    .manual =
        "flat is what a function took itself, cum what it took with all that it called, sum% the "
        "share of all rows down to this one. " HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run,
};
