#include "cli/options.h"

// Only what can be recorded and shown is listed. Go's names are accepted for each.
const struct hone_choice hone_type_choices[] = {
    {"cpu", HONE_TYPE_CPU, false},
    {"profile", HONE_TYPE_CPU, true},
    {"wall", HONE_TYPE_WALL, false},
    {"heap", HONE_TYPE_HEAP, false},
    {"memory", HONE_TYPE_HEAP, true},
    {"allocs", HONE_TYPE_ALLOCS, false},
    {"threads", HONE_TYPE_THREADS, false},
    {"goroutine", HONE_TYPE_THREADS, true},
    {0},
};
