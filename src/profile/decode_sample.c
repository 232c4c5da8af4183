#include "profile/decode.h"

#include <errno.h>

// What is known of the sample at hand.
struct sample {
    uint32_t *frames;
    size_t frame_count;
    size_t frame_room;
    int64_t *values;
    uint32_t value_count;
    uint32_t label_count;
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

// Looks the pending stacks and samples up, in order. Each lookup in a table of 400 000 stacks is a
// cache miss; by now it was fetched while others were decoded (decoding took a fifth longer
// without).
int hone_decode_flush(struct hone_decoder *d)
{
    struct hone_profile *p = d->profile;
    size_t first = p->frames.count; // closing stacks moves it
    uint32_t stacks[HONE_DECODE_BATCH];
    for (uint32_t i = 0; i < d->pending_count; i++) {
        const struct hone_decode_pending *sample = &d->pending[i];
        stacks[i] = hone_profile_stack_close(p, first + sample->first_frame, sample->frame_count,
                                             sample->hash);
        hone_profile_sample_prefetch(p, stacks[i], sample->label_set);
    }
    for (uint32_t i = 0; i < d->pending_count; i++)
        (void)hone_profile_add_sample_in_set(p, stacks[i], d->pending[i].values,
                                             d->pending[i].label_set);
    d->pending_count = 0;
    d->pending_frames = 0;
    return hone_decode_status(d);
}

static int add_pending(struct hone_decoder *d, const struct sample *sample)
{
    struct hone_decode_pending *pending = &d->pending[d->pending_count++];
    pending->first_frame = (uint32_t)d->pending_frames;
    pending->frame_count = (uint32_t)sample->frame_count;
    pending->hash = hone_profile_stack_hash(d->profile, sample->frames, sample->frame_count);
    pending->label_set = hone_profile_add_label_set(d->profile, d->labels, sample->label_count);
    d->pending_frames += sample->frame_count;
    return d->pending_count == HONE_DECODE_BATCH ? hone_decode_flush(d) : 0;
}

int hone_decode_sample(struct hone_decoder *d, const struct hone_wire_field *field)
{
    int r = hone_decode_want(d, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_wire message = field->body;
    struct sample sample = {.values = d->pending[d->pending_count].values};
    // Each frame takes a byte or more.
    sample.frame_room = (size_t)(message.end - message.at);
    if (sample.frame_room > HONE_PROFILE_DEPTH_MAX)
        sample.frame_room = HONE_PROFILE_DEPTH_MAX;
    sample.frames = hone_profile_stack_open(d->profile, d->pending_frames, sample.frame_room);
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
    return add_pending(d, &sample);
}
