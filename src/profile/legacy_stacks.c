#include "profile/legacy.h"

#include "base/array.h"

#include <errno.h>

static uint64_t hash_of(uint64_t address)
{
    return hone_table_hash(&address, sizeof address, hone_table_seed());
}

uint32_t hone_legacy_find_place(const struct hone_legacy *l, uint64_t address)
{
    struct hone_table_probe probe = hone_table_probe(&l->place_index, hash_of(address));
    uint32_t at;
    while ((at = hone_table_next(&l->place_index, &probe)) != HONE_TABLE_END)
        if (l->places[at].address == address)
            return at;
    return UINT32_MAX;
}

static int add_place(struct hone_legacy *l, uint64_t address, uint32_t *ret)
{
    uint32_t place = hone_legacy_find_place(l, address);
    if (place == UINT32_MAX) {
        place = l->place_count;
        if (!hone_array_reserve(&l->places, &l->place_room, (uint64_t)place + 1,
                                sizeof *l->places) ||
            hone_table_add(&l->place_index, hash_of(address), place))
            return hone_legacy_out_of_memory(l);
        l->places[place] = (struct hone_legacy_place){.address = address};
        l->place_count++;
    }
    *ret = place;
    return 0;
}

int hone_legacy_add_frame(struct hone_legacy *l, uint64_t address)
{
    if (l->frame_count - l->open_frame == HONE_PROFILE_DEPTH_MAX)
        return hone_legacy_bad(l, "more than %d frames in a stack", HONE_PROFILE_DEPTH_MAX);
    uint32_t place = 0;
    int r = add_place(l, address, &place);
    if (r)
        return r;
    if (!hone_array_reserve(&l->frames, &l->frame_room, (uint64_t)l->frame_count + 1,
                            sizeof *l->frames))
        return hone_legacy_out_of_memory(l);
    l->frames[l->frame_count++] = place;
    return 0;
}

int hone_legacy_add_frames(struct hone_legacy *l, struct hone_str text,
                           enum hone_legacy_addresses addresses)
{
    uint64_t address;
    int found;
    int r = 0;
    while (!r && (found = hone_legacy_cut_address(&text, &address))) {
        if (found < 0)
            return hone_legacy_bad(l, "address of more than 64 bits");
        bool leaf = l->frame_count == l->open_frame;
        r = hone_legacy_add_frame(l, address - (addresses == HONE_LEGACY_RETURNS ||
                                                (addresses == HONE_LEGACY_LEAF_FIRST && !leaf)));
    }
    return r;
}

int hone_legacy_add_sample(struct hone_legacy *l, const struct hone_legacy_sample *sample)
{
    if (!hone_array_reserve(&l->samples, &l->sample_room, (uint64_t)l->sample_count + 1,
                            sizeof *l->samples))
        return hone_legacy_out_of_memory(l);
    struct hone_legacy_sample *added = &l->samples[l->sample_count++];
    *added = *sample;
    added->first_frame = l->open_frame;
    added->frame_count = l->frame_count - l->open_frame;
    l->open_frame = l->frame_count;
    return 0;
}

void hone_legacy_drop_second_frame(struct hone_legacy *l, struct hone_legacy_sample *sample)
{
    uint32_t *frames = l->frames + sample->first_frame;
    memmove(frames + 1, frames + 2, (sample->frame_count - 2) * sizeof *frames);
    sample->frame_count--;
}

void hone_legacy_drop_double_leaves(struct hone_legacy *l)
{
    for (uint32_t i = 0; i < l->sample_count; i++) {
        struct hone_legacy_sample *sample = &l->samples[i];
        const uint32_t *frames = l->frames + sample->first_frame;
        if (sample->frame_count > 1 &&
            l->places[frames[0]].address == l->places[frames[1]].address + 1)
            hone_legacy_drop_second_frame(l, sample);
    }
}

// --- the profile ---------------------------------------------------------------------------------

// Numbers come in the order of samples and their frames.
static uint32_t add_location(struct hone_legacy *l, struct hone_legacy_place *place,
                             const uint32_t *mappings)
{
    if (!place->location) {
        struct hone_profile_line line = {.function = place->function, .number = place->line};
        place->location = hone_profile_add_location(
            l->profile, &(struct hone_profile_location){
                            .mapping = place->mapping ? mappings[place->mapping] : 0,
                            .address = place->address,
                            .lines = &line,
                            .line_count = place->function ? 1 : 0});
    }
    return place->location;
}

static void add_samples(struct hone_legacy *l, const uint32_t *mappings)
{
    struct hone_profile_label label = {.key = 0};
    for (uint32_t i = 0; i < l->sample_count && !hone_profile_status(l->profile); i++) {
        const struct hone_legacy_sample *sample = &l->samples[i];
        uint32_t *frames = // become locations in their place
            sample->frame_count ? l->frames + sample->first_frame : NULL;
        for (uint32_t k = 0; k < sample->frame_count; k++)
            frames[k] = add_location(l, &l->places[frames[k]], mappings);
        uint32_t stack = hone_profile_add_stack(l->profile, frames, sample->frame_count);
        if (sample->has_block_bytes && !label.key)
            label.key = hone_profile_intern(l->profile, "bytes");
        label.number = sample->block_bytes;
        (void)hone_profile_add_sample(l->profile, stack, sample->values, &label,
                                      sample->has_block_bytes ? 1 : 0);
    }
}

int hone_legacy_build(struct hone_legacy *l)
{
    if (l->sample_count && !l->profile->type_count)
        return hone_legacy_bad(l, "samples, but nothing that says of what");
    uint32_t *mappings = calloc((size_t)l->mapping_count + 1, sizeof *mappings);
    if (!mappings)
        return hone_legacy_out_of_memory(l);
    for (uint32_t i = 0; i < l->mapping_count; i++) {
        const struct hone_legacy_mapping *m = &l->mappings[i];
        mappings[i + 1] = hone_profile_add_mapping(l->profile, &(struct hone_profile_mapping){
                                                                   .start = m->start,
                                                                   .limit = m->limit,
                                                                   .offset = m->offset,
                                                                   .file = m->file,
                                                                   .build_id = m->build_id,
                                                               });
    }
    add_samples(l, mappings);
    free(mappings);
    return 0; // the caller asks the profile
}
