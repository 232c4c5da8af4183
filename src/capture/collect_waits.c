#include "capture/collect_waits.h"

#include "base/array.h"
#include "capture/collect_parts.h"
#include "core/hash.h"

#include <errno.h>
#include <stdlib.h>

void hone_collected_waits_done(struct hone_collected_waits *waits)
{
    free(waits->at);
    hone_table_done(&waits->table);
    *waits = (struct hone_collected_waits){0};
}

static bool is_same(const struct hone_collected_wait *a, const struct hone_collected_wait *b)
{
    return a->thread == b->thread && a->stack == b->stack && a->kind == b->kind &&
           a->lock == b->lock && a->holder == b->holder && a->holder_stack == b->holder_stack;
}

static uint64_t hash_of(const struct hone_collected_wait *wait)
{
    uint64_t hash =
        hone_hash_fold(((uint64_t)wait->thread << 32 | wait->stack) ^ 0x9e3779b97f4a7c15u,
                       wait->lock ^ 0xe7037ed1a0b428dbu);
    return hone_hash_fold(hash ^ wait->kind, ((uint64_t)wait->holder << 32 | wait->holder_stack) ^
                                                 0xa0761d6478bd642fu);
}

int hone_collected_waits_add(struct hone_collected_waits *waits,
                             const struct hone_collected_wait *wait)
{
    uint64_t hash = hash_of(wait);
    struct hone_table_probe probe = hone_table_probe(&waits->table, hash);
    uint32_t at;
    while ((at = hone_table_next(&waits->table, &probe)) != HONE_TABLE_END) {
        struct hone_collected_wait *known = &waits->at[at];
        if (!is_same(known, wait))
            continue;
        known->records += wait->records;
        known->waits += wait->waits;
        known->delay_ns += wait->delay_ns;
        known->timed_out += wait->timed_out;
        return 0;
    }
    if (waits->count >= HONE_WAIT_ROWS_MAX) {
        waits->refused += wait->records;
        return 0;
    }
    if (!hone_array_reserve(&waits->at, &waits->room, (uint64_t)waits->count + 1,
                            sizeof *waits->at) ||
        hone_table_add(&waits->table, hash, waits->count))
        return -ENOMEM;
    waits->at[waits->count++] = *wait;
    return 0;
}

void hone_collect_on_wait(void *context, uint32_t number, const struct hone_record_wait *record)
{
    struct hone_collected *collected = context;
    struct hone_live *live = hone_live_of(collected, number);
    hone_collect_lock_wait(collected, number, record);
    struct hone_collected_wait wait = {
        .kind = (enum hone_lock_kind)record->kind, .lock = record->lock, .records = 1};
    if (!live || !hone_collect_find_stack(collected, live, record->record.small, record->stack,
                                          &wait.thread, &wait.stack))
        return;
    bool drawn = record->delay_ns < record->rate_ns; // a longer one is always recorded
    wait.waits = !drawn             ? 1
                 : record->delay_ns ? (double)record->rate_ns / (double)record->delay_ns
                                    : 0;
    wait.delay_ns = (double)(drawn ? record->rate_ns : record->delay_ns);
    wait.timed_out = record->timed_out ? wait.waits : 0;
    hone_collect_data(collected, live, record->lock, &wait.module, &wait.vaddr);
    const struct hone_collect_state *state = collected->state;
    const struct hone_number *holder =
        record->holder ? hone_numbers_find(state, &live->threads, record->holder - 1) : NULL;
    const struct hone_number *stack =
        record->holder_stack && record->holder_stack <= UINT32_MAX
            ? hone_numbers_find(state, &live->stacks, (uint32_t)record->holder_stack)
            : NULL;
    wait.holder = holder ? holder->at + 1 : 0;
    wait.holder_stack = stack ? stack->at + 1 : 0;
    if (wait.waits > 0 && hone_collected_waits_add(&collected->waits, &wait))
        collected->state->status = -ENOMEM;
}
