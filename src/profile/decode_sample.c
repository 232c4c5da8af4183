#include "profile/decode.h"

#include <errno.h>

// What is known of the sample at hand.
struct sample {
    uint32_t *frames;
    size_t frame_count;
    size_t frame_room;
    uint32_t value_count;
    uint32_t label_count;
    int64_t values[HONE_PROFILE_TYPES_MAX];
};

static int bad_location(struct hone_decoder *d, const unsigned char *at, uint64_t id)
{
    return hone_decode_bad(d, at, "no location has id %llu", (unsigned long long)id);
}

static int too_deep(struct hone_decoder *d, const unsigned char *at)
{
    return hone_decode_bad(d, at, "more than %d frames in a stack", HONE_PROFILE_DEPTH_MAX);
}

static int add_frame(struct hone_decoder *d, const struct hone_wire_field *field,
                     struct sample *sample)
{
    int r = hone_decode_want(d, field, HONE_WIRE_VARINT);
    if (r)
        return r;
    uint32_t location = hone_ids_find(&d->locations, field->value);
    if (!location)
        return bad_location(d, field->start, field->value);
    if (sample->frame_count == sample->frame_room)
        return too_deep(d, field->start);
    sample->frames[sample->frame_count++] = location;
    return 0;
}

// Most of a profile's bytes are here: 16 million frames in 400 000 stacks.
static int add_packed_frames(struct hone_decoder *d, struct hone_wire run, struct sample *sample)
{
    const unsigned char *start = run.at;
    uint32_t *frame = sample->frames + sample->frame_count;
    const uint32_t *end = sample->frames + sample->frame_room;
    while (run.at != run.end) {
        const unsigned char *at = run.at;
        uint64_t id;
        if (!hone_wire_varint(&run, &id))
            return hone_decode_bad(d, at, "broken number");
        uint32_t location = hone_ids_find(&d->locations, id);
        if (!location)
            return bad_location(d, at, id);
        if (frame == end)
            return too_deep(d, start);
        *frame++ = location;
    }
    sample->frame_count = (size_t)(frame - sample->frames);
    return 0;
}

static int decode_frames(struct hone_decoder *d, const struct hone_wire_field *field,
                         struct sample *sample)
{
    return field->type == HONE_WIRE_BYTES ? add_packed_frames(d, field->body, sample)
                                          : add_frame(d, field, sample);
}

static int add_value(struct hone_decoder *d, struct sample *sample, uint64_t value,
                     const unsigned char *at)
{
    if (sample->value_count == d->profile->type_count)
        return hone_decode_bad(d, at, "sample with more than %u values", d->profile->type_count);
    sample->values[sample->value_count++] = (int64_t)value;
    return 0;
}

static int decode_values(struct hone_decoder *d, const struct hone_wire_field *field,
                         struct sample *sample)
{
    if (field->type != HONE_WIRE_BYTES) {
        int r = hone_decode_want(d, field, HONE_WIRE_VARINT);
        return r ? r : add_value(d, sample, field->value, field->start);
    }
    struct hone_wire run = field->body;
    int r = 0;
    while (!r && run.at != run.end) {
        const unsigned char *at = run.at;
        uint64_t value;
        r = hone_wire_varint(&run, &value) ? add_value(d, sample, value, at)
                                           : hone_decode_bad(d, at, "broken number");
    }
    return r;
}

static int decode_label(struct hone_decoder *d, const struct hone_wire_field *field,
                        struct sample *sample)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    if (sample->label_count == HONE_PROFILE_LABELS_MAX)
        return hone_decode_bad(d, field->start, "more than %d labels in a sample",
                               HONE_PROFILE_LABELS_MAX);
    if (!hone_decode_room(&d->labels, &d->label_room, sample->label_count, sizeof *d->labels))
        return hone_decode_out_of_memory(d);
    struct hone_profile_label label = {0};
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1) {
            r = hone_decode_string(d, &part, &label.key);
        } else if (part.number == 2) {
            r = hone_decode_string(d, &part, &label.text);
        } else if (part.number == 3) {
            r = hone_decode_want(d, &part, HONE_WIRE_VARINT);
            label.number = (int64_t)part.value;
        } else if (part.number == 4) {
            r = hone_decode_string(d, &part, &label.unit);
        }
    }
    d->labels[sample->label_count++] = label;
    return r;
}

int hone_decode_sample(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_wire message = field->body;
    struct sample sample;
    sample.frame_count = 0;
    sample.value_count = sample.label_count = 0; // values are not cleared: 512 bytes per sample
    // Each frame takes a byte or more.
    sample.frame_room = (size_t)(message.end - message.at);
    if (sample.frame_room > HONE_PROFILE_DEPTH_MAX)
        sample.frame_room = HONE_PROFILE_DEPTH_MAX;
    sample.frames = hone_profile_stack_open(d->profile, sample.frame_room);
    if (!sample.frames)
        return hone_decode_status(d);

    struct hone_wire_field part;
    while (!r && (r = hone_decode_next(d, &message, &part)) > 0) {
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
        return hone_decode_bad(d, field->start,
                               "sample with %u values, where there are %u sample types",
                               sample.value_count, d->profile->type_count);
    uint32_t stack = hone_profile_stack_close(d->profile, sample.frame_count);
    (void)hone_profile_add_sample(d->profile, stack, sample.values, d->labels, sample.label_count);
    return hone_decode_status(d);
}
