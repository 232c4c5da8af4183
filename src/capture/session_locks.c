// The object "locks" of session.json: how they were recorded and, for those that cost most, what a
// profile has no room for: how often they are taken and waited for, for how long, who holds them.
// Unknown is null; `error` is a standard error, of what chance leaves.
#include "capture/session_json.h"

#include "base/cleanup.h"
#include "capture/lock_groups.h"
#include "capture/lock_kind_names.h"
#include "profile/profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORST = 100, // locks that are listed for their delay
    BUSIEST = 50 // and others for how often they are taken
};
// From so many equal draws on there is a median, and a percentile that one of 100 lies above.
static const double median_draws = 5, percentile_draws = 100;

static json_t *sum_json(const struct hone_lock_sum *sum)
{
    return json_pack("{s:f, s:f}", "value", sum->value, "error", sqrt(sum->variance));
}

static struct hone_lock_sum plus(struct hone_lock_sum a, struct hone_lock_sum b)
{
    return (struct hone_lock_sum){a.value + b.value, a.variance + b.variance};
}

// `of` says which times these are; null: none was drawn.
static json_t *times_json(const struct hone_lock_times *times, const char *of)
{
    if (!times->observations)
        return json_null();
    double effective = hone_lock_times_effective(times);
    return json_pack("{s:s, s:I, s:f, s:f, s:o, s:o, s:I}", "of", of, "observations",
                     (json_int_t)times->observations, "equal_draws", effective, "mean_ns",
                     hone_lock_times_mean(times), "median_ns",
                     effective >= median_draws ? hone_session_number(hone_lock_times_at(times, 0.5))
                                               : json_null(),
                     "p99_ns",
                     effective >= percentile_draws
                         ? hone_session_number(hone_lock_times_at(times, 0.99))
                         : json_null(),
                     "max_ns", (json_int_t)times->most_ns);
}

// Those who waited tell all of their waits; else what was drawn of all acquisitions does.
static json_t *waits_json(const struct hone_lock_taken *taken)
{
    return taken->told_waits.observations ? times_json(&taken->told_waits, "waits")
                                          : times_json(&taken->drawn_waits, "acquisitions");
}

// What of all acquisitions had to wait: the draws tell, and so do the waits as a part of all, which
// is the better known the rarer they are. null: no acquisition was drawn.
static json_t *share_json(const struct hone_lock_taken *taken)
{
    double n = (double)taken->draws, all = taken->acquired.value, waits = taken->waits.value;
    const double z = 1.96; // standard errors: 95 of 100 times
    if (!taken->draws || all <= 0)
        return json_null();
    // Wilson's limits, of draws that weigh alike.
    double drawn = fmin(taken->contended.value / all, 1);
    double middle = (drawn + z * z / (2 * n)) / (1 + z * z / n);
    double width = z / (1 + z * z / n) * sqrt(drawn * (1 - drawn) / n + z * z / (4 * n * n));
    double share = drawn, low = fmax(middle - width, 0), high = fmin(middle + width, 1);
    if (waits > 0) {
        double told = fmin(waits / all, 1);
        double error = told * sqrt(taken->waits.variance / (waits * waits) +
                                   taken->acquired.variance / (all * all));
        // Where the two contradict each other some waits were not told.
        if (2 * z * error < high - low && told + z * error >= low && told - z * error <= high) {
            share = told;
            low = fmax(told - z * error, 0);
            high = fmin(told + z * error, 1);
        }
    }
    return json_pack("{s:f, s:f, s:f}", "share", share, "low", fmin(low, share), "high",
                     fmax(high, share));
}

static json_t *taken_json(const struct hone_lock_taken *taken)
{
    return json_pack("{s:o, s:I, s:o, s:o, s:o, s:f, s:o, s:o}", "acquisitions",
                     taken->draws ? sum_json(&taken->acquired) : json_null(), "drawn",
                     (json_int_t)taken->draws, "contended", share_json(taken), "waits",
                     taken->told_waits.observations ? sum_json(&taken->waits) : json_null(),
                     "waited_ns",
                     taken->told_waits.observations ? sum_json(&taken->waited_ns) : json_null(),
                     "timed_out", taken->timed_out, "wait", waits_json(taken), "hold",
                     times_json(&taken->holds, "acquisitions"));
}

// --- places --------------------------------------------------------------------------------------

struct context {
    const struct hone_recording *recording;
    const struct hone_recording_names *names;
    const struct hone_lock_names *lock_names;
    const struct hone_lock_groups *groups;
};

// null: it is not known.
static json_t *place_json(const struct context *context, const struct hone_lock_place *place)
{
    const struct hone_profile *profile = context->names->mutex;
    if (!place->stack)
        return json_null();
    uint32_t number = context->names->mutex_stacks[place->stack - 1];
    struct hone_str site = hone_lock_site(profile, number);
    return json_pack("{s:o, s:f, s:f, s:o}", "function", json_stringn(site.at, site.len),
                     "delay_ns", place->ns, "share",
                     place->all_ns > 0 ? place->ns / place->all_ns : 0.0, "stack",
                     hone_session_stack(profile, context->names->mutex_stacks, place->stack - 1));
}

// --- locks ---------------------------------------------------------------------------------------

// How many readers hold it at a time, on average: what they hold it for together, in the time of
// their process. null: not known.
static json_t *readers_json(const struct hone_recording *recording,
                            const struct hone_collected_lock *sum)
{
    const struct hone_process_facts *facts = &recording->collected->processes[sum->process].facts;
    uint64_t end_ns = facts->ended_ns ? facts->ended_ns
                                      : recording->started_monotonic_ns + recording->duration_ns;
    const struct hone_lock_taken *reads = &sum->taken[HONE_LOCK_SHARED];
    if (!reads->holds.observations || end_ns <= facts->started_ns)
        return json_null();
    double length_ns = (double)(end_ns - facts->started_ns);
    const struct hone_lock_sum readers = {reads->held_ns.value / length_ns,
                                          reads->held_ns.variance / length_ns / length_ns};
    return sum_json(&readers);
}

// How long a hold lasts that one waits for: long ones have more waiters. null: not known.
static json_t *hold_of_waiters_json(const struct hone_collected_lock *sum)
{
    double waiters = sum->hold_waiters;
    if (!(waiters > 0))
        return json_null();
    const struct hone_lock_sum hold_ns = {sum->hold_of_waiters_ns.value / waiters,
                                          sum->hold_of_waiters_ns.variance / waiters / waiters};
    return sum_json(&hold_ns);
}

static void add_modes(json_t *to, const struct context *context,
                      const struct hone_collected_lock *sum)
{
    const struct hone_lock_taken *alone = &sum->taken[HONE_LOCK_ALONE];
    const struct hone_lock_taken *shared = &sum->taken[HONE_LOCK_SHARED];
    bool split = sum->kind == HONE_LOCK_READ;
    (void)json_object_set_new(to, "exclusive", taken_json(alone));
    (void)json_object_set_new(to, "shared", split ? taken_json(shared) : json_null());
    (void)json_object_set_new(
        to, "delay_by_readers_ns",
        split && sum->held_records ? sum_json(&sum->delay_ns[HONE_LOCK_SHARED]) : json_null());
    (void)json_object_set_new(to, "readers",
                              split ? readers_json(context->recording, sum) : json_null());
}

static json_t *lock_json(const struct context *context, const struct hone_lock_group *group)
{
    const struct hone_collected *collected = context->recording->collected;
    const struct hone_collected_lock *sum = &group->sum;
    const struct hone_collected_process *process = &collected->processes[sum->process];
    const struct hone_lock_name *name = &context->lock_names->at[group->lock];
    const struct hone_lock_group *beside =
        group->beside ? &context->groups->at[group->beside - 1] : NULL;
    struct hone_lock_sum releases = plus(sum->releases[0], sum->releases[1]);
    struct hone_lock_sum delay_ns = plus(sum->delay_ns[0], sum->delay_ns[1]);
    if (!sum->held_records)
        delay_ns = plus(sum->taken[0].waited_ns, sum->taken[1].waited_ns);
    char address[24];
    (void)snprintf(address, sizeof address, "%#" PRIx64, collected->locks.at[group->lock].address);
    json_t *lock = json_pack(
        "{s:o, s:s, s:s, s:i, s:o, s:i, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", //
        "name", hone_session_text(name->text), "named_by", hone_lock_named_name(name->by), "kind",
        hone_lock_kind_name(sum->kind), "pid", (int)process->pid, "process",
        hone_session_text(process->name), "locks", (int)group->count, "address", address,
        "delay_ns", sum_json(&delay_ns), "releases",
        sum->held_records ? sum_json(&releases) : json_null(), "release_records",
        (json_int_t)sum->held_records, "contended_hold",
        times_json(&sum->contended_holds, "releases that others waited for"), "waiters_mean",
        releases.value > 0 ? json_real(sum->waiters / releases.value) : json_null(), "waiters_most",
        sum->held_records ? hone_session_number(sum->waiters_most) : json_null(), "queued_share",
        releases.value > 0 ? json_real(sum->queues / releases.value) : json_null(), "holder",
        place_json(context, &group->holder), "waiter", place_json(context, &group->waiter),
        "same_cache_line_as",
        beside ? hone_session_text(context->lock_names->at[beside->lock].text) : json_null());
    if (lock)
        (void)json_object_set_new(lock, "hold_of_waiters_ns", hold_of_waiters_json(sum));
    if (lock)
        add_modes(lock, context, sum);
    return lock;
}

static double busy(const struct hone_lock_group *group)
{
    return group->sum.taken[0].acquired.value + group->sum.taken[1].acquired.value;
}

static int by_busy(const void *left, const void *right)
{
    const struct hone_lock_group *a = *(const struct hone_lock_group *const *)left;
    const struct hone_lock_group *b = *(const struct hone_lock_group *const *)right;
    if (busy(a) != busy(b))
        return busy(a) > busy(b) ? -1 : 1;
    return a < b ? -1 : a > b;
}

// Those that cost most, then those that are taken most.
static json_t *list_json(const struct context *context)
{
    const struct hone_lock_groups *groups = context->groups;
    HONE_CLEANUP(hone_freep)
    const struct hone_lock_group **rest = calloc((size_t)groups->count + 1, sizeof(void *));
    json_t *list = json_array();
    uint32_t count = 0;
    if (!rest)
        return list;
    for (uint32_t i = 0; i < groups->count; i++) {
        const struct hone_lock_group *group = &groups->at[i];
        if (i < WORST && hone_lock_delay_ns(&group->sum) > 0)
            (void)json_array_append_new(list, lock_json(context, group));
        else
            rest[count++] = group;
    }
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds
    qsort(rest, count, sizeof *rest, by_busy);
    for (uint32_t i = 0; i < count && i < BUSIEST && busy(rest[i]) > 0; i++)
        (void)json_array_append_new(list, lock_json(context, rest[i]));
    return list;
}

// --- all of them ---------------------------------------------------------------------------------

json_t *hone_session_lock_reasons(const struct hone_collected *collected)
{
    json_t *reasons = json_array();
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        if (process->facts.lock_reason[0])
            (void)json_array_append_new(
                reasons, json_pack("{s:i, s:o, s:o}", "pid", (int)process->pid, "process",
                                   hone_session_text(process->name), "reason",
                                   hone_session_text(process->facts.lock_reason)));
    }
    return reasons;
}

static json_t *losses_json(const struct hone_locks *locks, const struct hone_lock_totals *totals)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "records_without_memory",
                     hone_session_number(totals->lost), "waits_without_holder",
                     hone_session_number(totals->untracked), "records_broken",
                     hone_session_number(locks->broken), "records_without_room",
                     hone_session_number(locks->no_room), "records_without_place",
                     hone_session_number(locks->rows_refused), "times_without_room",
                     hone_session_number(locks->times_refused), "names_without_room",
                     hone_session_number(locks->knowns_refused), "stacks_unknown",
                     hone_session_number(locks->stacks_unknown));
}

json_t *hone_session_locks(const struct hone_recording *recording,
                           const struct hone_recording_names *names)
{
    const struct hone_collected *collected = recording->collected;
    const struct hone_locks *locks = &collected->locks;
    if (recording->locks_outside)
        return json_pack("{s:o, s:[{s:s}]}", "file", json_null(), "not_covered", "reason",
                         HONE_LOCKS_OUTSIDE);
    if (!names->mutex || !names->mutex_stacks)
        return json_null();
    HONE_CLEANUP(hone_lock_names_done) struct hone_lock_names lock_names = {0};
    HONE_CLEANUP(hone_lock_groups_done) struct hone_lock_groups groups = {0};
    long line_bytes = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    uint32_t line = line_bytes > 0 && line_bytes <= 1024 ? (uint32_t)line_bytes : 0;
    int r = hone_lock_names_init(&lock_names, collected, names->symbolizer, names->mutex,
                                 names->mutex_stacks);
    if (!r)
        r = hone_lock_groups_init(&groups, locks, &lock_names, line);
    if (r)
        return NULL;
    struct hone_lock_totals totals;
    hone_recording_locks(recording, &totals);
    const struct context context = {recording, names, &lock_names, &groups};
    return json_pack(
        "{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:i, s:o}", //
        "file", "mutex.prof", "mutex_fraction", (json_int_t)recording->options->mutex_fraction,
        "block_rate_ns", (json_int_t)recording->options->block_rate_ns, "contentions",
        hone_session_number(totals.contentions), "release_records",
        hone_session_number(locks->records_held), "wait_records",
        hone_session_number(locks->records_wait), "releases_drawn_less",
        hone_session_number(locks->held_drawn_less), "waits_drawn_less",
        hone_session_number(locks->wait_drawn_less), "acquisitions_drawn",
        hone_session_number(locks->records_use), "releases", sum_json(&totals.releases), "delay_ns",
        sum_json(&totals.delay_ns), "time_error", HONE_LOCK_TIME_ERROR, "losses",
        losses_json(locks, &totals), "not_covered", hone_session_lock_reasons(collected), "count",
        (int)groups.count, "list", list_json(&context));
}
