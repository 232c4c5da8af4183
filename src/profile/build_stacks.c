// Stacks: their frames are written where they will stay, or found somewhere else and copied.
#include "profile/build.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

uint32_t *hone_profile_stack_open(struct hone_profile *p, size_t pending, size_t max)
{
    if (max > HONE_PROFILE_DEPTH_MAX) {
        (void)hone_profile_fail(p, -EOVERFLOW);
        return NULL;
    }
    if (!RESERVE(p, frame_room, (uint64_t)p->frames.count + pending + max,
                 COLUMN(p->frames.location)))
        return NULL;
    return p->frames.location + p->frames.count + pending;
}

uint64_t hone_profile_stack_hash(const struct hone_profile *p, const uint32_t *frames, size_t count)
{
    uint64_t hash = hone_profile_frames_hash(p, frames, count);
    hone_table_prefetch(&p->index->stacks, hash);
    return hash;
}

static uint32_t find_stack(const struct hone_profile *p, const uint32_t *frames, size_t count,
                           uint64_t hash)
{
    const struct hone_table *table = &p->index->stacks;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END) {
        struct hone_profile_span there = hone_profile_frames_of(p, at);
        if (there.count == count && memcmp(there.at, frames, count * sizeof *frames) == 0)
            return at;
    }
    return 0;
}

uint32_t hone_profile_stack_close(struct hone_profile *p, size_t place, size_t count, uint64_t hash)
{
    if (!count)
        return 0;
    const uint32_t *frames = p->frames.location + place;
    uint32_t there = find_stack(p, frames, count, hash);
    if (there)
        return there;
    if (!RESERVE(p, stack_room, (uint64_t)p->stacks.count + 1, COLUMN(p->stacks.first_frame)))
        return 0;
    if (place != p->frames.count) // stacks before this one were not new
        memmove(p->frames.location + p->frames.count, frames, count * sizeof *frames);
    uint32_t number = hone_profile_commit(p, &p->index->stacks, hash, &p->stacks.count);
    if (number) {
        p->frames.count += (uint32_t)count;
        p->stacks.first_frame[p->stacks.count] = p->frames.count;
    }
    return number;
}

uint32_t hone_profile_stack_copy(struct hone_profile *p, const uint32_t *frames, uint32_t count,
                                 uint64_t hash, bool *is_new)
{
    *is_new = false;
    if (!count)
        return 0;
    uint32_t there = find_stack(p, frames, count, hash);
    if (there)
        return there;
    uint32_t *place = hone_profile_stack_open(p, 0, count);
    if (!place ||
        !RESERVE(p, stack_room, (uint64_t)p->stacks.count + 1, COLUMN(p->stacks.first_frame)))
        return 0;
    memcpy(place, frames, count * sizeof *frames);
    uint32_t number = hone_profile_commit(p, &p->index->stacks, hash, &p->stacks.count);
    if (number) {
        p->frames.count += count;
        p->stacks.first_frame[p->stacks.count] = p->frames.count;
        *is_new = true;
    }
    return number;
}

void hone_profile_stacks_changed(struct hone_profile *p, uint32_t *renumbered)
{
    hone_table_clear(&p->index->stacks);
    uint32_t count = p->stacks.count;
    p->stacks.count = 1;
    p->frames.count = 0;
    uint32_t first = p->stacks.first_frame[1];
    renumbered[0] = 0;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t end = p->stacks.first_frame[i + 1]; // closing writes no further than this
        uint64_t hash = hone_profile_stack_hash(p, p->frames.location + first, (size_t)end - first);
        renumbered[i] = hone_profile_stack_close(p, first, (size_t)end - first, hash);
        first = end;
    }
}

uint32_t hone_profile_add_stack(struct hone_profile *p, const uint32_t *locations, size_t count)
{
    uint32_t *frames = hone_profile_stack_open(p, 0, count);
    if (!frames)
        return 0;
    for (size_t i = 0; i < count; i++) {
        assert(locations[i] && locations[i] < p->locations.count);
        frames[i] = locations[i];
    }
    uint64_t hash = hone_profile_stack_hash(p, frames, count);
    return hone_profile_stack_close(p, p->frames.count, count, hash);
}
