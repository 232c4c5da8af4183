#include "profile/decode.h"

#include <errno.h>

// Remembers what number an id stands for.
static int add_id(struct hone_decoder *d, struct hone_ids *ids, const char *what, uint64_t id,
                  uint32_t number, const unsigned char *at)
{
    int r = hone_decode_status(d);
    if (r)
        return r;
    if (!id)
        return hone_decode_bad(d, at, "%s without id", what);
    if (hone_ids_find(ids, id))
        return hone_decode_bad(d, at, "second %s with id %llu", what, (unsigned long long)id);
    return hone_ids_add(ids, id, number) ? hone_decode_out_of_memory(d) : 0;
}

static int find_id(struct hone_decoder *d, const struct hone_wire_field *field,
                   const struct hone_ids *ids, const char *what, uint32_t *ret)
{
    int r = hone_decode_want(d, field, HONE_WIRE_VARINT);
    if (r)
        return r;
    *ret = hone_ids_find(ids, field->value);
    if (field->value && !*ret)
        return hone_decode_bad(d, field->start, "no %s has id %llu", what,
                               (unsigned long long)field->value);
    return 0;
}

int hone_decode_mapping(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_mapping mapping = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 5) {
            r = hone_decode_string(d, &part, &mapping.file);
        } else if (part.number == 6) {
            r = hone_decode_string(d, &part, &mapping.build_id);
        } else if (part.number >= 1 && part.number <= 10) {
            r = hone_decode_want(d, &part, HONE_WIRE_VARINT);
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
    return add_id(d, &d->mappings, "mapping", id, hone_profile_add_mapping(d->profile, &mapping),
                  field->start);
}

int hone_decode_function(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_function function = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 2) {
            r = hone_decode_string(d, &part, &function.name);
        } else if (part.number == 3) {
            r = hone_decode_string(d, &part, &function.system_name);
        } else if (part.number == 4) {
            r = hone_decode_string(d, &part, &function.file);
        } else if (part.number == 1 || part.number == 5) {
            r = hone_decode_want(d, &part, HONE_WIRE_VARINT);
            if (part.number == 1)
                id = part.value;
            else
                function.start_line = (int64_t)part.value;
        }
    }
    if (r)
        return r;
    return add_id(d, &d->functions, "function", id,
                  hone_profile_add_function_as_is(d->profile, &function), field->start);
}

static int decode_line(struct hone_decoder *d, const struct hone_wire_field *field, uint32_t count)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    if (count == HONE_PROFILE_LINES_MAX)
        return hone_decode_bad(d, field->start, "more than %d lines in a location",
                               HONE_PROFILE_LINES_MAX);
    if (!hone_decode_room(&d->lines, &d->line_room, count, sizeof *d->lines))
        return hone_decode_out_of_memory(d);
    struct hone_profile_line line = {0};
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1) {
            r = find_id(d, &part, &d->functions, "function", &line.function);
        } else if (part.number == 2 || part.number == 3) {
            r = hone_decode_want(d, &part, HONE_WIRE_VARINT);
            *(part.number == 2 ? &line.number : &line.column) = (int64_t)part.value;
        }
    }
    if (!r && !line.function)
        return hone_decode_bad(d, field->start, "line without a function");
    d->lines[count] = line;
    return r;
}

int hone_decode_location(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    struct hone_profile_location location = {0};
    uint64_t id = 0;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 2) {
            r = find_id(d, &part, &d->mappings, "mapping", &location.mapping);
        } else if (part.number == 4) {
            r = decode_line(d, &part, location.line_count++);
        } else if (part.number == 1 || part.number == 3 || part.number == 5) {
            r = hone_decode_want(d, &part, HONE_WIRE_VARINT);
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
    uint32_t number = hone_profile_add_location(d->profile, &location);
    d->renumbered |= number != id;
    return add_id(d, &d->locations, "location", id, number, field->start);
}
