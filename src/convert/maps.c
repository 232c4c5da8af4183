#include "convert/maps.h"

#include "base/array.h"
#include "convert/lines.h"

// "55d0c1e4f000-55d0c1e50000 r-xp 00001000 fe:01 1234    /usr/bin/sorter"
static bool parse(struct hone_str line, struct hone_maps_range *ret)
{
    struct hone_maps_range range = {0};
    if (!hone_str_hex(&line, &range.start) || !hone_str_take(&line, HONE_STR("-")) ||
        !hone_str_hex(&line, &range.limit) || range.limit <= range.start)
        return false;
    struct hone_str rights = hone_str_word(&line);
    struct hone_str offset = hone_str_word(&line);
    (void)hone_str_word(&line); // device
    (void)hone_str_word(&line); // inode
    range.file = hone_str_trim(line);
    if (rights.len < 3 || rights.at[2] != 'x' || !hone_str_hex(&offset, &range.offset) ||
        !range.file.len)
        return false;
    *ret = range;
    return true;
}

bool hone_maps_add(struct hone_maps *maps, struct hone_str line)
{
    struct hone_maps_range range;
    if (!parse(line, &range))
        return true;
    if (!hone_array_reserve(&maps->at, &maps->room, (uint64_t)maps->count + 1, sizeof *maps->at))
        return false;
    maps->at[maps->count++] = range;
    return true;
}

static void put(struct hone_maps_range *range, struct hone_profile *p)
{
    range->mapping = hone_profile_add_mapping(
        p, &(struct hone_profile_mapping){.start = range->start,
                                          .limit = range->limit,
                                          .offset = range->offset,
                                          .file = hone_profile_intern_str(p, range->file)});
}

void hone_maps_put(struct hone_maps *maps, struct hone_profile *profile)
{
    for (uint32_t i = 0; i < maps->count; i++)
        put(&maps->at[i], profile);
}

uint32_t hone_maps_find(struct hone_maps *maps, struct hone_profile *profile, uint64_t address)
{
    for (uint32_t i = 0; i < maps->count; i++) {
        struct hone_maps_range *range = &maps->at[i];
        if (address < range->start || address >= range->limit)
            continue;
        if (!range->mapping)
            put(range, profile);
        return range->mapping;
    }
    return 0;
}

void hone_maps_done(struct hone_maps *maps)
{
    free(maps->at);
}
