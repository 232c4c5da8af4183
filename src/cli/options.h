// cli: the command line. One row of a table per option feeds the parser, --help, the manual page
// and the completion, so none of them can say something that another does not do.
//
//     struct record_options {
//         int64_t rate_hz;
//         const char *directory;
//         bool quiet;
//     };
//
//     static const struct hone_option options[] = {
//         {.name = "frequency", .letter = 'F', .kind = HONE_OPTION_COUNT, .value = "HZ",
//          .initial = "1000", .minimum = 1, .maximum = 100000,
//          .at = offsetof(struct record_options, rate_hz),
//          .help = "samples per second of CPU time"},
//         …
//         {0},
//     };
//
//     static int run(const void *parsed, const struct hone_operands *operands,
//                    struct hone_error *err)
//     {
//         const struct record_options *options = parsed;
//         …
//     }
//
//     const struct hone_command hone_command_record = {.name = "record", …, .run = run};
//
// Accepted: --name VALUE, --name=VALUE, -name VALUE, -name=VALUE, -n VALUE, -n=VALUE, and -n5 for a
// value that begins with a digit. "--" ends the options. A command that runs a program also ends
// them at the first operand: what follows belongs to that program.
#ifndef HONE_CLI_OPTIONS_H
#define HONE_CLI_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What an option takes, and the type of the field that receives it.
enum hone_option_kind {
    HONE_OPTION_FLAG,   // bool           nothing: being there means true
    HONE_OPTION_WORD,   // const char *   nothing: being there means the first word of choices
    HONE_OPTION_COUNT,  // int64_t        a whole number
    HONE_OPTION_TIME,   // int64_t        nanoseconds, written 100ms 30s 5m 1h 7d
    HONE_OPTION_SIZE,   // int64_t        bytes, written 4096 512KiB 10MB
    HONE_OPTION_TEXT,   // const char *   anything; NULL when not given and without an initial
    HONE_OPTION_CHOICE, // unsigned       one word of choices
    HONE_OPTION_SET, // unsigned       words of choices with commas between, or "all"; values or-ed
};

// A word that a CHOICE or SET accepts. A list ends with a row without word.
struct hone_choice {
    const char *word;
    unsigned value;
    bool synonym; // accepted, and not shown in help
};

// A row of a command's table. A table ends with a row without name.
struct hone_option {
    const char *name; // long name without dashes
    char letter;      // short name, 0 for none
    enum hone_option_kind kind;
    size_t at;           // offset of the field in the command's options
    const char *value;   // what help calls the value: "HZ"; NULL for a flag
    const char *initial; // default, parsed like a value; NULL leaves the field zero
    const char *help;    // one line, lower case: "samples per second of CPU time"
    int64_t minimum;     // COUNT, TIME, SIZE: the bounds; both zero means 0 to INT64_MAX
    int64_t maximum;
    const struct hone_choice *choices; // CHOICE and SET
    const char *complete;              // what completion offers: "file", "directory" or NULL
};

// What is left when the options are taken away. Ends with NULL, so it can go to execvp().
struct hone_operands {
    char **at;
    int count;
};

struct hone_example {
    const char *command; // "hone record ./server"
    const char *purpose; // "record until it ends"
};

struct hone_command_row {
    const char *word;
    const char *meaning;
};

// A run returns the exit status, 0 to 255; or a negative errno with err filled, which main prints
// (status 1); or HONE_MISUSED with err filled (status 2).
struct hone_command {
    const char *name;
    const char *summary;  // one line for the list of commands: "record a program while it runs"
    const char *operands; // after the options: "[--] PROGRAM [ARG…]"
    const char *manual;   // paragraphs with an empty line between, may be NULL
    // More of it where a table says it: rows of a word and what it means, may be NULL.
    const struct hone_command_row *(*rows)(void); // ends with a row without word
    const struct hone_example *examples;          // ends with a row without command; shown first
    const struct hone_option *options;
    size_t options_size;               // of the struct that options fill
    bool verbatim;                     // every word is an operand: it reads its own options …
    const char *const *(*flags)(void); // … which completion offers, "-top"; ends with NULL
    bool program;                      // operands are a program and its own arguments
    const char *complete; // what completion offers for operands: "profile", "program" or NULL
    int operands_minimum; // fewer: misuse
    int (*run)(const void *options, const struct hone_operands *operands, struct hone_error *err);
};

#define HONE_MISUSED (-100000)

// Fills err and returns HONE_MISUSED.
__attribute__((format(printf, 2, 3))) int hone_misused(struct hone_error *err, const char *format,
                                                       ...);

// Every command, in the order of help; ends with NULL.
extern const struct hone_command *const hone_commands[];
const struct hone_command *hone_command_find(const char *name);

// Rows that several commands have; the argument says where the value goes: .at = offsetof(…).
#define HONE_OPTION_ROW_OUTPUT(...)                                                                \
    {                                                                                              \
        .name = "output", .letter = 'o', .kind = HONE_OPTION_TEXT, .value = "FILE",                \
        .complete = "file", .help = "write there instead of to standard output", __VA_ARGS__       \
    }
#define HONE_OPTION_ROW_JSON(...)                                                                  \
    {                                                                                              \
        .name = "json", .kind = HONE_OPTION_FLAG, .help = "print JSON instead of text",            \
        __VA_ARGS__                                                                                \
    }
#define HONE_OPTION_ROW_DEBUGINFOD(...)                                                            \
    {                                                                                              \
        .name = "debuginfod", .kind = HONE_OPTION_FLAG,                                            \
        .help = "fetch missing debug information from the servers in $DEBUGINFOD_URLS",            \
        __VA_ARGS__                                                                                \
    }

// The types of profile in one list, with their synonyms: bits for a SET or a CHOICE.
enum hone_type {
    HONE_TYPE_CPU = 1 << 0,
    HONE_TYPE_WALL = 1 << 1,
    HONE_TYPE_HEAP = 1 << 2,
    HONE_TYPE_ALLOCS = 1 << 3,
    HONE_TYPE_THREADS = 1 << 4,
    HONE_TYPE_MUTEX = 1 << 5,
    HONE_TYPE_BLOCK = 1 << 6,
};
extern const struct hone_choice hone_type_choices[];

// Outcome of hone_options_parse(): the user asked for the command's help.
#define HONE_OPTIONS_HELP 1

// Fills parsed (options_size bytes: first the initial values, then what argv says) and operands.
// argv is the words after the command's name and is reordered in place: operands points into it,
// and so do TEXT fields.
//
// Returns  0, HONE_OPTIONS_HELP, or HONE_MISUSED with err filled.
int hone_options_parse(const struct hone_command *command, int argc, char **argv, void *parsed,
                       struct hone_operands *operands, struct hone_error *err);

// One value, as the parser reads it. Returns 0, or HONE_MISUSED with err filled.
int hone_option_time(const char *text, int64_t *ret_ns, struct hone_error *err);
int hone_option_size(const char *text, int64_t *ret_bytes, struct hone_error *err);

#endif
