#include "pprof/shell_parts.h"

#include "base/cleanup.h"
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 64, CHOICES_MAX = 16 };

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_types(struct hone_buffer *out, const struct hone_profile *profile,
                      const char *between)
{
    for (uint32_t i = 0; i < profile->type_count; i++)
        hone_buffer_format(out, "%s%s", i ? between : "",
                           hone_profile_text(profile, profile->types[i].type));
}

// --- options -------------------------------------------------------------------------------------

static void put_choices(struct hone_buffer *out, const struct hone_pprof_choice *choices)
{
    const char *names[CHOICES_MAX];
    size_t count = 0;
    for (; choices->name && count < CHOICES_MAX; choices++)
        names[count++] = choices->name;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count; i++)
        hone_buffer_format(out, "%s%s", i ? " | " : "//: [", names[i]);
    hone_buffer_text(out, "]");
}

static const char *last_type(const struct hone_profile *profile)
{
    uint32_t count = profile->type_count;
    return count ? hone_profile_text(profile, profile->types[count - 1].type) : "";
}

// "  focus                     = main                 "
static const char *row_of(struct hone_arena *arena, const struct hone_profile *profile,
                          const struct hone_pprof_config *config,
                          const struct hone_pprof_option *option)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer comment = {0};
    const char *value = hone_pprof_option_print(config, option, arena);
    if (!value)
        return NULL;
    if (option->choices) {
        put_choices(&comment, option->choices);
    } else if (strcmp(option->name, "sample_index") == 0) {
        value = *value ? value : last_type(profile);
        hone_buffer_text(&comment, "//: [");
        put_types(&comment, profile, " | ");
        hone_buffer_text(&comment, "]");
    } else if (strcmp(option->name, "nodecount") == 0 && strcmp(value, "-1") == 0) {
        hone_buffer_text(&comment, "//: default");
    } else if (!*value) {
        value = "\"\"";
    }
    hone_buffer_add(&comment, "", 1);
    if (comment.failed)
        return NULL;
    size_t more = 0; // bytes that are no letters: Go fills up by letters
    for (const char *at = value; *at; at++)
        more += ((unsigned char)*at & 0xc0) == 0x80;
    return hone_arena_format(arena, "  %-25s = %-*s %s\n", option->name, (int)(20 + more), value,
                             comment.at);
}

void hone_shell_put_options(struct hone_buffer *out, const struct hone_profile *profile,
                            const struct hone_pprof_config *config)
{
    HONE_CLEANUP(hone_arena_done) struct hone_arena arena = {0};
    const char *rows[ROWS_MAX];
    size_t count = 0;
    for (const struct hone_pprof_option *at = hone_pprof_options; at->name; at++) {
        if (strcmp(at->name, "source_path") == 0 || count == ROWS_MAX)
            continue;
        rows[count] = row_of(&arena, profile, config, at);
        if (!rows[count++]) {
            out->failed = true;
            return;
        }
    }
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(rows, count, sizeof *rows, compare_texts);
    for (size_t i = 0; i < count; i++)
        hone_buffer_text(out, rows[i]);
}

// --- help ----------------------------------------------------------------------------------------

void hone_shell_put_help(struct hone_buffer *out)
{
    hone_pprof_put_usage(out, false);
    hone_buffer_text(out, "\n"
                          "  :   Clear focus/ignore/hide/tagfocus/tagignore\n"
                          "\n"
                          "  type \"help <cmd|option>\" for more information\n");
}

bool hone_shell_put_help_about(struct hone_buffer *out, const struct hone_profile *profile,
                               const char *about)
{
    const struct hone_pprof_command *command = hone_pprof_command_find(about);
    if (command) {
        hone_pprof_put_command_help(out, command);
        return true;
    }
    const char *help = hone_pprof_option_help(about);
    if (!help)
        return false;
    hone_buffer_text(out, help);
    if (strcmp(about, "sample_index") == 0) {
        hone_buffer_text(out, "Or use sample_index=name, with name in [");
        put_types(out, profile, " ");
        hone_buffer_text(out, "].\n");
    }
    hone_buffer_text(out, "\n");
    return true;
}
