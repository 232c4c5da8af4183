#include "analyse/locks.h"

#include "base/array.h"
#include "base/measure.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// Below these nothing is concluded.
static const double fewest_records = 30; // of releases or waits, for a mean or a share
static const double fewest_drawn = 50;   // acquisitions, for what part of them waits
static const double fewest_convoy = 100; // releases: of a queue that stays
static const double fewest_percentile = 100;
static const double fewest_median = 20;

// And from these on it is worth a word.
static const double contended_share = 0.1;
static const double long_hold_ns = 1e6;    // a thousand times what an uncontended lock costs
static const double short_hold_ns = 100e3; // below it, handing over costs as much as holding
static const double convoy_queue = 0.5;    // of the releases leave another one waiting
static const double convoy_turn = 2;       // a turn takes so many times what the lock is held
static const double reader_delay = 0.5;    // of all delay
static const double slow_write = 4;        // times a read's wait
static const double lonely_readers = 0.1;  // at a time
static const double busy_rate = 1000;      // acquisitions a second
static const double mostly_writes = 0.8;
static const double limits = 1.96; // standard errors: 95 of 100 times

const char *hone_lock_finding_name(enum hone_lock_finding_kind kind)
{
    static const char *const names[HONE_LOCK_FINDING_KINDS] = {
        [HONE_LOCK_CONTENDED] = "contended",
        [HONE_LOCK_HELD_LONG] = "held-long",
        [HONE_LOCK_CONVOY] = "convoy",
        [HONE_LOCK_WRITERS_WAIT] = "writers-wait",
        [HONE_LOCK_READERS_ALONE] = "readers-alone",
        [HONE_LOCK_MOSTLY_WRITES] = "mostly-writes",
        [HONE_LOCK_SHARED_LINE] = "shared-line",
        [HONE_LOCK_CANNOT_TELL] = "cannot-tell",
    };
    return names[kind];
}

static const char *const advice[HONE_LOCK_FINDING_KINDS] = {
    [HONE_LOCK_CONTENDED] = "split what it guards, so that each part has a lock of its own, or "
                            "gather changes per thread and take it once for many",
    [HONE_LOCK_HELD_LONG] = "do what takes long before or after it is held: allocation, input and "
                            "output, copies; 'hone peek' of its holder shows what runs",
    [HONE_LOCK_CONVOY] = "take it once for several items, give each thread a share of its own, or "
                         "let fewer threads compete for it: shorter holds alone do not help",
    [HONE_LOCK_WRITERS_WAIT] = "shorten the reads, or prefer writers "
                               "(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP), or publish a new "
                               "copy that readers take without a lock",
    [HONE_LOCK_READERS_ALONE] = "use a mutex, which costs less to take, or none where the data can "
                                "be copied: nobody gains from reading at the same time",
    [HONE_LOCK_MOSTLY_WRITES] = "use a mutex, which costs less to take: there is hardly a reader "
                                "that could run beside another",
    [HONE_LOCK_SHARED_LINE] =
        "put them on lines of their own, alignas(64), or each beside the data "
        "that it guards",
    [HONE_LOCK_CANNOT_TELL] = "record for longer, or with --mutex-fraction 1 --block-rate 1",
};

struct judge {
    const struct hone_locks_facts *facts;
    struct hone_lock_findings *findings;
    uint32_t lock;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static void
add(struct judge *judge, struct hone_lock_finding finding, const char *format, ...)
{
    struct hone_lock_findings *findings = judge->findings;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *copy = len < 0 ? NULL : hone_arena_format(&findings->arena, "%s", text);
    if (!copy || !hone_array_reserve(&findings->at, &findings->room, (uint64_t)findings->count + 1,
                                     sizeof *findings->at)) {
        judge->failed = true;
        return;
    }
    finding.lock = judge->lock;
    finding.text = hone_str_of(copy);
    bool all = judge->facts->mutex_fraction == 1 && judge->facts->block_rate_ns == 1;
    finding.advice = all && finding.kind == HONE_LOCK_CANNOT_TELL
                         ? HONE_STR("record for longer")
                         : hone_str_of(advice[finding.kind]);
    findings->at[findings->count++] = finding;
}

static struct hone_measure_label time_label(double ns)
{
    return hone_measure_label(ns < 9e18 ? llround(ns) : INT64_MAX, "nanoseconds", "auto");
}

// --- each finding --------------------------------------------------------------------------------

static void judge_share(struct judge *judge, const struct hone_lock_mode_facts *mode,
                        const char *what)
{
    if (!(mode->drawn >= fewest_drawn) || isnan(mode->share))
        return;
    if (mode->low >= contended_share)
        add(judge,
            (struct hone_lock_finding){HONE_LOCK_CONTENDED, .value = mode->share, .low = mode->low,
                                       .high = mode->high, .observations = mode->drawn},
            "contended: %.1f%% of all acquisitions%s wait (%.1f%% to %.1f%%, of %.0f drawn)",
            100 * mode->share, what, 100 * mode->low, 100 * mode->high, mode->drawn);
}

// What a figure is off by because times are counted in steps.
static void set_step_limits(const struct judge *judge, struct hone_lock_finding *finding)
{
    double error = judge->facts->time_error;
    finding->low = finding->value * (1 - error);
    finding->high = finding->value * (1 + error);
}

// Returns whether it is held long.
static bool judge_hold(struct judge *judge, const struct hone_lock_facts *lock)
{
    const struct hone_lock_spread *hold = &lock->contended_hold;
    struct hone_lock_finding finding = {HONE_LOCK_HELD_LONG, .observations = hold->observations};
    if (hold->equal_draws >= fewest_percentile && hold->p99_ns >= long_hold_ns) {
        finding.value = hold->p99_ns;
        set_step_limits(judge, &finding);
        add(judge, finding,
            "held long: of the holds that others waited for, one in 100 lasts %s or more, half of "
            "them %s, the longest %s (%.0f seen)",
            time_label(hold->p99_ns).text, time_label(hold->median_ns).text,
            time_label(hold->max_ns).text, hold->observations);
    } else if (hold->equal_draws >= fewest_median && hold->median_ns >= long_hold_ns) {
        finding.value = hold->median_ns;
        set_step_limits(judge, &finding);
        add(judge, finding,
            "held long: half of the holds that others waited for last %s or more, the longest %s "
            "(%.0f seen)",
            time_label(hold->median_ns).text, time_label(hold->max_ns).text, hold->observations);
    } else {
        return false;
    }
    return true;
}

// A queue that stays, where a turn takes much longer than the lock is held: the time goes into
// handing it over. A turn is known by those who wait, of whom long holds have more, and so it is
// compared with holds as they meet them.
static void judge_convoy(struct judge *judge, const struct hone_lock_facts *lock)
{
    const struct hone_lock_spread *hold = &lock->contended_hold;
    const struct hone_lock_spread *wait = &lock->exclusive.wait;
    double n = lock->release_records, share = lock->queued_share;
    if (!(n >= fewest_convoy) || !(share <= 1) || !(hold->equal_draws >= fewest_percentile) ||
        !(wait->observations >= fewest_records) || !(lock->waiters_mean >= 1))
        return;
    double error = limits * sqrt(share * (1 - share) / n);
    double turn_ns = wait->mean_ns / lock->waiters_mean, hold_ns = lock->hold_of_waiters_ns.value;
    double hold_error = limits * lock->hold_of_waiters_ns.error;
    if (share - error < convoy_queue || !(hold->median_ns <= short_hold_ns) ||
        !(turn_ns >= convoy_turn * (hold_ns + hold_error)))
        return;
    add(judge,
        (struct hone_lock_finding){HONE_LOCK_CONVOY, .value = share, .low = fmax(share - error, 0),
                                   .high = fmin(share + error, 1), .observations = n},
        "convoy: at %.1f%% (±%.1f%%) of these releases two or more wait, %.1f on average, and a "
        "turn takes %s of which it is held %s: the rest is handing it over",
        100 * share, 100 * error, lock->waiters_mean, time_label(turn_ns).text,
        time_label(hold_ns).text);
}

static void judge_writers(struct judge *judge, const struct hone_lock_facts *lock)
{
    const struct hone_lock_spread *write = &lock->exclusive.wait, *read = &lock->shared.wait;
    double all_ns = lock->delay_ns.value, ns = lock->delay_by_readers_ns.value;
    if (!(lock->release_records >= fewest_records) || !(write->observations >= fewest_records) ||
        !(all_ns > 0) || !(ns >= 0))
        return;
    double share = fmin(ns / all_ns, 1);
    double error = limits * lock->delay_by_readers_ns.error / all_ns;
    bool slow = isnan(read->mean_ns) || write->mean_ns >= slow_write * read->mean_ns;
    if (share - error < reader_delay || !slow)
        return;
    add(judge,
        (struct hone_lock_finding){HONE_LOCK_WRITERS_WAIT, .value = share,
                                   .low = fmax(share - error, 0), .high = fmin(share + error, 1),
                                   .observations = lock->release_records},
        "writers wait for readers: these cause %.1f%% of the delay; a write that waits does so "
        "for %s on average, a read %s%s",
        100 * share, time_label(write->mean_ns).text,
        isnan(read->mean_ns) ? "never as far as was seen" : "for ",
        isnan(read->mean_ns) ? "" : time_label(read->mean_ns).text);
}

// What is not known was never seen.
static double sum(double a, double b)
{
    return (isnan(a) ? 0 : a) + (isnan(b) ? 0 : b);
}

// A read-write lock costs more than a mutex; it pays where readers meet.
static void judge_readers(struct judge *judge, const struct hone_lock_facts *lock)
{
    const struct hone_lock_mode_facts *reads = &lock->shared, *writes = &lock->exclusive;
    double all = sum(reads->acquisitions.value, writes->acquisitions.value);
    double rate = all * 1e9 / judge->facts->duration_ns;
    if (!(rate >= busy_rate))
        return;
    double n = sum(reads->drawn, writes->drawn);
    double share = sum(writes->acquisitions.value, 0) / all;
    double error = limits * sqrt(share * (1 - share) / n);
    if (n >= fewest_percentile && share - error >= mostly_writes)
        add(judge,
            (struct hone_lock_finding){HONE_LOCK_MOSTLY_WRITES, .value = share,
                                       .low = share - error, .high = fmin(share + error, 1),
                                       .observations = n},
            "mostly for writing: %.1f%% (±%.1f%%) of %.0f acquisitions a second are, of %.0f drawn",
            100 * share, 100 * error, rate, n);
    double readers = lock->readers.value, apart = limits * lock->readers.error;
    if (reads->hold.equal_draws >= fewest_percentile && readers + apart <= lonely_readers)
        add(judge,
            (struct hone_lock_finding){HONE_LOCK_READERS_ALONE, .value = readers,
                                       .low = fmax(readers - apart, 0), .high = readers + apart,
                                       .observations = reads->hold.observations},
            "readers alone: %.4f (±%.4f) of them hold it at a time, on average, so that they "
            "hardly ever meet, at %.0f acquisitions a second",
            readers, apart, rate);
}

// --- all -----------------------------------------------------------------------------------------

static bool matters(const struct hone_locks_facts *facts, const struct hone_lock_facts *lock)
{
    double least = lock->delay_ns.value - limits * lock->delay_ns.error;
    return least >= HONE_LOCK_MATTERS * facts->duration_ns;
}

// Too few were seen to say even whether it matters, and they weigh much.
static bool may_matter(const struct hone_locks_facts *facts, const struct hone_lock_facts *lock)
{
    return lock->delay_ns.value >= HONE_LOCK_MATTERS * facts->duration_ns;
}

static void cannot_tell(struct judge *judge, const struct hone_lock_facts *lock, double seen,
                        const char *what)
{
    double value = lock->delay_ns.value, apart = limits * lock->delay_ns.error;
    add(judge,
        (struct hone_lock_finding){HONE_LOCK_CANNOT_TELL, .value = value,
                                   .low = fmax(value - apart, 0), .high = value + apart,
                                   .observations = seen},
        "%s: %.0f releases and %.0f waits were recorded, and %.0f acquisitions drawn", what,
        sum(lock->release_records, 0),
        sum(lock->exclusive.wait.observations, lock->shared.wait.observations),
        sum(lock->exclusive.drawn, lock->shared.drawn));
}

static void judge_lock(struct judge *judge, const struct hone_lock_facts *lock)
{
    const struct hone_locks_facts *facts = judge->facts;
    double waits = sum(lock->exclusive.wait.observations, lock->shared.wait.observations);
    double seen = fmax(lock->release_records, waits);
    uint32_t before = judge->findings->count;
    if (matters(facts, lock) && seen >= fewest_records) {
        judge_share(judge, &lock->exclusive, lock->has_shared ? " for writing" : "");
        if (lock->has_shared)
            judge_share(judge, &lock->shared, " for reading");
        if (!judge_hold(judge, lock))
            judge_convoy(judge, lock);
        if (lock->has_shared)
            judge_writers(judge, lock);
        bool known = lock->exclusive.drawn >= fewest_drawn &&
                     lock->contended_hold.equal_draws >= fewest_median;
        if (!known && judge->findings->count == before)
            cannot_tell(judge, lock, seen, "whether it is taken too often or held too long");
    } else if (may_matter(facts, lock)) {
        cannot_tell(judge, lock, seen, "why others wait for it");
    }
    if (lock->has_shared)
        judge_readers(judge, lock);
    if (lock->beside.len)
        add(judge,
            (struct hone_lock_finding){HONE_LOCK_SHARED_LINE, .value = NAN, .low = NAN, .high = NAN,
                                       .observations = lock->exclusive.drawn},
            "shares a line of the cache with %.*s: both are taken, by different threads, and each "
            "time one is the other's line is taken away",
            (int)(lock->beside.len < 200 ? lock->beside.len : 200), lock->beside.at);
}

int hone_lock_findings_new(const struct hone_locks_facts *facts, struct hone_lock_findings *ret,
                           struct hone_error *err)
{
    *ret = (struct hone_lock_findings){0};
    struct judge judge = {.facts = facts, .findings = ret};
    for (judge.lock = 0; judge.lock < facts->lock_count && !judge.failed; judge.lock++)
        judge_lock(&judge, &facts->locks[judge.lock]);
    return judge.failed ? hone_error_set(err, -ENOMEM, "cannot judge the locks") : 0;
}

void hone_lock_findings_done(struct hone_lock_findings *findings)
{
    free(findings->at);
    hone_arena_done(&findings->arena);
    *findings = (struct hone_lock_findings){0};
}
