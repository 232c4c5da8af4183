#include "analyse/lock_facts.h"

#include "analyse/session_command.h"
#include "base/cleanup.h"
#include "base/utf8.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void decrefp(json_t **value)
{
    json_decref(*value);
}

struct reader {
    struct hone_locks_facts *facts;
    bool failed; // memory is out
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

// Of times, parts and counts: what is below zero is not one.
static double positive(const json_t *object, const char *key)
{
    double value = number(object, key);
    return value >= 0 ? value : NAN;
}

static double sum_or_first(double sum, double value)
{
    return isnan(value) ? sum : isnan(sum) ? value : sum + value;
}

// A copy that is fit to be shown.
static struct hone_str clean(struct reader *reader, struct hone_str text)
{
    enum { TEXT_MAX = 4096 };
    return hone_utf8_clean(&reader->facts->arena, text, TEXT_MAX, &reader->failed);
}

static struct hone_str copy_text(struct reader *reader, const json_t *value)
{
    const char *text = json_string_value(value);
    return text ? clean(reader, (struct hone_str){text, json_string_length(value)})
                : (struct hone_str){0};
}

static struct hone_str text(struct reader *reader, const json_t *object, const char *key)
{
    return copy_text(reader, json_object_get(object, key));
}

static struct hone_lock_amount amount(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    struct hone_lock_amount ret = {positive(value, "value"), positive(value, "error")};
    if (isnan(ret.error))
        ret.value = NAN;
    return ret;
}

// Figures that contradict each other are none.
static struct hone_lock_spread spread(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    struct hone_lock_spread ret = {
        .of = text(reader, value, "of"),
        .observations = positive(value, "observations"),
        .equal_draws = positive(value, "equal_draws"),
        .mean_ns = positive(value, "mean_ns"),
        .median_ns = positive(value, "median_ns"),
        .p99_ns = positive(value, "p99_ns"),
        .max_ns = positive(value, "max_ns"),
    };
    if (ret.median_ns > ret.max_ns || ret.p99_ns > ret.max_ns || ret.median_ns > ret.p99_ns)
        ret.median_ns = ret.p99_ns = ret.max_ns = ret.mean_ns = NAN;
    return ret;
}

static struct hone_lock_mode_facts mode(struct reader *reader, const json_t *object,
                                        const char *key)
{
    const json_t *value = json_object_get(object, key);
    const json_t *share = json_object_get(value, "contended");
    struct hone_lock_mode_facts ret = {
        .acquisitions = amount(value, "acquisitions"),
        .waits = amount(value, "waits"),
        .waited_ns = amount(value, "waited_ns"),
        .drawn = positive(value, "drawn"),
        .share = positive(share, "share"),
        .low = positive(share, "low"),
        .high = positive(share, "high"),
        .timed_out = positive(value, "timed_out"),
        .wait = spread(reader, value, "wait"),
        .hold = spread(reader, value, "hold"),
    };
    if (!(ret.low <= ret.share && ret.share <= ret.high && ret.high <= 1))
        ret.share = ret.low = ret.high = NAN;
    return ret;
}

static struct hone_lock_place_facts place(struct reader *reader, const json_t *object,
                                          const char *key)
{
    const json_t *value = json_object_get(object, key), *stack = json_object_get(value, "stack");
    struct hone_lock_place_facts ret = {
        .function = text(reader, value, "function"),
        .delay_ns = positive(value, "delay_ns"),
        .share = positive(value, "share"),
    };
    for (size_t i = 0; i < json_array_size(stack) && i < HONE_LOCK_FACTS_FRAMES; i++)
        ret.stack[ret.frames++] = copy_text(reader, json_array_get(stack, i));
    return ret;
}

static void read_lock(struct reader *reader, const json_t *lock, struct hone_lock_facts *ret)
{
    *ret = (struct hone_lock_facts){
        .name = text(reader, lock, "name"),
        .named_by = text(reader, lock, "named_by"),
        .kind = text(reader, lock, "kind"),
        .process = text(reader, lock, "process"),
        .address = text(reader, lock, "address"),
        .pid = positive(lock, "pid"),
        .locks = positive(lock, "locks"),
        .delay_ns = amount(lock, "delay_ns"),
        .releases = amount(lock, "releases"),
        .release_records = positive(lock, "release_records"),
        .contended_hold = spread(reader, lock, "contended_hold"),
        .hold_of_waiters_ns = amount(lock, "hold_of_waiters_ns"),
        .waiters_mean = positive(lock, "waiters_mean"),
        .waiters_most = positive(lock, "waiters_most"),
        .queued_share = positive(lock, "queued_share"),
        .holder = place(reader, lock, "holder"),
        .waiter = place(reader, lock, "waiter"),
        .beside = text(reader, lock, "same_cache_line_as"),
        .exclusive = mode(reader, lock, "exclusive"),
        .shared = mode(reader, lock, "shared"),
        .has_shared = json_is_object(json_object_get(lock, "shared")),
        .delay_by_readers_ns = amount(lock, "delay_by_readers_ns"),
        .readers = amount(lock, "readers"),
    };
}

static int read_list(struct reader *reader, const json_t *list)
{
    size_t count = json_array_size(list);
    if (count > HONE_LOCK_FACTS_MAX)
        count = HONE_LOCK_FACTS_MAX;
    reader->facts->locks =
        hone_arena_zalloc(&reader->facts->arena, count + 1, sizeof *reader->facts->locks);
    if (!reader->facts->locks)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct hone_lock_facts *lock = &reader->facts->locks[reader->facts->lock_count];
        read_lock(reader, json_array_get(list, i), lock);
        reader->facts->lock_count += lock->name.len != 0;
    }
    return reader->failed ? -ENOMEM : 0;
}

// "server: it is static".
static void add_reason(struct reader *reader, const json_t *value)
{
    struct hone_locks_facts *facts = reader->facts;
    const char *process = json_string_value(json_object_get(value, "process"));
    const char *reason = json_string_value(json_object_get(value, "reason"));
    if (!reason)
        return;
    char line[512];
    (void)snprintf(line, sizeof line, "%s%s%s", process ? process : "", process ? ": " : "",
                   reason);
    struct hone_str added = clean(reader, hone_str_of(line));
    for (uint32_t i = 0; i < facts->not_covered_count; i++)
        if (hone_str_equal(facts->not_covered[i], added))
            return;
    if (facts->not_covered_count < HONE_LOCK_FACTS_NAMES)
        facts->not_covered[facts->not_covered_count++] = added;
    else
        facts->not_covered_more++;
}

static int read_locks(struct reader *reader, const json_t *locks)
{
    struct hone_locks_facts *facts = reader->facts;
    const json_t *losses = json_object_get(locks, "losses");
    const json_t *reasons = json_object_get(locks, "not_covered");
    static const char *const lost[] = {"records_without_memory", "records_broken",
                                       "records_without_room", "records_without_place",
                                       "times_without_room"};
    facts->recorded = json_is_string(json_object_get(locks, "file"));
    facts->mutex_fraction = positive(locks, "mutex_fraction");
    facts->block_rate_ns = positive(locks, "block_rate_ns");
    facts->contentions = positive(locks, "contentions");
    facts->release_records = positive(locks, "release_records");
    facts->wait_records = positive(locks, "wait_records");
    facts->releases_drawn_less = positive(locks, "releases_drawn_less");
    facts->waits_drawn_less = positive(locks, "waits_drawn_less");
    facts->acquisitions_drawn = positive(locks, "acquisitions_drawn");
    facts->delay_ns = amount(locks, "delay_ns");
    facts->time_error = positive(locks, "time_error");
    facts->count = positive(locks, "count");
    facts->untracked = positive(losses, "waits_without_holder");
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        facts->lost = sum_or_first(facts->lost, positive(losses, lost[i]));
    for (size_t i = 0; i < json_array_size(reasons); i++)
        add_reason(reader, json_array_get(reasons, i));
    return read_list(reader, json_object_get(locks, "list"));
}

int hone_locks_facts_read(struct hone_locks_facts *facts, const char *json, size_t len,
                          struct hone_error *err)
{
    *facts = (struct hone_locks_facts){.lost = NAN};
    struct reader reader = {facts, false};
    json_error_t why;
    HONE_CLEANUP(decrefp) json_t *session = json_loadb(json, len, 0, &why);
    if (!session)
        return hone_error_set(err, -EINVAL, "session.json is damaged: line %d: %s", why.line,
                              why.text);
    facts->duration_ns = positive(session, "duration_ns");
    struct hone_str command = hone_session_command(&facts->arena, session);
    reader.failed = !command.at;
    facts->command = clean(&reader, command);
    int r = read_locks(&reader, json_object_get(session, "locks"));
    return r ? hone_error_set(err, r, "cannot read session.json") : 0;
}

void hone_locks_facts_done(struct hone_locks_facts *facts)
{
    hone_arena_done(&facts->arena);
    *facts = (struct hone_locks_facts){0};
}
