#include "pprof/shell.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "pprof/driver.h"
#include "pprof/shell_parts.h"
#include "pprof/tell.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct shell {
    struct hone_profile *profile;
    struct hone_pprof_config config;
    struct hone_arena values; // what was assigned, as long as the shell runs
    bool over;
};

static const char *text_of(const struct shell *shell, uint32_t type)
{
    return hone_profile_text(shell->profile, shell->profile->types[type].type);
}

static void print(struct hone_buffer *out)
{
    if (!out->failed)
        (void)fwrite(out->at, 1, out->len, stderr);
    hone_buffer_done(out);
}

// --- the first words -----------------------------------------------------------------------------

static void greet(const struct shell *shell)
{
    struct hone_error err = {0};
    struct hone_buffer out = {0};
    (void)hone_pprof_warn_units(shell->profile, &err);
    uint32_t type;
    if (hone_pprof_put_head(shell->profile, &shell->config, &out, &err) == 0 &&
        hone_pprof_find_type(shell->profile, shell->config.sample_index, &type, &err) == 0) {
        if (hone_tally_total(shell->profile, type, shell->config.mean) == 0 &&
            shell->profile->type_count > 1)
            hone_buffer_text(&out, "No samples were found with the default sample value type.\n"
                                   "Try \"sample_index\" command to analyze different sample "
                                   "values.\n");
        print(&out);
    }
    hone_buffer_done(&out);
    hone_pprof_tell("Entering interactive mode (type \"help\" for commands, \"o\" for options)");
}

// --- assignments ---------------------------------------------------------------------------------

static bool is_blank(char c)
{
    return c && strchr(" \t\n\v\f\r", c);
}

// A copy of a part of the line without blanks around it.
static char *trimmed(struct hone_arena *arena, const char *at, size_t len)
{
    while (len && is_blank(*at)) {
        at++;
        len--;
    }
    while (len && is_blank(at[len - 1]))
        len--;
    return hone_arena_format(arena, "%.*s", (int)len, at);
}

// The value up to the last sign of a comment, which is how `options` prints what may stand there.
static size_t without_comment(const char *value)
{
    size_t len = strlen(value);
    for (size_t i = len; i-- > 0;)
        if (strncmp(value + i, "//:", 3) == 0)
            return i;
    return len;
}

static int set(struct shell *shell, const char *name, const char *value, struct hone_error *err)
{
    if (strcmp(name, "sample_index") == 0) {
        uint32_t type;
        int r = hone_pprof_find_type(shell->profile, value, &type, err);
        if (r)
            return r;
        value = text_of(shell, type);
    }
    return hone_pprof_config_set(&shell->config, name, value, err);
}

// Whether the line is one; then r says what became of it.
static bool is_assignment(struct shell *shell, const char *line, int *r, struct hone_error *err)
{
    size_t len = strcspn(line, "=");
    const char *equals = line[len] ? line + len : NULL;
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    const char *name = trimmed(&arena, line, len);
    if (!name) {
        *r = hone_error_set(err, -ENOMEM, "cannot read the line");
        return true;
    }
    if (!hone_pprof_option_find(name, NULL))
        return false;
    if (!equals && !hone_pprof_option_is_bool(name)) {
        *r = hone_error_set(err, -EINVAL, "please specify a value, e.g. %s=<val>", name);
        return true;
    }
    const char *value =
        equals ? trimmed(&shell->values, equals + 1, without_comment(equals + 1)) : "";
    *r = value ? set(shell, name, value, err) : hone_error_set(err, -ENOMEM, "cannot hold it");
    return true;
}

// --- commands ------------------------------------------------------------------------------------

static void options(const struct shell *shell)
{
    struct hone_buffer out = {0};
    hone_shell_put_options(&out, shell->profile, &shell->config);
    print(&out);
}

static void help(const struct shell *shell, const char *const *about, size_t count)
{
    struct hone_buffer out = {0};
    struct hone_buffer subject = {0};
    for (size_t i = 0; i < count; i++)
        hone_buffer_format(&subject, "%s%s", i ? " " : "", about[i]);
    hone_buffer_add(&subject, "", 1);
    if (!count)
        hone_shell_put_help(&out);
    else if (!subject.failed && !hone_shell_put_help_about(&out, shell->profile, subject.at))
        hone_buffer_format(&out, "Unknown command: %s\n", subject.at);
    hone_buffer_done(&subject);
    print(&out);
}

static bool is_any(const char *word, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(word, *names) == 0)
            return true;
    return false;
}

static int run_command(struct shell *shell, const char *line, struct hone_error *err)
{
    static const char *const lists[] = {"o", "options", NULL};
    static const char *const ends[] = {"exit", "quit", "q", NULL};
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    const char **words = hone_arena_zalloc(&arena, HONE_SHELL_WORDS_MAX, sizeof *words);
    bool failed = !words;
    size_t count = failed ? 0 : hone_shell_split(&arena, line, words, &failed);
    if (failed)
        return hone_error_set(err, -ENOMEM, "cannot read the line");
    if (!count)
        return 0;
    if (is_any(words[0], ends)) {
        shell->over = true;
        return 0;
    }
    if (is_any(words[0], lists)) {
        options(shell);
        return 0;
    }
    if (strcmp(words[0], "help") == 0) {
        help(shell, words + 1, count - 1);
        return 0;
    }
    struct hone_shell_request request;
    int r = hone_shell_parse(&arena, words, count, &shell->config, &request, err);
    return r ? r
             : hone_pprof_run(shell->profile, true, request.command, request.pattern,
                              &request.config, true, err);
}

static void run_line(struct shell *shell, const char *line)
{
    struct hone_error err = {0};
    int r = 0;
    if (!is_assignment(shell, line, &r, &err))
        r = run_command(shell, line, &err);
    if (r)
        hone_pprof_complain(err.message[0] ? err.message : strerror(-r));
}

// --- short words for several lines ---------------------------------------------------------------

static void choose_type(struct shell *shell, uint32_t type, const char *mean)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    const char *line = hone_arena_format(&arena, "sample_index=%s", text_of(shell, type));
    if (mean)
        run_line(shell, mean);
    if (line)
        run_line(shell, line);
}

// Names of sample types choose these; ":" takes all filters away.
static bool is_shortcut(struct shell *shell, const char *line)
{
    static const char *const cleared[] = {"focus=", "ignore=", "hide=", "tagfocus=", "tagignore="};
    bool average = strncmp(line, "mean_", 5) == 0;
    bool total = strncmp(line, "total_", 6) == 0;
    const char *name = average ? line + 5 : total ? line + 6 : line;
    // A type may itself be called "total_x": the whole name counts first.
    for (uint32_t i = 0; i < shell->profile->type_count; i++)
        if (strcmp(line, text_of(shell, i)) == 0) {
            choose_type(shell, i, NULL);
            return true;
        }
    for (uint32_t i = 0; i < shell->profile->type_count && (average || total); i++)
        if (strcmp(name, text_of(shell, i)) == 0) {
            choose_type(shell, i, average ? "mean=1" : "mean=0");
            return true;
        }
    if (strcmp(line, ":") != 0)
        return false;
    for (size_t i = 0; i < sizeof cleared / sizeof cleared[0]; i++)
        run_line(shell, cleared[i]);
    return true;
}

// --- all of it -----------------------------------------------------------------------------------

static int run(struct shell *shell, struct hone_shell_input *input, struct hone_error *err)
{
    for (const char *line; !shell->over && (line = hone_shell_input_next(input)) != NULL;) {
        HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
        const char *whole = trimmed(&arena, line, strlen(line));
        if (!whole)
            return hone_error_set(err, -ENOMEM, "cannot read the line");
        if (!is_shortcut(shell, whole))
            run_line(shell, whole);
        while (waitpid(-1, NULL, WNOHANG) > 0) { // viewers that were closed
        }
    }
    return 0;
}

int hone_pprof_shell(struct hone_profile *profile, const struct hone_pprof_config *config,
                     struct hone_error *err)
{
    struct shell shell = {.profile = profile, .config = *config};
    struct hone_shell_input *input = NULL;
    shell.config.compact_labels = true;
    greet(&shell);
    int r = hone_shell_input_open(profile, &input, err);
    if (!r)
        r = run(&shell, input, err);
    hone_shell_input_close(input);
    hone_arena_done(&shell.values);
    return r;
}
