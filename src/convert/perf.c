#include "convert/perf_parts.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    KNOWN_MAX = 4 << 20, // stacks that are found again by their hash: 128 MB
    BUILD_ID_TOLD = PERF_RECORD_MISC_MMAP_BUILD_ID,
};

#if defined(__x86_64__)
static const char this_machine[] = "x86_64";
#else
static const char this_machine[] = "aarch64";
#endif

bool hone_perf_detect(const void *bytes, size_t len)
{
    return hone_perfdata_kind(bytes, len) != HONE_PERFDATA_NONE;
}

// --- which event ---------------------------------------------------------------------------------

size_t hone_perfdata_plain_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    size_t len = strlen(name);
    if (!colon || colon == name || !colon[1] ||
        strspn(colon + 1, "ukhGHIpPSDWeb") != strlen(colon + 1))
        return len;
    return (size_t)(colon - name);
}

static bool is_called(const struct hone_perfdata_event *event, const char *wanted)
{
    size_t plain = hone_perfdata_plain_name(event->name);
    return strcmp(event->name, wanted) == 0 ||
           (strlen(wanted) == plain && memcmp(event->name, wanted, plain) == 0);
}

static bool is_dummy(const struct hone_perfdata_event *event)
{
    return event->attr.type == PERF_TYPE_SOFTWARE && event->attr.config == PERF_COUNT_SW_DUMMY;
}

static int no_such_event(const struct hone_perfdata_reading *reading, const char *wanted)
{
    const struct hone_perfdata_info *info = &reading->stream.info;
    int r = hone_error_set(reading->err, -EINVAL, "'%s' has no event '%s'", reading->stream.name,
                           wanted);
    char names[200] = "";
    for (uint32_t i = 0; i < info->event_count; i++) {
        size_t len = strlen(names);
        if (!is_dummy(&info->events[i]))
            (void)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "",
                           info->events[i].name);
    }
    hone_error_hint(reading->err, "it has %s", names);
    return r;
}

// At the first sample: in a stream, events are told before it.
static int choose_event(struct hone_perfdata_reading *reading)
{
    struct hone_perfdata_info *info = &reading->stream.info;
    const char *wanted = reading->options->event;
    hone_perfdata_name_events(info);
    uint32_t chosen = HONE_PERFDATA_NO_EVENT;
    for (uint32_t i = 0; i < info->event_count && chosen == HONE_PERFDATA_NO_EVENT; i++)
        if (wanted ? is_called(&info->events[i], wanted) : !is_dummy(&info->events[i]))
            chosen = i;
    if (chosen == HONE_PERFDATA_NO_EVENT && wanted)
        return no_such_event(reading, wanted);
    if (chosen == HONE_PERFDATA_NO_EVENT)
        return hone_error_set(reading->err, -EBADMSG, "'%s' holds no event that is sampled",
                              reading->stream.name);
    const struct perf_event_attr *attr = &info->events[chosen].attr;
    reading->event = reading->stacks.event = chosen;
    reading->is_clock =
        attr->type == PERF_TYPE_SOFTWARE &&
        (attr->config == PERF_COUNT_SW_CPU_CLOCK || attr->config == PERF_COUNT_SW_TASK_CLOCK);
    reading->has_period =
        reading->is_clock || !attr->freq || (attr->sample_type & PERF_SAMPLE_PERIOD);
    // A file whose features were lost does not say; then the programs' files do.
    reading->modules.same_machine = !info->machine[0] || strcmp(info->machine, this_machine) == 0;
    (void)hone_profile_add_type(reading->raw, "samples", "count");
    if (reading->has_period)
        (void)hone_profile_add_type(reading->raw, "period", "");
    return 0;
}

// --- samples -------------------------------------------------------------------------------------

// The number in the raw profile of what lies at an address.
static uint32_t locate(struct hone_perfdata_reading *reading, uint32_t process, uint64_t address)
{
    struct hone_perfdata_modules *modules = &reading->modules;
    uint32_t module = HONE_PERFDATA_NO_MODULE;
    if (address >= 1ull << 63) {
        module = hone_perfdata_kernel_module(modules);
    } else if (address >= HONE_PERFDATA_LOWEST) {
        const struct hone_perfdata_map *map =
            hone_perfdata_find_map(&reading->processes.at[process], address);
        if (map) {
            module = map->module;
            if (modules->at[module].kind != HONE_PERFDATA_GENERATED)
                address = address - map->start + map->offset;
        }
    }
    struct hone_profile_location location = {.address = address};
    if (module != HONE_PERFDATA_NO_MODULE) {
        if (!hone_array_reserve(&reading->raw_mappings, &reading->raw_mapping_room,
                                (uint64_t)module + 1, sizeof *reading->raw_mappings)) {
            reading->out_of_memory = true;
            return 0;
        }
        uint32_t *mapping = &reading->raw_mappings[module];
        if (!*mapping)
            *mapping = hone_profile_add_mapping(
                reading->raw, &(struct hone_profile_mapping){.start = (uint64_t)module + 1});
        location.mapping = *mapping;
    }
    return hone_profile_add_location(reading->raw, &location);
}

static uint32_t add_stack(struct hone_perfdata_reading *reading,
                          const struct hone_perfdata_stack *stack)
{
    uint32_t locations[HONE_PERFDATA_DEPTH_MAX + 1];
    for (uint32_t i = 0; i < stack->count; i++)
        locations[i] = locate(reading, stack->process, stack->addresses[i]);
    // A failed profile takes no more.
    return reading->out_of_memory || hone_profile_status(reading->raw)
               ? 0
               : hone_profile_add_stack(reading->raw, locations, stack->count);
}

// The raw stack, by its hash if it was seen. Returns 0 or -ENOMEM.
static int find_stack(struct hone_perfdata_reading *reading,
                      const struct hone_perfdata_stack *stack, uint32_t *ret)
{
    struct hone_table_probe probe = hone_table_probe(&reading->known_table, stack->hash);
    uint32_t at;
    while ((at = hone_table_next(&reading->known_table, &probe)) != HONE_TABLE_END)
        if (reading->known[at].hash == stack->hash) {
            *ret = reading->known[at].stack;
            return 0;
        }
    *ret = add_stack(reading, stack);
    if (reading->out_of_memory)
        return -ENOMEM;
    if (reading->known_count == KNOWN_MAX) { // a stack that comes again is worked out again
        hone_table_done(&reading->known_table);
        reading->known_count = 0;
    }
    if (!hone_array_reserve(&reading->known, &reading->known_room,
                            (uint64_t)reading->known_count + 1, sizeof *reading->known) ||
        hone_table_add(&reading->known_table, stack->hash, reading->known_count))
        return -ENOMEM;
    reading->known[reading->known_count].hash = stack->hash;
    reading->known[reading->known_count++].stack = *ret;
    return 0;
}

static uint32_t label_set_of(struct hone_perfdata_reading *reading, uint32_t number)
{
    struct hone_perfdata_thread *thread = &reading->processes.threads[number];
    const struct hone_perfdata_process *process = &reading->processes.at[thread->process];
    if (thread->label_set && thread->label_for == process->renamed)
        return thread->label_set;
    struct hone_profile *raw = reading->raw;
    const char *thread_name = thread->name[0] ? thread->name : process->program;
    const char *process_name = process->program[0] ? process->program : thread_name;
    if (!process->pid && !process_name[0])
        process_name = thread_name = "swapper";
    struct hone_profile_label labels[4];
    size_t count = 0;
    if (process_name[0])
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(raw, "process"),
                                        .text = hone_profile_intern(raw, process_name)};
    if (thread_name[0])
        labels[count++] =
            (struct hone_profile_label){.key = hone_profile_intern(raw, "thread"),
                                        .text = hone_profile_intern(raw, thread_name)};
    if (process->pid)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(raw, "pid"),
                                                      .number = process->pid};
    if (thread->tid)
        labels[count++] = (struct hone_profile_label){.key = hone_profile_intern(raw, "tid"),
                                                      .number = thread->tid};
    thread->label_set = hone_profile_add_label_set(raw, labels, count);
    thread->label_for = process->renamed;
    return thread->label_set;
}

static int on_stack(void *context, const struct hone_perfdata_stack *stack)
{
    struct hone_perfdata_reading *reading = context;
    uint32_t raw_stack;
    int r = find_stack(reading, stack, &raw_stack);
    if (r)
        return r;
    int64_t values[] = {1, stack->period > INT64_MAX ? INT64_MAX : (int64_t)stack->period};
    (void)hone_profile_add_sample_in_set(reading->raw, raw_stack, values,
                                         label_set_of(reading, stack->thread));
    reading->ways[stack->way]++;
    if (stack->way == HONE_PERFDATA_COPY)
        reading->ends[stack->end]++;
    reading->searched += stack->searched;
    reading->strayed += stack->strayed;
    return hone_profile_status(reading->raw);
}

static void on_walked(void *context)
{
    const struct hone_perfdata_reading *reading = context;
    hone_perfdata_give_back(&reading->stream);
}

static int on_sample(struct hone_perfdata_reading *reading,
                     const struct hone_perfdata_record *record)
{
    int r = reading->event == HONE_PERFDATA_NO_EVENT ? choose_event(reading) : 0;
    if (r)
        return r;
    if (!record->event) {
        reading->strangers++;
        return 0;
    }
    record->event->samples++;
    if (record->event != &reading->stream.info.events[reading->event]) {
        reading->others++;
        return 0;
    }
    struct hone_perfdata_sample sample;
    if (!hone_perfdata_parse_sample(record->event, record->at, record->size, &sample)) {
        reading->broken++;
        return 0;
    }
    const struct perf_event_attr *attr = &record->event->attr;
    if (!sample.period && reading->is_clock && attr->freq && attr->sample_freq)
        sample.period = 1000000000u / attr->sample_freq;
    uint32_t thread = hone_perfdata_thread(&reading->processes, sample.pid, sample.tid);
    if (thread == HONE_PERFDATA_NOBODY)
        return reading->processes.dropped ? 0 : -ENOMEM;
    reading->samples++;
    if (sample.time_ns && (!reading->first_ns || sample.time_ns < reading->first_ns))
        reading->first_ns = sample.time_ns;
    if (sample.time_ns > reading->last_ns)
        reading->last_ns = sample.time_ns;
    return hone_perfdata_stacks_add(&reading->stacks, thread, &sample);
}

// --- who is who, and what is where ---------------------------------------------------------------

// Samples that wait are of what was mapped until now.
static int before_change(struct hone_perfdata_reading *reading, uint32_t process)
{
    return reading->processes.at[process].waiting ? hone_perfdata_stacks_flush(&reading->stacks)
                                                  : 0;
}

static int out_of_room(const struct hone_perfdata_reading *reading)
{
    return reading->processes.dropped ? 0 : -ENOMEM;
}

static void on_kernel_mapping(struct hone_perfdata_reading *reading,
                              const struct hone_perfdata_mapping *mapping)
{
    static const char kernel[] = "[kernel.kallsyms]";
    if (strncmp(mapping->path, kernel, sizeof kernel - 1) != 0 || reading->kernel.reference)
        return;
    reading->kernel.start = mapping->start;
    reading->kernel.end = mapping->end;
    reading->kernel.reference = mapping->offset;
    (void)snprintf(reading->kernel.symbol, sizeof reading->kernel.symbol, "%.31s",
                   mapping->path + sizeof kernel - 1);
}

static int on_mapping(struct hone_perfdata_reading *reading, struct hone_cursor *at, uint16_t misc,
                      bool second)
{
    struct hone_perfdata_mapping mapping = {.pid = hone_read_u32(at)};
    (void)hone_read_u32(at); // the thread
    mapping.start = hone_read_u64(at);
    uint64_t size = hone_read_u64(at);
    mapping.end = mapping.start + size < mapping.start ? UINT64_MAX : mapping.start + size;
    mapping.offset = hone_read_u64(at);
    uint32_t protection = PROT_EXEC;
    if (second) {
        const unsigned char *file = hone_read_bytes(at, 24); // device, inode, generation; or an id
        protection = hone_read_u32(at);
        (void)hone_read_u32(at); // flags
        if (file && misc & BUILD_ID_TOLD) {
            mapping.build_id = file + 4;
            mapping.build_id_size = file[0];
        } else if (file) {
            memcpy(&mapping.inode, file + 8, sizeof mapping.inode);
        }
    } else if (misc & PERF_RECORD_MISC_MMAP_DATA) {
        protection = 0;
    }
    mapping.path = hone_read_text(at);
    if (at->failed || strlen(mapping.path) >= HONE_PERFDATA_PATH_MAX) {
        reading->broken++;
        return 0;
    }
    if ((misc & PERF_RECORD_MISC_CPUMODE_MASK) != PERF_RECORD_MISC_USER) {
        if ((misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL)
            on_kernel_mapping(reading, &mapping);
        return 0;
    }
    if (!(protection & PROT_EXEC))
        return 0;
    uint32_t process = hone_perfdata_process(&reading->processes, mapping.pid);
    if (process == HONE_PERFDATA_NOBODY)
        return out_of_room(reading);
    int r = before_change(reading, process);
    if (r)
        return r;
    uint32_t module = hone_perfdata_module_of(&reading->modules, &mapping);
    if (module == HONE_PERFDATA_NO_MODULE && !reading->modules.dropped)
        return -ENOMEM;
    if (module != HONE_PERFDATA_NO_MODULE && reading->modules.at[module].kind == HONE_PERFDATA_VDSO)
        mapping.offset = 0; // it lies in no file
    return hone_perfdata_on_map(&reading->processes, process, &mapping, module);
}

static int on_name(struct hone_perfdata_reading *reading, struct hone_cursor *at, uint16_t misc)
{
    uint32_t pid = hone_read_u32(at), tid = hone_read_u32(at);
    const char *name = hone_read_text(at);
    if (at->failed) {
        reading->broken++;
        return 0;
    }
    bool exec = misc & PERF_RECORD_MISC_COMM_EXEC;
    uint32_t process = hone_perfdata_process(&reading->processes, pid);
    if (process == HONE_PERFDATA_NOBODY)
        return out_of_room(reading);
    // What a thread is called, too, is so from now on.
    int r = before_change(reading, process);
    return r ? r : hone_perfdata_on_name(&reading->processes, pid, tid, name, exec);
}

static int on_fork(struct hone_perfdata_reading *reading, struct hone_cursor *at, uint16_t misc)
{
    uint32_t pid = hone_read_u32(at), parent_pid = hone_read_u32(at);
    uint32_t tid = hone_read_u32(at), parent_tid = hone_read_u32(at);
    if (at->failed) {
        reading->broken++;
        return 0;
    }
    uint32_t process = hone_perfdata_process(&reading->processes, pid);
    if (process == HONE_PERFDATA_NOBODY)
        return out_of_room(reading);
    // A thread more changes nothing for those that are there.
    int r = pid == parent_pid ? 0 : before_change(reading, process);
    // perf tells of those that were there before as if they had been forked and had no parent.
    return r ? r
             : hone_perfdata_on_fork(&reading->processes, pid, tid, parent_pid, parent_tid,
                                     !(misc & PERF_RECORD_MISC_FORK_EXEC));
}

static int on_record(void *context, const struct hone_perfdata_record *record)
{
    struct hone_perfdata_reading *reading = context;
    struct perf_event_header header;
    memcpy(&header, record->at, sizeof header);
    struct hone_cursor at = hone_cursor_from(record->at, record->size, sizeof header);
    switch (header.type) {
    case PERF_RECORD_SAMPLE:
        return on_sample(reading, record);
    case PERF_RECORD_MMAP:
    case PERF_RECORD_MMAP2:
        return on_mapping(reading, &at, header.misc, header.type == PERF_RECORD_MMAP2);
    case PERF_RECORD_COMM:
        return on_name(reading, &at, header.misc);
    case PERF_RECORD_FORK:
        return on_fork(reading, &at, header.misc);
    case PERF_RECORD_LOST:
        (void)hone_read_u64(&at); // the event's id
        reading->lost += hone_read_u64(&at);
        return 0;
    case PERF_RECORD_LOST_SAMPLES:
        reading->lost += hone_read_u64(&at);
        return 0;
    case PERF_RECORD_THROTTLE:
        reading->throttled++;
        return 0;
    default: // ends, switches, and what else is of no use here
        return 0;
    }
}

static int on_settle(void *context)
{
    struct hone_perfdata_reading *reading = context;
    return hone_perfdata_stacks_flush(&reading->stacks);
}

// --- all of it -----------------------------------------------------------------------------------

static void reading_done(struct hone_perfdata_reading *reading)
{
    hone_perfdata_stacks_done(&reading->stacks);
    hone_perfdata_processes_done(&reading->processes);
    hone_perfdata_modules_done(&reading->modules);
    hone_perfdata_close(&reading->stream);
    hone_profile_free(reading->raw);
    free(reading->raw_mappings);
    free(reading->known);
    hone_table_done(&reading->known_table);
}

static const char *find_cache(const struct hone_perf_options *options, char *room, size_t size)
{
    if (options->cache)
        return options->cache;
    const char *told = getenv("PERF_BUILDID_DIR"), *home = getenv("HOME");
    if (told && told[0])
        return told;
    (void)snprintf(room, size, "%s/.debug", home && home[0] ? home : "");
    return home && home[0] ? room : "";
}

static int read_all(struct hone_perfdata_reading *reading, struct hone_profile **ret)
{
    static const struct hone_perf_options defaults;
    if (!reading->options)
        reading->options = &defaults;
    const struct hone_perfdata_handler handler = {on_record, on_settle, reading};
    reading->raw = hone_profile_new();
    reading->stacks.info = &reading->stream.info;
    reading->stacks.processes = &reading->processes;
    reading->stacks.modules = &reading->modules;
    reading->stacks.threads = reading->options->threads;
    reading->stacks.stack = on_stack;
    reading->stacks.walked = on_walked;
    reading->stacks.context = reading;
    reading->stacks.seed = reading->stream.info.seed;
    hone_perfdata_processes_init(&reading->processes, reading->stream.info.seed);
    int r = reading->raw ? hone_perfdata_stacks_init(&reading->stacks) : -ENOMEM;
    if (!r)
        r = hone_perfdata_run(&reading->stream, &handler);
    if (!r && reading->event == HONE_PERFDATA_NO_EVENT)
        r = choose_event(reading);
    if (!r && reading->stream.info.out_of_memory)
        r = -ENOMEM;
    return r ? r : hone_perfdata_profile(reading, ret, reading->err);
}

int hone_perfdata_read_input(const struct hone_perfdata_input *input,
                             const struct hone_perf_options *options, struct hone_profile **ret,
                             struct hone_error *err)
{
    struct hone_error why = {0};
    HONE_CLEANUP(reading_done)
    struct hone_perfdata_reading reading = {
        .options = options, .event = HONE_PERFDATA_NO_EVENT, .err = &why};
    char cache[HONE_PERFDATA_PATH_MAX] = "";
    int r = hone_perfdata_open(input->bytes, input->len, input->name, &reading.stream, &why);
    reading.stream.is_mapped = input->is_mapped;
    reading.stream.parts = input->parts;
    reading.stream.part_count = input->part_count;
    static const struct hone_perf_options defaults;
    hone_perfdata_modules_init(&reading.modules, &reading.stream.info,
                               find_cache(options ? options : &defaults, cache, sizeof cache));
    reading.modules.recorded_ns = input->written_ns;
    if (!r)
        r = read_all(&reading, ret);
    if (r && why.code && err)
        *err = why;
    else if (r)
        (void)hone_error_set(err, r, "cannot read '%s'", input->name);
    return r;
}

int hone_perf_read(const void *bytes, size_t len, const char *name,
                   const struct hone_perf_options *options, struct hone_profile **ret,
                   struct hone_error *err)
{
    const struct hone_perfdata_input input = {.bytes = bytes, .len = len, .name = name};
    return hone_perfdata_read_input(&input, options, ret, err);
}
