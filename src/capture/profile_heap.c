// The profiles of the heap: heap.prof and allocs.prof, heap-time.prof, heap-peak.prof.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>

// As Go's profiles have it.
static struct hone_profile_label size_label(struct hone_profile *profile, uint64_t bytes)
{
    return (struct hone_profile_label){
        .key = hone_profile_intern(profile, "bytes"),
        .number = (int64_t)bytes,
        .unit = hone_profile_intern(profile, "bytes"),
    };
}

// In milliseconds since the start. Nothing has happened after the end.
static int64_t end_of_interval(const struct hone_recording *recording,
                               const struct hone_heap_change *change)
{
    uint64_t end_ns = ((uint64_t)change->interval + 1) * recording->collected->heap_series.width_ns;
    uint64_t last_ns = (recording->duration_ns + 999999) / 1000000 * 1000000;
    return (int64_t)((end_ns < last_ns ? end_ns : last_ns) / 1000000);
}

// The time since a mark has that mark's name.
static uint32_t generation_name(struct hone_profile_builder *builder, uint32_t generation)
{
    const struct hone_collected *collected = builder->recording->collected;
    return hone_profile_intern(builder->profile,
                               generation ? collected->marks[generation - 1].name : "start");
}

// What is counted for a process is told by no thread.
static uint32_t process_labels(struct hone_profile_builder *builder, uint32_t process_index,
                               const struct hone_heap_change *change)
{
    struct hone_profile *profile = builder->profile;
    const struct hone_collected_process *process =
        &builder->recording->collected->processes[process_index];
    const struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(profile, "process"),
         .text = hone_profile_intern(profile, process->name)},
        {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
        {.key = hone_profile_intern(profile, "time"),
         .number = change ? end_of_interval(builder->recording, change) : 0,
         .unit = hone_profile_intern(profile, "milliseconds")},
        {.key = hone_profile_intern(profile, "generation"),
         .text = change ? generation_name(builder, change->generation) : 0},
    };
    return hone_profile_add_label_set(profile, labels,
                                      HONE_ARRAY_LENGTH(labels) - (change ? 0 : 2));
}

static void use_changed(const struct hone_collected *collected, uint8_t *ret_used)
{
    for (uint32_t i = 0; i < collected->heap_series.count; i++)
        ret_used[collected->heap_series.at[i].stack] = 1;
}

static int add_changes(struct hone_profile_builder *builder)
{
    const struct hone_heap_series *series = &builder->recording->collected->heap_series;
    for (uint32_t i = 0; i < series->count; i++) {
        const struct hone_heap_change *change = &series->at[i];
        int64_t values[] = {hone_builder_whole(change->objects), hone_builder_whole(change->bytes)};
        (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[change->stack],
                                             values,
                                             process_labels(builder, change->process, change));
    }
    return 0;
}

static bool has_peak(const struct hone_collected_site *site)
{
    return site->peak || site->peak_bytes;
}

static void use_peak(const struct hone_collected *collected, uint8_t *ret_used)
{
    for (uint32_t i = 0; i < collected->heap_sites.count; i++)
        if (has_peak(&collected->heap_sites.at[i]))
            ret_used[collected->heap_sites.at[i].stack] = 1;
}

static int add_peak(struct hone_profile_builder *builder)
{
    const struct hone_heap_sites *sites = &builder->recording->collected->heap_sites;
    for (uint32_t i = 0; i < sites->count; i++) {
        const struct hone_collected_site *site = &sites->at[i];
        int64_t values[] = {(int64_t)site->peak, (int64_t)site->peak_bytes};
        if (has_peak(site))
            (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[site->stack],
                                                 values,
                                                 process_labels(builder, site->process, NULL));
    }
    return 0;
}

struct sorted {
    const struct hone_collected_heap *row;
};

static int by_stack(const void *a, const void *b)
{
    const struct hone_collected_heap *one = ((const struct sorted *)a)->row,
                                     *other = ((const struct sorted *)b)->row;
    if (one->stack != other->stack)
        return one->stack < other->stack ? -1 : 1;
    return one < other ? -1 : one > other;
}

static int add_sampled(struct hone_profile_builder *builder, const struct hone_heap_rows *rows)
{
    HONE_CLEANUP(hone_freep)
    struct sorted *sorted = calloc((size_t)rows->count + 1, sizeof *sorted);
    if (!sorted)
        return -ENOMEM;
    for (uint32_t i = 0; i < rows->count; i++)
        sorted[i].row = &rows->at[i];
    qsort(sorted, rows->count, sizeof *sorted, by_stack);
    double rest[4] = {0};
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct hone_collected_heap *row = sorted[i].row;
        double weight = hone_heap_weight(row->size, row->rate);
        double allocated = weight * (double)row->allocated, live = weight * (double)row->live;
        int64_t values[] = {hone_builder_whole_of(allocated, &rest[0]),
                            hone_builder_whole_of(allocated * (double)row->size, &rest[1]),
                            hone_builder_whole_of(live, &rest[2]),
                            hone_builder_whole_of(live * (double)row->size, &rest[3])};
        struct hone_profile_label size = size_label(builder->profile, row->size);
        uint32_t labels = hone_builder_thread_labels(builder, row->thread, &size, 1);
        (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[row->stack], values,
                                             labels);
    }
    return 0;
}

static int add_blocks(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    int r = add_sampled(builder, &collected->heap);
    for (uint32_t i = 0; !r && i < collected->heap_sites.count; i++) {
        const struct hone_collected_site *site = &collected->heap_sites.at[i];
        int64_t values[] = {(int64_t)site->allocated, (int64_t)site->allocated_bytes,
                            (int64_t)site->live, (int64_t)site->live_bytes};
        (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[site->stack], values,
                                             process_labels(builder, site->process, NULL));
    }
    return r;
}

static void describe_living(struct hone_profile_builder *builder)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "inuse_objects", "count");
    (void)hone_profile_add_type(profile, "inuse_space", "bytes");
    hone_profile_set_default_type(profile, builder->file == HONE_CAPTURE_ALLOCS ? "alloc_space"
                                                                                : "inuse_space");
    hone_profile_set_period(profile, "space", "bytes",
                            (int64_t)builder->recording->options->heap_rate);
}

static void describe_all(struct hone_profile_builder *builder)
{
    (void)hone_profile_add_type(builder->profile, "alloc_objects", "count");
    (void)hone_profile_add_type(builder->profile, "alloc_space", "bytes");
    describe_living(builder);
}

const struct hone_profile_kind hone_profile_heap = {describe_all, add_blocks, .without_ours = true};
const struct hone_profile_kind hone_profile_heap_time = {describe_living, add_changes, use_changed,
                                                         .without_ours = true};
const struct hone_profile_kind hone_profile_heap_peak = {describe_living, add_peak, use_peak,
                                                         .without_ours = true};
