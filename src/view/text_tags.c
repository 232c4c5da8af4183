// The labels of all samples: for each key its values with what the samples add up to that have
// them.
#include "view/text_report.h"

#include "analyse/tally.h"
#include "base/cleanup.h"
#include "profile/filter.h"
#include "view/tabs.h"

#include <errno.h>
#include <stdlib.h>

struct tag {
    struct hone_str key;
    struct hone_str value;
    int64_t sum;
};

struct tags {
    struct hone_report report;
    struct hone_arena arena;
    struct tag *at;
    uint32_t count;
    struct hone_buffer text; // with tabs
};

static void tags_done(struct tags *tags)
{
    hone_arena_done(&tags->arena);
    free(tags->at);
    hone_buffer_done(&tags->text);
}

static int compare_texts(struct hone_str a, struct hone_str b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_by_name(const void *left, const void *right)
{
    const struct tag *a = left;
    const struct tag *b = right;
    int order = compare_texts(a->key, b->key);
    return order ? order : compare_texts(a->value, b->value);
}

static int compare_by_size(const void *left, const void *right)
{
    const struct tag *a = left;
    const struct tag *b = right;
    int order = compare_texts(a->key, b->key);
    uint64_t size_a = hone_tally_magnitude(a->sum);
    uint64_t size_b = hone_tally_magnitude(b->sum);
    if (order || size_a != size_b)
        return order ? order : size_a > size_b ? -1 : 1;
    return compare_texts(a->value, b->value);
}

// --- collecting ----------------------------------------------------------------------------------

static const char *asked_unit(const struct tags *tags)
{
    const char *unit = tags->report.options->unit;
    return unit ? unit : "minimum";
}

static int add_set(struct tags *tags, uint32_t label_set, int64_t sum, const char *const *units)
{
    const struct hone_profile *p = tags->report.profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, label_set);
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        struct tag *tag = &tags->at[tags->count++];
        *tag = (struct tag){.key = hone_profile_str(p, label->key), .sum = sum};
        if (label->text) {
            tag->value = hone_profile_str(p, label->text);
            continue;
        }
        const char *text =
            hone_measure_label(label->number, units[label->key], asked_unit(tags)).text;
        tag->value = hone_str_of(hone_arena_format(&tags->arena, "%s", text));
        if (!tag->value.at)
            return -ENOMEM;
    }
    return 0;
}

static void sum_equals(struct tags *tags)
{
    if (!tags->count)
        return;
    qsort(tags->at, tags->count, sizeof *tags->at, compare_by_name);
    uint32_t to = 0;
    for (uint32_t i = 1; i < tags->count; i++) {
        if (compare_by_name(&tags->at[to], &tags->at[i]) == 0)
            tags->at[to].sum = hone_tally_add(tags->at[to].sum, tags->at[i].sum);
        else
            tags->at[++to] = tags->at[i];
    }
    tags->count = to + 1;
    qsort(tags->at, tags->count, sizeof *tags->at, compare_by_size);
}

static int collect(struct tags *tags)
{
    const struct hone_profile *p = tags->report.profile;
    HONE_CLEANUP(hone_freep) int64_t *sums = calloc(p->label_sets.count, sizeof *sums);
    HONE_CLEANUP(hone_freep) bool *used = calloc(p->label_sets.count, sizeof *used);
    HONE_CLEANUP(hone_freep) const char **units = hone_profile_label_units(p);
    tags->at = calloc((size_t)p->labels.count + 1, sizeof *tags->at);
    if (!sums || !used || !units || !tags->at)
        return -ENOMEM;
    const int64_t *values = p->samples.values[tags->report.type];
    for (uint32_t i = 0; i < p->samples.count; i++) {
        uint32_t set = p->samples.label_set[i];
        used[set] = true;
        sums[set] = hone_tally_add(sums[set], values[i]);
    }
    for (uint32_t set = 0; set < p->label_sets.count; set++) {
        int r = used[set] ? add_set(tags, set, sums[set], units) : 0;
        if (r)
            return r;
    }
    sum_equals(tags);
    return 0;
}

// --- printing ------------------------------------------------------------------------------------

static void put_sum(struct tags *tags, int64_t sum)
{
    const char *unit;
    double scaled = hone_measure_scale(sum, tags->report.unit, asked_unit(tags), &unit);
    hone_buffer_format(&tags->text, "%.1f%s", scaled, unit);
}

// Returns the place behind the last tag of this key.
static uint32_t put_key(struct tags *tags, uint32_t first)
{
    struct hone_str key = tags->at[first].key;
    uint32_t end = first;
    int64_t total = 0;
    for (; end < tags->count && compare_texts(tags->at[end].key, key) == 0; end++)
        total = hone_tally_add(total, tags->at[end].sum);
    struct hone_buffer *text = &tags->text;
    hone_buffer_add(text, key.at, key.len);
    hone_buffer_text(text, ":\t Total ");
    put_sum(tags, total);
    hone_buffer_text(text, "\n");
    for (uint32_t i = first; i < end; i++) {
        const struct tag *tag = &tags->at[i];
        hone_buffer_text(text, " \t");
        put_sum(tags, tag->sum);
        if (total > 0)
            hone_buffer_format(text, " (%s)", hone_measure_percentage(tag->sum, total).text);
        hone_buffer_text(text, ":\t ");
        hone_buffer_add(text, tag->value.at, tag->value.len);
        hone_buffer_text(text, "\n");
    }
    hone_buffer_text(text, "\n");
    return end;
}

int hone_text_tags(const struct hone_profile *profile, const struct hone_text_options *options,
                   struct hone_buffer *out, struct hone_error *err)
{
    HONE_CLEANUP(tags_done) struct tags tags = {0};
    int r = hone_report_init(&tags.report, profile, options, out, err);
    if (r)
        return r;
    r = collect(&tags);
    for (uint32_t i = 0; !r && i < tags.count;)
        i = put_key(&tags, i);
    if (!r && tags.text.failed)
        r = -ENOMEM;
    if (!r && !tags.count && !tags.report.options->strict)
        hone_buffer_text(out, "No sample has a label.\n");
    if (!r)
        r = hone_tabs_put(out, (struct hone_str){tags.text.at, tags.text.len});
    return r ? hone_error_set(err, -ENOMEM, "cannot list the labels") : 0;
}
