// Decoding. Messages may come in any order and refer to later ones (Go writes samples first), so
// the outermost fields are passed over once per kind: strings, head, mappings, functions,
// locations, samples. Each message goes straight into the columns; passing over 400 000 samples
// costs 2 ms.
#include "profile/decode.h"

#include "profile/legacy.h"
#include "profile/unpack.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLAIN_BYTES_DEFAULT = 1 << 30 };

// --- errors --------------------------------------------------------------------------------------

__attribute__((format(printf, 3, 4))) int
hone_decode_bad(struct hone_decoder *d, const unsigned char *at, const char *format, ...)
{
    char reason[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return hone_error_set(d->err, -EBADMSG, "cannot read '%s': %s at byte %zu%s", d->name, reason,
                          (size_t)(at - d->start), d->packed ? " of the unpacked data" : "");
}

int hone_decode_out_of_memory(struct hone_decoder *d)
{
    return hone_error_set(d->err, -ENOMEM, "cannot read '%s'", d->name);
}

int hone_decode_status(struct hone_decoder *d)
{
    int r = hone_profile_status(d->profile);
    return r ? hone_error_set(d->err, r, "cannot read '%s'", d->name) : 0;
}

bool hone_decode_room(void *array, uint32_t *room, uint32_t count, size_t width)
{
    if (count < *room)
        return true;
    void *at;
    memcpy(&at, array, sizeof at);
    uint32_t larger = *room < 16 ? 16 : *room + *room / 2;
    at = larger > *room ? reallocarray(at, larger, width) : NULL;
    if (!at)
        return false;
    memcpy(array, &at, sizeof at);
    *room = larger;
    return true;
}

// --- fields --------------------------------------------------------------------------------------

int hone_decode_want(struct hone_decoder *d, const struct hone_wire_field *field,
                     enum hone_wire_type type)
{
    if (field->type == type)
        return 0;
    return hone_decode_bad(d, field->start, "field %llu of the wrong kind",
                           (unsigned long long)field->number);
}

static int want_number(struct hone_decoder *d, const struct hone_wire_field *field, int64_t *ret)
{
    int r = hone_decode_want(d, field, HONE_WIRE_VARINT);
    if (!r)
        *ret = (int64_t)field->value;
    return r;
}

int hone_decode_string(struct hone_decoder *d, const struct hone_wire_field *field, uint32_t *ret)
{
    int r = hone_decode_want(d, field, HONE_WIRE_VARINT);
    if (r)
        return r;
    if (field->value >= d->string_count && field->value)
        return hone_decode_bad(d, field->start, "string %lld, where there are %u",
                               (long long)field->value, d->string_count);
    *ret = field->value ? d->strings[field->value] : 0;
    return 0;
}

// --- the head ------------------------------------------------------------------------------------

static int add_string(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_str text = {(const char *)field->body.at,
                            (size_t)(field->body.end - field->body.at)};
    if (!d->string_count && text.len)
        return hone_decode_bad(d, field->start, "first string is not empty");
    d->strings[d->string_count++] = hone_profile_intern_str(d->profile, text);
    return hone_decode_status(d);
}

static int decode_value_type(struct hone_decoder *d, const struct hone_wire_field *field,
                             struct hone_profile_type *ret)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1)
            r = hone_decode_string(d, &part, &ret->type);
        else if (part.number == 2)
            r = hone_decode_string(d, &part, &ret->unit);
    }
    return r;
}

static int decode_sample_type(struct hone_decoder *d, const struct hone_wire_field *field)
{
    struct hone_profile *p = d->profile;
    if (p->type_count == HONE_PROFILE_TYPES_MAX)
        return hone_decode_bad(d, field->start, "more than %d sample types",
                               HONE_PROFILE_TYPES_MAX);
    struct hone_profile_type type = {0};
    int r = decode_value_type(d, field, &type);
    if (!r)
        p->types[p->type_count++] = type;
    return r;
}

static int add_comment(struct hone_decoder *d, struct hone_wire_field *number)
{
    uint32_t string = 0;
    int r = hone_decode_string(d, number, &string);
    if (r)
        return r;
    hone_profile_add_comment_string(d->profile, string);
    return hone_decode_status(d);
}

static int decode_comments(struct hone_decoder *d, const struct hone_wire_field *field)
{
    struct hone_wire_field number = *field;
    if (field->type != HONE_WIRE_BYTES)
        return add_comment(d, &number);
    struct hone_wire run = field->body;
    number.type = HONE_WIRE_VARINT;
    int r = 0;
    while (!r && run.at != run.end) {
        number.start = run.at;
        r = hone_wire_varint(&run, &number.value) ? add_comment(d, &number)
                                                  : hone_decode_bad(d, run.at, "broken number");
    }
    return r;
}

static int decode_time(struct hone_decoder *d, const struct hone_wire_field *field)
{
    if (d->has_time)
        return hone_decode_bad(d, field->start, "second profile in the same file");
    d->has_time = field->value != 0;
    return want_number(d, field, &d->profile->time_ns);
}

static int decode_duration(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return want_number(d, field, &d->profile->duration_ns);
}

static int decode_period(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return want_number(d, field, &d->profile->period);
}

static int decode_period_type(struct hone_decoder *d, const struct hone_wire_field *field)
{
    d->profile->period_type = (struct hone_profile_type){0};
    return decode_value_type(d, field, &d->profile->period_type);
}

static int decode_drop_frames(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return hone_decode_string(d, field, &d->profile->drop_frames);
}

static int decode_keep_frames(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return hone_decode_string(d, field, &d->profile->keep_frames);
}

static int decode_default_type(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return hone_decode_string(d, field, &d->profile->default_type);
}

static int decode_doc_url(struct hone_decoder *d, const struct hone_wire_field *field)
{
    return hone_decode_string(d, field, &d->profile->doc_url);
}

// --- whole profiles ------------------------------------------------------------------------------

typedef int (*decode_field)(struct hone_decoder *d, const struct hone_wire_field *field);

static const decode_field decoders[HONE_DECODE_FIELDS] = {
    [1] = decode_sample_type,   [2] = hone_decode_sample,   [3] = hone_decode_mapping,
    [4] = hone_decode_location, [5] = hone_decode_function, [6] = add_string,
    [7] = decode_drop_frames,   [8] = decode_keep_frames,   [9] = decode_time,
    [10] = decode_duration,     [11] = decode_period_type,  [12] = decode_period,
    [13] = decode_comments,     [14] = decode_default_type, [15] = decode_doc_url,
};

static int count_messages(struct hone_decoder *d)
{
    struct hone_wire file = {d->start, d->start + d->len};
    struct hone_wire_field field;
    int r;
    while ((r = hone_decode_next(d, &file, &field)) > 0)
        if (field.number < HONE_DECODE_FIELDS)
            d->count[field.number]++; // fewer than bytes, so below 2^32 when the limit is
    return r;
}

// Decodes the outermost fields whose number's bit is set.
static int pass(struct hone_decoder *d, unsigned fields)
{
    struct hone_wire file = {d->start, d->start + d->len};
    struct hone_wire_field field;
    int r;
    while ((r = hone_decode_next(d, &file, &field)) > 0) {
        if (field.number >= HONE_DECODE_FIELDS || !(fields & 1u << field.number))
            continue;
        r = decoders[field.number](d, &field);
        if (r)
            return r;
    }
    return r;
}

static void decoder_done(struct hone_decoder *d)
{
    hone_profile_free(d->profile);
    free(d->strings);
    hone_ids_done(&d->mappings);
    hone_ids_done(&d->functions);
    hone_ids_done(&d->locations);
    free(d->lines);
    free(d->labels);
    free(d->pending);
}

static int decode_plain(struct hone_decoder *d)
{
    int r = count_messages(d);
    if (r)
        return r;
    d->profile = hone_profile_new();
    d->strings = calloc((size_t)d->count[6] + 1, sizeof *d->strings);
    d->pending = calloc(HONE_DECODE_BATCH, sizeof *d->pending);
    if (!d->profile || !d->strings || !d->pending || hone_ids_init(&d->mappings, d->count[3]) ||
        hone_ids_init(&d->functions, d->count[5]) || hone_ids_init(&d->locations, d->count[4]))
        return hone_decode_out_of_memory(d);
    // A sample takes 16 bytes or more unless somebody is playing tricks with the counts.
    size_t likely = d->count[2] < d->len / 16 ? d->count[2] : d->len / 16;
    if (hone_table_reserve(&d->profile->index->stacks, (uint32_t)likely) ||
        hone_table_reserve(&d->profile->index->samples, (uint32_t)likely))
        return hone_decode_out_of_memory(d);

    static const unsigned passes[] = {
        1u << 6, 0xff82 /* the head: 1 and 7 to 15 */, 1u << 3, 1u << 5, 1u << 4, 1u << 2,
    };
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        r = pass(d, passes[i]);
        if (r)
            return r;
    }
    return hone_decode_flush(d);
}

static size_t limit_of(const struct hone_profile_limits *limits)
{
    size_t limit = limits && limits->plain_bytes ? limits->plain_bytes : PLAIN_BYTES_DEFAULT;
    return limit < UINT32_MAX ? limit : UINT32_MAX; // what our numbers reach
}

// Decodes bytes; those that packed owns (may be NULL) are freed as soon as they are unpacked.
static int decode(const void *bytes, size_t len, char **packed, const char *name, size_t limit,
                  struct hone_profile **ret, struct hone_error *err)
{
    if (!len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
    if (len > limit)
        return hone_error_set(err, -EFBIG, "'%s' has more than %zu bytes", name, limit);

    HONE_CLEANUP(hone_freep) unsigned char *unpacked = NULL;
    HONE_CLEANUP(decoder_done)
    struct hone_decoder d = {.name = name, .start = bytes, .len = len, .err = err};
    int r;
    if (hone_unpack_is_gzip(bytes, len)) {
        d.packed = true;
        r = hone_unpack_gzip(bytes, len, name, limit, &unpacked, &d.len, err);
        if (r)
            return r;
        d.start = unpacked;
        if (packed) {
            free(*packed);
            *packed = NULL;
        }
    }
    if (hone_legacy_detect(d.start, d.len))
        return hone_legacy_decode(d.start, d.len, name, ret, err);
    r = decode_plain(&d);
    if (r == -EBADMSG)
        hone_error_hint(err, "a profile here is pprof's profile.proto, plain or in gzip, or one of "
                             "its older formats");
    if (!r)
        *ret = hone_take(d.profile);
    return r;
}

int hone_profile_decode(const void *bytes, size_t len, const char *name,
                        const struct hone_profile_limits *limits, struct hone_profile **ret,
                        struct hone_error *err)
{
    return decode(bytes, len, NULL, name, limit_of(limits), ret, err);
}

int hone_profile_read(const char *path, const struct hone_profile_limits *limits,
                      struct hone_profile **ret, struct hone_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    HONE_CLEANUP(hone_freep) char *bytes = NULL;
    size_t len;
    int r = hone_file_read(standard ? "/dev/stdin" : path, limit_of(limits), &bytes, &len, err);
    if (r)
        return r;
    return decode(bytes, len, &bytes, standard ? "standard input" : path, limit_of(limits), ret,
                  err);
}
