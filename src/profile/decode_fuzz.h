// The decoder's property, which fuzzer and corpus test share: any bytes give a profile or an error
// with words; how they are cut into blocks does not show; and what decodes also encodes, decodes
// again and encodes to the same bytes.
#ifndef HONE_PROFILE_DECODE_FUZZ_H
#define HONE_PROFILE_DECODE_FUZZ_H

#include "profile/decode.h"

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

// Returns what decoding the bytes returned. With memory short, -ENOMEM may come at any step.
static inline int hone_decode_check(const void *data, size_t size, bool memory_is_short)
{
    unsigned char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return -ENOMEM;
    memcpy(exact, data, size);
    struct hone_profile_limits limits = {.plain_bytes = 1 << 22};
    struct hone_profile *p = NULL;
    struct hone_profile *q = NULL;
    struct hone_buffer first = {0};
    struct hone_buffer second = {0};
    struct hone_error err = {0};
    int result = hone_profile_decode(exact, size, "fuzz", &limits, &p, &err);
    int other = hone_profile_decode_by(
        exact, size, "fuzz", &limits,
        &(struct hone_decode_ways){.block_bytes = 1 + size % 61, .threads = 1}, &q, NULL);
    HONE_DEMAND(memory_is_short || !result == !other);
    HONE_DEMAND(memory_is_short || !p || q->stacks.count == p->stacks.count);
    hone_profile_free(q);
    q = NULL;
    free(exact);
    int r = result;
    if (r) {
        HONE_DEMAND(r < 0 && !p && err.code == r && err.message[0]);
        return r;
    }
    HONE_DEMAND(hone_profile_status(p) == 0);
    r = hone_profile_encode(p, &first, &err);
    if (!r && !first.len) // nothing in it, not even the empty string: cannot be
        abort();
    if (!r)
        r = hone_profile_decode(first.at, first.len, "again", NULL, &q, &err);
    if (!r)
        r = hone_profile_encode(q, &second, &err);
    if (!r) {
        HONE_DEMAND(q->samples.count == p->samples.count && q->stacks.count == p->stacks.count);
        HONE_DEMAND(first.len == second.len && memcmp(first.at, second.at, first.len) == 0);
    } else {
        HONE_DEMAND(memory_is_short && r == -ENOMEM);
    }
    hone_buffer_done(&first);
    hone_buffer_done(&second);
    hone_profile_free(p);
    hone_profile_free(q);
    return result;
}

#endif
