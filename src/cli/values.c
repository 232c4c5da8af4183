#include "cli/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit times[] = {
    {"ns", 1},
    {"us", 1000},
    {"µs", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", 60 * INT64_C(1000000000)},
    {"min", 60 * INT64_C(1000000000)},
    {"h", 3600 * INT64_C(1000000000)},
    {"d", 86400 * INT64_C(1000000000)},
};

static const struct unit sizes[] = {
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", INT64_C(1000000000000)},
    {"K", INT64_C(1) << 10},
    {"KiB", INT64_C(1) << 10},
    {"M", INT64_C(1) << 20},
    {"MiB", INT64_C(1) << 20},
    {"G", INT64_C(1) << 30},
    {"GiB", INT64_C(1) << 30},
    {"T", INT64_C(1) << 40},
    {"TiB", INT64_C(1) << 40},
};

#define UNITS(table) (table), sizeof(table) / sizeof(table)[0]

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Puts one more digit behind *value; false when that leaves int64_t.
static bool append_digit(int64_t *value, char digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, digit - '0', value);
}

bool hone_value_count(const char *text, int64_t *ret)
{
    int64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (!is_digit(*text) || !append_digit(&value, *text))
            return false;
    }
    *ret = value;
    return true;
}

static const struct unit *find_unit(const char *name, size_t len, const struct unit *units,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
            return &units[i];
    }
    return NULL;
}

// The part of factor that the digits after a point stand for, rounded down. The first 18 digits
// count: their value and its scale fit in 63 bits.
static int64_t fraction(const char *digits, const char *end, int64_t factor)
{
    __extension__ typedef unsigned __int128 wide;
    int64_t value = 0;
    int64_t scale = 1;
    for (int i = 0; i < 18 && digits < end; i++, digits++) {
        value = value * 10 + (*digits - '0');
        scale *= 10;
    }
    return (int64_t)((wide)value * (wide)factor / (wide)scale);
}

// Reads one "12.5unit" and adds it to *sum; NULL when it is none or too large.
static const char *add_quantity(const char *text, int64_t *sum, const struct unit *units,
                                size_t count, int64_t bare_factor)
{
    const char *number = text;
    const char *point = NULL;
    while (is_digit(*text) || (*text == '.' && !point)) {
        if (*text == '.')
            point = text;
        text++;
    }
    const char *end = point ? point : text;
    if (end == number || (point && text == point + 1))
        return NULL;

    const char *name = text;
    while (*text && !is_digit(*text) && *text != '.')
        text++;
    int64_t factor = bare_factor;
    if (text != name) {
        const struct unit *unit = find_unit(name, (size_t)(text - name), units, count);
        if (!unit)
            return NULL;
        factor = unit->factor;
    }

    int64_t whole = 0;
    for (const char *at = number; at < end; at++) {
        if (!append_digit(&whole, *at))
            return NULL;
    }
    int64_t value;
    if (__builtin_mul_overflow(whole, factor, &value))
        return NULL;
    if (point && __builtin_add_overflow(value, fraction(point + 1, name, factor), &value))
        return NULL;
    return __builtin_add_overflow(*sum, value, sum) ? NULL : text;
}

bool hone_value_time(const char *text, int64_t *ret_ns)
{
    int64_t sum = 0;
    if (!*text)
        return false;
    while (*text) {
        text = add_quantity(text, &sum, UNITS(times), 1000000000);
        if (!text)
            return false;
    }
    *ret_ns = sum;
    return true;
}

bool hone_value_size(const char *text, int64_t *ret_bytes)
{
    int64_t sum = 0;
    const char *rest = add_quantity(text, &sum, UNITS(sizes), 1);
    if (!rest || *rest)
        return false;
    *ret_bytes = sum;
    return true;
}

// The largest listed unit that divides value.
static void print_exact(int64_t value, const struct unit *units, size_t count, char *buffer,
                        size_t len)
{
    const struct unit *best = &units[0];
    for (size_t i = 0; i < count; i++) {
        if (value != 0 && value % units[i].factor == 0 && units[i].factor > best->factor)
            best = &units[i];
    }
    (void)snprintf(buffer, len, "%" PRId64 "%s", value / best->factor, best->name);
}

void hone_value_print_time(int64_t ns, char *buffer, size_t len)
{
    print_exact(ns, UNITS(times), buffer, len);
}

void hone_value_print_size(int64_t bytes, char *buffer, size_t len)
{
    print_exact(bytes, UNITS(sizes), buffer, len);
}
