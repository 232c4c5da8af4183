// What is found of locks, from session.json texts that are made by hand: each finding where its
// figures are there, and none where they are not, or where too little was seen.
#include "analyse/locks.h"

#include "base/base.h"
#include "base/starve.h"

#include "check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

// A lock as session.json has it; of the figures that are not set, none is known.
struct made {
    const char *kind;
    double delay_ns, delay_error;
    int releases; // recorded
    double share, low, high;
    int drawn;
    double acquisitions;
    double waits_ns, waits; // mean, observations
    double holds_ns, holds_p99_ns, holds_max_ns, holds;
    double waiters, queued;
    double waiters_hold_ns, waiters_hold_error; // 0: as all holds
    double by_readers_ns;
    int reads_drawn;
    double reads, reads_wait_ns, readers;
    const char *beside;
};

static void put_times(struct hone_buffer *out, const char *key, double ns, double p99_ns,
                      double max_ns, double count)
{
    if (!(count > 0))
        hone_buffer_format(out, "\"%s\": null", key);
    else
        hone_buffer_format(out,
                           "\"%s\": {\"of\": \"waits\", \"observations\": %.0f, \"equal_draws\": "
                           "%.0f, \"mean_ns\": %f, \"median_ns\": %.0f, \"p99_ns\": %.0f, "
                           "\"max_ns\": %.0f}",
                           key, count, count, ns, ns, p99_ns, max_ns);
}

static void put_amount(struct hone_buffer *out, const char *key, double value, double error)
{
    hone_buffer_format(out, "\"%s\": {\"value\": %f, \"error\": %f}", key, value, error);
}

static void put_lock(struct hone_buffer *out, const struct made *lock)
{
    hone_buffer_format(out, "{\"name\": \"pool\", \"kind\": \"%s\", \"locks\": 1, ",
                       lock->kind ? lock->kind : "mutex");
    put_amount(out, "delay_ns", lock->delay_ns, lock->delay_error);
    hone_buffer_format(out, ", \"release_records\": %d, \"waiters_mean\": %f, \"queued_share\": %f",
                       lock->releases, lock->waiters, lock->queued);
    hone_buffer_text(out, ", ");
    put_times(out, "contended_hold", lock->holds_ns, lock->holds_p99_ns, lock->holds_max_ns,
              lock->holds);
    hone_buffer_text(out, ", ");
    put_amount(out, "hold_of_waiters_ns",
               lock->waiters_hold_ns > 0 ? lock->waiters_hold_ns : lock->holds_ns,
               lock->waiters_hold_error);
    hone_buffer_format(out, ", \"exclusive\": {\"drawn\": %d, ", lock->drawn);
    if (lock->acquisitions > 0)
        put_amount(out, "acquisitions", lock->acquisitions, lock->acquisitions / 100);
    else
        hone_buffer_text(out, "\"acquisitions\": null");
    hone_buffer_format(out, ", \"contended\": {\"share\": %f, \"low\": %f, \"high\": %f}, ",
                       lock->share, lock->low, lock->high);
    put_times(out, "wait", lock->waits_ns, lock->waits_ns * 10, lock->waits_ns * 20, lock->waits);
    hone_buffer_text(out, "}");
    if (lock->kind && strcmp(lock->kind, "rwlock") == 0) {
        hone_buffer_format(out, ", \"shared\": {\"drawn\": %d, ", lock->reads_drawn);
        put_amount(out, "acquisitions", lock->reads, lock->reads / 100);
        hone_buffer_text(out, ", ");
        put_times(out, "wait", lock->reads_wait_ns, lock->reads_wait_ns, lock->reads_wait_ns,
                  lock->reads_wait_ns > 0 ? 100 : 0);
        hone_buffer_text(out, ", ");
        put_times(out, "hold", 100, 100, 100, lock->reads_drawn);
        hone_buffer_text(out, "}, ");
        put_amount(out, "delay_by_readers_ns", lock->by_readers_ns, lock->by_readers_ns / 100);
        hone_buffer_text(out, ", ");
        put_amount(out, "readers", lock->readers, lock->readers / 10);
    }
    if (lock->beside)
        hone_buffer_format(out, ", \"same_cache_line_as\": \"%s\"", lock->beside);
    hone_buffer_text(out, "}");
}

// Of ten seconds.
static struct hone_buffer session_of(const struct made *locks, size_t count)
{
    struct hone_buffer out = {0};
    hone_buffer_text(&out, "{\"duration_ns\": 10000000000, \"command\": [\"./server\"], "
                           "\"locks\": {\"file\": \"mutex.prof\", \"time_error\": 0.03125, "
                           "\"count\": 3, \"list\": [");
    for (size_t i = 0; i < count; i++) {
        hone_buffer_text(&out, i ? ", " : "");
        put_lock(&out, &locks[i]);
    }
    hone_buffer_text(&out, "]}}");
    return out;
}

struct judged {
    struct hone_locks_facts facts;
    struct hone_lock_findings findings;
};

static void judge(const struct made *lock, struct judged *ret)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = session_of(lock, 1);
    CHECK_EQ(hone_locks_facts_read(&ret->facts, text.at, text.len, NULL), 0);
    CHECK_EQ(ret->facts.lock_count, 1);
    CHECK_EQ(hone_lock_findings_new(&ret->facts, &ret->findings, NULL), 0);
}

static void judged_done(struct judged *judged)
{
    hone_lock_findings_done(&judged->findings);
    hone_locks_facts_done(&judged->facts);
}

// The kinds that were found, as bits.
static unsigned found(const struct made *lock)
{
    HONE_CLEANUP(judged_done) struct judged judged = {0};
    judge(lock, &judged);
    unsigned kinds = 0;
    for (uint32_t i = 0; i < judged.findings.count; i++) {
        kinds |= 1u << judged.findings.at[i].kind;
        CHECK(judged.findings.at[i].text.len > 10);
        CHECK(judged.findings.at[i].advice.len > 10);
    }
    return kinds;
}

#define ONLY(kind) (1u << (kind))

// Two seconds of ten were waited for, in short waits for short holds.
static const struct made sound = {
    .delay_ns = 2e9,
    .delay_error = 1e6,
    .releases = 1000,
    .share = 0.02,
    .low = 0.01,
    .high = 0.03,
    .drawn = 1000,
    .acquisitions = 1e6,
    .waits_ns = 20000,
    .waits = 1000,
    .holds_ns = 15000,
    .holds_p99_ns = 90000,
    .holds_max_ns = 200000,
    .holds = 1000,
    .waiters = 1.1,
    .queued = 0.1,
};

TEST(sound_lock_has_no_finding)
{
    CHECK_EQ(found(&sound), 0);
    struct made idle = {.share = 0.9, .low = 0.8, .high = 0.95, .drawn = 1000};
    CHECK_EQ(found(&idle), 0); // whatever it is, nobody loses anything
}

TEST(many_waits_are_found_when_even_the_lower_limit_is_many)
{
    struct made lock = sound;
    lock.share = 0.3;
    lock.low = 0.28;
    lock.high = 0.32;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CONTENDED));
    HONE_CLEANUP(judged_done) struct judged judged = {0};
    judge(&lock, &judged);
    CHECK_STR(judged.findings.at[0].text.at,
              "contended: 30.0% of all acquisitions wait (28.0% to 32.0%, of 1000 drawn)");
    CHECK_NEAR(judged.findings.at[0].low, 0.28, 1e-6);
    lock.low = 0.05;
    CHECK_EQ(found(&lock), 0);
    lock.low = 0.28;
    lock.drawn = 10; // so few tell nothing
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CANNOT_TELL));
}

TEST(long_holds_are_found_by_their_percentile_or_median)
{
    struct made lock = sound;
    lock.holds_p99_ns = 5e6;
    lock.holds_max_ns = 9e6;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_HELD_LONG));
    lock.holds = 50; // no percentile of so few
    CHECK_EQ(found(&lock), 0);
    lock.holds_ns = 2e6;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_HELD_LONG));
    lock.holds = 10;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CANNOT_TELL));
}

TEST(convoy_is_a_queue_that_stays_although_holds_are_short)
{
    struct made lock = sound;
    lock.queued = 0.9;
    lock.waiters = 4;
    lock.holds_ns = 2000;
    lock.waits_ns = 80000; // a turn takes ten times a hold
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CONVOY));
    lock.waits_ns = 9000; // the holders take it all
    CHECK_EQ(found(&lock), 0);
    lock.waits_ns = 80000;
    lock.waiters_hold_ns = 15000; // one of ten that all wait for
    CHECK_EQ(found(&lock), 0);
    lock.waiters_hold_ns = 6000;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CONVOY));
    lock.waiters_hold_error = 4000; // it may be twice as long
    CHECK_EQ(found(&lock), 0);
    lock.waiters_hold_ns = lock.waiters_hold_error = 0;
    lock.holds_p99_ns = lock.holds_max_ns = 5e6; // whatever else, some hold it long
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_HELD_LONG));
    lock.holds_p99_ns = lock.holds_max_ns = 90000;
    lock.queued = 0.51; // within chance of half
    CHECK_EQ(found(&lock), 0);
    lock.queued = 0.9;
    lock.releases = 60;
    CHECK_EQ(found(&lock), 0);
    lock.releases = 1000;
    lock.holds_ns = 500e3; // not short
    lock.holds_p99_ns = lock.holds_max_ns = 900e3;
    lock.waits_ns = 80e6;
    CHECK_EQ(found(&lock), 0);
}

TEST(writers_that_wait_for_readers_are_found)
{
    struct made lock = sound;
    lock.kind = "rwlock";
    lock.by_readers_ns = 1.8e9;
    lock.reads = 1e6;
    lock.reads_drawn = 1000;
    lock.readers = 2;
    lock.reads_wait_ns = 1000;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_WRITERS_WAIT));
    lock.reads_wait_ns = 0; // none was seen to wait
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_WRITERS_WAIT));
    lock.by_readers_ns = 0.5e9;
    CHECK_EQ(found(&lock), 0);
    lock.by_readers_ns = 1.8e9;
    lock.reads_wait_ns = 30000; // readers wait as long
    CHECK_EQ(found(&lock), 0);
}

TEST(read_write_lock_that_gains_nothing_is_found)
{
    struct made lock = sound;
    lock.kind = "rwlock";
    lock.reads = 1e6;
    lock.reads_drawn = 1000;
    lock.readers = 0.01;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_READERS_ALONE));
    struct made read_only = {.kind = "rwlock", .reads = 1e6, .reads_drawn = 1000, .readers = 0.01};
    CHECK_EQ(found(&read_only), ONLY(HONE_LOCK_READERS_ALONE)); // nobody was seen to write
    lock.readers = 3;
    CHECK_EQ(found(&lock), 0);
    lock.reads = 1e4;
    lock.reads_drawn = 10;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_MOSTLY_WRITES));
    lock.acquisitions = 5e3; // so rarely that it does not matter
    lock.reads = 50;
    CHECK_EQ(found(&lock), 0);
}

TEST(neighbours_on_a_line_are_told)
{
    struct made lock = sound;
    lock.beside = "other";
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_SHARED_LINE));
}

TEST(too_few_observations_are_no_judgement)
{
    struct made lock = sound;
    lock.share = lock.low = 0.5;
    lock.high = 0.6;
    lock.releases = 20;
    lock.waits = 20;
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CANNOT_TELL));
    lock = sound;
    lock.delay_error = 1.5e9; // it may be nothing
    CHECK_EQ(found(&lock), ONLY(HONE_LOCK_CANNOT_TELL));
}

TEST(figures_that_contradict_each_other_are_not_believed)
{
    struct made lock = sound;
    lock.share = 0.3;
    lock.low = 0.5;
    lock.high = 0.2;
    lock.holds_p99_ns = 9e9;
    HONE_CLEANUP(judged_done) struct judged judged = {0};
    judge(&lock, &judged);
    CHECK(isnan(judged.facts.locks[0].exclusive.share));
    CHECK(isnan(judged.facts.locks[0].contended_hold.p99_ns));
}

TEST(any_text_is_read_or_refused)
{
    static const struct {
        const char *text;
        int r;
    } rows[] = {
        {"", -EINVAL},
        {"{", -EINVAL},
        {"[]", 0},
        {"{\"locks\": 5}", 0},
        {"{\"locks\": null}", 0},
        {"{\"locks\": {\"list\": [1, null, {}, {\"name\": 7}, {\"name\": \"\"}]}}", 0},
        {"{\"locks\": {\"file\": \"x\", \"list\": [{\"name\": \"a\", \"delay_ns\": -1, "
         "\"exclusive\": [], \"holder\": {\"stack\": [1, {}, \"f\"], \"function\": []}}]}}",
         0},
        {"{\"locks\": {\"not_covered\": [{\"reason\": \"a\\u001b[31mb\"}, 7, {\"process\": 1}]}}",
         0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        HONE_CLEANUP(judged_done) struct judged judged = {0};
        struct hone_error err = {0};
        CHECK_EQ(hone_locks_facts_read(&judged.facts, rows[i].text, strlen(rows[i].text), &err),
                 rows[i].r);
        if (rows[i].r)
            continue;
        CHECK_EQ(hone_lock_findings_new(&judged.facts, &judged.findings, &err), 0);
        for (uint32_t reason = 0; reason < judged.facts.not_covered_count; reason++)
            CHECK(!memchr(judged.facts.not_covered[reason].at, '\033',
                          judged.facts.not_covered[reason].len));
    }
}

static int work(const struct hone_buffer *text)
{
    HONE_CLEANUP(judged_done) struct judged judged = {0};
    int r = hone_locks_facts_read(&judged.facts, text->at, text->len, NULL);
    return r ? r : hone_lock_findings_new(&judged.facts, &judged.findings, NULL);
}

TEST(running_out_of_memory_anywhere_is_said)
{
    struct made lock = sound;
    lock.share = lock.low = lock.high = 0.5;
    lock.beside = "other";
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer text = session_of(&lock, 1);
    for (long after = 0;; after++) {
        long blocks = hone_starve_blocks;
        hone_starve_after = after;
        int r = work(&text);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        CHECK_EQ(hone_starve_blocks, blocks);
        if (!starved)
            break;
    }
}
