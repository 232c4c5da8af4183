// Labels as frames. Every sample gets a stack of its own: labels put before equal stacks are
// mostly different.
#include "profile/filter_parts.h"

#include "base/cleanup.h"
#include "base/measure.h"

#include <errno.h>
#include <stdlib.h>

struct maker {
    struct hone_profile *profile;
    const struct hone_str *keys; // of the roots, then of the leaves
    size_t key_count;
    size_t root_count;
    const char *unit;
    uint32_t *places; // by label set and key: locations
    bool root_found;
    bool leaf_found;
};

static void put_value(struct hone_buffer *text, const char *value)
{
    hone_buffer_format(text, "%s%s", text->len ? "," : "", value);
}

// The label's texts, then its numbers; those without any unit are plain.
static void put_values(const struct maker *m, uint32_t label_set, struct hone_str key,
                       struct hone_buffer *text)
{
    const struct hone_profile *p = m->profile;
    struct hone_profile_label_span labels = hone_profile_labels_of(p, label_set);
    bool units = false;
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (!hone_str_equal(hone_profile_str(p, label->key), key))
            continue;
        units |= label->unit != 0;
        if (label->text)
            put_value(text, hone_profile_text(p, label->text));
    }
    for (uint32_t i = 0; i < labels.count; i++) {
        const struct hone_profile_label *label = &labels.at[i];
        if (label->text || !hone_str_equal(hone_profile_str(p, label->key), key))
            continue;
        const char *from = units ? hone_profile_text(p, label->unit) : "";
        put_value(text, hone_measure_label(label->number, from, units ? m->unit : "").text);
    }
}

static uint32_t make_place(struct maker *m, uint32_t label_set, size_t key)
{
    struct hone_profile *p = m->profile;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = {0};
    put_values(m, label_set, m->keys[key], &text);
    if (text.failed)
        return hone_profile_fail(p, -ENOMEM);
    if (text.len)
        *(key < m->root_count ? &m->root_found : &m->leaf_found) = true;
    struct hone_profile_function function = {
        .name = hone_profile_intern_str(p, (struct hone_str){text.at, text.len}),
        .file = hone_profile_intern_str(p, m->keys[key]),
    };
    struct hone_profile_line line = {.function = hone_profile_add_function_as_is(p, &function)};
    return hone_profile_add_location(
        p, &(struct hone_profile_location){.lines = &line, .line_count = 1});
}

static int make_places(struct maker *m)
{
    struct hone_profile *p = m->profile;
    HONE_CLEANUP(hone_freep) bool *used = calloc(p->label_sets.count, sizeof *used);
    m->places = calloc(p->label_sets.count, m->key_count * sizeof *m->places);
    if (!used || !m->places)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        uint32_t set = p->samples.label_set[i];
        for (size_t key = 0; !used[set] && key < m->key_count; key++)
            m->places[set * m->key_count + key] = make_place(m, set, key);
        used[set] = true;
    }
    return hone_profile_status(p);
}

// Leaf first: the last leaf key, …, the stack, …, the first root key.
static uint32_t put_frames(const struct maker *m, uint32_t sample, uint32_t *frames)
{
    const struct hone_profile *p = m->profile;
    const uint32_t *places = m->places + p->samples.label_set[sample] * m->key_count;
    struct hone_profile_span old = hone_profile_frames_of(p, p->samples.stack[sample]);
    uint32_t count = 0;
    for (size_t key = m->key_count; key-- > m->root_count;)
        frames[count++] = places[key];
    memcpy(frames + count, old.at, old.count * sizeof *frames);
    count += old.count;
    for (size_t key = m->root_count; key-- > 0;)
        frames[count++] = places[key];
    return count;
}

static int make_stacks(struct maker *m)
{
    struct hone_profile *p = m->profile;
    uint64_t frame_count = 0;
    for (uint32_t i = 0; i < p->samples.count; i++)
        frame_count +=
            hone_profile_frames_of(p, p->samples.stack[i]).count + (uint64_t)m->key_count;
    if (frame_count >= UINT32_MAX || p->samples.count >= UINT32_MAX - 2)
        return -EOVERFLOW;
    uint32_t stack_room = p->samples.count + 2;
    HONE_CLEANUP(hone_freep) uint32_t *first = calloc(stack_room, sizeof *first);
    HONE_CLEANUP(hone_freep) uint32_t *frames = calloc(frame_count + 1, sizeof *frames);
    if (!first || !frames)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->samples.count; i++) {
        first[i + 1] = count;
        count += put_frames(m, i, frames + count);
        p->samples.stack[i] = i + 1;
    }
    first[p->samples.count + 1] = count;
    free(p->stacks.first_frame);
    free(p->frames.location);
    p->stacks.first_frame = hone_take(first);
    p->stacks.count = p->samples.count + 1;
    p->frames.location = hone_take(frames);
    p->frames.count = count;
    p->index->stack_room = stack_room - 1; // one more closes the last range
    p->index->frame_room = count;
    return 0;
}

int hone_profile_label_frames(struct hone_profile *profile, const struct hone_str *root_keys,
                              size_t root_count, const struct hone_str *leaf_keys,
                              size_t leaf_count, const char *unit, bool *ret_root_found,
                              bool *ret_leaf_found, struct hone_error *err)
{
    *ret_root_found = *ret_leaf_found = false;
    size_t key_count = root_count + leaf_count;
    if (!key_count)
        return 0;
    HONE_CLEANUP(hone_freep) struct hone_str *keys = calloc(key_count, sizeof *keys);
    if (!keys)
        return hone_error_set(err, -ENOMEM, "cannot make frames of labels");
    if (root_count)
        memcpy(keys, root_keys, root_count * sizeof *keys);
    if (leaf_count)
        memcpy(keys + root_count, leaf_keys, leaf_count * sizeof *keys);
    struct maker m = {.profile = profile,
                      .keys = keys,
                      .key_count = key_count,
                      .root_count = root_count,
                      .unit = unit};
    hone_profile_forget(profile);
    int r = make_places(&m);
    r = r ? r : make_stacks(&m);
    free(m.places);
    hone_profile_forget(profile);
    if (r)
        return hone_error_set(err, r, "cannot make frames of labels");
    *ret_root_found = m.root_found;
    *ret_leaf_found = m.leaf_found;
    return 0;
}
