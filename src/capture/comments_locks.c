// What mutex.prof says of itself: how it was drawn, what is missing, why it is empty.
#include "capture/output.h"

#include "profile/profile.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void hone_recording_locks(const struct hone_recording *recording, struct hone_lock_totals *ret)
{
    const struct hone_collected *collected = recording->collected;
    const struct hone_locks *locks = &collected->locks;
    *ret = (struct hone_lock_totals){0};
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_process_facts *facts = &collected->processes[i].facts;
        ret->contentions += facts->lock_contentions;
        ret->lost += facts->lock_lost;
        ret->untracked += facts->lock_untracked;
        ret->reasons += facts->lock_reason[0] != '\0';
        ret->processes += !collected->processes[i].unsampled;
    }
    for (uint32_t i = 0; i < locks->count; i++)
        for (int mode = 0; mode < HONE_LOCK_MODES; mode++) {
            const struct hone_collected_lock *lock = &locks->at[i];
            ret->releases.value += lock->releases[mode].value;
            ret->releases.variance += lock->releases[mode].variance;
            ret->delay_ns.value += lock->delay_ns[mode].value;
            ret->delay_ns.variance += lock->delay_ns[mode].variance;
        }
    for (uint32_t i = 0; i < locks->hold_count; i++) {
        const struct hone_collected_hold *hold = &locks->holds[i];
        if (!hold->stack || collected->stacks[hold->stack - 1].end != HONE_STACK_COMPLETE)
            ret->truncated_ns += hold->delay_ns.value;
    }
}

// Each reason once, with the first process that has it.
static void comment_on_reasons(struct hone_profile *profile, const struct hone_collected *collected)
{
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const char *reason = collected->processes[i].facts.lock_reason;
        bool told = !reason[0];
        for (uint32_t before = 0; before < i && !told; before++)
            told = strcmp(collected->processes[before].facts.lock_reason, reason) == 0;
        if (!told)
            hone_profile_comment(profile, "not covered: locks of process %" PRIu32 " %s: %s",
                                 collected->processes[i].pid, collected->processes[i].name, reason);
    }
}

static void comment_on_limits(struct hone_profile *profile, const struct hone_locks *locks)
{
    const struct {
        uint64_t count;
        const char *what;
    } limits[] = {
        {locks->broken, "records that cannot be true: the program wrote over them"},
        {locks->no_room, "records of locks, for there were more than there is room for"},
        {locks->rows_refused, "records of holders and waiters, for there were more places than "
                              "there is room for: their locks have them"},
        {locks->times_refused, "times, which are in no median or percentile, for lack of room"},
        {locks->knowns_refused, "names of locks, for there were more than there is room for"},
        {locks->stacks_unknown, "stacks of holders and waiters"},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].count)
            hone_profile_comment(profile, "lost: %" PRIu64 " %s", limits[i].count, limits[i].what);
}

static void comment_on_emptiness(struct hone_profile *profile,
                                 const struct hone_recording *recording,
                                 const struct hone_lock_totals *totals)
{
    if (recording->collected->locks.hold_count)
        return;
    if (recording->outside)
        hone_profile_comment(profile, "empty: " HONE_LOCKS_OUTSIDE "; 'hone record --types wall' "
                                      "tells where threads wait");
    else if (!totals->processes)
        hone_profile_comment(profile,
                             "empty: no process loaded libhone.so; did the program change its "
                             "environment, or is it static?");
    else if (totals->reasons == totals->processes)
        hone_profile_comment(profile, "empty: of no process are the locks seen; why, is above");
    else if (totals->contentions && recording->options->mutex_fraction <= 1)
        hone_profile_comment(profile,
                             "empty: %" PRIu64 " acquisitions had to wait, and no release was seen "
                             "that could be charged for it: another process holds these locks, or "
                             "code that is not seen",
                             totals->contentions);
    else if (totals->contentions)
        hone_profile_comment(profile,
                             "empty: %" PRIu64 " acquisitions had to wait, and of one in %" PRIu64
                             " releases none was drawn: draw more with --mutex-fraction 1",
                             totals->contentions, recording->options->mutex_fraction);
    else
        hone_profile_comment(profile,
                             "empty: nobody waited for a lock of libc's or C++'s; what waits by "
                             "other means, such as futexes of its own, is in --types wall");
}

void hone_recording_comment_locks(const struct hone_recording *recording,
                                  struct hone_profile *profile)
{
    const struct hone_locks *locks = &recording->collected->locks;
    struct hone_lock_totals totals;
    hone_recording_locks(recording, &totals);
    hone_profile_comment(profile,
                         "# mutex: one in %" PRIu64 " releases that others waited for, %" PRIu64
                         " records; they stand for %.0f ± %.0f releases and %.6f ± %.6f s of delay",
                         recording->options->mutex_fraction, locks->records_held,
                         totals.releases.value, sqrt(totals.releases.variance),
                         totals.delay_ns.value / 1e9, sqrt(totals.delay_ns.variance) / 1e9);
    hone_profile_comment(profile,
                         "# mutex: %" PRIu64 " acquisitions had to wait; %" PRIu64
                         " waits recorded, each of %" PRIu64
                         " ns or more and shorter ones with the probability of their part; %" PRIu64
                         " acquisitions drawn from all",
                         totals.contentions, locks->records_wait, recording->options->block_rate_ns,
                         locks->records_use);
    if (locks->held_drawn_less || locks->wait_drawn_less)
        hone_profile_comment(profile,
                             "# mutex: of locks that are wanted all the time fewer are drawn than "
                             "these rates say, about one release and one wait in a millisecond "
                             "and thread, each with more weight: so were %" PRIu64
                             " of the releases recorded and %" PRIu64 " of the waits",
                             locks->held_drawn_less, locks->wait_drawn_less);
    comment_on_reasons(profile, recording->collected);
    comment_on_emptiness(profile, recording, &totals);
    if (totals.delay_ns.value > 0) {
        double complete = 100 * (1 - totals.truncated_ns / totals.delay_ns.value);
        hone_profile_comment(profile, "%smutex stacks: %.2f%% of the delay at complete ones",
                             complete < 99 ? "" : "# ", complete);
    }
    if (totals.lost)
        hone_profile_comment(
            profile, "lost: %" PRIu64 " records of locks, no session memory; raise --memory",
            totals.lost);
    if (totals.untracked)
        hone_profile_comment(
            profile, "not covered: %" PRIu64 " waits whose holder is not known, for lack of room",
            totals.untracked);
    comment_on_limits(profile, locks);
}
