// The readers' property, which fuzzer and corpus test share: any bytes, read in any format of the
// table, give a profile or an error with words; and what was read can be written in every format,
// of which pprof's own and our JSON read back.
#ifndef HONE_CONVERT_CONVERT_FUZZ_H
#define HONE_CONVERT_CONVERT_FUZZ_H

#include "convert/convert.h"
#include "profile/decode_fuzz.h"
#include "profile/profile.h"

// Those with a reader of bytes, by number.
static inline const struct hone_convert_format *hone_fuzz_format(unsigned number)
{
    unsigned count = 0;
    for (const struct hone_convert_format *at = hone_convert_formats; at->name; at++)
        count += at->read != NULL;
    number %= count;
    const struct hone_convert_format *format = hone_convert_formats;
    for (;; format++)
        if (format->read && number-- == 0)
            return format;
}

static inline int hone_fuzz_write(const struct hone_profile *p,
                                  const struct hone_convert_format *format, struct hone_buffer *out)
{
    struct hone_error err = {0};
    int r = hone_convert_write(p, format, false, out, &err);
    HONE_DEMAND(r == 0 || (r < 0 && err.code == r && err.message[0]));
    return r;
}

// What a format without losses holds is read back, and can be written again.
static inline int hone_fuzz_round(const struct hone_profile *p,
                                  const struct hone_convert_format *format,
                                  const struct hone_buffer *first, bool memory_is_short)
{
    struct hone_profile *again = NULL;
    struct hone_buffer second = {0};
    struct hone_error err = {0};
    int r = format->read(first->at, first->len, "again", &again, &err);
    if (!r)
        r = hone_fuzz_write(again, format, &second);
    HONE_DEMAND(r == 0 || (memory_is_short && r == -ENOMEM));
    if (!r)
        HONE_DEMAND(again->samples.count <= p->samples.count); // those that differ by address meet
    hone_buffer_done(&second);
    hone_profile_free(again);
    return r;
}

static inline int hone_fuzz_write_all(const struct hone_profile *p, bool memory_is_short)
{
    int result = 0;
    for (const struct hone_convert_format *format = hone_convert_formats; format->name; format++) {
        if (!format->write)
            continue;
        struct hone_buffer out = {0};
        int r = hone_fuzz_write(p, format, &out);
        bool lossless = strcmp(format->name, "pprof") == 0 || strcmp(format->name, "json") == 0;
        if (!r && lossless)
            r = hone_fuzz_round(p, format, &out, memory_is_short);
        hone_buffer_done(&out);
        if (r == -ENOMEM)
            result = r;
    }
    return result;
}

// Returns what reading returned, or -ENOMEM where writing ran out of memory.
static inline int hone_convert_check(const struct hone_convert_format *format, const void *data,
                                     size_t size, bool memory_is_short)
{
    unsigned char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return -ENOMEM;
    memcpy(exact, data, size);
    struct hone_profile *p = NULL;
    struct hone_error err = {0};
    int r = format ? format->read(exact, size, "fuzz", &p, &err)
                   : hone_convert_read_bytes(exact, size, "fuzz", NULL, &p, NULL, &err);
    free(exact);
    if (r) {
        HONE_DEMAND(r < 0 && !p && err.code == r && err.message[0]);
        return r;
    }
    HONE_DEMAND(hone_profile_status(p) == 0);
    r = hone_fuzz_write_all(p, memory_is_short);
    HONE_DEMAND(r == 0 || memory_is_short);
    hone_profile_free(p);
    return r;
}

#endif
