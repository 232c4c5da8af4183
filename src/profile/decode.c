// Decoding as a whole: the samples first, as the file comes; then, when all of it was read,
// strings, head, mappings, functions and locations, which refer to each other in this order; then
// what the samples refer to. A pass over the messages of 200 000 places costs 1 ms.
#include "profile/decode.h"
#include "profile/legacy.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLAIN_BYTES_DEFAULT = 1 << 30 };

// --- errors --------------------------------------------------------------------------------------

static int bad_byte(const struct hone_decoder *d, uint64_t byte, struct hone_error *err,
                    const char *format, va_list arguments)
{
    char reason[200];
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    return hone_error_set(err, -EBADMSG, "cannot read '%s': %s at byte %llu%s",
                          hone_unpack_name(d->input), reason, (unsigned long long)byte,
                          hone_unpack_is_packed(d->input) ? " of the unpacked data" : "");
}

__attribute__((format(printf, 4, 5))) int hone_decode_bad_byte(const struct hone_decoder *d,
                                                               uint64_t byte,
                                                               struct hone_error *err,
                                                               const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int r = bad_byte(d, byte, err, format, arguments);
    va_end(arguments);
    return r;
}

__attribute__((format(printf, 3, 4))) int
hone_decode_bad(struct hone_decoder *d, const unsigned char *at, const char *format, ...)
{
    size_t place = (size_t)(at - (const unsigned char *)d->rest.at);
    va_list arguments;
    va_start(arguments, format);
    int r = bad_byte(d, d->piece->offset + (place - d->piece->start), d->err, format, arguments);
    va_end(arguments);
    return r;
}

int hone_decode_out_of_memory(struct hone_decoder *d)
{
    return hone_error_set(d->err, -ENOMEM, "cannot read '%s'", hone_unpack_name(d->input));
}

int hone_decode_status(struct hone_decoder *d)
{
    int r = hone_profile_status(d->profile);
    return r ? hone_error_set(d->err, r, "cannot read '%s'", hone_unpack_name(d->input)) : 0;
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
    if (d->type_count == HONE_PROFILE_TYPES_MAX)
        return hone_decode_bad(d, field->start, "more than %d sample types",
                               HONE_PROFILE_TYPES_MAX);
    struct hone_profile_type type = {0};
    int r = decode_value_type(d, field, &type);
    if (!r)
        d->types[d->type_count++] = type;
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
    [1] = decode_sample_type,   [3] = hone_decode_mapping, [4] = hone_decode_location,
    [5] = hone_decode_function, [6] = add_string,          [7] = decode_drop_frames,
    [8] = decode_keep_frames,   [9] = decode_time,         [10] = decode_duration,
    [11] = decode_period_type,  [12] = decode_period,      [13] = decode_comments,
    [14] = decode_default_type, [15] = decode_doc_url,
};

// Decodes the messages whose number's bit is set.
static int pass(struct hone_decoder *d, unsigned fields)
{
    const unsigned char *rest = (const unsigned char *)d->rest.at;
    for (uint32_t i = 0; i < d->piece_count; i++) {
        d->piece = &d->pieces[i];
        size_t end = i + 1 < d->piece_count ? d->pieces[i + 1].start : d->rest.len;
        struct hone_wire bytes = {rest + d->piece->start, rest + end};
        struct hone_wire_field field;
        int r;
        while ((r = hone_decode_next(d, &bytes, &field)) > 0) {
            if (!(fields & 1u << field.number)) // below HONE_DECODE_FIELDS, or it was not kept
                continue;
            r = decoders[field.number] ? decoders[field.number](d, &field) : 0;
            if (r)
                return r;
        }
        r = r ? r : hone_decode_locations_end(d);
        if (r)
            return r;
    }
    return 0;
}

static void decoder_done(struct hone_decoder *d)
{
    hone_profile_free(d->profile);
    hone_buffer_done(&d->rest);
    free(d->pieces);
    hone_decode_labels_done(&d->labels);
    (void)pthread_mutex_destroy(&d->wide_lock);
    free(d->wide);
    hone_table_done(&d->wide_index);
    free(d->strings);
    hone_ids_done(&d->mappings);
    hone_ids_done(&d->functions);
    hone_ids_done(&d->locations);
    free(d->lines);
}

// Messages cannot be more than bytes, so their counts fit where the limit does.
static int decode_rest(struct hone_decoder *d)
{
    d->strings = calloc((size_t)d->count[6] + 1, sizeof *d->strings);
    if (!d->strings || hone_ids_init(&d->mappings, (uint32_t)d->count[3]) ||
        hone_ids_init(&d->functions, (uint32_t)d->count[5]) ||
        hone_ids_init(&d->locations, (uint32_t)d->count[4]) ||
        hone_table_reserve(&d->profile->index->locations, (uint32_t)d->count[4]))
        return hone_decode_out_of_memory(d);
    static const unsigned passes[] = {
        1u << 6, 0xff82 /* the head: 1 and 7 to 15 */, 1u << 3, 1u << 5, 1u << 4,
    };
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        int r = pass(d, passes[i]);
        if (r)
            return r;
    }
    return 0;
}

static int set_types(struct hone_decoder *d)
{
    struct hone_profile *p = d->profile;
    if (d->count[2] && (!d->type_count || d->value_count != d->type_count))
        return hone_decode_bad_byte(d, d->first_sample, d->err,
                                    "sample with %u values, where there are %u sample types",
                                    d->value_count, d->type_count);
    memcpy(p->types, d->types, sizeof p->types);
    p->type_count = d->type_count;
    return 0;
}

static int decode_all(struct hone_decoder *d, const struct hone_decode_ways *ways)
{
    d->profile = hone_profile_new();
    if (!d->profile)
        return hone_decode_out_of_memory(d);
    int r = hone_decode_stream(d, ways);
    r = r ? r : decode_rest(d);
    r = r ? r : set_types(d);
    r = r ? r : hone_decode_renumber(d);
    if (!r && !d->count[6]) // such as a file of zeros, which are fields of number 0
        r = hone_decode_bad_byte(d, 0, d->err, "no table of strings");
    return r;
}

static size_t limit_of(const struct hone_profile_limits *limits)
{
    size_t limit = limits && limits->plain_bytes ? limits->plain_bytes : PLAIN_BYTES_DEFAULT;
    return limit < UINT32_MAX ? limit : UINT32_MAX; // what our numbers reach
}

// The older formats refer back and forth, and their files are small: they are read as a whole.
static int decode_legacy(struct hone_unpack *input, struct hone_profile **ret,
                         struct hone_error *err)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer bytes = {0};
    int r = hone_unpack_all(input, &bytes, err);
    return r ? r
             : hone_legacy_decode((const unsigned char *)bytes.at, bytes.len,
                                  hone_unpack_name(input), ret, err);
}

static int decode(struct hone_unpack *input, const struct hone_decode_ways *ways,
                  struct hone_profile **ret, struct hone_error *err)
{
    const unsigned char *beginning;
    size_t len;
    int known = hone_unpack_peek(input, &beginning, &len, err);
    if (known)
        return known;
    if (hone_legacy_detect(beginning, len))
        return decode_legacy(input, ret, err);
    HONE_CLEANUP(decoder_done)
    struct hone_decoder d = {.input = input, .err = err, .wide_lock = PTHREAD_MUTEX_INITIALIZER};
    int r = decode_all(&d, ways);
    if (r == -EBADMSG)
        hone_error_hint(err, "a profile here is pprof's profile.proto, plain or in gzip, or one of "
                             "its older formats");
    if (!r)
        *ret = hone_take(d.profile);
    return r;
}

static const struct hone_decode_ways *ways_of(const struct hone_profile_limits *limits,
                                              struct hone_decode_ways *ways)
{
    *ways = (struct hone_decode_ways){.threads = limits ? limits->threads : 0};
    return ways;
}

int hone_profile_decode_by(const void *bytes, size_t len, const char *name,
                           const struct hone_profile_limits *limits,
                           const struct hone_decode_ways *ways, struct hone_profile **ret,
                           struct hone_error *err)
{
    if (!len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
    HONE_CLEANUP(hone_unpack_freep) struct hone_unpack *input = NULL;
    int r = hone_unpack_bytes(bytes, len, name, limit_of(limits), &input, err);
    return r ? r : decode(input, ways, ret, err);
}

int hone_profile_decode(const void *bytes, size_t len, const char *name,
                        const struct hone_profile_limits *limits, struct hone_profile **ret,
                        struct hone_error *err)
{
    struct hone_decode_ways ways;
    return hone_profile_decode_by(bytes, len, name, limits, ways_of(limits, &ways), ret, err);
}

int hone_profile_read(const char *path, const struct hone_profile_limits *limits,
                      struct hone_profile **ret, struct hone_error *err)
{
    HONE_CLEANUP(hone_unpack_freep) struct hone_unpack *input = NULL;
    int r = hone_unpack_file(path, limit_of(limits), &input, err);
    if (r)
        return r;
    if (hone_unpack_is_empty(input))
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty",
                              hone_unpack_name(input));
    struct hone_decode_ways ways;
    return decode(input, ways_of(limits, &ways), ret, err);
}
