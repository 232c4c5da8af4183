// Firefox's profiles before Firefox Profiler's front end processes them ("gecko"), in: as Firefox
// writes them, and `perf script report gecko`.
//
// Each process of Firefox's has a profile of its own in "processes", with its own libraries. A
// sample counts 1; where the CPU time since the one before was measured in a unit of time, it has
// that.
#include "convert/firefox_parts.h"
#include "convert/readers.h"

#include "base/cleanup.h"

#include <errno.h>

enum {
    PROCESSES_MAX = 1 << 12,
    DEPTH_MAX = 16, // of processes within each other
};

// Where a profile's parts are; NULL: not there.
struct process {
    const char *libraries;
    const char *threads;
    int64_t cpu_factor; // to nanoseconds; 0: its unit is no time
};

struct thread {
    struct hone_firefox_who who;
    uint32_t process_type; // string of the profile
    struct hone_gecko_table samples, stacks, frames;
    const char *strings;
    bool has_samples;
};

struct reader {
    struct hone_profile *profile;
    struct hone_json json;
    struct process *processes;
    uint32_t process_count;
    uint32_t process_room;
    unsigned depth;
    bool measures_cpu;

    struct hone_gecko_libraries libraries; // of the process at hand
    struct hone_column strings, frame_text, frame_line, stack_prefix, stack_frame, sample_stack,
        sample_cpu;      // of the thread at hand
    uint32_t *locations; // by frame; 0: the root, which is none
    uint32_t *stacks;    // by stack: the profile's number, plus one; 0 not yet
    struct hone_stack stack;
};

static void thread_done(struct reader *r)
{
    struct hone_column *columns[] = {&r->strings,      &r->frame_text,  &r->frame_line,
                                     &r->stack_prefix, &r->stack_frame, &r->sample_stack,
                                     &r->sample_cpu};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        hone_column_done(columns[i]);
    free(r->locations);
    free(r->stacks);
    r->locations = NULL;
    r->stacks = NULL;
}

static void reader_done(struct reader *r)
{
    thread_done(r);
    hone_profile_free(r->profile);
    hone_json_done(&r->json);
    free(r->processes);
    hone_gecko_libraries_done(&r->libraries);
    hone_stack_done(&r->stack);
}

static int out_of_memory(struct reader *r)
{
    return hone_build_out_of_memory(r->json.name, r->json.err);
}

// --- processes -----------------------------------------------------------------------------------

static int read_units(struct reader *r, int64_t *ret_factor)
{
    struct hone_str key;
    struct hone_str unit;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        if (!hone_json_is(key, "threadCPUDelta") || hone_json_peek(&r->json) != HONE_JSON_STRING) {
            result = hone_json_skip(&r->json);
            continue;
        }
        result = hone_json_string(&r->json, &unit);
        if (!result)
            *ret_factor = hone_str_equal(unit, HONE_STR("ns"))          ? 1
                          : hone_str_equal(unit, HONE_STR("\xc2\xb5s")) ? 1000
                                                                        : 0;
    }
    return result;
}

static int read_meta(struct reader *r, struct process *process)
{
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0)
        result = hone_json_is(key, "sampleUnits") && hone_json_peek(&r->json) == HONE_JSON_OBJECT
                     ? read_units(r, &process->cpu_factor)
                     : hone_json_skip(&r->json);
    return result;
}

static int find_process(struct reader *r);

static int find_processes(struct reader *r)
{
    if (r->depth == DEPTH_MAX)
        return hone_json_bad(&r->json, "more than %d processes within each other", DEPTH_MAX);
    r->depth++;
    int result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = hone_json_peek(&r->json) == HONE_JSON_OBJECT ? find_process(r)
                                                              : hone_json_skip(&r->json);
    r->depth--;
    return result;
}

static int remember(struct reader *r, const char **ret)
{
    if (hone_json_peek(&r->json) == HONE_JSON_ARRAY)
        *ret = r->json.at;
    return hone_json_skip(&r->json);
}

static int find_process(struct reader *r)
{
    struct process process = {0};
    struct hone_str key;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(&r->json);
        if (hone_json_is(key, "meta") && kind == HONE_JSON_OBJECT)
            result = read_meta(r, &process);
        else if (hone_json_is(key, "libs"))
            result = remember(r, &process.libraries);
        else if (hone_json_is(key, "threads"))
            result = remember(r, &process.threads);
        else if (hone_json_is(key, "processes") && kind == HONE_JSON_ARRAY)
            result = find_processes(r);
        else
            result = hone_json_skip(&r->json);
    }
    if (result || !process.threads)
        return result;
    if (r->process_count == PROCESSES_MAX)
        return hone_json_bad(&r->json, "more than %d processes", PROCESSES_MAX);
    if (!hone_array_reserve(&r->processes, &r->process_room, (uint64_t)r->process_count + 1,
                            sizeof *r->processes))
        return out_of_memory(r);
    r->processes[r->process_count++] = process;
    r->measures_cpu |= process.cpu_factor != 0;
    return 0;
}

// --- samples -------------------------------------------------------------------------------------

static int read_tables(struct reader *r, const struct thread *thread)
{
    struct hone_gecko_wanted frames[] = {{"location", &r->frame_text}, {"line", &r->frame_line}};
    struct hone_gecko_wanted stacks[] = {{"prefix", &r->stack_prefix}, {"frame", &r->stack_frame}};
    struct hone_gecko_wanted samples[] = {{"stack", &r->sample_stack},
                                          {"threadCPUDelta", &r->sample_cpu}};
    int result = 0;
    if (thread->strings) {
        hone_json_go(&r->json, thread->strings);
        result = hone_column_read(&r->json, r->profile, &r->strings);
    }
    if (!result)
        result = hone_gecko_read_table(&r->json, &thread->frames, frames, 2);
    if (!result)
        result = hone_gecko_read_table(&r->json, &thread->stacks, stacks, 2);
    return result ? result : hone_gecko_read_table(&r->json, &thread->samples, samples, 2);
}

static int make_locations(struct reader *r)
{
    r->locations = calloc((size_t)r->frame_text.count + 1, sizeof *r->locations);
    r->stacks = calloc((size_t)r->stack_frame.count + 1, sizeof *r->stacks);
    if (!r->locations || !r->stacks)
        return out_of_memory(r);
    for (uint32_t i = 0; i < r->frame_text.count; i++) {
        int64_t string = hone_column_at(&r->strings, r->frame_text.at[i]);
        struct hone_str text =
            string > 0 ? hone_profile_str(r->profile, (uint32_t)string) : (struct hone_str){"", 0};
        if (!hone_str_equal(text, HONE_STR("(root)")))
            r->locations[i] = hone_gecko_locate(r->profile, &r->libraries, text,
                                                hone_firefox_line(r->frame_line.at[i]));
    }
    return 0;
}

// Stacks leaf first. A parent comes before its child, so there are no circles.
static int make_stack(struct reader *r, int64_t number, uint32_t *ret)
{
    r->stack.count = 0;
    for (int64_t at = number; at >= 0;) {
        int64_t frame = hone_column_at(&r->stack_frame, at);
        if (frame < 0 || frame >= r->frame_text.count)
            return hone_json_bad(&r->json, "stack %lld of %u has frame %lld of %u", (long long)at,
                                 r->stack_frame.count, (long long)(frame < 0 ? -1 : frame),
                                 r->frame_text.count);
        if (r->locations[frame] && !hone_stack_push(&r->stack, r->locations[frame]))
            return out_of_memory(r);
        int64_t parent = hone_column_at(&r->stack_prefix, at);
        if (parent >= at)
            return hone_json_bad(&r->json, "stack %lld comes before its parent", (long long)at);
        at = parent;
    }
    *ret = hone_stack_add(r->profile, &r->stack);
    return 0;
}

static int add_samples(struct reader *r, const struct process *process, uint32_t labels)
{
    for (uint32_t i = 0; i < r->sample_stack.count && !hone_profile_status(r->profile); i++) {
        int64_t number = r->sample_stack.at[i];
        uint32_t stack = 0;
        uint32_t *known = number >= 0 && number < r->stack_frame.count ? &r->stacks[number] : NULL;
        int result = known && *known ? 0 : make_stack(r, number, &stack);
        if (result)
            return result;
        if (known && *known)
            stack = *known - 1;
        else if (known)
            *known = stack + 1;
        int64_t values[2] = {1, 0};
        int64_t cpu = r->sample_cpu.at[i];
        if (cpu > 0 && __builtin_mul_overflow(cpu, process->cpu_factor, &values[1]))
            values[1] = INT64_MAX;
        (void)hone_profile_add_sample_in_set(r->profile, stack, values, labels);
    }
    return 0;
}

static int find_thread(struct reader *r, struct thread *ret)
{
    struct hone_str key;
    struct hone_profile *p = r->profile;
    int result = hone_json_object(&r->json);
    while (!result && (result = hone_json_key(&r->json, &key)) > 0) {
        enum hone_json_kind kind = hone_json_peek(&r->json);
        if (hone_json_is(key, "name"))
            result = hone_firefox_read_text(&r->json, p, &ret->who.thread);
        else if (hone_json_is(key, "processName"))
            result = hone_firefox_read_text(&r->json, p, &ret->who.process);
        else if (hone_json_is(key, "processType"))
            result = hone_firefox_read_text(&r->json, p, &ret->process_type);
        else if (hone_json_is(key, "pid"))
            result = hone_firefox_read_id(&r->json, p, &ret->who.pid);
        else if (hone_json_is(key, "tid"))
            result = hone_firefox_read_id(&r->json, p, &ret->who.tid);
        else if (hone_json_is(key, "stringTable"))
            result = remember(r, &ret->strings);
        else if (hone_json_is(key, "stackTable") && kind == HONE_JSON_OBJECT)
            result = hone_gecko_find_table(&r->json, &ret->stacks);
        else if (hone_json_is(key, "frameTable") && kind == HONE_JSON_OBJECT)
            result = hone_gecko_find_table(&r->json, &ret->frames);
        else if (hone_json_is(key, "samples") && kind == HONE_JSON_OBJECT)
            result = hone_gecko_find_table(&r->json, &ret->samples);
        else
            result = hone_json_skip(&r->json);
        ret->has_samples |= hone_json_is(key, "samples");
    }
    return result;
}

static int read_thread(struct reader *r, const struct process *process)
{
    struct thread thread = {0};
    int result = find_thread(r, &thread);
    if (result)
        return result;
    if (thread.has_samples && !thread.stacks.data)
        return hone_json_bad(&r->json,
                             "before this a thread without tables, as versions 1 and 2 of "
                             "the format had them");
    if (!thread.who.process &&
        strcmp(hone_profile_text(r->profile, thread.process_type), "default") != 0)
        thread.who.process = thread.process_type;
    const char *next = r->json.at;
    result = read_tables(r, &thread);
    if (!result)
        result = make_locations(r);
    if (!result)
        result = add_samples(r, process, hone_firefox_labels(r->profile, &thread.who));
    thread_done(r);
    if (!result) {
        r->json.at = next;
        r->json.after_value = true;
    }
    return result;
}

static int read_process(struct reader *r, const struct process *process)
{
    int result = 0;
    r->libraries.count = 0;
    if (process->libraries) {
        hone_json_go(&r->json, process->libraries);
        result = hone_gecko_read_libraries(&r->json, r->profile, &r->libraries);
    }
    if (result)
        return result;
    hone_json_go(&r->json, process->threads);
    result = hone_json_array(&r->json);
    while (!result && (result = hone_json_item(&r->json)) > 0)
        result = hone_json_peek(&r->json) == HONE_JSON_OBJECT ? read_thread(r, process)
                                                              : hone_json_skip(&r->json);
    return result;
}

int hone_gecko_read(const void *bytes, size_t len, const char *name, struct hone_profile **ret,
                    struct hone_error *err)
{
    HONE_CLEANUP(reader_done)
    struct reader r = {.profile = hone_profile_new(), .json = hone_json_of(bytes, len, name, err)};
    if (!r.profile)
        return hone_build_out_of_memory(name, err);
    int result = find_process(&r);
    if (!result && !r.process_count)
        return hone_json_bad(&r.json, "no 'threads'");
    (void)hone_profile_add_type(r.profile, "samples", "count");
    if (r.measures_cpu)
        (void)hone_profile_add_type(r.profile, "cpu", "nanoseconds");
    // Within a process come its children, so the outermost is last.
    for (uint32_t i = r.process_count; !result && i-- > 0 && !hone_profile_status(r.profile);)
        result = read_process(&r, &r.processes[i]);
    return result ? result : hone_build_finish(&r.profile, name, ret, err);
}

// A "meta" of a profile that is not processed yet. One that is cut tells neither.
static bool is_gecko(struct hone_json *json)
{
    struct hone_str key;
    bool version = false;
    bool sampling = false;
    int more = hone_json_object(json);
    while (!more && (more = hone_json_key(json, &key)) > 0) {
        if (hone_json_is(key, "preprocessedProfileVersion"))
            return false;
        version |= hone_json_is(key, "version");
        sampling |= hone_json_is(key, "interval") || hone_json_is(key, "stackwalk");
        more = hone_json_skip(json);
    }
    return more == 0 && version && sampling;
}

unsigned hone_gecko_detect(const void *bytes, size_t len)
{
    struct hone_json json = hone_json_of(bytes, len, "", NULL);
    struct hone_str key;
    bool match = false;
    if (hone_json_peek(&json) != HONE_JSON_OBJECT || hone_json_object(&json))
        return HONE_CONVERT_NO;
    while (hone_json_key(&json, &key) > 0) {
        if (hone_json_is(key, "meta") && hone_json_peek(&json) == HONE_JSON_OBJECT) {
            match = is_gecko(&json);
            break;
        }
        if (hone_json_skip(&json))
            break;
    }
    hone_json_done(&json);
    return match ? HONE_CONVERT_CERTAIN : HONE_CONVERT_NO;
}
