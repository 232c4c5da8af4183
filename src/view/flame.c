#include "view/flame.h"

#include "base/pattern.h"
#include "profile/profile.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// flame_*.js and flame.css as they are in the source, from view/embed.c.
extern const char hone_flame_script[], hone_flame_style[];

enum {
    DEFAULT_FRAMES = 150000,
    DEFAULT_WIDTH = 1200,
    SMALLEST_WIDTH = 300,
    LARGEST_WIDTH = 20000,
    TITLE_BYTES = 300,
    NOTE_BYTES = 400,
};

// --- what the graph says about itself ------------------------------------------------------------

void hone_flame_note(struct hone_flame *flame, bool warn, const char *format, ...)
{
    if (flame->note_count == HONE_FLAME_NOTES_MAX)
        return;
    char text[NOTE_BYTES * 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++) // a command may have many lines; a note has one
        if (*at == '\n' || *at == '\t')
            *at = ' ';
    flame->notes[flame->note_count++] = (struct hone_flame_note){
        .text = hone_utf8_clean(&flame->arena, hone_str_of(text), NOTE_BYTES, &flame->failed),
        .warn = warn,
    };
}

static struct hone_str cleaned(struct hone_flame *flame, struct hone_str text)
{
    return hone_utf8_clean(&flame->arena, text, TITLE_BYTES, &flame->failed);
}

struct hone_str hone_flame_file_of(struct hone_str path)
{
    const char *slash = path.len ? memrchr(path.at, '/', path.len) : NULL;
    return slash ? (struct hone_str){slash + 1, (size_t)(path.at + path.len - slash - 1)} : path;
}

static void set_title(struct hone_flame *flame, const struct hone_profile *profile, uint32_t type,
                      const char *title)
{
    struct hone_str program = hone_flame_file_of(flame->program);
    struct hone_str what = hone_profile_str(profile, profile->types[type].type);
    flame->unit = cleaned(flame, hone_profile_str(profile, profile->types[type].unit));
    if (title) {
        flame->title = cleaned(flame, hone_str_of(title));
        return;
    }
    char text[TITLE_BYTES];
    (void)snprintf(text, sizeof text, "%.*s%s%.*s", (int)(program.len < 200 ? program.len : 200),
                   program.len ? program.at : "", program.len ? " · " : "",
                   (int)(what.len < 60 ? what.len : 60), what.at);
    flame->title = cleaned(flame, hone_str_of(text));
}

// How many samples were taken: the column that counts them, or the samples of the file.
static int64_t count_samples(const struct hone_profile *profile)
{
    for (uint32_t type = 0; type < profile->type_count; type++) {
        if (!hone_str_equal(hone_profile_str(profile, profile->types[type].type),
                            HONE_STR("samples")))
            continue;
        uint64_t sum = 0;
        for (uint32_t i = 0; i < profile->samples.count; i++)
            sum += (uint64_t)profile->samples.values[type][i];
        return sum <= INT64_MAX ? (int64_t)sum : INT64_MAX;
    }
    return profile->samples.count;
}

// What the whole profile holds, of which a sandwich or what passed a filter is a part.
static int64_t positive_sum(const struct hone_profile *profile, uint32_t type)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < profile->samples.count; i++)
        sum +=
            profile->samples.values[type][i] > 0 ? (uint64_t)profile->samples.values[type][i] : 0;
    return sum <= INT64_MAX ? (int64_t)sum : INT64_MAX;
}

static void set_facts(struct hone_flame *flame, const struct hone_profile *profile, uint32_t type,
                      const struct hone_flame_options *options)
{
    struct hone_str what = hone_profile_str(profile, profile->types[type].type);
    struct hone_str nanoseconds = HONE_STR("nanoseconds"), counted = HONE_STR("count");
    char total[64], samples[64], took[64];
    hone_flame_amount(total, sizeof total, flame->tree->nodes[0].total, flame->unit);
    hone_flame_amount(samples, sizeof samples, count_samples(profile), counted);
    hone_flame_amount(took, sizeof took, profile->duration_ns, nanoseconds);

    struct hone_buffer facts = {0};
    hone_buffer_text(&facts, total);
    if (options->sandwich || options->filters) {
        char whole[64];
        hone_flame_amount(whole, sizeof whole,
                          options->whole ? options->whole : positive_sum(profile, type),
                          flame->unit);
        hone_buffer_format(&facts, " of %s", whole);
    }
    hone_buffer_format(&facts, options->difference ? " more %.*s" : " %.*s", (int)what.len,
                       what.at);
    hone_buffer_format(&facts, " · %s samples", samples);
    if (profile->period > 0) {
        char period[64];
        hone_flame_amount(period, sizeof period, profile->period,
                          hone_profile_str(profile, profile->period_type.unit));
        hone_buffer_format(&facts, ", one each %s", period);
    }
    if (profile->duration_ns > 0)
        hone_buffer_format(&facts, " · in %s", took);
    time_t seconds = (time_t)(profile->time_ns / 1000000000);
    struct tm when;
    char date[40];
    if (seconds > 0 && gmtime_r(&seconds, &when) &&
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &when))
        hone_buffer_format(&facts, " · %s", date);
    for (const char *const *filter = options->filters; filter && *filter; filter++)
        hone_buffer_format(&facts, " · %s", *filter);
    if (options->reversed)
        hone_buffer_text(&facts, " · from the leaf: callers grow out of what they called");
    if (options->sandwich)
        hone_buffer_text(&facts, " · callers above, callees below");
    if (options->group == HONE_FLAME_MODULES)
        hone_buffer_text(&facts, " · by module");
    if (options->group == HONE_FLAME_LINES)
        hone_buffer_text(&facts, " · by line");
    flame->failed |= facts.failed;
    flame->facts = cleaned(flame, (struct hone_str){facts.at, facts.failed ? 0 : facts.len});
    hone_buffer_done(&facts);
}

static void note_losses(struct hone_flame *flame, bool difference)
{
    const struct hone_tree *tree = flame->tree;
    if (tree->stacks_truncated) {
        char share[24];
        hone_flame_percent(share, sizeof share, tree->truncated, flame->whole);
        hone_flame_note(flame, true, "%s in stacks that were cut short before their start", share);
    }
    if (tree->stacks_negative)
        hone_flame_note(flame, true, "%" PRIu64 " %s of negative value are not shown",
                        tree->stacks_negative, difference ? "stacks" : "samples");
}

static void note_smaller(struct hone_flame *flame)
{
    size_t all = flame->tree->all_count - 1, kept = flame->kept_count - 1;
    if (kept >= all)
        return;
    int64_t largest = flame->tree->largest_left_out;
    for (size_t i = 1; i < flame->tree->node_count; i++)
        if (!flame->kept[i] && flame->tree->nodes[i].total > largest)
            largest = flame->tree->nodes[i].total;
    char hidden[64], total[64], amount[64], share[24];
    hone_flame_amount(hidden, sizeof hidden, (int64_t)(all - kept), HONE_STR("count"));
    hone_flame_amount(total, sizeof total, (int64_t)all, HONE_STR("count"));
    hone_flame_amount(amount, sizeof amount, largest, flame->unit);
    hone_flame_percent(share, sizeof share, largest, flame->whole);
    hone_flame_note(flame, false,
                    "%s of %s frames, none above %s (%s), are merged into “smaller frames”", hidden,
                    total, amount, share);
}

// What the recorder wrote into the profile: facts begin with '#', the others are warnings.
static void note_comments(struct hone_flame *flame, const struct hone_profile *profile)
{
    for (uint32_t i = 0; i < profile->comment_count; i++) {
        const char *text = hone_profile_text(profile, profile->comments[i]);
        bool warn = text[0] != '#';
        hone_flame_note(flame, warn, "%s", warn ? text : text + 1 + strspn(text + 1, " "));
    }
}

// --- the file ------------------------------------------------------------------------------------

static void put_head(const struct hone_flame *flame, struct hone_buffer *out, double height)
{
    hone_buffer_format(out,
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %.0f\" "
                       "width=\"%u\" height=\"%.0f\" role=\"img\" "
                       "aria-labelledby=\"flame-title flame-facts\">\n",
                       flame->width, height, flame->width, height);
    hone_buffer_text(out, "<title id=\"flame-title\">");
    hone_flame_xml(out, flame->title);
    hone_buffer_text(out, "</title>\n<desc id=\"flame-facts\">");
    hone_flame_xml(out, flame->facts);
    hone_buffer_text(out, "</desc>\n<style>\n");
    hone_buffer_text(out, hone_flame_style);
    if (flame->diff)
        hone_flame_tone_palette(out);
    else
        hone_flame_palette(out);
    hone_buffer_text(
        out, "</style>\n<defs>\n"
             "<pattern id=\"smaller\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><rect class=\"pattern-paper\" width=\"5\" "
             "height=\"5\"/><path class=\"pattern-line\" d=\"M0 0v5\"/></pattern>\n"
             "<pattern id=\"truncated\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><rect class=\"pattern-paper\" width=\"8\" "
             "height=\"8\"/><path class=\"pattern-warn\" d=\"M0 0v8\"/></pattern>\n"
             "<pattern id=\"gone\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><rect class=\"gone-paper\" width=\"6\" "
             "height=\"6\"/><path class=\"gone-line\" d=\"M0 0v6\"/></pattern>\n"
             "</defs>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n<g>\n");
}

// The script goes into a CDATA section, which embed.c made sure it cannot end.
static int put_script(const struct hone_flame *flame, struct hone_buffer *out)
{
    hone_buffer_text(out, "<script type=\"application/json\" id=\"profile\">");
    int r = hone_flame_pack(flame, out);
    hone_buffer_text(out, "</script>\n<script><![CDATA[\n'use strict'\n{\n");
    hone_buffer_text(out, hone_flame_script);
    hone_buffer_text(out, "}\n]]></script>\n");
    return r;
}

static int put_file(struct hone_flame *flame, struct hone_buffer *out)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer picture = {0};
    double height = 0;
    int r = hone_flame_picture(flame, &picture, &height);
    if (r)
        return r;
    put_head(flame, out, height);
    hone_buffer_add(out, picture.at, picture.len);
    hone_buffer_text(out, "</g>\n");
    if (flame->tree->nodes[0].total > 0) // else there is nothing to zoom into
        r = put_script(flame, out);
    hone_buffer_text(out, "</svg>\n");
    return r ? r : picture.failed || out->failed ? -ENOMEM : 0;
}

void hone_flame_done(struct hone_flame *flame)
{
    hone_arena_done(&flame->arena);
    free(flame->kept);
    free(flame->names);
    free(flame->colors);
}

static uint32_t max_frames(const struct hone_flame_options *options)
{
    return options->max_frames ? options->max_frames : DEFAULT_FRAMES;
}

void hone_flame_init(struct hone_flame *flame, const struct hone_tree *tree,
                     const struct hone_profile *profile, const struct hone_flame_options *options)
{
    *flame = (struct hone_flame){
        .tree = tree,
        .root = HONE_STR("all"),
        .whole = options->whole > 0 && !options->sandwich ? options->whole : tree->nodes[0].total,
        .inverted = options->inverted,
        .width = options->width ? options->width : DEFAULT_WIDTH,
    };
    if (flame->width < SMALLEST_WIDTH)
        flame->width = SMALLEST_WIDTH;
    if (flame->width > LARGEST_WIDTH)
        flame->width = LARGEST_WIDTH;
    if (profile->mappings.count > 1)
        flame->program = hone_profile_str(profile, profile->mappings.at[1].file);
}

void hone_flame_node_class(const struct hone_flame *flame, uint32_t node, char text[8])
{
    if (flame->diff)
        hone_flame_tone_class(text, flame->diff->tone[node]);
    else
        hone_flame_class(text, flame->colors[flame->tree->nodes[node].frame]);
}

int hone_flame_write(struct hone_flame *flame, const struct hone_flame_options *options,
                     const struct hone_profile *profile, struct hone_buffer *out)
{
    const struct hone_tree *tree = flame->tree;
    double smallest = options->min_fraction > 0 ? options->min_fraction : 0;
    int r = hone_flame_keep(flame, max_frames(options),
                            (int64_t)(smallest * (double)tree->nodes[0].total));
    if (!r)
        r = flame->diff ? hone_flame_tone_legend(flame) : hone_flame_legend(flame);
    if (r)
        return r;
    if (tree->nodes[0].total <= 0)
        hone_flame_note(flame, true, "%s",
                        options->filters      ? "no sample passes these filters"
                        : options->difference ? "no stack takes more than in the base"
                                              : "no samples of this type");
    note_losses(flame, options->difference);
    note_smaller(flame);
    note_comments(flame, profile);
    return flame->failed ? -ENOMEM : put_file(flame, out);
}

// --- a sandwich ----------------------------------------------------------------------------------

struct wanted {
    struct hone_pattern *pattern;
    struct hone_str first; // of the functions that matched
    uint32_t count;
};

static bool want(void *context, struct hone_str name)
{
    struct wanted *wanted = context;
    if (!hone_pattern_matches(wanted->pattern, name))
        return false;
    if (wanted->count && hone_str_equal(wanted->first, name))
        return true; // in another module, or inlined
    if (!wanted->count++)
        wanted->first = name;
    return true;
}

static int sandwich(const struct hone_profile *profile, const struct hone_tree_options *options,
                    struct hone_pattern *pattern, struct hone_arena *text,
                    struct hone_str *ret_root, struct hone_tree **ret, struct hone_error *err)
{
    struct wanted wanted = {.pattern = pattern};
    int r = hone_tree_sandwich(profile, options, want, &wanted, ret, err);
    if (r == -ENOENT) {
        (void)hone_error_set(err, 0, "no function matches '%s'", hone_pattern_text(pattern));
        hone_error_hint(err, "hone top --all lists those that there are");
    }
    if (r)
        return r;
    const char *root = wanted.count == 1
                           ? hone_arena_format(text, "%.*s", (int)wanted.first.len, wanted.first.at)
                           : hone_arena_format(text, "%u functions that match “%s”", wanted.count,
                                               hone_pattern_text(pattern));
    *ret_root = hone_str_of(root);
    return root ? 0 : hone_error_set(err, -ENOMEM, "cannot draw the flame graph");
}

static int draw(const struct hone_tree *tree, const struct hone_profile *profile, uint32_t type,
                const struct hone_flame_options *options, struct hone_str root,
                struct hone_buffer *out)
{
    HONE_CLEANUP(hone_flame_done) struct hone_flame flame;
    hone_flame_init(&flame, tree, profile, options);
    set_title(&flame, profile, type, options->title);
    set_facts(&flame, profile, type, options);
    if (root.len)
        flame.root = hone_utf8_clean(&flame.arena, root, TITLE_BYTES, &flame.failed);
    return hone_flame_write(&flame, options, profile, out);
}

int hone_view_flame(const struct hone_profile *profile, const struct hone_flame_options *options,
                    struct hone_buffer *out, struct hone_error *err)
{
    struct hone_flame_options chosen = {0};
    if (options)
        memcpy(&chosen, options, options->size < sizeof chosen ? options->size : sizeof chosen);
    struct hone_tree_options tree_options = {
        .size = sizeof tree_options,
        .group = chosen.group == HONE_FLAME_LINES     ? HONE_TREE_LINE
                 : chosen.group == HONE_FLAME_MODULES ? HONE_TREE_MODULE
                                                      : HONE_TREE_FUNCTION,
        .reversed = chosen.reversed,
        .net = chosen.difference,
        // What is smaller is counted in the picture, not drawn.
        .limit = {.max_nodes = hone_flame_most(max_frames(&chosen)),
                  .part = 0.9 / HONE_FLAME_LEGEND_PARTS},
    };
    int r = hone_profile_select_type(profile, chosen.type, &tree_options.type, err);
    if (r)
        return r;
    HONE_CLEANUP(hone_tree_freep) struct hone_tree *tree = NULL;
    HONE_CLEANUP(hone_arena_done) struct hone_arena text = {0};
    struct hone_str root = {0};
    r = chosen.sandwich
            ? sandwich(profile, &tree_options, chosen.sandwich, &text, &root, &tree, err)
            : hone_tree_of_profile(profile, &tree_options, &tree, err);
    if (r)
        return r;
    r = draw(tree, profile, tree_options.type, &chosen, root, out);
    return r ? hone_error_set(err, r, "cannot draw the flame graph") : 0;
}
