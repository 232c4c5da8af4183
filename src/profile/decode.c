// Decoding. Messages may come in any order and refer to later ones (Go writes samples first), so
// the outermost fields are passed over once per kind: strings, head, mappings, functions,
// locations, samples. Each message goes straight into the columns; passing over 400 000 samples
// costs 2 ms.
#include "profile/index.h"
#include "profile/unpack.h"
#include "profile/wire.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLAIN_BYTES_DEFAULT = 1 << 30, FIELDS = 16 };

// The file's ids to our numbers; 0 where there is none. Ids up to the count of messages, which is
// what everybody writes, are found by place, others through a table.
struct ids {
    const char *what;
    uint32_t *dense;
    uint64_t dense_count;
    struct hone_table table;
    uint64_t *sparse; // pairs: id, number
    uint32_t sparse_count;
    uint32_t sparse_room;
};

struct decoder {
    struct hone_profile *profile;
    const char *name;
    const unsigned char *start;
    size_t len;
    bool packed;
    struct hone_error *err;

    uint32_t count[FIELDS]; // of messages by kind
    uint32_t *strings;      // the file's numbers to ours
    uint32_t string_count;
    struct ids mappings;
    struct ids functions;
    struct ids locations;

    bool has_time;
    struct hone_profile_line *lines; // of the location at hand
    uint32_t line_room;
    struct hone_profile_label *labels; // of the sample at hand
    uint32_t label_room;
};

// --- errors --------------------------------------------------------------------------------------

__attribute__((format(printf, 3, 4))) static int bad(struct decoder *d, const unsigned char *at,
                                                     const char *format, ...)
{
    char reason[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return hone_error_set(d->err, -EBADMSG, "cannot read '%s': %s at byte %zu%s", d->name, reason,
                          (size_t)(at - d->start), d->packed ? " of the unpacked data" : "");
}

static int out_of_memory(struct decoder *d)
{
    return hone_error_set(d->err, -ENOMEM, "cannot read '%s'", d->name);
}

static int check_profile(struct decoder *d)
{
    int r = hone_profile_status(d->profile);
    return r ? hone_error_set(d->err, r, "cannot read '%s'", d->name) : 0;
}

// Room for one more entry of an array that grows by half.
static bool room_for(void *array, uint32_t *room, uint32_t count, size_t width)
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

// Steps to the next field of a message. Returns 1, 0 at its end, or a negative errno.
static int next(struct decoder *d, struct hone_wire *message, struct hone_wire_field *ret)
{
    if (message->at == message->end)
        return 0;
    const unsigned char *start = message->at;
    hone_wire_fault fault = hone_wire_next(message, ret);
    return fault ? bad(d, start, "%s", fault) : 1;
}

static int want(struct decoder *d, const struct hone_wire_field *field, enum hone_wire_type type)
{
    if (field->type == type)
        return 0;
    return bad(d, field->start, "field %llu of the wrong kind", (unsigned long long)field->number);
}

static int want_string(struct decoder *d, const struct hone_wire_field *field, uint32_t *ret)
{
    int r = want(d, field, HONE_WIRE_VARINT);
    if (r)
        return r;
    if (field->value >= d->string_count && field->value)
        return bad(d, field->start, "string %lld, where there are %u", (long long)field->value,
                   d->string_count);
    *ret = field->value ? d->strings[field->value] : 0;
    return 0;
}

// --- ids -----------------------------------------------------------------------------------------

static int ids_init(struct ids *ids, const char *what, uint32_t message_count)
{
    ids->what = what;
    ids->dense_count = (uint64_t)message_count + 1;
    ids->dense = calloc(ids->dense_count, sizeof *ids->dense);
    return ids->dense ? 0 : -ENOMEM;
}

static void ids_done(struct ids *ids)
{
    free(ids->dense);
    free(ids->sparse);
    hone_table_done(&ids->table);
}

static uint64_t hash_id(uint64_t id)
{
    return hone_table_hash(&id, sizeof id, hone_table_seed());
}

static uint32_t ids_find_sparse(const struct ids *ids, uint64_t id)
{
    struct hone_table_probe probe = hone_table_probe(&ids->table, hash_id(id));
    uint32_t at;
    while ((at = hone_table_next(&ids->table, &probe)) != HONE_TABLE_END)
        if (ids->sparse[2 * (size_t)at] == id)
            return (uint32_t)ids->sparse[2 * (size_t)at + 1];
    return 0;
}

static inline uint32_t ids_find(const struct ids *ids, uint64_t id)
{
    return id < ids->dense_count ? ids->dense[id] : ids_find_sparse(ids, id);
}

static int ids_add(struct decoder *d, struct ids *ids, uint64_t id, uint32_t number,
                   const unsigned char *at)
{
    int r = check_profile(d);
    if (r)
        return r;
    if (!id)
        return bad(d, at, "%s without id", ids->what);
    if (ids_find(ids, id))
        return bad(d, at, "second %s with id %llu", ids->what, (unsigned long long)id);
    if (id < ids->dense_count) {
        ids->dense[id] = number;
        return 0;
    }
    if (!room_for(&ids->sparse, &ids->sparse_room, ids->sparse_count, 2 * sizeof *ids->sparse) ||
        hone_table_add(&ids->table, hash_id(id), ids->sparse_count))
        return out_of_memory(d);
    ids->sparse[2 * (size_t)ids->sparse_count] = id;
    ids->sparse[2 * (size_t)ids->sparse_count + 1] = number;
    ids->sparse_count++;
    return 0;
}

static int want_id(struct decoder *d, const struct hone_wire_field *field, const struct ids *ids,
                   uint32_t *ret)
{
    int r = want(d, field, HONE_WIRE_VARINT);
    if (r)
        return r;
    *ret = ids_find(ids, field->value);
    if (field->value && !*ret)
        return bad(d, field->start, "no %s has id %llu", ids->what,
                   (unsigned long long)field->value);
    return 0;
}

// --- the head ------------------------------------------------------------------------------------

static int decode_string(struct decoder *d, const struct hone_wire_field *field)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_str text = {(const char *)field->body.at,
                            (size_t)(field->body.end - field->body.at)};
    if (!d->string_count && text.len)
        return bad(d, field->start, "first string is not empty");
    d->strings[d->string_count++] = hone_profile_intern_str(d->profile, text);
    return check_profile(d);
}

static int decode_value_type(struct decoder *d, const struct hone_wire_field *field,
                             struct hone_profile_type *ret)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1)
            r = want_string(d, &part, &ret->type);
        else if (part.number == 2)
            r = want_string(d, &part, &ret->unit);
    }
    return r;
}

static int decode_sample_type(struct decoder *d, const struct hone_wire_field *field)
{
    struct hone_profile *p = d->profile;
    if (p->type_count == HONE_PROFILE_TYPES_MAX)
        return bad(d, field->start, "more than %d sample types", HONE_PROFILE_TYPES_MAX);
    struct hone_profile_type type = {0};
    int r = decode_value_type(d, field, &type);
    if (!r)
        p->types[p->type_count++] = type;
    return r;
}

static int add_comment(struct decoder *d, struct hone_wire_field *number)
{
    uint32_t string;
    int r = want_string(d, number, &string);
    if (r)
        return r;
    hone_profile_add_comment_string(d->profile, string);
    return check_profile(d);
}

static int decode_comments(struct decoder *d, const struct hone_wire_field *field)
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
                                                  : bad(d, run.at, "broken number");
    }
    return r;
}

static int decode_time(struct decoder *d, const struct hone_wire_field *field)
{
    if (d->has_time)
        return bad(d, field->start, "second profile in the same file");
    d->has_time = field->value != 0;
    d->profile->time_ns = (int64_t)field->value;
    return want(d, field, HONE_WIRE_VARINT);
}

static int decode_duration(struct decoder *d, const struct hone_wire_field *field)
{
    d->profile->duration_ns = (int64_t)field->value;
    return want(d, field, HONE_WIRE_VARINT);
}

static int decode_period(struct decoder *d, const struct hone_wire_field *field)
{
    d->profile->period = (int64_t)field->value;
    return want(d, field, HONE_WIRE_VARINT);
}

static int decode_period_type(struct decoder *d, const struct hone_wire_field *field)
{
    d->profile->period_type = (struct hone_profile_type){0};
    return decode_value_type(d, field, &d->profile->period_type);
}

static int decode_drop_frames(struct decoder *d, const struct hone_wire_field *field)
{
    return want_string(d, field, &d->profile->drop_frames);
}

static int decode_keep_frames(struct decoder *d, const struct hone_wire_field *field)
{
    return want_string(d, field, &d->profile->keep_frames);
}

static int decode_default_type(struct decoder *d, const struct hone_wire_field *field)
{
    return want_string(d, field, &d->profile->default_type);
}

static int decode_doc_url(struct decoder *d, const struct hone_wire_field *field)
{
    return want_string(d, field, &d->profile->doc_url);
}

// --- mappings, functions, locations --------------------------------------------------------------

static int decode_mapping(struct decoder *d, const struct hone_wire_field *field)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_mapping mapping = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 5) {
            r = want_string(d, &part, &mapping.file);
        } else if (part.number == 6) {
            r = want_string(d, &part, &mapping.build_id);
        } else if (part.number >= 1 && part.number <= 10) {
            r = want(d, &part, HONE_WIRE_VARINT);
            if (part.number == 1)
                id = part.value;
            else if (part.number == 2)
                mapping.start = part.value;
            else if (part.number == 3)
                mapping.limit = part.value;
            else if (part.number == 4)
                mapping.offset = part.value;
            else if (part.value) // 7 has_functions … 10 has_inline_frames
                mapping.flags |= 1u << (part.number - 7);
            else
                mapping.flags &= ~(1u << (part.number - 7));
        }
    }
    if (r)
        return r;
    return ids_add(d, &d->mappings, id, hone_profile_add_mapping(d->profile, &mapping),
                   field->start);
}

static int decode_function(struct decoder *d, const struct hone_wire_field *field)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_function function = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 2) {
            r = want_string(d, &part, &function.name);
        } else if (part.number == 3) {
            r = want_string(d, &part, &function.system_name);
        } else if (part.number == 4) {
            r = want_string(d, &part, &function.file);
        } else if (part.number == 1 || part.number == 5) {
            r = want(d, &part, HONE_WIRE_VARINT);
            if (part.number == 1)
                id = part.value;
            else
                function.start_line = (int64_t)part.value;
        }
    }
    if (r)
        return r;
    return ids_add(d, &d->functions, id, hone_profile_add_function(d->profile, &function),
                   field->start);
}

static int decode_line(struct decoder *d, const struct hone_wire_field *field, uint32_t count)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    if (count == HONE_PROFILE_LINES_MAX)
        return bad(d, field->start, "more than %d lines in a location", HONE_PROFILE_LINES_MAX);
    if (!room_for(&d->lines, &d->line_room, count, sizeof *d->lines))
        return out_of_memory(d);
    struct hone_profile_line line = {0};
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1) {
            r = want_id(d, &part, &d->functions, &line.function);
        } else if (part.number == 2 || part.number == 3) {
            r = want(d, &part, HONE_WIRE_VARINT);
            *(part.number == 2 ? &line.number : &line.column) = (int64_t)part.value;
        }
    }
    if (!r && !line.function)
        return bad(d, field->start, "line without a function");
    d->lines[count] = line;
    return r;
}

static int decode_location(struct decoder *d, const struct hone_wire_field *field)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_location location = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 2) {
            r = want_id(d, &part, &d->mappings, &location.mapping);
        } else if (part.number == 4) {
            r = decode_line(d, &part, location.line_count++);
        } else if (part.number == 1 || part.number == 3 || part.number == 5) {
            r = want(d, &part, HONE_WIRE_VARINT);
            if (part.number == 1)
                id = part.value;
            else if (part.number == 3)
                location.address = part.value;
            else
                location.folded = part.value != 0;
        }
    }
    if (r)
        return r;
    location.lines = d->lines;
    return ids_add(d, &d->locations, id, hone_profile_add_location(d->profile, &location),
                   field->start);
}

// --- samples -------------------------------------------------------------------------------------

// What is known of the sample at hand.
struct sample {
    uint32_t *frames;
    size_t frame_count;
    size_t frame_room;
    uint32_t value_count;
    uint32_t label_count;
    int64_t values[HONE_PROFILE_TYPES_MAX];
};

static int no_location(struct decoder *d, const unsigned char *at, uint64_t id)
{
    return bad(d, at, "no location has id %llu", (unsigned long long)id);
}

static int add_frame(struct decoder *d, struct sample *sample, uint64_t id, const unsigned char *at)
{
    uint32_t location = ids_find(&d->locations, id);
    if (!location)
        return no_location(d, at, id);
    if (sample->frame_count == sample->frame_room)
        return bad(d, at, "more than %d frames in a stack", HONE_PROFILE_DEPTH_MAX);
    sample->frames[sample->frame_count++] = location;
    return 0;
}

static int decode_frames(struct decoder *d, const struct hone_wire_field *field,
                         struct sample *sample)
{
    if (field->type != HONE_WIRE_BYTES) {
        int r = want(d, field, HONE_WIRE_VARINT);
        return r ? r : add_frame(d, sample, field->value, field->start);
    }
    struct hone_wire run = field->body;
    while (run.at != run.end) {
        const unsigned char *at = run.at;
        uint64_t id;
        if (!hone_wire_varint(&run, &id))
            return bad(d, at, "broken number");
        int r = add_frame(d, sample, id, at);
        if (r)
            return r;
    }
    return 0;
}

static int add_value(struct decoder *d, struct sample *sample, uint64_t value,
                     const unsigned char *at)
{
    if (sample->value_count == d->profile->type_count)
        return bad(d, at, "sample with more than %u values", d->profile->type_count);
    sample->values[sample->value_count++] = (int64_t)value;
    return 0;
}

static int decode_values(struct decoder *d, const struct hone_wire_field *field,
                         struct sample *sample)
{
    if (field->type != HONE_WIRE_BYTES) {
        int r = want(d, field, HONE_WIRE_VARINT);
        return r ? r : add_value(d, sample, field->value, field->start);
    }
    struct hone_wire run = field->body;
    int r = 0;
    while (!r && run.at != run.end) {
        const unsigned char *at = run.at;
        uint64_t value;
        r = hone_wire_varint(&run, &value) ? add_value(d, sample, value, at)
                                           : bad(d, at, "broken number");
    }
    return r;
}

static int decode_label(struct decoder *d, const struct hone_wire_field *field,
                        struct sample *sample)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    if (sample->label_count == HONE_PROFILE_LABELS_MAX)
        return bad(d, field->start, "more than %d labels in a sample", HONE_PROFILE_LABELS_MAX);
    if (!room_for(&d->labels, &d->label_room, sample->label_count, sizeof *d->labels))
        return out_of_memory(d);
    struct hone_profile_label label = {0};
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1) {
            r = want_string(d, &part, &label.key);
        } else if (part.number == 2) {
            r = want_string(d, &part, &label.text);
        } else if (part.number == 3) {
            r = want(d, &part, HONE_WIRE_VARINT);
            label.number = (int64_t)part.value;
        } else if (part.number == 4) {
            r = want_string(d, &part, &label.unit);
        }
    }
    d->labels[sample->label_count++] = label;
    return r;
}

static int decode_sample(struct decoder *d, const struct hone_wire_field *field)
{
    int r = want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_wire message = field->body;
    struct sample sample = {0};
    // Each frame takes a byte or more.
    sample.frame_room = (size_t)(message.end - message.at);
    if (sample.frame_room > HONE_PROFILE_DEPTH_MAX)
        sample.frame_room = HONE_PROFILE_DEPTH_MAX;
    sample.frames = hone_profile_stack_open(d->profile, sample.frame_room);
    if (!sample.frames)
        return check_profile(d);

    struct hone_wire_field part;
    while (!r && (r = next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1)
            r = decode_frames(d, &part, &sample);
        else if (part.number == 2)
            r = decode_values(d, &part, &sample);
        else if (part.number == 3)
            r = decode_label(d, &part, &sample);
    }
    if (r)
        return r;
    if (sample.value_count != d->profile->type_count || !sample.value_count)
        return bad(d, field->start, "sample with %u values, where there are %u sample types",
                   sample.value_count, d->profile->type_count);
    uint32_t stack = hone_profile_stack_close(d->profile, sample.frame_count);
    (void)hone_profile_add_sample(d->profile, stack, sample.values, d->labels, sample.label_count);
    return check_profile(d);
}

// --- whole profiles ------------------------------------------------------------------------------

typedef int (*decode_field)(struct decoder *d, const struct hone_wire_field *field);

static const decode_field decoders[FIELDS] = {
    [1] = decode_sample_type, [2] = decode_sample,        [3] = decode_mapping,
    [4] = decode_location,    [5] = decode_function,      [6] = decode_string,
    [7] = decode_drop_frames, [8] = decode_keep_frames,   [9] = decode_time,
    [10] = decode_duration,   [11] = decode_period_type,  [12] = decode_period,
    [13] = decode_comments,   [14] = decode_default_type, [15] = decode_doc_url,
};

static int count_messages(struct decoder *d)
{
    struct hone_wire file = {d->start, d->start + d->len};
    struct hone_wire_field field;
    int r;
    while ((r = next(d, &file, &field)) > 0)
        if (field.number < FIELDS)
            d->count[field.number]++; // fewer than bytes, so below 2^32 when the limit is
    return r;
}

// Decodes the outermost fields whose number's bit is set.
static int pass(struct decoder *d, unsigned fields)
{
    struct hone_wire file = {d->start, d->start + d->len};
    struct hone_wire_field field;
    int r;
    while ((r = next(d, &file, &field)) > 0) {
        if (field.number >= FIELDS || !(fields & 1u << field.number))
            continue;
        r = decoders[field.number](d, &field);
        if (r)
            return r;
    }
    return r;
}

static void decoder_done(struct decoder *d)
{
    hone_profile_free(d->profile);
    free(d->strings);
    ids_done(&d->mappings);
    ids_done(&d->functions);
    ids_done(&d->locations);
    free(d->lines);
    free(d->labels);
}

static int decode_plain(struct decoder *d)
{
    int r = count_messages(d);
    if (r)
        return r;
    d->profile = hone_profile_new();
    d->strings = calloc((size_t)d->count[6] + 1, sizeof *d->strings);
    if (!d->profile || !d->strings || ids_init(&d->mappings, "mapping", d->count[3]) ||
        ids_init(&d->functions, "function", d->count[5]) ||
        ids_init(&d->locations, "location", d->count[4]))
        return out_of_memory(d);

    static const unsigned passes[] = {
        1u << 6, 0xff82 /* the head: 1 and 7 to 15 */, 1u << 3, 1u << 5, 1u << 4, 1u << 2,
    };
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        r = pass(d, passes[i]);
        if (r)
            return r;
    }
    return 0;
}

int hone_profile_decode(const void *bytes, size_t len, const char *name,
                        const struct hone_profile_limits *limits, struct hone_profile **ret,
                        struct hone_error *err)
{
    size_t limit = limits && limits->plain_bytes ? limits->plain_bytes : PLAIN_BYTES_DEFAULT;
    if (limit > UINT32_MAX)
        limit = UINT32_MAX; // what our numbers reach
    if (!len)
        return hone_error_set(err, -EBADMSG, "cannot read '%s': it is empty", name);
    if (len > limit)
        return hone_error_set(err, -EFBIG, "'%s' has more than %zu bytes", name, limit);

    HONE_CLEANUP(hone_freep) unsigned char *unpacked = NULL;
    HONE_CLEANUP(decoder_done)
    struct decoder d = {.name = name, .start = bytes, .len = len, .err = err};
    int r;
    if (hone_unpack_is_gzip(bytes, len)) {
        d.packed = true;
        r = hone_unpack_gzip(bytes, len, name, limit, &unpacked, &d.len, err);
        if (r)
            return r;
        d.start = unpacked;
    }
    r = decode_plain(&d);
    if (r == -EBADMSG)
        hone_error_hint(err, "a profile here is pprof's profile.proto, plain or in gzip");
    if (!r)
        *ret = hone_take(d.profile);
    return r;
}

int hone_profile_read(const char *path, const struct hone_profile_limits *limits,
                      struct hone_profile **ret, struct hone_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    size_t limit = limits && limits->plain_bytes ? limits->plain_bytes : PLAIN_BYTES_DEFAULT;
    HONE_CLEANUP(hone_freep) char *bytes = NULL;
    size_t len;
    int r = hone_file_read(standard ? "/dev/stdin" : path, limit, &bytes, &len, err);
    if (r)
        return r;
    return hone_profile_decode(bytes, len, standard ? "standard input" : path, limits, ret, err);
}
