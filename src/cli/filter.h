// cli filter: the options of every view that say which part of a profile is meant, what it is
// compared with and in which unit.
#ifndef HONE_CLI_FILTER_H
#define HONE_CLI_FILTER_H

#include "base/arena.h"
#include "base/error.h"
#include "cli/input.h"
#include "cli/options.h"
#include "view/text.h"

struct hone_profile;

struct hone_filter_options {
    const char *focus;
    const char *ignore;
    const char *hide;
    const char *show;
    const char *show_from;
    const char *tag_focus;
    const char *tag_ignore;
    const char *base;
    const char *diff_base;
    bool normalize;
    bool no_inlines;
    bool kernel; // keep the kernel's frames below waits
    const char *unit;
};

// One row; options is the struct that has a struct hone_filter_options called filter.
#define HONE_FILTER_ROW_TEXT(options, option, field, what, words)                                  \
    {                                                                                              \
        .name = (option), .kind = HONE_OPTION_TEXT, .value = (what),                               \
        .at = offsetof(struct options, filter.field), .help = (words),                             \
    }
#define HONE_FILTER_ROW_FLAG(options, option, field, words)                                        \
    {                                                                                              \
        .name = (option), .kind = HONE_OPTION_FLAG, .at = offsetof(struct options, filter.field),  \
        .help = (words),                                                                           \
    }
#define HONE_FILTER_ROWS_PART(options)                                                             \
    HONE_FILTER_ROW_TEXT(options, "focus", focus, "REGEX",                                         \
                         "only stacks with a function, file or module that matches"),              \
        HONE_FILTER_ROW_TEXT(options, "ignore", ignore, "REGEX", "no stacks with one"),            \
        HONE_FILTER_ROW_TEXT(options, "hide", hide, "REGEX",                                       \
                             "leave functions that match out of their stacks"),                    \
        HONE_FILTER_ROW_TEXT(options, "show", show, "REGEX",                                       \
                             "leave all others out of the stacks"),                                \
        HONE_FILTER_ROW_TEXT(options, "show-from", show_from, "REGEX",                             \
                             "leave out what called the outermost function that matches"),         \
        HONE_FILTER_ROW_TEXT(options, "tag-focus", tag_focus, "TAG",                               \
                             "only samples with a label: REGEX, KEY=REGEX, 4kb:, KEY=1ms:5ms"),    \
        HONE_FILTER_ROW_TEXT(options, "tag-ignore", tag_ignore, "TAG", "no samples with one"),     \
        HONE_FILTER_ROW_FLAG(options, "no-inlines", no_inlines,                                    \
                             "count inlined functions to those that they were inlined into"),      \
        HONE_FILTER_ROW_FLAG(options, "kernel", kernel,                                            \
                             "of waits, the kernel's functions too, in which a thread waits")
#define HONE_FILTER_ROW_PROFILE(options, option, field, words)                                     \
    {                                                                                              \
        .name = (option), .kind = HONE_OPTION_TEXT, .value = "FILE", .complete = "profile",        \
        .at = offsetof(struct options, filter.field), .help = (words),                             \
    }
#define HONE_FILTER_ROWS_BASE(options)                                                             \
    HONE_FILTER_ROW_PROFILE(options, "base", base, "take this profile's values away"),             \
        HONE_FILTER_ROW_PROFILE(options, "diff-base", diff_base,                                   \
                                "the same, and percentages are parts of that profile"),            \
        HONE_FILTER_ROW_FLAG(options, "normalize", normalize,                                      \
                             "scale to the sum of that profile before")
#define HONE_FILTER_ROW_UNIT(options)                                                              \
    HONE_FILTER_ROW_TEXT(options, "unit", unit, "UNIT",                                            \
                         "print values in ms, MB and the like (what suits them)")

// What is left to be freed when the view is made.
struct hone_filter_lines {
    struct hone_arena arena;
    const char *at[8]; // "focus=main"; ends with NULL
};
void hone_filter_lines_done(struct hone_filter_lines *lines);

// Changes the profile, and the view's options so that it tells of it; the other profile is read in
// the way that input says. What matches nothing is said on standard error. lines has to live as
// long as the view's options. Returns 0, a negative errno or HONE_MISUSED with err filled.
int hone_filter_apply(const struct hone_filter_options *options,
                      const struct hone_input_options *input, struct hone_profile **profile,
                      struct hone_filter_lines *lines, struct hone_text_options *text,
                      struct hone_error *err);

// The same part of each of several profiles, which stay apart; without base and unit. Lines, which
// are empty without filters, say which.
int hone_filter_apply_to_all(const struct hone_filter_options *options,
                             struct hone_profile *const *profiles, size_t count,
                             struct hone_filter_lines *lines, struct hone_error *err);

#endif
