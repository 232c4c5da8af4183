// From places in files to functions and lines, and the profile that everybody reads.
#include "convert/perf_parts.h"

#include "base/cleanup.h"
#include "base/utf8.h"
#include "core/core.h"
#include "elf/nameless.h"
#include "symbol/jit.h"
#include "symbol/place.h"
#include "symbol/symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MAP_BYTES_MAX = 1 << 30 };

struct named_module {
    struct hone_symbol_module *symbols; // NULL: there are none
    struct hone_jit *jit;               // of generated code; NULL: nobody named it
    uint64_t shift;                     // of the kernel: to where it is now
    uint32_t mapping;                   // in the profile
    uint64_t start;                     // there, of file offset `offset`
    uint64_t offset;
};

struct naming {
    struct hone_perfdata_reading *reading;
    struct hone_profile *profile;
    struct hone_symbolizer *symbolizer;
    struct hone_arena arena;
    struct named_module *modules;
    uint32_t module_count;
    uint32_t *locations; // by the raw one's number
    uint32_t unknown_code;
};

static void naming_done(struct naming *naming)
{
    for (uint32_t i = 0; naming->modules && i < naming->module_count; i++)
        hone_jit_free(naming->modules[i].jit);
    free(naming->modules);
    free(naming->locations);
    hone_symbolizer_free(naming->symbolizer);
    hone_profile_free(naming->profile);
    hone_arena_done(&naming->arena);
}

// --- the kernel ----------------------------------------------------------------------------------

// Where the running kernel has the symbol that the recorded one was told of, which is one of the
// first in its list; 0: it does not say.
static uint64_t reference_now(const char *symbol)
{
    HONE_CLEANUP(hone_fclosep) FILE *file = symbol[0] ? fopen("/proc/kallsyms", "re") : NULL;
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *kind = strchr(line, ' ');
        const char *name = kind ? strchr(kind + 1, ' ') : NULL;
        if (name && strcmp(name + 1, symbol) == 0)
            return strtoull(line, NULL, 16);
    }
    return 0;
}

// Whether the kernel that runs now is the one that was recorded, and how far it lies from there.
static bool is_same_kernel(const struct hone_perfdata_reading *reading,
                           struct hone_symbol_module *symbols, uint64_t *ret_shift)
{
    const struct hone_perfdata_build_id *told =
        hone_perfdata_build_id_of(&reading->stream.info, "[kernel.kallsyms]");
    size_t len;
    const unsigned char *ours = hone_symbol_module_build_id(symbols, &len);
    struct utsname kernel;
    if (told ? !ours || len < told->size || memcmp(ours, told->bytes, told->size) != 0
             : uname(&kernel) || strcmp(kernel.release, reading->stream.info.release) != 0)
        return false;
    uint64_t now = reference_now(reading->kernel.symbol);
    *ret_shift = now - reading->kernel.reference;
    return now && reading->kernel.reference;
}

// --- modules -------------------------------------------------------------------------------------

// Whoever may write to /tmp may leave a file there: only what we, root, or who recorded wrote is
// believed.
static int read_perf_map(uint32_t pid, struct hone_jit **ret)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/perf-%u.map", pid);
    HONE_CLEANUP(hone_fd_closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > MAP_BYTES_MAX || (st.st_uid != geteuid() && st.st_uid != 0))
        return 0;
    HONE_CLEANUP(hone_freep) char *bytes = malloc((size_t)st.st_size);
    ssize_t len = bytes ? pread(fd, bytes, (size_t)st.st_size, 0) : -1;
    int r = bytes ? hone_jit_new(ret) : -ENOMEM;
    if (!r && len > 0)
        r = hone_jit_read_map(*ret, bytes, (size_t)len);
    return r == -ENOMEM ? r : 0;
}

static int open_names(struct naming *naming, uint32_t index)
{
    struct hone_perfdata_reading *reading = naming->reading;
    struct named_module *named = &naming->modules[index];
    if (reading->options->no_names)
        return 0;
    (void)hone_perfdata_module_code(&reading->modules, index);
    const struct hone_perfdata_module *module = &reading->modules.at[index];
    int r = 0;
    switch (module->kind) {
    case HONE_PERFDATA_KERNEL:
        r = hone_symbolizer_kernel(naming->symbolizer, &named->symbols);
        if (!r && !is_same_kernel(reading, named->symbols, &named->shift))
            named->symbols = NULL;
        return r;
    case HONE_PERFDATA_GENERATED:
        return read_perf_map(module->pid, &named->jit);
    case HONE_PERFDATA_FILE:
    case HONE_PERFDATA_VDSO:
        break;
    }
    if (!module->found)
        return 0;
    // The file's own build id, which names its index and its debug file.
    const struct hone_module *file = &module->code->module;
    return hone_symbolizer_module(naming->symbolizer, module->found,
                                  file->build_id_size ? file->build_id : NULL, file->build_id_size,
                                  &named->symbols);
}

struct range {
    uint64_t start, end;
};

// Where the module's bytes go in the profile. Processes load the same file at different places; the
// profile has one: the first process's, or, where another module has taken that, the next free one
// above.
static uint64_t place_module(uint64_t start, uint64_t bytes, struct range *taken, uint32_t *count)
{
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < *count; i++) {
            if (start < taken[i].end && taken[i].start < start + bytes) {
                start = (taken[i].end + 4095) & ~(uint64_t)4095;
                moved = true;
            }
        }
    }
    taken[(*count)++] = (struct range){start, start + bytes};
    return start;
}

// Text of the file's, as it can be shown.
static const char *shown(struct naming *naming, const char *text)
{
    bool failed = false;
    struct hone_str clean = hone_utf8_clean(&naming->arena, hone_str_of(text), PATH_MAX, &failed);
    const char *line =
        failed ? NULL : hone_arena_format(&naming->arena, "%.*s", (int)clean.len, clean.at);
    return line ? line : "";
}

static int add_mapping(struct naming *naming, uint32_t index, struct range *taken,
                       uint32_t *taken_count)
{
    struct hone_profile *profile = naming->profile;
    const struct hone_perfdata_module *module = &naming->reading->modules.at[index];
    struct named_module *named = &naming->modules[index];
    if (module->kind == HONE_PERFDATA_GENERATED)
        return open_names(naming, index);
    int r = open_names(naming, index);
    if (r)
        return r;
    module = &naming->reading->modules.at[index];
    const struct hone_symbol_facts *facts =
        named->symbols ? hone_symbol_facts(named->symbols) : NULL;
    uint32_t flags = !facts ? 0
                            : (facts->has_functions ? HONE_PROFILE_HAS_FUNCTIONS : 0) |
                                  (facts->has_filenames ? HONE_PROFILE_HAS_FILENAMES : 0) |
                                  (facts->has_line_numbers ? HONE_PROFILE_HAS_LINE_NUMBERS : 0) |
                                  (facts->has_inline_frames ? HONE_PROFILE_HAS_INLINE_FRAMES : 0);
    char build_id[2 * HONE_PERFDATA_BUILD_ID_MAX + 1] = "";
    for (size_t i = 0; i < module->build_id_size; i++)
        (void)snprintf(build_id + 2 * i, 3, "%02x", module->build_id[i]);
    struct hone_profile_mapping mapping = {
        .file = hone_profile_intern(profile, shown(naming, module->path)),
        .build_id = hone_profile_intern(profile, build_id),
        .flags = flags,
    };
    if (module->kind == HONE_PERFDATA_KERNEL) {
        mapping.start = 1ull << 63;
        mapping.limit = UINT64_MAX;
        mapping.offset = mapping.start; // so that addresses are offsets
    } else {
        uint64_t bytes = module->high_offset - module->low_offset;
        mapping.offset = module->low_offset;
        mapping.start = place_module(module->start - (module->offset - module->low_offset), bytes,
                                     taken, taken_count);
        mapping.limit = mapping.start + bytes;
    }
    named->start = mapping.start;
    named->offset = mapping.offset;
    if (module->kind == HONE_PERFDATA_KERNEL)
        mapping.offset = 0;
    named->mapping = hone_profile_add_mapping(profile, &mapping);
    return hone_profile_status(profile);
}

// The program of the process that was sampled most: a shell that starts a compiler is not meant.
static uint32_t find_main_program(const struct hone_perfdata_reading *reading)
{
    uint64_t most = 0;
    uint32_t program = HONE_PERFDATA_NO_MODULE;
    for (uint32_t i = 0; i < reading->processes.count; i++) {
        const struct hone_perfdata_process *process = &reading->processes.at[i];
        if (process->samples <= most || process->program_module == HONE_PERFDATA_NO_MODULE)
            continue;
        most = process->samples;
        program = process->program_module;
    }
    return program;
}

// Only modules that samples fell into; the program itself first, as pprof expects.
static int add_mappings(struct naming *naming)
{
    struct hone_perfdata_reading *reading = naming->reading;
    const struct hone_profile *raw = reading->raw;
    HONE_CLEANUP(hone_freep)
    struct range *taken = calloc((size_t)naming->module_count + 1, sizeof *taken);
    if (!taken)
        return -ENOMEM;
    uint32_t taken_count = 0, main_program = find_main_program(reading);
    int r = 0;
    if (main_program != HONE_PERFDATA_NO_MODULE)
        r = add_mapping(naming, main_program, taken, &taken_count);
    for (uint32_t i = 1; i < raw->mappings.count && !r; i++) {
        uint32_t module = (uint32_t)raw->mappings.at[i].start - 1;
        if (module != main_program)
            r = add_mapping(naming, module, taken, &taken_count);
    }
    return r;
}

// --- locations -----------------------------------------------------------------------------------

static uint32_t raw_module(const struct hone_profile *raw, uint32_t location)
{
    uint32_t mapping = raw->locations.mapping[location];
    return mapping ? (uint32_t)raw->mappings.at[mapping].start - 1 : HONE_PERFDATA_NO_MODULE;
}

// The address that the module's symbols have for a raw location. False: they have none.
static bool symbol_address(const struct naming *naming, uint32_t index, uint64_t at, uint64_t *ret)
{
    const struct hone_perfdata_module *module = &naming->reading->modules.at[index];
    const struct hone_perfdata_kernel *kernel = &naming->reading->kernel;
    const struct named_module *named = &naming->modules[index];
    if (!named->symbols)
        return false;
    switch (module->kind) {
    case HONE_PERFDATA_KERNEL:
        *ret = at + named->shift;
        // Its modules lie elsewhere each time.
        return !named->shift || (at >= kernel->start && at < kernel->end);
    case HONE_PERFDATA_VDSO:
        *ret = at;
        return true;
    case HONE_PERFDATA_FILE:
        return module->code && hone_elf_code_address(module->code, at, ret);
    case HONE_PERFDATA_GENERATED:
        break;
    }
    return false;
}

static uint32_t add_one_line(struct naming *naming, struct hone_profile_location *location,
                             uint32_t function, int64_t number)
{
    struct hone_profile_line line = {.function = function, .number = number};
    location->lines = &line;
    location->line_count = 1;
    return hone_profile_add_location(naming->profile, location);
}

// A place that no symbol covers is named after its file and, where the file's unwind table knows,
// the start of its function.
static uint32_t add_nameless(struct naming *naming, uint32_t index, uint64_t address,
                             bool has_address, struct hone_profile_location *location)
{
    const char *path = shown(naming, naming->reading->modules.at[index].path);
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    char name[NAME_MAX + 32];
    struct hone_symbol_module *symbols = naming->modules[index].symbols;
    const struct hone_elf *elf = symbols && has_address ? hone_symbol_module_elf(symbols) : NULL;
    struct hone_elf_extent extent;
    if (elf && hone_elf_nameless((struct hone_elf *)elf, address, &extent))
        (void)snprintf(name, sizeof name, "%s+%#" PRIx64, file, extent.start);
    else
        (void)snprintf(name, sizeof name, file[0] == '[' ? "%s" : "[%s]", file);
    return add_one_line(naming, location,
                        hone_symbol_add_function(naming->profile, name, "", "", 0), 0);
}

static uint32_t add_place(struct naming *naming, uint64_t place)
{
    static const char *const names[HONE_PERFDATA_PLACES] = {
        [HONE_PERFDATA_TRUNCATED] = "[truncated]",
        [HONE_PERFDATA_GUEST] = "[guest]",
        [HONE_PERFDATA_HYPERVISOR] = "[hypervisor]",
        [HONE_PERFDATA_EXEC] = "[exec and loader]",
    };
    struct hone_profile_location location = {0};
    return add_one_line(naming, &location,
                        hone_symbol_add_function(naming->profile, names[place], "", "", 0), 0);
}

static int add_generated(struct naming *naming, const struct hone_jit *jit, uint64_t address,
                         uint32_t *ret)
{
    struct hone_profile_location location = {.address = address};
    struct hone_jit_name name;
    int r = jit ? hone_jit_lookup((struct hone_jit *)jit, address, UINT64_MAX, &name)
                : HONE_JIT_UNKNOWN;
    if (r < 0)
        return r;
    if (r)
        *ret = add_one_line(naming, &location, naming->unknown_code, 0);
    else
        *ret = add_one_line(
            naming, &location,
            hone_symbol_add_function(naming->profile, name.name, name.name, name.file, 0),
            name.line);
    return 0;
}

static int add_location(struct naming *naming, uint32_t number, uint32_t *ret)
{
    const struct hone_profile *raw = naming->reading->raw;
    uint64_t at = raw->locations.address[number];
    uint32_t index = raw_module(raw, number);
    if (index == HONE_PERFDATA_NO_MODULE && at && at < HONE_PERFDATA_PLACES) {
        *ret = add_place(naming, at);
        return 0;
    }
    if (index == HONE_PERFDATA_NO_MODULE)
        return add_generated(naming, NULL, at, ret);
    const struct named_module *named = &naming->modules[index];
    if (naming->reading->modules.at[index].kind == HONE_PERFDATA_GENERATED)
        return add_generated(naming, named->jit, at, ret);
    struct hone_profile_location location = {.mapping = named->mapping,
                                             .address = at - named->offset + named->start};
    if (naming->reading->options->no_names) {
        *ret = hone_profile_add_location(naming->profile, &location);
        return 0;
    }
    uint64_t address = 0;
    bool has_address = symbol_address(naming, index, at, &address);
    struct hone_symbol_frames frames;
    int r =
        has_address ? hone_symbol_lookup(named->symbols, address, &frames) : HONE_SYMBOL_UNKNOWN;
    if (r < 0)
        return r;
    if (r == 0)
        return hone_symbol_add_location(naming->profile, &location, &frames, ret);
    *ret = add_nameless(naming, index, address, has_address, &location);
    return 0;
}

// All addresses of a module at once, which is where the time goes.
static int prepare_names(struct naming *naming)
{
    const struct hone_profile *raw = naming->reading->raw;
    HONE_CLEANUP(hone_freep)
    uint64_t *addresses = calloc((size_t)raw->locations.count + 1, sizeof *addresses);
    HONE_CLEANUP(hone_freep)
    uint32_t *ends = calloc((size_t)naming->module_count + 2, sizeof *ends);
    if (!addresses || !ends)
        return -ENOMEM;
    uint64_t address;
    for (uint32_t i = 1; i < raw->locations.count; i++) {
        uint32_t module = raw_module(raw, i);
        if (module != HONE_PERFDATA_NO_MODULE &&
            symbol_address(naming, module, raw->locations.address[i], &address))
            ends[module + 1]++;
    }
    for (uint32_t i = 1; i <= naming->module_count; i++)
        ends[i] += ends[i - 1];
    // Until here where a module's addresses begin; each one moves it on to where they end.
    for (uint32_t i = 1; i < raw->locations.count; i++) {
        uint32_t module = raw_module(raw, i);
        if (module != HONE_PERFDATA_NO_MODULE &&
            symbol_address(naming, module, raw->locations.address[i], &address))
            addresses[ends[module]++] = address;
    }
    int r = 0;
    for (uint32_t i = 0; i < naming->module_count && !r; i++) {
        uint32_t begin = i ? ends[i - 1] : 0;
        if (naming->modules[i].symbols && ends[i] > begin)
            r = hone_symbol_prepare(naming->modules[i].symbols, addresses + begin, ends[i] - begin);
    }
    return r;
}

static int add_locations(struct naming *naming)
{
    const struct hone_profile *raw = naming->reading->raw;
    int r = prepare_names(naming);
    for (uint32_t i = 1; i < raw->locations.count && !r; i++)
        r = add_location(naming, i, &naming->locations[i]);
    return r ? r : hone_profile_status(naming->profile);
}

// --- samples -------------------------------------------------------------------------------------

static int add_samples(struct naming *naming)
{
    const struct hone_profile *raw = naming->reading->raw;
    struct hone_profile *profile = naming->profile;
    HONE_CLEANUP(hone_freep)
    uint32_t *stacks = calloc((size_t)raw->stacks.count + 1, sizeof *stacks);
    HONE_CLEANUP(hone_freep)
    uint32_t *label_sets = calloc((size_t)raw->label_sets.count + 1, sizeof *label_sets);
    if (!stacks || !label_sets)
        return -ENOMEM;
    for (uint32_t i = 1; i < raw->stacks.count; i++) {
        uint32_t locations[HONE_PERFDATA_DEPTH_MAX + 1];
        struct hone_profile_span frames = hone_profile_frames_of(raw, i);
        for (uint32_t k = 0; k < frames.count; k++)
            locations[k] = naming->locations[frames.at[k]];
        stacks[i] = hone_profile_add_stack(profile, locations, frames.count);
    }
    for (uint32_t i = 1; i < raw->label_sets.count; i++) {
        struct hone_profile_label_span from = hone_profile_labels_of(raw, i);
        struct hone_profile_label labels[4];
        for (uint32_t k = 0; k < from.count; k++) {
            labels[k] = from.at[k];
            labels[k].key = hone_profile_intern(profile, hone_profile_text(raw, from.at[k].key));
            labels[k].text = hone_profile_intern(
                profile, shown(naming, hone_profile_text(raw, from.at[k].text)));
        }
        label_sets[i] = hone_profile_add_label_set(profile, labels, from.count);
    }
    for (uint32_t i = 0; i < raw->samples.count; i++) {
        int64_t values[2];
        for (uint32_t k = 0; k < raw->type_count; k++)
            values[k] = raw->samples.values[k][i];
        (void)hone_profile_add_sample_in_set(profile, stacks[raw->samples.stack[i]], values,
                                             label_sets[raw->samples.label_set[i]]);
    }
    return hone_profile_status(profile);
}

static void describe(struct naming *naming)
{
    const struct hone_perfdata_reading *reading = naming->reading;
    const struct hone_perfdata_info *info = &reading->stream.info;
    const struct hone_perfdata_event *event = &info->events[reading->event];
    struct hone_profile *profile = naming->profile;
    char name[128];
    (void)snprintf(name, sizeof name, "%.*s", (int)hone_perfdata_plain_name(event->name),
                   event->name);
    const char *type = reading->is_clock ? "cpu" : shown(naming, name);
    const char *unit = reading->is_clock ? "nanoseconds" : "count";
    (void)hone_profile_add_type(profile, "samples", "count");
    if (reading->has_period) {
        (void)hone_profile_add_type(profile, type, unit);
        hone_profile_set_default_type(profile, type);
    }
    int64_t period = 0; // the kernel chose one for each sample
    if (!event->attr.freq)
        period =
            event->attr.sample_period > INT64_MAX ? INT64_MAX : (int64_t)event->attr.sample_period;
    else if (reading->is_clock && event->attr.sample_freq)
        period = (int64_t)(1000000000u / event->attr.sample_freq);
    hone_profile_set_period(profile, type, unit, period);
    uint64_t first_ns = info->first_ns ? info->first_ns : reading->first_ns;
    uint64_t last_ns = info->last_ns ? info->last_ns : reading->last_ns;
    if (last_ns > first_ns && last_ns - first_ns <= INT64_MAX)
        profile->duration_ns = (int64_t)(last_ns - first_ns);
    if (info->has_clock && first_ns)
        profile->time_ns = (int64_t)(info->wall_ns + (first_ns - info->clock_ns));
    naming->unknown_code = hone_symbol_add_function(naming->profile, "[unknown code]", "", "", 0);
}

int hone_perfdata_profile(struct hone_perfdata_reading *reading, struct hone_profile **ret,
                          struct hone_error *err)
{
    HONE_CLEANUP(naming_done)
    struct naming naming = {
        .reading = reading,
        .profile = hone_profile_new(),
        .module_count = reading->modules.count,
        .modules = calloc((size_t)reading->modules.count + 1, sizeof *naming.modules),
        .locations = calloc((size_t)reading->raw->locations.count + 1, sizeof *naming.locations),
    };
    if (!naming.profile || !naming.modules || !naming.locations)
        return -ENOMEM;
    int r = 0;
    if (!reading->options->no_names)
        r = hone_symbolizer_new(
            &(struct hone_symbolizer_options){
                .size = sizeof(struct hone_symbolizer_options),
                .fetch = reading->options->debuginfod,
            },
            &naming.symbolizer, err);
    if (r)
        return r;
    describe(&naming);
    r = add_mappings(&naming);
    if (!r)
        r = add_locations(&naming);
    if (!r)
        r = add_samples(&naming);
    if (!r && naming.symbolizer)
        r = hone_symbolizer_keep(naming.symbolizer);
    if (r)
        return r;
    hone_perfdata_comment(reading, naming.profile);
    r = hone_profile_status(naming.profile);
    if (!r)
        *ret = hone_take(naming.profile);
    return r;
}
