#include "pprof/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct hone_pprof_config hone_pprof_defaults = {
    .output = "",
    .unit = "minimum",
    .source_path = "",
    .trim_path = "",
    .sample_index = "",
    .divide_by = 1,
    .sort = "flat",
    .tagroot = "",
    .tagleaf = "",
    .nodecount = -1,
    .nodefraction = 0.005,
    .edgefraction = 0.001,
    .trim = true,
    .focus = "",
    .ignore = "",
    .prune_from = "",
    .hide = "",
    .show = "",
    .show_from = "",
    .tagfocus = "",
    .tagignore = "",
    .tagshow = "",
    .taghide = "",
    .granularity = "functions",
};

static const struct hone_pprof_choice orders[] = {
    {"cum", "Sort entries based on cumulative weight\n"},
    {"flat", "Sort entries based on own weight\n"},
    {0},
};

static const struct hone_pprof_choice granularities[] = {
    {"functions", "Aggregate at the function level.\n"
                  "Ignores the filename where the function was defined.\n"},
    {"filefunctions", "Aggregate at the function level.\n"
                      "Takes into account the filename where the function was defined.\n"},
    {"files", "Aggregate at the file level."},
    {"lines", "Aggregate at the source code line level."},
    {"addresses", "Aggregate at the address level.\n"
                  "Includes functions' addresses in the output.\n"},
    {0},
};

#define MATCHING "Matching includes the function name, filename or object name.\n"
#define TAG_EXAMPLES                                                                               \
    "Use name=value syntax to limit the matching to a specific tag.\n"                             \
    "Numeric tag filter examples: 1kb, 1kb:10kb, memory=32mb:\n"                                   \
    "String tag filter examples: foo, foo.*bar, mytag=foo.*bar\n"
#define ROW(field, value_kind, words)                                                              \
    {                                                                                              \
        .name = #field, .kind = HONE_PPROF_##value_kind,                                           \
        .at = offsetof(struct hone_pprof_config, field), .help = (words)                           \
    }

const struct hone_pprof_option hone_pprof_options[] = {
    ROW(output, TEXT, "Output filename for file-based outputs\n"),
    ROW(call_tree, BOOL,
        "Create a context-sensitive call tree\n"
        "Treat locations reached through different paths as separate.\n"),
    ROW(relative_percentages, BOOL,
        "Show percentages relative to focused subgraph\n"
        "If unset, percentages are relative to full graph before focusing\n"
        "to facilitate comparison with original graph.\n"),
    ROW(unit, TEXT,
        "Measurement units to display\n"
        "Scale the sample values to this unit.\n"
        "For time-based profiles, use seconds, milliseconds, nanoseconds, etc.\n"
        "For memory profiles, use megabytes, kilobytes, bytes, etc.\n"
        "Using auto will scale each value independently to the most natural unit.\n"),
    ROW(compact_labels, BOOL, "Show minimal headers"),
    ROW(source_path, TEXT, "Search path for source files"),
    ROW(trim_path, TEXT, "Path to trim from source paths before search"),
    ROW(intel_syntax, BOOL,
        "Show assembly in Intel syntax\n"
        "Only applicable to commands `disasm` and `weblist`\n"),
    ROW(mean, BOOL,
        "Average sample value over first value (count)\n"
        "For memory profiles, report average memory per allocation.\n"
        "For time-based profiles, report average time per event.\n"),
    ROW(sample_index, TEXT,
        "Sample value to report (0-based index or name)\n"
        "Profiles contain multiple values per sample.\n"
        "Use sample_index=i to select the ith value (starting at 0).\n"),
    ROW(divide_by, FLOAT,
        "Ratio to divide all samples before visualization\n"
        "Divide all samples values by a constant, eg the number of processors or jobs.\n"),
    ROW(normalize, BOOL, "Scales profile based on the base profile.\n"),
    {.name = "sort",
     .kind = HONE_PPROF_TEXT,
     .at = offsetof(struct hone_pprof_config, sort),
     .choices = orders},
    ROW(tagroot, TEXT,
        "Adds pseudo stack frames for labels key/value pairs at the callstack root.\n"
        "A comma-separated list of label keys.\n"
        "The first key creates frames at the new root.\n"),
    ROW(tagleaf, TEXT,
        "Adds pseudo stack frames for labels key/value pairs at the callstack leaf.\n"
        "A comma-separated list of label keys.\n"
        "The last key creates frames at the new leaf.\n"),
    ROW(drop_negative, BOOL,
        "Ignore negative differences\n"
        "Do not show any locations with values <0.\n"),
    ROW(nodecount, INT,
        "Max number of nodes to show\n"
        "Uses heuristics to limit the number of locations to be displayed.\n"
        "On graphs, dotted edges represent paths through nodes that have been removed.\n"),
    ROW(nodefraction, FLOAT, "Hide nodes below <f>*total"),
    ROW(edgefraction, FLOAT, "Hide edges below <f>*total"),
    ROW(trim, BOOL,
        "Honor nodefraction/edgefraction/nodecount defaults\n"
        "Set to false to get the full profile, without any trimming.\n"),
    ROW(focus, TEXT,
        "Restricts to samples going through a node matching regexp\n"
        "Discard samples that do not include a node matching this regexp.\n" MATCHING),
    ROW(ignore, TEXT,
        "Skips paths going through any nodes matching regexp\n"
        "If set, discard samples that include a node matching this regexp.\n" MATCHING),
    ROW(prune_from, TEXT,
        "Drops any functions below the matched frame.\n"
        "If set, any frames matching the specified regexp and any frames\n"
        "below it will be dropped from each sample.\n"),
    ROW(hide, TEXT,
        "Skips nodes matching regexp\n"
        "Discard nodes that match this location.\n"
        "Other nodes from samples that include this location will be shown.\n" MATCHING),
    ROW(show, TEXT,
        "Only show nodes matching regexp\n"
        "If set, only show nodes that match this location.\n" MATCHING),
    ROW(show_from, TEXT,
        "Drops functions above the highest matched frame.\n"
        "If set, all frames above the highest match are dropped from every sample.\n" MATCHING),
    ROW(tagfocus, TEXT,
        "Restricts to samples with tags in range or matched by regexp\n" TAG_EXAMPLES),
    ROW(tagignore, TEXT, "Discard samples with tags in range or matched by regexp\n" TAG_EXAMPLES),
    ROW(tagshow, TEXT,
        "Only consider tags matching this regexp\n"
        "Discard tags that do not match this regexp\n"),
    ROW(taghide, TEXT,
        "Skip tags matching this regexp\n"
        "Discard tags that match this regexp\n"),
    ROW(noinlines, BOOL,
        "Ignore inlines.\n"
        "Attributes inlined functions to their first out-of-line caller.\n"),
    {.name = "granularity",
     .kind = HONE_PPROF_TEXT,
     .at = offsetof(struct hone_pprof_config, granularity),
     .choices = granularities},
    {0},
};

// --- finding -------------------------------------------------------------------------------------

static const struct hone_pprof_choice *find_choice(const struct hone_pprof_option *option,
                                                   const char *name)
{
    for (const struct hone_pprof_choice *at = option->choices; at && at->name; at++)
        if (strcmp(at->name, name) == 0)
            return at;
    return NULL;
}

const struct hone_pprof_option *hone_pprof_option_find(const char *name,
                                                       const struct hone_pprof_choice **ret_choice)
{
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        const struct hone_pprof_choice *choice = find_choice(at, name);
        if (!choice && strcmp(at->name, name) != 0)
            continue;
        if (ret_choice)
            *ret_choice = choice;
        return at;
    }
    return NULL;
}

bool hone_pprof_option_is_bool(const char *name)
{
    const struct hone_pprof_choice *choice;
    const struct hone_pprof_option *option = hone_pprof_option_find(name, &choice);
    return option && (choice || option->kind == HONE_PPROF_BOOL);
}

const char *hone_pprof_option_help(const char *name)
{
    const struct hone_pprof_choice *choice;
    const struct hone_pprof_option *option = hone_pprof_option_find(name, &choice);
    if (!option)
        return NULL;
    return choice ? choice->help : option->help;
}

// --- getting and setting -------------------------------------------------------------------------

const char *hone_pprof_option_print(const struct hone_pprof_config *config,
                                    const struct hone_pprof_option *option,
                                    struct hone_arena *arena)
{
    const char *at = (const char *)config + option->at;
    switch (option->kind) {
    case HONE_PPROF_BOOL:
        return *(const bool *)at ? "true" : "false";
    case HONE_PPROF_INT:
        return hone_arena_format(arena, "%" PRId64, *(const int64_t *)(const void *)at);
    case HONE_PPROF_FLOAT:
        return hone_arena_format(arena, "%s",
                                 hone_pprof_print_float(*(const double *)(const void *)at).text);
    case HONE_PPROF_TEXT:
        break;
    }
    return *(const char *const *)(const void *)at;
}

// Switches by word, as pprof has always read them: nothing is true.
static bool parse_switch(const char *text, bool *ret)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "1", ""};
    static const char *const no[] = {"false", "f", "no", "n", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (strcasecmp(text, yes[i]) == 0)
            return *ret = true;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (strcasecmp(text, no[i]) == 0) {
            *ret = false;
            return true;
        }
    return false;
}

static int no_number(const char *function, const char *text, int r, struct hone_error *err)
{
    (void)hone_error_set(err, -EINVAL, "strconv.%s: parsing \"%s\": %s", function, text,
                         r == -ERANGE ? "value out of range" : "invalid syntax");
    return -EINVAL;
}

static int set_option(struct hone_pprof_config *config, const struct hone_pprof_option *option,
                      const char *value, struct hone_error *err)
{
    void *at = (char *)config + option->at;
    switch (option->kind) {
    case HONE_PPROF_BOOL:
        if (parse_switch(value, at))
            return 0;
        return hone_error_set(err, -EINVAL, "illegal value \"%s\" for bool variable", value);
    case HONE_PPROF_INT: {
        int r = hone_pprof_parse_int(value, false, at);
        return r ? no_number("Atoi", value, r, err) : 0;
    }
    case HONE_PPROF_FLOAT: {
        int r = hone_pprof_parse_float(value, at);
        return r ? no_number("ParseFloat", value, r, err) : 0;
    }
    case HONE_PPROF_TEXT:
        break;
    }
    if (option->choices && !find_choice(option, value))
        return hone_error_set(err, -EINVAL, "invalid \"%s\" value \"%s\"", option->name, value);
    *(const char **)at = value;
    return 0;
}

int hone_pprof_config_set(struct hone_pprof_config *config, const char *name, const char *value,
                          struct hone_error *err)
{
    const struct hone_pprof_choice *choice;
    const struct hone_pprof_option *option = hone_pprof_option_find(name, &choice);
    if (option && !choice)
        return set_option(config, option, value, err);
    bool set = false;
    if (!option || hone_pprof_parse_bool(value, &set) || !set)
        return hone_error_set(err, -EINVAL, "unknown config field \"%s\"", name);
    return set_option(config, option, choice->name, err);
}
