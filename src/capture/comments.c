// What a profile says of itself: engine and rate, losses, what was not covered, why it is empty.
// Comments that begin with '#' are facts for those who ask (hone info, pprof -comments); the others
// are warnings, which every report of pprof and of ours shows.
#include "capture/output.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "profile/profile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void comment(struct hone_profile *profile,
                                                          const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    hone_profile_add_comment(profile, text);
}

// CPU time beyond this many periods without one sample was not used where we look.
enum { UNSEEN_PERIODS = 20 };

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
};

static void comment_on_stacks(struct hone_profile *profile, const struct hone_recording *recording,
                              const struct hone_recording_totals *totals)
{
    if (!totals->samples)
        return;
    uint64_t cut = 0;
    for (int end = 1; end < HONE_STACK_ENDS; end++)
        cut += totals->truncated[end];
    comment(
        profile, "# stacks: %.2f%% of the sampled CPU time in complete ones, %" PRIu64 " truncated",
        100 - percent(totals->truncated_cpu_ns, hone_recording_sampled_ns(recording, totals)), cut);
    for (int end = 1; cut && end < HONE_STACK_ENDS; end++)
        if (totals->truncated[end])
            comment(profile, "# stacks truncated: %" PRIu64 ", %s", totals->truncated[end],
                    end_texts[end]);
}

static void comment_on_losses(struct hone_profile *profile, const struct hone_recording *recording,
                              const struct hone_recording_totals *totals)
{
    uint64_t lost = totals->lost_memory + totals->lost_busy + recording->collected->unknown_stacks +
                    recording->losses.unfinished + recording->losses.broken;
    comment(profile, "%ssamples lost: %" PRIu64 "%s", lost ? "" : "# ", lost,
            lost ? " (their time is carried by the next sample of the thread)" : "");
    if (totals->lost_memory)
        comment(profile, "lost: %" PRIu64 " samples, no session memory%s%s", totals->lost_memory,
                recording->back_error ? ": " : "",
                recording->back_error ? strerror(-recording->back_error) : "");
    if (totals->lost_busy)
        comment(profile, "lost: %" PRIu64 " samples, too many handlers at once", totals->lost_busy);
    if (recording->losses.unfinished)
        comment(profile, "lost: %" PRIu64 " records, their process died while writing",
                recording->losses.unfinished);
    if (recording->losses.broken)
        comment(profile, "lost: %" PRIu64 " records, overwritten by the program",
                recording->losses.broken);
    if (totals->lost_overrun)
        comment(profile, "# merged: %" PRIu64 " periods into later samples, which carry their time",
                totals->lost_overrun);
    if (totals->threads_uncovered)
        comment(profile, "not covered: %" PRIu64 " threads that could not be armed",
                totals->threads_uncovered);
    if (recording->processes_refused)
        comment(profile, "not covered: %" PRIu64 " processes, no session memory",
                recording->processes_refused);
}

static void comment_on_processes(struct hone_profile *profile,
                                 const struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        if (process->facts.engine == HONE_ENGINE_NONE)
            comment(profile, "not covered: process %u %s: %s", process->pid, process->name,
                    process->facts.reason[0] ? process->facts.reason : "it ended while starting");
        else if (process->facts.reason[0])
            comment(profile, "process %u %s: %s", process->pid, process->name,
                    process->facts.reason);
        if (process->became[0])
            comment(profile,
                    "not covered: process %u became %s, which did not load libhone.so (static, "
                    "setuid or an emptied environment)",
                    process->pid, process->became);
    }
    if (recording->left_running)
        comment(profile, "recording ended while %u processes went on", recording->left_running);
}

static void comment_on_rates(struct hone_profile *profile, const struct hone_recording *recording,
                             const struct hone_recording_totals *totals)
{
    for (int engine = 1; engine < HONE_ENGINES; engine++)
        if (totals->engines[engine])
            comment(profile, "# engine: %s, %u processes%s", hone_engine_name(engine),
                    totals->engines[engine],
                    engine == HONE_ENGINE_PERF_TRAP_USER || engine == HONE_ENGINE_PERF_SIGNAL_USER
                        ? "; time in the kernel is charged to the next sample in user code"
                        : "");
    double seconds = (double)totals->cpu_ns / 1e9;
    comment(profile, "# rate: %" PRIu64 " Hz of CPU time asked, %.1f reached",
            recording->options->cpu_hz, hone_recording_rate(recording, totals));
    if (recording->collected->never_sampled_ns)
        comment(profile, "# never sampled: %.3f s in threads that ended before their first sample",
                (double)recording->collected->never_sampled_ns / 1e9);
    if (recording->cpu_kernel_ns)
        comment(profile, "# cpu: %.3f s sampled, %.3f s by the kernel's count (%.1f%%)", seconds,
                (double)recording->cpu_kernel_ns / 1e9,
                percent(totals->cpu_ns, recording->cpu_kernel_ns));
    if (recording->collected->before_ns)
        comment(profile, "# never sampled: %.3f s in exec and loader, before programs start",
                (double)recording->collected->before_ns / 1e9);
}

static void comment_on_emptiness(struct hone_profile *profile,
                                 const struct hone_recording *recording,
                                 const struct hone_recording_totals *totals)
{
    if (totals->samples)
        return;
    if (recording->collected->process_count == 0)
        comment(profile, "empty: no process loaded libhone.so; did the program change its "
                         "environment, or is it static?");
    else if (totals->uncovered == recording->collected->process_count)
        comment(profile, "empty: no process could be sampled");
    else if (recording->cpu_kernel_ns > UNSEEN_PERIODS * 1000000000ull / recording->options->cpu_hz)
        comment(profile,
                "empty: %.3f s of CPU time were used by programs that did not load libhone.so "
                "(static, setuid or an emptied environment)",
                (double)recording->cpu_kernel_ns / 1e9);
    else
        comment(profile,
                "empty: the program used less CPU time than one period of %.3f ms; run it longer, "
                "or sample faster with -F",
                1e3 / (double)recording->options->cpu_hz);
}

void hone_recording_comment(const struct hone_recording *recording, struct hone_profile *profile)
{
    struct hone_recording_totals totals;
    hone_recording_total(recording, &totals);
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer command = {0};
    for (char *const *argument = recording->argv; *argument; argument++)
        hone_buffer_format(&command, "%s%s", argument == recording->argv ? "" : " ", *argument);
    comment(profile, "# command: %.400s", command.at ? command.at : "");
    comment_on_emptiness(profile, recording, &totals);
    comment_on_rates(profile, recording, &totals);
    comment_on_stacks(profile, recording, &totals);
    comment_on_losses(profile, recording, &totals);
    comment_on_processes(profile, recording);
}
