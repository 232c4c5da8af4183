// A copy to filter while the original stays. Columns are copied; the strings' bytes are the
// original's, only the table that finds them is the copy's own.
#include "profile/index.h"

#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

// Room for count entries and one more, as the columns have it.
static bool copy_column(void *column, uint32_t count, size_t width)
{
    void *from;
    memcpy(&from, column, sizeof from);
    void *to = calloc((size_t)count + 2, width);
    if (to && from)
        memcpy(to, from, (size_t)count * width);
    memcpy(column, &to, sizeof to);
    return to != NULL;
}

static bool copy_table(struct hone_table *table)
{
    if (!table->slots)
        return true;
    size_t len = ((size_t)table->mask + 1) * sizeof *table->slots;
    uint64_t *slots = malloc(len);
    if (slots)
        memcpy(slots, table->slots, len);
    table->slots = slots;
    return slots != NULL;
}

#define COPY(column, count) ok = copy_column(&(column), (count), sizeof *(column)) && ok

// Every pointer becomes the copy's own or NULL, so a half-made copy can be freed.
static bool copy_columns(struct hone_profile *p)
{
    bool ok = true;
    COPY(p->strings.text, p->strings.count);
    COPY(p->mappings.at, p->mappings.count);
    COPY(p->functions.name, p->functions.count);
    COPY(p->functions.system_name, p->functions.count);
    COPY(p->functions.file, p->functions.count);
    COPY(p->functions.start_line, p->functions.count);
    COPY(p->locations.mapping, p->locations.count);
    COPY(p->locations.address, p->locations.count);
    COPY(p->locations.folded, p->locations.count);
    COPY(p->locations.first_line, p->locations.count + 1);
    COPY(p->lines.at, p->lines.count);
    COPY(p->stacks.first_frame, p->stacks.count + 1);
    COPY(p->frames.location, p->frames.count);
    COPY(p->label_sets.first_label, p->label_sets.count + 1);
    COPY(p->labels.at, p->labels.count);
    COPY(p->samples.stack, p->samples.count);
    COPY(p->samples.label_set, p->samples.count);
    for (uint32_t i = 0; i < p->type_count; i++)
        COPY(p->samples.values[i], p->samples.count);
    COPY(p->comments, p->comment_count);
    return ok;
}

static bool copy_index(struct hone_profile *p, const struct hone_profile_index *from)
{
    struct hone_profile_index *index = p->index;
    *index = (struct hone_profile_index){
        .seed = from->seed,
        .status = from->status,
        .strings = from->strings,
        .mappings = from->mappings,
        .functions = from->functions,
        .string_room = p->strings.count,
        .mapping_room = p->mappings.count,
        .function_room = p->functions.count,
        .location_room = p->locations.count,
        .line_room = p->lines.count,
        .stack_room = p->stacks.count,
        .frame_room = p->frames.count,
        .label_set_room = p->label_sets.count,
        .label_room = p->labels.count,
        .sample_room = p->samples.count,
        .comment_room = p->comment_count,
    };
    bool ok = copy_table(&index->strings);
    ok = copy_table(&index->mappings) && ok;
    return copy_table(&index->functions) && ok;
}

struct hone_profile *hone_profile_clone(const struct hone_profile *profile)
{
    HONE_CLEANUP(hone_freep) struct hone_profile *raw = calloc(1, sizeof *raw);
    HONE_CLEANUP(hone_freep) struct hone_profile_index *index = calloc(1, sizeof *index);
    if (!raw || !index)
        return NULL;
    *raw = *profile;
    raw->index = hone_take(index);
    HONE_CLEANUP(hone_profile_freep) struct hone_profile *copy = hone_take(raw);
    bool ok = copy_columns(copy);
    ok = copy_index(copy, profile->index) && ok;
    return ok ? hone_take(copy) : NULL;
}
