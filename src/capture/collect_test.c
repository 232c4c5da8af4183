#include "capture/collect.h"

#include "check.h"

#include <malloc.h>
#include <stdio.h>

static const struct hone_reader_events *const events = &hone_collect_events;

static void add_process(struct hone_collected *collected, uint32_t number, uint32_t pid)
{
    struct hone_process_facts facts = {.pid = pid, .engine = HONE_ENGINE_PERF_TRAP};
    (void)snprintf(facts.path, sizeof facts.path, "/bin/program");
    events->process(collected, number, &facts);
}

static void add_module(struct hone_collected *collected, uint32_t number, uint32_t index,
                       const char *path, uint64_t base)
{
    alignas(8) char bytes[sizeof(struct hone_record_module) + 64] = {0};
    struct hone_record_module *module = (struct hone_record_module *)bytes;
    module->record.small = index;
    module->start = base;
    module->end = base + 0x10000;
    module->text_start = base + 0x1000;
    module->text_end = base + 0x9000;
    module->text_offset = 0x1000;
    module->bias = base;
    (void)snprintf(module->path, 64, "%s", path);
    events->module(collected, number, module);
}

static void add_stack(struct hone_collected *collected, uint32_t number, uint32_t id, uint64_t leaf,
                      uint64_t caller)
{
    alignas(8) char bytes[sizeof(struct hone_record_stack) + 16] = {0};
    struct hone_record_stack *stack = (struct hone_record_stack *)bytes;
    stack->record.small = id;
    stack->count = 2;
    stack->addresses[0] = leaf;
    stack->addresses[1] = caller;
    events->stack(collected, number, stack);
}

static void add_thread(struct hone_collected *collected, uint32_t number, uint32_t index,
                       uint64_t routine)
{
    const struct hone_record_thread thread = {
        .record.small = index, .tid = UINT32_MAX - index, .routine = routine};
    events->thread(collected, number, &thread);
}

static void end_thread(struct hone_collected *collected, uint32_t number, uint32_t index,
                       uint64_t cpu_ns)
{
    const struct hone_record_thread_end end = {.record.small = index, .cpu_ns = cpu_ns};
    events->thread_end(collected, number, &end);
}

static void add_sample(struct hone_collected *collected, uint32_t number, uint32_t thread,
                       uint32_t stack, uint64_t cpu_ns)
{
    const struct hone_record_cpu sample = {
        .record.small = thread, .time_ns = 1, .cpu_ns = cpu_ns, .stack = stack};
    events->cpu(collected, number, &sample);
}

TEST(same_code_at_other_addresses_is_one_stack)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    for (uint32_t process = 0; process < 2; process++) {
        uint64_t base = process ? 0x7f0000000000 : 0x550000000000;
        add_process(&collected, process, 100 + process);
        add_module(&collected, process, 0, "/bin/program", base);
        add_thread(&collected, process, 0, 0);
        add_stack(&collected, process, 1, base + 0x1234, base + 0x2000);
        add_sample(&collected, process, 0, 1, 1000);
    }
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.stack_count, 1);
    CHECK_EQ(collected.place_count, 2);
    CHECK_EQ(collected.places[0].address, 0x1234);
    CHECK_EQ(collected.sample_count, 2); // two threads
    hone_collect_done(&collected);
}

// What is remembered of the last stack is of its process, and holds from its outermost frame on.
TEST(outer_frames_of_the_last_stack_are_those_of_its_process)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    for (uint32_t process = 0; process < 2; process++) {
        add_process(&collected, process, 100 + process);
        add_module(&collected, process, 0, process ? "/bin/one" : "/bin/other", 0x10000);
        add_thread(&collected, process, 0, 0);
    }
    static const uint32_t turns[] = {0, 1, 1, 0};
    for (uint32_t turn = 0; turn < 4; turn++) {
        uint32_t process = turns[turn];
        add_stack(&collected, process, turn + 1, 0x11000 + turn, 0x12000);
        add_sample(&collected, process, 0, turn + 1, 1);
    }
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.stack_count, 4);
    CHECK_EQ(collected.place_count, 4 + 2); // four inner ones, and 0x12000 of each program
    for (uint32_t i = 0; i < collected.sample_count; i++) {
        const struct hone_collected_stack *stack = &collected.stacks[collected.samples[i].stack];
        uint32_t process = collected.threads[collected.samples[i].thread].process;
        for (uint32_t frame = 0; frame < stack->count; frame++) {
            const struct hone_collected_place *place =
                &collected.places[collected.frames[stack->first + frame]];
            CHECK(strcmp(collected.modules[place->module].path,
                         process ? "/bin/one" : "/bin/other") == 0);
        }
    }
    hone_collect_done(&collected);
}

TEST(stack_written_twice_is_one)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_sample(&collected, 0, 0, 1, 5);
    add_stack(&collected, 0, 9, 0x10, 0x20);
    add_sample(&collected, 0, 0, 9, 7);
    CHECK_EQ(collected.sample_count, 1);
    CHECK_EQ(collected.samples[0].samples, 2);
    CHECK_EQ(collected.samples[0].cpu_ns, 12);
    hone_collect_done(&collected);
}

TEST(address_means_the_module_that_lies_there_now)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    add_module(&collected, 0, 0, "/lib/old.so", 0x10000);
    add_stack(&collected, 0, 1, 0x11234, 0x11235);
    const struct hone_record_module_gone gone = {.record.small = 0};
    events->module_gone(&collected, 0, &gone);
    add_module(&collected, 0, 1, "/lib/new.so", 0x10000);
    add_stack(&collected, 0, 2, 0x11234, 0x11235);
    CHECK_EQ(collected.stack_count, 2);
    CHECK_STR(collected.modules[collected.places[0].module].path, "/lib/old.so");
    CHECK_STR(collected.modules[collected.places[2].module].path, "/lib/new.so");
    hone_collect_done(&collected);
}

// Two threads tell: one that a module has gone, before the other one that it came.
TEST(module_that_is_told_late_is_gone_all_the_same)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    const struct hone_record_module_gone gone = {.record.small = 1, .turn = 2};
    events->module_gone(&collected, 0, &gone);
    add_module(&collected, 0, 0, "/lib/new.so", 0x10000);
    add_module(&collected, 0, 1, "/lib/old.so", 0x10000);
    add_stack(&collected, 0, 1, 0x11234, 0x11235);
    CHECK_STR(collected.modules[collected.places[0].module].path, "/lib/new.so");
    hone_collect_done(&collected);
}

static void add_drawn(struct hone_collected *collected, uint32_t thread, uint64_t cpu_ns)
{
    const struct hone_record_cpu record = {.record.small = thread, .cpu_ns = cpu_ns, .stack = 1};
    events->cpu_drawn(collected, 0, &record);
}

TEST(samples_of_a_thread_add_up_to_what_it_used)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_stack(&collected, 0, 2, 0x30, 0x20);
    add_sample(&collected, 0, 0, 1, 3000);
    add_sample(&collected, 0, 0, 2, 1000);
    end_thread(&collected, 0, 0, 4400);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.samples[0].cpu_ns, 3300);
    CHECK_EQ(collected.samples[1].cpu_ns, 1100);
    hone_collect_done(&collected);
}

TEST(time_that_nothing_sampled_is_a_row_of_its_own)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    const uint64_t second = 1000000000, period = 1000000;
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_TRAP, .period_ns = period};
    events->process(&collected, 0, &facts);
    add_thread(&collected, 0, 0, 0);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_sample(&collected, 0, 0, 1, second / 5);
    end_thread(&collected, 0, 0, second + second / 5);
    add_thread(&collected, 0, 1, 0);
    add_sample(&collected, 0, 1, 1, second / 5);
    facts.cpu_total_ns = 4 * second; // of threads that did not tell, too
    events->process_end(&collected, 0, &facts);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.samples[0].cpu_ns, second / 5);
    CHECK_EQ(collected.samples[1].cpu_ns, second / 5);
    CHECK_EQ(collected.sample_count, 3);
    const struct hone_collected_stack *stack = &collected.stacks[collected.samples[2].stack];
    CHECK(collected.places[collected.frames[stack->first]].address == HONE_PLACE_NOT_SAMPLED);
    CHECK_EQ(collected.samples[2].samples, 0);
    CHECK_EQ(collected.samples[2].cpu_ns, 4 * second - 2 * (second / 5));
    CHECK_EQ(collected.not_sampled_ns, 4 * second - 2 * (second / 5));
    hone_collect_done(&collected);
}

TEST(thread_that_no_sample_came_to_for_many_periods_is_told_as_not_sampled)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_TRAP, .period_ns = 1000};
    events->process(&collected, 0, &facts);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_thread(&collected, 0, 0, 0);
    add_sample(&collected, 0, 0, 1, 1000);
    end_thread(&collected, 0, 0, 1000);
    add_thread(&collected, 0, 1, 0x4242);
    end_thread(&collected, 0, 1, 300000);
    add_thread(&collected, 0, 2, 0x4242); // one whose first moment was drawn, and nothing since
    add_drawn(&collected, 2, 16000);
    end_thread(&collected, 0, 2, 200000);
    add_thread(&collected, 0, 3, 0x4242);
    end_thread(&collected, 0, 3, 900);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.never_sampled_ns, 900);
    CHECK_EQ(collected.not_sampled_ns, 300000 + 200000 - 1000);
    CHECK_EQ(collected.processes[0].not_sampled_ns, collected.not_sampled_ns);
    const struct hone_collected_sample *sample = &collected.samples[2]; // behind the drawn one
    const struct hone_collected_stack *stack = &collected.stacks[sample->stack];
    CHECK_EQ(sample->thread, 1);
    CHECK_EQ(stack->count, 2);
    CHECK(collected.places[collected.frames[stack->first]].address == HONE_PLACE_NOT_SAMPLED);
    CHECK_EQ(collected.places[collected.frames[stack->first + 1]].address, 0x4242);
    hone_collect_done(&collected);
}

TEST(thread_without_a_sample_is_shown_under_its_routine)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_sample(&collected, 0, 0, 1, 1000);
    add_thread(&collected, 0, 1, 0x4242);
    end_thread(&collected, 0, 1, 500);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.sample_count, 2);
    CHECK_EQ(collected.never_sampled_ns, 500);
    const struct hone_collected_sample *sample = &collected.samples[1];
    const struct hone_collected_stack *stack = &collected.stacks[sample->stack];
    CHECK_EQ(sample->samples, 0);
    CHECK_EQ(sample->cpu_ns, 500);
    CHECK_EQ(stack->count, 2);
    CHECK(collected.places[collected.frames[stack->first]].address == HONE_PLACE_NEVER_SAMPLED);
    CHECK_EQ(collected.places[collected.frames[stack->first + 1]].address, 0x4242);
    hone_collect_done(&collected);
}

// Threads of 300, of which one was met at a moment that it drew.
static void make_short_threads(struct hone_collected *collected, uint32_t threads)
{
    CHECK_EQ(hone_collect_init(collected), 0);
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_TRAP, .period_ns = 1000};
    events->process(collected, 0, &facts);
    add_stack(collected, 0, 1, 0x10, 0x20);
    for (uint32_t i = 0; i < threads; i++) {
        add_thread(collected, 0, i, 0x4242);
        end_thread(collected, 0, i, 300);
    }
    add_drawn(collected, 0, 1000);
    CHECK_EQ(hone_collect_finish(collected), 0);
}

TEST(a_drawn_moment_stands_for_a_period_of_threads_without_a_sample)
{
    struct hone_collected collected;
    make_short_threads(&collected, 5);
    CHECK_EQ(collected.never_sampled_ns, 500);
    CHECK_EQ(collected.samples[0].cpu_ns, 1000);
    CHECK_EQ(collected.samples[0].samples, 1);
    hone_collect_done(&collected);
}

TEST(drawn_moments_stand_for_no_more_than_was_used)
{
    struct hone_collected collected;
    make_short_threads(&collected, 2);
    CHECK_EQ(collected.never_sampled_ns, 0);
    CHECK_EQ(collected.sample_count, 1);
    CHECK_EQ(collected.samples[0].cpu_ns, 600);
    hone_collect_done(&collected);
}

TEST(a_thread_that_lived_on_after_its_drawn_moment_keeps_its_own_time)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_TRAP, .period_ns = 1000};
    events->process(&collected, 0, &facts);
    add_stack(&collected, 0, 1, 0x10, 0x20);
    add_thread(&collected, 0, 0, 0x4242);
    add_drawn(&collected, 0, 16000);
    add_sample(&collected, 0, 0, 1, 1000);
    end_thread(&collected, 0, 0, 1500);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.sample_count, 1);
    CHECK_EQ(collected.samples[0].cpu_ns, 1500);
    CHECK_EQ(collected.samples[0].samples, 2);
    hone_collect_done(&collected);
}

TEST(what_the_kernels_clock_has_beyond_all_threads_is_never_sampled)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    const uint64_t second = 1000000000;
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_OUTSIDE, .period_ns = 1000000};
    // One program, and then another one by exec: the clock is of both.
    for (uint32_t number = 0; number < 2; number++) {
        events->process(&collected, number, &facts);
        add_thread(&collected, number, 0, 0);
        add_stack(&collected, number, 1, 0x10, 0x20);
        add_sample(&collected, number, 0, 1, second);
        end_thread(&collected, number, 0, second);
        facts.cpu_total_ns = second;
        facts.cpu_clock_ns = number ? 3 * second : 0;
        events->process_end(&collected, number, &facts);
    }
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.sample_count, 3);
    CHECK_EQ(collected.never_sampled_ns, second);
    CHECK_EQ(collected.samples[2].cpu_ns, second);
    CHECK_EQ(collected.processes[1].facts.cpu_total_ns, 2 * second);
    hone_collect_done(&collected);
}

TEST(threads_that_events_counted_too_much_of_add_up_to_their_processs_clock)
{
    const uint64_t second = 1000000000;
    for (int whole = 0; whole < 2; whole++) {
        struct hone_collected collected;
        CHECK_EQ(hone_collect_init(&collected), 0);
        struct hone_process_facts facts = {.pid = 100,
                                           .engine = HONE_ENGINE_PERF_OUTSIDE,
                                           .period_ns = 1000000,
                                           .cpu_total_ns = 4 * second,
                                           .cpu_clock_ns = 2 * second,
                                           .cpu_clock_whole = whole};
        events->process(&collected, 0, &facts);
        add_stack(&collected, 0, 1, 0x10, 0x20);
        for (uint32_t thread = 0; thread < 3; thread++)
            add_thread(&collected, 0, thread, 0);
        add_sample(&collected, 0, 0, 1, second); // its count was lost
        add_sample(&collected, 0, 1, 1, second / 2);
        end_thread(&collected, 0, 1, second);
        end_thread(&collected, 0, 2, 2 * second);
        events->process_end(&collected, 0, &facts);
        CHECK_EQ(hone_collect_finish(&collected), 0);
        uint64_t total_ns = 0;
        for (uint32_t i = 0; i < collected.sample_count; i++)
            total_ns += collected.samples[i].cpu_ns;
        CHECK_EQ(total_ns, whole ? 2 * second : 4 * second);
        CHECK_EQ(collected.never_sampled_ns, whole ? second : 2 * second);
        CHECK_EQ(collected.processes[0].facts.cpu_total_ns, whole ? 2 * second : 4 * second);
        hone_collect_done(&collected);
    }
}

TEST(a_process_that_was_forked_is_not_who_had_its_number_before)
{
    const uint64_t second = 1000000000;
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    for (uint32_t number = 0; number < 2; number++) {
        struct hone_process_facts facts = {.pid = 100,
                                           .engine = HONE_ENGINE_PERF_OUTSIDE,
                                           .forked = true,
                                           .period_ns = 1000000,
                                           .cpu_total_ns = second,
                                           .cpu_clock_ns = second,
                                           .cpu_clock_whole = true};
        events->process(&collected, number, &facts);
        add_thread(&collected, number, 0, 0);
        add_stack(&collected, number, 1, 0x10, 0x20);
        add_sample(&collected, number, 0, 1, second);
        end_thread(&collected, number, 0, second);
        events->process_end(&collected, number, &facts);
    }
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.sample_count, 2);
    CHECK_EQ(collected.samples[0].cpu_ns, second);
    CHECK_EQ(collected.samples[1].cpu_ns, second);
    CHECK_EQ(collected.never_sampled_ns, 0);
    hone_collect_done(&collected);
}

TEST(what_many_short_threads_used_is_known_from_outside_without_a_sample)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    struct hone_process_facts facts = {
        .pid = 100, .engine = HONE_ENGINE_PERF_OUTSIDE, .period_ns = 1000, .cpu_total_ns = 50000};
    events->process(&collected, 0, &facts);
    for (uint32_t thread = 0; thread < 100; thread++) {
        add_thread(&collected, 0, thread, 0);
        end_thread(&collected, 0, thread, 500);
    }
    events->process_end(&collected, 0, &facts);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.never_sampled_ns, 50000);
    hone_collect_done(&collected);
}

TEST(nothing_is_made_up_where_nothing_was_sampled)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, 0, 0);
    end_thread(&collected, 0, 0, 500);
    CHECK_EQ(hone_collect_finish(&collected), 0);
    CHECK_EQ(collected.sample_count, 0);
    hone_collect_done(&collected);
}

TEST(records_of_unknown_processes_threads_and_stacks_are_counted_not_believed)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_stack(&collected, 7, 1, 0x10, 0x20);
    add_sample(&collected, 7, 0, 1, 5);
    add_process(&collected, 0, 100);
    add_thread(&collected, 0, UINT32_MAX, 0);
    add_sample(&collected, 0, 3, 1, 5);
    add_sample(&collected, 0, 0, UINT32_MAX, 5);
    CHECK_EQ(collected.sample_count, 0);
    CHECK_EQ(collected.unknown_stacks, 2);
    CHECK_EQ(hone_collect_status(&collected), 0);
    hone_collect_done(&collected);
}

TEST(numbers_that_a_process_chose_cost_what_was_written)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    struct mallinfo2 before = mallinfo2();
    for (uint64_t number = 65536; number < UINT32_MAX; number = number * 2 + 65536) {
        add_thread(&collected, 0, (uint32_t)number, 0);
        add_stack(&collected, 0, (uint32_t)number, 0x10, 0x20);
        add_sample(&collected, 0, (uint32_t)number, (uint32_t)number, 1);
    }
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < 1 << 20);
    CHECK_EQ(collected.unknown_stacks, 0);
    CHECK_EQ(collected.sample_count, 16);
    hone_collect_done(&collected);
}

TEST(process_that_is_found_late_was_there_before)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    const uint64_t started_ns[] = {30, 10, 20, 40};
    for (uint32_t i = 0; i < 4; i++) {
        const struct hone_process_facts facts = {.pid = 100, .started_ns = started_ns[i]};
        events->process(&collected, i, &facts);
    }
    CHECK_EQ(hone_collect_before(&collected, 1), 0);
    CHECK_EQ(hone_collect_before(&collected, 2), 2);
    CHECK_EQ(hone_collect_before(&collected, 0), 3);
    CHECK_EQ(hone_collect_before(&collected, 3), 1);
    CHECK_EQ(hone_collect_by_pid(&collected, 100), 4);
    for (uint32_t i = 0; i < 4; i++)
        CHECK_EQ(hone_collect_is_replaced(&collected, i), i != 3);
    hone_collect_done(&collected);
}

TEST(process_that_was_found_before_it_told_its_name_has_it_at_its_end)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    struct hone_process_facts facts = {.pid = 100};
    events->process(&collected, 0, &facts);
    CHECK_STR(collected.processes[0].name, "");
    (void)snprintf(facts.path, sizeof facts.path, "/bin/program");
    events->process_end(&collected, 0, &facts);
    CHECK_STR(collected.processes[0].name, "program");
    hone_collect_done(&collected);
}

TEST(process_knows_who_had_its_pid_before)
{
    struct hone_collected collected;
    CHECK_EQ(hone_collect_init(&collected), 0);
    add_process(&collected, 0, 100);
    add_process(&collected, 1, 200);
    add_process(&collected, 2, 100);
    CHECK_EQ(hone_collect_before(&collected, 0), 0);
    CHECK_EQ(hone_collect_before(&collected, 1), 0);
    CHECK_EQ(hone_collect_before(&collected, 2), 1);
    CHECK_EQ(hone_collect_by_pid(&collected, 100), 3);
    hone_collect_done(&collected);
}
