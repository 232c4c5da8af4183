#include "analyse/compare.h"
#include "analyse/tree_diff.h"
#include "core/core.h"
#include "profile/profile.h"
#include "view/flame.h"
#include "view/flame_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { TEXT_BYTES = 400 };

// --- what the graph says about itself ------------------------------------------------------------

static struct hone_str cleaned(struct hone_flame *flame, struct hone_str text)
{
    return hone_utf8_clean(&flame->arena, text, TEXT_BYTES, &flame->failed);
}

static struct hone_str program_of(const struct hone_profile *profile)
{
    if (profile->mappings.count < 2)
        return (struct hone_str){0};
    return hone_flame_file_of(hone_profile_str(profile, profile->mappings.at[1].file));
}

static void set_title(struct hone_flame *flame, const struct hone_compare *compare,
                      const struct hone_profile *profile, const char *title)
{
    flame->unit = cleaned(flame, compare->unit);
    if (title) {
        flame->title = cleaned(flame, hone_str_of(title));
        return;
    }
    struct hone_str program = program_of(profile);
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%.*s%s%.*s · difference",
                   (int)(program.len < 200 ? program.len : 200), program.len ? program.at : "",
                   program.len ? " · " : "", (int)(compare->type.len < 60 ? compare->type.len : 60),
                   compare->type.at);
    flame->title = cleaned(flame, hone_str_of(text));
}

static void format_change(char text[32], double change)
{
    if (isfinite(change))
        (void)snprintf(text, 32, "%+.1f %%", change * 100);
    else
        (void)snprintf(text, 32, "any");
}

static void set_facts(struct hone_flame *flame, const struct hone_compare *compare,
                      const char *const *filters)
{
    static const char *const per[] = {
        [HONE_COMPARE_RUN] = "a run",
        [HONE_COMPARE_SECOND] = "as long a recording",
        [HONE_COMPARE_SHARE] = "shares, on the new side's scale",
    };
    static const char *const verdicts[] = {
        [HONE_VERDICT_UNKNOWN] = "may be chance",
        [HONE_VERDICT_MORE] = "more",
        [HONE_VERDICT_LESS] = "less",
    };
    const struct hone_judge_row *whole = &compare->judge.whole;
    char base[64], new[64], change[32], text[TEXT_BYTES];
    hone_flame_amount(base, sizeof base, flame->diff->whole[0], flame->unit);
    hone_flame_amount(new, sizeof new, flame->diff->whole[1], flame->unit);
    format_change(change, whole->change);
    int len = snprintf(text, sizeof text, "%s before, %s now, %s", base, new, per[compare->per]);
    if (compare->per != HONE_COMPARE_SHARE && len > 0 && (size_t)len < sizeof text)
        (void)snprintf(text + len, sizeof text - (size_t)len, " · %s, %s", change,
                       verdicts[whole->verdict]);
    char more[128];
    (void)snprintf(more, sizeof more, " · %u and %u run%s, %.0f and %.0f samples",
                   compare->side[0].runs, compare->side[1].runs,
                   compare->side[0].runs + compare->side[1].runs > 2 ? "s" : "",
                   compare->side[0].taken, compare->side[1].taken);
    struct hone_buffer facts = {0};
    hone_buffer_text(&facts, text);
    hone_buffer_text(&facts, more);
    for (const char *const *filter = filters; filter && *filter; filter++)
        hone_buffer_format(&facts, " · %s", *filter);
    flame->failed |= facts.failed;
    flame->facts = cleaned(flame, (struct hone_str){facts.at, facts.failed ? 0 : facts.len});
    hone_buffer_done(&facts);
}

static void set_notes(struct hone_flame *flame, const struct hone_compare *compare)
{
    hone_flame_note(flame, false,
                    "widths are the new side's; red takes more than before, blue less, grey may be "
                    "chance; hatched is surely gone and as wide as it was");
    if (flame->diff->whole[1] + flame->diff->whole[0] > 0)
        hone_flame_note(flame, false,
                        "what lies below frames of less than %g %% was not told apart",
                        flame->diff->least * 100);
    uint64_t negative = compare->side[0].negative + compare->side[1].negative;
    if (negative)
        hone_flame_note(flame, true, "%" PRIu64 " samples of negative value are not shown",
                        negative);
    if (compare->judge.df <= 0)
        hone_flame_note(flame, false,
                        "one run a side: what is called more or less is more than sampling "
                        "explains, but runs may differ by more");
    for (uint32_t i = 0, told = 0; i < compare->row_count && told < 10; i++) {
        const struct hone_compare_row *row = &compare->rows[i];
        if (!row->was.len)
            continue;
        hone_flame_note(flame, false, "%.*s was %.*s",
                        (int)(row->name.len < 180 ? row->name.len : 180), row->name.at,
                        (int)(row->was.len < 180 ? row->was.len : 180), row->was.at);
        told++;
    }
}

// --- legend --------------------------------------------------------------------------------------

// In this order: from what is gone to what is new.
static const struct {
    unsigned tone;
    const char *label;
} legend[] = {
    {HONE_TREE_GONE, "gone, as wide as it was"},
    {HONE_TREE_LESS + 3, "less than 2/5"},
    {HONE_TREE_LESS + 2, "less than 2/3"},
    {HONE_TREE_LESS + 1, "less than 9/10"},
    {HONE_TREE_LESS, "little less"},
    {HONE_TREE_UNSURE, "cannot tell"},
    {HONE_TREE_MORE, "little more"},
    {HONE_TREE_MORE + 1, "above 1.1×"},
    {HONE_TREE_MORE + 2, "above 1.5×"},
    {HONE_TREE_MORE + 3, "above 2.5×"},
    {HONE_TREE_FRESH, "new"},
};

int hone_flame_tone_legend(struct hone_flame *flame)
{
    const struct hone_tree *tree = flame->tree;
    int64_t selves[HONE_TREE_TONES] = {0};
    int64_t widest[HONE_TREE_TONES] = {0};
    for (size_t i = 1; i < tree->node_count; i++) {
        unsigned tone = flame->diff->tone[i];
        selves[tone] += tree->nodes[i].self;
        if (tree->nodes[i].total > widest[tone])
            widest[tone] = tree->nodes[i].total;
    }
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(legend); i++) {
        unsigned tone = legend[i].tone;
        if (selves[tone] == 0 && widest[tone] <= tree->nodes[0].total / HONE_FLAME_LEGEND_PARTS)
            continue;
        flame->keys[flame->key_count++] = (struct hone_flame_key){
            .label = hone_str_of(legend[i].label), .family = tone, .self = selves[tone]};
    }
    return 0;
}

// -------------------------------------------------------------------------------------------------

static int draw(const struct hone_compare *compare, const struct hone_tree_diff *diff,
                const struct hone_profile *profile, const struct hone_flame_options *options,
                struct hone_buffer *out)
{
    HONE_CLEANUP(hone_flame_done) struct hone_flame flame;
    hone_flame_init(&flame, diff->tree, profile, options);
    flame.diff = diff;
    set_title(&flame, compare, profile, options->title);
    set_facts(&flame, compare, options->filters);
    set_notes(&flame, compare);
    return hone_flame_write(&flame, options, profile, out);
}

int hone_view_flame_diff(const struct hone_compare *compare, const struct hone_compare_input *sides,
                         const struct hone_flame_options *options, struct hone_buffer *out,
                         struct hone_error *err)
{
    struct hone_flame_options chosen = {0};
    if (options)
        memcpy(&chosen, options, options->size < sizeof chosen ? options->size : sizeof chosen);
    struct hone_tree_diff_options tree_options = {
        .group = chosen.group == HONE_FLAME_LINES     ? HONE_TREE_LINE
                 : chosen.group == HONE_FLAME_MODULES ? HONE_TREE_MODULE
                                                      : HONE_TREE_FUNCTION,
        .reversed = chosen.reversed,
    };
    HONE_CLEANUP(hone_tree_diff_freep) struct hone_tree_diff *diff = NULL;
    int r = hone_tree_diff_new(compare, sides, &tree_options, &diff, err);
    if (r)
        return r;
    r = draw(compare, diff, sides[1].at[0], &chosen, out);
    return r ? hone_error_set(err, r, "cannot draw the flame graph") : 0;
}
