// CPU samples and wall-clock times, summed by thread and stack.
#include "capture/collect_parts.h"

#include "core/hash.h"

#include <errno.h>

void hone_collect_add_sample(struct hone_collected *collected, uint32_t thread, uint32_t stack,
                             uint64_t samples, uint64_t cpu_ns, uint64_t time_ns)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash = hone_hash_fold(((uint64_t)thread << 32 | stack) ^ 0x9e3779b97f4a7c15u,
                                   0xe7037ed1a0b428dbu ^ time_ns);
    struct hone_table_probe probe = hone_table_probe(&state->samples, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->samples, &probe)) != HONE_TABLE_END) {
        struct hone_collected_sample *sample = &collected->samples[at];
        if (sample->thread == thread && sample->stack == stack && sample->time_ns == time_ns) {
            sample->samples += samples;
            sample->cpu_ns += cpu_ns;
            return;
        }
    }
    if (!hone_collect_reserve(state, &collected->samples, &state->sample_room,
                              (uint64_t)collected->sample_count + 1, sizeof *collected->samples) ||
        hone_table_add(&state->samples, hash, collected->sample_count)) {
        state->status = -ENOMEM;
        return;
    }
    collected->samples[collected->sample_count++] =
        (struct hone_collected_sample){thread, stack, samples, cpu_ns, time_ns};
}

// Where generated code is named by time, each sample keeps its own. A recording of days does not:
// then what was there last has to do.
enum { TIMED_SAMPLES = 4 << 20 };

static uint64_t time_that_counts(const struct hone_collected *collected,
                                 const struct hone_live *live, uint32_t stack, uint64_t time_ns)
{
    const struct hone_generated *generated = collected->processes[live->process].generated;
    bool timed = collected->stacks[stack].generated && generated &&
                 hone_generated_timed(generated) && collected->sample_count < TIMED_SAMPLES;
    return timed ? time_ns : 0;
}

bool hone_collect_find_stack(struct hone_collected *collected, const struct hone_live *live,
                             uint32_t index, uint64_t id, uint32_t *ret_thread, uint32_t *ret_stack)
{
    const struct hone_collect_state *state = collected->state;
    const struct hone_number *thread = hone_numbers_find(state, &live->threads, index);
    const struct hone_number *stack =
        id > UINT32_MAX ? NULL : hone_numbers_find(state, &live->stacks, (uint32_t)id);
    if (!stack || !thread) {
        collected->unknown_stacks++;
        return false;
    }
    *ret_stack = stack->at;
    *ret_thread = thread->at;
    return true;
}

void hone_collect_on_cpu(void *context, uint32_t number, const struct hone_record_cpu *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t thread, stack;
    if (!live || !hone_collect_find_stack(collected, live, record->record.small, record->stack,
                                          &thread, &stack))
        return;
    hone_collect_add_sample(collected, thread, stack, 1, record->cpu_ns,
                            time_that_counts(collected, live, stack, record->time_ns));
}

void hone_collect_on_cpu_drawn(void *context, uint32_t number,
                               const struct hone_record_cpu *record)
{
    struct hone_collected *collected = context;
    struct hone_collect_state *state = collected->state;
    struct hone_live *live = hone_live_of(collected, number);
    uint32_t thread, stack;
    if (!live ||
        !hone_collect_find_stack(collected, live, record->record.small, record->stack, &thread,
                                 &stack) ||
        !hone_collect_reserve(state, &state->drawn, &state->drawn_room, state->drawn_count + 1ull,
                              sizeof *state->drawn))
        return;
    state->drawn[state->drawn_count++] = (struct hone_collected_sample){
        .thread = thread,
        .stack = stack,
        .samples = 1,
        .cpu_ns = record->cpu_ns,
        .time_ns = time_that_counts(collected, live, stack, record->time_ns),
    };
}

void hone_collect_wall(struct hone_collected *collected, const struct hone_collected_wall *wall)
{
    struct hone_collect_state *state = collected->state;
    uint64_t hash =
        hone_hash_fold(((uint64_t)wall->thread << 32 | wall->stack) ^ 0x9e3779b97f4a7c15u,
                       0xe7037ed1a0b428dbu + wall->kind);
    struct hone_table_probe probe = hone_table_probe(&state->wall, hash);
    uint32_t at;
    while ((at = hone_table_next(&state->wall, &probe)) != HONE_TABLE_END) {
        struct hone_collected_wall *known = &collected->wall[at];
        if (known->thread == wall->thread && known->stack == wall->stack &&
            known->kind == wall->kind) {
            known->samples += wall->samples;
            known->ns += wall->ns;
            known->blocks += wall->blocks;
            return;
        }
    }
    if (!hone_collect_reserve(state, &collected->wall, &state->wall_room,
                              (uint64_t)collected->wall_count + 1, sizeof *collected->wall) ||
        hone_table_add(&state->wall, hash, collected->wall_count)) {
        state->status = -ENOMEM;
        return;
    }
    collected->wall[collected->wall_count++] = *wall;
}
