// session.json: what ran, how it was recorded, what was lost. For people who wonder later and for
// programs; all times in nanoseconds, unknown is null.
#include "capture/session_json.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "profile/profile.h"

#include <errno.h>
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
json_t *hone_session_text(const char *bytes)
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

json_t *hone_session_number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *hone_session_stack(const struct hone_profile *profile, const uint32_t *stacks,
                           uint32_t stack)
{
    enum { TOP_FRAMES = 16 };
    if (!profile || !stacks)
        return json_null();
    json_t *names = json_array();
    struct hone_profile_span frames = hone_profile_frames_of(profile, stacks[stack]);
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t l = 0; l < lines.count && json_array_size(names) < TOP_FRAMES; l++) {
            struct hone_str name =
                hone_profile_str(profile, profile->functions.name[lines.at[l].function]);
            (void)json_array_append_new(names, json_stringn(name.at, name.len));
        }
    }
    return names;
}

static json_t *number_or_null(uint64_t value)
{
    return value ? hone_session_number(value) : json_null();
}

// In another pid namespace a process knows its parent by the number there.
static uint32_t parent_pid(const struct hone_collected *collected,
                           const struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    for (uint32_t i = 0; process->translated && i < collected->process_count; i++) {
        const struct hone_collected_process *other = &collected->processes[i];
        if (other->translated && other->facts.pid == facts->parent_pid &&
            other->facts.pid_namespace == facts->pid_namespace)
            return other->pid;
    }
    return facts->parent_pid;
}

static json_t *process_json(const struct hone_collected *collected,
                            const struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    uint64_t cpu_ns =
        facts->cpu_total_ns > facts->cpu_before_ns ? facts->cpu_total_ns - facts->cpu_before_ns : 0;
    return json_pack("{s:i, s:i, s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",              //
                     "pid", (int)process->pid, "parent_pid", (int)parent_pid(collected, process), //
                     "name", hone_session_text(process->name), "program",
                     hone_session_text(facts->path),            //
                     "forked", (int)facts->forked,              //
                     "engine", hone_engine_name(facts->engine), //
                     "engine_reason",
                     facts->reason[0] ? hone_session_text(facts->reason) : json_null(), "became",
                     process->became[0] ? hone_session_text(process->became) : json_null(), //
                     "threads", hone_session_number(facts->threads), "samples",
                     hone_session_number(facts->samples), "cpu_ns",
                     number_or_null(cpu_ns), //
                     "cpu_before_probe_ns", hone_session_number(facts->cpu_before_ns));
}

static json_t *losses_json(const struct hone_recording *recording,
                           const struct hone_recording_totals *totals)
{
    const struct hone_outside_facts *outside = recording->outside;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
        "not_sampled_ns", hone_session_number(recording->collected->not_sampled_ns),
        "records_without_memory", hone_session_number(totals->records_lost), "modules_without_room",
        hone_session_number(totals->modules_lost), "modules_without_rules",
        hone_session_number(totals->modules_without_rules), //
        "buffer_records", outside ? hone_session_number(outside->lost) : json_null(),
        "buffer_records_broken", outside ? hone_session_number(outside->broken) : json_null(),
        "samples_without_memory", hone_session_number(totals->lost_memory), "samples_while_busy",
        hone_session_number(totals->lost_busy), "samples_without_stack",
        hone_session_number(recording->collected->unknown_stacks), "records_unfinished",
        hone_session_number(recording->losses.unfinished), "records_broken",
        hone_session_number(recording->losses.broken), "periods_merged",
        hone_session_number(totals->lost_overrun), "threads_not_covered",
        hone_session_number(totals->threads_uncovered), "processes_not_covered",
        hone_session_number(recording->processes_refused + totals->uncovered));
}

static json_t *stacks_json(const struct hone_recording_totals *totals)
{
    json_t *stacks = json_object();
    for (int end = 0; stacks && end < HONE_STACK_ENDS; end++)
        (void)json_object_set_new(stacks, hone_session_end_names[end],
                                  hone_session_number(totals->truncated[end]));
    return stacks;
}

// Times in milliseconds since the start, as in heap-time.prof.
static json_t *marks_json(const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    json_t *marks = json_array();
    for (uint32_t i = 0; i < collected->mark_count; i++) {
        const struct hone_collected_mark *mark = &collected->marks[i];
        double time_ms = (double)(int64_t)(mark->time_ns - recording->started_monotonic_ns) / 1e6;
        (void)json_array_append_new(marks, json_pack("{s:s, s:f, s:i}", "name", mark->name,
                                                     "time_ms", time_ms, "pid", (int)mark->pid));
    }
    return marks;
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
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "bytes_read",
                     hone_session_number(facts->read_bytes), "bytes_of_each_stack",
                     hone_session_number(facts->stack_bytes), "kernel_frames",
                     (int)facts->sees_kernel, "throttled", hone_session_number(facts->throttled),
                     "gained_rights", hone_session_number(facts->ended_events),
                     "gained_rights_gone", hone_session_number(facts->ended_gone),
                     "gained_rights_refused", hone_session_number(facts->ended_refused),
                     "gained_rights_missed_ns", hone_session_number(facts->ended_missed_ns));
}

static json_t *command_json(char *const *argv)
{
    json_t *command = json_array();
    for (; command && *argv; argv++)
        (void)json_array_append_new(command, hone_session_text(*argv));
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

int hone_recording_session(const struct hone_recording *recording,
                           const struct hone_recording_names *names, const char *directory,
                           struct hone_error *err)
{
    const struct hone_collected *collected = recording->collected;
    struct hone_recording_totals totals;
    hone_recording_total(recording, &totals);
    json_t *processes = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++)
        (void)json_array_append_new(processes, process_json(collected, &collected->processes[i]));
    HONE_CLEANUP(decrefp)
    json_t *session = json_pack(
        "{s:o, s:{s:s, s:i, s:i}, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:{s:o, s:I, s:f, s:o, "
        "s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", //
        "outside", outside_json(recording), "versions", "hone",
        recording->options->version ? recording->options->version : "", "session_json", 1,
        "session_memory", HONE_SESSION_VERSION, //
        "command", command_json(recording->argv), "machine", machine_json(), "started",
        time_json(recording->started_realtime_ns), "duration_ns",
        hone_session_number(recording->duration_ns), "stopped_before_the_program",
        (int)recording->stopped_early, "program_ended", status_json(recording),
        "processes_left_running", hone_session_number(recording->left_running), "program_cpu_ns",
        number_or_null(recording->cpu_kernel_ns), //
        "cpu",                                    //
        "file",
        recording->options->types & 1u << HONE_CAPTURE_CPU ? hone_session_text("cpu.prof")
                                                           : json_null(),
        "rate_hz", (json_int_t)recording->options->cpu_hz, "rate_reached_hz",
        hone_recording_rate(recording, &totals), "samples", hone_session_number(totals.samples),
        "cpu_ns", hone_session_number(totals.cpu_ns), "stacks", stacks_json(&totals), "losses",
        losses_json(recording, &totals), //
        "wall", hone_session_wall(recording), "block", hone_session_block(recording), "heap",
        hone_session_heap(recording, names), "locks", hone_session_locks(recording, names),
        "threads", hone_session_threads(recording, names),       //
        "lock_order", hone_session_lock_order(recording, names), //
        "marks", marks_json(recording), "marks_refused", (int)recording->marks_refused, "unwinder",
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "frames", hone_session_number(totals.frames),
                  "cache_misses", hone_session_number(totals.frame_misses), "stacks_written",
                  hone_session_number(totals.stacks), "stacks_repeated",
                  hone_session_number(totals.stack_repeats), "samples_by_frame_pointer",
                  hone_session_number(totals.frame_pointer), "samples_with_callers_searched_for",
                  hone_session_number(totals.searched)),
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
