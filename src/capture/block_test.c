#include "capture/block.h"
#include "capture/wait_kinds.h"

#include "base/starve.h"

#include "check.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { HOOKED, BARE, MS = 1000000 }; // processes: with hooks of locks, and without

static struct hone_collected collected;
static const struct hone_reader_events *const events = &hone_collect_events;

static void add_module(uint32_t process, uint32_t index, const char *path, uint64_t base)
{
    alignas(8) char bytes[sizeof(struct hone_record_module) + 64] = {0};
    struct hone_record_module *module = (struct hone_record_module *)bytes;
    module->record.small = index;
    module->start = module->text_start = base;
    module->end = module->text_end = base + 0x10000;
    module->bias = base;
    module->build_id_bytes = 1;
    module->build_id[0] = (unsigned char)(index + 1);
    (void)snprintf(module->path, 64, "%s", path);
    events->module(&collected, process, module);
}

enum { PROGRAM = 0x100000, LIBC = 0x200000, OURS = 0x300000 };

static void add_stack(uint32_t process, uint32_t id, uint64_t leaf, uint64_t middle, uint64_t outer)
{
    alignas(8) char bytes[sizeof(struct hone_record_stack) + 3 * sizeof(uint64_t)] = {0};
    struct hone_record_stack *stack = (struct hone_record_stack *)bytes;
    stack->record.small = id;
    stack->count = 3;
    stack->addresses[0] = leaf;
    stack->addresses[1] = middle;
    stack->addresses[2] = outer;
    events->stack(&collected, process, stack);
}

enum { THROUGH_OURS = 1, DIRECT, HOLDING, AS_WELL };

static void begin(void)
{
    CHECK_EQ(hone_collect_init(&collected), 0);
    for (uint32_t process = HOOKED; process <= BARE; process++) {
        const struct hone_process_facts facts = {.pid = 100 + process, .path = "/bin/program"};
        events->process(&collected, process, &facts);
        add_module(process, 0, "/bin/program", PROGRAM);
        add_module(process, 1, "/lib/libc.so.6", LIBC);
        add_module(process, 2, "/opt/lib/libhone.so", OURS);
        for (uint32_t i = 0; i < 2; i++) {
            const struct hone_record_thread thread = {.record.small = i,
                                                      .tid = 100 + process + 10 * i};
            events->thread(&collected, process, &thread);
        }
        add_stack(process, THROUGH_OURS, LIBC + 0x10, OURS + 0x20, PROGRAM + 0x500);
        add_stack(process, DIRECT, LIBC + 0x10, PROGRAM + 0x30, PROGRAM + 0x500);
        add_stack(process, HOLDING, OURS + 0x40, PROGRAM + 0x50, PROGRAM + 0x500);
        add_stack(process, AS_WELL, LIBC + 0x10, OURS + 0x20, PROGRAM + 0x600);
    }
}

static void tells(uint32_t thread, uint64_t delay_ns, uint64_t rate_ns, uint64_t lock,
                  uint32_t holder)
{
    const struct hone_record_wait wait = {
        .record.small = thread,
        .lock = lock,
        .stack = THROUGH_OURS,
        .delay_ns = delay_ns,
        .rate_ns = rate_ns,
        .holder = holder,
        .holder_stack = holder ? HOLDING : 0,
        .kind = HONE_LOCK_MUTEX,
    };
    events->wait(&collected, HOOKED, &wait);
}

static void tells_at(uint32_t stack, uint64_t delay_ns, uint64_t lock)
{
    const struct hone_record_wait wait = {.stack = stack,
                                          .lock = lock,
                                          .delay_ns = delay_ns,
                                          .rate_ns = 10000,
                                          .kind = HONE_LOCK_MUTEX};
    events->wait(&collected, HOOKED, &wait);
}

static void seen(uint32_t process, uint32_t stack, enum hone_wait_kind kind, uint64_t ns,
                 double blocks)
{
    // Stacks are the same in both processes: the first four that were made.
    hone_collect_wall(&collected, &(struct hone_collected_wall){.thread = 2 * process,
                                                                .stack = stack - 1,
                                                                .kind = kind,
                                                                .samples = 1,
                                                                .ns = ns,
                                                                .blocks = blocks});
}

static struct hone_block made(void)
{
    struct hone_block block;
    CHECK_EQ(hone_block_init(&block, &collected), 0);
    return block;
}

static void end(struct hone_block *block)
{
    hone_block_done(block);
    hone_collect_done(&collected);
}

TEST(the_scheduler_says_how_long_and_lock_functions_for_what)
{
    begin();
    tells(0, 10 * MS, 10000, 0xabc0, 2);
    tells(0, 30 * MS, 10000, 0xdef0, 0);
    seen(HOOKED, THROUGH_OURS, HONE_KIND_FUTEX, 36 * MS, 2); // 4 ms less, for waking up
    struct hone_block block = made();
    CHECK_EQ(block.count, 2);
    CHECK_EQ(block.rows[0].kind, HONE_KIND_MUTEX);
    CHECK_EQ(block.rows[0].lock, 0xabc0);
    CHECK_EQ(block.rows[0].holder, 2); // thread 1, plus one
    CHECK(block.rows[0].holder_stack != 0);
    CHECK_NEAR(block.rows[0].delay_ns, 9.0 * MS, 1);
    CHECK_NEAR(block.rows[1].delay_ns, 27.0 * MS, 1);
    CHECK_NEAR(block.totals.waits, 2, 1e-9);
    CHECK_NEAR(block.totals.delay_ns, 36.0 * MS, 1);
    CHECK_NEAR(block.totals.labelled_ns, 36.0 * MS, 1);
    CHECK_NEAR(block.totals.told_ns, 40.0 * MS, 1);
    end(&block);
}

TEST(a_file_that_is_known_by_two_paths_is_one_place)
{
    begin();
    tells(0, 30 * MS, 10000, 0xabc0, 0);
    // From outside it is not called as the program's loader found it.
    alignas(8) char bytes[sizeof(struct hone_record_module) + 64] = {0};
    struct hone_record_module *module = (struct hone_record_module *)bytes;
    module->build_id_bytes = module->build_id[0] = 1;
    (void)snprintf(module->path, 64, "/usr/bin/program");
    uint32_t told = collected.stacks[THROUGH_OURS - 1].first;
    const uint32_t frames[] = {
        collected.frames[told], collected.frames[told + 1],
        hone_collect_place(
            &collected, (struct hone_collected_place){
                            .module = hone_collect_module(&collected, module), .address = 0x500})};
    uint32_t stack = hone_collect_stack(&collected, frames, 3, HONE_STACK_COMPLETE);
    seen(HOOKED, stack + 1, HONE_KIND_FUTEX, 31 * MS, 1);
    struct hone_block block = made();
    CHECK_EQ(block.count, 1);
    CHECK_EQ(block.rows[0].lock, 0xabc0);
    CHECK_NEAR(block.totals.delay_ns, 31.0 * MS, 1);
    end(&block);
}

TEST(what_goes_through_the_hook_of_syscall_is_not_told_by_lock_functions)
{
    begin();
    tells_at(HOLDING, 30 * MS, 0xabc0);
    seen(HOOKED, HOLDING, HONE_KIND_FUTEX, 200 * MS, 1); // Rust's mutex, say
    struct hone_block block = made();
    CHECK_EQ(block.count, 2);
    CHECK_EQ(block.rows[1].lock, 0);
    CHECK_NEAR(block.rows[1].delay_ns, 200.0 * MS, 1);
    CHECK_NEAR(block.totals.delay_ns, 200.0 * MS, 1);
    end(&block);
}

TEST(what_they_cannot_tell_is_kept)
{
    begin();
    tells(0, 30 * MS, 10000, 0xabc0, 0);
    seen(HOOKED, THROUGH_OURS, HONE_KIND_FUTEX, 31 * MS, 1);
    seen(HOOKED, AS_WELL, HONE_KIND_FUTEX, 9 * MS, 6);     // it has not ended
    seen(HOOKED, DIRECT, HONE_KIND_FUTEX, 5 * MS, 2);      // past our functions
    seen(HOOKED, THROUGH_OURS, HONE_KIND_POLL, 7 * MS, 3); // no lock
    seen(BARE, THROUGH_OURS, HONE_KIND_FUTEX, 11 * MS, 4); // a process that tells nothing
    seen(HOOKED, DIRECT, HONE_KIND_UNKNOWN, 13 * MS, 5);
    seen(HOOKED, DIRECT, HONE_KIND_NONE, 1000 * MS, 0); // no waits at all
    seen(HOOKED, DIRECT, HONE_KIND_RUNNABLE, 1000 * MS, 0);
    struct hone_block block = made();
    CHECK_EQ(block.count, 6);
    CHECK_NEAR(block.totals.delay_ns, (31.0 + 9 + 5 + 7 + 11 + 13) * MS, 1);
    CHECK_NEAR(block.totals.waits, 1 + 6 + 2 + 3 + 4 + 5, 1e-9);
    CHECK_NEAR(block.totals.unknown_ns, 13.0 * MS, 1);
    CHECK_NEAR(block.totals.labelled_ns, 31.0 * MS, 1);
    end(&block);
}

static const struct hone_block_row *row_of(const struct hone_block *block, uint64_t lock)
{
    for (uint32_t i = 0; i < block->count; i++)
        if (block->rows[i].lock == lock)
            return &block->rows[i];
    return NULL;
}

TEST(waits_that_nobody_saw_are_part_of_what_nobody_saw)
{
    begin();
    tells(0, 30 * MS, 10000, 0xabc0, 0);
    seen(HOOKED, DIRECT, HONE_KIND_UNKNOWN, 40 * MS, 5);
    struct hone_block block = made();
    CHECK_NEAR(row_of(&block, 0xabc0)->delay_ns, 30.0 * MS, 1);
    CHECK_NEAR(block.totals.delay_ns, 40.0 * MS, 1);
    CHECK_NEAR(block.totals.unknown_ns, 10.0 * MS, 1);
    hone_block_done(&block);
    tells(0, 70 * MS, 10000, 0xdef0, 0); // there is less than that
    block = made();
    CHECK_NEAR(row_of(&block, 0xabc0)->delay_ns, 12.0 * MS, 1);
    CHECK_NEAR(row_of(&block, 0xdef0)->delay_ns, 28.0 * MS, 1);
    CHECK_NEAR(block.totals.delay_ns, 40.0 * MS, 1);
    end(&block);
}

TEST(waits_that_were_seen_stand_for_those_that_were_not)
{
    begin();
    tells(0, 30 * MS, 10000, 0xabc0, 0);
    tells_at(AS_WELL, 10 * MS, 0xdef0);
    seen(HOOKED, THROUGH_OURS, HONE_KIND_FUTEX, 40 * MS, 4); // of both
    seen(HOOKED, DIRECT, HONE_KIND_FUTEX, 5 * MS, 2);
    struct hone_block block = made();
    CHECK_NEAR(row_of(&block, 0xabc0)->delay_ns, 32.0 * MS, 1);
    CHECK_NEAR(row_of(&block, 0xdef0)->delay_ns, 8.0 * MS, 1);
    CHECK_NEAR(block.totals.delay_ns, 45.0 * MS, 1);
    end(&block);
}

TEST(spinning_is_no_wait_for_the_scheduler)
{
    begin();
    const struct hone_record_wait wait = {.stack = THROUGH_OURS,
                                          .lock = 0xabc0,
                                          .delay_ns = 30 * MS,
                                          .rate_ns = 10000,
                                          .kind = HONE_LOCK_SPIN};
    events->wait(&collected, HOOKED, &wait);
    seen(HOOKED, THROUGH_OURS, HONE_KIND_FUTEX, 31 * MS, 1);
    struct hone_block block = made();
    CHECK_NEAR(row_of(&block, 0xabc0)->delay_ns, 30.0 * MS, 1);
    CHECK_NEAR(block.totals.delay_ns, 61.0 * MS, 1);
    end(&block);
}

TEST(short_waits_stand_for_those_that_were_not_drawn)
{
    begin();
    for (int i = 0; i < 10; i++)
        tells(0, 2000, 10000, 0xabc0, 0); // one in five is drawn
    tells(0, 20000, 10000, 0xabc0, 0);
    tells(0, 0, 10000, 0xabc0, 0); // which nobody can have drawn
    struct hone_block block = made();
    CHECK_EQ(block.count, 1);
    CHECK_NEAR(block.totals.waits, 51, 1e-9);
    CHECK_NEAR(block.totals.delay_ns, 10 * 10000 + 20000, 1e-6);
    CHECK_EQ(collected.waits.at[0].records, 11);
    end(&block);
}

TEST(waits_with_numbers_that_nobody_told_are_counted_as_such)
{
    begin();
    tells(7, 30 * MS, 10000, 0xabc0, 0);
    const struct hone_record_wait wait = {
        .stack = UINT64_MAX, .delay_ns = 1, .rate_ns = 1, .holder = UINT32_MAX};
    events->wait(&collected, HOOKED, &wait);
    events->wait(&collected, 99, &wait);
    CHECK_EQ(collected.waits.count, 0);
    CHECK_EQ(collected.unknown_stacks, 2);
    hone_collect_done(&collected);
}

TEST(rows_of_waits_are_limited)
{
    struct hone_collected_waits waits = {0};
    struct hone_collected_wait wait = {.records = 1, .waits = 1, .delay_ns = 1};
    for (uint32_t i = 0; i < HONE_WAIT_ROWS_MAX + 5; i++) {
        wait.lock = i;
        CHECK_EQ(hone_collected_waits_add(&waits, &wait), 0);
    }
    CHECK_EQ(waits.count, HONE_WAIT_ROWS_MAX);
    CHECK_EQ(waits.refused, 5);
    hone_collected_waits_done(&waits);
}

TEST(memory_that_runs_out_is_told_and_nothing_leaks)
{
    begin();
    tells(0, 30 * MS, 10000, 0xabc0, 2);
    seen(HOOKED, DIRECT, HONE_KIND_FUTEX, 5 * MS, 2);
    long before = hone_starve_blocks;
    for (long after = 0;; after++) {
        struct hone_block block;
        hone_starve_after = after;
        int r = hone_block_init(&block, &collected);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        hone_block_done(&block);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
    for (long after = 0;; after++) {
        struct hone_collected_waits waits = {0};
        hone_starve_after = after;
        int r = hone_collected_waits_add(&waits, &collected.waits.at[0]);
        bool starved = hone_starve_after < 0;
        hone_starve_after = -1;
        CHECK_EQ(r, starved ? -ENOMEM : 0);
        hone_collected_waits_done(&waits);
        CHECK_EQ(hone_starve_blocks, before);
        if (!starved)
            break;
    }
    hone_collect_done(&collected);
}

// --- kinds ---------------------------------------------------------------------------------------

TEST(every_kind_has_a_name_of_its_own_and_a_state)
{
    for (int i = 0; i < HONE_WAIT_KINDS; i++) {
        const char *name = hone_wait_kind_name((enum hone_wait_kind)i);
        CHECK(name && name[0]);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(name, hone_wait_kind_name((enum hone_wait_kind)k)) != 0);
        CHECK(hone_wait_of_kind((enum hone_wait_kind)i) < HONE_WAITS);
    }
    CHECK_EQ(hone_wait_of_kind(HONE_KIND_CONDITION), HONE_WAIT_LOCK);
    CHECK_STR(hone_wait_kind_name(HONE_WAIT_KINDS), "unknown");
}

TEST(functions_tell_what_a_futex_is_of)
{
    static const struct {
        const char *name;
        enum hone_wait_kind kind;
    } cases[] = {
        {"__futex_abstimed_wait_common64", HONE_KIND_FUTEX},
        {"pthread_mutex_lock", HONE_KIND_MUTEX},
        {"___pthread_mutex_lock", HONE_KIND_MUTEX},
        {"__GI___pthread_mutex_lock", HONE_KIND_MUTEX},
        {"pthread_mutex_lock@@GLIBC_2.2.5", HONE_KIND_MUTEX},
        {"pthread_mutex_lock.part.0", HONE_KIND_MUTEX},
        {"__lll_lock_wait_private", HONE_KIND_MUTEX},
        {"pthread_cond_timedwait", HONE_KIND_CONDITION},
        {"___pthread_cond_timedwait64", HONE_KIND_CONDITION},
        {"__pthread_cond_wait_common", HONE_KIND_CONDITION},
        {"64", HONE_KIND_FUTEX},
        {"__pthread_clockjoin_ex", HONE_KIND_JOIN},
        {"__new_sem_wait_slow64.constprop.0", HONE_KIND_SEMAPHORE},
        {"pthread_rwlock_wrlock", HONE_KIND_RWLOCK},
        {"pthread_barrier_wait", HONE_KIND_BARRIER},
        {"__cxa_guard_acquire", HONE_KIND_ONCE},
        {"std::sys::unix::locks::futex_mutex::Mutex::lock_contended", HONE_KIND_MUTEX},
        {"std::sys::sync::condvar::futex::Condvar::wait_optional_timeout", HONE_KIND_CONDITION},
        {"std::sys::unix::locks::futex::Condvar::wait", HONE_KIND_CONDITION},
        {"std::sys::unix::locks::futex::Mutex::lock_contended", HONE_KIND_MUTEX},
        {"parking_lot::raw_mutex::RawMutex::lock_slow", HONE_KIND_MUTEX},
        {"runtime.notesleep", HONE_KIND_PARK},
        {"runtime.lock2", HONE_KIND_MUTEX},
        {"runtime.futexsleep", HONE_KIND_FUTEX},
        {"my_pthread_mutex_lock_statistics", HONE_KIND_FUTEX},
        {"main", HONE_KIND_FUTEX},
        {"", HONE_KIND_FUTEX},
        {"____", HONE_KIND_FUTEX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQ(hone_wait_kind_of_function(cases[i].name), cases[i].kind);
}
