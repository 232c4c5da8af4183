// From the collected samples to a pprof profile: places get names.
#include "capture/output.h"

#include "base/cleanup.h"
#include "core/core.h"
#include "elf/nameless.h"
#include "profile/profile.h"
#include "symbol/jit.h"
#include "symbol/place.h"
#include "symbol/symbol.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What each collected thing has become in the profile.
struct builder {
    const struct hone_recording *recording;
    int file; // or enum hone_capture_type
    struct hone_profile *profile;
    struct hone_symbolizer *symbolizer;
    struct hone_symbol_module **symbols; // by module
    uint32_t *mappings;                  // by module
    uint64_t *starts;                    // by module: where the mapping starts in the profile
    uint32_t *locations;                 // by place
    uint32_t *stacks;                    // by collected stack
    uint32_t *label_sets;     // by thread, and by state in it if that is a label; 0: not yet
    uint32_t truncated;       // location that stands for missing callers
    uint32_t unknown_code;    // the function of addresses in no file
    uint32_t never_sampled;   // and of threads without a sample
    uint32_t not_sampled;     // and of threads when nothing sampled them any more
    uint32_t exec_and_loader; // and of what comes before the probe
    uint32_t fork;            // in a forked process
    uint32_t runnable;        // and of who waits for a CPU
    const char *unfetched;    // the first module whose debug file could not be fetched
    const char *unfetched_why;
};

static void builder_done(struct builder *builder)
{
    hone_profile_free(builder->profile);
    free(builder->stacks);
    free(builder->symbols);
    free(builder->mappings);
    free(builder->starts);
    free(builder->locations);
    free(builder->label_sets);
}

static bool is_heap(int file)
{
    return file != HONE_CAPTURE_CPU && file != HONE_CAPTURE_WALL && file != HONE_CAPTURE_LEAKS;
}

// Its values are what lives, not what was ever allocated.
static bool is_of_living(int file)
{
    return file == HONE_RECORDING_HEAP_TIME || file == HONE_RECORDING_HEAP_PEAK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// --- mappings ------------------------------------------------------------------------------------

struct range {
    uint64_t start, end;
};

// Where the module's addresses go in the profile. Processes load the same file at different places;
// the profile has one: the first process's, or, where another module has taken that, the next free
// one above.
static uint64_t place_module(const struct hone_collected_module *module, struct range *taken,
                             uint32_t *taken_count)
{
    uint64_t bytes = module->text_end - module->text_start;
    uint64_t start = module->text_start;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < *taken_count; i++) {
            if (start < taken[i].end && taken[i].start < start + bytes) {
                start = (taken[i].end + 4095) & ~(uint64_t)4095;
                moved = true;
            }
        }
    }
    taken[(*taken_count)++] = (struct range){start, start + bytes};
    return start;
}

static int add_mapping(struct builder *builder, uint32_t index, uint64_t start)
{
    const struct hone_collected_module *module = &builder->recording->collected->modules[index];
    struct hone_profile *profile = builder->profile;
    char build_id[2 * sizeof module->build_id + 1] = "";
    for (size_t i = 0; i < module->build_id_bytes; i++)
        (void)snprintf(build_id + 2 * i, 3, "%02x", module->build_id[i]);
    int r = strcmp(module->path, HONE_KERNEL_PATH) == 0
                ? hone_symbolizer_kernel(builder->symbolizer, &builder->symbols[index])
                : hone_symbolizer_module(builder->symbolizer, module->path,
                                         module->build_id_bytes ? module->build_id : NULL,
                                         module->build_id_bytes, &builder->symbols[index]);
    if (r)
        return r;
    const struct hone_symbol_facts *facts = hone_symbol_facts(builder->symbols[index]);
    if (builder->recording->options->debuginfod && facts->detail[0] && !builder->unfetched) {
        builder->unfetched = module->path;
        builder->unfetched_why = facts->detail;
    }
    uint32_t flags = (facts->has_functions ? HONE_PROFILE_HAS_FUNCTIONS : 0) |
                     (facts->has_filenames ? HONE_PROFILE_HAS_FILENAMES : 0) |
                     (facts->has_line_numbers ? HONE_PROFILE_HAS_LINE_NUMBERS : 0) |
                     (facts->has_inline_frames ? HONE_PROFILE_HAS_INLINE_FRAMES : 0);
    builder->starts[index] = start;
    builder->mappings[index] = hone_profile_add_mapping(
        profile, &(struct hone_profile_mapping){
                     .start = start,
                     .limit = start + (module->text_end - module->text_start),
                     .offset = module->text_offset,
                     .file = hone_profile_intern(profile, module->path),
                     .build_id = hone_profile_intern(profile, build_id),
                     .flags = flags,
                 });
    return hone_profile_status(profile);
}

// The program of the process that used most: a shell that starts a compiler is not what was meant.
static uint32_t find_main_program(const struct hone_collected *collected)
{
    uint64_t most = 0;
    const char *path = collected->process_count ? collected->processes[0].facts.path : "";
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        if (facts->samples > most) {
            most = facts->samples;
            path = facts->path;
        }
    }
    for (uint32_t i = 1; i < collected->module_count; i++)
        if (strcmp(collected->modules[i].path, path) == 0)
            return i;
    return HONE_NO_MODULE;
}

// Only modules that samples fell into; the program itself first, as pprof expects.
static int add_mappings(struct builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    HONE_CLEANUP(hone_freep) uint8_t *used = calloc(collected->module_count, 1);
    HONE_CLEANUP(hone_freep)
    struct range *taken = calloc(collected->module_count, sizeof *taken);
    if (!used || !taken)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->place_count; i++)
        used[collected->places[i].module] = 1;
    uint32_t main_program = find_main_program(collected);
    used[main_program] = 1;
    uint32_t taken_count = 0;
    for (uint32_t turn = 0; turn < collected->module_count; turn++) {
        uint32_t i = turn == 0 ? main_program : turn;
        if (i == HONE_NO_MODULE || !used[i] || (turn && turn == main_program))
            continue;
        uint64_t start = place_module(&collected->modules[i], taken, &taken_count);
        int r = add_mapping(builder, i, start);
        if (r)
            return r;
    }
    return 0;
}

// --- locations -----------------------------------------------------------------------------------

// A place that no symbol covers is named after its file and, where the file's unwind table knows,
// the start of its function: so a view can show it, and a reader sees which file lacks symbols.
static int add_nameless(struct builder *builder, struct hone_profile_location *location,
                        const struct hone_collected_place *place, uint32_t *ret)
{
    const char *path = builder->recording->collected->modules[place->module].path;
    const char *file = base_name(path);
    struct hone_profile_line line = {.function = builder->unknown_code};
    if (place->address == HONE_PLACE_NEVER_SAMPLED)
        line.function = builder->never_sampled;
    else if (place->address == HONE_PLACE_NOT_SAMPLED)
        line.function = builder->not_sampled;
    else if (place->address == HONE_PLACE_BEFORE)
        line.function = builder->exec_and_loader;
    else if (place->address == HONE_PLACE_FORK)
        line.function = builder->fork;
    else if (place->address == HONE_PLACE_RUNNABLE)
        line.function = builder->runnable;
    if (path[0]) {
        const struct hone_elf *elf = hone_symbol_module_elf(builder->symbols[place->module]);
        char name[NAME_MAX + 32];
        struct hone_elf_extent extent;
        if (elf && hone_elf_nameless((struct hone_elf *)elf, place->address, &extent))
            (void)snprintf(name, sizeof name, "%s+%#" PRIx64, file, extent.start);
        else // [vdso] has its brackets already
            (void)snprintf(name, sizeof name, file[0] == '[' ? "%s" : "[%s]", file);
        line.function = hone_symbol_add_function(builder->profile, name, "", "", 0);
    }
    location->lines = &line;
    location->line_count = 1;
    *ret = hone_profile_add_location(builder->profile, location);
    return hone_profile_status(builder->profile);
}

// Code of no file: as its compiler named it, at the time of the sample or (UINT64_MAX) at the end.
static int add_generated(struct builder *builder, const struct hone_collected_place *place,
                         uint64_t time_ns, uint32_t *ret)
{
    struct hone_profile_location location = {.address = place->address};
    struct hone_generated *generated =
        place->process ? builder->recording->collected->processes[place->process - 1].generated
                       : NULL;
    struct hone_jit *names = generated ? hone_generated_names(generated) : NULL;
    struct hone_jit_name name;
    int r = names ? hone_jit_lookup(names, place->address, time_ns, &name) : HONE_JIT_UNKNOWN;
    if (r < 0)
        return r;
    if (r)
        return add_nameless(builder, &location, place, ret);
    struct hone_profile_line line = {
        .function = hone_symbol_add_function(builder->profile, name.name, name.name, name.file, 0),
        .number = name.line,
    };
    location.lines = &line;
    location.line_count = 1;
    *ret = hone_profile_add_location(builder->profile, &location);
    return hone_profile_status(builder->profile);
}

static int add_location(struct builder *builder, const struct hone_collected_place *place,
                        uint32_t *ret)
{
    const struct hone_collected_module *module =
        &builder->recording->collected->modules[place->module];
    struct hone_profile_location location = {.address = place->address};
    if (place->module == HONE_NO_MODULE)
        return add_generated(builder, place, UINT64_MAX, ret);
    location.mapping = builder->mappings[place->module];
    // From the file's addresses to the process's, and from there to the profile's.
    location.address =
        place->address + module->bias - module->text_start + builder->starts[place->module];
    struct hone_symbol_frames frames;
    int r = hone_symbol_lookup(builder->symbols[place->module], place->address, &frames);
    if (r < 0)
        return r;
    return r == 0 ? hone_symbol_add_location(builder->profile, &location, &frames, ret)
                  : add_nameless(builder, &location, place, ret);
}

// All addresses of a module at once, which is where the time goes.
static int prepare_names(struct builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    HONE_CLEANUP(hone_freep)
    uint64_t *addresses = calloc((size_t)collected->place_count + 1, sizeof *addresses);
    HONE_CLEANUP(hone_freep)
    uint32_t *ends = calloc((size_t)collected->module_count + 1, sizeof *ends);
    if (!addresses || !ends)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->place_count; i++)
        ends[collected->places[i].module + 1]++;
    for (uint32_t i = 1; i <= collected->module_count; i++)
        ends[i] += ends[i - 1];
    // Until here where a module's addresses begin; each one moves it on to where they end.
    for (uint32_t i = 0; i < collected->place_count; i++)
        addresses[ends[collected->places[i].module]++] = collected->places[i].address;
    int r = 0;
    for (uint32_t i = 1; i < collected->module_count && !r; i++)
        if (builder->symbols[i])
            r = hone_symbol_prepare(builder->symbols[i], addresses + ends[i - 1],
                                    ends[i] - ends[i - 1]);
    return r;
}

static int add_locations(struct builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    int prepared = prepare_names(builder);
    if (prepared)
        return prepared;
    for (uint32_t i = 0; i < collected->place_count; i++) {
        int r = add_location(builder, &collected->places[i], &builder->locations[i]);
        if (r)
            return r;
    }
    struct hone_profile_line line = {
        .function = hone_symbol_add_function(builder->profile, "[truncated]", "", "", 0)};
    builder->truncated = hone_profile_add_location(
        builder->profile, &(struct hone_profile_location){.lines = &line, .line_count = 1});
    return hone_profile_status(builder->profile);
}

// --- samples -------------------------------------------------------------------------------------

// The labels of a thread; with what tells its samples apart besides, where that has a key: a state,
// or the size of a block.
static uint32_t add_label_set(struct builder *builder, uint32_t thread_index,
                              struct hone_profile_label more)
{
    const struct hone_collected *collected = builder->recording->collected;
    struct hone_profile *profile = builder->profile;
    const struct hone_collected_thread *thread = &collected->threads[thread_index];
    const struct hone_collected_process *process = &collected->processes[thread->process];
    const char *thread_name = thread->name[0] ? thread->name : process->name;
    const struct hone_profile_label labels[] = {
        {.key = hone_profile_intern(profile, "process"),
         .text = hone_profile_intern(profile, process->name)},
        {.key = hone_profile_intern(profile, "thread"),
         .text = hone_profile_intern(profile, thread_name)},
        {.key = hone_profile_intern(profile, "pid"), .number = process->pid},
        {.key = hone_profile_intern(profile, "tid"), .number = thread->tid},
        more,
    };
    return hone_profile_add_label_set(profile, labels,
                                      HONE_ARRAY_LENGTH(labels) - (more.key ? 0 : 1));
}

static struct hone_profile_label state_label(struct hone_profile *profile, enum hone_wait wait)
{
    return (struct hone_profile_label){
        .key = hone_profile_intern(profile, "state"),
        .text = hone_profile_intern(profile, hone_wait_name(wait)),
    };
}

// As Go's profiles have it.
static struct hone_profile_label size_label(struct hone_profile *profile, uint64_t bytes)
{
    return (struct hone_profile_label){
        .key = hone_profile_intern(profile, "bytes"),
        .number = (int64_t)bytes,
        .unit = hone_profile_intern(profile, "bytes"),
    };
}

static void add_wall_samples(struct builder *builder, const uint32_t *stacks)
{
    const struct hone_collected *collected = builder->recording->collected;
    for (uint32_t i = 0; i < collected->wall_count; i++) {
        const struct hone_collected_wall *wall = &collected->wall[i];
        int64_t values[] = {(int64_t)wall->samples, (int64_t)wall->ns};
        uint32_t *labels = &builder->label_sets[wall->thread * HONE_WAITS + wall->wait];
        if (!*labels)
            *labels = add_label_set(builder, wall->thread,
                                    state_label(builder->profile, (enum hone_wait)wall->wait));
        (void)hone_profile_add_sample_in_set(builder->profile, stacks[wall->stack], values,
                                             *labels);
    }
}

// The stack of one sample, where the names of some frames depend on its time.
static int add_timed_stack(struct builder *builder, const struct hone_collected_sample *sample,
                           uint32_t *locations, uint32_t *ret)
{
    const struct hone_collected *collected = builder->recording->collected;
    const struct hone_collected_stack *stack = &collected->stacks[sample->stack];
    uint32_t count = stack->count;
    for (uint32_t frame = 0; frame < count; frame++) {
        uint32_t place = collected->frames[stack->first + frame];
        locations[frame] = builder->locations[place];
        int r = collected->places[place].process ? add_generated(builder, &collected->places[place],
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

static int add_cpu_samples(struct builder *builder, uint32_t *locations, const uint32_t *stacks)
{
    const struct hone_collected *collected = builder->recording->collected;
    for (uint32_t i = 0; i < collected->sample_count; i++) {
        const struct hone_collected_sample *sample = &collected->samples[i];
        int64_t values[] = {(int64_t)sample->samples, (int64_t)sample->cpu_ns};
        uint32_t stack = stacks[sample->stack];
        int r = sample->time_ns ? add_timed_stack(builder, sample, locations, &stack) : 0;
        if (r)
            return r;
        uint32_t *labels = &builder->label_sets[sample->thread];
        if (!*labels)
            *labels = add_label_set(builder, sample->thread, (struct hone_profile_label){0});
        (void)hone_profile_add_sample_in_set(builder->profile, stack, values, *labels);
    }
    return 0;
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
static uint32_t generation_name(struct builder *builder, uint32_t generation)
{
    const struct hone_collected *collected = builder->recording->collected;
    return hone_profile_intern(builder->profile,
                               generation ? collected->marks[generation - 1].name : "start");
}

// What is counted for a process is told by no thread.
static uint32_t process_labels(struct builder *builder, uint32_t process_index,
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

static int64_t whole(double value)
{
    return value > -9e18 && value < 9e18 ? llround(value) : 0;
}

static void add_changes(struct builder *builder)
{
    const struct hone_heap_series *series = &builder->recording->collected->heap_series;
    for (uint32_t i = 0; i < series->count; i++) {
        const struct hone_heap_change *change = &series->at[i];
        int64_t values[] = {whole(change->objects), whole(change->bytes)};
        (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[change->stack],
                                             values,
                                             process_labels(builder, change->process, change));
    }
}

static void add_peak(struct builder *builder)
{
    const struct hone_heap_sites *sites = &builder->recording->collected->heap_sites;
    for (uint32_t i = 0; i < sites->count; i++) {
        const struct hone_collected_site *site = &sites->at[i];
        int64_t values[] = {(int64_t)site->peak, (int64_t)site->peak_bytes};
        if (values[0] || values[1])
            (void)hone_profile_add_sample_in_set(builder->profile, builder->stacks[site->stack],
                                                 values,
                                                 process_labels(builder, site->process, NULL));
    }
}

static void add_heap_blocks(struct builder *builder, const uint32_t *stacks)
{
    const struct hone_collected *collected = builder->recording->collected;
    for (uint32_t i = 0; i < collected->heap.count; i++) {
        const struct hone_collected_heap *row = &collected->heap.at[i];
        double weight = hone_heap_weight(row->size, row->rate);
        double allocated = weight * (double)row->allocated, live = weight * (double)row->live;
        int64_t values[] = {whole(allocated), whole(allocated * (double)row->size), whole(live),
                            whole(live * (double)row->size)};
        uint32_t labels =
            add_label_set(builder, row->thread, size_label(builder->profile, row->size));
        (void)hone_profile_add_sample_in_set(builder->profile, stacks[row->stack], values, labels);
    }
    for (uint32_t i = 0; i < collected->heap_sites.count; i++) {
        const struct hone_collected_site *site = &collected->heap_sites.at[i];
        int64_t values[] = {(int64_t)site->allocated, (int64_t)site->allocated_bytes,
                            (int64_t)site->live, (int64_t)site->live_bytes};
        (void)hone_profile_add_sample_in_set(builder->profile, stacks[site->stack], values,
                                             process_labels(builder, site->process, NULL));
    }
}

// The values of a row of leaks: what is lost, then what is not.
static void add_leak_samples(struct builder *builder, const uint32_t *stacks)
{
    const struct hone_collected *collected = builder->recording->collected;
    static const char *const names[HONE_REACHES] = {
        [HONE_REACH_UNREACHABLE] = "unreachable",
        [HONE_REACH_INDIRECT] = "indirect",
        [HONE_REACH_REACHABLE] = "reachable",
        [HONE_REACH_MAPPED] = "mapped",
    };
    struct hone_profile *profile = builder->profile;
    for (uint32_t i = 0; i < collected->leak_count; i++) {
        const struct hone_collected_leak *leak = &collected->leaks[i];
        const struct hone_collected_process *process = &collected->processes[leak->process];
        double weight = hone_heap_weight(leak->size, leak->rate);
        int64_t objects = whole(weight * (double)leak->objects);
        int64_t bytes = whole(weight * (double)leak->bytes);
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
        (void)hone_profile_add_sample(profile, stacks[leak->stack], values, labels,
                                      HONE_ARRAY_LENGTH(labels));
    }
}

static int add_samples(struct builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    struct hone_profile *profile = builder->profile;
    HONE_CLEANUP(hone_freep)
    uint32_t *locations = calloc(HONE_STACK_MAX + 1, sizeof *locations);
    uint32_t *stacks = builder->stacks;
    if (!locations)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->stack_count; i++) {
        const struct hone_collected_stack *stack = &collected->stacks[i];
        uint32_t count = stack->count;
        for (uint32_t frame = 0; frame < count; frame++)
            locations[frame] = builder->locations[collected->frames[stack->first + frame]];
        if (stack->end != HONE_STACK_COMPLETE)
            locations[count++] = builder->truncated;
        stacks[i] = hone_profile_add_stack(profile, locations, count);
    }
    int r = 0;
    if (builder->file == HONE_CAPTURE_WALL)
        add_wall_samples(builder, stacks);
    else if (builder->file == HONE_RECORDING_HEAP_TIME)
        add_changes(builder);
    else if (builder->file == HONE_RECORDING_HEAP_PEAK)
        add_peak(builder);
    else if (builder->file == HONE_CAPTURE_LEAKS)
        add_leak_samples(builder, stacks);
    else if (is_heap(builder->file))
        add_heap_blocks(builder, stacks);
    else
        r = add_cpu_samples(builder, locations, stacks);
    return r ? r : hone_profile_status(profile);
}

static void describe_leaks(struct builder *builder)
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

static void describe_heap(struct builder *builder)
{
    struct hone_profile *profile = builder->profile;
    if (!is_of_living(builder->file)) {
        (void)hone_profile_add_type(profile, "alloc_objects", "count");
        (void)hone_profile_add_type(profile, "alloc_space", "bytes");
    }
    (void)hone_profile_add_type(profile, "inuse_objects", "count");
    (void)hone_profile_add_type(profile, "inuse_space", "bytes");
    hone_profile_set_default_type(profile, builder->file == HONE_CAPTURE_ALLOCS ? "alloc_space"
                                                                                : "inuse_space");
    hone_profile_set_period(profile, "space", "bytes",
                            (int64_t)builder->recording->options->heap_rate);
}

static void describe_time(struct builder *builder, const char *name, uint64_t hz)
{
    struct hone_profile *profile = builder->profile;
    (void)hone_profile_add_type(profile, "samples", "count");
    (void)hone_profile_add_type(profile, name, "nanoseconds");
    hone_profile_set_default_type(profile, name);
    hone_profile_set_period(profile, name, "nanoseconds", (int64_t)(1000000000 / hz));
}

static void describe(struct builder *builder)
{
    const struct hone_recording *recording = builder->recording;
    struct hone_profile *profile = builder->profile;
    if (is_heap(builder->file))
        describe_heap(builder);
    else if (builder->file == HONE_CAPTURE_LEAKS)
        describe_leaks(builder);
    else if (builder->file == HONE_CAPTURE_WALL)
        describe_time(builder, "wall", recording->options->wall_hz);
    else
        describe_time(builder, "cpu", recording->options->cpu_hz);
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

// The process whose generated code used most time without a name, and that time.
static uint64_t unnamed_code(const struct builder *builder, uint32_t *ret_process)
{
    const struct hone_collected *collected = builder->recording->collected;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < collected->sample_count; i++) {
        const struct hone_collected_sample *sample = &collected->samples[i];
        const struct hone_collected_stack *stack = &collected->stacks[sample->stack];
        if (!stack->generated || !stack->count)
            continue;
        const struct hone_collected_place *leaf =
            &collected->places[collected->frames[stack->first]];
        const struct hone_collected_process *process =
            leaf->process ? &collected->processes[leaf->process - 1] : NULL;
        if (!process || !process->generated || process->generated->names ||
            !hone_generated_holds(process->generated, leaf->address))
            continue;
        sum += sample->cpu_ns;
        *ret_process = leaf->process - 1;
    }
    return sum;
}

// What to do for names, where we know the compiler.
static const char *how_to_name(const struct hone_collected_process *process)
{
    static const struct {
        const char *program, *advice;
    } known[] = {
        {"node", "give it the option --perf-basic-prof"},
        {"java", "give it -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit"},
    };
    const char *file = base_name(process->facts.path);
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(known); i++)
        if (strncmp(file, known[i].program, strlen(known[i].program)) == 0)
            return known[i].advice;
    return "its compiler, if it can, has to write a perf map or jitdump";
}

static void comment_on_names(struct builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    if (builder->unfetched)
        hone_profile_comment(builder->profile, "names: %.200s: %s", builder->unfetched,
                             builder->unfetched_why);
    uint32_t process = 0;
    uint64_t unnamed_ns = unnamed_code(builder, &process), all_ns = 0;
    for (uint32_t i = 0; i < collected->sample_count; i++)
        all_ns += collected->samples[i].cpu_ns;
    if (unnamed_ns > all_ns / 100)
        hone_profile_comment(
            builder->profile,
            "names: %.3f s in generated code without names, such as of process %u %s: %s",
            (double)unnamed_ns / 1e9, collected->processes[process].pid,
            collected->processes[process].name, how_to_name(&collected->processes[process]));
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
    struct builder builder = {
        .recording = recording,
        .file = file,
        .profile = hone_profile_new(),
        .symbolizer = symbolizer,
        .symbols = calloc(collected->module_count, sizeof(struct hone_symbol_module *)),
        .mappings = calloc(collected->module_count, sizeof(uint32_t)),
        .starts = calloc(collected->module_count, sizeof(uint64_t)),
        .locations = calloc((size_t)collected->place_count + 1, sizeof(uint32_t)),
        .stacks = calloc((size_t)collected->stack_count + 1, sizeof(uint32_t)),
        .label_sets = calloc(((size_t)collected->thread_count + 1) * HONE_WAITS, sizeof(uint32_t)),
    };
    if (!builder.profile || !builder.symbols || !builder.mappings || !builder.starts ||
        !builder.locations || !builder.stacks || !builder.label_sets)
        return hone_error_set(err, -ENOMEM, "cannot make the profile");
    struct hone_profile *profile = builder.profile;
    describe(&builder);
    int r = add_mappings(&builder);
    if (!r)
        r = add_locations(&builder);
    if (!r)
        r = add_samples(&builder);
    if (!r)
        r = hone_recording_comment(recording, file, profile);
    if (!r) {
        comment_on_names(&builder);
        r = hone_profile_status(profile);
    }
    if (r)
        return hone_error_set(err, r, "cannot make the profile");
    *ret = hone_take(builder.profile);
    if (ret_stacks)
        *ret_stacks = hone_take(builder.stacks);
    return 0;
}
