// The commands of `hone pprof`, which are flags on its command line and words in its shell: one
// table with what each reports, what becomes of the report, and its words of help.
//
// Threads: safe.
#ifndef HONE_PPROF_COMMANDS_H
#define HONE_PPROF_COMMANDS_H

#include "base/buffer.h"

#include <stdbool.h>

// What is reported.
enum hone_pprof_report {
    HONE_PPROF_CALLGRIND,
    HONE_PPROF_COMMENTS,
    HONE_PPROF_DISASM,
    HONE_PPROF_DOT,
    HONE_PPROF_LIST,
    HONE_PPROF_PROTO,
    HONE_PPROF_RAW,
    HONE_PPROF_TAGS,
    HONE_PPROF_TOP,
    HONE_PPROF_TOPPROTO,
    HONE_PPROF_TRACES,
    HONE_PPROF_TREE,
    HONE_PPROF_WEBLIST,
};

// A row of the table, which is in the order of names and ends with a row without name.
struct hone_pprof_command {
    const char *name;
    enum hone_pprof_report report;
    bool has_pattern;    // takes a regular expression
    const char *picture; // what Graphviz makes of the report: "svg", "pdf", …; NULL: nothing
    const char *file;    // ending of the file that keeps it off a terminal; NULL: none
    const char *view;    // ending of the file that a program of viewers shows; NULL: none
    const char *const *viewers; // commands, the first that there is shows it; ends with NULL
    bool browser;               // browsers are the viewers
    const char *help;           // one line
    const char *usage;          // lines; "" when there is no more to say
};

extern const struct hone_pprof_command hone_pprof_commands[];

// NULL when there is none of this name.
const struct hone_pprof_command *hone_pprof_command_find(const char *name);

// All commands and options, as flags or as words of the shell.
void hone_pprof_put_usage(struct hone_buffer *out, bool command_line);

// What `hone pprof -h` says.
void hone_pprof_put_help(struct hone_buffer *out);

// One command, as the shell's `help COMMAND` has it.
void hone_pprof_put_command_help(struct hone_buffer *out, const struct hone_pprof_command *command);

#endif
