// The property of reading a perf.data, which fuzzer and unit test share: any bytes give a profile
// or an error with words; and a profile that was made can be written and read again.
//
// A directory of `perf record --threads` is made of bytes that begin with HONE_PERF_PARTS: then
// come its files, the one with the header first, each behind its size in 4 bytes. The last ends
// with all.
#ifndef HONE_CONVERT_PERF_FUZZ_H
#define HONE_CONVERT_PERF_FUZZ_H

#include "convert/perf_parts.h"

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

#define HONE_PERF_PARTS "PERFDIR\n"

enum { HONE_PERF_PARTS_MAX = 8 };

static inline size_t hone_perf_take_file(const unsigned char **at, size_t *left)
{
    uint32_t size = 0;
    memcpy(&size, *at, *left < 4 ? *left : 4);
    *at += *left < 4 ? *left : 4;
    *left -= *left < 4 ? *left : 4;
    return size < *left ? size : *left;
}

static inline int hone_perf_read_checked(const unsigned char *bytes, size_t size,
                                         const struct hone_perf_options *options,
                                         struct hone_profile **ret, struct hone_error *err)
{
    const size_t magic = sizeof HONE_PERF_PARTS - 1;
    if (size < magic || memcmp(bytes, HONE_PERF_PARTS, magic) != 0)
        return hone_perf_read(bytes, size, "fuzz", options, ret, err);
    struct hone_perfdata_part parts[HONE_PERF_PARTS_MAX];
    struct hone_perfdata_input input = {.name = "fuzz", .parts = parts};
    const unsigned char *at = bytes + magic;
    size_t left = size - magic;
    input.len = hone_perf_take_file(&at, &left);
    input.bytes = at;
    at += input.len;
    left -= input.len;
    while (left && input.part_count < HONE_PERF_PARTS_MAX) {
        size_t len = hone_perf_take_file(&at, &left);
        parts[input.part_count] =
            (struct hone_perfdata_part){.bytes = at, .len = len, .number = input.part_count};
        input.part_count++;
        at += len;
        left -= len;
    }
    return hone_perfdata_read_input(&input, options, ret, err);
}

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
    int result = hone_perf_read_checked(exact, size, &options, &p, &err);
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
