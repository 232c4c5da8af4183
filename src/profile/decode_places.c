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
    uint32_t place = d->line_count + count;
    if (!hone_decode_room(&d->lines, &d->line_room, place, sizeof *d->lines))
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
    d->lines[place] = line;
    return r;
}

// Locations are added some at a time: looking one up in a table of many is a cache miss, and so all
// are waited for together.
int hone_decode_locations_end(struct hone_decoder *d)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < d->place_count; i++) {
        struct hone_decode_place *place = &d->places[i];
        if (place->location.line_count)
            place->location.lines = d->lines + place->first_line;
        uint32_t number = hone_profile_location_add(d->profile, &place->location, place->hash);
        d->renumbered |= number != place->id;
        r = add_id(d, &d->locations, "location", place->id, number, place->at);
    }
    d->place_count = d->line_count = 0;
    return r;
}

static int keep_location(struct hone_decoder *d, struct hone_profile_location *location,
                         uint64_t id, const unsigned char *at)
{
    if (location->line_count)
        location->lines = d->lines + d->line_count;
    uint64_t hash = hone_profile_location_hash(d->profile, location);
    hone_table_prefetch(&d->profile->index->locations, hash);
    d->places[d->place_count++] = (struct hone_decode_place){
        .location = *location, .id = id, .hash = hash, .at = at, .first_line = d->line_count};
    d->line_count += location->line_count;
    bool full = d->place_count == HONE_DECODE_PLACES || d->line_count >= HONE_DECODE_LINES;
    return full ? hone_decode_locations_end(d) : 0;
}

static int decode_location(struct hone_decoder *d, const struct hone_wire_field *field)
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
    return keep_location(d, &location, id, field->start);
}

int hone_decode_location(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = decode_location(d, field);
    int earlier = r ? hone_decode_locations_end(d) : 0; // what is wrong there is told first
    return earlier ? earlier : r;
}
