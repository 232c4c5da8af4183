#include "convert/build.h"

#include "base/cleanup.h"
#include "profile/index.h"

#include <errno.h>

void hone_stack_reverse(struct hone_stack *stack)
{
    for (uint32_t i = 0, k = stack->count; i + 1 < k; i++) {
        uint32_t other = stack->at[--k];
        stack->at[k] = stack->at[i];
        stack->at[i] = other;
    }
}

uint32_t hone_stack_add(struct hone_profile *profile, struct hone_stack *stack)
{
    stack->total += stack->count;
    if (stack->total > HONE_STACK_TOTAL_MAX)
        return hone_profile_fail(profile, -EOVERFLOW);
    return hone_profile_add_stack(profile, stack->at, stack->count);
}

uint32_t hone_place_add(struct hone_profile *profile, const struct hone_place *place)
{
    struct hone_str name = place->name.len ? place->name : HONE_STR("[unknown]");
    struct hone_profile_line line = {
        .function = hone_profile_add_function(
            profile,
            &(struct hone_profile_function){.name = hone_profile_intern_str(profile, name),
                                            .file = hone_profile_intern_str(profile, place->file),
                                            .start_line = place->start_line}),
        .number = place->line,
        .column = place->column,
    };
    return hone_profile_add_location(
        profile, &(struct hone_profile_location){
                     .mapping = place->mapping, .lines = &line, .line_count = 1});
}

uint32_t hone_module_add(struct hone_profile *profile, struct hone_str file)
{
    if (!file.len)
        return 0;
    return hone_profile_add_mapping(
        profile, &(struct hone_profile_mapping){.file = hone_profile_intern_str(profile, file),
                                                .flags = HONE_PROFILE_HAS_FUNCTIONS});
}

void hone_command_comment(struct hone_profile *profile, struct hone_str command)
{
    struct hone_buffer text = {0};
    hone_buffer_text(&text, "# command: ");
    hone_buffer_add(&text, command.at, command.len);
    hone_buffer_add(&text, "", 1);
    if (text.failed)
        (void)hone_profile_fail(profile, -ENOMEM);
    else
        hone_profile_add_comment(profile, text.at);
    hone_buffer_done(&text);
}

uint32_t *hone_name_cache_find(struct hone_name_cache *cache, struct hone_str text)
{
    if (!cache->seed)
        cache->seed = hone_table_seed();
    uint64_t hash = hone_table_hash(text.at, text.len, cache->seed);
    struct hone_table_probe probe = hone_table_probe(&cache->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&cache->table, &probe)) != HONE_TABLE_END)
        if (hone_str_equal(cache->at[at].text, text))
            return &cache->at[at].number;
    if (!hone_array_reserve(&cache->at, &cache->room, (uint64_t)cache->count + 1,
                            sizeof *cache->at) ||
        hone_table_add(&cache->table, hash, cache->count))
        return NULL;
    struct hone_name_entry *entry = &cache->at[cache->count++];
    *entry = (struct hone_name_entry){.text = text};
    return &entry->number;
}

void hone_name_cache_done(struct hone_name_cache *cache)
{
    hone_table_done(&cache->table);
    free(cache->at);
}

int hone_build_out_of_memory(const char *name, struct hone_error *err)
{
    return hone_error_set(err, -ENOMEM, "cannot read '%s'", name);
}

int hone_build_finish(struct hone_profile **profile, const char *name, struct hone_profile **ret,
                      struct hone_error *err)
{
    int r = hone_profile_status(*profile);
    if (r == -EOVERFLOW)
        return hone_error_set(err, r, "cannot read '%s': more than a profile can hold", name);
    if (r)
        return hone_error_set(err, r, "cannot read '%s'", name);
    *ret = hone_take(*profile);
    return 0;
}
