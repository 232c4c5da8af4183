// The profiles of time: cpu.prof and wall.prof.
#include "capture/profile_parts.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

// A futex is not looked for further away than this: who waits for one has few functions below it.
enum { INNERMOST_FRAMES = 16 };

enum hone_wait_kind hone_builder_wait_kind(const struct hone_profile_builder *builder,
                                           uint32_t stack, enum hone_wait_kind kind)
{
    const struct hone_profile *profile = builder->profile;
    uint32_t first = profile->stacks.first_frame[stack],
             end = profile->stacks.first_frame[stack + 1];
    while (first < end && builder->kernel &&
           profile->locations.mapping[profile->frames.location[first]] == builder->kernel)
        first++; // no function of the kernel tells what a futex is for
    if (end - first > INNERMOST_FRAMES)
        end = first + INNERMOST_FRAMES;
    for (uint32_t i = first; kind == HONE_KIND_FUTEX && i < end; i++) {
        uint32_t location = profile->frames.location[i];
        for (uint32_t line = profile->locations.first_line[location];
             kind == HONE_KIND_FUTEX && line < profile->locations.first_line[location + 1];
             line++) {
            uint32_t function = profile->lines.at[line].function;
            kind = hone_wait_kind_of_function(
                hone_profile_text(profile, profile->functions.name[function]));
        }
    }
    return kind;
}

// A thread's state and, of one that waits, for what exactly.
static uint32_t wall_labels(struct hone_profile_builder *builder, uint32_t thread,
                            enum hone_wait_kind kind)
{
    struct hone_profile *profile = builder->profile;
    enum hone_wait wait = hone_wait_of_kind(kind);
    const struct hone_profile_label more[] = {
        {.key = hone_profile_intern(profile, "state"),
         .text = hone_profile_intern(profile, hone_wait_name(wait))},
        {.key = hone_profile_intern(profile, "wait"),
         .text = hone_profile_intern(profile, hone_wait_kind_name(kind))},
    };
    bool waits = wait != HONE_WAIT_NONE && wait != HONE_WAIT_RUNNABLE;
    return hone_builder_thread_labels(builder, thread, more, waits ? 2 : 1);
}

static int add_wall_samples(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    for (uint32_t i = 0; i < collected->wall_count; i++) {
        const struct hone_collected_wall *wall = &collected->wall[i];
        uint32_t stack = builder->stacks[wall->stack];
        enum hone_wait_kind kind = hone_builder_wait_kind(builder, stack, wall->kind);
        int64_t values[] = {(int64_t)wall->samples, (int64_t)wall->ns};
        uint32_t *labels = &builder->label_sets[(size_t)wall->thread * HONE_WAIT_KINDS + kind];
        if (!*labels)
            *labels = wall_labels(builder, wall->thread, kind);
        (void)hone_profile_add_sample_in_set(builder->profile, stack, values, *labels);
    }
    return 0;
}

// The stack of one sample, where the names of some frames depend on its time.
static int add_timed_stack(struct hone_profile_builder *builder,
                           const struct hone_collected_sample *sample, uint32_t *locations,
                           uint32_t *ret)
{
    const struct hone_collected *collected = builder->recording->collected;
    const struct hone_collected_stack *stack = &collected->stacks[sample->stack];
    uint32_t count = stack->count;
    for (uint32_t frame = 0; frame < count; frame++) {
        uint32_t place = collected->frames[stack->first + frame];
        locations[frame] = builder->locations[place];
        int r = collected->places[place].process
                    ? hone_builder_add_generated(builder, &collected->places[place],
                                                 sample->time_ns, &locations[frame])
                    : 0;
        if (r)
            return r;
    }
    if (stack->end != HONE_STACK_COMPLETE)
        locations[count++] = builder->truncated;
    *ret = hone_profile_add_stack(builder->profile, locations, count);
    return 0;
}

static int add_cpu_samples(struct hone_profile_builder *builder)
{
    HONE_CLEANUP(hone_freep)
    uint32_t *locations = calloc(HONE_STACK_MAX + 1, sizeof *locations);
    if (!locations)
        return -ENOMEM;
    const struct hone_collected *collected = builder->recording->collected;
    for (uint32_t i = 0; i < collected->sample_count; i++) {
        const struct hone_collected_sample *sample = &collected->samples[i];
        int64_t values[] = {(int64_t)sample->samples, (int64_t)sample->cpu_ns};
        uint32_t stack = builder->stacks[sample->stack];
        int r = sample->time_ns ? add_timed_stack(builder, sample, locations, &stack) : 0;
        if (r)
            return r;
        uint32_t *labels = &builder->label_sets[sample->thread];
        if (!*labels)
            *labels = hone_builder_thread_labels(builder, sample->thread, NULL, 0);
        (void)hone_profile_add_sample_in_set(builder->profile, stack, values, *labels);
    }
    return 0;
}

static void describe_time(struct hone_profile_builder *builder, const char *name, uint64_t hz)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "samples", "count");
    (void)hone_profile_add_type(profile, name, "nanoseconds");
    hone_profile_set_default_type(profile, name);
    hone_profile_set_period(profile, name, "nanoseconds", (int64_t)(1000000000 / hz));
}

static void describe_cpu(struct hone_profile_builder *builder)
{
    describe_time(builder, "cpu", builder->recording->options->cpu_hz);
}

static void describe_wall(struct hone_profile_builder *builder)
{
    describe_time(builder, "wall", builder->recording->options->wall_hz);
}

const struct hone_profile_kind hone_profile_cpu = {describe_cpu, add_cpu_samples};
const struct hone_profile_kind hone_profile_wall = {describe_wall, add_wall_samples};
