#include "fetch/symbols.h"

#include "fetch/fetch.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_key(const void *left, const void *right)
{
    const struct hone_fetch_origin *a = left;
    const struct hone_fetch_origin *b = right;
    int order = strcmp(a->key, b->key);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static int note(struct hone_fetch_origins *origins, struct hone_profile *profile,
                struct hone_profile_mapping *mapping, const char *url)
{
    if (!mapping->build_id && !mapping->file) {
        mapping->file = hone_profile_intern(profile, url);
        if (!mapping->file)
            return -ENOMEM;
    }
    const char *key =
        hone_profile_text(profile, mapping->build_id ? mapping->build_id : mapping->file);
    char *copy = hone_arena_copy(&origins->arena, key, strlen(key) + 1);
    if (!copy)
        return -ENOMEM;
    origins->at[origins->count] = (struct hone_fetch_origin){
        .key = copy, .url = url, .start = mapping->start, .place = origins->count};
    origins->count++;
    return 0;
}

static int note_all(struct hone_fetch_origins *origins, struct hone_fetch_source *source)
{
    const char *url = hone_arena_copy(&origins->arena, source->url, strlen(source->url) + 1);
    struct hone_profile *profile = source->profile;
    int r = url ? 0 : -ENOMEM;
    for (uint32_t i = 1; i < profile->mappings.count && !r; i++)
        r = note(origins, profile, &profile->mappings.at[i], url);
    return r;
}

int hone_fetch_origins_new(struct hone_fetch_source *sources, size_t count,
                           struct hone_fetch_origins **ret, struct hone_error *err)
{
    size_t room = 1;
    for (size_t i = 0; i < count; i++)
        if (sources[i].url && sources[i].profile)
            room += sources[i].profile->mappings.count;
    struct hone_fetch_origins *origins = calloc(1, sizeof *origins);
    if (origins)
        origins->at = calloc(room, sizeof *origins->at);
    int r = origins && origins->at ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && !r; i++)
        if (sources[i].url && sources[i].profile)
            r = note_all(origins, &sources[i]);
    if (r) {
        hone_fetch_origins_free(origins);
        return hone_error_set(err, r, "cannot note where profiles come from");
    }
    qsort(origins->at, origins->count, sizeof *origins->at, by_key);
    *ret = origins;
    return 0;
}

void hone_fetch_origins_free(struct hone_fetch_origins *origins)
{
    if (!origins)
        return;
    free(origins->at);
    hone_arena_done(&origins->arena);
    free(origins);
}

const struct hone_fetch_origin *hone_fetch_origins_find(const struct hone_fetch_origins *origins,
                                                        const char *key)
{
    size_t low = 0;
    size_t high = origins->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(origins->at[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < origins->count && strcmp(origins->at[low].key, key) == 0;
    return found ? &origins->at[low] : NULL;
}
