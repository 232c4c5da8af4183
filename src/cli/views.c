// The commands that print a profile as text. They differ by the view that they print, by the
// options that it knows and by their words.
#include "cli/commands.h"
#include "cli/view.h"

// --- options -------------------------------------------------------------------------------------

static const struct hone_option top_options[] = {
    HONE_VIEW_ROW_COUNT("30"),
    HONE_VIEW_ROW_CUM,
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option tree_options[] = {
    HONE_VIEW_ROW_COUNT("0"),
    HONE_VIEW_ROW_CUM,
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option peek_options[] = {
    HONE_VIEW_ROW_CUM, HONE_VIEW_ROW_GROUP, HONE_VIEW_ROW_UNIT, HONE_VIEW_ROWS_COMMON, {0},
};

static const struct hone_option list_options[] = {
    HONE_VIEW_ROW_SOURCE_PATH,
    HONE_VIEW_ROW_TRIM_PATH,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option disasm_options[] = {
    HONE_VIEW_ROW_INTEL,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option traces_options[] = {
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option tags_options[] = {
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option collapsed_options[] = {
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_option plain_options[] = {
    HONE_VIEW_ROWS_COMMON,
    {0},
};

// --- examples ------------------------------------------------------------------------------------

static const struct hone_example top_examples[] = {
    {"hone top", "of the newest recording"},
    {"hone top -n 10 -cum cpu.prof", "ten functions, with what they called"},
    {"hone top --by lines cpu.prof", "source lines instead of functions"},
    {"hone top --focus parse --hide '^std::' cpu.prof", "a part of the program only"},
    {"hone top --base old.prof new.prof", "what became more and what less"},
    {"hone top --seconds 10 localhost:6060", "of a server that runs"},
    {0},
};

static const struct hone_example tree_examples[] = {
    {"hone tree", "of the newest recording"},
    {"hone tree -n 20 cpu.prof", "the twenty largest"},
    {0},
};

static const struct hone_example peek_examples[] = {
    {"hone peek '^malloc$'", "who calls it, and what it calls"},
    {"hone peek sort cpu.prof", "each function with 'sort' in its name"},
    {0},
};

static const struct hone_example list_examples[] = {
    {"hone list '^main$'", "of the newest recording"},
    {"hone list --source-path ~/src/app parse cpu.prof", "its sources are somewhere else"},
    {0},
};

static const struct hone_example disasm_examples[] = {
    {"hone disasm '^main$'", "of the newest recording"},
    {"hone disasm --intel parse cpu.prof", "in Intel's syntax"},
    {0},
};

static const struct hone_example traces_examples[] = {
    {"hone traces cpu.prof", "all of them"},
    {"hone traces | less", "of the newest recording"},
    {0},
};

static const struct hone_example tags_examples[] = {
    {"hone tags", "of the newest recording"},
    {"hone tags --focus parse cpu.prof", "of the stacks with a function that matches"},
    {0},
};

static const struct hone_example raw_examples[] = {
    {"hone raw cpu.prof", "samples, locations, mappings"},
    {"hone raw | less", "of the newest recording"},
    {0},
};

static const struct hone_example collapsed_examples[] = {
    {"hone collapsed cpu.prof", "root;caller;leaf and a value"},
    {"hone collapsed -o stacks.txt", "the newest recording, to a file"},
    {0},
};

static const struct hone_example info_examples[] = {
    {"hone info", "of the newest recording"},
    {"hone info cpu.prof", "of a file"},
    {0},
};

// --- commands ------------------------------------------------------------------------------------

// minimum is the number of operands before the files: 1 for views that want a pattern.
#define VIEW(view, option_rows, minimum, before_files, words, more)                                \
    static int run_##view(const void *parsed, const struct hone_operands *operands,                \
                          struct hone_error *err)                                                  \
    {                                                                                              \
        return (minimum) ? hone_view_run_pattern(hone_text_##view, parsed, operands, err)          \
                         : hone_view_run(hone_text_##view, parsed, operands, err);                 \
    }                                                                                              \
    const struct hone_command hone_command_##view = {                                              \
        .name = #view,                                                                             \
        .summary = (words),                                                                        \
        .operands = before_files HONE_VIEW_OPERANDS,                                               \
        .manual = more HONE_VIEW_FILES,                                                            \
        .examples = view##_examples,                                                               \
        .options = (option_rows),                                                                  \
        .options_size = sizeof(struct hone_view_options),                                          \
        .complete = "profile",                                                                     \
        .operands_minimum = (minimum),                                                             \
        .run = run_##view,                                                                         \
    }

#define REGEX                                                                                      \
    "REGEX is a regular expression in Perl's syntax that matches anywhere in a function's name. "

VIEW(top, top_options, 0, "", "the functions that took most",
     "flat is what a function took itself, cum what it took with all that it called, sum% the "
     "share of all rows down to this one. ");
VIEW(tree, tree_options, 0, "", "each function between its callers and what it calls", "");
VIEW(peek, peek_options, 1, "REGEX ", "callers of some functions and what they call", REGEX);
VIEW(list, list_options, 1, "REGEX ", "the source of some functions with what each line took",
     REGEX "A source file is read where the profile says that it was compiled or, if it is not "
           "there, in the current directory and those above it. ");
VIEW(disasm, disasm_options, 1, "REGEX ",
     "the machine code of some functions with what each instruction took",
     REGEX "The code is read from the file that ran; one that was replaced since, which its build "
           "id tells, is refused. A function that was inlined is shown within those that hold "
           "it. ");
VIEW(tags, tags_options, 0, "", "the labels of samples with what samples that have them took", "");
VIEW(raw, plain_options, 0, "", "everything that the profile holds, as text", "");
VIEW(traces, traces_options, 0, "", "every stack with its value and labels", "");
VIEW(collapsed, collapsed_options, 0, "", "one line per stack, for scripts and flame graph tools",
     "");
VIEW(info, plain_options, 0, "", "how a profile was taken, what it holds and what it lacks", "");
