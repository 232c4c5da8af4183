// Samples: one for each stack and label set.
#include "profile/build.h"

#include <assert.h>
#include <errno.h>

enum { EXPECTED_MAX = 1 << 28 }; // frames

static bool reserve_samples(struct hone_profile *p, uint32_t count)
{
    struct hone_profile_column columns[2 + HONE_PROFILE_TYPES_MAX] = {COLUMN(p->samples.stack),
                                                                      COLUMN(p->samples.label_set)};
    for (uint32_t i = 0; i < p->type_count; i++)
        columns[2 + i] = (struct hone_profile_column)COLUMN(p->samples.values[i]);
    return hone_profile_reserve(p, &p->index->sample_room, count, columns, 2 + p->type_count);
}

void hone_profile_expect(struct hone_profile *p, uint64_t samples, uint64_t frames)
{
    struct hone_profile_index *index = p->index;
    if (index->status || samples > EXPECTED_MAX / 16 || frames > EXPECTED_MAX ||
        hone_table_reserve(&index->stacks, (uint32_t)samples))
        return;
    (void)RESERVE(p, stack_room, samples, COLUMN(p->stacks.first_frame));
    (void)RESERVE(p, frame_room, frames, COLUMN(p->frames.location));
    (void)reserve_samples(p, (uint32_t)samples);
    if (index->status == -ENOMEM)
        index->status = 0; // it was a guess
}

bool hone_profile_sample_is_zero(const struct hone_profile *p, uint32_t sample)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (p->samples.values[i][sample])
            return false;
    return true;
}

static uint64_t hash_sample(const struct hone_profile *p, uint32_t stack, uint32_t label_set)
{
    uint64_t key = (uint64_t)stack << 32 | label_set;
    return hone_profile_hash(p, &key, sizeof key);
}

// Puts the samples into the table that were known to be apart without it.
static void know_samples(struct hone_profile *p)
{
    if (!p->index->samples_apart)
        return;
    p->index->samples_apart = false;
    struct hone_table *table = &p->index->samples;
    bool ok = !hone_table_reserve(table, p->samples.count);
    for (uint32_t i = 0; ok && i < p->samples.count; i++)
        ok =
            !hone_table_add(table, hash_sample(p, p->samples.stack[i], p->samples.label_set[i]), i);
    if (!ok)
        (void)hone_profile_fail(p, -ENOMEM);
}

void hone_profile_sample_prefetch(const struct hone_profile *p, uint32_t stack, uint32_t label_set)
{
    hone_table_prefetch(&p->index->samples, hash_sample(p, stack, label_set));
}

static uint32_t append_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                              uint32_t label_set)
{
    struct hone_profile_samples *all = &p->samples;
    if (!reserve_samples(p, p->samples.count))
        return HONE_TABLE_END;
    all->stack[all->count] = stack;
    all->label_set[all->count] = label_set;
    for (uint32_t i = 0; i < p->type_count; i++)
        all->values[i][all->count] = values[i];
    return all->count++;
}

static uint32_t add_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                           uint32_t label_set)
{
    know_samples(p);
    if (p->index->status)
        return 0;
    struct hone_profile_samples *all = &p->samples;
    uint64_t hash = hash_sample(p, stack, label_set);
    struct hone_table *table = &p->index->samples;
    struct hone_table_probe probe = hone_table_probe(table, hash);
    uint32_t at;
    while ((at = hone_table_next(table, &probe)) != HONE_TABLE_END)
        if (all->stack[at] == stack && all->label_set[at] == label_set) {
            for (uint32_t i = 0; i < p->type_count; i++)
                all->values[i][at] = hone_profile_add_values(all->values[i][at], values[i]);
            return at;
        }
    at = append_sample(p, stack, values, label_set);
    if (at == HONE_TABLE_END)
        return 0;
    return hone_table_add(table, hash, at) ? hone_profile_fail(p, -ENOMEM) : at;
}

uint32_t hone_profile_add_sample_in_set(struct hone_profile *p, uint32_t stack,
                                        const int64_t *values, uint32_t label_set)
{
    assert(stack < p->stacks.count && label_set < p->label_sets.count);
    return add_sample(p, stack, values, label_set);
}

void hone_profile_sample_append(struct hone_profile *p, uint32_t stack, bool is_new,
                                const int64_t *values, uint32_t label_set)
{
    if (!p->samples.count)
        p->index->samples_apart = true;
    if (is_new && p->index->samples_apart)
        (void)append_sample(p, stack, values, label_set);
    else
        (void)add_sample(p, stack, values, label_set);
}

static void rebuild_samples(struct hone_profile *p, bool drop_zeros)
{
    struct hone_profile_samples *all = &p->samples;
    p->index->samples_apart = false;
    hone_table_clear(&p->index->samples);
    uint32_t count = all->count;
    all->count = 0;
    for (uint32_t i = 0; i < count && !p->index->status; i++) {
        if (drop_zeros && hone_profile_sample_is_zero(p, i))
            continue;
        int64_t values[HONE_PROFILE_TYPES_MAX];
        for (uint32_t k = 0; k < p->type_count; k++)
            values[k] = all->values[k][i];
        (void)add_sample(p, all->stack[i], values, all->label_set[i]);
    }
}

void hone_profile_samples_changed(struct hone_profile *p)
{
    rebuild_samples(p, true);
}

void hone_profile_samples_renumbered(struct hone_profile *p)
{
    rebuild_samples(p, false);
}

uint32_t hone_profile_add_sample(struct hone_profile *p, uint32_t stack, const int64_t *values,
                                 const struct hone_profile_label *labels, size_t label_count)
{
    uint32_t set = hone_profile_add_label_set(p, labels, label_count);
    return hone_profile_add_sample_in_set(p, stack, values, set);
}
