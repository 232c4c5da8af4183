// Units of measured values by the names that profiles give them ("nanoseconds", "ns", "kB", …), and
// what they are of each other: the names and factors that pprof knows.
//
// Threads: safe.
#ifndef HONE_BASE_UNIT_H
#define HONE_BASE_UNIT_H

#include <stdbool.h>
#include <stddef.h>

struct hone_unit {
    const char *printed;
    const char *aliases[4]; // lower case, without a plural s; NULL behind the last
    double factor;          // of the smallest of its kind
};

// Units that can be converted into each other: bytes, times, units of computing.
struct hone_unit_kind {
    const struct hone_unit *units; // smallest first
    size_t count;
    struct hone_unit fallback; // where no unit is small enough
};

enum { HONE_UNIT_KINDS = 3 };
extern const struct hone_unit_kind hone_unit_kinds[HONE_UNIT_KINDS];

// The unit of this kind with that name, in any case, with or without a plural s; NULL if none has.
const struct hone_unit *hone_unit_find(const struct hone_unit_kind *kind, const char *name);

// Whether any kind has a unit of that name.
bool hone_unit_is_known(const char *name);

// How many of unit `to` one of unit `from` is: 1000000 of "ms" to "ns". False when they cannot be
// converted into each other; units of equal names always can.
bool hone_unit_ratio(const char *from, const char *to, double *ret);

#endif
