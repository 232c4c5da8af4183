#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/pattern.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/view.h"
#include "profile/profile.h"
#include "view/flame.h"

#include <errno.h>
#include <string.h>

struct flame_options {
    const char *output;
    const char *title;
    unsigned group; // enum hone_flame_group
    bool inverted;
    bool reversed;
    const char *sandwich;
    struct hone_filter_options filter;
    struct hone_input_options input;
};

static const struct hone_choice groups[] = {
    {"functions", HONE_FLAME_FUNCTIONS, false},
    {"lines", HONE_FLAME_LINES, false},
    {"modules", HONE_FLAME_MODULES, false},
    {0},
};

static const struct hone_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = HONE_OPTION_TEXT,
     .value = "FILE",
     .complete = "file",
     .at = offsetof(struct flame_options, output),
     .help =
         "write there (standard output; when that is a terminal, flame.svg beside the profile)"},
    {.name = "by",
     .kind = HONE_OPTION_CHOICE,
     .value = "WHAT",
     .initial = "functions",
     .choices = groups,
     .at = offsetof(struct flame_options, group),
     .help = "one frame for each of: functions, lines, modules"},
    {.name = "inverted",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct flame_options, inverted),
     .help = "root at the bottom, flames grow up"},
    {.name = "reversed",
     .kind = HONE_OPTION_FLAG,
     .at = offsetof(struct flame_options, reversed),
     .help = "begin with what ran and grow into its callers"},
    {.name = "sandwich",
     .kind = HONE_OPTION_TEXT,
     .value = "REGEX",
     .at = offsetof(struct flame_options, sandwich),
     .help = "the functions that match, with their callers above and what they call below"},
    {.name = "title",
     .kind = HONE_OPTION_TEXT,
     .value = "TEXT",
     .at = offsetof(struct flame_options, title),
     .help = "heading of the picture (the program and the sample type)"},
    HONE_VIEW_ROWS_TYPE(flame_options),
    HONE_FILTER_ROWS_PART(flame_options),
    HONE_FILTER_ROWS_BASE(flame_options),
    HONE_INPUT_ROWS(flame_options),
    {0},
};

static const struct hone_example examples[] = {
    {"hone flame", "the newest recording as flame.svg beside it"},
    {"hone flame -o flame.svg cpu.prof", "a file of your choice"},
    {"hone flame --reversed -o callers.svg", "who calls what is hot"},
    {"hone flame --sandwich '^malloc$' -o malloc.svg", "who calls it, and what it calls"},
    {"hone flame --focus parse --hide '^std::' -o parse.svg", "a part of the program only"},
    {0},
};

// flame.svg in the directory of the profile.
static int beside_profile(const struct hone_operands *operands, const char *type,
                          char path[HONE_INPUT_PATH_MAX], struct hone_error *err)
{
    static const char name[] = "flame.svg";
    int r = hone_input_path(operands, type, path, err);
    if (r)
        return r;
    char *slash = strrchr(path, '/');
    size_t directory = slash ? (size_t)(slash + 1 - path) : 0;
    if (directory + sizeof name > HONE_INPUT_PATH_MAX)
        return hone_error_set(err, -ENAMETOOLONG, "cannot write beside '%s'", path);
    memcpy(path + directory, name, sizeof name);
    return 0;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct flame_options *given = parsed;
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *sandwich = NULL;
    if (given->sandwich) {
        int wrong = hone_pattern_new(given->sandwich, &sandwich, err);
        if (wrong)
            return wrong == -EINVAL ? HONE_MISUSED : wrong;
    }
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = NULL;
    int r = hone_input_read(operands, &given->input, &profile, err);
    if (r)
        return r;
    struct hone_text_options part = {.type = given->input.type};
    HONE_CLEANUP(hone_filter_lines_done) struct hone_filter_lines lines = {0};
    r = hone_filter_apply(&given->filter, &given->input, &profile, &lines, &part, err);
    if (r)
        return r;

    struct hone_flame_options flame = {
        .size = sizeof flame,
        .type = given->input.type,
        .group = (enum hone_flame_group)given->group,
        .title = given->title,
        .inverted = given->inverted,
        .reversed = given->reversed,
        .sandwich = sandwich,
        .whole = part.total,
        .filters = part.filters,
        .difference = given->filter.base || given->filter.diff_base,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    r = hone_view_flame(profile, &flame, &out, err);
    if (r)
        return r;

    char path[HONE_INPUT_PATH_MAX];
    const char *output = given->output;
    if (!output && isatty(STDOUT_FILENO)) {
        r = beside_profile(operands, given->input.type, path, err);
        if (r)
            return r;
        output = path;
    }
    r = hone_output_write(output, &out, err);
    if (r == 0 && output && strcmp(output, "-") != 0)
        hone_tell("wrote '%s'; open it in a browser", output);
    return r;
}

const struct hone_command hone_command_flame = {
    .name = "flame",
    .summary = "a flame graph as SVG, to zoom and search in a browser",
    .operands = HONE_VIEW_OPERANDS,
    .manual = "Of a difference (--base), what became more is drawn; 'hone diff --flame' draws both "
              "ways and tells what chance may have done. " HONE_VIEW_FILES,
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct flame_options),
    .complete = "profile",
    .run = run,
};
