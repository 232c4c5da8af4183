// The options of `hone pprof`: their names, kinds, defaults, choices and words of help in one
// table, which the flags of the command line, the assignments of the shell, the list of options and
// the help all read. Names and words are those of `go tool pprof`.
//
// A configuration is a struct of plain values; texts are borrowed from whoever set them (argv, the
// shell's arena) and never NULL.
//
// Threads: safe on different configurations.
#ifndef HONE_PPROF_CONFIG_H
#define HONE_PPROF_CONFIG_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hone_pprof_config {
    const char *output; // file of the report; "": standard output

    // What is shown and how.
    bool call_tree;
    bool relative_percentages;
    const char *unit;
    bool compact_labels;
    const char *source_path;
    const char *trim_path;
    bool intel_syntax;
    bool mean;
    const char *sample_index;
    double divide_by;
    bool normalize;
    const char *sort; // "flat" or "cum"

    // Labels as frames: keys with commas between.
    const char *tagroot;
    const char *tagleaf;

    // What is left out.
    bool drop_negative;
    int64_t nodecount; // -1: what suits the command
    double nodefraction;
    double edgefraction;
    bool trim;
    const char *focus;
    const char *ignore;
    const char *prune_from;
    const char *hide;
    const char *show;
    const char *show_from;
    const char *tagfocus;
    const char *tagignore;
    const char *tagshow;
    const char *taghide;
    bool noinlines;

    const char *granularity; // "functions", "filefunctions", "files", "lines" or "addresses"
};

enum hone_pprof_kind {
    HONE_PPROF_BOOL,  // bool
    HONE_PPROF_INT,   // int64_t
    HONE_PPROF_FLOAT, // double
    HONE_PPROF_TEXT,  // const char *
};

// One word that an option with choices may have; it can be set by its own name, too.
struct hone_pprof_choice {
    const char *name;
    const char *help;
};

// A row of the table, which ends with a row without name.
struct hone_pprof_option {
    const char *name;
    enum hone_pprof_kind kind;
    size_t at;        // offset in the configuration
    const char *help; // lines, the first of which says all in short; NULL with choices
    const struct hone_pprof_choice *choices; // ends with a row without name; NULL: any value
};

extern const struct hone_pprof_option hone_pprof_options[];

extern const struct hone_pprof_config hone_pprof_defaults;

// The option of this name, or the one that has a choice of this name: then *ret_choice (may be
// NULL) is that choice. NULL when there is none.
const struct hone_pprof_option *hone_pprof_option_find(const char *name,
                                                       const struct hone_pprof_choice **ret_choice);

// Whether it can be set without a value: a bool, or one of several choices.
bool hone_pprof_option_is_bool(const char *name);

// Help of an option or of a choice; NULL when there is none of this name.
const char *hone_pprof_option_help(const char *name);

// The value as pprof prints it. In the arena unless it is a text; NULL when memory is out.
const char *hone_pprof_option_print(const struct hone_pprof_config *config,
                                    const struct hone_pprof_option *option,
                                    struct hone_arena *arena);

// Sets what a user calls by name: an option, or a choice that becomes true. value is borrowed.
// Returns 0; -EINVAL with pprof's words in err, the configuration being as it was.
int hone_pprof_config_set(struct hone_pprof_config *config, const char *name, const char *value,
                          struct hone_error *err);

// --- values as Go programs read and write them ---------------------------------------------------

// Returns 0; -EINVAL: it is none; -ERANGE: it is too large.
int hone_pprof_parse_bool(const char *text, bool *ret);
// In base 10, or with any_base also 0x, 0o, 0b, 0 and underscores between digits.
int hone_pprof_parse_int(const char *text, bool any_base, int64_t *ret);
int hone_pprof_parse_float(const char *text, double *ret);

// The shortest text that reads as the same number.
struct hone_pprof_float_text {
    char text[32];
};
struct hone_pprof_float_text hone_pprof_print_float(double number);

#endif
