// What holds for any bytes, shared by fuzzer and test: they give a profile or an error with words;
// and what is read can be written, read again and written to the same bytes. What begins as a JSON
// document does is read and written as one.
#ifndef HONE_CONVERT_OTLP_FUZZ_H
#define HONE_CONVERT_OTLP_FUZZ_H

#include "convert/readers.h"
#include "profile/decode_fuzz.h"

struct hone_otlp_way {
    unsigned (*detect)(const void *bytes, size_t len);
    int (*read)(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                struct hone_error *err);
    int (*write)(const struct hone_profile *profile, struct hone_buffer *out,
                 struct hone_error *err);
};

static inline const struct hone_otlp_way *hone_otlp_way_of(const unsigned char *bytes, size_t size)
{
    static const struct hone_otlp_way protobuf = {hone_otlp_detect, hone_otlp_read,
                                                  hone_otlp_write};
    static const struct hone_otlp_way json = {hone_otlp_json_detect, hone_otlp_json_read,
                                              hone_otlp_json_write};
    return size && bytes[0] == '{' ? &json : &protobuf;
}

static inline int hone_otlp_check(const void *data, size_t size, bool memory_is_short)
{
    unsigned char *exact = malloc(size ? size : 1); // a read past the end is caught
    if (!exact)
        return -ENOMEM;
    memcpy(exact, data, size);
    struct hone_profile *p = NULL;
    struct hone_profile *q = NULL;
    struct hone_buffer first = {0};
    struct hone_buffer second = {0};
    struct hone_error err = {0};
    const struct hone_otlp_way *way = hone_otlp_way_of(exact, size);
    (void)way->detect(exact, size);
    int result = way->read(exact, size, "fuzz", &p, &err);
    free(exact);
    if (result) {
        HONE_DEMAND(result < 0 && !p && err.code == result && err.message[0]);
        return result;
    }
    int r = way->write(p, &first, &err);
    if (!r)
        r = way->read(first.at, first.len, "again", &q, &err);
    if (!r)
        r = way->write(q, &second, &err);
    // Keys that are no UTF-8 are mended by the first writing, and stand in another order after it.
    struct hone_profile *stable = NULL;
    struct hone_buffer third = {0};
    if (!r)
        r = way->read(second.at, second.len, "once more", &stable, &err);
    if (!r)
        r = way->write(stable, &third, &err);
    if (!r) {
        HONE_DEMAND(q->samples.count == p->samples.count && q->type_count == p->type_count);
        HONE_DEMAND(second.len == third.len && memcmp(second.at, third.at, second.len) == 0);
        HONE_DEMAND(!p->type_count || way->detect(first.at, first.len) >= HONE_CONVERT_LIKELY);
    } else {
        HONE_DEMAND(memory_is_short && r == -ENOMEM);
    }
    hone_buffer_done(&first);
    hone_buffer_done(&second);
    hone_buffer_done(&third);
    hone_profile_free(p);
    hone_profile_free(q);
    hone_profile_free(stable);
    return result;
}

#endif
