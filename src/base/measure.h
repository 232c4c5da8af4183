// Values with units, as pprof prints them: 1.23s, 45.60ms, 512kB, 99.5%.
//
// Units are known by name ("nanoseconds", "ns", "bytes", …); of one kind they are converted into
// each other, any other unit is printed as it is, and "count" is not printed at all.
#ifndef HONE_BASE_MEASURE_H
#define HONE_BASE_MEASURE_H

#include "base/buffer.h"

#include <stddef.h>
#include <stdint.h>

// Any value with its unit.
struct hone_measure_label {
    char text[96];
};

// A value in a unit that suits its size ("auto") or in the unit named by to. The unit is "" when it
// goes without saying; it lives as long as to.
double hone_measure_scale(int64_t value, const char *from, const char *to, const char **ret_unit);

// The same as text, with two decimals or none.
struct hone_measure_label hone_measure_label(int64_t value, const char *from, const char *to);

// value as a part of total, 6 characters wide: " 2.50%".
struct hone_measure_label hone_measure_percentage(int64_t value, int64_t total);

// The unit in which values from smallest to largest are best printed together; NULL for "auto".
const char *hone_measure_common_unit(int64_t smallest, int64_t largest, const char *from);

#endif
