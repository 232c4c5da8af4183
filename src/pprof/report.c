// One report: the profile is changed as the configuration wants it, in the order in which pprof
// does it, for each step sees what the one before left.
#include "pprof/driver.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "pprof/paths.h"
#include "pprof/tell.h"
#include "pprof/views.h"
#include "profile/filter.h"
#include "profile/profile.h"
#include "view/text.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { FILTERS_MAX = 10, KEYS_MAX = 64, NODES_DEFAULT = 80 };

struct work {
    struct hone_profile *profile;
    const struct hone_pprof_command *command;
    struct hone_pprof_config config; // with what the command itself decides
    struct hone_arena arena;
    uint32_t type;
    const char *filters[FILTERS_MAX]; // as text, ends with NULL
    struct hone_pattern *pattern;
    struct hone_text_options options;
};

static void work_done(struct work *work)
{
    hone_pattern_free(work->pattern);
    hone_arena_done(&work->arena);
}

// --- what the command decides --------------------------------------------------------------------

static bool is_named(const struct hone_pprof_command *command, const char *name)
{
    return strcmp(command->name, name) == 0;
}

static void override(struct work *work)
{
    const struct hone_pprof_command *command = work->command;
    struct hone_pprof_config *config = &work->config;
    bool trim = config->trim;
    switch (command->report) {
    case HONE_PPROF_DISASM:
        trim = false;
        config->granularity = "addresses";
        config->noinlines = true;
        break;
    case HONE_PPROF_WEBLIST:
        trim = false;
        config->granularity = "addresses";
        config->noinlines = false;
        break;
    case HONE_PPROF_LIST:
        trim = false;
        config->granularity = "lines";
        break;
    case HONE_PPROF_PROTO:
    case HONE_PPROF_RAW:
    case HONE_PPROF_CALLGRIND:
        trim = false;
        config->granularity = "addresses";
        config->noinlines = false;
        break;
    case HONE_PPROF_TOP:
    case HONE_PPROF_TOPPROTO:
        if (config->nodecount == -1)
            config->nodecount = 0;
        break;
    default:
        if (is_named(command, "peek"))
            trim = false;
        else if (config->nodecount == -1)
            config->nodecount = NODES_DEFAULT;
    }
    if (trim)
        return;
    config->nodecount = 0;
    config->nodefraction = config->edgefraction = 0;
}

// --- labels as frames ----------------------------------------------------------------------------

static size_t split_keys(const char *text, struct hone_str keys[KEYS_MAX])
{
    size_t count = 0;
    while (*text && count < KEYS_MAX) {
        size_t len = strcspn(text, ",");
        if (len)
            keys[count++] = (struct hone_str){text, len};
        text += len + (text[len] == ',');
    }
    return count;
}

static void warn(bool found, const char *what)
{
    if (!found)
        hone_pprof_tell("%s expression matched no samples", what);
}

static int add_label_frames(struct work *work, struct hone_error *err)
{
    const struct hone_pprof_config *config = &work->config;
    struct hone_str roots[KEYS_MAX];
    struct hone_str leaves[KEYS_MAX];
    size_t root_count = split_keys(config->tagroot, roots);
    size_t leaf_count = split_keys(config->tagleaf, leaves);
    bool root_found;
    bool leaf_found;
    int r = hone_profile_label_frames(work->profile, roots, root_count, leaves, leaf_count,
                                      config->unit, &root_found, &leaf_found, err);
    if (r)
        return r;
    warn(!*config->tagroot || root_found, "TagRoot");
    warn(!*config->tagleaf || leaf_found, "TagLeaf");
    return 0;
}

// --- filters -------------------------------------------------------------------------------------

// What to filter by, compiled.
struct filters {
    struct hone_profile_filter to;
};

static void filters_done(struct filters *filters)
{
    struct hone_profile_filter *to = &filters->to;
    struct hone_pattern *patterns[] = {to->focus,      to->ignore,    to->hide,
                                       to->show,       to->show_from, to->label_show,
                                       to->label_hide, to->prune_from};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        hone_pattern_free(patterns[i]);
    hone_label_filter_free(to->label_focus);
    hone_label_filter_free(to->label_ignore);
}

static int compile(const char *name, const char *text, struct hone_pattern **ret,
                   struct hone_error *err)
{
    if (!*text)
        return 0;
    struct hone_error why = {0};
    int r = hone_pattern_new_go(text, ret, &why);
    return r ? hone_error_set(err, -EINVAL, "parsing %s regexp: %s", name, why.message) : 0;
}

static int compile_label(const char *name, const char *text, struct hone_label_filter **ret,
                         struct hone_error *err)
{
    if (!*text)
        return 0;
    struct hone_error why = {0};
    int r = hone_label_filter_new(text, ret, &why);
    if (r)
        return hone_error_set(err, -EINVAL, "parsing %s regexp: %s", name, why.message);
    const char *range = hone_label_filter_range(*ret);
    if (range)
        hone_pprof_tell("%s:Interpreted '%s' as range, not regexp", name, range);
    return 0;
}

static int compile_filters(const struct hone_pprof_config *config, struct hone_profile_filter *to,
                           struct hone_error *err)
{
    int r = compile("focus", config->focus, &to->focus, err);
    r = r ? r : compile("ignore", config->ignore, &to->ignore, err);
    r = r ? r : compile("hide", config->hide, &to->hide, err);
    r = r ? r : compile("show", config->show, &to->show, err);
    r = r ? r : compile("show_from", config->show_from, &to->show_from, err);
    r = r ? r : compile_label("tagfocus", config->tagfocus, &to->label_focus, err);
    r = r ? r : compile_label("tagignore", config->tagignore, &to->label_ignore, err);
    r = r ? r : compile("prune_from", config->prune_from, &to->prune_from, err);
    r = r ? r : compile("tagshow", config->tagshow, &to->label_show, err);
    return r ? r : compile("taghide", config->taghide, &to->label_hide, err);
}

static void warn_slow(const struct hone_profile_filter *to)
{
    struct hone_pattern *patterns[] = {to->focus,      to->ignore,    to->hide,
                                       to->show,       to->show_from, to->label_show,
                                       to->label_hide, to->prune_from};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (patterns[i] && hone_pattern_gave_up(patterns[i]))
            hone_pprof_tell("hone: '%s' takes too long on some names, which count as not matching",
                            hone_pattern_text(patterns[i]));
}

static int apply_filters(struct work *work, struct hone_error *err)
{
    HONE_CLEANUP(filters_done) struct filters filters = {0};
    struct hone_profile_filter_found found;
    int r = compile_filters(&work->config, &filters.to, err);
    if (!r)
        r = hone_profile_filter(work->profile, &filters.to, &found, err);
    if (r)
        return r;
    warn(found.focus, "Focus");
    warn(found.ignore, "Ignore");
    warn(found.hide, "Hide");
    warn(found.show, "Show");
    warn(found.show_from, "ShowFrom");
    warn(found.label_focus, "TagFocus");
    warn(found.label_ignore, "TagIgnore");
    warn(found.label_show, "TagShow");
    warn(found.label_hide, "TagHide");
    warn_slow(&filters.to);
    return 0;
}

static int name_filters(struct work *work, struct hone_error *err)
{
    const struct hone_pprof_config *config = &work->config;
    const struct {
        const char *name;
        const char *value;
    } rows[] = {
        {"focus", config->focus},         {"ignore", config->ignore},
        {"hide", config->hide},           {"show", config->show},
        {"show_from", config->show_from}, {"tagfocus", config->tagfocus},
        {"tagignore", config->tagignore}, {"tagshow", config->tagshow},
        {"taghide", config->taghide},
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!*rows[i].value)
            continue;
        work->filters[count] =
            hone_arena_format(&work->arena, "%s=%s", rows[i].name, rows[i].value);
        if (!work->filters[count++])
            return hone_error_set(err, -ENOMEM, "cannot make the report");
    }
    return 0;
}

// --- the options of the views --------------------------------------------------------------------

static enum hone_text_group group_of(const char *granularity)
{
    static const struct {
        const char *name;
        enum hone_text_group group;
    } rows[] = {
        {"functions", HONE_TEXT_FUNCTIONS}, {"filefunctions", HONE_TEXT_ROUTINES},
        {"files", HONE_TEXT_FILES},         {"lines", HONE_TEXT_LINES},
        {"addresses", HONE_TEXT_ADDRESSES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, granularity) == 0)
            return rows[i].group;
    return HONE_TEXT_FUNCTIONS;
}

static int make_options(struct work *work, struct hone_error *err)
{
    const struct hone_pprof_config *config = &work->config;
    int r = hone_pprof_find_type(work->profile, config->sample_index, &work->type, err);
    if (r)
        return r;
    if (config->divide_by == 0)
        return hone_error_set(err, -EINVAL, "zero divisor specified");
    r = name_filters(work, err);
    const char *type = hone_arena_format(&work->arena, "%u", work->type);
    if (r || !type)
        return hone_error_set(err, -ENOMEM, "cannot make the report");
    work->options = (struct hone_text_options){
        .type = type,
        .group = group_of(config->granularity),
        .by_cum = strcmp(config->sort, "cum") == 0,
        .call_tree = config->call_tree,
        .rows = config->nodecount > 0 ? (uint32_t)config->nodecount : 0,
        .node_fraction = config->nodefraction,
        .edge_fraction = config->edgefraction,
        .source_path = *config->source_path ? config->source_path : NULL,
        .trim_path = *config->trim_path ? config->trim_path : NULL,
        .intel = config->intel_syntax,
        .unit = config->unit,
        .divide_by = config->divide_by,
        .mean = config->mean,
        .drop_negative = config->drop_negative,
        .compact = config->compact_labels && work->command->report != HONE_PPROF_TRACES,
        .total_known = true,
        .total = hone_tally_total(work->profile, work->type, config->mean),
        .filters = work->filters,
        .strict = true,
    };
    return 0;
}

static int compile_pattern(struct work *work, const char *pattern, struct hone_error *err)
{
    if (!pattern)
        return 0;
    struct hone_error why = {0};
    int r = hone_pattern_new_go(pattern, &work->pattern, &why);
    if (r)
        return hone_error_set(err, -EINVAL, "parsing argument regexp %s: %s", pattern, why.message);
    work->options.pattern = work->pattern;
    return 0;
}

// A profile that is written is divided itself; what is left over is dropped.
static void divide(struct hone_profile *p, double divide_by)
{
    double ratio = 1 / divide_by;
    if (!(ratio > 0) || ratio == 1)
        return;
    for (uint32_t type = 0; type < p->type_count; type++)
        for (uint32_t i = 0; i < p->samples.count; i++) {
            double value = (double)p->samples.values[type][i] * ratio;
            p->samples.values[type][i] = fabs(value) < 9.2e18 ? (int64_t)value : INT64_MIN;
        }
}

// --- all of it -----------------------------------------------------------------------------------

static int prepare(struct work *work, const char *pattern, struct hone_error *err)
{
    int r = hone_pprof_warn_units(work->profile, err);
    if (!r)
        r = add_label_frames(work, err);
    bool relative = work->config.relative_percentages;
    if (!r && relative)
        r = apply_filters(work, err);
    if (!r)
        r = make_options(work, err);
    if (!r)
        r = compile_pattern(work, pattern, err);
    if (!r && !relative)
        r = apply_filters(work, err);
    if (r)
        return r;
    if (work->config.noinlines && work->command->report != HONE_PPROF_DISASM)
        hone_profile_drop_inlined(work->profile);
    if (work->command->report == HONE_PPROF_PROTO)
        divide(work->profile, work->config.divide_by);
    return hone_pprof_clean_files(work->profile, work->command->report, &work->config, err);
}

int hone_pprof_report(struct hone_profile *profile, const struct hone_pprof_command *command,
                      const char *pattern, const struct hone_pprof_config *config,
                      struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(work_done)
    struct work work = {.profile = profile, .command = command, .config = *config};
    override(&work);
    int r = prepare(&work, pattern, err);
    return r ? r : hone_pprof_view(profile, command, &work.options, out, err);
}

int hone_pprof_run(struct hone_profile *profile, bool keep,
                   const struct hone_pprof_command *command, const char *pattern,
                   const struct hone_pprof_config *config, bool interactive, struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer out = {0};
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *copy = NULL;
    if (keep) {
        copy = hone_profile_clone(profile);
        if (!copy)
            return hone_error_set(err, -ENOMEM, "cannot make the report");
    }
    int r = hone_pprof_report(keep ? copy : profile, command, pattern, config, &out, err);
    return r ? r : hone_pprof_deliver(command, config, &out, interactive, err);
}

int hone_pprof_put_head(const struct hone_profile *profile, const struct hone_pprof_config *config,
                        struct hone_buffer *out, struct hone_error *err)
{
    uint32_t type;
    int r = hone_pprof_find_type(profile, config->sample_index, &type, err);
    if (r)
        return r;
    char place[16];
    (void)snprintf(place, sizeof place, "%u", type);
    const struct hone_text_options options = {.type = place,
                                              .unit = config->unit,
                                              .divide_by = config->divide_by,
                                              .mean = config->mean,
                                              .strict = true};
    return hone_text_head(profile, &options, out, err);
}
