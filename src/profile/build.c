// Room in the columns of a profile, and its life.
#include "profile/build.h"

#include "base/cleanup.h"
#include "base/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t hone_profile_fail(struct hone_profile *profile, int status)
{
    if (!profile->index->status)
        profile->index->status = status;
    return 0;
}

int hone_profile_status(const struct hone_profile *profile)
{
    return profile->index->status;
}

bool hone_profile_reserve(struct hone_profile *profile, uint32_t *room, uint64_t count,
                          const struct hone_profile_column *columns, size_t column_count)
{
    if (profile->index->status)
        return false;
    if (count < *room)
        return true;
    if (count > UINT32_MAX - 2)
        return hone_profile_fail(profile, -EOVERFLOW);
    uint64_t larger = *room ? (uint64_t)*room * 2 : 64;
    while (larger <= count)
        larger *= 2;
    if (larger > UINT32_MAX)
        larger = UINT32_MAX;
    for (size_t i = 0; i < column_count; i++) {
        void *at;
        memcpy(&at, columns[i].pointer, sizeof at);
        at = reallocarray(at, larger, columns[i].width);
        if (!at)
            return hone_profile_fail(profile, -ENOMEM);
        hone_pages_large(at, larger * columns[i].width);
        memcpy(columns[i].pointer, &at, sizeof at);
    }
    *room = (uint32_t)larger;
    return true;
}

// --- life ----------------------------------------------------------------------------------------

// Entry 0 of everything: "none".
static bool add_none(struct hone_profile *p)
{
    struct hone_profile_index *index = p->index;
    bool ok =
        RESERVE(p, string_room, 1, COLUMN(p->strings.text)) &&
        RESERVE(p, mapping_room, 1, COLUMN(p->mappings.at)) &&
        RESERVE(p, function_room, 1, COLUMN(p->functions.name), COLUMN(p->functions.system_name),
                COLUMN(p->functions.file), COLUMN(p->functions.start_line)) &&
        RESERVE(p, location_room, 1, COLUMN(p->locations.mapping), COLUMN(p->locations.address),
                COLUMN(p->locations.folded), COLUMN(p->locations.first_line)) &&
        RESERVE(p, line_room, 1, COLUMN(p->lines.at)) &&
        RESERVE(p, stack_room, 1, COLUMN(p->stacks.first_frame)) &&
        RESERVE(p, frame_room, 1, COLUMN(p->frames.location)) &&
        RESERVE(p, label_set_room, 1, COLUMN(p->label_sets.first_label)) &&
        RESERVE(p, label_room, 1, COLUMN(p->labels.at));
    char *empty = ok ? hone_arena_copy(&index->text, "", 1) : NULL;
    if (!empty)
        return false;
    p->strings.text[0] = (struct hone_str){empty, 0};
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is room in every column
    p->mappings.at[0] = (struct hone_profile_mapping){0};
    p->functions.name[0] = p->functions.system_name[0] = p->functions.file[0] = 0;
    p->functions.start_line[0] = 0;
    p->locations.mapping[0] = 0;
    p->locations.address[0] = 0;
    p->locations.folded[0] = 0;
    p->locations.first_line[0] = p->locations.first_line[1] = 0;
    p->stacks.first_frame[0] = p->stacks.first_frame[1] = 0;
    p->label_sets.first_label[0] = p->label_sets.first_label[1] = 0;
    p->strings.count = p->mappings.count = p->functions.count = p->locations.count = 1;
    p->stacks.count = p->label_sets.count = 1;
    return true;
}

struct hone_profile *hone_profile_new(void)
{
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *profile = calloc(1, sizeof *profile);
    if (!profile)
        return NULL;
    profile->index = calloc(1, sizeof *profile->index);
    if (!profile->index)
        return NULL;
    profile->index->seed = hone_table_seed();
    return add_none(profile) ? hone_take(profile) : NULL;
}

void hone_profile_free(struct hone_profile *p)
{
    if (!p)
        return;
    struct hone_profile_index *index = p->index;
    if (index) {
        hone_arena_done(&index->text);
        hone_table_done(&index->strings);
        hone_table_done(&index->mappings);
        hone_table_done(&index->functions);
        hone_table_done(&index->locations);
        hone_table_done(&index->stacks);
        hone_table_done(&index->label_sets);
        hone_table_done(&index->samples);
        free(index);
    }
    free(p->strings.text);
    free(p->mappings.at);
    free(p->functions.name);
    free(p->functions.system_name);
    free(p->functions.file);
    free(p->functions.start_line);
    free(p->locations.mapping);
    free(p->locations.address);
    free(p->locations.folded);
    free(p->locations.first_line);
    free(p->lines.at);
    free(p->stacks.first_frame);
    free(p->frames.location);
    free(p->label_sets.first_label);
    free(p->labels.at);
    free(p->samples.stack);
    free(p->samples.label_set);
    for (uint32_t i = 0; i < HONE_PROFILE_TYPES_MAX; i++)
        free(p->samples.values[i]);
    free(p->comments);
    free(p);
}

void hone_profile_freep(struct hone_profile **profile)
{
    hone_profile_free(*profile);
}
