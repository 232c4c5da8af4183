// The property of reading a perf.data, which fuzzer and unit test share: any bytes give a profile
// or an error with words; and a profile that was made can be written and read again.
#ifndef HONE_CONVERT_PERF_FUZZ_H
#define HONE_CONVERT_PERF_FUZZ_H

#include "convert/perf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HONE_DEMAND(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// Returns what reading returned. With memory short, -ENOMEM may come at any step.
static inline int hone_perf_check(const void *data, size_t size, bool memory_is_short)
{
    unsigned char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return -ENOMEM;
    memcpy(exact, data, size);
    const struct hone_perf_options options = {
        .size = sizeof options, .no_names = true, .cache = "", .threads = 1};
    struct hone_profile *p = NULL;
    struct hone_profile *q = NULL;
    struct hone_buffer bytes = {0};
    struct hone_error err = {0};
    int result = hone_perf_read(exact, size, "fuzz", &options, &p, &err);
    free(exact);
    if (result) {
        HONE_DEMAND(result < 0 && !p && err.code == result && err.message[0]);
        return result;
    }
    HONE_DEMAND(hone_profile_status(p) == 0 && p->type_count > 0);
    int r = hone_profile_encode(p, &bytes, &err);
    if (!r)
        r = hone_profile_decode(bytes.at, bytes.len, "again", NULL, &q, &err);
    if (!r)
        HONE_DEMAND(q->samples.count == p->samples.count);
    else
        HONE_DEMAND(memory_is_short && r == -ENOMEM);
    hone_buffer_done(&bytes);
    hone_profile_free(p);
    hone_profile_free(q);
    return result;
}

#endif
