// What becomes of records of locks: sums that are right on average, tables that stay bounded
// whatever is told, names that are of the lock that is there.
#include "capture/collect.h"

#include "base/base.h"
#include "base/starve.h"
#include "capture/lock_groups.h"
#include "capture/lock_kind_names.h"
#include "capture/output.h"
#include "profile/profile.h"

#include "check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct hone_reader_events *const events = &hone_collect_events;

#define MUTEX_AT 0x50000u
#define OTHER_AT 0x7f0000001000u

static void add_stack(struct hone_collected *collected, uint32_t id, uint64_t leaf)
{
    alignas(8) char bytes[sizeof(struct hone_record_stack) + 8] = {0};
    struct hone_record_stack *stack = (struct hone_record_stack *)bytes;
    stack->record.small = id;
    stack->count = 1;
    stack->addresses[0] = leaf;
    events->stack(collected, 0, stack);
}

static void add_module(struct hone_collected *collected, uint32_t index, uint64_t base,
                       const char *path)
{
    alignas(8) char bytes[sizeof(struct hone_record_module) + 64] = {0};
    struct hone_record_module *module = (struct hone_record_module *)bytes;
    module->record.small = index;
    module->start = base;
    module->end = module->start + 0x10000;
    module->text_start = module->start + 0x1000;
    module->text_end = module->start + 0x9000;
    module->bias = module->start;
    (void)snprintf(module->path, 64, "%s", path);
    events->module(collected, 0, module);
}

// A process with a thread and three stacks: 1 holds, 2 and 3 wait.
static int begin(struct hone_collected *collected)
{
    int r = hone_collect_init(collected);
    if (r)
        return r;
    const struct hone_process_facts facts = {.pid = 100, .started_ns = 1000};
    events->process(collected, 0, &facts);
    collected->now_ns = 10000000000;
    for (uint32_t i = 0; i < 2; i++) {
        const struct hone_record_thread thread = {.record.small = i, .tid = UINT32_MAX - i};
        events->thread(collected, 0, &thread);
    }
    add_module(collected, 0, 0, "/bin/code");
    for (uint32_t id = 1; id <= 3; id++)
        add_stack(collected, id, 0x1000 * id);
    return collected->state ? hone_collect_status(collected) : -ENOMEM;
}

static void held_in(struct hone_collected *collected, uint64_t lock, uint64_t delay_ns,
                    uint64_t weight, uint32_t waiters, enum hone_lock_kind kind)
{
    const struct hone_record_lock_held held = {.time_ns = 2000,
                                               .lock = lock,
                                               .stack = 1,
                                               .waiter_stack = 2,
                                               .delay_ns = delay_ns,
                                               .hold_ns = 700,
                                               .waiters = waiters,
                                               .kind = kind,
                                               .weight = weight};
    events->lock_held(collected, 0, &held);
}

static void held(struct hone_collected *collected, uint64_t lock, uint64_t delay_ns,
                 uint64_t weight)
{
    held_in(collected, lock, delay_ns, weight, 1, HONE_LOCK_MUTEX);
}

static void waited(struct hone_collected *collected, uint64_t lock, uint64_t delay_ns,
                   uint64_t rate_ns, enum hone_lock_kind kind)
{
    const struct hone_record_wait wait = {.time_ns = 2000,
                                          .lock = lock,
                                          .stack = 3,
                                          .delay_ns = delay_ns,
                                          .rate_ns = rate_ns,
                                          .holder_stack = 1,
                                          .kind = kind};
    events->wait(collected, 0, &wait);
}

static void used(struct hone_collected *collected, uint64_t lock, uint32_t thread, uint64_t wait_ns,
                 uint64_t weight)
{
    const struct hone_record_lock_use use = {.record.small = thread,
                                             .time_ns = 2000,
                                             .lock = lock,
                                             .wait_ns = wait_ns,
                                             .hold_ns = 100,
                                             .weight = weight,
                                             .kind = HONE_LOCK_MUTEX,
                                             .contended = wait_ns != 0};
    events->lock_use(collected, 0, &use);
}

static void known(struct hone_collected *collected, uint64_t lock, uint32_t stack, const char *name)
{
    alignas(8) char bytes[sizeof(struct hone_record_lock_known) + 256] = {0};
    struct hone_record_lock_known *record = (struct hone_record_lock_known *)bytes;
    record->record.small = HONE_LOCK_MUTEX;
    record->lock = lock;
    record->stack = stack;
    (void)snprintf(record->name, 256, "%s", name);
    events->lock_known(collected, 0, record);
}

static uint64_t place_of(const struct hone_collected *collected, uint32_t stack_plus_one)
{
    const struct hone_collected_stack *stack = &collected->stacks[stack_plus_one - 1];
    return collected->places[collected->frames[stack->first]].address;
}

// Whether a comment of mutex.prof has that text.
static bool says(const struct hone_recording *recording, const char *text)
{
    struct hone_profile *profile = hone_profile_new();
    bool found = false;
    if (!profile)
        return false;
    hone_recording_comment_locks(recording, profile);
    for (uint32_t i = 0; i < profile->comment_count && !found; i++)
        found = strstr(hone_profile_text(profile, profile->comments[i]), text);
    hone_profile_free(profile);
    return found;
}

TEST(releases_count_by_their_weight_at_their_lock_and_at_their_stack)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held(&collected, MUTEX_AT, 1000, 10);
    held(&collected, MUTEX_AT, 500, 10);
    held(&collected, OTHER_AT, 70, 1);
    CHECK_EQ(collected.locks.count, 2);
    CHECK_EQ(collected.locks.hold_count, 2);
    const struct hone_collected_hold *hold = &collected.locks.holds[0];
    CHECK_EQ(hold->releases.value, 20);
    CHECK_EQ(hold->delay_ns.value, 15000);
    CHECK_EQ(hold->delay_ns.variance, 90 * (1000 * 1000 + 500 * 500));
    CHECK_EQ(place_of(&collected, hold->stack), 0x1000);
    CHECK_EQ(place_of(&collected, hold->waiter), 0x2000);
    const struct hone_collected_lock *lock = &collected.locks.at[1];
    CHECK_EQ(lock->delay_ns[HONE_LOCK_ALONE].value, 70);
    CHECK_EQ(lock->delay_ns[HONE_LOCK_ALONE].variance, 0); // all were recorded
    CHECK_EQ(lock->contended_holds.most_ns, 700);
    CHECK_EQ(lock->kind, HONE_LOCK_MUTEX);
    hone_collect_done(&collected);
}

TEST(what_it_takes_to_go_on_after_a_release_is_delay_and_no_release)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held_in(&collected, MUTEX_AT, 1000, 10, 3, HONE_LOCK_MUTEX);
    held_in(&collected, MUTEX_AT, 50, 1, 0, HONE_LOCK_MUTEX); // all of them are told
    const struct hone_collected_lock *lock = &collected.locks.at[0];
    CHECK_EQ(lock->held_records, 1);
    CHECK_EQ(lock->releases[0].value, 10);
    CHECK_EQ(lock->waiters, 30);
    CHECK_EQ(lock->delay_ns[0].value, 10050);
    CHECK_NEAR(lock->delay_ns[0].variance, 90.0 * 1000 * 1000, 1);
    CHECK_EQ(collected.locks.holds[0].releases.value, 10);
    CHECK_EQ(collected.locks.holds[0].delay_ns.value, 10050);
    hone_collect_done(&collected);
}

TEST(what_was_drawn_less_than_asked_for_is_counted_and_told)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    const struct hone_capture_options options = {.mutex_fraction = 10, .block_rate_ns = 1000};
    const struct hone_recording recording = {.options = &options, .collected = &collected};
    collected.locks.mutex_fraction = options.mutex_fraction;
    collected.locks.block_rate_ns = options.block_rate_ns;
    held(&collected, MUTEX_AT, 100, 10);
    held_in(&collected, MUTEX_AT, 5, 1, 0, HONE_LOCK_MUTEX);
    waited(&collected, MUTEX_AT, 100, 1000, HONE_LOCK_MUTEX);
    CHECK(!says(&recording, "wanted all the time"));
    held(&collected, MUTEX_AT, 100, 20);
    held(&collected, MUTEX_AT, 100, 640);
    held_in(&collected, MUTEX_AT, 5, 640, 0, HONE_LOCK_MUTEX); // no release of its own
    waited(&collected, MUTEX_AT, 100, 2000, HONE_LOCK_MUTEX);
    waited(&collected, MUTEX_AT, 3000, 2000, HONE_LOCK_MUTEX); // as it would be anyway
    CHECK(says(&recording, "# mutex: of locks that are wanted all the time fewer are drawn"));
    CHECK(says(&recording, "2 of the releases recorded and 1 of the waits"));
    hone_collect_done(&collected);
}

TEST(waits_that_nobody_can_be_charged_for_are_no_matter_of_the_rate)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    struct hone_capture_options options = {.mutex_fraction = 10, .block_rate_ns = 1};
    const struct hone_recording recording = {.options = &options, .collected = &collected};
    collected.processes[0].facts.lock_contentions = 4;
    CHECK(says(&recording, "empty: 4 acquisitions had to wait, and of one in 10 releases none"));
    options.mutex_fraction = 1;
    CHECK(says(&recording, "empty: 4 acquisitions had to wait, and no release was seen that"));
    CHECK(!says(&recording, "--mutex-fraction"));
    hone_collect_done(&collected);
}

TEST(both_ways_to_take_a_read_write_lock_are_one_lock)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held_in(&collected, MUTEX_AT, 1000, 1, 2, HONE_LOCK_READ);
    held_in(&collected, MUTEX_AT, 300, 1, 5, HONE_LOCK_WRITE);
    waited(&collected, MUTEX_AT, 900, 1, HONE_LOCK_WRITE);
    CHECK_EQ(collected.locks.count, 1);
    const struct hone_collected_lock *lock = &collected.locks.at[0];
    CHECK_EQ(lock->kind, HONE_LOCK_READ);
    CHECK_EQ(lock->delay_ns[HONE_LOCK_SHARED].value, 1000);
    CHECK_EQ(lock->delay_ns[HONE_LOCK_ALONE].value, 300);
    CHECK_EQ(lock->taken[HONE_LOCK_ALONE].waited_ns.value, 900);
    CHECK_EQ(lock->waiters_most, 5);
    CHECK_EQ(lock->queues, 2);
    CHECK_EQ(lock->hold_waiters, 7);
    CHECK_EQ(lock->hold_of_waiters_ns.value, 7 * 700);
    CHECK_EQ(collected.locks.hold_count, 2);
    CHECK_STR(hone_lock_kind_name(lock->kind), "rwlock");
    hone_collect_done(&collected);
}

TEST(what_nobody_holds_is_no_lock)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    waited(&collected, MUTEX_AT, 900, 1, HONE_LOCK_CONDITION);
    waited(&collected, MUTEX_AT, 900, 1, HONE_LOCK_JOIN);
    waited(&collected, MUTEX_AT, 900, 1, HONE_LOCK_SEMAPHORE);
    waited(&collected, MUTEX_AT, 900, 1, HONE_LOCK_BARRIER);
    CHECK_EQ(collected.locks.count, 0);
    hone_collect_done(&collected);
}

// --- without bias --------------------------------------------------------------------------------

static uint64_t random_of(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static double uniform(uint64_t *state)
{
    return (double)(random_of(state) >> 11) / 9007199254740992.0;
}

// Draws as the guest does, of waits from 100 ns to 1 ms, and checks over many seeds that sums are
// right on average, within what their number of trials leaves, and that errors are what they say.
TEST(sums_are_right_on_average_and_their_errors_are_true)
{
    enum { SEEDS = 300, WAITS = 400, RATE = 10000, FRACTION = 7 };
    double drawn_sum = 0, drawn_square = 0, waits_sum = 0, held_sum = 0, truth = 0;
    double variance = 0, held_variance = 0, held_square = 0;
    uint64_t state = 88172645463325252u;
    uint64_t delays[WAITS];
    for (int i = 0; i < WAITS; i++) {
        delays[i] = (uint64_t)(100 * pow(10, 4 * uniform(&state)));
        truth += (double)delays[i];
    }
    for (int seed = 0; seed < SEEDS; seed++) {
        struct hone_collected collected;
        CHECK_EQ(begin(&collected), 0);
        held(&collected, MUTEX_AT, 0, 1); // the lock is there, whatever is drawn
        for (int i = 0; i < WAITS; i++) {
            if (uniform(&state) * RATE < (double)delays[i])
                waited(&collected, MUTEX_AT, delays[i], RATE, HONE_LOCK_MUTEX);
            if (random_of(&state) % FRACTION == 0)
                held(&collected, MUTEX_AT, delays[i], FRACTION);
        }
        const struct hone_collected_lock *lock = &collected.locks.at[0];
        const struct hone_lock_taken *taken = &lock->taken[HONE_LOCK_ALONE];
        const struct hone_lock_sum *delay = &lock->delay_ns[HONE_LOCK_ALONE];
        drawn_sum += taken->waited_ns.value;
        drawn_square += pow(taken->waited_ns.value - truth, 2);
        variance += taken->waited_ns.variance;
        waits_sum += taken->waits.value;
        held_sum += delay->value;
        held_square += pow(delay->value - truth, 2);
        held_variance += delay->variance;
        hone_collect_done(&collected);
    }
    double waited_error = sqrt(variance / SEEDS / SEEDS), held_error = sqrt(held_variance) / SEEDS;
    CHECK_NEAR(drawn_sum / SEEDS, truth, 4 * waited_error);
    CHECK_NEAR(held_sum / SEEDS, truth, 4 * held_error);
    CHECK_NEAR(waits_sum / SEEDS, WAITS, WAITS * 0.03);
    // What they are off by is what their errors say, within a tenth of a variance's own chance.
    CHECK_NEAR(drawn_square / variance, 1, 0.4);
    CHECK_NEAR(held_square / held_variance, 1, 0.4);
}

// --- times ---------------------------------------------------------------------------------------

TEST(percentiles_are_within_their_error_and_the_largest_is_exact)
{
    uint64_t state = 88172645463325252u, left = HONE_LOCK_STEPS_MAX;
    struct hone_lock_times times = {0};
    enum { COUNT = 20001 };
    static uint64_t all[COUNT];
    for (int i = 0; i < COUNT; i++) {
        all[i] = (uint64_t)i * (uint64_t)i + 1; // sorted
        CHECK_EQ(hone_lock_times_add(&times, all[i], 1, &left), 0);
    }
    for (int percent = 1; percent < 100; percent++) {
        double part = percent / 100.0;
        double truth = (double)all[(int)ceil(part * COUNT) - 1];
        CHECK_NEAR(hone_lock_times_at(&times, part), truth, truth * HONE_LOCK_TIME_ERROR + 1);
    }
    CHECK_EQ(times.most_ns, all[COUNT - 1]);
    CHECK_EQ(hone_lock_times_at(&times, 1), all[COUNT - 1]);
    CHECK_NEAR(hone_lock_times_effective(&times), COUNT, 1e-6);
    // Weights count as so many.
    struct hone_lock_times weighted = {0};
    CHECK_EQ(hone_lock_times_add(&weighted, 10, 99, &left), 0);
    CHECK_EQ(hone_lock_times_add(&weighted, 1000000, 1, &left), 0);
    CHECK_EQ(hone_lock_times_at(&weighted, 0.98), 10);
    CHECK(hone_lock_times_effective(&weighted) < 1.1);
    CHECK_EQ(hone_lock_times_merge(&weighted, &times), 0);
    CHECK_EQ(weighted.observations, COUNT + 2);
    CHECK_EQ(hone_lock_times_add(&weighted, UINT64_MAX, 1, &left), 0);
    CHECK_EQ(hone_lock_times_at(&weighted, 1), UINT64_MAX);
    hone_lock_times_done(&times);
    hone_lock_times_done(&weighted);
    (void)random_of(&state);
}

// --- hostile records -----------------------------------------------------------------------------

TEST(what_cannot_be_true_is_counted_and_left_out)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held(&collected, MUTEX_AT, UINT64_MAX, 1);
    held(&collected, MUTEX_AT, 100, UINT64_MAX);
    waited(&collected, MUTEX_AT, UINT64_MAX / 2, 1, HONE_LOCK_MUTEX);
    waited(&collected, MUTEX_AT, 5, UINT64_MAX, HONE_LOCK_MUTEX);
    used(&collected, MUTEX_AT, 0, UINT64_MAX, 1);
    CHECK_EQ(collected.locks.broken, 5);
    CHECK_EQ(collected.locks.count, 0);
    // A wait of nothing has some weight.
    waited(&collected, MUTEX_AT, 0, 1000, HONE_LOCK_MUTEX);
    CHECK_EQ(collected.locks.at[0].taken[0].waits.value, 1000);
    // A process or thread that is not there, stacks that nobody told.
    const struct hone_record_lock_held lost = {.record.small = 77,
                                               .lock = MUTEX_AT,
                                               .stack = UINT64_MAX,
                                               .delay_ns = 1,
                                               .waiters = 1,
                                               .weight = 1};
    events->lock_held(&collected, 5, &lost);
    events->lock_held(&collected, 0, &lost);
    CHECK_EQ(collected.locks.records_held, 1);
    CHECK_EQ(collected.locks.stacks_unknown, 1);
    CHECK_EQ(collected.locks.holds[0].stack, 0);
    CHECK_EQ(collected.locks.holds[0].thread, UINT32_MAX);
    hone_collect_done(&collected);
}

TEST(tables_stay_within_their_limits_and_count_what_that_costs)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < HONE_LOCKS_MAX + 1000; i++) {
        held(&collected, MUTEX_AT + i * 64ull, random_of(&state) % 1000000000, 1);
        used(&collected, MUTEX_AT + i * 64ull, 0, random_of(&state) % 1000000000, 1);
    }
    CHECK_EQ(collected.locks.count, HONE_LOCKS_MAX);
    CHECK_EQ(collected.locks.no_room, 2000);
    for (uint32_t i = 0; i < HONE_LOCK_KNOWNS_MAX + 100; i++)
        known(&collected, 0x100000000 + i * 64ull, 1, "");
    CHECK_EQ(collected.locks.known_count, HONE_LOCK_KNOWNS_MAX);
    CHECK_EQ(collected.locks.knowns_refused, 100);
    // Times of one lock, from one end to the other: the steps of all are counted.
    for (uint32_t lock = 0; lock < 30000 && !collected.locks.times_refused; lock++)
        for (unsigned shift = 0; shift < 33; shift++)
            used(&collected, MUTEX_AT + lock * 64ull, 0, (uint64_t)1 << shift, 1);
    CHECK(collected.locks.times_refused > 0);
    CHECK(collected.locks.steps_left < 1024);
    CHECK_EQ(hone_collect_status(&collected), 0);
    hone_collect_done(&collected);
}

TEST(rows_beyond_their_limit_are_their_locks)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    for (uint32_t id = 10; id < 10 + 800; id++)
        add_stack(&collected, id, 0x100000 + id);
    for (uint32_t a = 10; a < 10 + 800 && !collected.locks.rows_refused; a++)
        for (uint32_t b = 10; b < 10 + 800; b++) {
            const struct hone_record_lock_held record = {
                .lock = MUTEX_AT, .stack = a, .waiter_stack = b, .delay_ns = 1, .weight = 1};
            events->lock_held(&collected, 0, &record);
        }
    CHECK_EQ(collected.locks.hold_count, HONE_LOCK_ROWS_MAX);
    CHECK(collected.locks.rows_refused > 0);
    CHECK_EQ(collected.locks.at[0].delay_ns[0].value,
             HONE_LOCK_ROWS_MAX + collected.locks.rows_refused);
    hone_collect_done(&collected);
}

// --- what a lock is called -----------------------------------------------------------------------

TEST(name_that_is_given_late_is_the_lock_s_and_another_one_makes_another_lock)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held(&collected, MUTEX_AT, 5, 1);
    known(&collected, MUTEX_AT, 0, "pool\n");
    CHECK_STR(collected.locks.at[0].name, "pool␊");
    known(&collected, MUTEX_AT, 0, "pool\n");
    CHECK_EQ(collected.locks.count, 1);
    known(&collected, MUTEX_AT, 0, "cache");
    held(&collected, MUTEX_AT, 7, 1);
    CHECK_EQ(collected.locks.count, 2);
    CHECK_STR(collected.locks.at[1].name, "cache");
    CHECK_EQ(collected.locks.at[0].delay_ns[0].value, 5);
    CHECK_EQ(collected.locks.at[1].delay_ns[0].value, 7);
    hone_collect_done(&collected);
}

// A server that names the lock of each connection, where one comes to lie after the other.
TEST(many_locks_at_one_address_are_found_as_fast_as_one)
{
    struct hone_collected collected;
    char name[32];
    CHECK_EQ(begin(&collected), 0);
    for (uint32_t i = 0; i < HONE_LOCKS_MAX; i++) {
        (void)snprintf(name, sizeof name, "connection %u", i);
        known(&collected, MUTEX_AT, 0, name);
        held(&collected, MUTEX_AT, i, 1);
    }
    CHECK_EQ(collected.locks.count, HONE_LOCKS_MAX);
    for (uint32_t i = 0; i < 4000000; i++)
        held(&collected, MUTEX_AT, 1, 1);
    CHECK_EQ(collected.locks.at[HONE_LOCKS_MAX - 1].delay_ns[0].value,
             HONE_LOCKS_MAX - 1 + 4000000);
    CHECK_EQ(collected.locks.at[7].delay_ns[0].value, 7);
    hone_collect_done(&collected);
}

TEST(what_is_made_where_another_was_is_another_lock)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    known(&collected, MUTEX_AT, 1, "");
    known(&collected, MUTEX_AT, 0, "first");
    held(&collected, MUTEX_AT, 5, 1);
    CHECK_STR(collected.locks.at[0].name, "first");
    CHECK_EQ(place_of(&collected, collected.locks.at[0].made), 0x1000);
    known(&collected, MUTEX_AT, 1, ""); // made anew by the same: of the same kind
    held(&collected, MUTEX_AT, 5, 1);
    CHECK_EQ(collected.locks.count, 1);
    known(&collected, MUTEX_AT, 2, "");
    held(&collected, MUTEX_AT, 9, 1);
    CHECK_EQ(collected.locks.count, 2);
    CHECK(collected.locks.at[1].name == NULL);
    CHECK_EQ(place_of(&collected, collected.locks.at[1].made), 0x2000);
    CHECK_EQ(collected.locks.at[1].delay_ns[0].value, 9);
    hone_collect_done(&collected);
}

TEST(forked_child_has_its_parent_s_names)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    known(&collected, MUTEX_AT, 0, "inherited");
    struct hone_process_facts facts = {
        .pid = 101, .parent_pid = 100, .forked = true, .started_ns = 5000};
    events->process(&collected, 1, &facts);
    facts = (struct hone_process_facts){
        .pid = 102, .parent_pid = 100, .forked = false, .started_ns = 5000};
    events->process(&collected, 2, &facts);
    const struct hone_record_lock_held record = {.lock = MUTEX_AT, .delay_ns = 1, .weight = 1};
    events->lock_held(&collected, 1, &record);
    events->lock_held(&collected, 2, &record);
    CHECK_STR(collected.locks.at[0].name, "inherited");
    CHECK(collected.locks.at[1].name == NULL); // another program
    hone_collect_done(&collected);
}

TEST(lock_in_a_block_has_the_stack_that_allocated_it)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    const struct hone_record_heap_alloc sampled = {
        .stack = 2, .size = 100, .rate = 1000, .block = 7};
    events->heap_alloc(&collected, 0, &sampled);
    const struct hone_record_lock_block counted = {.lock = MUTEX_AT, .stack = 3, .offset = 0x40};
    const struct hone_record_lock_block by_block = {.lock = OTHER_AT, .block = 7, .offset = 8};
    const struct hone_record_lock_block unknown = {.lock = 0x9000, .block = 8, .offset = 8};
    events->lock_block(&collected, 0, &counted);
    events->lock_block(&collected, 0, &by_block);
    events->lock_block(&collected, 0, &unknown);
    held(&collected, MUTEX_AT, 5, 1);
    held(&collected, OTHER_AT, 5, 1);
    held(&collected, 0x9000, 5, 1);
    CHECK_EQ(place_of(&collected, collected.locks.at[0].block), 0x3000);
    CHECK_EQ(collected.locks.at[0].block_offset, 0x40);
    CHECK_EQ(place_of(&collected, collected.locks.at[1].block), 0x2000);
    CHECK_EQ(collected.locks.at[2].block, 0);
    // The block is gone, and what uses the address then is another lock.
    const struct hone_record_lock_block gone = {.lock = MUTEX_AT};
    events->lock_block(&collected, 0, &gone);
    held(&collected, MUTEX_AT, 9, 1);
    CHECK_EQ(collected.locks.count, 4);
    CHECK_EQ(collected.locks.at[3].block, 0);
    CHECK_EQ(collected.locks.at[3].delay_ns[0].value, 9);
    hone_collect_done(&collected);
}

TEST(lock_in_a_file_s_data_has_its_place_there_and_one_in_code_has_none)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    add_module(&collected, 1, 0x550000000000, "/bin/program");
    held(&collected, 0x550000000000 + 0xa040, 5, 1);
    held(&collected, 0x550000000000 + 0x2000, 5, 1);
    held(&collected, 0x550000000000 + 0x20000, 5, 1);
    CHECK_EQ(collected.locks.at[0].module, 2);
    CHECK_EQ(collected.locks.at[0].vaddr, 0xa040);
    CHECK_EQ(collected.locks.at[1].module, HONE_NO_MODULE);
    CHECK_EQ(collected.locks.at[2].module, HONE_NO_MODULE);
    hone_collect_done(&collected);
}

// --- groups --------------------------------------------------------------------------------------

TEST(locks_of_one_name_are_a_group_and_the_worst_comes_first)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    held(&collected, 0x1000, 100, 1);
    held(&collected, 0x2000, 300, 1);
    held(&collected, 0x3000, 250, 1);
    held_in(&collected, 0x4000, 50, 1, 1, HONE_LOCK_SPIN);
    waited(&collected, 0x2000, 300, 1, HONE_LOCK_MUTEX);
    struct hone_lock_name list[] = {{"b", 0}, {"a", 0}, {"b", 0}, {"b", 0}};
    const struct hone_lock_names names = {.at = list};
    struct hone_lock_groups groups = {0};
    CHECK_EQ(hone_lock_groups_init(&groups, &collected.locks, &names, 64), 0);
    CHECK_EQ(groups.count, 3); // a spin lock is no mutex
    CHECK_EQ(groups.at[0].lock, 2);
    CHECK_EQ(groups.at[0].count, 2);
    CHECK_EQ(hone_lock_delay_ns(&groups.at[0].sum), 350);
    CHECK_EQ(groups.at[1].lock, 1);
    CHECK_EQ(groups.of[0], 0);
    CHECK_EQ(groups.of[1], 1);
    CHECK_EQ(groups.of[2], 0);
    CHECK_EQ(place_of(&collected, groups.at[0].holder.stack), 0x1000);
    CHECK_EQ(groups.at[0].holder.ns, 350);
    CHECK_EQ(place_of(&collected, groups.at[0].waiter.stack), 0x2000); // as the holder knows
    CHECK_EQ(place_of(&collected, groups.at[1].waiter.stack), 0x3000); // as who waited told
    hone_lock_groups_done(&groups);
    hone_collect_done(&collected);
}

TEST(two_locks_that_threads_take_apart_on_one_line_are_neighbours)
{
    struct hone_collected collected;
    CHECK_EQ(begin(&collected), 0);
    for (int i = 0; i < 20; i++) {
        used(&collected, 0x1000, 0, 0, 10); // with the next: thread 0 and thread 1
        used(&collected, 0x1028, 1, 0, 10);
        used(&collected, 0x2000, 0, 0, 10); // one thread alone
        used(&collected, 0x2028, 0, 0, 10);
        used(&collected, 0x3000, 0, 0, 10); // on two lines
        used(&collected, 0x3040, 1, 0, 10);
    }
    used(&collected, 0x4000, 0, 0, 10); // hardly taken
    used(&collected, 0x4028, 1, 0, 10);
    static char texts[8][8];
    struct hone_lock_name list[8];
    for (int i = 0; i < 8; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%d", i);
        list[i] = (struct hone_lock_name){texts[i], 0};
    }
    const struct hone_lock_names names = {.at = list};
    struct hone_lock_groups groups = {0};
    CHECK_EQ(hone_lock_groups_init(&groups, &collected.locks, &names, 64), 0);
    uint32_t beside = 0;
    for (uint32_t i = 0; i < groups.count; i++)
        beside += groups.at[i].beside != 0;
    CHECK_EQ(beside, 2);
    CHECK_EQ(groups.at[groups.of[0]].beside, groups.of[1] + 1);
    CHECK_EQ(groups.at[groups.of[1]].beside, groups.of[0] + 1);
    hone_lock_groups_done(&groups);
    CHECK_EQ(hone_lock_groups_init(&groups, &collected.locks, &names, 0), 0);
    CHECK_EQ(groups.at[groups.of[0]].beside, 0); // nobody knows how long a line is
    hone_lock_groups_done(&groups);
    hone_collect_done(&collected);
}

// --- without memory ------------------------------------------------------------------------------

static int work(void)
{
    struct hone_collected collected;
    struct hone_lock_groups groups = {0};
    struct hone_lock_name list[] = {{"a", 0}, {"b", 0}};
    const struct hone_lock_names names = {.at = list};
    int r = begin(&collected);
    if (!r) {
        known(&collected, MUTEX_AT, 1, "");
        known(&collected, OTHER_AT, 0, "name");
        held(&collected, MUTEX_AT, 5, 1);
        waited(&collected, OTHER_AT, 5, 1, HONE_LOCK_MUTEX);
        used(&collected, OTHER_AT, 0, 5, 1);
        r = hone_collect_status(&collected);
    }
    if (!r)
        r = hone_lock_groups_init(&groups, &collected.locks, &names, 64);
    hone_lock_groups_done(&groups);
    hone_collect_done(&collected);
    return r;
}

TEST(running_out_of_memory_anywhere_is_said_and_leaves_nothing_behind)
{
    for (long after = 0;; after++) {
        long blocks = hone_starve_blocks;
        hone_starve_after = after;
        int r = work();
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        CHECK_EQ(hone_starve_blocks, blocks);
        if (!starved)
            break;
    }
}
