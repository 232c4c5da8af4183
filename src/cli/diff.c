#include "view/diff.h"
#include "analyse/compare.h"
#include "base/cleanup.h"
#include "base/pattern.h"
#include "cli/commands.h"
#include "cli/filter.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/runs.h"
#include "cli/view.h"
#include "profile/profile.h"
#include "view/flame.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct diff_options {
    const char *output;
    const char *flame;
    const char *match;
    const char *fail_above;
    unsigned group; // enum hone_text_group
    unsigned per;   // enum hone_compare_per
    int64_t rows;
    bool by_cum;
    bool all;
    bool json;
    bool names_only;
    struct hone_filter_options filter;
    struct hone_input_options input;
};

static const struct hone_choice normalizations[] = {
    {"run", HONE_COMPARE_RUN, false},
    {"time", HONE_COMPARE_SECOND, false},
    {"share", HONE_COMPARE_SHARE, false},
    {0},
};

#define AT(field) .at = offsetof(struct diff_options, field)

static const struct hone_option options[] = {
    {.name = "normalize",
     .kind = HONE_OPTION_CHOICE,
     .value = "WHAT",
     .initial = "run",
     .choices = normalizations,
     AT(per),
     .help = "compare what one run takes, what a second of recording takes (time), or shares of "
             "the whole (share)"},
    {.name = "cum",
     .kind = HONE_OPTION_FLAG,
     AT(by_cum),
     .help = "compare what functions took with all that they called"},
    {.name = "by",
     .kind = HONE_OPTION_CHOICE,
     .value = "WHAT",
     .initial = "functions",
     .choices = hone_view_groups,
     AT(group),
     .help = "one row for each of: functions, lines, files, filefunctions, addresses"},
    {.name = "fail-above",
     .kind = HONE_OPTION_TEXT,
     .value = "PERCENT",
     AT(fail_above),
     .help = "exit with status 1 if the whole surely takes so much more, such as 5%; of shares: if "
             "a row surely takes so much more of the whole"},
    {.name = "rows",
     .letter = 'n',
     .kind = HONE_OPTION_COUNT,
     .value = "N",
     .initial = "0",
     .maximum = INT32_MAX,
     AT(rows),
     .help = "at most N rows; 0 is those that differ and the ten largest others"},
    {.name = "all", .kind = HONE_OPTION_FLAG, AT(all), .help = "leave out nothing, however small"},
    {.name = "match",
     .kind = HONE_OPTION_TEXT,
     .value = "REGEX",
     AT(match),
     .help = "show the rows that match, be they small; the statistics are of all"},
    {.name = "names-only",
     .kind = HONE_OPTION_FLAG,
     AT(names_only),
     .help = "do not look for functions under another name"},
    {.name = "flame",
     .kind = HONE_OPTION_TEXT,
     .value = "FILE",
     .complete = "file",
     AT(flame),
     .help = "write a flame graph too: as wide as the new side, red for more, blue for less"},
    {.name = "json", .kind = HONE_OPTION_FLAG, AT(json), .help = "print JSON instead of a table"},
    HONE_VIEW_ROWS_TYPE(diff_options),
    HONE_OPTION_ROW_OUTPUT(AT(output)),
    HONE_FILTER_ROWS_PART(diff_options),
    HONE_FILTER_ROW_UNIT(diff_options),
    HONE_INPUT_ROWS(diff_options),
    {0},
};

static const struct hone_example examples[] = {
    {"hone diff before.prof after.prof", "what changed, and whether it is chance"},
    {"hone diff a1 a2 a3 vs b1 b2 b3", "three runs of either: how runs differ is known"},
    {"hone diff --fail-above 5% old/ new/", "for CI: all recordings in two directories"},
    {"hone diff --flame diff.svg old.prof new.prof", "and a picture of it"},
    {"hone diff --focus '^parse$' -cum old.prof new.prof", "what parse takes with all it calls"},
    {0},
};

// "5%", "5" and "0.5%".
static int read_limit(const char *text, double *ret, struct hone_error *err)
{
    char *end;
    errno = 0;
    double percent = strtod(text, &end);
    if (end == text || (*end && strcmp(end, "%") != 0) || !isfinite(percent) || percent < 0 ||
        errno || !isdigit((unsigned char)text[0]))
        return hone_misused(err, "--fail-above takes a percentage such as 5%%, not '%s'", text);
    *ret = percent / 100;
    return 0;
}

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int write_table(const struct diff_options *given, const struct hone_compare *compare,
                       struct hone_diff_options *shown, struct hone_error *err)
{
    HONE_CLEANUP(hone_pattern_freep) struct hone_pattern *pattern = NULL;
    if (given->match) {
        int r = hone_pattern_new(given->match, &pattern, err);
        if (r)
            return r == -EINVAL ? HONE_MISUSED : r;
    }
    shown->pattern = pattern;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = given->json ? hone_json_diff(compare, shown, &out, err)
                        : hone_text_diff(compare, shown, &out, err);
    return r ? r : hone_output_text(given->output, &out, err);
}

static int write_flame(const struct diff_options *given, const struct hone_compare *compare,
                       const struct hone_compare_input sides[2], const char *const *filters,
                       struct hone_error *err)
{
    struct hone_flame_options flame = {
        .size = sizeof flame,
        .group = given->group == HONE_TEXT_LINES ? HONE_FLAME_LINES : HONE_FLAME_FUNCTIONS,
        .filters = filters,
    };
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    int r = hone_view_flame_diff(compare, sides, &flame, &out, err);
    return r ? r : hone_output_write(given->flame, &out, err);
}

static int compare_runs(const struct diff_options *given, const struct hone_runs *runs,
                        const char *const *filters, struct hone_error *err)
{
    static const enum hone_graph_group groups[] = {
        [HONE_TEXT_FUNCTIONS] = HONE_GRAPH_FUNCTION, [HONE_TEXT_LINES] = HONE_GRAPH_LINE,
        [HONE_TEXT_FILES] = HONE_GRAPH_FILE,         [HONE_TEXT_ADDRESSES] = HONE_GRAPH_ADDRESS,
        [HONE_TEXT_ROUTINES] = HONE_GRAPH_ROUTINE,
    };
    struct hone_compare_input sides[2] = {
        {(const struct hone_profile *const *)runs->profiles, runs->count[0]},
        {(const struct hone_profile *const *)runs->profiles + runs->count[0], runs->count[1]},
    };
    struct hone_compare_options how = {
        .type = given->input.type,
        .group = groups[given->group],
        .per = (enum hone_compare_per)given->per,
        .by_cum = given->by_cum,
        .names_only = given->names_only,
    };
    double limit;
    int r = given->fail_above ? read_limit(given->fail_above, &limit, err) : 0;
    if (r)
        return r;
    HONE_CLEANUP(hone_compare_freep) struct hone_compare *compare = NULL;
    r = hone_compare_new(sides, &how, &compare, err);
    if (r == -ENODATA && *filters)
        hone_error_hint(err, "all of that side was filtered out; '--match REGEX' shows functions "
                             "that only one side has");
    if (r)
        return r;
    struct hone_diff_options shown = {
        .rows = (uint32_t)given->rows,
        .all = given->all,
        .limit = given->fail_above ? &limit : NULL,
        .filters = filters,
        .unit = given->filter.unit,
        .width = !given->output && isatty(STDOUT_FILENO) ? terminal_width() : 0,
    };
    r = write_table(given, compare, &shown, err);
    if (!r && given->flame)
        r = write_flame(given, compare, sides, filters, err);
    if (r)
        return r;
    const struct hone_compare_row *row;
    return given->fail_above && hone_compare_gate(compare, limit, &row) == HONE_COMPARE_ABOVE;
}

static int run(const void *parsed, const struct hone_operands *operands, struct hone_error *err)
{
    const struct diff_options *given = parsed;
    HONE_CLEANUP(hone_runs_done) struct hone_runs runs = {.input = &given->input};
    HONE_CLEANUP(hone_filter_lines_done) struct hone_filter_lines lines = {0};
    int r = hone_runs_read(operands, &runs, err);
    if (!r)
        r = hone_filter_apply_to_all(&given->filter, runs.profiles, runs.count[0] + runs.count[1],
                                     &lines, err);
    if (r)
        return r;
    for (uint32_t i = 0; i < runs.count[0] + runs.count[1]; i++)
        if (hone_profile_one_line(runs.profiles[i]))
            return hone_error_set(err, -ENOMEM, "cannot show the profiles");
    return compare_runs(given, &runs, lines.at, err);
}

const struct hone_command hone_command_diff = {
    .name = "diff",
    .summary = "what changed between recordings, and whether it is chance",
    .operands = "BASE… [vs] NEW…",
    .manual =
        "Each side is one recording or several: files, directories of a recording, or directories "
        "that hold recordings, all of which count as runs. Two operands are BASE and NEW; with "
        "more, "
        "the word vs stands between the sides.\n\n"
        "Values are compared by the samples behind them. Limits hold what chance in sampling does "
        "and, with several runs a side, how runs differ; verdicts and limits are corrected for the "
        "many rows, so that in 95 of 100 comparisons without a difference none is found. A "
        "function "
        "that only one side has is looked for under another name, which its row then says.\n\n"
        "With --focus and its like a part of each recording is compared, as if that were all of "
        "it.\n\n"
        "The status is 1 with --fail-above when the whole surely grew by more, and 0 when it did "
        "not or when that cannot be told.",
    .examples = examples,
    .options = options,
    .options_size = sizeof(struct diff_options),
    .complete = "profile",
    .operands_minimum = 2,
    .run = run,
};
