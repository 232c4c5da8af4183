// session.json: what ran, how it was recorded, what was lost. For people who wonder later and for
// programs; all times in nanoseconds, unknown is null.
#include "capture/output.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

static void decrefp(json_t **value)
{
    json_decref(*value);
}

// Text of any bytes: what is no UTF-8 is shown as '?', for JSON knows nothing else.
static json_t *text(const char *bytes)
{
    json_t *string = json_string(bytes);
    if (string)
        return string;
    char clean[HONE_PROCESS_PATH * 2];
    size_t len = 0;
    for (; bytes[len] && len < sizeof clean - 1; len++)
        clean[len] = (char)((unsigned char)bytes[len] < 0x80 ? bytes[len] : '?');
    clean[len] = '\0';
    return json_string(clean);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *number_or_null(uint64_t value)
{
    return value ? number(value) : json_null();
}

static json_t *process_json(const struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    uint64_t cpu_ns =
        facts->cpu_total_ns > facts->cpu_before_ns ? facts->cpu_total_ns - facts->cpu_before_ns : 0;
    return json_pack("{s:i, s:i, s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", //
                     "pid", (int)process->pid, "parent_pid", (int)facts->parent_pid, //
                     "name", text(process->name), "program", text(facts->path),      //
                     "forked", (int)facts->forked,                                   //
                     "engine", hone_engine_name(facts->engine),                      //
                     "engine_reason", facts->reason[0] ? text(facts->reason) : json_null(),
                     "became", process->became[0] ? text(process->became) : json_null(), //
                     "threads", number(facts->threads), "samples", number(facts->samples), "cpu_ns",
                     number_or_null(cpu_ns), //
                     "cpu_before_probe_ns", number(facts->cpu_before_ns));
}

static json_t *losses_json(const struct hone_recording *recording,
                           const struct hone_recording_totals *totals)
{
    const struct hone_outside_facts *outside = recording->outside;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
        "not_sampled_ns", number(recording->collected->not_sampled_ns), "records_without_memory",
        number(totals->records_lost), "modules_without_room", number(totals->modules_lost),
        "modules_without_rules", number(totals->modules_without_rules), //
        "buffer_records", outside ? number(outside->lost) : json_null(), "buffer_records_broken",
        outside ? number(outside->broken) : json_null(), "samples_without_memory",
        number(totals->lost_memory), "samples_while_busy", number(totals->lost_busy),
        "samples_without_stack", number(recording->collected->unknown_stacks), "records_unfinished",
        number(recording->losses.unfinished), "records_broken", number(recording->losses.broken),
        "periods_merged", number(totals->lost_overrun), "threads_not_covered",
        number(totals->threads_uncovered), "processes_not_covered",
        number(recording->processes_refused + totals->uncovered));
}

static const char *const end_names[HONE_STACK_ENDS] = {
    "complete", "too_deep",       "no_rule",    "unreadable",       "bad_frame",
    "bad_rule", "unknown_module", "copy_short", "unknown_register",
};

static json_t *stacks_json(const struct hone_recording_totals *totals)
{
    json_t *stacks = json_object();
    for (int end = 0; stacks && end < HONE_STACK_ENDS; end++)
        (void)json_object_set_new(stacks, end_names[end], number(totals->truncated[end]));
    return stacks;
}

// null: it was not recorded.
static json_t *wall_json(const struct hone_recording *recording)
{
    const struct hone_wall_facts *facts = &recording->collected->wall_facts;
    if (!(recording->options->types & 1u << HONE_CAPTURE_WALL))
        return json_null();
    uint64_t length_ns = facts->ended_ns - facts->started_ns;
    json_t *states = json_object(), *stacks = json_object();
    for (int wait = 0; states && wait < HONE_WAITS; wait++)
        if (facts->state_ns[wait])
            (void)json_object_set_new(states, hone_wait_name((enum hone_wait)wait),
                                      number(facts->state_ns[wait]));
    for (int end = 0; stacks && end < HONE_STACK_ENDS; end++)
        (void)json_object_set_new(stacks, end_names[end], number(facts->ends[end]));
    return json_pack(
        "{s:s, s:b, s:o, s:I, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, "
        "s:o, "
        "s:o, s:o}}", //
        "file", "wall.prof", "taken", (int)facts->taken, "reason",
        facts->reason[0] ? text(facts->reason) : json_null(), "rate_hz", (json_int_t)facts->hz,
        "rate_reached_hz", length_ns ? (double)facts->ticks * 1e9 / (double)length_ns : 0.0,
        "threads", number(facts->threads), "lifetime_ns", number(facts->lifetime_ns), "states_ns",
        states, "stacks", stacks, "stacks_read", number(facts->reads),
        "stacks_with_found_frame_pointer", number(facts->bases), "stacks_with_callers_searched_for",
        number(facts->searched), "blocked_seen_ns", number(facts->seen_ns), "blocked_truncated_ns",
        number(facts->truncated_ns), //
        "losses", "reads_too_late", number(facts->gone), "reads_torn", number(facts->torn),
        "reads_postponed", number(facts->postponed), "switch_records_lost", number(facts->lost),
        "threads_refused", number(facts->refused), "threads_not_watched", number(facts->unmatched));
}

// null: it was not recorded.
static json_t *heap_json(const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    unsigned types = recording->options->types;
    bool heap = types & 1u << HONE_CAPTURE_HEAP, allocs = types & 1u << HONE_CAPTURE_ALLOCS;
    if (recording->heap_outside)
        return json_pack("{s:o, s:s}", "file", heap ? text("heap.prof") : json_null(),
                         "not_covered", HONE_HEAP_OUTSIDE);
    if (!heap && !allocs)
        return json_null();
    json_t *processes = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        json_t *process = json_pack(
            "{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
            "pid", (int)facts->pid, "allocator",
            facts->allocator[0] ? text(facts->allocator) : json_null(), "not_covered",
            facts->heap_reason[0] ? text(facts->heap_reason) : json_null(), //
            "samples", number(facts->heap_samples), "freed", number(facts->heap_frees),
            "samples_lost", number(facts->heap_lost), "frees_lost", number(facts->heap_frees_lost),
            "samples_without_end", number(facts->heap_untracked), "samples_truncated",
            number(facts->heap_truncated), "allocations_before_probe", number(facts->heap_early),
            "bytes_before_probe", number(facts->heap_early_bytes));
        (void)json_array_append_new(processes, process);
    }
    return json_pack("{s:o, s:o, s:I, s:o}", "file", heap ? text("heap.prof") : json_null(),
                     "allocs_file", allocs ? text("allocs.prof") : json_null(), "rate_bytes",
                     (json_int_t)recording->options->heap_rate, "processes", processes);
}

static json_t *machine_json(void)
{
    struct utsname name;
    if (uname(&name))
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:s}", "system", name.sysname, "kernel", name.release,
                     "machine", name.machine, "host", name.nodename);
}

// How it was recorded from outside; null: it was not.
static json_t *outside_json(const struct hone_recording *recording)
{
    const struct hone_outside_facts *facts = recording->outside;
    if (!facts)
        return json_null();
    return json_pack("{s:o, s:o, s:b, s:o}", "bytes_read", number(facts->read_bytes),
                     "bytes_of_each_stack", number(facts->stack_bytes), "kernel_frames",
                     (int)facts->sees_kernel, "throttled", number(facts->throttled));
}

static json_t *command_json(char *const *argv)
{
    json_t *command = json_array();
    for (; command && *argv; argv++)
        (void)json_array_append_new(command, text(*argv));
    return command;
}

static json_t *status_json(const struct hone_recording *recording)
{
    int status = recording->status;
    if (status == -1)
        return json_null();
    if (WIFSIGNALED(status))
        return json_pack("{s:i}", "signal", WTERMSIG(status));
    return json_pack("{s:i}", "status", WEXITSTATUS(status));
}

static json_t *time_json(uint64_t realtime_ns)
{
    time_t seconds = (time_t)(realtime_ns / 1000000000);
    struct tm utc;
    char when[32];
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    return json_string(when);
}

int hone_recording_session(const struct hone_recording *recording, const char *directory,
                           struct hone_error *err)
{
    const struct hone_collected *collected = recording->collected;
    struct hone_recording_totals totals;
    hone_recording_total(recording, &totals);
    json_t *processes = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++)
        (void)json_array_append_new(processes, process_json(&collected->processes[i]));
    HONE_CLEANUP(decrefp)
    json_t *session = json_pack(
        "{s:o, s:{s:s, s:i, s:i}, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:{s:o, s:I, s:f, s:o, "
        "s:o, s:o}, s:o, s:o, s:o, s:o, s:o}", //
        "outside", outside_json(recording), "versions", "hone",
        recording->options->version ? recording->options->version : "", "session_json", 1,
        "session_memory", HONE_SESSION_VERSION, //
        "command", command_json(recording->argv), "machine", machine_json(), "started",
        time_json(recording->started_realtime_ns), "duration_ns", number(recording->duration_ns),
        "stopped_before_the_program", (int)recording->stopped_early, "program_ended",
        status_json(recording), "processes_left_running", number(recording->left_running),
        "program_cpu_ns", number_or_null(recording->cpu_kernel_ns), //
        "cpu",                                                      //
        "file", recording->options->types & 1u << HONE_CAPTURE_CPU ? text("cpu.prof") : json_null(),
        "rate_hz", (json_int_t)recording->options->cpu_hz, "rate_reached_hz",
        hone_recording_rate(recording, &totals), "samples", number(totals.samples), "cpu_ns",
        number(totals.cpu_ns), "stacks", stacks_json(&totals), "losses",
        losses_json(recording, &totals),                            //
        "wall", wall_json(recording), "heap", heap_json(recording), //
        "unwinder",
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "frames", number(totals.frames), "cache_misses",
                  number(totals.frame_misses), "stacks_written", number(totals.stacks),
                  "stacks_repeated", number(totals.stack_repeats), "samples_by_frame_pointer",
                  number(totals.frame_pointer), "samples_with_callers_searched_for",
                  number(totals.searched)),
        "processes", processes);
    char *bytes = session ? json_dumps(session, JSON_INDENT(2)) : NULL;
    if (!bytes)
        return hone_error_set(err, -ENOMEM, "cannot write '%s/session.json'", directory);
    char path[PATH_MAX];
    int r = -ENAMETOOLONG;
    if ((size_t)snprintf(path, sizeof path, "%s/session.json", directory) < sizeof path)
        r = hone_file_write(path, bytes, strlen(bytes), err);
    free(bytes);
    return r;
}
