#include "cli/options.h"

#include "cli/suggest.h"
#include "cli/values.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int hone_misused(struct hone_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)hone_error_vset(err, 0, format, arguments);
    va_end(arguments);
    if (err)
        err->code = HONE_MISUSED;
    return HONE_MISUSED;
}

int hone_option_time(const char *text, int64_t *ret_ns, struct hone_error *err)
{
    if (hone_value_time(text, ret_ns))
        return 0;
    return hone_misused(err, "'%s' is not a time; times are written 100ms, 30s, 5m, 1h or 7d",
                        text);
}

int hone_option_size(const char *text, int64_t *ret_bytes, struct hone_error *err)
{
    if (hone_value_size(text, ret_bytes))
        return 0;
    return hone_misused(err, "'%s' is not a size; sizes are written 4096, 512KiB or 10MB", text);
}

static int check_bounds(const struct hone_option *option, const char *text, int64_t value,
                        struct hone_error *err)
{
    if ((option->minimum == 0 && option->maximum == 0) ||
        (value >= option->minimum && value <= option->maximum))
        return 0;
    char low[32];
    char high[32];
    if (option->kind == HONE_OPTION_TIME) {
        hone_value_print_time(option->minimum, low, sizeof low);
        hone_value_print_time(option->maximum, high, sizeof high);
    } else if (option->kind == HONE_OPTION_SIZE) {
        hone_value_print_size(option->minimum, low, sizeof low);
        hone_value_print_size(option->maximum, high, sizeof high);
    } else {
        (void)snprintf(low, sizeof low, "%lld", (long long)option->minimum);
        (void)snprintf(high, sizeof high, "%lld", (long long)option->maximum);
    }
    return hone_misused(err, "--%s cannot be '%s'; it goes from %s to %s", option->name, text, low,
                        high);
}

// The words of choices for a message: "cpu, heap".
static void list_words(const struct hone_choice *choices, char *buffer, size_t len)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (const struct hone_choice *choice = choices; choice->word; choice++) {
        if (choice->synonym || used >= len)
            continue;
        int wrote = snprintf(buffer + used, len - used, "%s%s", used ? ", " : "", choice->word);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

static int find_choice(const struct hone_option *option, const char *word, size_t len,
                       unsigned *ret, struct hone_error *err)
{
    for (const struct hone_choice *choice = option->choices; choice->word; choice++) {
        if (strlen(choice->word) == len && memcmp(choice->word, word, len) == 0) {
            *ret = choice->value;
            return 0;
        }
    }
    char words[256];
    list_words(option->choices, words, sizeof words);
    return hone_misused(err, "--%s does not know '%.*s'; it knows %s%s", option->name, (int)len,
                        word, words, option->kind == HONE_OPTION_SET ? ", all" : "");
}

static int parse_set(const struct hone_option *option, const char *text, unsigned *ret,
                     struct hone_error *err)
{
    unsigned sum = 0;
    if (strcmp(text, "all") == 0) {
        for (const struct hone_choice *choice = option->choices; choice->word; choice++)
            sum |= choice->value;
        *ret = sum;
        return 0;
    }
    for (;;) {
        size_t len = strcspn(text, ",");
        unsigned value;
        int r = find_choice(option, text, len, &value, err);
        if (r)
            return r;
        sum |= value;
        if (!text[len])
            break;
        text += len + 1;
    }
    *ret = sum;
    return 0;
}

static int store_number(const struct hone_option *option, const char *text, int64_t *field,
                        struct hone_error *err)
{
    int64_t value;
    int r = 0;
    if (option->kind == HONE_OPTION_TIME)
        r = hone_option_time(text, &value, err);
    else if (option->kind == HONE_OPTION_SIZE)
        r = hone_option_size(text, &value, err);
    else if (!hone_value_count(text, &value))
        r = hone_misused(err, "--%s takes a whole number, not '%s'", option->name, text);
    if (r)
        return r;
    r = check_bounds(option, text, value, err);
    if (r)
        return r;
    *field = value;
    return 0;
}

static int store_flag(const struct hone_option *option, const char *text, bool *field,
                      struct hone_error *err)
{
    bool on = !text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    bool off = text && (strcmp(text, "false") == 0 || strcmp(text, "0") == 0);
    if (!on && !off)
        return hone_misused(err, "--%s takes no value, or true or false, not '%s'", option->name,
                            text);
    *field = on;
    return 0;
}

// Kinds that are said by their name alone.
static bool takes_nothing(const struct hone_option *option)
{
    return option->kind == HONE_OPTION_FLAG || option->kind == HONE_OPTION_WORD;
}

static int store_word(const struct hone_option *option, const char *text, const char **field,
                      struct hone_error *err)
{
    if (text)
        return hone_misused(err, "--%s takes no value, not '%s'", option->name, text);
    *field = option->choices[0].word;
    return 0;
}

// text is NULL only for what takes nothing.
static int store(const struct hone_option *option, const char *text, void *parsed,
                 struct hone_error *err)
{
    void *field = (char *)parsed + option->at;
    unsigned value;
    int r;
    switch (option->kind) {
    case HONE_OPTION_FLAG:
        return store_flag(option, text, field, err);
    case HONE_OPTION_WORD:
        return store_word(option, text, field, err);
    case HONE_OPTION_COUNT:
    case HONE_OPTION_TIME:
    case HONE_OPTION_SIZE:
        return store_number(option, text, field, err);
    case HONE_OPTION_TEXT:
        *(const char **)field = text;
        return 0;
    case HONE_OPTION_CHOICE:
    case HONE_OPTION_SET:
        r = option->kind == HONE_OPTION_SET ? parse_set(option, text, &value, err)
                                            : find_choice(option, text, strlen(text), &value, err);
        if (!r)
            *(unsigned *)field = value;
        return r;
    }
    return 0;
}

static int store_initials(const struct hone_command *command, void *parsed, struct hone_error *err)
{
    memset(parsed, 0, command->options_size);
    for (const struct hone_option *option = command->options; option->name; option++) {
        int r = option->initial ? store(option, option->initial, parsed, err) : 0;
        if (r)
            return r;
    }
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Dashes and underscores within count for nothing: -tagfocus and --show_from, as `go tool pprof`
// writes them, are --tag-focus and --show-from.
static bool is_named(const struct hone_option *option, const char *word, size_t len)
{
    const char *name = option->name;
    const char *end = word + len;
    for (;; name++, word++) {
        while (*name == '-')
            name++;
        while (word < end && (*word == '-' || *word == '_'))
            word++;
        if (word == end || *name != *word)
            return word == end && !*name;
    }
}

// The row for a word without its dashes, as in "frequency=99". *ret_value is the text after "=" or
// joined to a letter, NULL when there is none.
static const struct hone_option *find_option(const struct hone_command *command, const char *word,
                                             const char **ret_value)
{
    size_t len = strcspn(word, "=");
    *ret_value = word[len] == '=' ? word + len + 1 : NULL;
    for (const struct hone_option *option = command->options; option->name; option++) {
        bool named = is_named(option, word, len);
        bool lettered = option->letter && len == 1 && word[0] == option->letter;
        if (named || lettered)
            return option;
    }
    if (len < 2 || !is_digit(word[1]))
        return NULL;
    for (const struct hone_option *option = command->options; option->name; option++) {
        if (option->letter == word[0] && !takes_nothing(option)) {
            *ret_value = word + 1;
            return option;
        }
    }
    return NULL;
}

static int unknown_option(const struct hone_command *command, const char *typed, const char *word,
                          struct hone_error *err)
{
    size_t typed_len = strcspn(typed, "=");
    struct hone_suggest suggest = {.typed = word, .typed_len = strcspn(word, "=")};
    hone_suggest(&suggest, "help");
    for (const struct hone_option *option = command->options; option->name; option++)
        hone_suggest(&suggest, option->name);
    if (suggest.best)
        return hone_misused(err, "unknown option '%.*s' of 'hone %s'; did you mean '--%s'?",
                            (int)typed_len, typed, command->name, suggest.best);
    return hone_misused(err, "unknown option '%.*s' of 'hone %s'; see 'hone %s --help'",
                        (int)typed_len, typed, command->name, command->name);
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "h") == 0 || strcmp(word, "help") == 0;
}

// Reads the option at argv[*at] and moves *at to its last word.
static int parse_option(const struct hone_command *command, int argc, char **argv, int *at,
                        void *parsed, struct hone_error *err)
{
    const char *typed = argv[*at];
    const char *word = typed + (typed[1] == '-' ? 2 : 1);
    const char *value;
    const struct hone_option *option = find_option(command, word, &value);
    if (!option)
        return asks_for_help(word) ? HONE_OPTIONS_HELP : unknown_option(command, typed, word, err);
    if (!value && !takes_nothing(option)) {
        if (*at + 1 >= argc)
            return hone_misused(err, "'%s' needs a value: %s", typed, option->value);
        value = argv[++*at];
    }
    return store(option, value, parsed, err);
}

int hone_options_parse(const struct hone_command *command, int argc, char **argv, void *parsed,
                       struct hone_operands *operands, struct hone_error *err)
{
    int r = store_initials(command, parsed, err);
    assert(r == 0); // an initial value that does not parse is our own mistake
    int kept = 0;
    int at = 0;
    for (; at < argc; at++) {
        bool is_option = argv[at][0] == '-' && argv[at][1] != '\0';
        if (is_option && strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (is_option) {
            r = parse_option(command, argc, argv, &at, parsed, err);
            if (r)
                return r;
            continue;
        }
        if (command->program)
            break;
        argv[kept++] = argv[at];
    }
    while (at < argc)
        argv[kept++] = argv[at++];
    argv[kept] = NULL; // argv[argc] is NULL already, so there is room
    *operands = (struct hone_operands){.at = argv, .count = kept};
    if (kept < command->operands_minimum)
        return hone_misused(err, "'hone %s' needs %s; see 'hone %s --help'", command->name,
                            command->operands, command->name);
    return 0;
}
