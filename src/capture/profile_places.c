// Addresses get names: the mappings and locations of a profile.
#include "capture/profile_parts.h"

#include "base/cleanup.h"
#include "capture/held_file.h"
#include "core/core.h"
#include "elf/nameless.h"
#include "symbol/jit.h"
#include "symbol/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

// Whether a file is the one that was met as this module, which has no build id. What cannot be read
// is for others to tell.
static bool is_met(const struct hone_collected_module *module, int fd)
{
    bool same = true;
    return fd < 0 || hone_held_file_compare(module, fd, &same) || same;
}

// Whether another file has its path now, and nobody holds its own.
static bool is_replaced(const struct hone_collected *collected, uint32_t index)
{
    const struct hone_collected_module *module = &collected->modules[index];
    if (module->build_id_bytes || !module->contents || module->path[0] == '[')
        return false;
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(module->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (is_met(module, fd))
        return false;
    if (!module->held_fd || !is_met(module, module->held_fd - 1))
        return true;
    // Those of one path are one to who finds names.
    for (uint32_t i = 1; i < collected->module_count; i++)
        if (i != index && strcmp(collected->modules[i].path, module->path) == 0)
            return true;
    return false;
}

static int add_mapping(struct hone_profile_builder *builder, uint32_t index, uint64_t start)
{
    const struct hone_collected_module *module = &builder->recording->collected->modules[index];
    struct hone_profile *profile = builder->profile;
    char build_id[2 * sizeof module->build_id + 1] = "";
    for (size_t i = 0; i < module->build_id_bytes; i++)
        (void)snprintf(build_id + 2 * i, 3, "%02x", module->build_id[i]);
    bool kernel = strcmp(module->path, HONE_KERNEL_PATH) == 0;
    const unsigned char *id = module->build_id_bytes ? module->build_id : NULL;
    size_t id_bytes = module->build_id_bytes;
    if (is_replaced(builder->recording->collected, index)) { // an id that the file has not got
        id = (const unsigned char *)&module->contents;
        id_bytes = sizeof module->contents;
    }
    int r = kernel ? hone_symbolizer_kernel(builder->symbolizer, &builder->symbols[index])
                   : hone_symbolizer_module(builder->symbolizer, module->path, id, id_bytes,
                                            &builder->symbols[index]);
    if (!r && module->held_fd)
        hone_symbol_module_hold(builder->symbols[index], module->held_fd - 1);
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
    if (kernel)
        builder->kernel = builder->mappings[index];
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
static int add_mappings(struct hone_profile_builder *builder)
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

// By which path a file is told: one that is met from inside and from outside may have two, and its
// functions one name.
static const char *path_of(const struct hone_collected *collected, uint32_t index)
{
    const struct hone_collected_module *module = &collected->modules[index];
    for (uint32_t i = 1; i < index && module->build_id_bytes; i++)
        if (collected->modules[i].build_id_bytes == module->build_id_bytes &&
            memcmp(collected->modules[i].build_id, module->build_id, module->build_id_bytes) == 0)
            return collected->modules[i].path;
    return module->path;
}

// A place that no symbol covers is named after its file and, where the file's unwind table knows,
// the start of its function: so a view can show it, and a reader sees which file lacks symbols.
static int add_nameless(struct hone_profile_builder *builder,
                        struct hone_profile_location *location,
                        const struct hone_collected_place *place, uint32_t *ret)
{
    const char *path = path_of(builder->recording->collected, place->module);
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
int hone_builder_add_generated(struct hone_profile_builder *builder,
                               const struct hone_collected_place *place, uint64_t time_ns,
                               uint32_t *ret)
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

static int add_location(struct hone_profile_builder *builder,
                        const struct hone_collected_place *place, uint32_t *ret)
{
    const struct hone_collected_module *module =
        &builder->recording->collected->modules[place->module];
    struct hone_profile_location location = {.address = place->address};
    if (place->module == HONE_NO_MODULE)
        return hone_builder_add_generated(builder, place, UINT64_MAX, ret);
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
static int prepare_names(struct hone_profile_builder *builder)
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

static int add_locations(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    int prepared = prepare_names(builder);
    if (prepared)
        return prepared;
    for (uint32_t i = 0; i < collected->place_count; i++) {
        if (builder->kind->without_ours && collected->modules[collected->places[i].module].ours)
            continue;
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

int hone_builder_add_places(struct hone_profile_builder *builder)
{
    int r = add_mappings(builder);
    return r ? r : add_locations(builder);
}

// --- what has no names ---------------------------------------------------------------------------

// The process whose generated code used most time without a name, and that time.
static uint64_t unnamed_code(const struct hone_profile_builder *builder, uint32_t *ret_process)
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

// Files of which there are no names, for it is not they that were recorded. A program that loads
// what it makes itself may have thousands.
static void comment_on_nameless(struct hone_profile_builder *builder)
{
    enum { MOST = 10 };
    const struct hone_collected *collected = builder->recording->collected;
    const char *told[MOST];
    uint32_t told_count = 0, more = 0;
    for (uint32_t i = 1; i < collected->module_count; i++) {
        const struct hone_symbol_facts *facts =
            builder->symbols[i] ? hone_symbol_facts(builder->symbols[i]) : NULL;
        if (!facts || facts->has_functions ||
            (facts->reason != HONE_SYMBOL_CHANGED && facts->reason != HONE_SYMBOL_UNREADABLE))
            continue;
        const char *path = collected->modules[i].path;
        uint32_t same = 0;
        while (same < told_count && strcmp(told[same], path) != 0)
            same++;
        if (same < told_count)
            continue;
        if (told_count == MOST) {
            more++;
            continue;
        }
        told[told_count++] = path;
        hone_profile_comment(builder->profile, "names: none of %.200s: %s", path,
                             facts->reason == HONE_SYMBOL_CHANGED
                                 ? "the file was replaced by another one since it was started"
                                 : "the file was deleted or cannot be read");
    }
    if (more)
        hone_profile_comment(builder->profile,
                             "names: none of %" PRIu32 " more, replaced or deleted", more);
}

void hone_builder_comment_on_names(struct hone_profile_builder *builder)
{
    const struct hone_collected *collected = builder->recording->collected;
    if (builder->unfetched)
        hone_profile_comment(builder->profile, "names: %.200s: %s", builder->unfetched,
                             builder->unfetched_why);
    comment_on_nameless(builder);
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
