#include "cli/filter.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "base/unit.h"
#include "core/core.h"
#include "profile/filter.h"
#include "profile/profile.h"

#include <errno.h>
#include <string.h>

void hone_filter_lines_done(struct hone_filter_lines *lines)
{
    hone_arena_done(&lines->arena);
}

// --- comparing -----------------------------------------------------------------------------------

static int subtract(const struct hone_filter_options *options,
                    const struct hone_input_options *input, struct hone_profile **profile,
                    struct hone_error *err)
{
    const char *file = options->base ? options->base : options->diff_base;
    if (options->base && options->diff_base)
        return hone_misused(err, "--base and --diff-base exclude each other");
    if (!file)
        return options->normalize ? hone_misused(err, "--normalize needs --base or --diff-base")
                                  : 0;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *base = NULL;
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *result = NULL;
    char *word = (char *)file;
    const struct hone_operands operands = {&word, 1};
    int r = hone_input_read(&operands, input, &base, err);
    if (!r)
        r = hone_profile_make_compatible((struct hone_profile *[]){*profile, base}, 2, err);
    const struct hone_profile_diff_options how = {.normalize = options->normalize,
                                                  .label_base = options->diff_base != NULL};
    if (!r)
        r = hone_profile_diff(*profile, base, &how, &result, err);
    if (r)
        return r;
    hone_profile_free(*profile);
    *profile = hone_take(result);
    return 0;
}

// --- filtering -----------------------------------------------------------------------------------

enum { PATTERNS = 5, TAGS = 2 };

struct filters {
    struct hone_profile_filter to;
    struct hone_filter_lines *lines;
    size_t line_count;
};

static void filters_done(struct filters *filters)
{
    struct hone_pattern *patterns[PATTERNS] = {filters->to.focus, filters->to.ignore,
                                               filters->to.hide, filters->to.show,
                                               filters->to.show_from};
    for (size_t i = 0; i < PATTERNS; i++)
        hone_pattern_free(patterns[i]);
    hone_label_filter_free(filters->to.label_focus);
    hone_label_filter_free(filters->to.label_ignore);
}

static int note(struct filters *filters, const char *name, const char *value)
{
    const char *line = hone_arena_format(&filters->lines->arena, "%s=%s", name, value);
    filters->lines->at[filters->line_count++] = line;
    return line ? 0 : -ENOMEM;
}

static int compile(const struct hone_filter_options *o, struct filters *filters,
                   struct hone_error *err)
{
    struct hone_profile_filter *to = &filters->to;
    const struct {
        const char *name;
        const char *text;
        struct hone_pattern **pattern;
        struct hone_label_filter **labels;
    } rows[PATTERNS + TAGS] = {
        {"focus", o->focus, &to->focus, NULL},
        {"ignore", o->ignore, &to->ignore, NULL},
        {"hide", o->hide, &to->hide, NULL},
        {"show", o->show, &to->show, NULL},
        {"show-from", o->show_from, &to->show_from, NULL},
        {"tag-focus", o->tag_focus, NULL, &to->label_focus},
        {"tag-ignore", o->tag_ignore, NULL, &to->label_ignore},
    };
    for (size_t i = 0; i < PATTERNS + TAGS; i++) {
        if (!rows[i].text || !*rows[i].text)
            continue;
        int r = rows[i].pattern ? hone_pattern_new(rows[i].text, rows[i].pattern, err)
                                : hone_label_filter_new(rows[i].text, rows[i].labels, err);
        if (r)
            return r == -EINVAL ? HONE_MISUSED : r;
        if (note(filters, rows[i].name, rows[i].text))
            return hone_error_set(err, -ENOMEM, "cannot filter the profile");
    }
    return 0;
}

static void warn(bool found, const char *name, const char *text)
{
    if (!found)
        hone_tell("--%s '%s' matches nothing in this profile", name, text);
}

static void warn_all(const struct hone_filter_options *o,
                     const struct hone_profile_filter_found *found)
{
    warn(found->focus, "focus", o->focus);
    warn(found->ignore, "ignore", o->ignore);
    warn(found->hide, "hide", o->hide);
    warn(found->show, "show", o->show);
    warn(found->show_from, "show-from", o->show_from);
    warn(found->label_focus, "tag-focus", o->tag_focus);
    warn(found->label_ignore, "tag-ignore", o->tag_ignore);
}

// Each profile by itself; what matches nothing in any of them is told once.
static int apply(const struct hone_filter_options *options, struct filters *filters,
                 struct hone_profile *const *profiles, size_t count, struct hone_error *err)
{
    struct hone_profile_filter_found any = {0};
    for (size_t i = 0; i < count; i++) {
        struct hone_profile_filter_found found;
        int r = hone_profile_filter(profiles[i], &filters->to, &found, err);
        if (r)
            return r;
        any.focus |= found.focus;
        any.ignore |= found.ignore;
        any.hide |= found.hide;
        any.show |= found.show;
        any.show_from |= found.show_from;
        any.label_focus |= found.label_focus;
        any.label_ignore |= found.label_ignore;
    }
    warn_all(options, &any);
    return 0;
}

static int filter(const struct hone_filter_options *options, struct hone_profile *profile,
                  struct hone_filter_lines *lines, struct hone_text_options *text,
                  struct hone_error *err)
{
    HONE_CLEANUP(filters_done) struct filters filters = {.lines = lines};
    int r = compile(options, &filters, err);
    bool part = filters.line_count;
    if (r || (!part && !options->base && !options->diff_base))
        return r;
    uint32_t type;
    r = hone_profile_select_type(profile, text->type, &type, err);
    if (r)
        return r;
    text->total = hone_tally_total(profile, type, text->mean);
    text->total_known = true;
    if (!part)
        return 0;
    text->filters = lines->at;
    return apply(options, &filters, &profile, 1, err);
}

// Units that have none to be converted into are named by the profile alone.
static bool is_units_name(const struct hone_profile *profile, const char *unit)
{
    for (size_t i = 0; i < profile->type_count; i++)
        if (strcmp(hone_profile_text(profile, profile->types[i].unit), unit) == 0)
            return true;
    return false;
}

static int check_unit(const char *unit, struct hone_profile *const *profiles, size_t count,
                      struct hone_error *err)
{
    static const char *const words[] = {"auto", "minimum", "count", "sample", "unit"};
    if (!unit || hone_unit_is_known(unit))
        return 0;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(words); i++)
        if (strcmp(words[i], unit) == 0)
            return 0;
    for (size_t i = 0; i < count; i++)
        if (is_units_name(profiles[i], unit))
            return 0;
    return hone_misused(err,
                        "--unit is one of auto, ns, us, ms, s, hr, B, kB, MB, GB, TB, PB and "
                        "the profile's own, not '%s'",
                        unit);
}

int hone_filter_apply(const struct hone_filter_options *options,
                      const struct hone_input_options *input, struct hone_profile **profile,
                      struct hone_filter_lines *lines, struct hone_text_options *text,
                      struct hone_error *err)
{
    text->unit = options->unit;
    int r = check_unit(options->unit, profile, 1, err);
    if (!r)
        r = subtract(options, input, profile, err);
    if (!r)
        r = filter(options, *profile, lines, text, err);
    if (!r && !options->kernel)
        r = hone_profile_drop_kernel(*profile, err);
    if (!r && options->no_inlines)
        hone_profile_drop_inlined(*profile);
    return r;
}

int hone_filter_apply_to_all(const struct hone_filter_options *options,
                             struct hone_profile *const *profiles, size_t count,
                             struct hone_filter_lines *lines, struct hone_error *err)
{
    HONE_CLEANUP(filters_done) struct filters filters = {.lines = lines};
    int r = check_unit(options->unit, profiles, count, err);
    if (!r)
        r = compile(options, &filters, err);
    if (!r && filters.line_count)
        r = apply(options, &filters, profiles, count, err);
    for (size_t i = 0; !r && !options->kernel && i < count; i++)
        r = hone_profile_drop_kernel(profiles[i], err);
    for (size_t i = 0; !r && options->no_inlines && i < count; i++)
        hone_profile_drop_inlined(profiles[i]);
    return r;
}
