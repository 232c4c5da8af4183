// What processes tell of their locks, in bounded tables.
#include "capture/collect_parts.h"

#include "base/array.h"
#include "base/utf8.h"
#include "core/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What is known of a lock that nobody has used yet, as far as was told.
struct hone_lock_known {
    uint32_t process;
    uint32_t made;  // stack plus one
    uint32_t block; // stack plus one
    uint64_t block_offset;
    uint64_t address;
    uint64_t time_ns;
    const char *name;
};

enum { PARENTS_MAX = 16 };

// Records are written while we read: they may be this much ahead of the last look.
#define AHEAD_NS 60000000000u
#define WEIGHT_MAX ((uint64_t)1 << 32)

void hone_locks_init(struct hone_locks *locks)
{
    *locks = (struct hone_locks){.steps_left = HONE_LOCK_STEPS_MAX};
}

void hone_locks_done(struct hone_locks *locks)
{
    for (uint32_t i = 0; i < locks->count; i++) {
        struct hone_collected_lock *lock = &locks->at[i];
        for (int mode = 0; mode < HONE_LOCK_MODES; mode++) {
            hone_lock_times_done(&lock->taken[mode].drawn_waits);
            hone_lock_times_done(&lock->taken[mode].told_waits);
            hone_lock_times_done(&lock->taken[mode].holds);
        }
        hone_lock_times_done(&lock->contended_holds);
    }
    free(locks->at);
    free(locks->holds);
    free(locks->waits);
    free(locks->knowns);
    hone_table_done(&locks->table);
    hone_table_done(&locks->hold_table);
    hone_table_done(&locks->wait_table);
    hone_table_done(&locks->known_table);
    *locks = (struct hone_locks){0};
}

bool hone_lock_kind_is_held(enum hone_lock_kind kind)
{
    return kind == HONE_LOCK_MUTEX || kind == HONE_LOCK_READ || kind == HONE_LOCK_WRITE ||
           kind == HONE_LOCK_SPIN || kind == HONE_LOCK_UNKNOWN;
}

// --- what to believe -----------------------------------------------------------------------------

// The longest that anything can have lasted in that process by now.
static uint64_t longest(const struct hone_collected *collected, const struct hone_live *live)
{
    uint64_t started_ns = collected->processes[live->process].facts.started_ns;
    if (collected->now_ns <= started_ns)
        return AHEAD_NS;
    return collected->now_ns - started_ns + AHEAD_NS;
}

static bool is_possible(struct hone_collected *collected, const struct hone_live *live,
                        uint64_t wait_ns, uint64_t hold_ns, uint64_t weight, uint64_t waiters)
{
    uint64_t most_ns = longest(collected, live);
    uint64_t together;
    if (__builtin_mul_overflow(most_ns, waiters ? waiters : 1, &together))
        together = UINT64_MAX;
    if (wait_ns <= together && hold_ns <= most_ns && weight <= WEIGHT_MAX)
        return true;
    collected->locks.broken++;
    return false;
}

// Plus one; 0: none was given, or it is not known.
static uint32_t stack_of(struct hone_collected *collected, const struct hone_live *live,
                         uint64_t id)
{
    if (!id)
        return 0;
    const struct hone_number *stack =
        id > UINT32_MAX ? NULL : hone_numbers_find(collected->state, &live->stacks, (uint32_t)id);
    collected->locks.stacks_unknown += stack == NULL;
    return stack ? stack->at + 1 : 0;
}

static uint32_t thread_of(const struct hone_collected *collected, const struct hone_live *live,
                          uint32_t index)
{
    const struct hone_number *thread = hone_numbers_find(collected->state, &live->threads, index);
    return thread ? thread->at : UINT32_MAX;
}

// --- what is known of a lock that is not used ----------------------------------------------------

static uint64_t hash_address(const struct hone_collected *collected, uint32_t process,
                             uint64_t address)
{
    return hone_hash_fold(address ^ collected->state->seed,
                          ((uint64_t)process << 32 | 0x1b873593u) ^ 0xe7037ed1a0b428dbu);
}

static struct hone_lock_known *find_known(const struct hone_collected *collected, uint32_t process,
                                          uint64_t address)
{
    const struct hone_locks *locks = &collected->locks;
    struct hone_table_probe probe =
        hone_table_probe(&locks->known_table, hash_address(collected, process, address));
    uint32_t at;
    while ((at = hone_table_next(&locks->known_table, &probe)) != HONE_TABLE_END)
        if (locks->knowns[at].process == process && locks->knowns[at].address == address)
            return &locks->knowns[at];
    return NULL;
}

// Also of a parent, from before the fork.
static const struct hone_lock_known *find_inherited(const struct hone_collected *collected,
                                                    uint32_t process, uint64_t address)
{
    const struct hone_lock_known *known = find_known(collected, process, address);
    for (int turn = 0; !known && turn < PARENTS_MAX; turn++) {
        const struct hone_process_facts *facts = &collected->processes[process].facts;
        uint32_t parent = facts->forked ? hone_collect_by_pid(collected, facts->parent_pid) : 0;
        if (!parent || parent - 1 == process)
            return NULL;
        process = parent - 1;
        known = find_known(collected, process, address);
        if (known && known->time_ns > facts->started_ns)
            return NULL;
    }
    return known;
}

static struct hone_lock_known *make_known(struct hone_collected *collected, uint32_t process,
                                          uint64_t address)
{
    struct hone_locks *locks = &collected->locks;
    struct hone_lock_known *known = find_known(collected, process, address);
    if (known)
        return known;
    if (locks->known_count == HONE_LOCK_KNOWNS_MAX) {
        locks->knowns_refused++;
        return NULL;
    }
    if (!hone_collect_reserve(collected->state, &locks->knowns, &locks->known_room,
                              (uint64_t)locks->known_count + 1, sizeof *locks->knowns))
        return NULL;
    if (hone_table_add(&locks->known_table, hash_address(collected, process, address),
                       locks->known_count)) {
        collected->state->status = -ENOMEM;
        return NULL;
    }
    known = &locks->knowns[locks->known_count++];
    *known = (struct hone_lock_known){.process = process, .address = address};
    return known;
}

// --- locks ---------------------------------------------------------------------------------------

static bool is_used(const struct hone_collected_lock *lock)
{
    return lock->held_records || lock->taken[0].draws || lock->taken[1].draws ||
           lock->taken[0].waits.value > 0 || lock->taken[1].waits.value > 0;
}

// The first one that was there.
static struct hone_collected_lock *find_first(const struct hone_collected *collected,
                                              uint32_t process, uint64_t address)
{
    const struct hone_locks *locks = &collected->locks;
    struct hone_table_probe probe =
        hone_table_probe(&locks->table, hash_address(collected, process, address));
    uint32_t at;
    while ((at = hone_table_next(&locks->table, &probe)) != HONE_TABLE_END)
        if (locks->at[at].process == process && locks->at[at].address == address)
            return &locks->at[at];
    return NULL;
}

uint32_t hone_locks_only(const struct hone_collected *collected, uint32_t process, uint64_t address)
{
    const struct hone_collected_lock *first = find_first(collected, process, address);
    uint32_t number = first ? (uint32_t)(first - collected->locks.at) : 0;
    return first && first->latest == number ? number + 1 : 0;
}

// The one that is there now: the last that was added.
static struct hone_collected_lock *find_lock(const struct hone_collected *collected,
                                             uint32_t process, uint64_t address)
{
    const struct hone_collected_lock *first = find_first(collected, process, address);
    return first ? &collected->locks.at[first->latest] : NULL;
}

static struct hone_collected_lock *add_lock(struct hone_collected *collected,
                                            struct hone_live *live, uint64_t address)
{
    struct hone_locks *locks = &collected->locks;
    if (locks->count == HONE_LOCKS_MAX) {
        locks->no_room++;
        return NULL;
    }
    if (!hone_collect_reserve(collected->state, &locks->at, &locks->room,
                              (uint64_t)locks->count + 1, sizeof *locks->at))
        return NULL;
    struct hone_collected_lock *first = find_first(collected, live->process, address);
    if (first) {
        first->latest = locks->count;
    } else if (hone_table_add(&locks->table, hash_address(collected, live->process, address),
                              locks->count)) {
        collected->state->status = -ENOMEM;
        return NULL;
    }
    struct hone_collected_lock *lock = &locks->at[locks->count++];
    *lock = (struct hone_collected_lock){
        .process = live->process, .address = address, .latest = locks->count - 1};
    hone_collect_data(collected, live, address, &lock->module, &lock->vaddr);
    const struct hone_lock_known *known = find_inherited(collected, live->process, address);
    if (known) {
        lock->made = known->made;
        lock->block = known->block;
        lock->block_offset = known->block_offset;
        lock->name = known->name;
    }
    return lock;
}

static struct hone_collected_lock *lock_of(struct hone_collected *collected, struct hone_live *live,
                                           uint64_t address, enum hone_lock_kind kind)
{
    struct hone_collected_lock *lock = find_lock(collected, live->process, address);
    if (!lock)
        lock = add_lock(collected, live, address);
    if (lock && lock->kind == HONE_LOCK_UNKNOWN)
        lock->kind = kind == HONE_LOCK_WRITE ? HONE_LOCK_READ : kind;
    return lock;
}

// A name that the program gave: each is kept once, cleaned.
static const char *keep_name(struct hone_collected *collected, const char *name)
{
    struct hone_locks *locks = &collected->locks;
    bool failed = false;
    if (!name[0])
        return NULL;
    if (locks->names == HONE_LOCK_NAMES_MAX) {
        locks->knowns_refused++;
        return NULL;
    }
    struct hone_str clean = hone_utf8_clean(
        &collected->arena, (struct hone_str){name, strlen(name)}, HONE_LOCK_NAME_BYTES, &failed);
    const char *kept = failed ? NULL
                              : hone_arena_format(&collected->arena, "%.*s", (int)clean.len,
                                                  clean.len ? clean.at : "");
    if (!kept) {
        collected->state->status = -ENOMEM;
        return NULL;
    }
    locks->names++;
    return kept;
}

// Something else is at that address now, if this is not what was told of it before.
static bool is_another(const struct hone_collected_lock *lock, const struct hone_lock_known *now)
{
    return (now->made && lock->made && now->made != lock->made) ||
           (now->block && lock->block &&
            (now->block != lock->block || now->block_offset != lock->block_offset)) ||
           (now->name && lock->name && strcmp(now->name, lock->name) != 0);
}

static void know(struct hone_collected *collected, struct hone_live *live,
                 const struct hone_lock_known *now)
{
    struct hone_lock_known *known = make_known(collected, live->process, now->address);
    // What made it anew has nothing of what was there before.
    bool anew = known && ((now->made && known->made && now->made != known->made) ||
                          (now->block && known->block && now->block != known->block));
    if (known) {
        if (anew)
            *known = (struct hone_lock_known){.process = live->process, .address = now->address};
        known->made = now->made ? now->made : known->made;
        known->name = now->name ? now->name : known->name;
        known->time_ns = now->time_ns;
        if (now->block) {
            known->block = now->block;
            known->block_offset = now->block_offset;
        }
    }
    struct hone_collected_lock *lock = find_lock(collected, live->process, now->address);
    if (lock && is_another(lock, now)) {
        lock = is_used(lock) ? add_lock(collected, live, now->address) : lock;
        if (!lock)
            return;
        lock->name = NULL;
        lock->made = lock->block = 0;
    }
    if (!lock)
        return;
    lock->made = now->made ? now->made : lock->made;
    lock->name = now->name ? now->name : lock->name;
    if (now->block) {
        lock->block = now->block;
        lock->block_offset = now->block_offset;
    }
}

void hone_collect_on_lock_known(void *context, uint32_t number,
                                const struct hone_record_lock_known *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    if (!live)
        return;
    const struct hone_lock_known now = {
        .address = record->lock,
        // Who gives a name need not be who made it.
        .made = record->name[0] ? 0 : stack_of(collected, live, record->stack),
        .name = keep_name(collected, record->name),
        .time_ns = record->time_ns,
    };
    if (!collected->state->status)
        know(collected, live, &now);
}

// What follows is another lock's, of which nothing is known.
static void forget_block(struct hone_collected *collected, struct hone_live *live, uint64_t address)
{
    struct hone_lock_known *known = find_known(collected, live->process, address);
    struct hone_collected_lock *lock = find_lock(collected, live->process, address);
    if (known)
        *known = (struct hone_lock_known){.process = live->process, .address = address};
    if (lock && lock->block && is_used(lock))
        (void)add_lock(collected, live, address);
    else if (lock)
        lock->block = 0;
}

void hone_collect_on_lock_block(void *context, uint32_t number,
                                const struct hone_record_lock_block *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t row;
    if (!live)
        return;
    struct hone_lock_known now = {
        .address = record->lock,
        .block = stack_of(collected, live, record->stack),
        .block_offset = record->offset,
        .time_ns = record->time_ns,
    };
    if (!now.block && record->block && hone_heap_blocks_find(&live->blocks, record->block, &row))
        now.block = collected->heap.at[row].stack + 1;
    if (now.block)
        know(collected, live, &now);
    else if (!record->stack && !record->block)
        forget_block(collected, live, record->lock);
}

// --- rows ----------------------------------------------------------------------------------------

static struct hone_collected_hold *hold_of(struct hone_collected *collected,
                                           const struct hone_collected_hold *key)
{
    struct hone_locks *locks = &collected->locks;
    uint64_t words[] = {(uint64_t)key->lock << 32 | key->thread,
                        (uint64_t)key->stack << 32 | key->waiter, key->kind};
    uint64_t hash = hone_hash_words(words, 3, collected->state->seed);
    struct hone_table_probe probe = hone_table_probe(&locks->hold_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&locks->hold_table, &probe)) != HONE_TABLE_END) {
        struct hone_collected_hold *hold = &locks->holds[at];
        if (hold->lock == key->lock && hold->thread == key->thread && hold->stack == key->stack &&
            hold->waiter == key->waiter && hold->kind == key->kind)
            return hold;
    }
    if (locks->hold_count == HONE_LOCK_ROWS_MAX) {
        locks->rows_refused++;
        return NULL;
    }
    if (!hone_collect_reserve(collected->state, &locks->holds, &locks->hold_room,
                              (uint64_t)locks->hold_count + 1, sizeof *locks->holds))
        return NULL;
    if (hone_table_add(&locks->hold_table, hash, locks->hold_count)) {
        collected->state->status = -ENOMEM;
        return NULL;
    }
    locks->holds[locks->hold_count] = *key;
    return &locks->holds[locks->hold_count++];
}

static struct hone_collected_lock_wait *wait_of(struct hone_collected *collected,
                                                const struct hone_collected_lock_wait *key)
{
    struct hone_locks *locks = &collected->locks;
    uint64_t words[] = {(uint64_t)key->lock << 32 | key->kind,
                        (uint64_t)key->stack << 32 | key->holder};
    uint64_t hash = hone_hash_words(words, 2, collected->state->seed);
    struct hone_table_probe probe = hone_table_probe(&locks->wait_table, hash);
    uint32_t at;
    while ((at = hone_table_next(&locks->wait_table, &probe)) != HONE_TABLE_END) {
        struct hone_collected_lock_wait *wait = &locks->waits[at];
        if (wait->lock == key->lock && wait->kind == key->kind && wait->stack == key->stack &&
            wait->holder == key->holder)
            return wait;
    }
    if (locks->wait_count == HONE_LOCK_ROWS_MAX) {
        locks->rows_refused++;
        return NULL;
    }
    if (!hone_collect_reserve(collected->state, &locks->waits, &locks->wait_room,
                              (uint64_t)locks->wait_count + 1, sizeof *locks->waits))
        return NULL;
    if (hone_table_add(&locks->wait_table, hash, locks->wait_count)) {
        collected->state->status = -ENOMEM;
        return NULL;
    }
    locks->waits[locks->wait_count] = *key;
    return &locks->waits[locks->wait_count++];
}

static void add_time(struct hone_collected *collected, struct hone_lock_times *times, uint64_t ns,
                     double weight)
{
    int r = hone_lock_times_add(times, ns, weight, &collected->locks.steps_left);
    if (r == -ENOMEM)
        collected->state->status = r;
    else if (r)
        collected->locks.times_refused++;
}

// --- records -------------------------------------------------------------------------------------

// What a lock has of a release; or, where nobody waited, of what it took to go on after an earlier
// one, all of which are told.
static void add_release(struct hone_collected *collected, struct hone_collected_lock *lock,
                        enum hone_lock_mode mode, const struct hone_record_lock_held *record)
{
    double weight = (double)record->weight, delay_ns = (double)record->delay_ns;
    hone_lock_sum_add(&lock->delay_ns[mode], delay_ns, weight);
    if (!record->waiters)
        return;
    lock->held_records++;
    hone_lock_sum_add(&lock->releases[mode], 1, weight);
    if (record->hold_ns) {
        double waiters = record->waiters;
        add_time(collected, &lock->contended_holds, record->hold_ns, weight);
        hone_lock_sum_add(&lock->hold_of_waiters_ns, waiters * (double)record->hold_ns, weight);
        lock->hold_waiters += weight * waiters;
    }
    lock->queues += record->waiters >= 2 ? weight : 0;
    lock->waiters += weight * record->waiters;
    if (record->waiters > lock->waiters_most)
        lock->waiters_most = record->waiters;
}

void hone_collect_on_lock_held(void *context, uint32_t number,
                               const struct hone_record_lock_held *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    enum hone_lock_kind kind = (enum hone_lock_kind)record->kind;
    if (!live || !is_possible(collected, live, record->delay_ns, record->hold_ns, record->weight,
                              record->waiters))
        return;
    struct hone_locks *locks = &collected->locks;
    if (record->waiters) {
        locks->records_held++;
        locks->held_drawn_less += locks->mutex_fraction && record->weight > locks->mutex_fraction;
    }
    struct hone_collected_lock *lock = lock_of(collected, live, record->lock, kind);
    if (!lock)
        return;
    double weight = (double)record->weight, delay_ns = (double)record->delay_ns;
    enum hone_lock_mode mode = hone_lock_mode_of(kind);
    struct hone_collected_hold key = {
        .lock = (uint32_t)(lock - locks->at),
        .thread = thread_of(collected, live, record->record.small),
        .stack = stack_of(collected, live, record->stack),
        .waiter = stack_of(collected, live, record->waiter_stack),
        .kind = kind,
    };
    add_release(collected, lock, mode, record);
    if (!lock->first_waiter)
        lock->first_waiter = key.waiter;
    struct hone_collected_hold *hold = hold_of(collected, &key);
    if (!hold)
        return;
    if (record->waiters)
        hone_lock_sum_add(&hold->releases, 1, weight);
    hone_lock_sum_add(&hold->delay_ns, delay_ns, weight);
}

void hone_collect_lock_wait(struct hone_collected *collected, uint32_t number,
                            const struct hone_record_wait *record)
{
    struct hone_live *live = hone_live_of(collected, number);
    enum hone_lock_kind kind = (enum hone_lock_kind)record->kind;
    if (!live || !hone_lock_kind_is_held(kind) ||
        !is_possible(collected, live, record->delay_ns, 0, record->rate_ns, 1))
        return;
    struct hone_locks *locks = &collected->locks;
    locks->records_wait++;
    locks->wait_drawn_less += locks->block_rate_ns && record->rate_ns > locks->block_rate_ns &&
                              record->rate_ns > record->delay_ns;
    struct hone_collected_lock *lock = lock_of(collected, live, record->lock, kind);
    if (!lock)
        return;
    // It was drawn with the probability delay / rate, if that is below 1.
    uint64_t delay_ns = record->delay_ns ? record->delay_ns : 1;
    double weight = delay_ns < record->rate_ns ? (double)record->rate_ns / (double)delay_ns : 1;
    struct hone_lock_taken *taken = &lock->taken[hone_lock_mode_of(kind)];
    hone_lock_sum_add(&taken->waits, 1, weight);
    hone_lock_sum_add(&taken->waited_ns, (double)delay_ns, weight);
    taken->timed_out += record->timed_out ? weight : 0;
    add_time(collected, &taken->told_waits, delay_ns, weight);
    const struct hone_collected_lock_wait key = {
        .lock = (uint32_t)(lock - locks->at),
        .stack = stack_of(collected, live, record->stack),
        .holder = stack_of(collected, live, record->holder_stack),
        .kind = kind,
    };
    if (!lock->first_waiter)
        lock->first_waiter = key.stack;
    struct hone_collected_lock_wait *wait = wait_of(collected, &key);
    if (!wait)
        return;
    hone_lock_sum_add(&wait->waits, 1, weight);
    hone_lock_sum_add(&wait->waited_ns, (double)delay_ns, weight);
}

void hone_collect_on_lock_use(void *context, uint32_t number,
                              const struct hone_record_lock_use *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    enum hone_lock_kind kind = (enum hone_lock_kind)record->kind;
    if (!live || !hone_lock_kind_is_held(kind) ||
        !is_possible(collected, live, record->wait_ns, record->hold_ns, record->weight, 1))
        return;
    collected->locks.records_use++;
    struct hone_collected_lock *lock = lock_of(collected, live, record->lock, kind);
    if (!lock)
        return;
    double weight = (double)record->weight;
    struct hone_lock_taken *taken = &lock->taken[hone_lock_mode_of(kind)];
    taken->draws++;
    hone_lock_sum_add(&taken->acquired, 1, weight);
    if (record->contended) {
        hone_lock_sum_add(&taken->contended, 1, weight);
        add_time(collected, &taken->drawn_waits, record->wait_ns, weight);
    }
    if (record->hold_ns) {
        hone_lock_sum_add(&taken->held_ns, (double)record->hold_ns, weight);
        add_time(collected, &taken->holds, record->hold_ns, weight);
    }
    uint32_t thread = thread_of(collected, live, record->record.small);
    if (thread == UINT32_MAX)
        return;
    lock->several = lock->several || (lock->thread && lock->thread != thread + 1);
    if (!lock->thread)
        lock->thread = thread + 1;
}
