// cli view: what the commands that print a profile as text share: their options and their way from
// files to standard output.
#ifndef HONE_CLI_VIEW_H
#define HONE_CLI_VIEW_H

#include "cli/filter.h"
#include "cli/input.h"
#include "cli/options.h"
#include "view/text.h"

struct hone_view_options {
    const char *output;
    unsigned group; // enum hone_text_group
    int64_t rows;
    bool by_line;
    bool by_cum;
    bool all;
    bool call_tree;
    bool intel;
    bool reversed;
    const char *source_path;
    const char *trim_path;
    struct hone_filter_options filter;
    struct hone_input_options input;
};

extern const struct hone_choice hone_view_groups[];

// For the help and the manual of every view.
#define HONE_VIEW_OPERANDS "[FILE|DIR|URL]…"
#define HONE_VIEW_FILES                                                                            \
    "Several files are merged. Without FILE the newest recording under profiles/ is taken; of a "  \
    "directory, its CPU profile or, for a sample type of the heap, that one. A URL, or "           \
    "HOST:PORT, is asked for a profile of a program that "                                         \
    "runs: without a path, for /debug/pprof/profile. What it sends is kept in $PPROF_TMPDIR or "   \
    "~/pprof."

// Rows that mean the same in every view.
#define HONE_VIEW_ROW_HEAP_TYPE(options, option, words, what)                                      \
    {                                                                                              \
        .name = (option), .kind = HONE_OPTION_WORD, .choices = (words),                            \
        .at = offsetof(struct options, input.type), .help = (what),                                \
    }
extern const struct hone_choice hone_view_heap_types[][2];
#define HONE_VIEW_ROWS_TYPE(options)                                                               \
    {                                                                                              \
        .name = "type",                                                                            \
        .kind = HONE_OPTION_TEXT,                                                                  \
        .value = "TYPE",                                                                           \
        .at = offsetof(struct options, input.type),                                                \
        .help = "which of the profile's sample types, by name or place; 'hone info' lists them "   \
                "(the profile's default)",                                                         \
    },                                                                                             \
        {                                                                                          \
            .name = "sample-index",                                                                \
            .kind = HONE_OPTION_TEXT,                                                              \
            .value = "TYPE",                                                                       \
            .at = offsetof(struct options, input.type),                                            \
            .help = "the same, as go tool pprof calls it",                                         \
        },                                                                                         \
        HONE_VIEW_ROW_HEAP_TYPE(options, "inuse-space", hone_view_heap_types[0],                   \
                                "of the heap: bytes that live"),                                   \
        HONE_VIEW_ROW_HEAP_TYPE(options, "inuse-objects", hone_view_heap_types[1],                 \
                                "of the heap: blocks that live"),                                  \
        HONE_VIEW_ROW_HEAP_TYPE(options, "alloc-space", hone_view_heap_types[2],                   \
                                "of the heap: bytes ever allocated"),                              \
        HONE_VIEW_ROW_HEAP_TYPE(options, "alloc-objects", hone_view_heap_types[3],                 \
                                "of the heap: blocks ever allocated")
// Which profiles, which part of them, and where the view of them goes: what every view has. Those
// that print amounts also have HONE_VIEW_ROW_UNIT.
#define HONE_VIEW_ROWS_COMMON                                                                      \
    HONE_VIEW_ROWS_TYPE(hone_view_options), HONE_FILTER_ROWS_PART(hone_view_options),              \
        HONE_FILTER_ROWS_BASE(hone_view_options), HONE_INPUT_ROWS(hone_view_options),              \
        HONE_VIEW_ROW_OUTPUT
#define HONE_VIEW_ROW_UNIT HONE_FILTER_ROW_UNIT(hone_view_options)
#define HONE_VIEW_ROW_OUTPUT                                                                       \
    {                                                                                              \
        .name = "output", .letter = 'o', .kind = HONE_OPTION_TEXT, .value = "FILE",                \
        .complete = "file", .at = offsetof(struct hone_view_options, output),                      \
        .help = "write there instead of to standard output",                                       \
    }
#define HONE_VIEW_ROW_GROUP                                                                        \
    {                                                                                              \
        .name = "by",                                                                              \
        .kind = HONE_OPTION_CHOICE,                                                                \
        .value = "WHAT",                                                                           \
        .initial = "functions",                                                                    \
        .choices = hone_view_groups,                                                               \
        .at = offsetof(struct hone_view_options, group),                                           \
        .help = "one row for each of: functions, lines, files, filefunctions, addresses",          \
    },                                                                                             \
    {                                                                                              \
        .name = "source", .kind = HONE_OPTION_FLAG,                                                \
        .at = offsetof(struct hone_view_options, by_line), .help = "the same as --by lines",       \
    }
#define HONE_VIEW_ROW_COUNT(initial_rows)                                                          \
    {                                                                                              \
        .name = "rows", .letter = 'n', .kind = HONE_OPTION_COUNT, .value = "N",                    \
        .initial = (initial_rows), .maximum = INT32_MAX,                                           \
        .at = offsetof(struct hone_view_options, rows), .help = "at most N rows; 0 is no limit",   \
    }
#define HONE_VIEW_ROW_CUM                                                                          \
    {                                                                                              \
        .name = "cum", .kind = HONE_OPTION_FLAG, .at = offsetof(struct hone_view_options, by_cum), \
        .help = "order by cum: what a function took with all that it called",                      \
    }
#define HONE_VIEW_ROW_ALL                                                                          \
    {                                                                                              \
        .name = "all", .kind = HONE_OPTION_FLAG, .at = offsetof(struct hone_view_options, all),    \
        .help = "leave out nothing, however small",                                                \
    }

#define HONE_VIEW_ROW_SOURCE_PATH                                                                  \
    {                                                                                              \
        .name = "source-path", .kind = HONE_OPTION_TEXT, .value = "DIR[:DIR]…",                    \
        .complete = "directory", .at = offsetof(struct hone_view_options, source_path),            \
        .help = "where sources are that are not at their recorded paths (the current directory)",  \
    }
#define HONE_VIEW_ROW_TRIM_PATH                                                                    \
    {                                                                                              \
        .name = "trim-path", .kind = HONE_OPTION_TEXT, .value = "DIR[:DIR]…",                      \
        .at = offsetof(struct hone_view_options, trim_path),                                       \
        .help = "what to cut from the front of recorded paths: where the program was built",       \
    }
#define HONE_VIEW_ROW_INTEL                                                                        \
    {                                                                                              \
        .name = "intel", .kind = HONE_OPTION_FLAG,                                                 \
        .at = offsetof(struct hone_view_options, intel),                                           \
        .help = "Intel's syntax instead of AT&T's",                                                \
    }
#define HONE_VIEW_ROW_CALL_TREE                                                                    \
    {                                                                                              \
        .name = "call-tree", .kind = HONE_OPTION_FLAG,                                             \
        .at = offsetof(struct hone_view_options, call_tree),                                       \
        .help = "a node for each way that leads to a function, instead of one for all",            \
    }

// Reads the profiles, makes the view and writes it. Returns what a command's run returns.
int hone_view_run(hone_text_view view, const struct hone_view_options *options,
                  const struct hone_operands *operands, struct hone_error *err);

// The same where the first operand is a pattern for functions.
int hone_view_run_pattern(hone_text_view view, const struct hone_view_options *options,
                          const struct hone_operands *operands, struct hone_error *err);

#endif
