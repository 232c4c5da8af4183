// Samples of a block, into the block's own arrays: no table and nothing of the profile is touched
// but its seed, so any thread may do it.
#include "profile/decode.h"
#include "profile/decode_ids.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// A block at work.
struct worker {
    struct hone_decoder *d;
    struct hone_decode_block *block;
    bool wide;               // holds wide_lock
    const uint32_t *deepest; // where the frames of the sample at hand end at the latest
};

__attribute__((format(printf, 3, 4))) static int bad(struct worker *w, const unsigned char *at,
                                                     const char *format, ...)
{
    char reason[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    uint64_t byte = w->block->offset + (uint64_t)(at - w->block->bytes);
    return hone_decode_bad_byte(w->d, byte, &w->block->err, "%s", reason);
}

static int out_of_memory(struct worker *w)
{
    return hone_error_set(&w->block->err, -ENOMEM, "cannot read '%s'",
                          hone_unpack_name(w->d->input));
}

static int next(struct worker *w, struct hone_wire *message, struct hone_wire_field *ret)
{
    if (message->at == message->end)
        return 0;
    const unsigned char *start = message->at;
    hone_wire_fault fault = hone_wire_next(message, ret);
    return fault ? bad(w, start, "%s", fault) : 1;
}

static int want(struct worker *w, const struct hone_wire_field *field, enum hone_wire_type type)
{
    return field->type == type ? 0
                               : bad(w, field->start, "field %llu of the wrong kind",
                                     (unsigned long long)field->number);
}

// --- frames --------------------------------------------------------------------------------------

static uint32_t wide_place(struct hone_decoder *d, uint64_t id)
{
    uint64_t hash = hone_table_hash(&id, sizeof id, d->profile->index->seed);
    struct hone_table_probe probe = hone_table_probe(&d->wide_index, hash);
    uint32_t at;
    while ((at = hone_table_next(&d->wide_index, &probe)) != HONE_TABLE_END)
        if (d->wide[at] == id)
            return at;
    if (d->wide_count == HONE_DECODE_WIDE ||
        !hone_decode_room(&d->wide, &d->wide_room, d->wide_count, sizeof *d->wide) ||
        hone_table_add(&d->wide_index, hash, d->wide_count))
        return HONE_TABLE_END;
    d->wide[d->wide_count] = id;
    return d->wide_count++;
}

// Files that number locations by something else, such as a hash, do so everywhere: one lock for the
// whole block, which is then not decoded beside others.
static int add_wide(struct worker *w, uint64_t id, uint32_t **to)
{
    if (!w->wide)
        (void)pthread_mutex_lock(&w->d->wide_lock);
    w->wide = true;
    uint32_t place = wide_place(w->d, id);
    if (place == HONE_TABLE_END)
        return out_of_memory(w);
    *(*to)++ = HONE_DECODE_WIDE | place;
    return 0;
}

static int too_deep(struct worker *w, const unsigned char *at)
{
    return bad(w, at, "more than %d frames in a stack", HONE_PROFILE_DEPTH_MAX);
}

static int add_frame(struct worker *w, uint64_t id, const unsigned char *at, uint32_t **to)
{
    if (!id)
        return bad(w, at, "no location has id 0");
    if (*to == w->deepest)
        return too_deep(w, at);
    if (id >= HONE_DECODE_WIDE)
        return add_wide(w, id, to);
    if ((uint32_t)id - 1 > w->block->max_frame)
        w->block->max_frame = (uint32_t)id - 1;
    *(*to)++ = (uint32_t)id;
    return 0;
}

static int find_id_0(struct worker *w, struct hone_wire run)
{
    for (;;) {
        const unsigned char *at = run.at;
        uint64_t id = 1;
        (void)hone_wire_varint(&run, &id);
        if (!id)
            return bad(w, at, "no location has id 0");
    }
}

static size_t count_ids(struct hone_wire run)
{
    size_t count = 0;
    for (const unsigned char *at = run.at; at != run.end; at++)
        count += *at < 0x80;
    return count;
}

static int add_frames(struct worker *w, struct hone_wire run, uint32_t **to)
{
    const struct hone_wire whole = run;
    size_t room = (size_t)(w->deepest - *to);
    if ((size_t)(run.end - run.at) > room && count_ids(run) > room)
        return too_deep(w, run.at);
    while (run.at != run.end) {
        run.at = hone_ids_read_pairs(run.at, run.end, to, &w->block->max_frame);
        if (run.at == run.end)
            break;
        const unsigned char *at = run.at;
        uint64_t id;
        if (!hone_wire_varint(&run, &id))
            return bad(w, at, "broken number");
        int r = add_frame(w, id, at, to);
        if (r)
            return r;
    }
    return w->block->max_frame == UINT32_MAX ? find_id_0(w, whole) : 0;
}

// --- values --------------------------------------------------------------------------------------

static void add_value(struct worker *w, int64_t *values, uint32_t *count, uint64_t value)
{
    if (*count < w->d->value_count)
        values[*count] = (int64_t)value;
    ++*count;
}

static int add_values(struct worker *w, const struct hone_wire_field *field, int64_t *values,
                      uint32_t *count)
{
    if (field->type != HONE_WIRE_BYTES) {
        int r = want(w, field, HONE_WIRE_VARINT);
        if (!r)
            add_value(w, values, count, field->value);
        return r;
    }
    struct hone_wire run = field->body;
    while (run.at != run.end) {
        uint64_t value;
        if (!hone_wire_varint(&run, &value))
            return bad(w, run.at, "broken number");
        add_value(w, values, count, value);
    }
    return 0;
}

uint32_t hone_decode_count_values(struct hone_wire message)
{
    uint32_t count = 0;
    struct hone_wire_field field;
    while (message.at != message.end && !hone_wire_next(&message, &field)) {
        if (field.number != 2)
            continue;
        if (field.type != HONE_WIRE_BYTES)
            count++;
        count += (uint32_t)count_ids(field.body);
    }
    return count;
}

// --- labels --------------------------------------------------------------------------------------

static bool same_labels(const struct hone_decode_label *a, const struct hone_decode_label *b,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].key != b[i].key || a[i].text != b[i].text || a[i].unit != b[i].unit ||
            a[i].number != b[i].number)
            return false;
    return true;
}

bool hone_decode_labels_close(struct hone_decode_labels *all, uint32_t count, uint64_t hash,
                              uint32_t *ret)
{
    const struct hone_decode_label *labels = all->at + all->count;
    struct hone_table_probe probe = hone_table_probe(&all->index, hash);
    uint32_t at;
    while ((at = hone_table_next(&all->index, &probe)) != HONE_TABLE_END) {
        const struct hone_decode_label_set *set = &all->sets[at];
        if (set->count == count && same_labels(all->at + set->first, labels, count)) {
            *ret = at;
            return true;
        }
    }
    if (!all->set_count)
        all->set_count = 1; // number 0
    if (!hone_decode_room(&all->sets, &all->set_room, all->set_count, sizeof *all->sets) ||
        hone_table_add(&all->index, hash, all->set_count))
        return false;
    all->sets[all->set_count] =
        (struct hone_decode_label_set){.hash = hash, .first = all->count, .count = count};
    all->count += count;
    *ret = all->set_count++;
    return true;
}

void hone_decode_labels_done(struct hone_decode_labels *all)
{
    free(all->at);
    free(all->sets);
    hone_table_done(&all->index);
}

static int add_label(struct worker *w, const struct hone_wire_field *field, uint32_t *count)
{
    int r = want(w, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    if (*count == HONE_PROFILE_LABELS_MAX)
        return bad(w, field->start, "more than %d labels in a sample", HONE_PROFILE_LABELS_MAX);
    struct hone_decode_labels *all = &w->block->labels;
    if (!hone_decode_room(&all->at, &all->room, all->count + *count, sizeof *all->at))
        return out_of_memory(w);
    struct hone_decode_label label = {.at = w->block->offset +
                                            (uint64_t)(field->start - w->block->bytes)};
    uint64_t *const places[] = {&label.key, &label.text, (uint64_t *)&label.number, &label.unit};
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while ((r = next(w, &message, &part)) > 0) {
        if (part.number < 1 || part.number > 4)
            continue;
        r = want(w, &part, HONE_WIRE_VARINT);
        if (r)
            return r;
        *places[part.number - 1] = part.value;
    }
    all->at[all->count + (*count)++] = label;
    return r;
}

static int close_labels(struct worker *w, uint32_t count, uint32_t *ret)
{
    if (!count)
        return 0;
    struct hone_decode_labels *all = &w->block->labels;
    uint64_t hash = w->d->profile->index->seed;
    for (uint32_t i = 0; i < count; i++) {
        const struct hone_decode_label *label = &all->at[all->count + i];
        const uint64_t key[] = {label->key, label->text, label->unit, (uint64_t)label->number};
        hash = hone_table_hash(key, sizeof key, hash);
    }
    return hone_decode_labels_close(all, count, hash, ret) ? 0 : out_of_memory(w);
}

// --- samples -------------------------------------------------------------------------------------

static int decode_sample(struct worker *w, const struct hone_wire_field *field)
{
    int r = want(w, field, HONE_WIRE_BYTES);
    if (r)
        return r;
    struct hone_decode_block *b = w->block;
    struct hone_decode_sample *sample = &b->samples[b->sample_count];
    int64_t *values = b->values + (size_t)b->sample_count * w->d->value_count;
    uint32_t *const frames = b->frames + b->frame_count;
    uint32_t *frame = frames;
    uint32_t value_count = 0;
    uint32_t label_count = 0;
    w->deepest = frames + HONE_PROFILE_DEPTH_MAX;
    struct hone_wire message = field->body;
    struct hone_wire_field part;
    while (!r && (r = next(w, &message, &part)) > 0) {
        r = 0;
        if (part.number == 1 && part.type == HONE_WIRE_BYTES)
            r = add_frames(w, part.body, &frame);
        else if (part.number == 1)
            r = part.type == HONE_WIRE_VARINT ? add_frame(w, part.value, part.start, &frame)
                                              : want(w, &part, HONE_WIRE_VARINT);
        else if (part.number == 2)
            r = add_values(w, &part, values, &value_count);
        else if (part.number == 3)
            r = add_label(w, &part, &label_count);
    }
    if (r)
        return r;
    if (value_count != w->d->value_count)
        return bad(w, field->start, "sample with %u values, where the first has %u", value_count,
                   w->d->value_count);
    *sample = (struct hone_decode_sample){.first_frame = (uint32_t)(frames - b->frames),
                                          .frame_count = (uint32_t)(frame - frames)};
    r = close_labels(w, label_count, &sample->label_set);
    if (r)
        return r;
    sample->hash = hone_profile_frames_hash(w->d->profile, frames, sample->frame_count);
    b->frame_count += sample->frame_count;
    b->sample_count++;
    return 0;
}

static bool make_room(void *array, size_t *room, size_t count, size_t width)
{
    if (count <= *room)
        return true;
    void *at;
    memcpy(&at, array, sizeof at);
    free(at);
    at = reallocarray(NULL, count, width);
    memcpy(array, &at, sizeof at);
    *room = at ? count : 0;
    return at != NULL;
}

void hone_decode_samples(struct hone_decoder *d, struct hone_decode_block *b)
{
    struct worker w = {.d = d, .block = b};
    size_t samples = b->sample_count; // as counted when the block was filled
    // Before the first sample nobody knows it: whoever fills a later block may just be finding it.
    const size_t value_count = samples ? d->value_count : 0;
    size_t sample_room = b->sample_room;
    b->sample_count = 0;
    b->frame_count = 0;
    b->max_frame = 0;
    b->labels.count = 0;
    b->labels.set_count = 0;
    hone_table_clear(&b->labels.index);
    // Samples step through their values, so these lie somewhere even where there are none.
    const size_t values = samples * (value_count ? value_count : 1);
    bool room = make_room(&b->samples, &sample_room, samples, sizeof *b->samples) &&
                make_room(&b->values, &b->value_room, values, sizeof *b->values) &&
                make_room(&b->frames, &b->frame_room, samples ? b->len : 0, sizeof *b->frames);
    b->sample_room = (uint32_t)sample_room;
    int r = room ? 1 : out_of_memory(&w);
    struct hone_wire bytes = {b->bytes, b->bytes + b->len};
    struct hone_wire_field field;
    while (r > 0 && samples && (r = next(&w, &bytes, &field)) > 0)
        if (field.number == 2 && (r = decode_sample(&w, &field)) == 0)
            r = 1;
    if (w.wide)
        (void)pthread_mutex_unlock(&d->wide_lock);
    b->status = r > 0 ? 0 : r;
}

void hone_decode_block_done(struct hone_decode_block *b)
{
    free(b->bytes);
    free(b->samples);
    free(b->values);
    free(b->frames);
    hone_decode_labels_done(&b->labels);
}
