#include "cli/options.h"

// Only what can be recorded and shown is listed. Go's names are accepted for each.
// One a line, however many they are.
// clang-format off
const struct hone_choice hone_type_choices[] = {
    {"cpu", HONE_TYPE_CPU, false},
    {"profile", HONE_TYPE_CPU, true},
    {"wall", HONE_TYPE_WALL, false},
    {"heap", HONE_TYPE_HEAP, false},
    {"memory", HONE_TYPE_HEAP, true},
    {"allocs", HONE_TYPE_ALLOCS, false},
    {"mutex", HONE_TYPE_MUTEX, false},
    {"block", HONE_TYPE_BLOCK, false},
    {"threads", HONE_TYPE_THREADS, false},
    {"goroutine", HONE_TYPE_THREADS, true},
    {0},
};
// clang-format on
