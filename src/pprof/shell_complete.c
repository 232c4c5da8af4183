// What may follow. pprof completes a word only when there is one way to do so; here all ways are
// known, so that a shell can list them.
#include "pprof/shell_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "profile/profile.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// Names that are being gathered.
struct gathering {
    struct hone_arena *arena;
    struct hone_str word; // what they must begin with
    bool inside;          // they may also hold it anywhere
    const char **at;
    uint32_t count;
    uint32_t room;
    char after;
};

static void gather(struct gathering *g, const char *name, char after)
{
    bool fits = strncmp(name, g->word.at, g->word.len) == 0 ||
                (g->inside && memmem(name, strlen(name), g->word.at, g->word.len));
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    if (!fits || !hone_array_reserve(&g->at, &g->room, g->count + 1ull, sizeof *g->at))
        return;
    g->at[g->count++] = name;
    g->after = after;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// --- what there is -------------------------------------------------------------------------------

// A function's name as an expression that is one word: signs that mean something there are guarded,
// blanks become any sign. A dot stays, for it matches itself.
static const char *expression_of(struct hone_arena *arena, const char *name)
{
    size_t special = 0;
    for (const char *at = name; *at; at++)
        special += strchr("\\^$|()[]{}*+?", *at) != NULL;
    char *out = hone_arena_alloc(arena, strlen(name) + special + 1);
    if (!out)
        return NULL;
    char *to = out;
    for (; *name; name++) {
        if (strchr("\\^$|()[]{}*+?", *name))
            *to++ = '\\';
        *to++ = isspace((unsigned char)*name) ? '.' : *name;
    }
    *to = '\0';
    return out;
}

static void gather_functions(struct gathering *g, const struct hone_profile *profile)
{
    for (uint32_t i = 1; i < profile->functions.count; i++) {
        const char *name = hone_profile_text(profile, profile->functions.name[i]);
        const char *expression = *name ? expression_of(g->arena, name) : NULL;
        if (expression)
            gather(g, expression, ' ');
    }
}

static void gather_types(struct gathering *g, const struct hone_profile *profile, bool shortcuts)
{
    static const char *const prefixes[] = {"", "total_", "mean_"};
    for (uint32_t i = 0; i < profile->type_count; i++)
        for (size_t k = 0; k < (shortcuts ? 3 : 1); k++) {
            const char *name = hone_profile_text(profile, profile->types[i].type);
            name = hone_arena_format(g->arena, "%s%s", prefixes[k], name);
            if (name)
                gather(g, name, 0);
        }
}

static void gather_commands(struct gathering *g)
{
    for (const struct hone_pprof_command *at = hone_pprof_commands; at->name; at++)
        gather(g, at->name, ' ');
}

static void gather_first_words(struct gathering *g, const struct hone_profile *profile)
{
    static const char *const others[] = {"exit", "help", "options", "quit"};
    gather_types(g, profile, true);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        gather(g, others[i], strcmp(others[i], "help") == 0 ? ' ' : 0);
    gather_commands(g);
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++)
        gather(g, at->name, '=');
}

static void gather_subjects_of_help(struct gathering *g)
{
    gather_commands(g);
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        if (!at->choices)
            gather(g, at->name, 0);
        for (const struct hone_pprof_choice *choice = at->choices; choice && choice->name; choice++)
            gather(g, choice->name, 0);
    }
}

static void gather_values(struct gathering *g, const struct hone_profile *profile,
                          const struct hone_pprof_option *option)
{
    static const char *const of_functions[] = {"focus", "ignore",    "hide",
                                               "show",  "show_from", "prune_from"};
    if (option->kind == HONE_PPROF_BOOL) {
        gather(g, "false", 0);
        gather(g, "true", 0);
    }
    for (const struct hone_pprof_choice *at = option->choices; at && at->name; at++)
        gather(g, at->name, 0);
    if (strcmp(option->name, "sample_index") == 0)
        gather_types(g, profile, false);
    for (size_t i = 0; i < sizeof of_functions / sizeof of_functions[0]; i++)
        if (strcmp(option->name, of_functions[i]) == 0)
            gather_functions(g, profile);
}

// --- where in the line ---------------------------------------------------------------------------

static size_t last_word(const char *line, size_t len, const char *between)
{
    size_t from = len;
    while (from > 0 && !strchr(between, line[from - 1]))
        from--;
    return from;
}

// The command that a line begins with, "top10" being top.
static const struct hone_pprof_command *command_of(const char *word)
{
    const struct hone_pprof_command *command = hone_pprof_command_find(word);
    size_t len = strlen(word);
    char name[32];
    if (command || len >= sizeof name)
        return command;
    memcpy(name, word, len + 1);
    while (len > 0 && isdigit((unsigned char)name[len - 1]))
        name[--len] = '\0';
    return hone_pprof_command_find(name);
}

static void gather_at(struct gathering *g, const struct hone_profile *profile, const char *line,
                      size_t *from)
{
    size_t start = strspn(line, " \t");
    size_t first = start + strcspn(line + start, " \t=");
    const char *name = hone_arena_format(g->arena, "%.*s", (int)(first - start), line + start);
    if (!name)
        return;
    size_t len = strlen(line);
    const char *after = line + first + strspn(line + first, " \t");
    if (*after == '=') {
        const struct hone_pprof_choice *choice;
        const struct hone_pprof_option *option = hone_pprof_option_find(name, &choice);
        *from = last_word(line, len, " \t=|");
        g->word = hone_str_of(line + *from);
        if (option && !choice)
            gather_values(g, profile, option);
    } else if (first == len) {
        *from = start;
        g->word = hone_str_of(line + start);
        gather_first_words(g, profile);
    } else {
        *from = last_word(line, len, " \t");
        *from += line[*from] == '-' && *from > first;
        g->word = hone_str_of(line + *from);
        const struct hone_pprof_command *command = command_of(name);
        if (strcmp(name, "help") == 0)
            gather_subjects_of_help(g);
        else if (command && strcmp(command->name, "tags") != 0 && line[*from] != '>')
            gather_functions(g, profile);
    }
}

static void sort_once_each(struct gathering *g)
{
    if (!g->count)
        return;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(g->at, g->count, sizeof *g->at, compare_texts);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < g->count; i++)
        if (strcmp(g->at[i], g->at[kept - 1]) != 0)
            g->at[kept++] = g->at[i];
    g->count = kept;
}

struct hone_shell_matches hone_shell_complete(struct hone_arena *arena,
                                              const struct hone_profile *profile, const char *text,
                                              size_t len)
{
    struct hone_shell_matches matches = {.from = len};
    const char *line = hone_arena_format(arena, "%.*s", (int)len, text);
    struct gathering g = {.arena = arena};
    if (!line)
        return matches;
    gather_at(&g, profile, line, &matches.from);
    if (!g.count && g.word.len) { // nothing begins so: what holds it, as for pprof
        g.inside = matches.inside = true;
        gather_at(&g, profile, line, &matches.from);
    }
    sort_once_each(&g);
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    matches.at = hone_arena_zalloc(arena, g.count ? g.count : 1, sizeof *matches.at);
    if (matches.at && g.count) {
        // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
        memcpy(matches.at, g.at, g.count * sizeof *matches.at);
        matches.count = g.count;
        matches.after = g.after;
    }
    free(g.at);
    return matches;
}
