#include "pprof/shell_parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char blanks[] = " \t\n\v\f\r";

size_t hone_shell_split(struct hone_arena *arena, const char *line,
                        const char *words[HONE_SHELL_WORDS_MAX], bool *failed)
{
    size_t count = 0;
    *failed = false;
    for (line += strspn(line, blanks); *line && count < HONE_SHELL_WORDS_MAX;
         line += strspn(line, blanks)) {
        size_t len = strcspn(line, blanks);
        char *word = hone_arena_format(arena, "%.*s", (int)len, line);
        if (!word) {
            *failed = true;
            return 0;
        }
        words[count++] = word;
        line += len;
    }
    return count;
}

// --- which command -------------------------------------------------------------------------------

// A text in quotes as Go writes it.
static const char *quote(struct hone_arena *arena, const char *text)
{
    struct hone_buffer out = {0};
    hone_buffer_text(&out, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            hone_buffer_format(&out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            hone_buffer_format(&out, "\\x%02x", c);
        else
            hone_buffer_add(&out, text, 1);
    }
    hone_buffer_add(&out, "\"", 2);
    const char *copy = out.failed ? NULL : hone_arena_copy(arena, out.at, out.len);
    hone_buffer_done(&out);
    return copy ? copy : "";
}

// Where the digits at the end of a word begin; its end when it has none or nothing else.
static size_t digits_from(const char *word)
{
    size_t len = strlen(word);
    size_t at = len;
    while (at > 0 && isdigit((unsigned char)word[at - 1]))
        at--;
    return at == 0 ? len : at;
}

static int no_such_command(struct hone_arena *arena, const char *name, const char *value,
                           struct hone_error *err)
{
    const struct hone_pprof_choice *choice = NULL;
    const struct hone_pprof_option *option = hone_pprof_option_find(name, &choice);
    if (option && (choice || option->help))
        return hone_error_set(err, -EINVAL, "did you mean: %s=%s", name, value ? value : "<val>");
    return hone_error_set(err, -EINVAL, "unrecognized command: %s", quote(arena, name));
}

// --- its arguments -------------------------------------------------------------------------------

struct arguments {
    struct hone_arena *arena;
    struct hone_pprof_config *config;
    const char *focus;
    const char *ignore;
    bool failed;
};

// One more expression: any of them may match.
static void add(struct arguments *arguments, const char **to, const char *expression)
{
    if (**to && *expression)
        expression = hone_arena_format(arguments->arena, "%s|%s", *to, expression);
    if (!expression)
        arguments->failed = true;
    else if (*expression)
        *to = expression;
}

static int take(struct arguments *arguments, const char *const *words, size_t count,
                struct hone_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *word = words[i];
        int64_t number;
        if (hone_pprof_parse_int(word, false, &number) == 0 && number >= INT32_MIN &&
            number <= INT32_MAX) {
            arguments->config->nodecount = number;
        } else if (*word == '>') {
            if (!word[1] && ++i == count)
                return hone_error_set(err, -EINVAL, "unexpected end of line after >");
            arguments->config->output = word[1] ? word + 1 : words[i];
        } else if (strcmp(word, "--cum") == 0 || strcmp(word, "-cum") == 0) {
            arguments->config->sort = "cum";
        } else if (*word == '-') {
            add(arguments, &arguments->ignore, word + 1);
        } else {
            add(arguments, &arguments->focus, word);
        }
    }
    return arguments->failed ? hone_error_set(err, -ENOMEM, "cannot read the command") : 0;
}

static void focus(const struct arguments *arguments, const char *name)
{
    struct hone_pprof_config *config = arguments->config;
    bool tags = strcmp(name, "tags") == 0;
    if (*arguments->focus)
        *(tags ? &config->tagfocus : &config->focus) = arguments->focus;
    if (*arguments->ignore)
        *(tags ? &config->tagignore : &config->ignore) = arguments->ignore;
    if (config->nodecount == -1 && (strcmp(name, "text") == 0 || strcmp(name, "top") == 0))
        config->nodecount = 10;
}

int hone_shell_parse(struct hone_arena *arena, const char *const *words, size_t count,
                     const struct hone_pprof_config *config, struct hone_shell_request *ret,
                     struct hone_error *err)
{
    const char *name = words[0];
    *ret = (struct hone_shell_request){.config = *config};
    ret->command = hone_pprof_command_find(name);
    const char *digits = NULL;
    if (!ret->command && name[digits_from(name)]) { // top10
        digits = name + digits_from(name);
        name = hone_arena_format(arena, "%.*s", (int)(digits - name), name);
        if (!name)
            return hone_error_set(err, -ENOMEM, "cannot read the command");
        ret->command = hone_pprof_command_find(name);
    }
    if (!ret->command)
        return no_such_command(arena, name, digits ? digits : count > 1 ? words[1] : NULL, err);

    struct arguments arguments = {
        .arena = arena, .config = &ret->config, .focus = "", .ignore = ""};
    const char *const *rest = words + 1;
    size_t left = count - 1;
    if (ret->command->has_pattern && digits) {
        ret->pattern = digits;
    } else if (ret->command->has_pattern) {
        if (!left)
            return hone_error_set(err, -EINVAL, "command %s requires an argument", name);
        ret->pattern = *rest++;
        left--;
    }
    int r = digits && !ret->pattern ? take(&arguments, &digits, 1, err) : 0;
    if (!r)
        r = take(&arguments, rest, left, err);
    if (r)
        return r;
    focus(&arguments, name);
    return 0;
}
