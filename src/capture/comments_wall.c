// What wall.prof and block.prof say of themselves: how it was seen who waited, how much of it, and
// what of it was not.
#include "base/buffer.h"
#include "base/cleanup.h"
#include "capture/block.h"
#include "capture/output.h"
#include "profile/profile.h"

#include <inttypes.h>

static double percent(double part, double whole)
{
    return whole > 0 ? 100.0 * part / whole : 0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

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
                               percent((double)facts->state_ns[wait], (double)sum_ns));
    hone_profile_comment(profile, "# states: %s", states.at ? states.at : "none");
    hone_profile_comment(profile,
                         "# wall: %.3f s in %" PRIu64
                         " thread%s from start to end, the states add up to %.2f%% of it",
                         (double)facts->lifetime_ns / 1e9, facts->threads, plural(facts->threads),
                         percent((double)sum_ns, (double)facts->lifetime_ns));
}

// Of the stacks of those who waited, and of what was not seen.
static void comment_on_looks(struct hone_profile *profile, const struct hone_wall_facts *facts)
{
    double complete = 100 - percent((double)facts->truncated_ns, (double)facts->seen_ns);
    if (facts->seen_ns)
        hone_profile_comment(
            profile,
            "%sblocked stacks: %.2f%% of the blocked time that was seen in complete ones, %" PRIu64
            " read",
            complete < 99 ? "" : "# ", complete, facts->reads);
    for (int end = 1; end < HONE_STACK_ENDS; end++)
        if (facts->ends[end])
            hone_profile_comment(profile, "# blocked stacks truncated: %" PRIu64 ", %s",
                                 facts->ends[end], hone_stack_end_texts[end]);
    if (facts->taken && facts->engine == HONE_WALL_BY_DRAWS)
        hone_profile_comment(profile,
                             "# drawn: %" PRIu64 " stacks of waits, one in %" PRIu32
                             " where there were most",
                             facts->draws, facts->one_in);
    if (facts->draws_lost)
        hone_profile_comment(profile,
                             "# lost: %" PRIu64
                             " drawn stacks, the kernel's buffers were full; those "
                             "that were read stand for them",
                             facts->draws_lost);
    if (facts->draws_unread)
        hone_profile_comment(profile,
                             "# lost: %" PRIu64
                             " drawn stacks, their processes had ended before they were read, or "
                             "are not ours to read",
                             facts->draws_unread);
    if (facts->too_many_to_draw)
        hone_profile_comment(profile, "not covered: waits of %" PRIu64 " thread%s, too many",
                             facts->too_many_to_draw, plural(facts->too_many_to_draw));
    if (facts->undrawn[0])
        hone_profile_comment(profile, "# no stacks of short waits from the kernel: %s",
                             facts->undrawn);
    if (facts->kernels)
        hone_profile_comment(profile,
                             "# blocked stacks with the kernel's frames: %" PRIu64
                             "; views of hone show them with --kernel",
                             facts->kernels);
    if (facts->no_kernel[0])
        hone_profile_comment(profile, "# no frames of the kernel below waits: %s",
                             facts->no_kernel);
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
        hone_profile_comment(
            profile, "not covered: stacks of %" PRIu64 " thread%s that are not ours to read",
            facts->refused, plural(facts->refused));
    if (facts->gained)
        hone_profile_comment(profile,
                             "%snot covered: %" PRIu64 " program%s got rights of another (setuid, "
                             "setgid), where the kernel ends events: until the next look it counts "
                             "as running; %" PRIu64 " had ended by then, %" PRIu64
                             " may not be watched",
                             facts->gained_refused || facts->gained_gone ? "" : "# ", facts->gained,
                             plural(facts->gained), facts->gained_gone, facts->gained_refused);
    if (facts->too_many)
        hone_profile_comment(profile,
                             "not covered: %" PRIu64 " thread%s, more than there is room for",
                             facts->too_many, plural(facts->too_many));
    if (facts->unmatched)
        hone_profile_comment(profile,
                             "not covered: waiting of %" PRIu64
                             " thread%s, of which only CPU time is known",
                             facts->unmatched, plural(facts->unmatched));
}

void hone_recording_comment_wall(const struct hone_recording *recording,
                                 struct hone_profile *profile)
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
    comment_on_looks(profile, facts);
}

// --- block.prof ----------------------------------------------------------------------------------

enum {
    // More of the delay than this part in which nobody saw what was waited for is worth a warning.
    UNKNOWN_PARTS = 10,
};

static void comment_on_kinds(struct hone_profile *profile, const struct hone_block *block)
{
    double sums[HONE_WAITS] = {0};
    for (uint32_t i = 0; i < block->count; i++)
        sums[hone_wait_of_kind(block->rows[i].kind)] += block->rows[i].delay_ns;
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer kinds = {0};
    for (int wait = 0; wait < HONE_WAITS; wait++)
        if (sums[wait] > 0)
            hone_buffer_format(&kinds, "%s%s %.2f%%", kinds.len ? ", " : "",
                               hone_wait_name((enum hone_wait)wait),
                               percent(sums[wait], block->totals.delay_ns));
    hone_profile_comment(profile, "# waited for: %s", kinds.at ? kinds.at : "nothing");
}

static void comment_on_told(struct hone_profile *profile, const struct hone_recording *recording,
                            const struct hone_block *block)
{
    const struct hone_collected *collected = recording->collected;
    uint64_t lost = collected->waits.refused;
    for (uint32_t i = 0; i < collected->process_count; i++)
        lost += collected->processes[i].facts.lock_lost;
    if (collected->waits.count)
        hone_profile_comment(profile,
                             "# lock functions told of %.0f waits: %.3f s have lock and holder, "
                             "%.3f s by their own clocks, which count waking up",
                             block->totals.labelled_waits, block->totals.labelled_ns / 1e9,
                             block->totals.told_ns / 1e9);
    if (lost)
        hone_profile_comment(profile, "lost: %" PRIu64 " records of waits for locks", lost);
}

// A program that only computes is no mistake: what its threads did instead is said.
static void comment_on_no_waits(struct hone_profile *profile, const struct hone_wall_facts *facts)
{
    if (!facts->taken)
        return; // why is said already
    if (!facts->threads) {
        hone_profile_comment(profile, "empty: no thread lived long enough to be watched");
        return;
    }
    hone_profile_comment(profile,
                         "empty: nothing was waited for; %" PRIu64
                         " thread%s ran for %.3f s and waited %.3f s for a CPU",
                         facts->threads, plural(facts->threads),
                         (double)facts->state_ns[HONE_WAIT_NONE] / 1e9,
                         (double)facts->state_ns[HONE_WAIT_RUNNABLE] / 1e9);
}

int hone_recording_comment_block(const struct hone_recording *recording,
                                 struct hone_profile *profile)
{
    const struct hone_wall_facts *facts = &recording->collected->wall_facts;
    HONE_CLEANUP(hone_block_done) struct hone_block block = {0};
    int r = hone_block_init(&block, recording->collected);
    if (r)
        return r;
    if (facts->reason[0])
        hone_profile_comment(profile, "%sblock: %s",
                             facts->taken ? "# " : "empty: ", facts->reason);
    if (!block.count)
        comment_on_no_waits(profile, facts);
    if (facts->taken) {
        hone_profile_comment(profile, "# engine: %s", hone_wall_engine_text(facts->engine));
        hone_profile_comment(profile,
                             "# block: %.3f s in %.0f waits of %" PRIu64
                             " thread%s, which ran for %.3f s and waited %.3f s for a CPU besides",
                             block.totals.delay_ns / 1e9, block.totals.waits, facts->threads,
                             plural(facts->threads), (double)facts->state_ns[HONE_WAIT_NONE] / 1e9,
                             (double)facts->state_ns[HONE_WAIT_RUNNABLE] / 1e9);
    }
    if (block.count)
        comment_on_kinds(profile, &block);
    comment_on_told(profile, recording, &block);
    if (block.totals.unknown_ns > 0)
        hone_profile_comment(
            profile, "%snot covered: %.2f%% of the delay, in waits too short to be seen where",
            block.totals.unknown_ns * UNKNOWN_PARTS > block.totals.delay_ns ? "" : "# ",
            percent(block.totals.unknown_ns, block.totals.delay_ns));
    if (facts->taken)
        comment_on_looks(profile, facts);
    return 0;
}
