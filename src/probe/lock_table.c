#include "probe/lock_table.h"

#include "core/ticks.h"

#include <string.h>

enum {
    CHANGING = 1, // no lock has this address
    TRIES = 8,
    LOOKS = 1000, // at a set that another thread changes, a few dozen microseconds
    // Releases that nobody waited for, one in IDLE_SHARE of which is counted, until they are not
    // looked at. Counting each would take the line away from who waits next.
    IDLE_MAX = 8,
    IDLE_SHARE = 8,
    PART = 2, // times as long as waits are lately: what takes so long to go on gets all of the sum
};

#define WAITER ((uint64_t)1 << 51)
#define REST_MAX ((uint32_t)1 << 28) // a few seconds, and far below
#define TIME_MAX ((uint64_t)1 << 49) // waiters * time stays below

static struct hone_lock_entry table[HONE_LOCK_SETS][HONE_LOCK_WAYS];
// Of each entry the last release whose stack was told, as the entry's `released`.
static _Atomic uint64_t told[HONE_LOCK_SETS * HONE_LOCK_WAYS];
static _Atomic bool changes[HONE_LOCK_SETS]; // one thread makes an entry there
static _Atomic bool used;
_Atomic uint8_t hone_lock_filter[HONE_LOCK_FILTERS];

static struct hone_lock_entry *set_of(uint64_t lock)
{
    return table[hone_lock_hash(lock) % HONE_LOCK_SETS];
}

static uint64_t units(uint64_t ticks)
{
    return ticks >> HONE_LOCK_UNIT_SHIFT;
}

// The lower part may be below zero: then it has borrowed one from the upper.
static uint32_t waiters_of(uint64_t sum)
{
    return (uint32_t)((sum + WAITER / 2) / WAITER);
}

static int64_t waited_at(uint64_t sum, uint64_t since_base)
{
    uint64_t waiters = waiters_of(sum);
    return (int64_t)(sum - waiters * WAITER + waiters * since_base);
}

// --- entries -------------------------------------------------------------------------------------

static struct hone_lock_entry *find(struct hone_lock_entry *set, uint64_t lock)
{
    for (int way = 0; way < HONE_LOCK_WAYS; way++)
        if (atomic_load_explicit(&set[way].lock, memory_order_acquire) == lock)
            return &set[way];
    return NULL;
}

// Makes an entry that nobody waits at another lock's. Who comes to wait meanwhile looks at `lock`
// after it has added itself, and we look at `sum` after we have changed that: one of us sees the
// other, and steps back.
static bool claim(struct hone_lock_entry *entry, uint64_t lock, uint64_t now)
{
    uint64_t before = atomic_load_explicit(&entry->lock, memory_order_relaxed);
    if (before == CHANGING || waiters_of(atomic_load(&entry->sum)) ||
        !atomic_compare_exchange_strong(&entry->lock, &before, CHANGING))
        return false;
    uint64_t sum = atomic_load(&entry->sum);
    if (waiters_of(sum) || !atomic_compare_exchange_strong(&entry->sum, &sum, 0)) {
        atomic_store(&entry->lock, before);
        return false;
    }
    entry->base = now;
    atomic_store_explicit(&told[entry - table[0]], 0, memory_order_relaxed);
    atomic_store_explicit(&entry->charged, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->released, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->owed, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->rest, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->rests, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->typical, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->waiter, 0, memory_order_relaxed);
    // Release: all that before the lock. Pairs with the acquire in find().
    atomic_store_explicit(&entry->lock, lock, memory_order_release);
    return true;
}

static struct hone_lock_entry *claim_one_of(struct hone_lock_entry *set, uint64_t lock,
                                            uint64_t now)
{
    for (int way = 0; way < HONE_LOCK_WAYS; way++)
        if (!atomic_load_explicit(&set[way].lock, memory_order_relaxed) &&
            claim(&set[way], lock, now))
            return &set[way];
    // Which of those that nobody waits at is all the same; not one that is owed something, unless
    // all are.
    for (int pass = 0; pass < 2; pass++)
        for (int way = 0; way < HONE_LOCK_WAYS; way++)
            if ((pass || !atomic_load_explicit(&set[way].owed, memory_order_relaxed)) &&
                claim(&set[way], lock, now))
                return &set[way];
    return NULL;
}

// Two that come to wait at once must not make two entries: the releases would see one of them. The
// other one looks for a while, and is not tracked should the first one have lost its processor.
static struct hone_lock_entry *find_or_claim(uint64_t lock, uint64_t now)
{
    struct hone_lock_entry *set = set_of(lock), *entry;
    _Atomic bool *changing = &changes[hone_lock_hash(lock) % HONE_LOCK_SETS];
    for (int look = 0; look < LOOKS; look++) {
        entry = find(set, lock);
        if (entry)
            return entry;
        if (!look)
            atomic_store_explicit(&used, true, memory_order_relaxed);
        if (!atomic_load_explicit(changing, memory_order_relaxed) &&
            !atomic_exchange_explicit(changing, true, memory_order_acquire)) {
            entry = find(set, lock);
            if (!entry)
                entry = claim_one_of(set, lock, now);
            atomic_store_explicit(changing, false, memory_order_release);
            return entry;
        }
        hone_pause();
    }
    return NULL;
}

// --- who waits -----------------------------------------------------------------------------------

static void raise_filter(uint64_t lock)
{
    _Atomic uint8_t *filter = &hone_lock_filter[hone_lock_hash(lock)];
    // Sequential, as is the addition before it: see lower_filter().
    if (atomic_load(filter) <= IDLE_MAX / 2)
        atomic_store(filter, IDLE_MAX);
}

static bool is_idle(struct hone_lock_entry *entry)
{
    return !waiters_of(atomic_load(&entry->sum)) && !atomic_load(&entry->owed);
}

// Locks with the same filter are in the same set.
static bool is_set_idle(struct hone_lock_entry *set)
{
    for (int way = 0; way < HONE_LOCK_WAYS; way++)
        if (!is_idle(&set[way]))
            return false;
    return true;
}

// Who comes to wait adds itself and then looks at the filter; here it is the other way round.
static void lower_filter(uint64_t lock, uint64_t ticks)
{
    if ((ticks * 0x9e3779b97f4a7c15u >> 32) % IDLE_SHARE)
        return;
    _Atomic uint8_t *filter = &hone_lock_filter[hone_lock_hash(lock)];
    uint8_t left = atomic_load_explicit(filter, memory_order_relaxed);
    if (left > 1) {
        atomic_store_explicit(filter, left - 1, memory_order_relaxed);
        return;
    }
    atomic_store(filter, 0);
    if (!is_set_idle(set_of(lock)))
        raise_filter(lock);
}

bool hone_lock_nobody_waits(struct hone_lock_entry *entry, uint64_t lock, uint64_t ticks)
{
    if (!entry || atomic_load_explicit(&entry->lock, memory_order_relaxed) != lock ||
        waiters_of(atomic_load_explicit(&entry->sum, memory_order_relaxed)) ||
        atomic_load_explicit(&entry->owed, memory_order_relaxed))
        return false;
    lower_filter(lock, ticks);
    return true;
}

void hone_lock_enter(uint64_t lock, uint64_t ticks, struct hone_lock_place *ret)
{
    uint64_t now = units(ticks);
    *ret = (struct hone_lock_place){.began = ticks};
    struct hone_lock_entry *entry = find_or_claim(lock, now);
    if (!entry)
        return;
    uint64_t since = now - entry->base;
    if ((int64_t)since < 0) // began before another thread made the entry
        since = 0;
    uint64_t added = WAITER - since, before = atomic_fetch_add(&entry->sum, added);
    uint64_t waiters = waiters_of(before);
    if (atomic_load(&entry->lock) != lock || waiters >= HONE_LOCK_WAITERS_MAX ||
        (waiters + 1) * since > TIME_MAX) {
        atomic_fetch_sub(&entry->sum, added);
        return;
    }
    raise_filter(lock);
    ret->entry = entry;
}

void hone_lock_show(struct hone_lock_place *place, uint32_t stack)
{
    place->stack = stack;
    uint32_t nobody = 0;
    if (place->entry && stack)
        (void)atomic_compare_exchange_strong_explicit(&place->entry->waiter, &nobody, stack,
                                                      memory_order_relaxed, memory_order_relaxed);
}

uint64_t hone_lock_typical(const struct hone_lock_place *place)
{
    return place->entry
               ? (uint64_t)atomic_load_explicit(&place->entry->typical, memory_order_relaxed)
                     << HONE_LOCK_UNIT_SHIFT
               : 0;
}

static void learn(struct hone_lock_entry *entry, uint64_t waited)
{
    uint64_t typical = atomic_load_explicit(&entry->typical, memory_order_relaxed);
    uint64_t next = typical ? (typical * 7 + waited) / 8 : waited;
    next = next ? next : 1;
    if (next != typical)
        atomic_store_explicit(&entry->typical, next < UINT32_MAX ? (uint32_t)next : UINT32_MAX,
                              memory_order_relaxed);
}

// What does not fit is the next release's.
static void add_rest(struct hone_lock_entry *entry, _Atomic uint32_t *to, uint64_t rest)
{
    if (rest < REST_MAX && atomic_load_explicit(to, memory_order_relaxed) < REST_MAX)
        atomic_fetch_add(to, (uint32_t)rest);
    else
        atomic_fetch_add(&entry->owed, rest);
}

void hone_lock_pass_on(struct hone_lock_entry *entry, uint64_t ticks)
{
    add_rest(entry, &entry->rests, units(ticks));
}

// A part of the sum, as large as this one is beside waits, so that places get their shares: a few
// percent, that the sum is much the same for all.
uint64_t hone_lock_collect(struct hone_lock_entry *entry, uint64_t ticks)
{
    uint32_t sum = atomic_load_explicit(&entry->rests, memory_order_relaxed);
    uint64_t whole = atomic_load_explicit(&entry->typical, memory_order_relaxed) * PART;
    uint64_t rest = units(ticks);
    if (rest >> 32) // more than a minute: 2^32 of each is as much as fits
        return 0;
    uint32_t part = rest < whole ? (uint32_t)(sum * rest / whole) : sum;
    if (!part || !atomic_compare_exchange_strong(&entry->rests, &sum, sum - part))
        return 0;
    return (uint64_t)part << HONE_LOCK_UNIT_SHIFT;
}

void hone_lock_told(const struct hone_lock_entry *entry, uint64_t lock, uint64_t released,
                    uint32_t stack)
{
    if (atomic_load(&entry->lock) == lock)
        atomic_store_explicit(&told[entry - table[0]], (released & ~(uint64_t)UINT32_MAX) | stack,
                              memory_order_relaxed);
}

uint64_t hone_lock_take_rests(struct hone_lock_entry *entry, uint64_t *ret_lock,
                              uint64_t *ret_released)
{
    *ret_lock = atomic_load(&entry->lock);
    *ret_released = atomic_load_explicit(&told[entry - table[0]], memory_order_relaxed);
    if (*ret_lock <= CHANGING || !(uint32_t)*ret_released)
        return 0;
    uint64_t rest = atomic_exchange(&entry->rest, 0);
    return (rest + atomic_exchange(&entry->rests, 0)) << HONE_LOCK_UNIT_SHIFT;
}

struct hone_lock_entry *hone_lock_next_rests(struct hone_lock_entry *after)
{
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        return NULL;
    struct hone_lock_entry *end = table[HONE_LOCK_SETS - 1] + HONE_LOCK_WAYS;
    for (struct hone_lock_entry *at = after ? after + 1 : table[0]; at < end; at++)
        if (atomic_load_explicit(&at->rest, memory_order_relaxed) ||
            atomic_load_explicit(&at->rests, memory_order_relaxed))
            return at;
    return NULL;
}

void hone_lock_leave(const struct hone_lock_place *place, uint64_t ticks,
                     enum hone_lock_outcome outcome, struct hone_lock_left *ret)
{
    struct hone_lock_entry *entry = place->entry;
    *ret = (struct hone_lock_left){0};
    if (!entry)
        return;
    uint64_t now = units(ticks), began = units(place->began), base = entry->base;
    began = (int64_t)(began - base) < 0 ? base : began;
    now = (int64_t)(now - began) < 0 ? began : now;
    // Whoever released the lock to us has charged its release before, so that we see it: unless we
    // came while it did, or it is charged by the tick, and this one was not. Who is charged
    // meanwhile changes `sum` after `charged`, so that we look at both again.
    uint64_t charged, rest, added, owed = 0, sum = atomic_load(&entry->sum);
    bool seen;
    do {
        charged = atomic_load(&entry->charged);
        seen = (int64_t)(charged - began) >= 0 && charged;
        uint64_t since = seen ? charged : began;
        rest = (int64_t)(now - since) > 0 ? now - since : 0;
        added = now - base - rest - WAITER;
        if (outcome == HONE_LOCK_TIMED_OUT) {
            atomic_fetch_add(&entry->owed, rest - owed);
            owed = rest;
        }
    } while (!atomic_compare_exchange_weak(&entry->sum, &sum, sum + added));
    sum += added;
    if (charged && outcome != HONE_LOCK_INHERITED) {
        ret->released = atomic_load_explicit(&entry->released, memory_order_relaxed);
        ret->rest = rest << HONE_LOCK_UNIT_SHIFT;
        ret->age = seen ? 0 : (began - charged) << HONE_LOCK_UNIT_SHIFT;
    }
    if (outcome == HONE_LOCK_TIMED_OUT) {
        ret->rest = 0;
    } else if (outcome == HONE_LOCK_LATE && !seen && !(ret->released & HONE_LOCK_IN_A_ROW)) {
        *ret = (struct hone_lock_left){.owed = rest << HONE_LOCK_UNIT_SHIFT};
    } else if (hone_lock_is_had(outcome) && (uint32_t)ret->released == HONE_LOCK_STACK_SOON) {
        ret->rest = 0;
        add_rest(entry, &entry->rest, rest);
    }
    // Nobody is left: what is there now is a charge that has begun and not been made, for we came
    // in between; or, below zero, an error of when two came at once.
    if (HONE_UNLIKELY(!waiters_of(sum) && sum) &&
        atomic_compare_exchange_strong(&entry->sum, &sum, 0) && (int64_t)sum > 0)
        atomic_fetch_add(&entry->owed, sum);
    if (place->stack) {
        uint32_t mine = place->stack;
        (void)atomic_compare_exchange_strong_explicit(&entry->waiter, &mine, 0,
                                                      memory_order_relaxed, memory_order_relaxed);
    }
    if (outcome != HONE_LOCK_UNDONE)
        learn(entry, now - began);
}

// --- who releases --------------------------------------------------------------------------------

// Who is late and was overtaken by a later release is charged with what that one left.
static uint64_t charge_waits(struct hone_lock_entry *entry, uint64_t now, uint32_t *ret_waiters)
{
    uint64_t since = now - entry->base;
    uint64_t sum = atomic_load(&entry->sum), charged = atomic_load(&entry->charged);
    *ret_waiters = waiters_of(sum);
    if (charged && (int64_t)(charged - now) > 0)
        return 0;
    for (int i = 0; i < TRIES; i++) {
        int64_t waited = waited_at(sum, since);
        *ret_waiters = waiters_of(sum);
        if (waited <= 0 || (int64_t)since < 0 || !*ret_waiters)
            return 0;
        // First: who leaves meanwhile finds `sum` changed and looks at this again. And never back:
        // a later release may have come in between.
        while (charged != now && !atomic_compare_exchange_weak(&entry->charged, &charged, now))
            if (charged && (int64_t)(charged - now) > 0)
                return 0;
        charged = now;
        if (atomic_compare_exchange_strong(&entry->sum, &sum, sum - (uint64_t)waited))
            return (uint64_t)waited;
    }
    return 0; // the next release is charged with it
}

void hone_lock_release(const struct hone_lock_done *done, struct hone_lock_charge *ret)
{
    *ret = (struct hone_lock_charge){0};
    struct hone_lock_entry *entry = done->known;
    if (!entry || atomic_load_explicit(&entry->lock, memory_order_relaxed) != done->lock)
        entry = find(set_of(done->lock), done->lock);
    ret->found = entry;
    if (!entry || is_idle(entry)) {
        lower_filter(done->lock, done->ticks);
        return;
    }
    uint64_t released = (uint64_t)done->kind << 60 | (done->in_a_row ? HONE_LOCK_IN_A_ROW : 0) |
                        (done->summed ? HONE_LOCK_SUMMED : 0) |
                        (uint64_t)((done->thread + 1) & HONE_LOCK_THREADS) << 32 |
                        (done->drawn ? HONE_LOCK_STACK_SOON : 0);
    // Before the charge: who sees that sees this.
    atomic_store_explicit(&entry->released, released, memory_order_relaxed);
    ret->waiter_stack = atomic_load_explicit(&entry->waiter, memory_order_relaxed);
    uint64_t owed = atomic_load(&entry->owed) ? atomic_exchange(&entry->owed, 0) : 0;
    uint64_t now = units(done->ticks), delay = charge_waits(entry, now, &ret->waiters);
    // What was waited before the lock was taken is somebody's who is late, if there is one.
    uint64_t most = done->taken ? ret->waiters * (now - units(done->taken)) : delay;
    if (delay > most) {
        atomic_fetch_add(&entry->owed, delay - most);
        delay = most;
    }
    delay += owed;
    if (owed && !ret->waiters) // how many they were is not known any more
        ret->waiters = 1;
    ret->entry = entry;
    ret->delay = delay << HONE_LOCK_UNIT_SHIFT;
    ret->released = released;
}

void hone_lock_owe(struct hone_lock_entry *entry, uint64_t lock, uint64_t ticks)
{
    if (atomic_load(&entry->lock) == lock)
        atomic_fetch_add(&entry->owed, ticks >> HONE_LOCK_UNIT_SHIFT);
}

void hone_lock_tell(struct hone_lock_charge *charge, uint32_t stack)
{
    struct hone_lock_entry *entry = charge->entry;
    uint64_t soon = charge->released;
    (void)atomic_compare_exchange_strong(&entry->released, &soon,
                                         (soon & ~(uint64_t)UINT32_MAX) | stack);
    if (atomic_load_explicit(&entry->rest, memory_order_relaxed)) {
        charge->rest = (uint64_t)atomic_exchange(&entry->rest, 0) << HONE_LOCK_UNIT_SHIFT;
        if (charge->released & HONE_LOCK_SUMMED)
            charge->rests = hone_lock_collect(entry, charge->rest);
    }
}

void hone_lock_keep_quiet(struct hone_lock_charge *charge)
{
    uint64_t soon = charge->released;
    charge->released &= ~(uint64_t)UINT32_MAX;
    (void)atomic_compare_exchange_strong(&charge->entry->released, &soon, charge->released);
}

void hone_lock_not_released(const struct hone_lock_charge *charge)
{
    atomic_fetch_add(&charge->entry->owed, charge->delay >> HONE_LOCK_UNIT_SHIFT);
}

uint32_t hone_lock_released_stack(uint64_t lock, uint64_t released)
{
    uint32_t stack = (uint32_t)released;
    if (stack != HONE_LOCK_STACK_SOON)
        return stack;
    const struct hone_lock_entry *entry = find(set_of(lock), lock);
    uint64_t now = entry ? atomic_load_explicit(&entry->released, memory_order_relaxed) : 0;
    stack = (uint32_t)now;
    return now >> 32 == released >> 32 && stack != HONE_LOCK_STACK_SOON ? stack : 0;
}

void hone_lock_table_after_fork(void)
{
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        return;
    memset((void *)table, 0, sizeof table);
    memset((void *)told, 0, sizeof told);
    memset((void *)changes, 0, sizeof changes);
    memset((void *)hone_lock_filter, 0, sizeof hone_lock_filter);
}
