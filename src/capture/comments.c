// What a profile says of itself: engine and rate, losses, what was not covered, why it is empty.
// Comments that begin with '#' are facts for those who ask (hone info, pprof -comments); the others
// are warnings, which every report of pprof and of ours shows.
#include "capture/output.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
    // CPU time beyond this many periods without one sample was not used where we look.
    UNSEEN_PERIODS = 20,
    // The kernel's count and ours may differ by this much: ends of processes are not sampled.
    UNSEEN_PERCENT = 10,
};

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "es";
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static const char *const end_texts[HONE_STACK_ENDS] = {
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
                                 totals->truncated[end], end_texts[end]);
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
        hone_profile_comment(
            profile, "lost: %" PRIu64 " records, the kernel's buffers were full; give --memory",
            facts->lost);
    if (facts->broken)
        hone_profile_comment(profile, "lost: %" PRIu64 " records of the kernel that made no sense",
                             facts->broken);
    if (facts->throttled)
        hone_profile_comment(profile, "# throttled: the kernel held samples back %" PRIu64 " times",
                             facts->throttled);
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
    hone_profile_comment(profile, "%ssamples lost: %" PRIu64 "%s", lost ? "" : "# ", lost,
                         lost ? " (their time is carried by the next sample of the thread)" : "");
    if (totals->lost_memory)
        hone_profile_comment(profile, "lost: %" PRIu64 " samples, no session memory%s%s",
                             totals->lost_memory, recording->back_error ? ": " : "",
                             recording->back_error ? strerror(-recording->back_error) : "");
    comment_on_outside(profile, recording);
    if (totals->lost_busy)
        hone_profile_comment(profile, "lost: %" PRIu64 " samples, too many handlers at once",
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
    if (totals->threads_uncovered)
        hone_profile_comment(profile, "not covered: %" PRIu64 " threads that could not be armed",
                             totals->threads_uncovered);
    if (recording->processes_refused)
        hone_profile_comment(profile, "not covered: %" PRIu64 " processes, no session memory",
                             recording->processes_refused);
}

// How many processes have the same engine and reason as this one; 0 when an earlier one has.
static uint32_t count_same_reason(const struct hone_collected *collected, uint32_t i)
{
    const struct hone_process_facts *facts = &collected->processes[i].facts;
    uint32_t count = 0;
    for (uint32_t other = 0; other < collected->process_count; other++) {
        const struct hone_process_facts *theirs = &collected->processes[other].facts;
        if (collected->processes[other].unsampled || theirs->engine != facts->engine ||
            strcmp(theirs->reason, facts->reason) != 0)
            continue;
        if (other < i)
            return 0;
        count++;
    }
    return count;
}

// The program that a process became has told of itself.
static bool reports_later(const struct hone_collected *collected, uint32_t i)
{
    const struct hone_process_facts *facts = &collected->processes[i].facts;
    for (uint32_t later = i + 1; later < collected->process_count; later++)
        if (collected->processes[later].facts.pid == facts->pid &&
            collected->processes[later].facts.pid_namespace == facts->pid_namespace)
            return true;
    return false;
}

// A period that ends where our handler is not set any more ends the program.
static void comment_on_trap(struct hone_profile *profile, const struct hone_recording *recording)
{
    if (recording->status == -1 || !WIFSIGNALED(recording->status) ||
        WTERMSIG(recording->status) != SIGTRAP)
        return;
    hone_profile_comment(profile,
                         "the program was ended by SIGTRAP, the signal that samples it: perhaps it "
                         "took the signal for itself by a system call; try --engine thread-timer");
}

static void comment_on_processes(struct hone_profile *profile,
                                 const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        uint32_t same = process->unsampled ? 0 : count_same_reason(collected, i);
        if (same && process->facts.engine == HONE_ENGINE_NONE)
            hone_profile_comment(profile, "not covered: %u process%s such as %u %s: %s", same,
                                 plural(same), process->pid, process->name,
                                 process->facts.reason[0] ? process->facts.reason
                                                          : "it ended while starting");
        else if (same && process->facts.reason[0])
            hone_profile_comment(profile, "# %u process%s such as %u %s: %s", same, plural(same),
                                 process->pid, process->name, process->facts.reason);
        if (process->became[0] && !reports_later(collected, i))
            hone_profile_comment(
                profile,
                "not covered: process %u became %s, which did not load libhone.so (static, "
                "setuid or LD_PRELOAD taken away); try --engine outside",
                process->pid, process->became);
    }
    if (recording->left_running)
        hone_profile_comment(
            profile, "recording ended while %u process%s went on%s", recording->left_running,
            plural(recording->left_running),
            recording->stopped_early ? "" : "; run a daemon in the foreground to record it");
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
    hone_profile_comment(profile, "# rate: %" PRIu64 " Hz of CPU time asked, %.1f reached",
                         recording->options->cpu_hz, hone_recording_rate(recording, totals));
    if (recording->collected->never_sampled_ns)
        hone_profile_comment(
            profile, "# never sampled: %.3f s in threads that ended before their first sample",
            (double)recording->collected->never_sampled_ns / 1e9);
    uint64_t kernel_ns = recording->cpu_kernel_ns;
    if (totals->samples && kernel_ns > totals->cpu_ns &&
        kernel_ns - totals->cpu_ns > UNSEEN_PERIODS * 1000000000ull / recording->options->cpu_hz &&
        percent(kernel_ns - totals->cpu_ns, kernel_ns) > UNSEEN_PERCENT)
        hone_profile_comment(
            profile, "not covered: %.3f s of CPU time that the kernel counts, %s",
            (double)(kernel_ns - totals->cpu_ns) / 1e9,
            recording->outside
                ? "in what it does not sample"
                : "in the ends of short processes, in programs that did not "
                  "load libhone.so (static, setuid, LD_PRELOAD taken away) or in threads "
                  "that keep its signal out");
    if (kernel_ns)
        hone_profile_comment(
            profile, "# cpu: %.3f s sampled, %.3f s by the kernel's count%s (%.1f%%)", seconds,
            (double)kernel_ns / 1e9,
            totals->cpu_ns > kernel_ns + kernel_ns / 50 && recording->collected->process_count > 1
                ? ", which lacks children that nobody waited for"
                : "",
            percent(totals->cpu_ns, kernel_ns));
    if (recording->collected->before_ns)
        hone_profile_comment(
            profile, "# never sampled: %.3f s in fork, exec and loader, before programs start",
            (double)recording->collected->before_ns / 1e9);
}

static void comment_on_emptiness(struct hone_profile *profile,
                                 const struct hone_recording *recording,
                                 const struct hone_recording_totals *totals)
{
    if (totals->samples)
        return;
    if (recording->outside && !totals->processes)
        hone_profile_comment(profile, "empty: nothing that was watched used a period of CPU time");
    else if (totals->processes == 0)
        hone_profile_comment(profile,
                             "empty: no process loaded libhone.so; did the program change its "
                             "environment, or is it static?");
    else if (totals->uncovered == totals->processes)
        hone_profile_comment(profile, "empty: no process could be sampled");
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

// --- the wall clock ------------------------------------------------------------------------------

static void comment_on_states(struct hone_profile *profile, const struct hone_wall_facts *facts)
{
    uint64_t sum_ns = 0;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer states = {0};
    for (int wait = 0; wait < HONE_WAITS; wait++)
        sum_ns += facts->state_ns[wait];
    for (int wait = 0; wait < HONE_WAITS; wait++)
        if (facts->state_ns[wait])
            hone_buffer_format(&states, "%s%s %.2f%%", states.len ? ", " : "",
                               hone_wait_name((enum hone_wait)wait),
                               percent(facts->state_ns[wait], sum_ns));
    hone_profile_comment(profile, "# states: %s", states.at ? states.at : "none");
    hone_profile_comment(
        profile,
        "# wall: %.3f s in %" PRIu64 " threads from their starts to their ends, the states add "
        "up to %.2f%% of it",
        (double)facts->lifetime_ns / 1e9, facts->threads, percent(sum_ns, facts->lifetime_ns));
}

static void comment_on_wall(struct hone_profile *profile, const struct hone_recording *recording)
{
    const struct hone_wall_facts *facts = &recording->collected->wall_facts;
    if (facts->reason[0])
        hone_profile_comment(profile, "%swall: %s", facts->taken ? "# " : "empty: ", facts->reason);
    if (!facts->taken)
        return;
    uint64_t length_ns = facts->ended_ns - facts->started_ns;
    hone_profile_comment(profile,
                         "# wall rate: %" PRIu64
                         " looks a second asked, %.1f reached; samples of on-cpu are "
                         "those of the CPU clock",
                         facts->hz, length_ns ? (double)facts->ticks * 1e9 / (double)length_ns : 0);
    comment_on_states(profile, facts);
    double complete = 100 - percent(facts->truncated_ns, facts->seen_ns);
    if (facts->reads)
        hone_profile_comment(
            profile,
            "%sblocked stacks: %.2f%% of the blocked time that was seen in complete ones, %" PRIu64
            " read",
            complete < 99 ? "" : "# ", complete, facts->reads);
    for (int end = 1; end < HONE_STACK_ENDS; end++)
        if (facts->ends[end])
            hone_profile_comment(profile, "# blocked stacks truncated: %" PRIu64 ", %s",
                                 facts->ends[end], end_texts[end]);
    if (facts->bases)
        hone_profile_comment(profile,
                             "# blocked stacks whose frame pointer was found by looking: %" PRIu64,
                             facts->bases);
    if (facts->searched)
        hone_profile_comment(profile,
                             "# blocked stacks searched: %" PRIu64
                             ", the callers of code without unwind rules were taken from the stack",
                             facts->searched);
    if (facts->torn || facts->gone || facts->postponed)
        hone_profile_comment(profile,
                             "# blocked stacks not read: %" PRIu64 " had gone on, %" PRIu64
                             " went on while being read, %" PRIu64 " put off for lack of time",
                             facts->gone, facts->torn, facts->postponed);
    if (facts->lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " times records of switches, states are not exact",
                             facts->lost);
    if (facts->refused)
        hone_profile_comment(profile,
                             "not covered: stacks of %" PRIu64 " threads that are not ours to read",
                             facts->refused);
    if (facts->too_many)
        hone_profile_comment(profile,
                             "not covered: %" PRIu64 " threads, more than there is room for",
                             facts->too_many);
    if (facts->unmatched)
        hone_profile_comment(
            profile, "not covered: waiting of %" PRIu64 " threads, of which only CPU time is known",
            facts->unmatched);
}

void hone_recording_comment(const struct hone_recording *recording, enum hone_capture_type type,
                            struct hone_profile *profile)
{
    struct hone_recording_totals totals;
    hone_recording_total(recording, &totals);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer command = {0};
    for (char *const *argument = recording->argv; *argument; argument++)
        hone_buffer_format(&command, "%s%s", argument == recording->argv ? "" : " ", *argument);
    hone_profile_comment(profile, "# command: %.400s", command.at ? command.at : "");
    if (type == HONE_CAPTURE_WALL)
        comment_on_wall(profile, recording);
    comment_on_trap(profile, recording);
    // A program that only waits lacks nothing in the wall clock.
    if (totals.samples || type != HONE_CAPTURE_WALL || !recording->collected->wall_count) {
        comment_on_emptiness(profile, recording, &totals);
        comment_on_rates(profile, recording, &totals);
    }
    comment_on_stacks(profile, recording, &totals);
    comment_on_losses(profile, recording, &totals);
    comment_on_processes(profile, recording);
}
