// What leaks.prof says of itself: how far the processes were looked through.
#include "capture/output.h"

#include "profile/profile.h"

#include <inttypes.h>

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
    if (facts->state == HONE_PROCESS_EXITED)
        return "it did not ask, or there was no room";
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

void hone_recording_comment_leaks(const struct hone_recording *recording,
                                  struct hone_profile *profile)
{
    const struct hone_collected *collected = recording->collected;
    struct hone_leak_totals totals;
    hone_recording_leaks(recording, &totals);
    hone_profile_comment(profile,
                         "# leaks: %" PRIu32 " processes looked through at their end, %" PRIu64
                         " live blocks, %.1f MB read in %.3f s",
                         totals.processes, totals.blocks, (double)totals.bytes_read / 1e6,
                         (double)totals.time_ns / 1e9);
    if (totals.sampled)
        hone_profile_comment(profile,
                             "leaks: only sampled blocks are known, and what points to them from "
                             "any other block counts as reaching them; %s",
                             recording->options->heap_rate == 1
                                 ? "memory is limited, and counting every block takes much of it "
                                   "(ulimit -v, ulimit -d)"
                                 : "count every block with --heap-rate 1");
    uint64_t lost = count_lost(collected);
    if (lost)
        hone_profile_comment(profile,
                             "lost: %" PRIu64 " allocations: those of them that leaked are not "
                             "among the leaks, nor what only they point to; 'hone info' says why",
                             lost);
    if (totals.objects[HONE_REACH_MAPPED] > 0)
        hone_profile_comment(profile,
                             "# leaks: %.0f blocks of %.0f bytes are reached only from memory that "
                             "the program or its allocator mapped itself; LeakSanitizer would call "
                             "them leaked",
                             totals.objects[HONE_REACH_MAPPED], totals.bytes[HONE_REACH_MAPPED]);
    if (totals.threads_left)
        hone_profile_comment(profile,
                             "# leaks: registers of %" PRIu32
                             " threads were not read, for that would have ended what they wait in",
                             totals.threads_left);
    struct replaced replaced;
    find_replaced(collected, &replaced);
    if (replaced.count)
        hone_profile_comment(profile,
                             "not looked through: %" PRIu32
                             " program%s that execve() replaced while %" PRId64
                             " blocks of %" PRId64 " bytes lived, the first process %" PRIu32 " %s",
                             replaced.count, replaced.count == 1 ? "" : "s", replaced.blocks,
                             replaced.bytes, replaced.first->pid, replaced.first->name);
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
        hone_profile_comment(profile, "not covered: leaks of %" PRIu32 " more processes",
                             totals.unlooked - replaced.count - TOLD);
    if (!collected->leak_count)
        hone_profile_comment(profile,
                             totals.processes
                                 ? "empty: no block that was counted lived at the end"
                                 : "empty: no process was looked through, the reasons are above");
}
