#include "view/measure.h"

#include "core/core.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *printed;
    const char *aliases[4]; // lower case, without a plural s
    double factor;          // of the smallest of its kind
};

struct kind {
    const struct unit *units; // smallest first
    size_t count;
    struct unit fallback; // where no unit is small enough
};

static const struct unit bytes[] = {
    {"B", {"b", "byte"}, 1},
    {"kB", {"kb", "kbyte", "kilobyte"}, 1024.0},
    {"MB", {"mb", "mbyte", "megabyte"}, 1024.0 * 1024},
    {"GB", {"gb", "gbyte", "gigabyte"}, 1024.0 * 1024 * 1024},
    {"TB", {"tb", "tbyte", "terabyte"}, 1024.0 * 1024 * 1024 * 1024},
    {"PB", {"pb", "pbyte", "petabyte"}, 1024.0 * 1024 * 1024 * 1024 * 1024},
};

static const struct unit times[] = {
    {"ns", {"ns", "nanosecond"}, 1},    {"us", {"μs", "us", "microsecond"}, 1e3},
    {"ms", {"ms", "millisecond"}, 1e6}, {"s", {"s", "sec", "second"}, 1e9},
    {"hrs", {"hour", "hr"}, 3600e9},
};

static const struct unit compute_units[] = {
    {"n*GCU", {"nanogcu"}, 1e-9}, {"u*GCU", {"microgcu"}, 1e-6}, {"m*GCU", {"milligcu"}, 1e-3},
    {"GCU", {"gcu"}, 1},          {"k*GCU", {"kilogcu"}, 1e3},   {"M*GCU", {"megagcu"}, 1e6},
    {"G*GCU", {"gigagcu"}, 1e9},  {"T*GCU", {"teragcu"}, 1e12},  {"P*GCU", {"petagcu"}, 1e15},
};

static const struct kind kinds[] = {
    {bytes, HONE_ARRAY_LENGTH(bytes), {"B", {NULL}, 1}},
    {times, HONE_ARRAY_LENGTH(times), {"s", {NULL}, 1e9}},
    {compute_units, HONE_ARRAY_LENGTH(compute_units), {"GCU", {NULL}, 1}},
};

static const struct unit *find_unit(const struct kind *kind, const char *name)
{
    char word[24];
    size_t len = strlen(name);
    if (len >= sizeof word)
        return NULL;
    for (size_t i = 0; i <= len; i++)
        word[i] = (char)tolower((unsigned char)name[i]);
    if (len > 2 && word[len - 1] == 's')
        word[len - 1] = '\0';
    for (size_t i = 0; i < kind->count; i++)
        for (const char *const *alias = kind->units[i].aliases; *alias; alias++)
            if (strcmp(*alias, word) == 0)
                return &kind->units[i];
    return NULL;
}

static bool is_auto(const char *unit)
{
    return strcmp(unit, "auto") == 0 || strcmp(unit, "minimum") == 0;
}

// The largest unit of which the value holds at least one.
static const struct unit *suitable(const struct kind *kind, double value)
{
    const struct unit *best = &kind->fallback;
    for (size_t i = 0; i < kind->count; i++)
        if (value / kind->units[i].factor >= 1.0)
            best = &kind->units[i];
    return best;
}

double hone_measure_scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
    if (value < 0 && value != INT64_MIN)
        return -hone_measure_scale(-value, from, to, ret_unit);
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(kinds); i++) {
        const struct unit *source = find_unit(&kinds[i], from);
        if (!source)
            continue;
        double base = (double)value * source->factor;
        const struct unit *target =
            is_auto(to) ? suitable(&kinds[i], base) : find_unit(&kinds[i], to);
        if (!target)
            target = &kinds[i].fallback;
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
    if (!smallest)
        smallest = largest;
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
