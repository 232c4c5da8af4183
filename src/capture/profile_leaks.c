// leaks.prof: what lived at the end, and whether anything points to it.
#include "capture/profile_parts.h"

#include "core/core.h"

// The values of a row of leaks: what is lost, then what is not.
static int add_leak_samples(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    static const char *const names[HONE_REACHES] = {
        [HONE_REACH_UNREACHABLE] = "unreachable",
        [HONE_REACH_INDIRECT] = "indirect",
        [HONE_REACH_REACHABLE] = "reachable",
        [HONE_REACH_MAPPED] = "mapped",
    };
    struct hone_profile *profile = builder->profile;
    double rest[HONE_REACHES][2] = {{0}};
    for (uint32_t i = 0; i < collected->leak_count; i++) {
        const struct hone_collected_leak *leak = &collected->leaks[i];
        const struct hone_collected_process *process = &collected->processes[leak->process];
        int64_t objects = hone_builder_whole_of(leak->objects, &rest[leak->reach][0]);
        int64_t bytes = hone_builder_whole_of(leak->bytes, &rest[leak->reach][1]);
        bool lost = leak->reach == HONE_REACH_UNREACHABLE || leak->reach == HONE_REACH_INDIRECT;
        int64_t values[] = {lost ? objects : 0, lost ? bytes : 0, lost ? 0 : objects,
                            lost ? 0 : bytes};
        const struct hone_profile_label labels[] = {
            {.key = hone_profile_intern(profile, "process"),
             .text = hone_profile_intern(profile, process->name)},
            {.key = hone_profile_intern(profile, "reach"),
             .text = hone_profile_intern(profile, names[leak->reach])},
            {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
        };
        (void)hone_profile_add_sample(profile, builder->stacks[leak->stack], values, labels,
                                      HONE_ARRAY_LENGTH(labels));
    }
    return 0;
}

static void use_leaks(const struct hone_collected *collected, uint8_t *ret_used)
{
    for (uint32_t i = 0; i < collected->leak_count; i++)
        ret_used[collected->leaks[i].stack] = 1;
}

static void describe_leaks(struct hone_profile_builder *builder)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "leaked_objects", "count");
    (void)hone_profile_add_type(profile, "leaked_space", "bytes");
    (void)hone_profile_add_type(profile, "reachable_objects", "count");
    (void)hone_profile_add_type(profile, "reachable_space", "bytes");
    hone_profile_set_default_type(profile, "leaked_space");
    hone_profile_set_period(profile, "space", "bytes",
                            (int64_t)builder->recording->options->heap_rate);
}

const struct hone_profile_kind hone_profile_leaks = {describe_leaks, add_leak_samples, use_leaks,
                                                     .without_ours = true};
