#include "base/unit.h"

#include "core/core.h"

#include <ctype.h>
#include <string.h>

static const struct hone_unit bytes[] = {
    {"B", {"b", "byte"}, 1},
    {"kB", {"kb", "kbyte", "kilobyte"}, 1024.0},
    {"MB", {"mb", "mbyte", "megabyte"}, 1024.0 * 1024},
    {"GB", {"gb", "gbyte", "gigabyte"}, 1024.0 * 1024 * 1024},
    {"TB", {"tb", "tbyte", "terabyte"}, 1024.0 * 1024 * 1024 * 1024},
    {"PB", {"pb", "pbyte", "petabyte"}, 1024.0 * 1024 * 1024 * 1024 * 1024},
};

static const struct hone_unit times[] = {
    {"ns", {"ns", "nanosecond"}, 1},    {"us", {"μs", "us", "microsecond"}, 1e3},
    {"ms", {"ms", "millisecond"}, 1e6}, {"s", {"s", "sec", "second"}, 1e9},
    {"hrs", {"hour", "hr"}, 3600e9},
};

static const struct hone_unit compute_units[] = {
    {"n*GCU", {"nanogcu"}, 1e-9}, {"u*GCU", {"microgcu"}, 1e-6}, {"m*GCU", {"milligcu"}, 1e-3},
    {"GCU", {"gcu"}, 1},          {"k*GCU", {"kilogcu"}, 1e3},   {"M*GCU", {"megagcu"}, 1e6},
    {"G*GCU", {"gigagcu"}, 1e9},  {"T*GCU", {"teragcu"}, 1e12},  {"P*GCU", {"petagcu"}, 1e15},
};

const struct hone_unit_kind hone_unit_kinds[HONE_UNIT_KINDS] = {
    {bytes, HONE_ARRAY_LENGTH(bytes), {"B", {NULL}, 1}},
    {times, HONE_ARRAY_LENGTH(times), {"s", {NULL}, 1e9}},
    {compute_units, HONE_ARRAY_LENGTH(compute_units), {"GCU", {NULL}, 1}},
};

const struct hone_unit *hone_unit_find(const struct hone_unit_kind *kind, const char *name)
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

bool hone_unit_is_known(const char *name)
{
    for (size_t i = 0; i < HONE_UNIT_KINDS; i++)
        if (hone_unit_find(&hone_unit_kinds[i], name))
            return true;
    return false;
}

bool hone_unit_ratio(const char *from, const char *to, double *ret)
{
    if (strcmp(from, to) == 0) {
        *ret = 1;
        return true;
    }
    for (size_t i = 0; i < HONE_UNIT_KINDS; i++) {
        const struct hone_unit *source = hone_unit_find(&hone_unit_kinds[i], from);
        const struct hone_unit *target = hone_unit_find(&hone_unit_kinds[i], to);
        if (source && target) {
            *ret = source->factor / target->factor;
            return true;
        }
    }
    return false;
}
