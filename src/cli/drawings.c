// The commands that draw the calls of a profile. They differ by the view and by their words.
#include "cli/commands.h"
#include "cli/view.h"
#include "view/drawing.h"

static const struct hone_option dot_options[] = {
    HONE_VIEW_ROW_COUNT("80"),
    HONE_VIEW_ROW_GROUP,
    HONE_VIEW_ROW_CALL_TREE,
    HONE_VIEW_ROW_ALL,
    HONE_VIEW_ROW_UNIT,
    HONE_VIEW_ROWS_COMMON,
    {0},
};

static const struct hone_example svg_examples[] = {
    {"hone svg -o calls.svg", "of the newest recording"},
    {"hone svg -n 20 --call-tree -o calls.svg cpu.prof", "the twenty nodes that say most"},
    {0},
};

static const struct hone_option weblist_options[] = {
    HONE_VIEW_ROW_SOURCE_PATH, HONE_VIEW_ROW_TRIM_PATH, HONE_VIEW_ROW_INTEL,
    HONE_VIEW_ROW_UNIT,        HONE_VIEW_ROWS_COMMON,   {0},
};

static const struct hone_example weblist_examples[] = {
    {"hone weblist -o main.html '^main$'", "for a browser"},
    {"hone weblist --source-path ~/src/app -o p.html parse cpu.prof",
     "its sources are somewhere else"},
    {0},
};

static const struct hone_example dot_examples[] = {
    {"hone dot | dot -Tpng > calls.png", "of the newest recording, as Graphviz draws it"},
    {"hone dot -n 20 -o calls.dot cpu.prof", "the twenty nodes that say most"},
    {0},
};

// For a view, no number of rows is one that suits.
static int run(hone_text_view view, const struct hone_view_options *given,
               const struct hone_operands *operands, struct hone_error *err)
{
    struct hone_view_options options = *given;
    options.rows = options.rows ? options.rows : INT32_MAX;
    return hone_view_run(view, &options, operands, err);
}

static int run_dot(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return run(hone_view_dot, parsed, operands, err);
}

static int run_svg(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    return run(hone_view_svg, parsed, operands, err);
}

#define ARROWS "A dotted arrow is a call over functions that were left out. "

const struct hone_command hone_command_dot = {
    .name = "dot",
    .summary = "the graph of calls in Graphviz's language",
    .operands = HONE_VIEW_OPERANDS,
    .manual = ARROWS HONE_VIEW_FILES,
    .examples = dot_examples,
    .options = dot_options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run_dot,
};

const struct hone_command hone_command_svg = {
    .name = "svg",
    .summary = "the graph of calls as a picture, to move and zoom in a browser",
    .operands = HONE_VIEW_OPERANDS,
    .manual = "Graphviz draws it (package graphviz). " ARROWS HONE_VIEW_FILES,
    .examples = svg_examples,
    .options = dot_options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .run = run_svg,
};

static int run_weblist(const void *parsed, const struct hone_operands *operands,
                       struct hone_error *err)
{
    return hone_view_run_pattern(hone_view_weblist, parsed, operands, err);
}

const struct hone_command hone_command_weblist = {
    .name = "weblist",
    .summary = "source and machine code of some functions as a page for a browser",
    .operands = "REGEX " HONE_VIEW_OPERANDS,
    .manual =
        "REGEX is a regular expression in Perl's syntax that matches anywhere in the name of a "
        "function or of its source file. Each line of source opens to its machine code, "
        "with the calls that were inlined there. " HONE_VIEW_FILES,
    .examples = weblist_examples,
    .options = weblist_options,
    .options_size = sizeof(struct hone_view_options),
    .complete = "profile",
    .operands_minimum = 1,
    .run = run_weblist,
};
