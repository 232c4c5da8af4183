// What leaks.prof says of itself: how far the processes were looked through.
#include "capture/output.h"

#include "profile/profile.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

// Images that execve() replaced by others, which go on as the same process, while blocks that they
// had made lived.
struct replaced {
    uint32_t count;
    int64_t blocks, bytes;
    const struct hone_collected_process *first;
};

static bool is_replaced(const struct hone_collected_process *process)
{
    return process->facts.state == HONE_PROCESS_EXECED && !process->became[0] && !process->scan;
}

static void find_replaced(const struct hone_collected *collected, struct replaced *ret)
{
    *ret = (struct replaced){0};
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < collected->heap_sites.count; i++) {
        const struct hone_collected_site *site = &collected->heap_sites.at[i];
        const struct hone_collected_process *process = &collected->processes[site->process];
        if (!is_replaced(process) || !site->live)
            continue;
        // The sites of a process lie together.
        ret->count += site->process != last;
        last = site->process;
        ret->blocks += (int64_t)site->live;
        ret->bytes += (int64_t)site->live_bytes;
        ret->first = ret->first ? ret->first : process;
    }
}

// The allocator of such a program is the sanitizer's, and so is what it calls at its end.
static bool is_sanitized(const struct hone_process_facts *facts)
{
    static const char *const names[] = {"libasan.", "liblsan.", "libtsan.", "libhwasan.",
                                        "libclang_rt."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(facts->allocator, names[i]))
            return true;
    return false;
}

_Static_assert(HONE_SCANS == 32, "as the text below says");

const char *hone_recording_unlooked(const struct hone_recording *recording,
                                    const struct hone_collected_process *process)
{
    const struct hone_process_facts *facts = &process->facts;
    if (process->scan)
        return process->scan->reason[0] ? process->scan->reason : NULL;
    if (recording->outside)
        return "it is recorded from outside";
    if (facts->state == HONE_PROCESS_EXECED)
        return process->became[0] ? "it became another program, which did not report" : NULL;
    if (process->unsampled)
        return NULL;
    if (facts->heap_reason[0])
        return facts->heap_reason;
    if (facts->state == HONE_PROCESS_EXITED && is_sanitized(facts))
        return "a sanitizer ends it by an exit of its own; let that look for leaks, "
               "or build it without";
    if (facts->state == HONE_PROCESS_EXITED)
        return recording->scans_refused
                   ? "it gave up waiting for its turn: too many processes ended at once, and 32 "
                     "at a time are looked through; start fewer at a time"
                   : "it did not ask: a sanitizer ended it by an exit of its own, say, or it was "
                     "the recording's end";
    if (process->left_running)
        return "it still ran when the recording ended";
    return recording->stopped_early ? "the recording ended before it"
                                    : "it ended without exit() or _exit(): by a signal, say, or by "
                                      "quick_exit()";
}

void hone_recording_leaks(const struct hone_recording *recording, struct hone_leak_totals *ret)
{
    const struct hone_collected *collected = recording->collected;
    *ret = (struct hone_leak_totals){0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_scan_result *scan = collected->processes[i].scan;
        bool unlooked = hone_recording_unlooked(recording, &collected->processes[i]);
        ret->unlooked += unlooked;
        if (!scan)
            continue;
        ret->time_ns += scan->time_ns;
        ret->bytes_read += scan->bytes_read;
        if (unlooked)
            continue;
        ret->processes++;
        ret->blocks += scan->blocks;
        ret->threads_left += scan->threads_left;
        // Counting begins with the first block: there may have been none.
        ret->sampled |= !scan->exact && (scan->blocks || recording->options->heap_rate != 1);
    }
    struct replaced replaced;
    find_replaced(collected, &replaced);
    ret->unlooked += replaced.count;
    for (uint32_t i = 0; i < collected->leak_count; i++) {
        const struct hone_collected_leak *leak = &collected->leaks[i];
        ret->objects[leak->reach] += leak->objects;
        ret->bytes[leak->reach] += leak->bytes;
    }
}

// Made before the probe began: of those that leaked nobody knows.
static void comment_on_early(const struct hone_collected *collected, struct hone_profile *profile)
{
    uint64_t blocks = 0, bytes = 0;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        if (!collected->processes[i].scan)
            continue;
        blocks += collected->processes[i].facts.heap_early;
        bytes += collected->processes[i].facts.heap_early_bytes;
    }
    if (blocks)
        hone_profile_comment(profile,
                             "not known: leaks of %" PRIu64 " block%s of %" PRIu64
                             " byte%s, made before Hone began, by constructors of libraries",
                             blocks, plural(blocks), bytes, plural(bytes));
}

// Nobody knows of these that they lived.
static uint64_t count_lost(const struct hone_collected *collected)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        lost += facts->heap_lost + facts->heap_no_site + facts->heap_left + facts->heap_in_handler;
    }
    return lost;
}

#define LIMITED                                                                                    \
    "; memory is limited, and counting every block takes much of it (ulimit -v, ulimit -d)"
#define EVERY_BLOCK "; count every block with --heap-rate 1"

void hone_recording_comment_leaks(const struct hone_recording *recording,
                                  struct hone_profile *profile)
{
    const struct hone_collected *collected = recording->collected;
    struct hone_leak_totals totals;
    hone_recording_leaks(recording, &totals);
    hone_profile_comment(profile,
                         "# leaks: %" PRIu32 " process%s looked through at the end, %" PRIu64
                         " live block%s, %.1f MB read in %.3f s",
                         totals.processes, totals.processes == 1 ? "" : "es", totals.blocks,
                         plural(totals.blocks), (double)totals.bytes_read / 1e6,
                         (double)totals.time_ns / 1e9);
    bool changed = hone_recording_comment_rates(recording, profile);
    if (totals.sampled)
        hone_profile_comment(profile,
                             "leaks: only %s blocks are known, and what points to them from any "
                             "other block counts as reaching them%s",
                             changed ? "some" : "sampled",
                             changed                              ? ""
                             : recording->options->heap_rate == 1 ? LIMITED
                                                                  : EVERY_BLOCK);
    comment_on_early(collected, profile);
    uint64_t lost = count_lost(collected);
    if (lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " allocation%s: those of them that leaked are not "
                             "among the leaks, nor what only they point to; 'hone info' says why",
                             lost, plural(lost));
    if (totals.objects[HONE_REACH_MAPPED] > 0)
        hone_profile_comment(
            profile,
            "# leaks: what is reached only from memory that the program or its "
            "allocator mapped itself LeakSanitizer would call leaked: %.0f block%s "
            "of %.0f byte%s",
            totals.objects[HONE_REACH_MAPPED],
            plural((uint64_t)llround(totals.objects[HONE_REACH_MAPPED])),
            totals.bytes[HONE_REACH_MAPPED],
            plural((uint64_t)llround(totals.bytes[HONE_REACH_MAPPED])));
    if (totals.threads_left)
        hone_profile_comment(profile,
                             "%sleaks: registers of %" PRIu32
                             " thread%s not read, for that would have ended a wait%s",
                             totals.objects[HONE_REACH_UNREACHABLE] > 0 ? "" : "# ",
                             totals.threads_left, totals.threads_left == 1 ? " were" : "s were",
                             totals.objects[HONE_REACH_UNREACHABLE] > 0
                                 ? ": what only those held is called leaked"
                                 : "");
    struct replaced replaced;
    find_replaced(collected, &replaced);
    if (replaced.count)
        hone_profile_comment(
            profile,
            "not looked through: %" PRIu32 " program%s that execve() replaced while %" PRId64
            " block%s of %" PRId64 " byte%s lived, the first process %" PRIu32 " %s",
            replaced.count, replaced.count == 1 ? "" : "s", replaced.blocks,
            plural((uint64_t)replaced.blocks), replaced.bytes, plural((uint64_t)replaced.bytes),
            replaced.first->pid, replaced.first->name);
    enum { TOLD = 8 };
    uint32_t told = 0;
    for (uint32_t i = 0; i < collected->process_count && told < TOLD; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        const char *why = hone_recording_unlooked(recording, process);
        told += why != NULL;
        if (why)
            hone_profile_comment(profile, "not covered: leaks of process %" PRIu32 " %s: %s",
                                 process->pid, process->name, why);
    }
    if (totals.unlooked - replaced.count > TOLD)
        hone_profile_comment(profile, "not covered: leaks of %" PRIu32 " more process%s",
                             totals.unlooked - replaced.count - TOLD,
                             totals.unlooked - replaced.count - TOLD == 1 ? "" : "es");
    if (!collected->leak_count)
        hone_profile_comment(profile,
                             totals.processes ? "empty: no block that was counted lived at the end"
                             : totals.unlooked
                                 ? "empty: no process was looked through, the reasons are above"
                                 : "empty: no process was looked through, for none told of itself");
}
