// The commands that print the call tree, or the one way through it that takes most.
#include "cli/commands.h"
#include "cli/view.h"

static const struct hone_choice groups[] = {
    {"functions", HONE_TEXT_FUNCTIONS, false},
    {"lines", HONE_TEXT_LINES, false},
    {"modules", HONE_TEXT_MODULES, false},
    {0},
};

#define ROW_GROUP                                                                                  \
    {                                                                                              \
        .name = "by", .kind = HONE_OPTION_CHOICE, .value = "WHAT", .initial = "functions",         \
        .choices = groups, .at = offsetof(struct hone_view_options, group),                        \
        .help = "one row for each of: functions, lines, modules",                                  \
    }
#define ROW_REVERSED                                                                               \
    {                                                                                              \
        .name = "reversed", .kind = HONE_OPTION_FLAG,                                              \
        .at = offsetof(struct hone_view_options, reversed),                                        \
        .help = "begin with what ran and go to its callers",                                       \
    }

static const struct hone_option tree_rows[] = {
    HONE_VIEW_ROW_COUNT("60"), ROW_REVERSED,          ROW_GROUP, HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_UNIT,        HONE_VIEW_ROWS_COMMON, {0},
};

static const struct hone_option path_rows[] = {
    ROW_REVERSED, ROW_GROUP, HONE_VIEW_ROW_UNIT, HONE_VIEW_ROWS_COMMON, {0},
};

static const struct hone_example tree_examples[] = {
    {"hone call-tree", "of the newest recording"},
    {"hone call-tree -n 20 cpu.prof", "the twenty largest"},
    {"hone call-tree --reversed cpu.prof", "from what ran to its callers"},
    {0},
};

static const struct hone_example path_examples[] = {
    {"hone hot-path", "of the newest recording"},
    {"hone hot-path --by lines cpu.prof", "with the lines of the calls"},
    {0},
};

static int run_tree(const void *parsed, const struct hone_operands *operands,
                    struct hone_error *err)
{
    return hone_view_run(hone_text_calls, parsed, operands, err);
}

static int run_path(const void *parsed, const struct hone_operands *operands,
                    struct hone_error *err)
{
    return hone_view_run(hone_text_hot_path, parsed, operands, err);
}

const struct hone_command hone_command_call_tree = {
    .name = "call-tree",
    .summary = "who calls what, from the root on, indented where it divides",
    .operands = HONE_VIEW_OPERANDS,
    .manual =
        "total is what a function took with all that it called, called that way; self what it "
        "took itself. A function stands below its caller; it is indented where the caller "
        "calls several. " HONE_VIEW_FILES,
    .examples = tree_examples,
    .options = tree_rows,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run_tree,
};

const struct hone_command hone_command_hot_path = {
    .name = "hot-path",
    .summary = "the one chain of calls that takes most, until it scatters",
    .operands = HONE_VIEW_OPERANDS,
    .manual =
        "From the root on, the call that takes most, as long as it takes a third of what its "
        "caller did and more than that took itself. share is of everything, caller of the row "
        "above; what leaves the path stands beside it. " HONE_VIEW_FILES,
    .examples = path_examples,
    .options = path_rows,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run_path,
};
