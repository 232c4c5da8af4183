#include "capture/collect_parts.h"

#include "core/hash.h"

#include <errno.h>
#include <stdlib.h>

#define NUMBER_FACTOR 0xa0761d6478bd642fu

struct hone_number *hone_numbers_find(const struct hone_collect_state *state,
                                      const struct hone_numbers *numbers, uint32_t number)
{
    struct hone_table_probe probe =
        hone_table_probe(&numbers->table, hone_hash_fold(number ^ state->seed, NUMBER_FACTOR));
    uint32_t at;
    while ((at = hone_table_next(&numbers->table, &probe)) != HONE_TABLE_END)
        if (numbers->items[at].number == number)
            return &numbers->items[at];
    return NULL;
}

struct hone_number *hone_numbers_find_next(const struct hone_collect_state *state,
                                           struct hone_numbers *numbers, uint32_t number)
{
    struct hone_number *ret =
        numbers->next < numbers->count ? &numbers->items[numbers->next] : NULL;
    if (!ret || ret->number != number)
        ret = hone_numbers_find(state, numbers, number);
    if (ret)
        numbers->next = (uint32_t)(ret - numbers->items) + 1;
    return ret;
}

bool hone_numbers_set(struct hone_collect_state *state, struct hone_numbers *numbers,
                      uint32_t number, uint32_t meaning)
{
    struct hone_number *known = hone_numbers_find(state, numbers, number);
    if (known) {
        known->at = meaning;
        return true;
    }
    if (!hone_collect_grow(state, &numbers->items, &numbers->room, (uint64_t)numbers->count + 1,
                           sizeof *numbers->items))
        return false;
    if (hone_table_add(&numbers->table, hone_hash_fold(number ^ state->seed, NUMBER_FACTOR),
                       numbers->count)) {
        state->status = -ENOMEM;
        return false;
    }
    numbers->items[numbers->count++] = (struct hone_number){number, meaning};
    return true;
}

void hone_numbers_done(struct hone_numbers *numbers)
{
    hone_table_done(&numbers->table);
    free(numbers->items);
    *numbers = (struct hone_numbers){0};
}
