// Lines from a terminal by libedit, from anything else as they come. There the prompt goes to
// standard output, as pprof has it; here to standard error, which leaves the output to reports.
//
// What was typed is remembered in ~/.hone_history, for expressions that took time to get right are
// wanted again the next day; it is readable for its owner only. $HONE_HISTORY names another file,
// and none when it is empty.
#include "pprof/shell_parts.h"

#include "base/base.h"
#include "base/utf8.h"
#include "core/core.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <wchar.h>

#define PROMPT "(pprof) "

enum { HISTORY_LINES = 1000, LISTED_MAX = 60 };

struct hone_shell_input {
    const struct hone_profile *profile;
    char *line;
    size_t room;

    // On a terminal.
    EditLine *edit;
    History *history;
    char *history_path; // NULL: nothing is kept
    sigset_t mask;      // of signals, but for the interrupt, which mostly waits
};

// --- completion ----------------------------------------------------------------------------------

static size_t common_len(const struct hone_shell_matches *matches)
{
    size_t len = strlen(matches->at[0]);
    for (size_t i = 1; i < matches->count; i++) {
        size_t same = 0;
        while (same < len && matches->at[i][same] == matches->at[0][same])
            same++;
        len = same;
    }
    return len;
}

static void list(const struct hone_shell_matches *matches)
{
    (void)fputc('\n', stderr);
    for (size_t i = 0; i < matches->count && i < LISTED_MAX; i++) {
        HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
        bool failed = false;
        struct hone_str name = hone_utf8_clean(&arena, hone_str_of(matches->at[i]), 200, &failed);
        (void)fprintf(stderr, "%.*s\n", (int)name.len, name.at);
    }
    if (matches->count > LISTED_MAX)
        (void)fprintf(stderr, "and %zu more\n", matches->count - LISTED_MAX);
}

// Puts text in the place of the word before the cursor, which is so long.
static bool replace(EditLine *edit, size_t word_len, const char *text, size_t len, char after)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    const char *with = hone_arena_format(&arena, after ? "%.*s%c" : "%.*s", (int)len, text, after);
    if (!with)
        return false;
    el_deletestr(edit, (int)word_len);
    return !*with || el_insertstr(edit, with) == 0;
}

static unsigned char on_tab(EditLine *edit, int key)
{
    (void)key;
    struct hone_shell_input *input = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &input);
    const LineInfo *line = el_line(edit);
    size_t len = (size_t)(line->cursor - line->buffer);
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    struct hone_shell_matches matches =
        hone_shell_complete(&arena, input->profile, line->buffer, len);
    if (!matches.count)
        return CC_REFRESH_BEEP;
    size_t word_len = len - matches.from;
    if (matches.count == 1)
        return replace(edit, word_len, matches.at[0], strlen(matches.at[0]), matches.after)
                   ? CC_REFRESH
                   : CC_ERROR;
    size_t common = matches.inside ? 0 : common_len(&matches);
    if (common > word_len)
        return replace(edit, word_len, matches.at[0], common, 0) ? CC_REFRESH : CC_ERROR;
    list(&matches);
    return CC_REDISPLAY;
}

// --- history -------------------------------------------------------------------------------------

static char *history_path(void)
{
    const char *chosen = getenv("HONE_HISTORY");
    const char *home = getenv("HOME");
    char *path = NULL;
    if (chosen)
        return *chosen ? strdup(chosen) : NULL;
    if (!home || !*home || asprintf(&path, "%s/.hone_history", home) < 0)
        return NULL;
    return path;
}

static void remember(struct hone_shell_input *input, const char *line)
{
    HistEvent event;
    if (!line[strspn(line, " \t\r\n")])
        return;
    (void)history(input->history, &event, H_ENTER, line);
    if (!input->history_path)
        return;
    // After each line, so that it survives whatever ends the shell. The library takes the file away
    // from others before it writes.
    (void)history(input->history, &event, H_SAVE, input->history_path);
}

// --- a terminal ----------------------------------------------------------------------------------

static char *prompt(EditLine *edit)
{
    (void)edit;
    static char text[] = PROMPT;
    return text;
}

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return term && *term && strcasecmp(term, "dumb") != 0 && isatty(STDIN_FILENO);
}

static volatile sig_atomic_t interrupted, reading, resized, resumed;
static sigjmp_buf interruption;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
    if (reading)
        siglongjmp(interruption, 1);
}

static void on_change(int number)
{
    *(number == SIGWINCH ? &resized : &resumed) = 1;
}

// As read(), but ^C is let in here and nowhere else, and ends it whenever it comes: one that came
// just before would be noticed at the next key.
static ssize_t read_byte(const struct hone_shell_input *input, char *ret)
{
    sigset_t before;
    ssize_t got = -1;
    if (sigsetjmp(interruption, 1) == 0) {
        reading = 1;
        (void)sigprocmask(SIG_SETMASK, &input->mask, &before);
        got = read(STDIN_FILENO, ret, 1);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
    }
    reading = 0;
    return interrupted ? -1 : got;
}

// The window has another size, or the shell is in the foreground again. The library sees to the
// first of each in a line, and then leaves them to the handlers that were there before its own.
static void see_changes(EditLine *edit)
{
    if (resumed)
        (void)el_set(edit, EL_PREP_TERM, 1);
    if (resized)
        el_resize(edit);
    if (resumed)
        (void)el_set(edit, EL_REFRESH);
    resized = resumed = 0;
}

static int read_character(EditLine *edit, wchar_t *ret)
{
    struct hone_shell_input *input = NULL;
    (void)el_get(edit, EL_CLIENTDATA, &input);
    mbstate_t state = {0};
    for (;;) {
        char byte;
        ssize_t got = read_byte(input, &byte);
        if (got < 0 && errno == EINTR && !interrupted) {
            see_changes(edit);
            continue;
        }
        if (got <= 0)
            return (int)got;
        size_t len = mbrtowc(ret, &byte, 1, &state);
        if (len <= 1)
            return 1;
        if (len == (size_t)-1)
            state = (mbstate_t){0}; // no character: what comes next may be one
    }
}

static int open_terminal(struct hone_shell_input *input, struct hone_error *err)
{
    HistEvent event;
    // Letters of all alphabets are one column wide or two, not several bytes.
    if (!setlocale(LC_CTYPE, ""))
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    input->history = history_init();
    input->edit = el_init("hone", stdin, stderr, stderr);
    if (!input->history || !input->edit)
        return hone_error_set(err, -ENOMEM, "cannot read commands");
    (void)history(input->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(input->history, &event, H_SETUNIQUE, 1);
    input->history_path = history_path();
    if (input->history_path)
        (void)history(input->history, &event, H_LOAD, input->history_path);
    (void)el_set(input->edit, EL_PROMPT, prompt);
    (void)el_set(input->edit, EL_EDITOR, "emacs");
    (void)el_set(input->edit, EL_SIGNAL, 1);
    (void)el_set(input->edit, EL_HIST, history, input->history);
    (void)el_set(input->edit, EL_CLIENTDATA, input);
    (void)el_set(input->edit, EL_GETCFN, read_character);
    (void)el_set(input->edit, EL_ADDFN, "hone-complete", "completes the word", on_tab);
    (void)el_set(input->edit, EL_BIND, "^I", "hone-complete", NULL);
    (void)el_set(input->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(input->edit, NULL); // the user's own ~/.editrc has the last word
    return 0;
}

// ^C takes the line away; while a report is made it ends the shell.
static const char *next_of_terminal(struct hone_shell_input *input)
{
    for (;;) {
        static const struct {
            int number;
            void (*handler)(int);
        } caught[] = {{SIGINT, on_interrupt}, {SIGWINCH, on_change}, {SIGCONT, on_change}};
        struct sigaction before[HONE_ARRAY_LENGTH(caught)];
        sigset_t interrupt;
        int len = 0;
        (void)sigemptyset(&interrupt);
        (void)sigaddset(&interrupt, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &interrupt, &input->mask);
        interrupted = resized = resumed = 0;
        for (size_t i = 0; i < HONE_ARRAY_LENGTH(caught); i++) {
            const struct sigaction action = {.sa_handler = caught[i].handler};
            (void)sigaction(caught[i].number, &action, &before[i]);
        }
        const char *line = el_gets(input->edit, &len);
        (void)sigprocmask(SIG_SETMASK, &input->mask, NULL);
        for (size_t i = 0; i < HONE_ARRAY_LENGTH(caught); i++)
            (void)sigaction(caught[i].number, &before[i], NULL);
        if (line && len > 0) {
            remember(input, line);
            return line;
        }
        if (!interrupted) {
            (void)fputc('\n', stderr);
            return NULL;
        }
        (void)fputs("^C\n", stderr);
        el_reset(input->edit);
    }
}

// --- either --------------------------------------------------------------------------------------

int hone_shell_input_open(const struct hone_profile *profile, struct hone_shell_input **ret,
                          struct hone_error *err)
{
    struct hone_shell_input *input = calloc(1, sizeof *input);
    if (!input)
        return hone_error_set(err, -ENOMEM, "cannot read commands");
    input->profile = profile;
    int r = is_terminal() ? open_terminal(input, err) : 0;
    if (r)
        hone_shell_input_close(input);
    else
        *ret = input;
    return r;
}

void hone_shell_input_close(struct hone_shell_input *input)
{
    if (!input)
        return;
    if (input->edit)
        el_end(input->edit);
    if (input->history)
        history_end(input->history);
    free(input->history_path);
    free(input->line);
    free(input);
}

const char *hone_shell_input_next(struct hone_shell_input *input)
{
    if (input->edit)
        return next_of_terminal(input);
    (void)fputs(PROMPT, stdout);
    (void)fflush(stdout);
    return getline(&input->line, &input->room, stdin) >= 0 ? input->line : NULL;
}
