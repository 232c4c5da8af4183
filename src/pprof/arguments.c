#include "pprof/arguments.h"

#include "base/cleanup.h"
#include "elf/elf.h"
#include "pprof/commands.h"
#include "pprof/flags.h"
#include "pprof/tell.h"

#include <errno.h>
#include <string.h>

// Flags that choose a sample type, in the order in which they are looked at.
static const struct shortcut {
    const char *name;
    const char *type;
} shortcuts[] = {
    {"total_delay", "delay"},           {"mean_delay", "delay"},
    {"contentions", "contentions"},     {"inuse_space", "inuse_space"},
    {"inuse_objects", "inuse_objects"}, {"alloc_space", "alloc_space"},
    {"alloc_objects", "alloc_objects"},
};

enum {
    SHORTCUTS = sizeof shortcuts / sizeof shortcuts[0],
    MEAN_DELAY = 1,
    COMMANDS_MAX = 64,
    CHOICES_MAX = 16,
};

// What was given, before it is put together.
struct parsed {
    struct hone_pprof_arguments *to;
    const char *base;
    const char *diff_base;
    bool shortcuts[SHORTCUTS];
    bool commands[COMMANDS_MAX];
    const char *patterns[COMMANDS_MAX]; // of those that take one
    bool choices[CHOICES_MAX];          // of all groups, one after the other
};

// --- flags ---------------------------------------------------------------------------------------

#define OWN(flag, flag_kind, field)                                                                \
    {                                                                                              \
        .name = (flag), .kind = HONE_PPROF_##flag_kind, .at = offsetof(struct parsed, field)       \
    }
#define OF_ALL(flag, flag_kind, field)                                                             \
    {                                                                                              \
        .name = (flag), .kind = HONE_PPROF_##flag_kind,                                            \
        .at = offsetof(struct hone_pprof_arguments, field), .of_all = true                         \
    }

// Flags that are no options of reports.
static const struct own {
    const char *name;
    enum hone_pprof_kind kind;
    size_t at;
    bool of_all; // in the arguments, else in what is parsed
} own_flags[] = {
    OWN("diff_base", TEXT, diff_base),
    OWN("base", TEXT, base),
    OF_ALL("symbolize", TEXT, input.symbolize),
    OF_ALL("buildid", TEXT, input.build_id),
    OF_ALL("timeout", INT, input.timeout),
    OF_ALL("add_comment", TEXT, input.comment),
    OF_ALL("seconds", INT, input.seconds),
    OF_ALL("tools", TEXT, input.tools),
    OF_ALL("http", TEXT, http),
    OF_ALL("no_browser", BOOL, no_browser),
    OF_ALL("tls_cert", TEXT, input.tls_cert),
    OF_ALL("tls_key", TEXT, input.tls_key),
    OF_ALL("tls_ca", TEXT, input.tls_ca),
};

static bool find_own(struct parsed *parsed, const char *name, struct hone_pprof_flag *ret)
{
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++)
        if (strcmp(own_flags[i].name, name) == 0) {
            void *base = own_flags[i].of_all ? (void *)parsed->to : (void *)parsed;
            *ret = (struct hone_pprof_flag){own_flags[i].kind, (char *)base + own_flags[i].at};
            return true;
        }
    for (size_t i = 0; i < SHORTCUTS; i++)
        if (strcmp(shortcuts[i].name, name) == 0) {
            *ret = (struct hone_pprof_flag){HONE_PPROF_BOOL, &parsed->shortcuts[i]};
            return true;
        }
    return false;
}

static bool find_option(struct parsed *parsed, const char *name, struct hone_pprof_flag *ret)
{
    size_t choice = 0;
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        if (!at->choices && strcmp(at->name, name) == 0) {
            *ret = (struct hone_pprof_flag){at->kind, (char *)&parsed->to->config + at->at};
            return true;
        }
        for (const struct hone_pprof_choice *c = at->choices; c && c->name; c++, choice++)
            if (choice < CHOICES_MAX && strcmp(c->name, name) == 0) {
                *ret = (struct hone_pprof_flag){HONE_PPROF_BOOL, &parsed->choices[choice]};
                return true;
            }
    }
    return false;
}

static bool find(void *context, const char *name, struct hone_pprof_flag *ret)
{
    struct parsed *parsed = context;
    if (find_own(parsed, name, ret) || find_option(parsed, name, ret))
        return true;
    const struct hone_pprof_command *command = hone_pprof_command_find(name);
    size_t place = command ? (size_t)(command - hone_pprof_commands) : COMMANDS_MAX;
    if (place >= COMMANDS_MAX)
        return false;
    *ret = command->has_pattern
               ? (struct hone_pprof_flag){HONE_PPROF_TEXT, &parsed->patterns[place]}
               : (struct hone_pprof_flag){HONE_PPROF_BOOL, &parsed->commands[place]};
    return true;
}

struct names {
    const char **at;
    size_t room;
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    if (names->count < names->room)
        names->at[names->count] = name;
    names->count++;
}

size_t hone_pprof_flag_names(const char **at, size_t room)
{
    struct names names = {at, room, 0};
    for (const struct hone_pprof_command *command = hone_pprof_commands; command->name; command++)
        add_name(&names, command->name);
    for (const struct hone_pprof_option *option = hone_pprof_options; option->name; option++) {
        if (!option->choices)
            add_name(&names, option->name);
        for (const struct hone_pprof_choice *c = option->choices; c && c->name; c++)
            add_name(&names, c->name);
    }
    for (size_t i = 0; i < sizeof own_flags / sizeof own_flags[0]; i++)
        add_name(&names, own_flags[i].name);
    for (size_t i = 0; i < SHORTCUTS; i++)
        add_name(&names, shortcuts[i].name);
    return names.count;
}

static void put_usage(void)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    hone_pprof_put_help(&out);
    if (!out.failed)
        (void)fwrite(out.at, 1, out.len, stderr);
}

// --- what they mean together ---------------------------------------------------------------------

// Of each group at most one choice.
static int choose(const struct parsed *parsed, struct hone_error *err)
{
    size_t choice = 0;
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        HONE_CLEANUP(hone_buffer_done) struct hone_buffer set = {0};
        size_t count = 0;
        for (const struct hone_pprof_choice *c = at->choices; c && c->name; c++, choice++) {
            if (!parsed->choices[choice])
                continue;
            hone_buffer_format(&set, "%s%s", count++ ? " " : "", c->name);
            *(const char **)(void *)((char *)&parsed->to->config + at->at) = c->name;
        }
        if (count > 1)
            return hone_error_set(err, -EINVAL, "conflicting options set: [%s]",
                                  set.failed ? "" : set.at);
    }
    return 0;
}

static int choose_command(const struct parsed *parsed, struct hone_error *err)
{
    for (size_t i = 0; hone_pprof_commands[i].name && i < COMMANDS_MAX; i++) {
        const char *pattern = parsed->patterns[i];
        if (!parsed->commands[i] && !(pattern && *pattern))
            continue;
        if (parsed->to->command)
            return hone_error_set(err, -EINVAL, "must set at most one output format");
        parsed->to->command = &hone_pprof_commands[i];
        parsed->to->pattern = pattern;
    }
    return 0;
}

static void choose_type(const struct parsed *parsed)
{
    struct hone_pprof_config *config = &parsed->to->config;
    for (size_t i = 0; i < SHORTCUTS; i++) {
        if (!parsed->shortcuts[i])
            continue;
        if (*config->sample_index)
            hone_pprof_tell("Multiple value selections, ignoring -%s", shortcuts[i].name);
        else
            config->sample_index = shortcuts[i].type;
    }
    config->mean |= parsed->shortcuts[MEAN_DELAY];
}

static bool is_executable(const char *path)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    int r = hone_elf_open(path, &elf, NULL);
    return r == 0 || r == -ENOTSUP; // of another machine, say
}

static bool is_build_id(const char *word)
{
    return !word[strspn(word, "0123456789abcdefABCDEF")];
}

// The first of several words may be the program, by file or by build id.
static void take_program(struct hone_pprof_input *input)
{
    if (input->source_count < 2)
        return;
    const char *word = input->sources[0];
    if (is_executable(word))
        input->executable = word;
    else if (!*input->build_id && is_build_id(word))
        input->build_id = word;
    else
        return;
    input->sources++;
    input->source_count--;
}

static int put_together(const struct parsed *parsed, struct hone_error *err)
{
    struct hone_pprof_arguments *to = parsed->to;
    struct hone_pprof_input *input = &to->input;
    take_program(input);
    int r = choose(parsed, err);
    if (!r)
        r = choose_command(parsed, err);
    if (r)
        return r;
    if (to->command && *to->http)
        return hone_error_set(err, -EINVAL,
                              "-http is not compatible with an output format on the command line");
    if (to->no_browser && !*to->http)
        return hone_error_set(err, -EINVAL, "-no_browser only makes sense with -http");
    choose_type(parsed);
    if (*parsed->base && *parsed->diff_base)
        return hone_error_set(err, -EINVAL, "-base and -diff_base flags cannot both be specified");
    input->diff_base = *parsed->diff_base;
    input->base = input->diff_base ? parsed->diff_base : parsed->base;
    input->normalize = to->config.normalize;
    if (input->normalize && !*input->base)
        return hone_error_set(err, -EINVAL, "must have base profile to normalize by");
    input->numbered = !to->command || to->command->report == HONE_PPROF_RAW ||
                      to->command->report == HONE_PPROF_PROTO;
    return 0;
}

int hone_pprof_parse(int argc, char **argv, struct hone_pprof_arguments *ret,
                     struct hone_error *err)
{
    const char *tools = getenv("PPROF_TOOLS");
    *ret = (struct hone_pprof_arguments){
        .input = {.executable = "",
                  .build_id = "",
                  .base = "",
                  .seconds = -1,
                  .timeout = -1,
                  .symbolize = "",
                  .comment = "",
                  .tools = tools ? tools : "",
                  .tls_cert = "",
                  .tls_key = "",
                  .tls_ca = ""},
        .config = hone_pprof_defaults,
        .http = "",
    };
    struct parsed parsed = {.to = ret, .base = "", .diff_base = ""};
    const struct hone_pprof_flags flags = {.find = find, .context = &parsed};
    int rest;
    int r = hone_pprof_flags_parse(&flags, argc, argv, &rest, err);
    if (r) {
        if (r < 0 && err)
            hone_pprof_tell("%s", err->message);
        put_usage();
        return r < 0 ? HONE_PPROF_MISUSED : HONE_PPROF_HELP;
    }
    ret->input.sources = (const char *const *)argv + rest;
    ret->input.source_count = (size_t)(argc - rest);
    if (rest == argc) {
        put_usage();
        return hone_error_set(err, -EINVAL, "no profile source specified");
    }
    return put_together(&parsed, err);
}
