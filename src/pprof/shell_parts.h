// What the parts of the shell share: shell.c runs it, shell_line.c takes lines apart,
// shell_words.c answers help and options, shell_complete.c knows what may follow, shell_input.c
// reads lines. Private to these files.
#ifndef HONE_PPROF_SHELL_PARTS_H
#define HONE_PPROF_SHELL_PARTS_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "pprof/commands.h"
#include "pprof/config.h"

#include <stdbool.h>
#include <stddef.h>

struct hone_profile;

// --- lines ---------------------------------------------------------------------------------------

enum { HONE_SHELL_WORDS_MAX = 4096 };

// Words between blanks, as copies. Returns how many; more than there is room for are left out.
size_t hone_shell_split(struct hone_arena *arena, const char *line,
                        const char *words[HONE_SHELL_WORDS_MAX], bool *failed);

// What a command line asks for. Texts live in the arena.
struct hone_shell_request {
    const struct hone_pprof_command *command;
    const char *pattern; // of commands that take one
    struct hone_pprof_config config;
};

// Understands a command with its arguments, on top of what is configured. Returns 0; -EINVAL with
// pprof's words in err; -ENOMEM.
int hone_shell_parse(struct hone_arena *arena, const char *const *words, size_t count,
                     const struct hone_pprof_config *config, struct hone_shell_request *ret,
                     struct hone_error *err);

// --- words ---------------------------------------------------------------------------------------

// What `options`, `help` and `help ABOUT` print; a line end is at their end.
void hone_shell_put_options(struct hone_buffer *out, const struct hone_profile *profile,
                            const struct hone_pprof_config *config);
void hone_shell_put_help(struct hone_buffer *out);
// False: nothing is known about it.
bool hone_shell_put_help_about(struct hone_buffer *out, const struct hone_profile *profile,
                               const char *about);

// --- completion ----------------------------------------------------------------------------------

struct hone_shell_matches {
    const char **at; // in order, each once
    size_t count;
    size_t from; // the place in the line of the word that they stand for
    char after;  // what follows one that is alone: ' ', '=' or nothing
    bool inside; // they hold the word, rather than begin with it
};

// What may stand at the end of a line so long. All lives in the arena; memory that is out gives no
// matches.
struct hone_shell_matches hone_shell_complete(struct hone_arena *arena,
                                              const struct hone_profile *profile, const char *line,
                                              size_t len);

// --- input ---------------------------------------------------------------------------------------

struct hone_shell_input;

// profile is for completion.
int hone_shell_input_open(const struct hone_profile *profile, struct hone_shell_input **ret,
                          struct hone_error *err);
void hone_shell_input_close(struct hone_shell_input *input);

// The next line, which lives until the next call; NULL at the end.
const char *hone_shell_input_next(struct hone_shell_input *input);

#endif
