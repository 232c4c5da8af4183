// What a profile says of itself: engine and rate, losses, what was not covered, why it is empty.
// Comments that begin with '#' are facts for those who ask (hone info, pprof -comments); the others
// are warnings, which every report of pprof and of ours shows.
#include "capture/output.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "profile/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    // CPU time beyond this many periods without one sample was not used where we look.
    UNSEEN_PERIODS = 20,
    // The kernel's count and ours may differ by this much: ends of processes are not sampled.
    UNSEEN_PERCENT = 10,
    // Starting and ending takes about this long, up to where it is sampled and from there on.
    THREAD_UNSEEN_NS = 100000,
    PROCESS_UNSEEN_NS = 2000000,
    // From so many samples on, a rate far below the one that was asked is no chance.
    RATE_SAMPLES = 100,
};

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "es";
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

const char *const hone_stack_end_texts[HONE_STACK_ENDS] = {
    [HONE_STACK_TOO_DEEP] = "deeper than the limit",
    [HONE_STACK_NO_RULE] = "code without unwind rules or frame pointers",
    [HONE_STACK_UNREADABLE] = "unreadable stack memory",
    [HONE_STACK_BAD_FRAME] = "rules and stack contradict each other",
    [HONE_STACK_BAD_RULE] = "broken unwind rules",
    [HONE_STACK_STALE] = "a module that was not known yet",
    [HONE_STACK_COPY_SHORT] = "the copy of the stack ends before it",
    [HONE_STACK_UNKNOWN_REGISTER] = "a register that only the thread itself knows",
};

static void comment_on_stacks(struct hone_profile *profile, const struct hone_recording *recording,
                              const struct hone_recording_totals *totals)
{
    if (!totals->samples)
        return;
    uint64_t cut = 0;
    for (int end = 1; end < HONE_STACK_ENDS; end++)
        cut += totals->truncated[end];
    double complete =
        100 - percent(totals->truncated_cpu_ns, hone_recording_sampled_ns(recording, totals));
    hone_profile_comment(
        profile, "%sstacks: %.2f%% of the sampled CPU time in complete ones, %" PRIu64 " truncated",
        complete < 99 ? "" : "# ", complete, cut);
    for (int end = 1; cut && end < HONE_STACK_ENDS; end++)
        if (totals->truncated[end])
            hone_profile_comment(profile, "# stacks truncated: %" PRIu64 ", %s",
                                 totals->truncated[end], hone_stack_end_texts[end]);
    if (totals->searched)
        hone_profile_comment(profile,
                             "# stacks searched: %" PRIu64
                             ", the callers of code without unwind rules were taken "
                             "from its stack as calls had left them there",
                             totals->searched);
}

static void comment_on_outside(struct hone_profile *profile, const struct hone_recording *recording)
{
    const struct hone_outside_facts *facts = recording->outside;
    if (!facts)
        return;
    if (facts->lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " records, the kernel's buffers of %" PRIu64
                             " KiB for each CPU were full: %s",
                             facts->lost, facts->ring_bytes >> 10,
                             facts->ring_limited
                                 ? "more is not allowed, see 'ulimit -l'"
                                 : "give more than now by --memory, or sample less with -F");
    if (facts->broken)
        hone_profile_comment(profile, "lost: %" PRIu64 " records of the kernel that made no sense",
                             facts->broken);
    if (facts->throttled)
        hone_profile_comment(profile, "# throttled: the kernel held samples back %" PRIu64 " times",
                             facts->throttled);
    if (facts->without_counts)
        hone_profile_comment(
            profile,
            "not counted: the time of threads that ended, which only samples tell of; allow "
            "more descriptors, see 'ulimit -n'");
    if (facts->ended_events)
        hone_profile_comment(
            profile,
            "%snot covered: %" PRIu64 " program%s got rights of another (setuid, "
            "setgid), where the kernel ends events: %.3f s of CPU time until they "
            "were opened anew; %" PRIu64 " had ended by then, %" PRIu64 " may not be watched",
            facts->ended_refused ? "" : "# ", facts->ended_events,
            facts->ended_events == 1 ? "" : "s", (double)facts->ended_missed_ns / 1e9,
            facts->ended_gone, facts->ended_refused);
    hone_profile_comment(profile,
                         "# outside: %" PRIu64 " bytes read from the kernel, %" PRIu32
                         " bytes copied of each stack",
                         facts->read_bytes, facts->stack_bytes);
}

static void comment_on_losses(struct hone_profile *profile, const struct hone_recording *recording,
                              const struct hone_recording_totals *totals)
{
    uint64_t lost = totals->lost_memory + totals->lost_busy + recording->collected->unknown_stacks +
                    recording->losses.unfinished + recording->losses.broken +
                    (recording->outside ? recording->outside->lost : 0);
    bool by_cpus = recording->outside && recording->outside->by_cpus;
    uint64_t lost_ns =
        by_cpus ? recording->outside->lost_samples * 1000000000u / recording->options->cpu_hz : 0;
    hone_profile_comment(
        profile, "%ssamples lost: %" PRIu64 "%s", lost ? "" : "# ", lost,
        !lost     ? ""
        : by_cpus ? " (their time is missing: on whole CPUs the kernel counts none by thread)"
                  : " (their time is carried by the next sample of the thread)");
    if (by_cpus && recording->outside->lost_samples)
        hone_profile_comment(profile, "lost: about %.3f s of CPU time, %.1f%% of what was used",
                             (double)lost_ns / 1e9, percent(lost_ns, lost_ns + totals->cpu_ns));
    if (recording->taken_ns)
        hone_profile_comment(
            profile, "lost: all from %.3f s on, when the program truncated the session's file",
            (double)recording->taken_ns / 1e9);
    if (totals->lost_memory)
        hone_profile_comment(profile, "lost: %" PRIu64 " samples, no session memory%s%s",
                             totals->lost_memory, recording->back_error ? ": " : "",
                             recording->back_error ? strerror(-recording->back_error) : "");
    comment_on_outside(profile, recording);
    if (totals->lost_busy)
        hone_profile_comment(
            profile,
            "lost: %" PRIu64
            " samples, too many handlers at once or a thread that would not get on",
            totals->lost_busy);
    if (recording->losses.unfinished)
        hone_profile_comment(profile, "lost: %" PRIu64 " records, their process died while writing",
                             recording->losses.unfinished);
    if (recording->losses.broken)
        hone_profile_comment(profile, "lost: %" PRIu64 " records, overwritten by the program",
                             recording->losses.broken);
    if (totals->lost_overrun)
        hone_profile_comment(
            profile, "# merged: %" PRIu64 " periods into later samples, which carry their time",
            totals->lost_overrun);
    if (totals->records_lost)
        hone_profile_comment(
            profile, "lost: %" PRIu64 " records of modules, threads and stacks, no session memory",
            totals->records_lost);
    if (totals->threads_uncovered)
        hone_profile_comment(profile,
                             "not covered: %" PRIu64 " thread%s that could not be armed, or "
                             "processes made by clone() that share memory or descriptors; "
                             "'--engine outside' sees these",
                             totals->threads_uncovered, totals->threads_uncovered == 1 ? "" : "s");
    if (recording->processes_refused)
        hone_profile_comment(profile, "not covered: %" PRIu64 " processes, no session memory",
                             recording->processes_refused);
}

// What the comments on processes have to know of all of them.
struct overview {
    struct hone_table reasons; // the first process of each engine and reason
    struct seen {
        uint32_t same;      // how many have the first one's engine and reason; 0: not the first
        bool reports_later; // the program that it became has told of itself
    } * seen;               // by process
};

static void overview_done(struct overview *overview)
{
    hone_table_done(&overview->reasons);
    free(overview->seen);
}

static uint32_t first_of_reason(const struct overview *overview,
                                const struct hone_collected *collected, uint64_t hash, uint32_t i)
{
    const struct hone_process_facts *facts = &collected->processes[i].facts;
    struct hone_table_probe probe = hone_table_probe(&overview->reasons, hash);
    uint32_t at;
    while ((at = hone_table_next(&overview->reasons, &probe)) != HONE_TABLE_END)
        if (collected->processes[at].facts.engine == facts->engine &&
            strcmp(collected->processes[at].facts.reason, facts->reason) == 0)
            return at;
    return i;
}

// Returns 0 or -ENOMEM.
static int overview_init(struct overview *overview, const struct hone_collected *collected)
{
    overview->seen = calloc((size_t)collected->process_count + 1, sizeof *overview->seen);
    if (!overview->seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        uint32_t before = hone_collect_before(collected, i);
        if (before)
            overview->seen[before - 1].reports_later = true;
        if (collected->processes[i].unsampled)
            continue;
        uint64_t hash = hone_table_hash(facts->reason, strlen(facts->reason), facts->engine);
        uint32_t first = first_of_reason(overview, collected, hash, i);
        if (!overview->seen[first].same++ && hone_table_add(&overview->reasons, hash, i))
            return -ENOMEM;
    }
    return 0;
}

static bool closed_ours(const struct hone_collected_process *process)
{
    return process->facts.engine != HONE_ENGINE_NONE &&
           strcmp(process->facts.reason, HONE_REASON_CLOSED) == 0;
}

static bool is_traced(const struct hone_collected_process *process)
{
    return strcmp(process->facts.reason, HONE_REASON_TRACED) == 0;
}

static const struct hone_collected_process *first_traced(const struct hone_collected *collected)
{
    for (uint32_t i = 0; i < collected->process_count; i++)
        if (is_traced(&collected->processes[i]))
            return &collected->processes[i];
    return NULL;
}

// The first process that closed the engine's descriptor, of so many; NULL: none did.
static const struct hone_collected_process *first_closed(const struct hone_collected *collected,
                                                         uint32_t *ret_count)
{
    const struct hone_collected_process *first = NULL;
    *ret_count = 0;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        if (!closed_ours(&collected->processes[i]))
            continue;
        first = first ? first : &collected->processes[i];
        ++*ret_count;
    }
    return first;
}

static void comment_on_closed(struct hone_profile *profile, const struct hone_recording *recording)
{
    uint32_t count;
    const struct hone_collected_process *first = first_closed(recording->collected, &count);
    if (first)
        hone_profile_comment(profile,
                             "not covered: %u process%s such as %u %s: " HONE_REASON_CLOSED
                             "; try --engine thread-timer or outside",
                             count, plural(count), first->pid, first->name);
}

static void comment_on_lost_programs(struct hone_profile *profile,
                                     const struct hone_collected *collected,
                                     const struct overview *overview, const char *advice,
                                     bool unmapped)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        if (process->became[0] && !overview->seen[i].reports_later && !unmapped)
            hone_profile_comment(
                profile,
                "not covered: process %u became %s, which did not load libhone.so (static, "
                "setuid, LD_PRELOAD taken away, or no descriptor free)%s",
                process->pid, process->became, advice);
    }
}

static void comment_on_unmapped(struct hone_profile *profile,
                                const struct hone_recording *recording)
{
    if (recording->processes_unmapped)
        hone_profile_comment(profile,
                             "not covered: %" PRIu64 " process%s, whose address space is limited "
                             "('ulimit -v') and has no room for our 4 MiB; allow some 16 MiB more, "
                             "or try --engine outside",
                             recording->processes_unmapped, plural(recording->processes_unmapped));
}

// The heap has its own reasons; programs that went their own way are missing in it, too.
static int comment_on_heap(struct hone_profile *profile, const struct hone_recording *recording,
                           int file)
{
    HONE_CLEANUP(overview_done) struct overview overview = {0};
    int r = overview_init(&overview, recording->collected);
    if (r)
        return r;
    comment_on_unmapped(profile, recording);
    hone_recording_comment_heap(recording, file, profile);
    comment_on_lost_programs(profile, recording->collected, &overview, "",
                             recording->processes_unmapped);
    return 0;
}

static int comment_on_locks(struct hone_profile *profile, const struct hone_recording *recording)
{
    HONE_CLEANUP(overview_done) struct overview overview = {0};
    int r = overview_init(&overview, recording->collected);
    if (r)
        return r;
    comment_on_unmapped(profile, recording);
    hone_recording_comment_locks(recording, profile);
    comment_on_lost_programs(profile, recording->collected, &overview, "",
                             recording->processes_unmapped);
    return 0;
}

static int comment_on_processes(struct hone_profile *profile,
                                const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    HONE_CLEANUP(overview_done) struct overview overview = {0};
    int r = overview_init(&overview, collected);
    if (r)
        return r;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        uint32_t same = overview.seen[i].same;
        if (same && process->facts.engine == HONE_ENGINE_NONE)
            hone_profile_comment(profile, "not covered: %u process%s such as %u %s: %s", same,
                                 plural(same), process->pid, process->name,
                                 process->facts.reason[0] ? process->facts.reason
                                                          : "it ended while starting");
        else if (same && process->facts.reason[0] && !closed_ours(process))
            hone_profile_comment(profile, "# %u process%s such as %u %s: %s", same, plural(same),
                                 process->pid, process->name, process->facts.reason);
    }
    comment_on_lost_programs(profile, collected, &overview, "; try --engine outside",
                             recording->processes_unmapped);
    if (recording->left_running)
        hone_profile_comment(
            profile, "recording ended while %u process%s went on%s", recording->left_running,
            plural(recording->left_running),
            recording->stopped_early ? "" : "; run a daemon in the foreground to record it");
    return 0;
}

// Where CPU time was used that nobody sampled.
static void comment_on_unseen(struct hone_profile *profile, const struct hone_recording *recording,
                              uint64_t unseen_ns)
{
    const struct hone_collected *collected = recording->collected;
    uint64_t short_ns = (uint64_t)collected->thread_count * THREAD_UNSEEN_NS +
                        (uint64_t)collected->process_count * PROCESS_UNSEEN_NS;
    double seconds = (double)unseen_ns / 1e9;
    if (recording->taken_ns)
        hone_profile_comment(
            profile,
            "not covered: %.3f s of CPU time that the kernel counts, after the session's "
            "memory was gone",
            seconds);
    else if (recording->outside)
        hone_profile_comment(
            profile,
            "not covered: %.3f s of CPU time that the kernel counts, in what it does not "
            "sample",
            seconds);
    else if (recording->processes_unmapped)
        hone_profile_comment(profile,
                             "not covered: %.3f s of CPU time that the kernel counts, mostly where "
                             "address space was limited (see above)",
                             seconds);
    else if (unseen_ns <= short_ns)
        hone_profile_comment(
            profile,
            "not covered: %.3f s of CPU time that the kernel counts, in the starts and ends of "
            "%" PRIu32 " thread%s and %" PRIu32 " process%s, where nothing is sampled",
            seconds, collected->thread_count, collected->thread_count == 1 ? "" : "s",
            collected->process_count, plural(collected->process_count));
    else
        hone_profile_comment(
            profile,
            "not covered: %.3f s of CPU time that the kernel counts and no program told of, "
            "such as one that did not load libhone.so (static, setuid, LD_PRELOAD taken away) "
            "or was made past libc; try --engine outside",
            seconds);
}

// From outside no signal is in play. Where threads hand each other their events, one that runs in
// short turns is handed a fresh period each time (perf_events.c). Of an engine that works, the
// reason says why no better one does: it is none for what was not sampled.
static const char *reason_of_rest(const struct hone_collected_process *process)
{
    if (process->facts.engine == HONE_ENGINE_NONE || closed_ours(process) || is_traced(process))
        return process->facts.reason;
    return process->facts.engine >= HONE_ENGINE_PERF_OUTSIDE
               ? "threads ran in turns shorter than a period, or their samples were lost"
               : "threads kept the signal out or could not be armed, or their samples were lost; "
                 "try --engine outside";
}

// Of the process that lacks most, why.
static void comment_on_rest(struct hone_profile *profile, const struct hone_collected *collected)
{
    const struct hone_collected_process *most = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        count += process->not_sampled_ns != 0;
        if (process->not_sampled_ns > (most ? most->not_sampled_ns : 0))
            most = process;
    }
    if (most)
        hone_profile_comment(profile, "not sampled: %.3f s of %u process%s such as %u %s: %s",
                             (double)collected->not_sampled_ns / 1e9, count, plural(count),
                             most->pid, most->name, reason_of_rest(most));
}

static void comment_on_rates(struct hone_profile *profile, const struct hone_recording *recording,
                             const struct hone_recording_totals *totals)
{
    for (int engine = 1; engine < HONE_ENGINES; engine++)
        if (totals->engines[engine])
            hone_profile_comment(
                profile, "# engine: %s, %u process%s%s", hone_engine_name(engine),
                totals->engines[engine], plural(totals->engines[engine]),
                engine == HONE_ENGINE_PERF_TRAP_USER || engine == HONE_ENGINE_PERF_SIGNAL_USER ||
                        engine == HONE_ENGINE_PERF_OUTSIDE_USER
                    ? "; time in the kernel is charged to the next sample in user code"
                    : "");
    double seconds = (double)totals->cpu_ns / 1e9;
    double rate = hone_recording_rate(recording, totals);
    bool slow = totals->samples >= RATE_SAMPLES && rate < (double)recording->options->cpu_hz / 2;
    hone_profile_comment(profile, "%srate: %" PRIu64 " Hz of CPU time asked, %.1f reached%s",
                         slow ? "" : "# ", recording->options->cpu_hz, rate,
                         slow ? ": each sample stands for more time, and details are coarser" : "");
    if (recording->collected->never_sampled_ns)
        hone_profile_comment(
            profile, "# never sampled: %.3f s in threads that ended before their first sample%s",
            (double)recording->collected->never_sampled_ns / 1e9,
            recording->outside ? ", and in the starts and ends of threads" : "");
    comment_on_rest(profile, recording->collected);
    uint64_t kernel_ns = recording->cpu_kernel_ns;
    if (totals->samples && kernel_ns > totals->cpu_ns &&
        kernel_ns - totals->cpu_ns > UNSEEN_PERIODS * 1000000000ull / recording->options->cpu_hz &&
        percent(kernel_ns - totals->cpu_ns, kernel_ns) > UNSEEN_PERCENT)
        comment_on_unseen(profile, recording, kernel_ns - totals->cpu_ns);
    if (kernel_ns)
        hone_profile_comment(
            profile, "# cpu: %.3f s sampled, %.3f s by the kernel's count%s (%.1f%%)", seconds,
            (double)kernel_ns / 1e9,
            totals->cpu_ns > kernel_ns + kernel_ns / 50 && recording->collected->process_count > 1
                ? ", which lacks children that nobody waited for"
                : "",
            percent(totals->cpu_ns, kernel_ns));
    // Who is killed cannot tell what it used since its last samples.
    if (totals->samples && kernel_ns > totals->cpu_ns + 1000000000u / recording->options->cpu_hz &&
        recording->status != -1 && WIFSIGNALED(recording->status))
        hone_profile_comment(
            profile,
            "# never sampled: %.3f s by the kernel's count, as after the last sample before "
            "signal %d",
            (double)(kernel_ns - totals->cpu_ns) / 1e9, WTERMSIG(recording->status));
    if (recording->collected->before_ns)
        hone_profile_comment(
            profile, "# never sampled: %.3f s in fork, exec and loader, before programs start",
            (double)recording->collected->before_ns / 1e9);
}

static void comment_on_emptiness(struct hone_profile *profile,
                                 const struct hone_recording *recording,
                                 const struct hone_recording_totals *totals)
{
    uint32_t closed;
    const struct hone_collected_process *traced = first_traced(recording->collected);
    if (totals->samples || recording->collected->never_sampled_ns ||
        first_closed(recording->collected, &closed))
        return;
    if (recording->processes_unmapped)
        hone_profile_comment(profile, "empty: programs had no address space for the session");
    else if (recording->outside &&
             recording->cpu_kernel_ns > UNSEEN_PERIODS * 1000000000ull / recording->options->cpu_hz)
        hone_profile_comment(profile,
                             "empty: %.3f s of CPU time were used where the kernel does not sample",
                             (double)recording->cpu_kernel_ns / 1e9);
    else if (recording->outside && !totals->processes)
        hone_profile_comment(profile, "empty: nothing that was watched used a period of CPU time");
    else if (totals->processes == 0)
        hone_profile_comment(profile,
                             "empty: no process loaded libhone.so; did the program change its "
                             "environment, or is it static?");
    else if (totals->uncovered == totals->processes)
        hone_profile_comment(profile, "empty: no process could be sampled");
    else if (traced)
        hone_profile_comment(profile,
                             "empty: %.3f s of CPU time were used, and of process %u %s nothing is "
                             "sampled: " HONE_REASON_TRACED,
                             (double)recording->cpu_kernel_ns / 1e9, traced->pid, traced->name);
    else if (recording->cpu_kernel_ns > UNSEEN_PERIODS * 1000000000ull / recording->options->cpu_hz)
        hone_profile_comment(
            profile,
            "empty: %.3f s of CPU time were used, by programs that did not load libhone.so "
            "(static, setuid, LD_PRELOAD taken away) or in threads that keep its signal out",
            (double)recording->cpu_kernel_ns / 1e9);
    else if (recording->left_running)
        hone_profile_comment(
            profile, "empty: the program went on in the background; run it in the foreground");
    else
        hone_profile_comment(
            profile,
            "empty: the program used less CPU time than one period of %.3f ms; run it longer, "
            "or sample faster with -F",
            1e3 / (double)recording->options->cpu_hz);
}

static void comment_on_command(struct hone_profile *profile, const struct hone_recording *recording)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer command = {0};
    for (char *const *argument = recording->argv; *argument; argument++)
        hone_buffer_format(&command, "%s%s", argument == recording->argv ? "" : " ", *argument);
    hone_profile_comment(profile, "# command: %.400s", command.at ? command.at : "");
}

// Stacks of every kind lie in modules.
static void comment_on_modules(struct hone_profile *profile,
                               const struct hone_recording_totals *totals)
{
    if (totals->modules_lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64
                             " modules or their names, more than there is room for: their code "
                             "has no names, and stacks end there",
                             totals->modules_lost);
    if (totals->modules_without_rules)
        hone_profile_comment(profile, "# modules without unwind rules: %" PRIu64 ", loaded late",
                             totals->modules_without_rules);
}

int hone_recording_comment(const struct hone_recording *recording, int file,
                           struct hone_profile *profile)
{
    struct hone_recording_totals totals;
    hone_recording_total(recording, &totals);
    comment_on_command(profile, recording);
    comment_on_modules(profile, &totals);
    if (file == HONE_CAPTURE_LEAKS) {
        hone_recording_comment_leaks(recording, profile);
        return 0;
    }
    if (file == HONE_CAPTURE_MUTEX)
        return comment_on_locks(profile, recording);
    if (file == HONE_CAPTURE_BLOCK)
        return hone_recording_comment_block(recording, profile);
    if (file == HONE_CAPTURE_THREADS || file == HONE_RECORDING_THREADS_TIME) {
        hone_recording_comment_threads(recording, file, profile);
        return 0;
    }
    if (file != HONE_CAPTURE_CPU && file != HONE_CAPTURE_WALL)
        return comment_on_heap(profile, recording, file);
    if (file == HONE_CAPTURE_WALL)
        hone_recording_comment_wall(recording, profile);
    hone_recording_comment_ended(recording, profile);
    comment_on_unmapped(profile, recording);
    comment_on_closed(profile, recording);
    // A program that only waits lacks nothing in the wall clock.
    if (totals.samples || file != HONE_CAPTURE_WALL || !recording->collected->wall_count) {
        comment_on_emptiness(profile, recording, &totals);
        comment_on_rates(profile, recording, &totals);
    }
    comment_on_stacks(profile, recording, &totals);
    comment_on_losses(profile, recording, &totals);
    if (recording->heap_outside)
        hone_profile_comment(profile, "# not covered: the heap: " HONE_HEAP_OUTSIDE);
    if (recording->locks_outside)
        hone_profile_comment(profile, "# not covered: locks: " HONE_LOCKS_OUTSIDE);
    return comment_on_processes(profile, recording);
}
