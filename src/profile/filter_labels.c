#include "profile/filter_parts.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hone_label_filter {
    char *text;      // of the whole, cut in pieces
    const char *key; // NULL: any
    char *range;     // as it was given; NULL: expressions
    bool has_low;
    bool has_high;
    double low;
    double high;
    const char *unit;   // of both
    char unit_text[64]; // where unit points to when it is none that is known
    struct hone_pattern **patterns;
    size_t pattern_count;
    struct hone_buffer name; // "key:value"
};

void hone_label_filter_free(struct hone_label_filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->pattern_count; i++)
        hone_pattern_free(filter->patterns[i]);
    free(filter->patterns);
    free(filter->text);
    free(filter->range);
    hone_buffer_done(&filter->name);
    free(filter);
}

void hone_label_filter_freep(struct hone_label_filter **filter)
{
    hone_label_filter_free(*filter);
}

const char *hone_label_filter_range(const struct hone_label_filter *filter)
{
    return filter->range;
}

bool hone_label_filter_failed(const struct hone_label_filter *filter)
{
    return filter->name.failed;
}

// --- ranges --------------------------------------------------------------------------------------

// A number with a unit, as "+32kb".
struct quantity {
    const char *at; // of its first character
    size_t len;
    int64_t value;
    char unit[64];
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// The first quantity anywhere in the text. Returns false when there is none; -ERANGE in *ret_r when
// it is none that 64 bits hold.
static bool find_quantity(const char *text, struct quantity *ret, int *ret_r)
{
    const char *at = text;
    while (*at && !is_digit(*at))
        at++;
    if (!*at)
        return false;
    const char *start = at > text && (at[-1] == '+' || at[-1] == '-') ? at - 1 : at;
    errno = 0;
    ret->value = strtoll(start, NULL, 10);
    if (errno == ERANGE)
        *ret_r = -ERANGE;
    while (is_digit(*at))
        at++;
    const char *unit = at;
    while (is_letter(*at))
        at++;
    size_t unit_len = (size_t)(at - unit);
    if (unit_len >= sizeof ret->unit)
        *ret_r = -ERANGE;
    else {
        memcpy(ret->unit, unit, unit_len);
        ret->unit[unit_len] = '\0';
    }
    ret->at = start;
    ret->len = (size_t)(at - start);
    return true;
}

// Returns 0 for a range and 1 for a text that is none.
static int parse_range(struct hone_label_filter *filter, const char *text)
{
    struct quantity first;
    struct quantity second;
    int r = 0;
    if (!find_quantity(text, &first, &r))
        return 1;
    const char *end = first.at + first.len;
    bool from_start = first.at == text;
    bool open_below = first.at == text + 1 && text[0] == ':';
    bool alone = !*end;
    bool open_above = end[0] == ':' && !end[1];
    bool two = find_quantity(end, &second, &r);
    if (two && !(from_start && *end == ':' && second.at == end + 1 && !second.at[second.len]))
        return 1;
    if (!two && !(from_start && (alone || open_above)) && !(open_below && alone))
        return 1;
    if (r)
        return r;
    memcpy(filter->unit_text, first.unit, sizeof filter->unit_text);
    double value =
        hone_measure_scale(first.value, filter->unit_text, filter->unit_text, &filter->unit);
    filter->has_low = two || from_start;
    filter->has_high = two || open_below || alone;
    filter->low = filter->high = value;
    if (two) {
        const char *unit = "";
        filter->high = hone_measure_scale(second.value, second.unit, filter->unit, &unit);
        // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): scaling always names a unit
        if (strcmp(unit, filter->unit) != 0)
            return 1;
    }
    filter->range = strdup(text);
    return filter->range ? 0 : -ENOMEM;
}

// --- making --------------------------------------------------------------------------------------

static int parse_patterns(struct hone_label_filter *filter, char *text, struct hone_error *err)
{
    size_t count = 1;
    for (const char *at = text; *at; at++)
        count += *at == ',';
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    filter->patterns = calloc(count, sizeof *filter->patterns);
    if (!filter->patterns)
        return hone_error_set(err, -ENOMEM, "cannot read the expression");
    for (char *next = text; next;) {
        const char *one = strsep(&next, ",");
        int r = hone_pattern_new_go(one, &filter->patterns[filter->pattern_count], err);
        if (r)
            return r;
        filter->pattern_count++;
    }
    return 0;
}

int hone_label_filter_new(const char *text, struct hone_label_filter **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_label_filter_freep)
    struct hone_label_filter *filter = calloc(1, sizeof *filter);
    if (filter)
        filter->text = strdup(text);
    if (!filter || !filter->text)
        return hone_error_set(err, -ENOMEM, "cannot read the expression");
    char *value = filter->text;
    char *equals = strchr(value, '=');
    if (equals) {
        *equals = '\0';
        filter->key = *value ? value : NULL;
        value = equals + 1;
    }
    int r = parse_range(filter, value);
    if (r == -ERANGE)
        return hone_error_set(err, -EINVAL, "'%s' holds a number that is too large", text);
    if (r < 0)
        return hone_error_set(err, r, "cannot read the expression");
    r = r ? parse_patterns(filter, value, err) : 0;
    if (r)
        return r;
    *ret = hone_take(filter);
    return 0;
}

// --- matching ------------------------------------------------------------------------------------

static bool key_is(const struct hone_label_filter *filter, const struct hone_profile *p,
                   uint32_t key)
{
    return !filter->key || hone_str_equal(hone_profile_str(p, key), hone_str_of(filter->key));
}

static bool in_range(const struct hone_label_filter *filter, int64_t number, const char *from)
{
    const char *unit;
    double value = hone_measure_scale(number, from, filter->unit, &unit);
    return strcmp(unit, filter->unit) == 0 && (!filter->has_low || value >= filter->low) &&
           (!filter->has_high || value <= filter->high);
}

static bool pattern_matches(struct hone_label_filter *filter, struct hone_pattern *pattern,
                            const struct hone_profile *p, const struct hone_profile_label *label)
{
    struct hone_str value = hone_profile_str(p, label->text);
    if (filter->key)
        return hone_pattern_matches(pattern, value);
    struct hone_str key = hone_profile_str(p, label->key);
    filter->name.len = 0;
    hone_buffer_add(&filter->name, key.at, key.len);
    hone_buffer_add(&filter->name, ":", 1);
    hone_buffer_add(&filter->name, value.at, value.len);
    return !filter->name.failed &&
           hone_pattern_matches(pattern, (struct hone_str){filter->name.at, filter->name.len});
}

static bool any_matches(struct hone_label_filter *filter, struct hone_pattern *pattern,
                        const struct hone_profile *p, struct hone_profile_label_span labels)
{
    for (uint32_t i = 0; i < labels.count; i++)
        if (labels.at[i].text && key_is(filter, p, labels.at[i].key) &&
            pattern_matches(filter, pattern, p, &labels.at[i]))
            return true;
    return false;
}

bool hone_label_filter_matches(struct hone_label_filter *filter, const struct hone_profile *p,
                               const char *const *units, uint32_t label_set)
{
    struct hone_profile_label_span labels = hone_profile_labels_of(p, label_set);
    if (filter->range) {
        for (uint32_t i = 0; i < labels.count; i++) {
            const struct hone_profile_label *label = &labels.at[i];
            if (!label->text && key_is(filter, p, label->key) &&
                in_range(filter, label->number, units[label->key]))
                return true;
        }
        return false;
    }
    // Of a named label one expression is enough; without a name each must match some label.
    size_t matched = 0;
    for (size_t i = 0; i < filter->pattern_count; i++)
        matched += any_matches(filter, filter->patterns[i], p, labels);
    return filter->key ? matched > 0 : matched == filter->pattern_count;
}
