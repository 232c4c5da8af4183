// What a profile of the heap says of itself: how it was taken, the allocator, what is missing.
#include "capture/output.h"

#include "capture/inner.h"

#include "profile/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

struct heap_totals {
    uint64_t samples, frees, lost, frees_lost, untracked, truncated, early, early_bytes;
    uint64_t counted, counted_truncated, temporary, missed, no_site, kept_lost, left, in_handler;
    uint32_t counting; // processes that count every block
    uint32_t uncovered;
    uint64_t peak_ns; // of the last of those
    double bytes, live_bytes;
};

static void total_heap(const struct hone_collected *collected, struct heap_totals *ret)
{
    *ret = (struct heap_totals){0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        ret->samples += facts->heap_samples;
        ret->frees += facts->heap_frees;
        ret->lost += facts->heap_lost;
        ret->frees_lost += facts->heap_frees_lost;
        ret->untracked += facts->heap_untracked;
        ret->truncated += facts->heap_truncated;
        ret->early += facts->heap_early;
        ret->early_bytes += facts->heap_early_bytes;
        ret->missed += facts->heap_missed;
        ret->no_site += facts->heap_no_site;
        ret->kept_lost += facts->heap_kept_lost;
        ret->left += facts->heap_left;
        ret->in_handler += facts->heap_in_handler;
        ret->counting += facts->heap_peak_ns != 0;
        ret->uncovered += facts->heap_reason[0] != '\0';
        if (facts->heap_peak_ns)
            ret->peak_ns = facts->heap_peak_ns;
    }
    for (uint32_t i = 0; i < collected->heap_sites.count; i++) {
        const struct hone_collected_site *site = &collected->heap_sites.at[i];
        ret->counted += site->allocated;
        ret->temporary += site->temporary;
        if (collected->stacks[site->stack].end != HONE_STACK_COMPLETE)
            ret->counted_truncated += site->allocated;
    }
    for (uint32_t i = 0; i < collected->heap.count; i++) {
        const struct hone_collected_heap *row = &collected->heap.at[i];
        double bytes = hone_heap_weight(row->size, row->rate) * (double)row->size;
        ret->bytes += bytes * (double)row->allocated;
        ret->live_bytes += bytes * (double)row->live;
    }
}

// Each allocator and each reason once.
static void comment_on_allocators(struct hone_profile *profile,
                                  const struct hone_collected *collected)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        bool known = !facts->allocator[0], told = !facts->heap_reason[0];
        for (uint32_t before = 0; before < i; before++) {
            const struct hone_process_facts *other = &collected->processes[before].facts;
            known = known || strcmp(other->allocator, facts->allocator) == 0;
            told = told || strcmp(other->heap_reason, facts->heap_reason) == 0;
        }
        if (!known)
            hone_profile_comment(profile, "# allocator: %s", facts->allocator);
        if (!told)
            hone_profile_comment(profile, "not covered: the heap of process %" PRIu32 " %s: %s",
                                 collected->processes[i].pid, collected->processes[i].name,
                                 facts->heap_reason);
    }
}

static bool is_hooked(const struct hone_collected *collected, const char *path)
{
    for (uint32_t i = 0; i < collected->process_count; i++)
        if (strstr(collected->processes[i].facts.allocator, path))
            return true;
    return false;
}

int hone_recording_find_inner_allocators(struct hone_recording *recording)
{
    const struct hone_collected *collected = recording->collected;
    recording->inner_allocators =
        (const char **)calloc((size_t)collected->module_count + 1, sizeof(char *));
    if (!recording->inner_allocators)
        return -ENOMEM;
    for (uint32_t i = 0; i < collected->module_count; i++) {
        const char *path = collected->modules[i].path;
        bool known = is_hooked(collected, path);
        for (uint32_t before = 0; before < i && !known; before++)
            known = strcmp(collected->modules[before].path, path) == 0;
        recording->inner_allocators[i] = known ? NULL : hone_inner_allocator(path);
    }
    return 0;
}

// Allocators inside of files, which no library in front of malloc() sees.
static void comment_on_inner_allocators(struct hone_profile *profile,
                                        const struct hone_recording *recording)
{
    for (uint32_t i = 0; recording->inner_allocators && i < recording->collected->module_count; i++)
        if (recording->inner_allocators[i])
            hone_profile_comment(profile, "not covered: what %s allocates by the %s inside it",
                                 recording->collected->modules[i].path,
                                 recording->inner_allocators[i]);
}

bool hone_recording_comment_rates(const struct hone_recording *recording,
                                  struct hone_profile *profile)
{
    const struct hone_heap_rows *rows = &recording->collected->heap;
    uint64_t asked = recording->options->heap_rate, lowest = asked, highest = asked;
    bool counted = recording->collected->heap_sites.count;
    for (uint32_t i = 0; i < rows->count; i++) {
        lowest = rows->at[i].rate < lowest ? rows->at[i].rate : lowest;
        highest = rows->at[i].rate > highest ? rows->at[i].rate : highest;
    }
    if (counted)
        lowest = 1;
    if (!recording->rate_changes && lowest == highest)
        return false;
    char between[64] = "";
    if (lowest != highest)
        (void)snprintf(between, sizeof between, ", from %" PRIu64 " to %" PRIu64 " bytes", lowest,
                       highest);
    hone_profile_comment(profile, "the rate was changed while it ran%s: %s%s", between,
                         recording->rate_offs ? "what was allocated while it was 0 is not known"
                         : counted            ? "only a part of the blocks was counted"
                                              : "figures are less exact for some of the time",
                         counted ? "; the peak is of what was counted alone" : "");
    return true;
}

// What heap-time.prof and heap-peak.prof hold.
static void comment_on_moment(const struct hone_recording *recording, int file,
                              const struct heap_totals *totals, struct hone_profile *profile)
{
    if (file == HONE_RECORDING_HEAP_TIME)
        hone_profile_comment(profile,
                             "# changes in intervals of %" PRIu64
                             " ms, by the label time; their sum is what lives at the end",
                             recording->collected->heap_series.width_ns / 1000000);
    if (file == HONE_RECORDING_HEAP_PEAK && totals->counting == 1)
        hone_profile_comment(profile, "# what lived at the peak, %.3f s after the start",
                             (double)(totals->peak_ns - recording->started_monotonic_ns) / 1e9);
    if (file == HONE_RECORDING_HEAP_PEAK && totals->counting > 1)
        hone_profile_comment(profile,
                             "# what lived at the peak of each process, %" PRIu32
                             " of them, each at its own time",
                             totals->counting);
    if (file == HONE_RECORDING_HEAP_TIME && totals->kept_lost)
        hone_profile_comment(profile,
                             "lost: what %" PRIu64 " sites had at a mark, for lack of memory: "
                             "the label generation is not exact",
                             totals->kept_lost);
}

static void comment_on_nothing(const struct hone_recording *recording,
                               const struct heap_totals *totals, struct hone_profile *profile)
{
    if (totals->uncovered && totals->uncovered == recording->collected->process_count)
        hone_profile_comment(profile, "empty: the heap is not covered, the reasons are above");
    else
        hone_profile_comment(profile,
                             "empty: no allocation was seen: the program allocates little, or not "
                             "by malloc()%s",
                             recording->options->heap_rate > 1 ? "; sample more with --heap-rate"
                                                               : "");
}

// Why allocations were not counted, and what helps.
static const char *why_lost(const struct hone_recording *recording)
{
    if (!recording->no_room)
        return "for lack of memory in the program (ulimit -v), or of more than 32768 threads at "
               "once";
    if (recording->back_error)
        return strerror(-recording->back_error);
    if (recording->full)
        return "for lack of memory; raise --memory";
    return "in a burst, before hone made memory ready for them, which --memory allows: keep a "
           "processor free for it";
}

static void comment_on_stacks(struct hone_profile *profile, uint64_t truncated, uint64_t all,
                              const char *what)
{
    hone_profile_comment(profile, "%sheap stacks: %.2f%% of %" PRIu64 " %s%s in complete ones",
                         percent(truncated, all) > 1 ? "" : "# ", 100 - percent(truncated, all),
                         all, what, plural(all));
}

void hone_recording_comment_heap(const struct hone_recording *recording, int file,
                                 struct hone_profile *profile)
{
    struct heap_totals totals;
    if (recording->heap_outside) {
        hone_profile_comment(profile, "empty: the heap is not covered: " HONE_HEAP_OUTSIDE);
        return;
    }
    total_heap(recording->collected, &totals);
    struct hone_heap_peak peak = {0};
    (void)hone_recording_heap_peak(recording, &peak); // without memory the profile fails, too
    bool changed = hone_recording_comment_rates(recording, profile);
    if (totals.counted)
        hone_profile_comment(
            profile,
            "# heap: %s, %" PRIu64 " allocation%s, %.2f%% of them temporary, "
            "%.0f bytes at the peak",
            changed ? "blocks counted for some of the time" : "every block counted", totals.counted,
            plural(totals.counted), percent(totals.temporary, totals.counted), peak.bytes);
    else
        hone_profile_comment(profile,
                             "# heap: one sample in %" PRIu64 " byte%s allocated, %" PRIu64
                             " sample%s, %" PRIu64 " of them freed",
                             recording->options->heap_rate, plural(recording->options->heap_rate),
                             totals.samples, plural(totals.samples), totals.frees);
    comment_on_moment(recording, file, &totals, profile);
    comment_on_allocators(profile, recording->collected);
    comment_on_inner_allocators(profile, recording);
    if (!totals.samples && !totals.counted)
        comment_on_nothing(recording, &totals, profile);
    if (totals.samples && !totals.counted && recording->options->heap_rate == 1)
        hone_profile_comment(
            profile, "not known: the peak, blocks that lived for short, lives and waste: "
                     "each block was sampled, for memory is limited, and counting them takes "
                     "much of it (ulimit -v, ulimit -d)");
    if (totals.samples)
        comment_on_stacks(profile, totals.truncated, totals.samples, "sample");
    if (totals.counted)
        comment_on_stacks(profile, totals.counted_truncated, totals.counted, "allocation");
    if (totals.lost)
        hone_profile_comment(profile, "lost: %" PRIu64 " sampled allocation%s, for lack of memory",
                             totals.lost, plural(totals.lost));
    if (totals.frees_lost || totals.untracked)
        hone_profile_comment(
            profile, "lost: the end%s of %" PRIu64 " sampled allocation%s: what lives is not exact",
            plural(totals.frees_lost + totals.untracked), totals.frees_lost + totals.untracked,
            plural(totals.frees_lost + totals.untracked));
    if (totals.missed)
        hone_profile_comment(
            profile, "lost: the end%s of %" PRIu64 " block%s, freed in a way that was not seen",
            plural(totals.missed), totals.missed, plural(totals.missed));
    if (totals.no_site)
        hone_profile_comment(profile, "lost: %" PRIu64 " allocation%s, %s", totals.no_site,
                             plural(totals.no_site), why_lost(recording));
    if (totals.left)
        hone_profile_comment(profile,
                             "lost: %" PRIu64
                             " allocations or their ends, left by a signal handler "
                             "of the program's that jumped (longjmp)",
                             totals.left);
    if (totals.in_handler)
        hone_profile_comment(profile,
                             "lost: %" PRIu64
                             " allocation%s, in the middle of another one (of a signal handler's, "
                             "or of the allocator's own), or in a handler on an alternate stack of "
                             "less than some 32 KiB (sigaltstack)",
                             totals.in_handler, plural(totals.in_handler));
    if (totals.early)
        hone_profile_comment(
            profile,
            "# not covered: %" PRIu64 " allocation%s of %" PRIu64 " byte%s before the probe began",
            totals.early, plural(totals.early), totals.early_bytes, plural(totals.early_bytes));
}
