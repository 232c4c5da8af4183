#include "base/measure.h"

#include "base/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_auto(const char *unit)
{
    return strcmp(unit, "auto") == 0 || strcmp(unit, "minimum") == 0;
}

// The largest unit of which the value holds at least one.
static const struct hone_unit *suitable(const struct hone_unit_kind *kind, double value)
{
    const struct hone_unit *best = &kind->fallback;
    for (size_t i = 0; i < kind->count; i++)
        if (value / kind->units[i].factor >= 1.0)
            best = &kind->units[i];
    return best;
}

double hone_measure_scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
    if (value < 0 && value != INT64_MIN)
        return -hone_measure_scale(-value, from, to, ret_unit);
    for (size_t i = 0; i < HONE_UNIT_KINDS; i++) {
        const struct hone_unit_kind *kind = &hone_unit_kinds[i];
        const struct hone_unit *source = hone_unit_find(kind, from);
        if (!source)
            continue;
        double base = (double)value * source->factor;
        const struct hone_unit *target =
            is_auto(to) ? suitable(kind, base) : hone_unit_find(kind, to);
        if (!target)
            target = &kind->fallback;
        *ret_unit = target->printed;
        return base / target->factor;
    }
    bool silent = is_auto(to) || strcmp(to, "count") == 0 || strcmp(to, "sample") == 0 ||
                  strcmp(to, "unit") == 0;
    *ret_unit = silent ? "" : to;
    return (double)value;
}

struct hone_measure_label hone_measure_label(int64_t value, const char *from, const char *to)
{
    const char *unit;
    double scaled = hone_measure_scale(value, from, to, &unit);
    struct hone_measure_label label;
    int len = snprintf(label.text, sizeof label.text, "%.2f", scaled);
    if (len > 3 && strcmp(label.text + len - 3, ".00") == 0)
        label.text[len - 3] = '\0';
    if (strcmp(label.text, "0") == 0 || strcmp(label.text, "-0") == 0)
        return (struct hone_measure_label){"0"};
    size_t used = strlen(label.text);
    (void)snprintf(label.text + used, sizeof label.text - used, "%s", unit);
    return label;
}

struct hone_measure_label hone_measure_percentage(int64_t value, int64_t total)
{
    double ratio = total ? fabs((double)value / (double)total) * 100 : 0;
    struct hone_measure_label label;
    if (ratio >= 99.95 && ratio <= 100.05)
        (void)snprintf(label.text, sizeof label.text, "  100%%");
    else if (ratio >= 1.0)
        (void)snprintf(label.text, sizeof label.text, "%5.2f%%", ratio);
    else
        (void)snprintf(label.text, sizeof label.text, "%5.2g%%", ratio);
    return label;
}

const char *hone_measure_common_unit(int64_t smallest, int64_t largest, const char *from)
{
    const char *small_unit;
    const char *large_unit;
    (void)hone_measure_scale(smallest, from, "auto", &small_unit);
    (void)hone_measure_scale(largest, from, "auto", &large_unit);
    const char *unit = small_unit;
    // Units differ: a unit in which the smallest value still shows as 0.01.
    if (strcmp(small_unit, large_unit) != 0 && smallest < INT64_MAX / 100 &&
        smallest * 100 < largest)
        (void)hone_measure_scale(smallest * 100, from, "auto", &unit);
    return *unit ? unit : from;
}
