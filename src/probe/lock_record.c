#include "probe/lock_record.h"

#include "core/clock.h"
#include "core/ticks.h"
#include "probe/lock_work.h"

#include <errno.h>

enum {
    // So many locks' making is written; then one in this time and thread.
    MADE_MAX = 4096,
    MADE_NS = 1000000,
};

static _Atomic uint32_t made;

static void *claim(size_t bytes)
{
    void *record = hone_writer_claim(&hone_probe.writer, bytes);
    if (!record)
        hone_count(&hone_counters()->lock_lost, 1);
    return record;
}

void hone_lock_write_held(const struct hone_lock_held_facts *facts)
{
    struct hone_record_lock_held *record = claim(sizeof *record);
    if (!record)
        return;
    record->record.small = facts->thread;
    record->time_ns = hone_now_ns();
    record->lock = facts->lock;
    record->stack = facts->stack;
    record->waiter_stack = facts->waiter_stack;
    record->delay_ns = hone_lock_ns(facts->delay);
    record->hold_ns = hone_lock_ns(facts->hold);
    record->waiters = facts->waiters;
    record->kind = facts->kind;
    record->weight = facts->weight;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_HELD);
    hone_count(&hone_counters()->lock_held, 1);
}

// All of them are written, if not each: those of releases that are not drawn are summed up.
void hone_lock_write_rest(const struct hone_lock_held_facts *release, uint64_t rest)
{
    struct hone_lock_held_facts facts = *release;
    facts.hold = facts.waiters = 0;
    facts.weight = 1;
    facts.delay = rest;
    hone_lock_write_held(&facts);
}

void hone_lock_write_wait(const struct hone_lock_wait_facts *facts)
{
    struct hone_record_wait *record = facts->stack ? claim(sizeof *record) : NULL;
    if (!record) {
        if (!facts->stack)
            hone_count(&hone_counters()->lock_lost, 1);
        return;
    }
    record->record.small = hone_thread_self()->index;
    record->time_ns = facts->time_ns;
    record->lock = facts->lock;
    record->stack = facts->stack;
    record->delay_ns = facts->delay_ns;
    record->rate_ns = facts->rate_ns;
    record->holder = HONE_LOCK_RELEASED_BY(facts->released);
    record->holder_stack = facts->holder_stack;
    record->kind = facts->kind;
    record->timed_out = facts->timed_out;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_WAIT);
    hone_count(&hone_counters()->lock_waits, 1);
}

static void write_wait_of(const struct hone_lock_held *held, uint32_t holder_stack)
{
    struct hone_lock_wait_facts facts = {
        .lock = held->lock,
        .delay_ns = hone_lock_ns(held->waited),
        .time_ns = held->time_ns,
        .rate_ns = hone_lock_config()->block_rate_ns * held->rate_times,
        .released = held->released,
        .stack = held->stack,
        .kind = held->kind,
        .holder_stack = holder_stack,
    };
    hone_lock_write_wait(&facts);
}

void hone_lock_write_use(const struct hone_lock_held *held, uint64_t now)
{
    struct hone_record_lock_use *record = claim(sizeof *record);
    if (!record)
        return;
    record->record.small = hone_thread_self()->index;
    record->time_ns = hone_now_ns();
    record->lock = held->lock;
    record->stack = held->stack;
    record->wait_ns = hone_lock_ns(held->waited);
    record->hold_ns = hone_lock_ns(now - held->taken);
    record->weight = held->weight;
    record->kind = held->kind;
    record->contended = held->contended;
    hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_USE);
}

void hone_lock_settle(struct hone_lock_held *held)
{
    uint32_t holder_stack = (uint32_t)held->released;
    if (holder_stack == HONE_LOCK_STACK_SOON)
        holder_stack = 0;
    if (held->wait_due)
        write_wait_of(held, holder_stack);
    held->wait_due = false;
    if (held->rest && holder_stack) {
        struct hone_lock_held_facts facts = {
            .lock = held->lock,
            .stack = holder_stack,
            .waiter_stack = held->stack,
            .thread = HONE_LOCK_RELEASED_BY(held->released) - 1,
            .kind = HONE_LOCK_RELEASED_KIND(held->released),
        };
        hone_lock_write_rest(&facts, held->rest);
    }
    held->rest = 0;
}

void hone_lock_write_left(struct hone_lock_entry *entry)
{
    uint64_t lock, released, rest = hone_lock_take_rests(entry, &lock, &released);
    if (!rest)
        return;
    struct hone_lock_held_facts facts = {
        .lock = lock,
        .stack = (uint32_t)released,
        .thread = HONE_LOCK_RELEASED_BY(released) - 1,
        .kind = HONE_LOCK_RELEASED_KIND(released),
    };
    hone_lock_write_rest(&facts, rest);
}

// --- where locks are made ------------------------------------------------------------------------

static bool may_write_made(struct hone_lock_thread *self, uint64_t now)
{
    uint32_t before = atomic_load_explicit(&made, memory_order_relaxed);
    if (before < MADE_MAX) {
        atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
        return true;
    }
    if (hone_lock_about(now) - self->made_at < hone_lock_about(hone_lock_ticks(MADE_NS)))
        return false;
    self->made_at = hone_lock_about(now);
    return true;
}

HONE_HOOK void hone_lock_made(const void *lock, uint32_t kind)
{
    if (!hone_lock_is_recording() || !hone_lock_work_begin())
        return;
    int saved = errno;
    struct hone_lock_thread *self = hone_lock_myself();
    uint32_t stack = may_write_made(self, hone_ticks()) ? hone_lock_stack_here() : 0;
    struct hone_record_lock_known *record =
        stack ? claim(sizeof *record + sizeof record->lock) : NULL;
    if (record) { // zeroed, so that its name is empty
        record->record.small = kind;
        record->time_ns = hone_now_ns();
        record->lock = (uintptr_t)lock;
        record->stack = stack;
        hone_writer_commit(&hone_probe.writer, record, HONE_RECORD_LOCK_KNOWN);
    }
    errno = saved;
    hone_lock_work_end();
}

void hone_lock_records_after_fork(void)
{
    atomic_store_explicit(&made, 0, memory_order_relaxed);
}
