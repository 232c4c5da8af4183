// From the collected samples to a pprof profile.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "core/core.h"
#include "symbol/place.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static const struct hone_profile_kind *const kinds[HONE_RECORDING_FILES] = {
    [HONE_CAPTURE_CPU] = &hone_profile_cpu,
    [HONE_CAPTURE_WALL] = &hone_profile_wall,
    [HONE_CAPTURE_HEAP] = &hone_profile_heap,
    [HONE_CAPTURE_ALLOCS] = &hone_profile_heap,
    [HONE_RECORDING_HEAP_TIME] = &hone_profile_heap_time,
    [HONE_RECORDING_HEAP_PEAK] = &hone_profile_heap_peak,
    [HONE_CAPTURE_MUTEX] = &hone_profile_mutex,
    [HONE_CAPTURE_LEAKS] = &hone_profile_leaks,
    [HONE_CAPTURE_BLOCK] = &hone_profile_block,
    [HONE_CAPTURE_THREADS] = &hone_profile_threads,
    [HONE_RECORDING_THREADS_TIME] = &hone_profile_threads_time,
};

static void builder_done(struct hone_profile_builder *builder)
{
    hone_profile_free(builder->profile);
    free(builder->stacks);
    free(builder->symbols);
    free(builder->mappings);
    free(builder->starts);
    free(builder->locations);
    free(builder->label_sets);
}

uint32_t hone_builder_thread_labels(struct hone_profile_builder *builder, uint32_t thread_index,
                                    const struct hone_profile_label *more, size_t count)
{
    const struct hone_collected *collected = builder->recording->collected;
    struct hone_profile *profile = builder->profile;
    const struct hone_collected_thread *thread = &collected->threads[thread_index];
    const struct hone_collected_process *process = &collected->processes[thread->process];
    const char *thread_name = thread->name[0] ? thread->name : process->name;
    struct hone_profile_label labels[4 + HONE_BUILDER_LABELS] = {
        {.key = hone_profile_intern(profile, "process"),
         .text = hone_profile_intern(profile, process->name)},
        {.key = hone_profile_intern(profile, "thread"),
         .text = hone_profile_intern(profile, thread_name)},
        {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
        {.key = hone_profile_intern(profile, "tid"), .number = thread->tid},
    };
    for (size_t i = 0; i < count; i++)
        labels[4 + i] = more[i];
    return hone_profile_add_label_set(profile, labels, 4 + count);
}

int64_t hone_builder_whole(double value)
{
    return value > -9e18 && value < 9e18 ? llround(value) : 0;
}

int64_t hone_builder_whole_of(double value, double *rest)
{
    double exact = value + *rest;
    if (!(value >= 0 && exact < 9e18))
        return hone_builder_whole(value);
    double whole = floor(exact + 0.5);
    whole = whole > 0 ? whole : 0;
    *rest = exact - whole;
    return (int64_t)whole;
}

static int add_stacks(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    const struct hone_profile_kind *kind = builder->kind;
    HONE_CLEANUP(hone_freep)
    uint32_t *locations = calloc(HONE_STACK_MAX + 1, sizeof *locations);
    HONE_CLEANUP(hone_freep)
    uint8_t *used = calloc((size_t)collected->stack_count + 1, sizeof *used);
    if (!locations || !used)
        return -ENOMEM;
    if (kind->use)
        kind->use(collected, used);
    uint64_t stacks = 0, frames = 0;
    for (uint32_t i = 0; i < collected->stack_count; i++) {
        used[i] |= !kind->use;
        stacks += used[i];
        frames += used[i] ? collected->stacks[i].count + 1 : 0;
    }
    hone_profile_expect(builder->profile, stacks, frames);
    for (uint32_t i = 0; i < collected->stack_count; i++) {
        const struct hone_collected_stack *stack = &collected->stacks[i];
        uint32_t count = 0;
        if (!used[i])
            continue;
        for (uint32_t frame = 0; frame < stack->count; frame++) {
            uint32_t location = builder->locations[collected->frames[stack->first + frame]];
            if (location)
                locations[count++] = location;
        }
        if (stack->end != HONE_STACK_COMPLETE)
            locations[count++] = builder->truncated;
        builder->stacks[i] = hone_profile_add_stack(builder->profile, locations, count);
    }
    return hone_profile_status(builder->profile);
}

static void describe(struct hone_profile_builder *builder)
{
    const struct hone_recording *recording = builder->recording;
    struct hone_profile *profile = builder->profile;
    builder->kind->describe(builder);
    profile->time_ns = (int64_t)recording->started_realtime_ns;
    profile->duration_ns = (int64_t)recording->duration_ns;
    builder->unknown_code = hone_symbol_add_function(builder->profile, "[unknown code]", "", "", 0);
    builder->never_sampled =
        hone_symbol_add_function(builder->profile, "[never sampled]", "", "", 0);
    builder->not_sampled = hone_symbol_add_function(builder->profile, "[not sampled]", "", "", 0);
    builder->exec_and_loader =
        hone_symbol_add_function(builder->profile, "[exec and loader]", "", "", 0);
    builder->fork = hone_symbol_add_function(builder->profile, "[fork]", "", "", 0);
    builder->runnable = hone_symbol_add_function(builder->profile, "[waits for a CPU]", "", "", 0);
}

static void on_fetch(void *context, const char *module, uint64_t bytes, uint64_t total)
{
    const struct hone_capture_options *options = context;
    const struct hone_capture_progress progress = {
        .working = true, .fetching = module, .bytes = bytes, .all_bytes = total};
    if (options->progress)
        options->progress(options->context, &progress);
}

int hone_recording_symbolizer(const struct hone_capture_options *options,
                              struct hone_symbolizer **ret, struct hone_error *err)
{
    return hone_symbolizer_new(
        &(struct hone_symbolizer_options){
            .size = sizeof(struct hone_symbolizer_options),
            .fetch = options->debuginfod,
            .progress = on_fetch,
            .context = (void *)options,
        },
        ret, err);
}

int hone_recording_check(const struct hone_capture_options *options, struct hone_error *err)
{
    HONE_CLEANUP(hone_symbolizer_freep) struct hone_symbolizer *symbolizer = NULL;
    return options->debuginfod ? hone_recording_symbolizer(options, &symbolizer, err) : 0;
}

int hone_recording_profile(const struct hone_recording *recording,
                           struct hone_symbolizer *symbolizer, int file, struct hone_profile **ret,
                           uint32_t **ret_stacks, struct hone_error *err)
{
    const struct hone_collected *collected = recording->collected;
    HONE_CLEANUP(builder_done)
    struct hone_profile_builder builder = {
        .recording = recording,
        .file = file,
        .kind = kinds[file],
        .profile = hone_profile_new(),
        .symbolizer = symbolizer,
        .symbols = calloc(collected->module_count, sizeof(struct hone_symbol_module *)),
        .mappings = calloc(collected->module_count, sizeof(uint32_t)),
        .starts = calloc(collected->module_count, sizeof(uint64_t)),
        .locations = calloc((size_t)collected->place_count + 1, sizeof(uint32_t)),
        .stacks = calloc((size_t)collected->stack_count + 1, sizeof(uint32_t)),
        .label_sets =
            calloc(((size_t)collected->thread_count + 1) * HONE_WAIT_KINDS, sizeof(uint32_t)),
    };
    if (!builder.profile || !builder.symbols || !builder.mappings || !builder.starts ||
        !builder.locations || !builder.stacks || !builder.label_sets)
        return hone_error_set(err, -ENOMEM, "cannot make the profile");
    struct hone_profile *profile = builder.profile;
    describe(&builder);
    int r = hone_builder_add_places(&builder);
    if (!r)
        r = add_stacks(&builder);
    if (!r)
        r = builder.kind->add(&builder);
    if (!r)
        r = hone_profile_status(profile);
    if (!r)
        r = hone_recording_comment(recording, file, profile);
    if (!r) {
        hone_builder_comment_on_names(&builder);
        r = hone_profile_status(profile);
    }
    if (r)
        return hone_error_set(err, r, "cannot make the profile");
    *ret = hone_take(builder.profile);
    if (ret_stacks)
        *ret_stacks = hone_take(builder.stacks);
    return 0;
}
