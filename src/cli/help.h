// cli help: everything about the commands that is printed rather than parsed, all of it from the
// option tables.
#ifndef HONE_CLI_HELP_H
#define HONE_CLI_HELP_H

#include "cli/options.h"

#include <stdio.h>

// What 'hone' alone says: examples and the list of commands.
void hone_help_overview(FILE *out);

// What 'hone CMD --help' says: examples, options with unit and default, a few words.
void hone_help_command(FILE *out, const struct hone_command *command);

// The manual page (groff, macros of man(7)) and the bash completion.
void hone_help_manual(FILE *out);
void hone_help_completion(FILE *out);

// The table of formats in Markdown, for docs/formats.md.
void hone_help_formats(FILE *out);

#endif
